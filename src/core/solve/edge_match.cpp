#include "core/solve/edge_match.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace cobuild::solve {
namespace {

/// What BuildKit gives as output of a key that is a content digest.
constexpr int kContentOutput = -1;

}  // namespace

Digest root_key(const Digest& op, int output) {
  return Digest::of(op.to_string() + "@" + std::to_string(output));
}

Digest content_key(const Digest& content) {
  return root_key(content, kContentOutput);
}

EdgeMatch::EdgeMatch(KeyGraph& graph, Digest op, int output,
                     std::vector<CacheDependency> dependencies)
    : graph_(graph), name_(root_key(op, output)) {
  for (CacheDependency& dependency : dependencies)
    inputs_.push_back({std::move(dependency), {}, {}, {}});
}

void EdgeMatch::add_definition_keys(std::size_t input, const KeySet& keys, bool may_match) {
  Input& known = inputs_[input];
  if (known.dependency.content_only) return;
  for (store::KeyId const key : keys) {
    add_key(known.definition, key);
    if (may_match) add_key(known.matchable, key);
  }
}

void EdgeMatch::set_content(std::size_t input, const Digest& content) {
  inputs_[input].content = content;
}

KeySet EdgeMatch::follow(std::size_t input, const KeySet& keys, bool with_content) const {
  const Input& known = inputs_[input];
  KeySet found;
  store::KeyLink const link{static_cast<int>(input), name_, known.dependency.selector};
  for (store::KeyId const key : keys) {
    for (store::KeyId const target : graph_.follow(key, link)) add_key(found, target);
  }
  if (with_content && known.content) {
    store::KeyLink const content_link{static_cast<int>(input), name_, std::nullopt};
    for (store::KeyId const root : graph_.find_roots(content_key(*known.content))) {
      for (store::KeyId const target : graph_.follow(root, content_link)) add_key(found, target);
    }
  }
  return found;
}

template <class Candidates>
KeySet EdgeMatch::intersect(Candidates candidates) const {
  KeySet common;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    KeySet const found = candidates(i);
    if (i == 0) {
      common = found;
    } else {
      std::erase_if(common, [&](store::KeyId key) {
        return std::find(found.begin(), found.end(), key) == found.end();
      });
    }
    if (common.empty()) break;
  }
  return common;
}

KeySet EdgeMatch::candidates(std::size_t input) const {
  return follow(input, inputs_[input].matchable, true);
}

KeySet EdgeMatch::matches() const {
  return intersect([&](std::size_t input) { return candidates(input); });
}

bool EdgeMatch::is_linkable() const {
  return std::all_of(inputs_.begin(), inputs_.end(), [](const Input& input) {
    return input.content.has_value() || !input.definition.empty();
  });
}

store::KeyId EdgeMatch::key_for_result() {
  KeySet common = intersect([&](std::size_t input) {
    return inputs_[input].content ? follow(input, {}, true)
                                  : follow(input, inputs_[input].definition, false);
  });
  std::erase_if(common, KeyGraph::is_imported);
  return common.empty() ? graph_.add_key(name_) : common.front();
}

void EdgeMatch::link(store::KeyId key) {
  if (KeyGraph::is_imported(key)) return;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    int const number = static_cast<int>(i);
    for (store::KeyId const from : inputs_[i].definition) {
      if (KeyGraph::is_imported(from)) continue;
      graph_.add_link(from, {number, name_, inputs_[i].dependency.selector}, key);
    }
    if (inputs_[i].content) {
      store::KeyId const from = graph_.add_root(content_key(*inputs_[i].content));
      graph_.add_link(from, {number, name_, std::nullopt}, key);
    }
  }
}

}  // namespace cobuild::solve
