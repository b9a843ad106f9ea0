#pragma once

/// The build graph while it is being made, and its way into a pb::Definition. Nodes may still change
/// until then: which paths of the context are used is known only at the end.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/llb/ops.pb.h"
#include "dockerfile/env_list.hpp"
#include "dockerfile/warning.hpp"

namespace cobuild::dockerfile {

struct Node;

/// A file tree with the settings that the next step inherits. A value; `tree` null is scratch.
struct State {
  Node* tree = nullptr;  ///< Owned by the graph.
  EnvList env;
  std::string directory = "/";
  std::string user;
  std::string hostname;
  pb::NetMode network = pb::UNSET;
  std::optional<pb::Platform> platform;  ///< Of the image at the bottom; unset on scratch.
};

struct SourceNode {
  pb::SourceOp op;
  bool has_platform = false;  ///< Images are for a platform, other sources are not.
};

/// One action after another on `base`; a copy reads from its `source`.
struct FileNode {
  struct Action {
    pb::FileAction action;  ///< Without indexes. Owners by name have their input set when encoded.
    Node* source = nullptr;
  };
  Node* base = nullptr;
  std::vector<Action> actions;
};

struct ExecNode {
  struct Mount {
    pb::Mount mount;  ///< Without indexes.
    Node* source = nullptr;
    bool has_output = false;
  };
  pb::ExecOp op;  ///< Without mounts.
  std::vector<Mount> mounts;  ///< The root first, by destination; then secrets and agents.
};

struct MergeNode {
  std::vector<Node*> inputs;
};

struct Node {
  std::variant<SourceNode, FileNode, ExecNode, MergeNode> op;
  std::optional<pb::Platform> platform;
  pb::OpMetadata metadata;
  std::optional<LineRange> lines;
};

/// Owns the nodes of one conversion.
class Graph {
 public:
  Node* add(Node node);

 private:
  std::vector<std::unique_ptr<Node>> nodes_;
};

/// What definitions say about the file that they come from.
struct SourceText {
  std::string filename;
  std::string data;
  pb::Definition definition;  ///< How the file itself was loaded.
};

/// Encodes `result` and all it needs, inputs before their users, in the order and with the bytes of
/// BuildKit's client. Depth does not consume stack. Empty for scratch.
/// \param default_platform for steps on scratch.
/// \param source nullptr: no locations are written.
[[nodiscard]] pb::Definition encode(Node* result, const pb::Platform& default_platform,
                                    const SourceText* source);

/// Sets "llb.customname", and the other descriptions and capabilities.
void set_name(Node& node, std::string name);
void set_command(Node& node, std::string command);
void add_cap(Node& node, const char* cap);

}  // namespace cobuild::dockerfile
