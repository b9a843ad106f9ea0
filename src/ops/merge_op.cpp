#include "ops/merge_op.hpp"

#include <utility>

#include "core/base/error.hpp"
#include "ops/local_source.hpp"
#include "ops/op_description.hpp"
#include "ops/op_digest.hpp"

namespace cobuild::ops {

namespace {

[[nodiscard]] Error no_contents() {
  return Error(ErrorKind::kInternal,
               "an op that reads no contents of its inputs was asked for them");
}

class MergeOp final : public solve::Op {
 public:
  MergeOp(const Services& services, std::shared_ptr<const llb::Vertex> vertex)
      : services_(services), vertex_(std::move(vertex)) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink&) override {
    std::vector<solve::CacheMap> maps{op_key(*vertex_).map};
    co_return maps;
  }

  Task<Digest> content_digest(std::size_t, solve::Result, solve::StepSink&) override {
    throw no_contents();
    co_return Digest(Digest::Bytes{});
  }

  Task<std::vector<solve::Result>> run(std::vector<solve::Result> inputs,
                                       solve::StepSink& step) override {
    std::vector<solve::Result> results(1);
    for (const pb::MergeInput& input : vertex_->op.merge().inputs()) {
      if (input.input() < 0 || input.input() >= static_cast<std::int64_t>(inputs.size())) continue;
      store::LayerChain const layers =
          co_await materialise(services_, inputs[static_cast<std::size_t>(input.input())], step);
      results[0].layers.insert(results[0].layers.end(), layers.begin(), layers.end());
    }
    co_return results;
  }

  [[nodiscard]] solve::OpDescription describe() const override { return ops::describe(*vertex_); }

  [[nodiscard]] bool takes_slot() const override { return false; }

 private:
  Services services_;
  std::shared_ptr<const llb::Vertex> vertex_;
};

class PassthroughOp final : public solve::Op {
 public:
  explicit PassthroughOp(std::shared_ptr<const llb::Vertex> vertex) : vertex_(std::move(vertex)) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink&) override {
    std::vector<solve::CacheMap> maps{op_key(*vertex_).map};
    co_return maps;
  }

  Task<Digest> content_digest(std::size_t, solve::Result, solve::StepSink&) override {
    throw no_contents();
    co_return Digest(Digest::Bytes{});
  }

  Task<std::vector<solve::Result>> run(std::vector<solve::Result> inputs,
                                       solve::StepSink&) override {
    std::vector<solve::Result> results;
    for (std::int64_t const index : vertex_->op.passthrough().outputs()) {
      if (index < 0 || index >= static_cast<std::int64_t>(inputs.size())) {
        throw Error(ErrorKind::kInvalidInput,
                    "invalid passthrough output input index " + std::to_string(index));
      }
      results.push_back(inputs[static_cast<std::size_t>(index)]);
    }
    co_return results;
  }

  [[nodiscard]] solve::OpDescription describe() const override { return ops::describe(*vertex_); }

  [[nodiscard]] bool takes_slot() const override { return false; }

 private:
  std::shared_ptr<const llb::Vertex> vertex_;
};

}  // namespace

std::unique_ptr<solve::Op> make_merge_op(const Services& services,
                                         std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<MergeOp>(services, std::move(vertex));
}

std::unique_ptr<solve::Op> make_passthrough_op(std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<PassthroughOp>(std::move(vertex));
}

}  // namespace cobuild::ops
