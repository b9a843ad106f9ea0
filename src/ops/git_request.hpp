#pragma once

/// What a git:// source asks for, and how it is recognised (F2.2.5, F2.6.8). Pure.

#include <string>
#include <string_view>

#include "core/base/secret.hpp"
#include "core/llb/ops.pb.h"

namespace cobuild::ops {

/// A value.
struct GitRequest {
  std::string remote;    ///< What git is given: without a password, and over HTTP without a user.
  std::string scheme;    ///< "http", "https", "ssh" or "git".
  std::string host;      ///< With the port, if one is given.
  Secret authorization;  ///< Of an HTTP URL with user and password: the header's value.
  std::string ref;       ///< Empty: the default branch.
  std::string subdir;
  std::string checksum;
  bool keep_git_dir = false;
  bool skip_submodules = false;
  bool mtime_of_commit = false;
  bool fetch_by_commit = false;
  std::string auth_header_secret;
  std::string auth_token_secret;
  std::string known_hosts;    ///< Of ssh, as the file has them; empty: \see GitSurroundings.
  std::string ssh_socket_id;  ///< Of --ssh; empty: none.
};

/// What a request's ref means now.
struct GitRevision {
  std::string ref;       ///< In full: "refs/heads/main"; or a commit id.
  std::string checksum;  ///< The object that it names: a commit, or an annotated tag.
  std::string commit;    ///< Of an annotated tag: its commit. Empty: \see checksum.
};

/// \throws Error kInvalidInput for what is no address or no ref; kUnsupported for bundles and
/// signatures.
[[nodiscard]] GitRequest parse_git_request(const pb::SourceOp& source);

/// What `output` of `git ls-remote REMOTE REF REF^{}` says of `ref`: a full ref first, then branches,
/// then tags (F2.2.6, F10.103). \throws Error kNotFound, or kCorrupt when the checksum asked for is
/// another.
[[nodiscard]] GitRevision find_revision(const GitRequest& request, const std::string& ref,
                                        std::string_view output);

/// The default branch in the output of `git ls-remote --symref REMOTE HEAD`; empty: it has none.
[[nodiscard]] std::string default_branch(std::string_view output);

/// Of what has to be fetched at all to know it: nothing here, when the request names a commit.
/// \throws Error kInvalidInput for a checksum that is none.
[[nodiscard]] bool names_commit(const GitRequest& request, GitRevision& revision);

/// The source's key.
[[nodiscard]] std::string git_key(const GitRequest& request, const GitRevision& revision);

/// Whether `checksum`, maybe only the beginning of one, is that of the revision. \throws Error kCorrupt
/// `expected checksum to match …` if not.
void check_revision(const GitRequest& request, const std::string& object, const std::string& commit);

/// The URL prefix that a token goes to: all of github.com, else this repository.
[[nodiscard]] std::string token_scope(const std::string& remote);

}  // namespace cobuild::ops
