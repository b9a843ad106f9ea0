#pragma once

/// A client, two registries and a clock that only the test moves.

#include <gtest/gtest.h>

#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/async/task_group.hpp"
#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "oci/content.hpp"
#include "registry/client.hpp"
#include "support/fake_registry.hpp"
#include "support/run_task.hpp"

namespace cobuild::registry::test {

using cobuild::test::FakeRegistry;
using cobuild::test::Reply;

/// Keeps what it is given; fails on demand.
class Collector final : public oci::BlobSink {
 public:
  Task<void> write(std::span<const std::byte> chunk) override {
    if (fails) throw Error(ErrorKind::kUnavailable, "no space left on device");
    text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    if (!unreadable.empty() && text.find(unreadable) != std::string::npos) throw Error(ErrorKind::kCorrupt, "cannot be unpacked");
    co_return;
  }
  Task<bool> restart() override {
    text.clear();
    co_return can_restart;
  }
  std::string text;
  bool fails = false;
  bool can_restart = true;
  std::string unreadable;  ///< Unless empty: bytes that it throws kCorrupt for.
};

struct World {
  explicit World(const asio::any_io_executor& executor)
      : here(executor),
        there(executor),
        pool(1),
        executor_(executor),
        home(TempDir::create(std::filesystem::temp_directory_path(), "cobuild-registry-test-")) {
    options.docker_config = home.path() / "config.json";
    options.connect_timeout = std::chrono::seconds(5);
    options.idle_timeout = std::chrono::seconds(5);
    options.environment.sleep = [this](std::chrono::milliseconds time) { return sleep(time); };
    options.environment.now = [this] { return now; };
    options.environment.random = [] { return 0.0; };
    options.environment.variable = [this](const std::string& name) -> std::optional<std::string> {
      auto found = variables.find(name);
      if (found == variables.end()) return std::nullopt;
      return found->second;
    };
    options.on_notice = [this](std::string_view text) { notices.emplace_back(text); };
  }

  /// Made from `options` when first asked for.
  Client& client() {
    if (!client_) client_ = std::make_unique<Client>(executor_, pool, options);
    return *client_;
  }

  [[nodiscard]] const asio::any_io_executor& executor() const { return executor_; }

  oci::Reference reference(const std::string& path) const {
    return oci::Reference::parse(here.authority() + "/" + path);
  }

  void write_docker_config(const std::string& json) const {
    std::ofstream(options.docker_config) << json;
  }

  FakeRegistry here;
  FakeRegistry there;
  asio::thread_pool pool;
  Options options;
  std::map<std::string, std::string> variables;
  std::chrono::system_clock::time_point now{std::chrono::seconds(1700000000)};
  std::vector<int> slept;  ///< Milliseconds.
  std::vector<std::string> notices;

 private:
  Task<void> sleep(std::chrono::milliseconds time) {
    slept.push_back(static_cast<int>(time.count()));
    now += time;
    co_return;
  }

  asio::any_io_executor executor_;
  std::unique_ptr<Client> client_;

 public:
  TempDir home;
};

using Body = Task<void> (*)(World&);

/// Runs `body` with both registries serving, and stops them.
inline void run_world(Body body) {
  auto run = [](Body inner) -> Task<void> {
    auto executor = co_await asio::this_coro::executor;
    World world(executor);
    TaskGroup servers(executor);
    servers.spawn(world.here.serve());
    servers.spawn(world.there.serve());
    std::exception_ptr failure;
    try {
      co_await inner(world);
    } catch (...) {
      failure = std::current_exception();
    }
    servers.cancel();
    co_await servers.join();
    if (failure) std::rethrow_exception(failure);
  };
  cobuild::test::run(run(body));
}

template <class T>
Task<std::optional<Error>> error_of(Task<T> task) {
  try {
    co_await std::move(task);
  } catch (const Error& error) {
    co_return error;
  }
  co_return std::nullopt;
}

inline std::string what(const std::optional<Error>& error) {
  return error ? error->what() : "(no error)";
}

inline ErrorKind kind(const std::optional<Error>& error) {
  return error ? error->kind() : ErrorKind::kInternal;
}

}  // namespace cobuild::registry::test
