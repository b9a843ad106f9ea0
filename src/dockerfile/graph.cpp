#include "dockerfile/graph.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "core/llb/marshal.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr std::int64_t kScratch = -1;
constexpr std::int64_t kNoOutput = -1;

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

/// In the order in which BuildKit's client walks them, which is not that of the op's inputs.
std::vector<Node*> inputs_to_visit(const Node& node) {
  std::vector<Node*> out;
  auto add = [&out](Node* input) {
    if (input != nullptr && std::ranges::find(out, input) == out.end()) out.push_back(input);
  };
  std::visit(Overloaded{[](const SourceNode&) {},
                        [&add](const FileNode& file) {
                          add(file.base);
                          for (auto action = file.actions.rbegin(); action != file.actions.rend(); ++action) {
                            add(action->source);
                          }
                        },
                        [&add](const ExecNode& exec) {
                          for (const auto& mount : exec.mounts) add(mount.source);
                        },
                        [&add](const MergeNode& merge) {
                          for (Node* input : merge.inputs) add(input);
                        }},
             node.op);
  return out;
}

class Encoder {
 public:
  Encoder(const pb::Platform& default_platform, const SourceText* source)
      : default_platform_(default_platform), source_(source) {}

  pb::Definition encode(Node* result) {
    visit_all(result);
    pb::Op last;
    *last.add_inputs() = input_of(result);
    std::string const bytes = llb::marshal(last);
    pb::OpMetadata& metadata = (*definition_.mutable_metadata())[Digest::of(bytes).to_string()];
    auto& caps = *metadata.mutable_caps();
    for (const char* cap : {"constraints", "platform"}) caps[cap] = true;
    for (const auto& entry : definition_.metadata()) {
      if (entry.second.ignore_cache()) caps_needed_.insert("meta.ignorecache");
      if (!entry.second.description().empty()) caps_needed_.insert("meta.description");
    }
    for (const std::string& cap : caps_needed_) caps[cap] = true;
    definition_.add_def(bytes);
    if (source_ != nullptr && has_locations_) add_source_info();
    return std::move(definition_);
  }

 private:
  struct Visit {
    Node* node;
    std::vector<Node*> inputs;
    std::size_t next = 0;
  };

  void visit_all(Node* result) {
    std::vector<Visit> stack;
    auto enter = [this, &stack](Node* node) {
      if (!digests_.contains(node)) stack.push_back({node, inputs_to_visit(*node)});
    };
    enter(result);
    while (!stack.empty()) {
      Visit& top = stack.back();
      if (top.next < top.inputs.size()) {
        enter(top.inputs[top.next++]);
        continue;
      }
      Node* const node = top.node;
      stack.pop_back();
      if (!digests_.contains(node)) add(*node);
    }
  }

  void add(Node& node) {
    std::string bytes = llb::marshal(make_op(node));
    std::string const digest = Digest::of(bytes).to_string();
    digests_.emplace(&node, digest);
    (*definition_.mutable_metadata())[digest].MergeFrom(node.metadata);
    pb::Locations& locations = (*definition_.mutable_source()->mutable_locations())[digest];
    if (node.lines) {
      has_locations_ = true;
      pb::Location& location = *locations.add_locations();
      for (int line = node.lines->first; line <= node.lines->last; ++line) {
        pb::Range& range = *location.add_ranges();
        range.mutable_start()->set_line(line);
        range.mutable_end()->set_line(line);
      }
    }
    if (known_.insert(digest).second) definition_.add_def(std::move(bytes));
  }

  [[nodiscard]] pb::Input input_of(Node* node) const {
    pb::Input input;
    input.set_digest(digests_.at(node));
    return input;
  }

  /// The index of `node` among the op's inputs, where it is put if it is new; -1 for scratch.
  std::int64_t index_of(Node* node, pb::Op& op) const {
    if (node == nullptr) return kScratch;
    const std::string& digest = digests_.at(node);
    for (int i = 0; i < op.inputs_size(); ++i) {
      if (op.inputs(i).digest() == digest) return i;
    }
    *op.add_inputs() = input_of(node);
    return op.inputs_size() - 1;
  }

  pb::Op make_op(const Node& node) const {
    pb::Op op;
    op.mutable_constraints();
    std::visit(Overloaded{[&](const SourceNode& source) {
                            *op.mutable_source() = source.op;
                            if (source.has_platform) *op.mutable_platform() = platform_of(node);
                          },
                          [&](const FileNode& file) { fill_file(file, op); },
                          [&](const ExecNode& exec) {
                            fill_exec(exec, op);
                            *op.mutable_platform() = platform_of(node);
                          },
                          [&](const MergeNode& merge) {
                            for (Node* input : merge.inputs) {
                              op.mutable_merge()->add_inputs()->set_input(op.inputs_size());
                              *op.add_inputs() = input_of(input);
                            }
                          }},
               node.op);
    return op;
  }

  [[nodiscard]] const pb::Platform& platform_of(const Node& node) const {
    return node.platform ? *node.platform : default_platform_;
  }

  static void set_owner_input(pb::ChownOpt* owner, std::int64_t base) {
    for (pb::UserOpt* user : {owner->has_user() ? owner->mutable_user() : nullptr,
                              owner->has_group() ? owner->mutable_group() : nullptr}) {
      if (user != nullptr && user->has_byname()) user->mutable_byname()->set_input(base);
    }
  }

  void fill_file(const FileNode& file, pb::Op& op) const {
    pb::FileOp& out = *op.mutable_file();
    std::int64_t const base = index_of(file.base, op);
    std::vector<std::int64_t> sources;
    for (const auto& action : file.actions) sources.push_back(index_of(action.source, op));
    for (std::size_t i = 0; i < file.actions.size(); ++i) {
      pb::FileAction& action = *out.add_actions();
      action = file.actions[i].action;
      auto const index = static_cast<std::int64_t>(i);
      action.set_input(i == 0 ? base : op.inputs_size() + index - 1);
      action.set_secondaryinput(sources[i]);
      action.set_output(i + 1 == file.actions.size() ? 0 : kNoOutput);
      if (action.has_copy() && action.copy().has_owner()) {
        set_owner_input(action.mutable_copy()->mutable_owner(), base);
      } else if (action.has_mkdir() && action.mkdir().has_owner()) {
        set_owner_input(action.mutable_mkdir()->mutable_owner(), base);
      }
    }
  }

  void fill_exec(const ExecNode& exec, pb::Op& op) const {
    *op.mutable_exec() = exec.op;
    std::int64_t outputs = 0;
    for (const auto& mount : exec.mounts) {
      pb::Mount& out = *op.mutable_exec()->add_mounts();
      out = mount.mount;
      out.set_input(index_of(mount.source, op));
      bool const lent = out.mounttype() == pb::SECRET || out.mounttype() == pb::SSH;
      if (!lent) out.set_output(mount.has_output ? outputs++ : kNoOutput);
    }
  }

  void add_source_info() {
    pb::SourceInfo& info = *definition_.mutable_source()->add_infos();
    info.set_filename(source_->filename);
    info.set_data(source_->data);
    *info.mutable_definition() = source_->definition;
    info.set_language("Dockerfile");
  }

  const pb::Platform& default_platform_;
  const SourceText* source_;
  pb::Definition definition_;
  std::unordered_map<const Node*, std::string> digests_;
  std::unordered_set<std::string> known_;
  std::unordered_set<std::string> caps_needed_;
  bool has_locations_ = false;
};

}  // namespace

Node* Graph::add(Node node) {
  nodes_.push_back(std::make_unique<Node>(std::move(node)));
  return nodes_.back().get();
}

pb::Definition encode(Node* result, const pb::Platform& default_platform, const SourceText* source) {
  if (result == nullptr) return {};
  return Encoder(default_platform, source).encode(result);
}

void set_name(Node& node, std::string name) {
  (*node.metadata.mutable_description())["llb.customname"] = std::move(name);
}

void set_command(Node& node, std::string command) {
  (*node.metadata.mutable_description())["com.docker.dockerfile.v1.command"] = std::move(command);
}

void add_cap(Node& node, const char* cap) { (*node.metadata.mutable_caps())[cap] = true; }

}  // namespace cobuild::dockerfile
