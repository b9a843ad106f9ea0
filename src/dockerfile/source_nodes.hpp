#pragma once

/// Where files come from, as nodes of the graph: directories of the user's, git, HTTP, OCI layouts. All
/// of them have the identifiers, attributes and capabilities that BuildKit's client gives them (F2.2).

#include <string>
#include <vector>

#include "dockerfile/git_reference.hpp"
#include "dockerfile/graph.hpp"
#include "dockerfile/options.hpp"

namespace cobuild::dockerfile {

/// The user's directory called `name`. `shared_key_hint` tells transfers of it from others.
[[nodiscard]] Node local_source(const ConvertOptions& options, const std::string& name,
                                const std::string& shared_key_hint);

/// Sets an attribute that is a list, with its capability; an empty list is left out.
void set_attribute(Node& node, const char* attribute, const char* cap, const std::vector<std::string>& items);

/// All that `reference` says, the .git directory only where it says so.
[[nodiscard]] Node git_source(const GitReference& reference);

/// One file of that name. `checksum`: "sha256:…", or empty.
[[nodiscard]] Node http_source(const std::string& url, const std::string& filename,
                               const std::string& checksum);

/// An image in the layout called `store`. `reference` has a digest; its name is for messages only.
[[nodiscard]] Node layout_source(const ConvertOptions& options, const std::string& store,
                                 const std::string& reference);

/// The main context when it is remote: the nodes from which it is made. options.remote_context is set.
[[nodiscard]] Node* add_remote_context(Graph& graph, const ConvertOptions& options);

/// How the Dockerfile itself was loaded: goes into the source map.
[[nodiscard]] pb::Definition dockerfile_definition(const ConvertOptions& options, const pb::Platform& platform);

}  // namespace cobuild::dockerfile
