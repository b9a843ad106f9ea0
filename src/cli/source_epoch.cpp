#include "cli/source_epoch.hpp"

#include <fcntl.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "cli/internal_step.hpp"
#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "ops/copy_archive.hpp"
#include "ops/git_request.hpp"
#include "ops/http_request.hpp"
#include "ops/stoppable.hpp"
#include "registry/http_date.hpp"

namespace cobuild::cli {
namespace {

using Seconds = std::optional<std::int64_t>;

template <class TimePoint>
std::int64_t to_seconds(TimePoint time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

Task<Seconds> time_of_download(const pb::SourceOp& source, Workspace& workspace,
                               InternalStep& step) {
  ops::HttpFile const file =
      co_await workspace.http_files.fetch(ops::parse_http_request(source), step);
  if (auto const modified = registry::parse_http_date(file.last_modified))
    co_return to_seconds(*modified);
  store::LayerChain const layers{file.layer};
  auto const directories = co_await workspace.fetcher.directories(layers, step);
  auto look = [path = directories.at(0) / file.filename](const std::atomic<bool>& stop) {
    UniqueFd const archive = open_file(path, O_RDONLY);
    return ops::newest_file_time(archive.get(), &stop);
  };
  co_return co_await ops::offload_stoppable(workspace.runtime.pool(), std::move(look));
}

Task<Seconds> time_of(const pb::SourceOp& source, Workspace& workspace, InternalStep& step) {
  if (!source.identifier().starts_with("git://"))
    co_return co_await time_of_download(source, workspace, step);
  co_return to_seconds(
      co_await workspace.git_repositories.commit_time(ops::parse_git_request(source), step));
}

}  // namespace

Task<void> settle_epoch(const dockerfile::Parsed& parsed, dockerfile::ConvertOptions& convert,
                        Workspace& workspace, progress::Sink& progress) {
  auto const epoch = dockerfile::find_epoch_source(parsed, convert);
  if (!epoch) co_return;
  auto look = [&](InternalStep& step) { return time_of(epoch->source, workspace, step); };
  Seconds const seconds = co_await in_step<Seconds>(progress, epoch->step_name, look);
  convert.source_date_epoch = seconds ? std::to_string(*seconds) : "";
}

}  // namespace cobuild::cli
