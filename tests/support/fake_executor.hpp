#pragma once

/// Ops that do arithmetic, by behaviour and with call counters: for tests of the solver.
///
/// A vertex's value is made of its key's number and its inputs' values, so that a wrong merge, a
/// wrong hit or a swapped input gives a wrong number. Values are kept in layers of a real store.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <fstream>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/progress/events.hpp"
#include "core/solve/op.hpp"
#include "core/solve/solver.hpp"
#include "core/store/store.hpp"

namespace cobuild::test {

/// What one vertex does.
struct Behaviour {
  std::string key;                      ///< What it is recognised by.
  std::vector<std::string> other_keys;  ///< More of them, for sources.
  std::int64_t number = 0;              ///< Its own part of its value.
  std::vector<bool> content_keyed;      ///< By input: only `value % 3` of it is read.
  bool content_only = false;            ///< All inputs are known by content only.
  bool unstored = false;                ///< As a build context: its value is not in the store.
  int outputs = 1;                      ///< Output `i` has the value plus `i`.
  bool takes_slot = true;
  bool held = false;            ///< Runs until the test lets it go on.
  std::map<std::string, std::string> variables;  ///< Of its description.
  std::string failure;          ///< Not empty: it fails with this.
  std::string map_failure;      ///< The same, while its key is asked for.
  std::string content_failure;  ///< The same, while an input's content is.
};

/// The value of something that is not stored.
class UnstoredValue final : public solve::Unstored {
 public:
  explicit UnstoredValue(std::int64_t v) : value(v) {}
  std::int64_t value;
};

/// All fakes of a test, and what they have been asked.
class FakeWorld final : public solve::OpResolver {
 public:
  explicit FakeWorld(store::Store& store) : store_(&store) {}

  void use_store(store::Store& store) { store_ = &store; }

  /// A vertex of this behaviour. Vertices of one name are one vertex.
  std::shared_ptr<const llb::Vertex> vertex(const std::string& name, Behaviour behaviour,
                                            std::vector<llb::Edge> inputs = {},
                                            bool ignore_cache = false) {
    VertexDigest const digest(Digest::of(name));
    if (behaviour.key.empty()) behaviour.key = name;
    pb::OpMetadata metadata;
    metadata.set_ignore_cache(ignore_cache);
    auto made = std::make_shared<llb::Vertex>(digest, pb::Op(), metadata, std::move(inputs));
    made->name = name;
    behaviours[digest] = std::move(behaviour);
    return made;
  }

  std::unique_ptr<solve::Op> resolve(std::shared_ptr<const llb::Vertex> vertex) override;

  /// The value of a result, as a reader of the image would see it.
  [[nodiscard]] std::int64_t value(const solve::Result& result) const {
    if (auto unstored = std::dynamic_pointer_cast<const UnstoredValue>(result.unstored)) {
      return unstored->value;
    }
    if (result.layers.empty()) return 0;
    std::ifstream file(store_->snapshot_path(result.layers.back()) / "value");
    std::int64_t value = -1;
    file >> value;
    return value;
  }

  /// An op that is running and waits for the test.
  struct Held {
    explicit Held(const asio::any_io_executor& executor)
        : timer(executor, asio::steady_timer::time_point::max()) {}
    asio::steady_timer timer;
    std::string name;
    bool released = false;
    std::string failure;
    void go_on() {
      released = true;
      timer.cancel();
    }
  };

  std::map<VertexDigest, Behaviour> behaviours;
  std::map<std::string, int> runs;      ///< By vertex.
  std::map<std::string, int> maps;      ///< Keys asked for, by vertex.
  std::map<std::string, int> contents;  ///< Content digests asked for, by vertex.
  std::map<std::string, int> works;     ///< Runs, by key and what was read.
  std::function<bool(const store::Layer&)> is_gone;  ///< Reading such a layer fails,
  std::set<store::LayerId> lost;                     ///< and then it is one of these.
  int running = 0;
  int most_running = 0;
  std::list<Held*> held;

  [[nodiscard]] int all_runs() const {
    int sum = 0;
    for (const auto& [name, count] : runs) sum += count;
    return sum;
  }

 private:
  friend class FakeOp;
  store::Store* store_;
};

class FakeOp final : public solve::Op {
 public:
  FakeOp(FakeWorld& world, std::shared_ptr<const llb::Vertex> vertex)
      : world_(world),
        vertex_(std::move(vertex)),
        behaviour_(world.behaviours.at(vertex_->digest)) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink&) override {
    ++world_.maps[vertex_->name];
    if (!behaviour_.map_failure.empty()) throw Error(ErrorKind::kNotFound, behaviour_.map_failure);
    std::vector<std::string> keys = behaviour_.other_keys;
    keys.insert(keys.begin(), behaviour_.key);
    std::vector<solve::CacheMap> maps;
    for (const std::string& key : keys) {
      std::vector<solve::CacheDependency> dependencies;
      for (std::size_t i = 0; i < vertex_->inputs.size(); ++i) {
        solve::CacheDependency dependency;
        dependency.content_keyed = is_content_keyed(i);
        dependency.content_only = behaviour_.content_only;
        if (dependency.content_keyed) dependency.selector = Digest::of("selector");
        dependencies.push_back(dependency);
      }
      maps.push_back({Digest::of("op " + key), std::move(dependencies)});
    }
    co_return maps;
  }

  Task<Digest> content_digest(std::size_t index, solve::Result input, solve::StepSink&) override {
    ++world_.contents[vertex_->name];
    if (!behaviour_.content_failure.empty()) {
      throw Error(ErrorKind::kNotFound, behaviour_.content_failure);
    }
    co_return Digest::of("content " + std::to_string(read(index, input)));
  }

  Task<std::vector<solve::Result>> run(std::vector<solve::Result> inputs,
                                       solve::StepSink& step) override {
    ++world_.runs[vertex_->name];
    world_.most_running = std::max(world_.most_running, ++world_.running);
    std::exception_ptr failure;
    std::vector<solve::Result> results;
    try {
      step.log(1, "running\n");
      if (behaviour_.held) co_await hold();
      if (!behaviour_.failure.empty()) throw Error(ErrorKind::kExecFailed, behaviour_.failure);
      results = co_await compute(std::move(inputs));
    } catch (...) {
      failure = std::current_exception();
    }
    --world_.running;
    if (failure) std::rethrow_exception(failure);
    co_return results;
  }

  [[nodiscard]] solve::OpDescription describe() const override {
    if (behaviour_.unstored) return {};
    solve::OpDescription what;
    what.kind = vertex_->inputs.empty() ? "image" : "exec";
    what.arguments = {behaviour_.key};
    what.variables = behaviour_.variables;
    return what;
  }

  Task<std::optional<solve::FileList>> read_files(std::size_t, solve::Result input) override {
    auto const value = std::dynamic_pointer_cast<const UnstoredValue>(input.unstored);
    if (!value) co_return std::nullopt;
    solve::FileList list;
    list.files.push_back({"value", 0100644, static_cast<std::uint32_t>(value->value), 0,
                          static_cast<std::uint32_t>(value->value % 3), false});
    co_return list;
  }

  [[nodiscard]] bool takes_slot() const override { return behaviour_.takes_slot; }

 private:
  [[nodiscard]] bool is_content_keyed(std::size_t i) const {
    return behaviour_.content_only ||
           (i < behaviour_.content_keyed.size() && behaviour_.content_keyed[i]);
  }

  [[nodiscard]] std::int64_t read(std::size_t i, const solve::Result& input) const {
    for (store::LayerId const id : input.layers) {
      if (!world_.is_gone || !world_.is_gone(world_.store_->get_layer(id))) continue;
      world_.lost.insert(id);
      throw Error(ErrorKind::kNotFound, "layer " + std::to_string(id.value) + " is gone");
    }
    std::int64_t const value = world_.value(input);
    return is_content_keyed(i) ? value % 3 : value;
  }

  Task<void> hold() {
    FakeWorld::Held held(co_await asio::this_coro::executor);
    held.name = vertex_->name;
    world_.held.push_back(&held);
    bool cancelled = false;
    while (!held.released && !cancelled) {
      co_await held.timer.async_wait(asio::as_tuple(asio::use_awaitable));
      auto const state = co_await asio::this_coro::cancellation_state;
      cancelled = state.cancelled() != asio::cancellation_type::none;
    }
    world_.held.remove(&held);
    if (cancelled) throw boost::system::system_error(asio::error::operation_aborted);
    if (!held.failure.empty()) throw Error(ErrorKind::kExecFailed, held.failure);
  }

  Task<std::vector<solve::Result>> compute(std::vector<solve::Result> inputs) {
    std::int64_t value = behaviour_.number;
    std::string work = behaviour_.key;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      value += static_cast<std::int64_t>(i + 1) * read(i, inputs[i]);
      work += " " + std::to_string(read(i, inputs[i]));
    }
    ++world_.works[work];
    std::vector<solve::Result> results;
    for (int output = 0; output < behaviour_.outputs; ++output) {
      solve::Result result;
      if (behaviour_.unstored) {
        result.unstored = std::make_shared<UnstoredValue>(value + output);
      } else {
        store::NewLayer layer = world_.store_->new_layer();
        std::ofstream(layer.fs() / "value") << value + output;
        store::LayerAttributes attributes;
        attributes.description = vertex_->name;
        result.layers.push_back(
            co_await world_.store_->commit_layer(std::move(layer), std::move(attributes)));
      }
      results.push_back(std::move(result));
    }
    co_return results;
  }

  FakeWorld& world_;
  std::shared_ptr<const llb::Vertex> vertex_;
  Behaviour behaviour_;
};

inline std::unique_ptr<solve::Op> FakeWorld::resolve(std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<FakeOp>(*this, std::move(vertex));
}

/// Keeps what it is told.
class RecordingSink final : public progress::Sink {
 public:
  void on_vertex(const progress::Vertex& vertex) override {
    events.push_back(vertex);
    last.insert_or_assign(vertex.name, vertex);
  }
  void on_status(const progress::Status&) override {}
  void on_log(const progress::Log& log) override { logs.push_back(log); }
  void on_warning(const progress::Warning& warning) override { warnings.push_back(warning.summary); }

  std::vector<progress::Vertex> events;
  std::map<std::string, progress::Vertex> last;  ///< The last word about each, by name.
  std::vector<progress::Log> logs;
  std::vector<std::string> warnings;
};

}  // namespace cobuild::test
