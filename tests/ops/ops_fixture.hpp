#pragma once

/// A build without a solver or containers: a store, layers that are all here, and ops on them.

#include <gtest/gtest.h>

#include <boost/asio/thread_pool.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/async/context.hpp"
#include "core/base/error.hpp"
#include "core/llb/marshal.hpp"
#include "core/store/snapshotter.hpp"
#include "core/sys/fs.hpp"
#include "ops/local_source.hpp"
#include "ops/services.hpp"
#include "support/store_fixture.hpp"
#include "tree_listing.hpp"

namespace cobuild::test {

class PresentLayers final : public ops::LayerFiles {
 public:
  explicit PresentLayers(store::Store& store) : store_(store) {}

  Task<std::vector<std::filesystem::path>> directories(store::LayerChain chain,
                                                       solve::StepSink&) override {
    ++asked;
    std::vector<std::filesystem::path> paths;
    for (const store::LayerId& id : chain) paths.push_back(store_.snapshot_path(id));
    co_return paths;
  }

  int asked = 0;

 private:
  store::Store& store_;
};

class NoContainers final : public ops::ContainerRuntime {
 public:
  [[nodiscard]] std::string_view name() const override { return "none"; }
  Task<ops::ExitStatus> run(ops::ContainerSpec, ops::OutputCallback) override {
    throw Error(ErrorKind::kInternal, "no containers in this test");
    co_return ops::ExitStatus{};
  }
};

class QuietStep final : public solve::StepSink {
 public:
  void log(int, std::string_view) override {}
  void status(std::string_view id, std::int64_t current, std::int64_t, bool) override {
    statuses.push_back(std::string(id) + " " + std::to_string(current));
  }
  void warn(std::string_view) override {}
  std::vector<std::string> statuses;
};

class OpsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "layers keep owners, which only root can set";
    std::filesystem::create_directories(context());
    contexts.directories["context"] = context();
  }
  ~OpsTest() override { pool.join(); }

  [[nodiscard]] std::filesystem::path context() const { return directory.path() / "context"; }

  static std::shared_ptr<const llb::Vertex> vertex(const pb::Op& op,
                                                   std::vector<llb::Edge> inputs = {}) {
    auto made =
        std::make_shared<llb::Vertex>(llb::digest_of(op), op, pb::OpMetadata(), std::move(inputs));
    made->name = "a step";
    return made;
  }

  static pb::Op local_op() {
    pb::Op op;
    op.mutable_source()->set_identifier("local://context");
    return op;
  }

  /// The user's directory, through the filters of `op`.
  solve::Result local(const pb::Op& op = local_op()) {
    auto const source = ops::make_local_source(services, contexts, vertex(op));
    return process.run(source->run({}, step)).at(0);
  }

  /// A layer with what `fill` writes into its directory.
  template <class Fill>
  solve::Result layer(Fill fill, store::LayerChain base = {}) {
    store::NewLayer fresh = process.store().new_layer();
    fill(fresh.fs());
    solve::Result result;
    result.layers = std::move(base);
    result.layers.push_back(process.run(process.store().commit_layer(std::move(fresh), {})));
    return result;
  }

  /// What a result's files are.
  std::string files_of(const solve::Result& result) {
    std::vector<std::filesystem::path> paths;
    for (const auto& id : result.layers) paths.push_back(process.store().snapshot_path(id));
    return listing(snapshotter->view(std::move(paths))->path());
  }

  TempDir directory = TempDir::create(std::filesystem::temp_directory_path(), "cobuild-ops-");
  StoreProcess process{directory.path() / "store"};
  asio::thread_pool pool{2};
  std::unique_ptr<store::Snapshotter> snapshotter = store::make_snapshotter(process.store().root());
  PresentLayers files{process.store()};
  NoContainers containers;
  ops::Services services{pool, process.store(), *snapshotter, files, containers};
  ops::LocalContexts contexts;
  QuietStep step;
};

}  // namespace cobuild::test
