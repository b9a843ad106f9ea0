#pragma once

/// A store in a temporary directory, with a loop and a pool; for tests.

#include <gtest/gtest.h>

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/async/task.hpp"
#include "core/store/store.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::test {

/// A process that uses a store: several of them may stand for several processes.
class StoreProcess {
 public:
  explicit StoreProcess(std::filesystem::path root) : root_(std::move(root)) { open(); }
  ~StoreProcess() {
    store_.reset();
    pool_.join();
  }

  [[nodiscard]] store::Store& store() { return *store_; }
  [[nodiscard]] asio::io_context& loop() { return io_; }
  void close() { store_.reset(); }
  void open() {
    store::Store::Options options;
    options.root = root_;
    store_ = store::Store::open(io_, pool_, std::move(options));
  }

  /// Runs `task` to its end and gives its value.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    run_void(keep(std::move(task), value));
    return std::move(*value);
  }
  void run(Task<void> task) { run_void(std::move(task)); }

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }

  void run_void(Task<void> task) {
    std::optional<std::exception_ptr> outcome;
    asio::co_spawn(io_, std::move(task), [&](std::exception_ptr error) { outcome = error; });
    io_.restart();
    io_.run();
    if (!outcome)
      throw std::logic_error("the task never finished: a lost wake-up or a leaked child");
    if (*outcome) std::rethrow_exception(*outcome);
  }

  asio::io_context io_{1};
  asio::thread_pool pool_{2};
  std::filesystem::path root_;
  std::unique_ptr<store::Store> store_;
};

class StoreTest : public testing::Test {
 protected:
  TempDir directory = TempDir::create(std::filesystem::temp_directory_path(), "cobuild-store-");
  std::filesystem::path root = directory.path() / "store";
};

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

[[nodiscard]] inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

[[nodiscard]] inline ChainId chain_id(std::string_view text) {
  return ChainId(Digest::of(text));
}

/// Commits a blob.
inline void write_blob(StoreProcess& process, const std::string& content) {
  store::NewBlob blob = process.run(process.store().new_blob());
  ASSERT_EQ(::write(blob.fd(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  process.run(process.store().commit_blob(std::move(blob), BlobDigest(Digest::of(content)),
                                          static_cast<std::int64_t>(content.size())));
}

/// Commits a layer with one file.
inline store::LayerId add_layer(StoreProcess& process, const std::string& content,
                                store::LayerAttributes attributes = {}) {
  store::NewLayer layer = process.store().new_layer();
  write_text(layer.fs() / "file", content);
  return process.run(process.store().commit_layer(std::move(layer), std::move(attributes)));
}

}  // namespace cobuild::test
