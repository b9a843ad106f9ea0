#include "ops/http_source.hpp"

#include <optional>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "ops/op_digest.hpp"

namespace cobuild::ops {
namespace {

class HttpSource final : public solve::Op {
 public:
  HttpSource(HttpFiles& files, const llb::Vertex& vertex)
      : files_(files), request_(parse_http_request(vertex.op.source())) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink& step) override {
    std::string key;
    if (request_.checksum) {
      digest_ = request_.checksum;
      key = http_key(request_, http_filename(request_, ""), *request_.checksum, "");
    } else {
      HttpFile const file = co_await files_.fetch(request_, step);
      digest_ = file.digest;
      key = http_key(request_, file.filename, file.digest, file.last_modified);
    }
    std::vector<solve::CacheMap> maps;
    maps.push_back({.op = source_digest(key), .dependencies = {}});
    co_return maps;
  }

  [[nodiscard]] solve::OpDescription describe() const override {
    solve::OpDescription what{.kind = "http", .arguments = {}, .variables = {}, .mounts = {}, .settings = {}};
    what.settings["URL"] = redact_credentials(request_.url);
    what.settings["digest"] = digest_->to_string();
    return what;
  }

  Task<Digest> content_digest(std::size_t, solve::Result, solve::StepSink&) override {
    throw Error(ErrorKind::kInternal, "a download has no inputs");
  }

  Task<std::vector<solve::Result>> run(std::vector<solve::Result>, solve::StepSink& step) override {
    HttpFile const file = co_await files_.fetch(request_, step);
    std::vector<solve::Result> results(1);
    results[0].layers.push_back(file.layer);
    co_return results;
  }

 private:
  HttpFiles& files_;
  HttpRequest request_;
  std::optional<Digest> digest_;  ///< Of the file.
};

}  // namespace

std::unique_ptr<solve::Op> make_http_source(HttpFiles& files, std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<HttpSource>(files, *vertex);
}

}  // namespace cobuild::ops
