#include "ops/git_request.hpp"

#include <algorithm>
#include <array>

#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "core/base/go_quote.hpp"
#include "registry/base64.hpp"

namespace cobuild::ops {
namespace {

constexpr std::string_view kScheme = "git://";

GitUrl parse_address(const std::string& text) {
  bool const is_bare = text.find("://") == std::string::npos && !is_git_transport(text);
  auto url = try_parse_git_url(is_bare ? "https://" + text : text);
  // A user that begins with a dash would be an option of ssh's.
  if (!url || url->host.empty() || url->user.starts_with('-') || url->host.starts_with('-')) {
    throw Error(ErrorKind::kInvalidInput,
                "invalid git repository " + go_quote(redact_credentials(text)) +
                    ": use https://, http://, ssh://, git:// or user@host:path");
  }
  return *std::move(url);
}

/// git's arguments are for everybody on the machine to see: what is secret is taken out.
void set_remote(GitRequest& request, const GitUrl& url) {
  request.scheme = url.scheme;
  request.host = url.host;
  request.remote = url.remote;
  bool const is_http = url.scheme == "http" || url.scheme == "https";
  std::size_t const scheme = url.remote.find("://");
  std::size_t const at = url.remote.find('@');
  if (scheme == std::string::npos || at == std::string::npos) return;
  if (at > url.remote.find('/', scheme + 3)) return;
  if (is_http) {
    request.authorization =
        Secret("Basic " + registry::base64_encode(url.user + ":" + url.password));
    request.remote = url.remote.substr(0, scheme + 3) + url.remote.substr(at + 1);
  } else if (std::size_t const colon = url.remote.find(':', scheme + 3); colon < at) {
    request.remote = url.remote.substr(0, colon) + url.remote.substr(at);
  }
}

void refuse_unsupported(const std::string& key) {
  if (key == "git.bundle" || key == "git.checkoutbundle" || key.starts_with("git.sig.")) {
    throw Error(ErrorKind::kUnsupported, "git sources with the attribute " + key + " are not supported yet");
  }
}

std::string without_prefix(const std::string& text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
}

}  // namespace

GitRequest parse_git_request(const pb::SourceOp& source) {
  GitUrl const identifier = parse_address(source.identifier().substr(kScheme.size()));
  GitRequest request;
  request.ref = identifier.ref;
  request.subdir = identifier.subdir;
  set_remote(request, identifier);
  for (const auto& [key, value] : source.attrs()) {
    refuse_unsupported(key);
    if (key == "git.fullurl") set_remote(request, parse_address(value));
    if (key == "git.keepgitdir") request.keep_git_dir = value == "true";
    if (key == "git.checksum") request.checksum = value;
    if (key == "git.skipsubmodules") request.skip_submodules = value == "true";
    if (key == "git.mtime") request.mtime_of_commit = value == "commit";
    if (key == "git.fetchbycommit") request.fetch_by_commit = value == "true";
    if (key == "git.authheadersecret") request.auth_header_secret = value;
    if (key == "git.authtokensecret") request.auth_token_secret = value;
    if (key == "git.knownsshhosts") request.known_hosts = value;
    if (key == "git.mountsshsock") request.ssh_socket_id = value;
  }
  if (request.ref.starts_with('-')) {
    throw Error(ErrorKind::kInvalidInput, "invalid git ref " + go_quote(request.ref));
  }
  return request;
}

void check_revision(const GitRequest& request, const std::string& object, const std::string& commit) {
  if (object.starts_with(request.checksum)) return;
  if (!commit.empty() && commit.starts_with(request.checksum)) return;
  bool const is_tag = !commit.empty() && commit != object;
  throw Error(ErrorKind::kCorrupt, "expected checksum to match " + request.checksum + ", got " + object +
                                       (is_tag ? " or " + commit : ""));
}

bool names_commit(const GitRequest& request, GitRevision& revision) {
  if (!is_hex(request.checksum)) {
    throw Error(ErrorKind::kInvalidInput, "invalid checksum " + request.checksum +
                                              " for Git URL, expected hex commit hash");
  }
  if (is_commit_id(request.ref)) {
    check_revision(request, request.ref, "");
    revision = {.ref = request.ref, .checksum = request.ref, .commit = {}};
    return true;
  }
  if (!request.fetch_by_commit) return false;
  if (request.checksum.empty()) {
    throw Error(ErrorKind::kInvalidInput, "fetch-by-commit requires a checksum or a commit SHA ref");
  }
  if (!is_commit_id(request.checksum)) {
    throw Error(ErrorKind::kInvalidInput, "fetch-by-commit requires a full commit SHA checksum, got " +
                                              go_quote(request.checksum));
  }
  revision.checksum = request.checksum;
  revision.ref = request.ref.empty()                ? request.checksum
                 : request.ref.starts_with("refs/") ? request.ref
                                                    : "refs/heads/" + request.ref;
  return true;
}

GitRevision find_revision(const GitRequest& request, const std::string& ref, std::string_view output) {
  std::string const full = "refs/" + without_prefix(ref, "refs/");
  std::string const head = "refs/heads/" + without_prefix(ref, "refs/heads/");
  std::string const tag = "refs/tags/" + without_prefix(ref, "refs/tags/");
  std::array<std::string, 4> found;  // full, head, tag, tag^{}
  for (std::string_view rest = output; !rest.empty();) {
    std::size_t const end = std::min(rest.find('\n'), rest.size());
    std::string_view const line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    std::size_t const tab = std::min(line.find('\t'), line.size());
    std::string_view const name = line.substr(std::min(tab + 1, line.size()));
    std::string const object(line.substr(0, tab));
    if (name == head) {
      found[1] = object;
    } else if (name == tag) {
      found[2] = object;
    } else if (name == tag + "^{}") {
      found[3] = object;
    } else if (name == full) {
      found[0] = object;
    }
  }
  GitRevision revision;
  if (!found[0].empty()) {
    revision = {.ref = full, .checksum = found[0], .commit = {}};
  } else if (!found[1].empty()) {
    revision = {.ref = head, .checksum = found[1], .commit = {}};
  } else {
    revision = {.ref = tag, .checksum = found[2], .commit = found[3]};
  }
  if (revision.checksum.empty()) {
    throw Error(ErrorKind::kNotFound,
                "repository does not contain ref " + ref + ", output: " + go_quote(output));
  }
  if (!is_commit_id(revision.checksum)) {
    throw Error(ErrorKind::kCorrupt, "invalid commit sha " + go_quote(revision.checksum));
  }
  if (!revision.commit.empty() && !is_commit_id(revision.commit)) {
    throw Error(ErrorKind::kCorrupt, "invalid commit sha " + go_quote(revision.commit));
  }
  check_revision(request, revision.checksum, revision.commit);
  return revision;
}

std::string default_branch(std::string_view output) {
  constexpr std::string_view kHeads = "refs/heads/";
  std::size_t const begin = output.find(kHeads);
  if (begin == std::string_view::npos) return "";
  std::string_view const rest = output.substr(begin + kHeads.size());
  std::string name(rest.substr(0, std::min(rest.find_first_of(" \t\r\n"), rest.size())));
  if (name.starts_with('-')) throw Error(ErrorKind::kInvalidInput, "invalid git ref " + go_quote(name));
  return name;
}

std::string git_key(const GitRequest& request, const GitRevision& revision) {
  bool const peel = !revision.commit.empty() && !request.keep_git_dir;
  std::string key = peel ? revision.commit : revision.checksum;
  if (request.keep_git_dir) {
    key += ".git";
    if (!revision.ref.empty()) key += "#" + revision.ref;
  }
  if (!request.subdir.empty()) key += ":" + request.subdir;
  if (request.skip_submodules) key += "(skip-submodules)";
  if (request.mtime_of_commit) key += "(mtime=commit)";
  return key;
}

std::string token_scope(const std::string& remote) {
  for (std::string_view const prefix : {"https://github.com/", "https://www.github.com/"}) {
    if (remote.starts_with(prefix)) return std::string(prefix);
  }
  return remote;
}

}  // namespace cobuild::ops
