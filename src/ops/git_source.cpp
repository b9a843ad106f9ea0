#include "ops/git_source.hpp"

#include <optional>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "ops/op_digest.hpp"

namespace cobuild::ops {
namespace {

class GitSource final : public solve::Op {
 public:
  GitSource(GitRepositories& repositories, const llb::Vertex& vertex)
      : repositories_(repositories), request_(parse_git_request(vertex.op.source())) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink&) override {
    revision_ = co_await repositories_.resolve(request_);
    std::vector<solve::CacheMap> maps;
    maps.push_back({.op = source_digest(git_key(request_, *revision_)),
                    .dependencies = {}});
    co_return maps;
  }

  Task<Digest> content_digest(std::size_t, solve::Result, solve::StepSink&) override {
    throw Error(ErrorKind::kInternal, "a repository has no inputs");
  }

  [[nodiscard]] solve::OpDescription describe() const override {
    solve::OpDescription what{.kind = "git", .arguments = {}, .variables = {}, .mounts = {}, .settings = {}};
    what.settings["repository"] = redact_credentials(request_.remote);
    what.settings["commit"] = revision_->checksum;
    return what;
  }

  Task<std::vector<solve::Result>> run(std::vector<solve::Result>, solve::StepSink& step) override {
    if (!revision_) revision_ = co_await repositories_.resolve(request_);
    std::vector<solve::Result> results(1);
    results[0].layers.push_back(co_await repositories_.check_out(request_, *revision_, step));
    co_return results;
  }

 private:
  GitRepositories& repositories_;
  GitRequest request_;
  std::optional<GitRevision> revision_;
};

}  // namespace

std::unique_ptr<solve::Op> make_git_source(GitRepositories& repositories,
                                           std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<GitSource>(repositories, *vertex);
}

}  // namespace cobuild::ops
