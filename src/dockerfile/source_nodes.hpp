#pragma once

/// Where files come from, as nodes of the graph: directories of the user's, git, HTTP, OCI layouts. All
/// of them have the identifiers, attributes and capabilities that BuildKit's client gives them (F2.2).

#include <optional>
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

/// Whether a source of ADD is a download, as far as it is no repository.
[[nodiscard]] bool is_http_source(const std::string& source);

/// A source of ADD or COPY that is a repository. "github.com/o/r" is a path.
/// \throws Error as try_parse_git_reference() does.
[[nodiscard]] std::optional<GitReference> git_reference_of(const std::string& source);

/// The last part of the URL's path: what ADD calls the file (F1.7.18).
[[nodiscard]] std::string name_from_url(const std::string& url);

/// What ADD downloads, under that name. `checksum`: "sha256:…", or empty.
/// \throws Error kInvalidInput, or kUnsupported for other algorithms, in go-digest's words.
[[nodiscard]] Node download_source(const std::string& url, const std::string& checksum);

/// An image in the layout called `store`. `reference` has a digest; its name is for messages only.
[[nodiscard]] Node layout_source(const ConvertOptions& options, const std::string& store,
                                 const std::string& reference);

/// The main context when it is remote, as it is fetched. options.remote_context is set.
[[nodiscard]] Node remote_context_source(const ConvertOptions& options);

/// The same as a tree, an archive unpacked: the Dockerfile is there, whatever part of it the context is.
[[nodiscard]] Node* add_remote_root(Graph& graph, const ConvertOptions& options);

/// The main context when it is remote: the nodes from which it is made. options.remote_context is set.
[[nodiscard]] Node* add_remote_context(Graph& graph, const ConvertOptions& options);

/// How the Dockerfile itself was loaded: goes into the source map.
[[nodiscard]] pb::Definition dockerfile_definition(const ConvertOptions& options, const pb::Platform& platform);

}  // namespace cobuild::dockerfile
