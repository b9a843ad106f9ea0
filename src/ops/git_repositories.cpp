#include "ops/git_repositories.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <random>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "core/base/timings.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/tree.hpp"
#include "ops/checkout_tree.hpp"
#include "registry/base64.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNotes = "git";
constexpr const char* kStoreSecret = "name";
constexpr std::size_t kSmallFileMax = 1 << 20;

/// Where a ref of the remote is kept: under names of our own, so that no two of them, nor an old and a
/// new one, can be in each other's way.
std::string local_ref(const std::string& ref) {
  return "refs/cobuild/" + Digest::of(ref).hex().substr(0, 32);
}

std::string random_text() {
  std::random_device random;
  std::string text;
  for (int i = 0; i < 8; ++i) text += std::to_string(random()) + ".";
  return text;
}

/// Only its owner may read it. Blocking.
void write_private(const fs::path& path, const std::string& text) {
  UniqueFd const file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw Error::from_errno(errno, "write " + path.string());
  }
}

/// What a repository that another try left cannot be used with, or is damaged by.
bool asks_for_a_fresh_one(const Error& error) {
  std::string_view const text = error.what();
  for (std::string_view const words :
       {".lock': File exists", "not a git repository", "bad object", "is corrupt", "object file",
        "unable to read tree", "some local refs could not be updated", "index file corrupt"}) {
    if (text.find(words) != std::string_view::npos) return true;
  }
  return false;
}

std::string trimmed(std::string text) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return text;
}

/// What a login that is missing or refused needs.
std::string remedy_of(const GitRequest& request, ErrorKind kind) {
  if (kind != ErrorKind::kDenied || request.scheme == "ssh") return "";
  return " (a token for it is given by --secret id=GIT_AUTH_TOKEN)";
}

Task<bool> as_value(Task<void> work) {
  co_await std::move(work);
  co_return true;
}

/// Runs `work`, naming the repository in what it throws.
template <class T>
Task<T> about(GitRequest request, std::string doing, Task<T> work) {
  try {
    co_return co_await std::move(work);
  } catch (const Error& error) {
    std::string const remedy = remedy_of(request, error.kind());
    std::string const what = doing + " " + request.remote;
    if (remedy.empty()) throw error.with_context(what);
    throw Error(error.kind(), error.what() + remedy).with_context(what);
  }
}

}  // namespace

/// One working tree in the making.
struct GitRepositories::Checkout {
  const GitRequest& request;
  const GitRevision& revision;
  GitSurroundings git;
  fs::path shared;  ///< The bare repository.
  fs::path tree;    ///< Where the files go.
  fs::path own;     ///< The repository of the working tree: its .git, or a passing one.

  [[nodiscard]] std::string commit() const {
    return revision.commit.empty() ? revision.checksum : revision.commit;
  }
  Task<std::string> in_shared(std::vector<std::string> args,
                              GitTransports transports = GitTransports::kNone) const {
    return run_git(git, GitCommand{std::move(args), shared, {}, transports});
  }
  Task<bool> try_in_shared(std::vector<std::string> args,
                           GitTransports transports = GitTransports::kNone) const {
    return try_git(git, GitCommand{std::move(args), shared, {}, transports});
  }
  Task<std::string> in_own(std::vector<std::string> args,
                           GitTransports transports = GitTransports::kNone) const {
    return run_git(git, GitCommand{std::move(args), own, tree, transports});
  }
  /// The committer's.
  Task<Timestamp> commit_time() const {
    std::string const text =
        trimmed(co_await in_shared({"log", "-1", "--format=%ct", revision.checksum + "^{commit}"}));
    long long seconds = 0;
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    co_return Timestamp(std::chrono::seconds(seconds));
  }
};

GitSurroundings GitRepositories::surroundings_for(const GitRequest& request,
                                                  const fs::path& scratch) const {
  GitSurroundings git = find_git(scratch);
  Secret header = request.authorization;
  if (find_secret_) {
    struct Name {
      const std::string& secret;
      std::string suffix;
      bool is_token;
    };
    std::array<Name, 4> const names = {Name{request.auth_header_secret, "." + request.host, false},
                                       Name{request.auth_token_secret, "." + request.host, true},
                                       Name{request.auth_header_secret, "", false},
                                       Name{request.auth_token_secret, "", true}};
    for (const Name& name : names) {
      if (name.secret.empty()) continue;
      auto const found = find_secret_(name.secret + name.suffix);
      if (!found) continue;
      header = name.is_token
                   ? Secret("basic " + registry::base64_encode("x-access-token:" + found->reveal()))
                   : *found;
      break;
    }
  }
  bool const is_http = request.scheme == "http" || request.scheme == "https";
  if (is_http && !header.empty()) {
    git.secret_config.emplace_back("http." + token_scope(request.remote) + ".extraheader",
                                   Secret("Authorization: " + header.reveal()));
  }
  if (request.scheme != "ssh") return git;
  auto const socket = find_ssh_ ? find_ssh_(request.ssh_socket_id) : std::nullopt;
  if (!socket && !request.ssh_socket_id.empty()) {
    throw Error(ErrorKind::kDenied, "no SSH key \"" + request.ssh_socket_id +
                                        "\" forwarded from the client: give one with --ssh " +
                                        request.ssh_socket_id);
  }
  if (socket) git.ssh_socket = *socket;
  if (!request.known_hosts.empty()) {
    git.ssh_known_hosts = scratch / "known_hosts";
    write_private(git.ssh_known_hosts, request.known_hosts);
  }
  return git;
}

Task<GitRevision> GitRepositories::resolve(GitRequest request) {
  GitRevision revision;
  if (names_commit(request, revision)) co_return revision;
  std::string const key = request.remote + "#" + request.ref + "#" + request.checksum;
  auto found = resolving_.find(key);
  if (found == resolving_.end()) {
    auto compute = [this, request] { return resolve_now(request); };
    Shared<GitRevision> shared(executor_, compute, OnFailure::kForget);
    found = resolving_.emplace(key, std::move(shared)).first;
  }
  Shared<GitRevision> shared = found->second;  // The map may change while we wait.
  revision = co_await shared.get();
  co_return revision;
}

Task<GitRevision> GitRepositories::resolve_now(GitRequest request) {
  Timings::Span const span(Phase::kResolve);
  store::NewLayer const scratch = store_.new_layer();
  GitSurroundings const git = surroundings_for(request, scratch.scratch());
  std::string ref = request.ref;
  if (ref.empty()) {
    GitCommand ask{{"ls-remote", "--symref", "--", request.remote, "HEAD"}, {}, {}, GitTransports::kNetwork};
    std::string const answer = co_await about(
        request, "error fetching default branch for repository", run_git(git, std::move(ask)));
    ref = default_branch(answer);
    if (ref.empty()) {
      throw Error(ErrorKind::kNotFound,
                  "could not find default branch for repository: " + request.remote);
    }
  }
  GitCommand ask{{"ls-remote", "--", request.remote, ref, ref + "^{}"}, {}, {}, GitTransports::kNetwork};
  std::string const answer =
      co_await about(request, "failed to fetch remote", run_git(git, std::move(ask)));
  try {
    co_return find_revision(request, ref, answer);
  } catch (const Error& error) {
    throw error.with_context(request.remote);
  }
}

/// To be called with the repository's lock.
Task<fs::path> GitRepositories::open_repository(const GitSurroundings& git, const GitRequest& request,
                                                const GitRevision& revision) {
  auto secret = store_.get_note(kNotes, kStoreSecret);
  if (!secret) {
    secret = random_text();
    store_.put_note(kNotes, kStoreSecret, *secret);
  }
  bool const sha256 = revision.checksum.size() == 64;
  std::string id = "git " + Digest::of(*secret + request.remote + (sha256 ? " sha256" : "")).hex();
  std::string description = "shared git repo for " + redact_credentials(request.remote);
  fs::path directory = co_await store_.cache_mount(std::move(id), std::move(description));
  std::error_code error;
  fs::remove(directory / "shallow.lock", error);  // Of a git that was killed.
  if (fs::exists(directory / "HEAD", error)) co_return directory;
  GitCommand init{{"init", "--quiet", "--bare", "--template="}, directory, {}, GitTransports::kNone};
  if (sha256) init.args.emplace_back("--object-format=sha256");
  co_await run_git(git, std::move(init));
  co_return directory;
}

/// Makes the revision be in the shared repository. What an earlier process left damaged is fetched
/// anew, once.
Task<void> GitRepositories::fetch(const Checkout& checkout) {
  bool again = false;
  try {
    co_await fetch_once(checkout);
  } catch (const Error& error) {
    if (!asks_for_a_fresh_one(error)) throw;
    again = true;
  }
  if (!again) co_return;
  auto clear = [directory = checkout.shared] {
    for (const auto& entry : fs::directory_iterator(directory)) remove_tree(entry.path());
    return true;
  };
  co_await offload(pool_, clear);
  co_await open_repository(checkout.git, checkout.request, checkout.revision);
  co_await fetch_once(checkout);
}

Task<void> GitRepositories::fetch_once(const Checkout& checkout) {
  const std::string& object = checkout.revision.checksum;
  const std::string& remote = checkout.request.remote;
  std::string const local = local_ref(checkout.revision.ref);
  if (co_await checkout.try_in_shared({"cat-file", "-e", object + "^{commit}"})) {
    co_await checkout.in_shared({"update-ref", local, object});
    co_return;
  }
  bool const by_name = !is_commit_id(checkout.revision.ref) && !checkout.request.fetch_by_commit;
  if (by_name) {
    std::string refspec = "+" + checkout.revision.ref + ":" + local;
    co_await checkout.in_shared({"fetch", "--depth=1", "--no-tags", "--", remote, std::move(refspec)},
                                GitTransports::kNetwork);
    std::string const got = trimmed(co_await checkout.in_shared({"rev-parse", local}));
    if (got == object) co_return;
  }
  // A commit; or the ref has moved since it was looked up, and what it was then may still be had.
  std::string const refspec = "+" + object + ":" + local;
  bool const direct = co_await checkout.try_in_shared(
      {"fetch", "--depth=1", "--no-tags", "--", remote, refspec}, GitTransports::kNetwork);
  if (direct) co_return;
  std::vector<std::string> all = {"fetch", "--no-tags"};
  std::error_code error;
  if (fs::exists(checkout.shared / "shallow", error)) all.emplace_back("--unshallow");
  all.insert(all.end(), {"--", remote, "+refs/heads/*:refs/cobuild-all/heads/*",
                         "+refs/tags/*:refs/cobuild-all/tags/*"});
  co_await checkout.in_shared(std::move(all), GitTransports::kNetwork);
  if (!co_await checkout.try_in_shared({"cat-file", "-e", object + "^{commit}"})) {
    throw Error(ErrorKind::kNotFound, "fetched ref " + checkout.revision.ref +
                                          " does not match expected commit " + object +
                                          " and commit can not be found in the repository");
  }
  co_await checkout.in_shared({"update-ref", local, object});
}

/// The repository of the working tree when .git is not kept: it has no objects of its own.
Task<void> GitRepositories::make_repository(const Checkout& checkout) {
  std::vector<std::string> init = {"init", "--quiet", "--template="};
  if (checkout.revision.checksum.size() == 64) init.emplace_back("--object-format=sha256");
  co_await checkout.in_own(std::move(init));
  co_await checkout.in_own({"remote", "add", "origin", checkout.request.remote});
  fs::create_directories(checkout.own / "objects" / "info");
  replace_file(checkout.own / "objects" / "info" / "alternates",
               (checkout.shared / "objects").string() + "\n");
  if (auto const shallow = read_file_if_exists(checkout.shared / "shallow", kSmallFileMax)) {
    replace_file(checkout.own / "shallow", *shallow);
  }
  co_await checkout.in_own({"update-ref", "--no-deref", "HEAD", checkout.commit()});
  co_await checkout.in_own({"read-tree", "--reset", "-u", "HEAD"});
}

/// The files, with a shallow .git that has one ref (F2.2.8).
Task<void> GitRepositories::make_tree(const Checkout& checkout) {
  if (!checkout.request.keep_git_dir || !checkout.request.subdir.empty()) {
    co_await make_repository(checkout);
    co_return;
  }
  std::vector<std::string> init = {"init", "--quiet", "--template="};
  if (checkout.revision.checksum.size() == 64) init.emplace_back("--object-format=sha256");
  co_await checkout.in_own(std::move(init));
  co_await checkout.in_own({"remote", "add", "origin", checkout.request.remote});
  std::string refspec = local_ref(checkout.revision.ref);
  if (!is_commit_id(checkout.revision.ref)) refspec += ":" + checkout.revision.ref;
  co_await checkout.in_own({"fetch", "--quiet", "-u", "--depth=1", "--no-tags", "--",
                            "file://" + checkout.shared.string(), std::move(refspec)},
                           GitTransports::kLocalOnly);
  co_await checkout.in_own({"checkout", "--quiet", "FETCH_HEAD"});
  co_await checkout.in_own({"reflog", "expire", "--all", "--expire=now"});
  std::error_code error;
  fs::remove(checkout.own / "FETCH_HEAD", error);
}

Task<void> GitRepositories::update_submodules(const Checkout& checkout) {
  std::error_code error;
  bool const has_any = fs::symlink_status(checkout.tree / ".gitmodules", error).type() ==
                       fs::file_type::regular;
  if (checkout.request.skip_submodules || !has_any) co_return;
  co_await about(checkout.request, "failed to update submodules for",
                 checkout.in_own({"submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"},
                                 GitTransports::kNetwork));
}

/// Sets checkout.shared, and makes it have the revision. To be called with the repository's lock.
Task<void> GitRepositories::make_present(Checkout& checkout, solve::StepSink& step) {
  const GitRequest& request = checkout.request;
  const std::string& object = checkout.revision.checksum;
  checkout.shared = co_await open_repository(checkout.git, request, checkout.revision);
  std::string const status = "fetching " + request.remote;
  step.status(status, 0, 0, false);
  co_await about(request, "failed to fetch remote", as_value(fetch(checkout)));
  if (!request.checksum.empty()) {
    std::string peeled = trimmed(co_await checkout.in_shared({"rev-parse", object + "^{commit}"}));
    check_revision(request, object, peeled);
  }
  step.status(status, 0, 0, true);
}

Task<Timestamp> GitRepositories::commit_time(GitRequest request, solve::StepSink& step) {
  GitRevision const revision = co_await resolve(request);
  auto const lock = co_await store_.lock("git " + Digest::of(request.remote).hex());
  store::NewLayer const scratch = store_.new_layer();
  Checkout checkout{.request = request, .revision = revision,
                    .git = surroundings_for(request, scratch.scratch()), .shared = {}, .tree = {}, .own = {}};
  co_await make_present(checkout, step);
  co_return co_await checkout.commit_time();
}

Task<store::LayerId> GitRepositories::check_out(GitRequest request, GitRevision revision,
                                                solve::StepSink& step) {
  Timings::Span const span(Phase::kPull);
  auto const lock = co_await store_.lock("git " + Digest::of(request.remote).hex());
  store::NewLayer layer = store_.new_layer();
  bool const has_subdir = !request.subdir.empty();
  Checkout checkout{.request = request, .revision = revision,
                    .git = surroundings_for(request, layer.scratch()), .shared = {},
                    .tree = has_subdir ? layer.scratch() / "tree" : layer.fs(),
                    .own = layer.scratch() / "git"};
  bool const keeps = request.keep_git_dir && !has_subdir;
  if (keeps) checkout.own = checkout.tree / ".git";
  fs::create_directories(checkout.tree);
  co_await make_present(checkout, step);
  co_await about(request, "failed to checkout remote", as_value(make_tree(checkout)));
  co_await update_submodules(checkout);

  CheckoutTreeOptions options{.keep_git_files = keeps, .mtime = {}};
  if (request.mtime_of_commit) options.mtime = co_await checkout.commit_time();
  auto finish = [&checkout, &options, &layer, &request, has_subdir] {
    if (has_subdir) move_subdir(checkout.tree, request.subdir, layer.fs());
    normalise_checkout(layer.fs(), options);
    return true;
  };
  co_await offload(pool_, finish);
  store::LayerAttributes attributes;
  attributes.kind = store::RecordKind::kGitCheckout;
  attributes.description = "git snapshot for " + redact_credentials(request.remote) + "#" + request.ref;
  co_return co_await store_.commit_layer(std::move(layer), std::move(attributes));
}

}  // namespace cobuild::ops
