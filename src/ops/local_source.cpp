#include "ops/local_source.hpp"

#include <fcntl.h>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>

#include <array>
#include <random>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "ops/copy_tree.hpp"
#include "ops/op_digest.hpp"
#include "ops/stoppable.hpp"

namespace cobuild::ops {

namespace {

constexpr std::string_view kScheme = "local://";

[[nodiscard]] std::vector<std::string> list_attribute(const pb::SourceOp& source,
                                                      const std::string& name) {
  auto const found = source.attrs().find(name);
  if (found == source.attrs().end()) return {};
  try {
    boost::json::value const parsed = boost::json::parse(found->second);
    std::vector<std::string> items;
    if (parsed.is_null()) return items;
    for (const boost::json::value& item : parsed.as_array()) items.emplace_back(item.as_string());
    return items;
  } catch (const std::exception&) {
    throw Error(ErrorKind::kInvalidInput, "the attribute " + name + " of " + source.identifier() +
                                              " is not a JSON list of strings");
  }
}

/// Stands for the session that BuildKit has with each client: new in each process, so that the keys
/// of local sources never match those of another build.
[[nodiscard]] const std::string& process_session() {
  static const std::string session = [] {
    std::random_device random;
    std::string text;
    for (int i = 0; i < 4; ++i) text += std::to_string(random());
    return text;
  }();
  return session;
}

class LocalSource final : public solve::Op {
 public:
  LocalSource(const Services& services, const LocalContexts& contexts,
              std::shared_ptr<const llb::Vertex> vertex)
      : services_(services), contexts_(contexts), vertex_(std::move(vertex)) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink&) override {
    auto const found = source().attrs().find("local.session");
    const std::string& session = found != source().attrs().end() && !found->second.empty()
                                     ? found->second
                                     : process_session();
    std::vector<solve::CacheMap> maps;
    maps.push_back(
        {.op = source_digest(local_key(source(), session)), .dependencies = {}});
    co_return maps;
  }

  Task<Digest> content_digest(std::size_t, solve::Result, solve::StepSink&) override {
    throw Error(ErrorKind::kInternal, "a source has no inputs");
    co_return Digest(Digest::Bytes{});
  }

  Task<std::vector<solve::Result>> run(std::vector<solve::Result>, solve::StepSink& step) override {
    std::string const name = source().identifier().substr(kScheme.size());
    auto const directory = contexts_.directories.find(name);
    if (directory == contexts_.directories.end()) {
      throw Error(ErrorKind::kInvalidInput, "no access allowed to dir \"" + name +
                                                "\": give it with --local " + name + "=DIR");
    }
    TreeFilter filter;
    filter.include_patterns = list_attribute(source(), "local.includepattern");
    filter.exclude_patterns = list_attribute(source(), "local.excludepatterns");
    filter.follow_paths = list_attribute(source(), "local.followpaths");
    auto scan = [root = directory->second, filter = std::move(filter)] {
      return FileTree::scan(root, filter);
    };
    std::unique_ptr<FileTree> tree = co_await offload(services_.pool, std::move(scan));
    // No total, as with BuildKit: it is what it is.
    step.status("transferring " + name + ":", tree->bytes_listed(), 0, true);
    auto executor = co_await asio::this_coro::executor;
    std::vector<solve::Result> results(1);
    results[0].unstored = std::make_shared<LocalTree>(executor, name, std::move(tree));
    co_return results;
  }

 private:
  [[nodiscard]] const pb::SourceOp& source() const { return vertex_->op.source(); }

  Services services_;
  const LocalContexts& contexts_;
  std::shared_ptr<const llb::Vertex> vertex_;
};

Task<store::LayerId> make_layer(Services services, std::shared_ptr<const LocalTree> local) {
  store::NewLayer layer = services.store.new_layer();
  FileTree& tree = local->tree();
  auto copy = [&tree, &layer](const std::atomic<bool>& stop) {
    Timings::Span const span(Phase::kCopy);
    TargetRoot const target(open_file(layer.fs(), O_RDONLY | O_DIRECTORY));
    CopyOptions options;
    options.copy_dir_contents = true;
    options.stop = &stop;
    copy_path(tree, "/", target, "/", options);
    return true;
  };
  co_await offload_stoppable(services.pool, copy);
  store::LayerAttributes attributes;
  attributes.description = "local source for " + local->name();
  attributes.kind = store::RecordKind::kLocalSource;
  co_return co_await services.store.commit_layer(std::move(layer), std::move(attributes));
}

}  // namespace

std::unique_ptr<solve::Op> make_local_source(const Services& services,
                                             const LocalContexts& contexts,
                                             std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<LocalSource>(services, contexts, std::move(vertex));
}

Task<store::LayerChain> materialise(Services services, solve::Result result,
                                    solve::StepSink& step) {
  auto local = std::dynamic_pointer_cast<const LocalTree>(result.unstored);
  if (!local) {
    if (result.unstored) throw Error(ErrorKind::kInternal, "a result that cannot become layers");
    co_return std::move(result.layers);
  }
  auto const slot = co_await local->exclusive().acquire();
  if (!local->layer()) {
    step.status("copying " + local->name(), 0, local->tree().bytes_listed(), false);
    local->set_layer(co_await make_layer(services, local));
    step.status("copying " + local->name(), local->tree().bytes_listed(),
                local->tree().bytes_listed(), true);
  }
  co_return store::LayerChain{*local->layer()};
}

}  // namespace cobuild::ops
