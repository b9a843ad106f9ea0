#include "ops/result_chain.hpp"

#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>

namespace cobuild::ops {
namespace {

/// What the mount that becomes output `output` begins as.
std::vector<std::int64_t> inputs_of(const pb::ExecOp& exec, int output) {
  for (const pb::Mount& mount : exec.mounts()) {
    if (mount.output() == output) return {mount.input()};
  }
  return {};
}

/// What the actions that lead to output `output` begin with.
std::vector<std::int64_t> inputs_of(const pb::FileOp& file, std::size_t input_count, int output) {
  auto const count = static_cast<std::int64_t>(input_count);
  for (const pb::FileAction& last : file.actions()) {
    if (last.output() != output) continue;
    std::int64_t index = last.input();
    // No more often than there are actions: in a foreign graph they may lead round in a circle.
    for (int i = 0; i < file.actions_size() && index >= count; ++i) {
      std::int64_t const action = index - count;
      if (action >= file.actions_size()) return {};
      index = file.actions(static_cast<int>(action)).input();
    }
    return {index};
  }
  return {};
}

/// Which inputs of `edge`'s vertex are in its result; some may be no inputs at all.
std::vector<std::int64_t> inputs_of(const llb::Edge& edge) {
  const pb::Op& op = edge.vertex->op;
  if (op.has_exec()) return inputs_of(op.exec(), edge.output);
  if (op.has_file()) return inputs_of(op.file(), edge.vertex->inputs.size(), edge.output);
  std::vector<std::int64_t> inputs;
  if (op.has_merge()) {
    for (const pb::MergeInput& input : op.merge().inputs()) inputs.push_back(input.input());
  }
  if (op.has_passthrough() && edge.output < op.passthrough().outputs_size()) {
    inputs.push_back(op.passthrough().outputs(edge.output));
  }
  return inputs;
}

}  // namespace

std::vector<llb::Edge> result_chain(const llb::Edge& target) {
  std::vector<llb::Edge> chain;
  std::set<std::pair<VertexDigest, int>> seen;
  auto const add = [&](const llb::Edge& edge) {
    if (edge.vertex && seen.emplace(edge.vertex->digest, edge.output).second) chain.push_back(edge);
  };
  add(target);
  for (std::size_t i = 0; i < chain.size(); ++i) {
    llb::Edge const edge = chain[i];  // The list grows.
    for (std::int64_t const input : inputs_of(edge)) {
      bool const exists =
          input >= 0 && input < static_cast<std::int64_t>(edge.vertex->inputs.size());
      if (exists) add(edge.vertex->inputs[static_cast<std::size_t>(input)]);
    }
  }
  return chain;
}

}  // namespace cobuild::ops
