#pragma once

/// The threads that turn a layer's blob into files: inflate, then hash and write side by side.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "oci/layer_apply.hpp"
#include "oci/layer_writer.hpp"

namespace cobuild::oci {

class ApplyPipeline {
 public:
  /// `on_change` is called, on any of the threads, whenever there may be room again, and when all
  /// is done or has failed; it must not block, nor call back.
  ApplyPipeline(std::filesystem::path layer_dir, ApplyOptions options,
                std::function<void()> on_change);
  ApplyPipeline(const ApplyPipeline&) = delete;
  ApplyPipeline& operator=(const ApplyPipeline&) = delete;
  ~ApplyPipeline();  ///< Stops and joins the threads.

  /// Takes a copy of `chunk` if there is room. \throws Error what went wrong so far.
  [[nodiscard]] bool try_write(std::span<const std::byte> chunk);
  void write(std::span<const std::byte> chunk);  ///< As try_write, but waits for room.

  /// Says that the blob is whole.
  void end();
  /// Whether the result is there. \throws Error what went wrong.
  [[nodiscard]] bool is_done();
  void wait();  ///< Until is_done().
  /// Once, after is_done(). \throws Error kCorrupt for a wrong diff ID.
  [[nodiscard]] AppliedLayer take_result();

 private:
  using Chunk = std::shared_ptr<const std::vector<std::byte>>;

  /// Chunks from one thread to another, a bounded number of them.
  struct Queue {
    std::deque<Chunk> chunks;
    std::size_t chunks_max;
    bool ended = false;
  };

  void run(const std::function<void()>& stage);
  void inflate();
  void hash();
  void write_files();
  void push(Queue& queue, Chunk chunk);
  [[nodiscard]] Chunk pop(Queue& queue);  ///< Null at the end.
  void end(Queue& queue);
  void throw_failure();  ///< Call with the mutex held.

  std::filesystem::path layer_dir_;
  ApplyOptions options_;
  std::function<void()> on_change_;

  std::mutex mutex_;
  std::condition_variable changed_;
  Queue blob_;
  Queue to_hash_;
  Queue to_files_;
  bool stopped_ = false;
  std::exception_ptr failure_;
  int running_ = 0;
  std::optional<Digest> diff_id_;
  std::uint64_t tar_bytes_ = 0;
  WrittenLayer written_;
  std::vector<std::thread> threads_;
};

}  // namespace cobuild::oci
