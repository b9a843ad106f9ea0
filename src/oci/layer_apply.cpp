#include "oci/layer_apply.hpp"

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "core/base/error.hpp"
#include "oci/apply_pipeline.hpp"

namespace cobuild::oci {

/// The pipeline as coroutines see it. Handlers on the loop keep it alive.
class LayerApplier::Pipeline : public std::enable_shared_from_this<Pipeline> {
 public:
  explicit Pipeline(asio::any_io_executor loop)
      : loop_(std::move(loop)), changed_(loop_, asio::steady_timer::time_point::max()) {}

  void start(std::filesystem::path layer_dir, ApplyOptions options) {
    // A plain pointer: stop() joins the threads before the last owner can go.
    threads_.emplace(std::move(layer_dir), options, [this] { wake(); });
  }

  /// Blocks until the threads are gone.
  void stop() { threads_.reset(); }

  static Task<void> write(std::shared_ptr<Pipeline> self, std::span<const std::byte> chunk) {
    while (!chunk.empty()) {
      std::span<const std::byte> const piece = chunk.first(std::min(chunk.size(), kChunkBytesMax));
      while (!self->threads_->try_write(piece)) {
        self->is_awaited_ = true;
        if (self->threads_->try_write(piece)) break;
        co_await self->wait();
      }
      chunk = chunk.subspan(piece.size());
    }
  }

  static Task<AppliedLayer> finish(std::shared_ptr<Pipeline> self) {
    self->threads_->end();
    while (!self->threads_->is_done()) {
      self->is_awaited_ = true;
      if (self->threads_->is_done()) break;
      co_await self->wait();
    }
    co_return self->threads_->take_result();
  }

 private:
  /// Called on the pipeline's threads. A cancel that comes when nobody waits does nothing; one that
  /// a coroutine needs cannot come before it waits, for both happen on the loop.
  void wake() {
    if (!is_awaited_.exchange(false)) return;
    asio::post(loop_, [self = shared_from_this()] { self->changed_.cancel(); });
  }

  Task<void> wait() {
    co_await changed_.async_wait(asio::as_tuple(asio::use_awaitable));
    auto const state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
  }

  asio::any_io_executor loop_;
  asio::steady_timer changed_;
  std::atomic<bool> is_awaited_ = false;
  std::optional<ApplyPipeline> threads_;
};

LayerApplier::LayerApplier(asio::any_io_executor loop, std::filesystem::path layer_dir,
                           ApplyOptions options)
    : pipeline_(std::make_shared<Pipeline>(std::move(loop))) {
  pipeline_->start(std::move(layer_dir), options);
}

LayerApplier::~LayerApplier() {
  pipeline_->stop();
}

Task<void> LayerApplier::write(std::span<const std::byte> chunk) {
  return Pipeline::write(pipeline_, chunk);
}

Task<AppliedLayer> LayerApplier::finish() {
  return Pipeline::finish(pipeline_);
}

AppliedLayer apply_layer(int blob_fd, const std::filesystem::path& layer_dir,
                         const ApplyOptions& options) {
  ApplyPipeline pipeline(layer_dir, options, [] {});
  std::vector<std::byte> buffer(kChunkBytesMax);
  off_t offset = 0;
  for (;;) {
    ssize_t const n = ::pread(blob_fd, buffer.data(), buffer.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error::from_errno(errno, "read a layer's blob");
    if (n == 0) break;
    pipeline.write(std::span(buffer).first(static_cast<std::size_t>(n)));
    offset += n;
  }
  pipeline.end();
  pipeline.wait();
  return pipeline.take_result();
}

}  // namespace cobuild::oci
