#include "oci/apply_pipeline.hpp"

#include <utility>

#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "oci/compression.hpp"

namespace cobuild::oci {

namespace {

/// 4 MiB of the blob at most, and 4 MiB unpacked for each of hash and files.
constexpr std::size_t kBlobChunksMax = 4;
constexpr std::size_t kTarChunksMax = 16;

/// Ends a thread because another has failed; never seen outside.
struct Stopped {};

}  // namespace

ApplyPipeline::ApplyPipeline(std::filesystem::path layer_dir, ApplyOptions options,
                             std::function<void()> on_change)
    : layer_dir_(std::move(layer_dir)),
      options_(options),
      on_change_(std::move(on_change)),
      blob_{.chunks = {}, .chunks_max = kBlobChunksMax},
      to_hash_{.chunks = {}, .chunks_max = kTarChunksMax},
      to_files_{.chunks = {}, .chunks_max = kTarChunksMax} {
  running_ = 3;
  try {
    threads_.emplace_back([this] { run([this] { inflate(); }); });
    threads_.emplace_back([this] { run([this] { hash(); }); });
    threads_.emplace_back([this] { run([this] { write_files(); }); });
  } catch (...) {  // No more threads: those that run must be gone before the members are.
    {
      std::lock_guard const lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    throw;
  }
}

ApplyPipeline::~ApplyPipeline() {
  {
    std::lock_guard const lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ApplyPipeline::run(const std::function<void()>& stage) {
  std::exception_ptr failure;
  try {
    stage();
  } catch (const Stopped&) {
  } catch (...) {
    failure = std::current_exception();
  }
  {
    std::lock_guard const lock(mutex_);
    if (failure && !failure_) failure_ = failure;
    if (failure) stopped_ = true;
    --running_;
  }
  changed_.notify_all();
  on_change_();
}

void ApplyPipeline::push(Queue& queue, Chunk chunk) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopped_ || queue.chunks.size() < queue.chunks_max; });
  if (stopped_) throw Stopped();
  queue.chunks.push_back(std::move(chunk));
  lock.unlock();
  changed_.notify_all();
}

ApplyPipeline::Chunk ApplyPipeline::pop(Queue& queue) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopped_ || queue.ended || !queue.chunks.empty(); });
  if (stopped_) throw Stopped();
  if (queue.chunks.empty()) return nullptr;
  Chunk chunk = std::move(queue.chunks.front());
  queue.chunks.pop_front();
  lock.unlock();
  changed_.notify_all();
  return chunk;
}

void ApplyPipeline::end(Queue& queue) {
  {
    std::lock_guard const lock(mutex_);
    queue.ended = true;
  }
  changed_.notify_all();
}

void ApplyPipeline::inflate() {
  InflateStream::Options options;
  options.output_bytes_max = options_.limits.tar_bytes_max;
  InflateStream stream(options, [this](std::span<const std::byte> data) {
    auto chunk = std::make_shared<const std::vector<std::byte>>(data.begin(), data.end());
    push(to_hash_, chunk);
    push(to_files_, std::move(chunk));
  });
  while (Chunk const chunk = pop(blob_)) {
    on_change_();
    stream.write(*chunk);
  }
  stream.finish();
  {
    std::lock_guard const lock(mutex_);
    tar_bytes_ = stream.bytes_out();
  }
  end(to_hash_);
  end(to_files_);
}

void ApplyPipeline::hash() {
  DigestWriter writer;
  while (Chunk const chunk = pop(to_hash_)) writer.write(*chunk);
  Digest const digest = writer.finish();
  std::lock_guard const lock(mutex_);
  diff_id_ = digest;
}

void ApplyPipeline::write_files() {
  Chunk current;
  TarLimits limits;
  limits.entries_max = options_.limits.entries_max;
  limits.path_bytes_max = options_.limits.path_bytes_max;
  limits.extended_bytes_max = options_.limits.pax_bytes_max;
  TarReader tar(
      [&]() -> std::span<const std::byte> {
        current = pop(to_files_);
        if (!current) return {};
        return *current;
      },
      limits);
  LayerWriter writer(layer_dir_, options_.limits);
  WrittenLayer written = writer.write(tar);
  while (pop(to_files_)) {
  }  // Padding after the archive's end counts for the diff ID only.
  std::lock_guard const lock(mutex_);
  written_ = std::move(written);
}

void ApplyPipeline::throw_failure() {
  if (failure_) std::rethrow_exception(failure_);
}

bool ApplyPipeline::try_write(std::span<const std::byte> chunk) {
  {
    std::lock_guard const lock(mutex_);
    throw_failure();
    if (blob_.chunks.size() >= blob_.chunks_max) return false;
    blob_.chunks.push_back(
        std::make_shared<const std::vector<std::byte>>(chunk.begin(), chunk.end()));
  }
  changed_.notify_all();
  return true;
}

void ApplyPipeline::write(std::span<const std::byte> chunk) {
  while (!try_write(chunk)) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || blob_.chunks.size() < blob_.chunks_max; });
  }
}

void ApplyPipeline::end() {
  end(blob_);
}

bool ApplyPipeline::is_done() {
  std::lock_guard const lock(mutex_);
  throw_failure();
  return running_ == 0;
}

void ApplyPipeline::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || running_ == 0; });
  throw_failure();
}

AppliedLayer ApplyPipeline::take_result() {
  std::lock_guard const lock(mutex_);
  COBUILD_ASSERT(running_ == 0 && diff_id_.has_value(), "the layer is not applied yet");
  AppliedLayer applied(DiffId{*diff_id_});
  if (options_.expected_diff_id && *options_.expected_diff_id != applied.diff_id) {
    throw Error(ErrorKind::kCorrupt, "the layer's diff ID is " + applied.diff_id.to_string() +
                                         ", but the image's config says " +
                                         options_.expected_diff_id->to_string());
  }
  applied.tar_bytes = tar_bytes_;
  applied.file_bytes = written_.file_bytes;
  applied.entries = written_.entries;
  applied.has_opaque_root = written_.has_opaque_root;
  applied.implicit_dirs = std::move(written_.implicit_dirs);
  applied.deferred_links = std::move(written_.deferred_links);
  applied.warnings = std::move(written_.warnings);
  return applied;
}

}  // namespace cobuild::oci
