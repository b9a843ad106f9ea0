#include "registry/environment.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <cstdlib>
#include <random>
#include <utility>

namespace cobuild::registry {
namespace {

Task<void> sleep_for_real(std::chrono::milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

std::optional<std::string> process_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (!value) return std::nullopt;
  return std::string(value);
}

}  // namespace

Options with_real_environment(Options options) {
  Environment& environment = options.environment;
  if (!environment.sleep) environment.sleep = sleep_for_real;
  if (!environment.now) environment.now = [] { return std::chrono::system_clock::now(); };
  if (!environment.variable) environment.variable = process_variable;
  if (!environment.random) {
    environment.random = [generator = std::minstd_rand(std::random_device()())]() mutable {
      return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
    };
  }
  return options;
}

}  // namespace cobuild::registry
