#include "cli/remote_context.hpp"

#include <filesystem>
#include <optional>
#include <utility>

#include "cli/internal_step.hpp"
#include "cli/solved_tree.hpp"
#include "cli/stdin_context.hpp"
#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "ops/http_request.hpp"

namespace cobuild::cli {
namespace {

constexpr const char* kDownloaded = "context";

using Kind = dockerfile::RemoteContext::Kind;

Task<std::string> fetch_text(std::string url, Workspace& workspace, InternalStep& step) {
  ops::HttpRequest request;
  request.url = std::move(url);
  request.filename = "Dockerfile";
  ops::HttpFile const file = co_await workspace.http_files.fetch(request, step);
  store::LayerChain layers{file.layer};
  SolvedTree tree(workspace, std::move(layers));
  auto text = co_await tree.read(file.filename, dockerfile::kDockerfileBytes_max,
                                 SolvedTree::Rest::kRefuse, step);
  co_return text.value_or("");
}

}  // namespace

Task<void> settle_remote_context(dockerfile::ConvertOptions& convert, Workspace& workspace,
                                 progress::Sink& progress) {
  if (!convert.remote_context || convert.remote_context->kind == Kind::kGit) co_return;
  SolvedTree tree =
      co_await solve_tree(dockerfile::context_download_definition(convert), workspace, progress);
  auto look = [&tree](InternalStep& step) {
    return tree.read(kDownloaded, dockerfile::kArchiveHeadBytes, SolvedTree::Rest::kCutOff, step);
  };
  auto const head = co_await in_step<std::optional<std::string>>(
      progress, "[internal] detect remote build context", look);
  if (head && dockerfile::is_context_archive(*head)) co_return;
  convert.remote_context->kind = Kind::kFile;
  if (!convert.local_dockerfile) convert.filename = kDownloaded;
}

Task<std::string> read_remote_dockerfile(const dockerfile::ConvertOptions& convert,
                                         Workspace& workspace, progress::Sink& progress,
                                         solve::StepSink& step) {
  SolvedTree tree =
      co_await solve_tree(dockerfile::remote_context_definition(convert), workspace, progress);
  std::filesystem::path const path = convert.filename;
  auto constexpr kRest = SolvedTree::Rest::kRefuse;
  auto text = co_await tree.read(path.string(), dockerfile::kDockerfileBytes_max, kRest, step);
  if (!text && path.filename() == "Dockerfile") {
    text = co_await tree.read((path.parent_path() / "dockerfile").string(),
                              dockerfile::kDockerfileBytes_max, kRest, step);
  }
  if (text) co_return *std::move(text);
  const std::string& url = convert.remote_context->url;
  std::string const where = url == kUploadUrl ? "standard input" : redact_credentials(url);
  throw Error(ErrorKind::kNotFound, "failed to read dockerfile: open " + convert.filename +
                                        ": no such file or directory (looked in " +
                                        where + "; -f names another file)");
}

Task<std::string> download_dockerfile(std::string url, Workspace& workspace,
                                      progress::Sink& progress) {
  auto fetch = [&workspace, &url](InternalStep& step) { return fetch_text(url, workspace, step); };
  co_return co_await in_step<std::string>(progress, "[internal] load " + redact_credentials(url),
                                          fetch);
}

}  // namespace cobuild::cli
