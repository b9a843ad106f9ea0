#include "cli/solved_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/llb/definition.hpp"
#include "core/solve/solver.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/tree.hpp"
#include "ops/local_source.hpp"
#include "ops/resolver.hpp"

namespace cobuild::cli {
namespace {

/// Blocking.
std::optional<std::string> read_in_root(const std::filesystem::path& root, const std::string& path,
                                        std::size_t bytes_max, SolvedTree::Rest rest) {
  UniqueFd const directory = open_file(root, O_RDONLY | O_DIRECTORY);
  int failure = 0;
  UniqueFd const file = try_open_in_root(directory.get(), path, O_RDONLY | O_NONBLOCK, failure);
  if (!file) return std::nullopt;
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) throw Error::from_errno(errno, "open " + path);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::kInvalidInput, path + " is not a regular file");
  }
  std::string text;
  std::vector<char> buffer(64 * 1024);
  while (true) {
    ssize_t const got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error::from_errno(errno, "read " + path);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() <= bytes_max) continue;
    if (rest == SolvedTree::Rest::kRefuse) {
      throw Error(ErrorKind::kInvalidInput,
                  path + " has more than " + std::to_string(bytes_max) + " bytes");
    }
    text.resize(bytes_max);
    return text;
  }
}

}  // namespace

Task<std::optional<std::string>> SolvedTree::read(std::string path, std::size_t bytes_max, Rest rest,
                                                  solve::StepSink& step) {
  auto directories = co_await workspace_->fetcher.directories(layers_, step);
  auto work = [this, path = std::move(path), directories = std::move(directories), bytes_max, rest] {
    if (directories.size() == 1) return read_in_root(directories[0], path, bytes_max, rest);
    auto const view = workspace_->snapshotter->view(directories);
    return read_in_root(view->path(), path, bytes_max, rest);
  };
  co_return co_await offload(workspace_->runtime.pool(), std::move(work));
}

Task<SolvedTree> solve_tree(pb::Definition definition, Workspace& workspace, progress::Sink& progress) {
  llb::LoadOptions options;
  options.default_platform = llb::host_platform();
  llb::Graph const graph = llb::load(definition, options);
  ops::LocalContexts const no_directories;
  ops::Resolver resolver(workspace.services, workspace.images, no_directories, workspace.remote);
  solve::Solver solver(workspace.runtime.loop().get_executor(), *workspace.store, resolver, progress,
                       {});
  std::vector<llb::Edge> const edges{graph.result};
  std::vector<solve::Result> results = co_await solver.solve(edges);
  co_return SolvedTree(workspace, std::move(results.at(0).layers));
}

}  // namespace cobuild::cli
