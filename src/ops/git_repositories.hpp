#pragma once

/// Repositories of others, and working trees of them as layers (F2.2.5 to F2.2.9).
///
/// For each remote there is one bare repository in the store, so that only what is new is fetched. It
/// is a directory like those of cache mounts, under a name that nobody can guess: no step can have it
/// mounted and leave something in it for git to run.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/async/shared.hpp"
#include "core/async/task.hpp"
#include "core/base/go_time.hpp"
#include "core/solve/op.hpp"
#include "core/store/store.hpp"
#include "ops/git_command.hpp"
#include "ops/git_request.hpp"
#include "ops/remote_secrets.hpp"

namespace cobuild::ops {

/// Finds the agent socket of --ssh ID; nullopt when there is none of that name.
using FindSshSocket = std::function<std::optional<std::filesystem::path>(const std::string& id)>;

class GitRepositories {
 public:
  /// All of it outlives this.
  GitRepositories(asio::any_io_executor executor, asio::thread_pool& pool, store::Store& store)
      : executor_(std::move(executor)), pool_(pool), store_(store) {}

  /// Where secrets come from: GIT_AUTH_TOKEN and GIT_AUTH_HEADER, those with ".host" first (F7.3.6).
  void set_secrets(FindSecret find) { find_secret_ = std::move(find); }
  void set_ssh(FindSshSocket find) { find_ssh_ = std::move(find); }

  /// What the ref means now: one question to the server in a build, none for a commit id.
  /// \throws Error kNotFound, kDenied, kUnavailable, kCorrupt naming the repository; kUnsupported when
  /// there is no git.
  Task<GitRevision> resolve(GitRequest request);

  /// A layer with the files of `revision`. Waits for other processes that use the same repository.
  Task<store::LayerId> check_out(GitRequest request, GitRevision revision, solve::StepSink& step);

  /// When the commit of what the ref means now was made, as its committer says. Fetches the commit.
  /// \throws Error as resolve() and check_out() do.
  Task<Timestamp> commit_time(GitRequest request, solve::StepSink& step);

 private:
  struct Checkout;
  Task<GitRevision> resolve_now(GitRequest request);
  Task<std::filesystem::path> open_repository(const GitSurroundings& surroundings,
                                              const GitRequest& request, const GitRevision& revision);
  [[nodiscard]] GitSurroundings surroundings_for(const GitRequest& request,
                                                 const std::filesystem::path& scratch) const;
  Task<void> make_present(Checkout& checkout, solve::StepSink& step);
  Task<void> fetch(const Checkout& checkout);
  Task<void> fetch_once(const Checkout& checkout);
  Task<void> make_tree(const Checkout& checkout);
  Task<void> make_repository(const Checkout& checkout);
  Task<void> update_submodules(const Checkout& checkout);

  asio::any_io_executor executor_;
  asio::thread_pool& pool_;
  store::Store& store_;
  FindSecret find_secret_;
  FindSshSocket find_ssh_;
  std::map<std::string, Shared<GitRevision>> resolving_;  ///< By remote, ref and checksum.
};

}  // namespace cobuild::ops
