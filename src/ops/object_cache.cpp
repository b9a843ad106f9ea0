#include "ops/object_cache.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::ops {
namespace {

class TextSink final : public oci::BlobSink {
 public:
  Task<void> write(std::span<const std::byte> chunk) override {
    text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    co_return;
  }
  std::string text;
};

/// nullopt when it is not there.
Task<std::optional<std::string>> read_config(oci::ObjectStore& store, ConfigObject config) {
  if (config.newest) {
    auto found = co_await store.find_newest(config.name);
    if (!found) co_return std::nullopt;
    config.name = std::move(found->name);
  }
  TextSink sink;
  try {
    co_await store.read(config.name, 0, kCacheObjectBytesMax + 1, sink);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kNotFound) throw;
    co_return std::nullopt;
  }
  if (sink.text.size() > kCacheObjectBytesMax) {
    throw Error(ErrorKind::kCorrupt, "the cache config " + config.name + " is too large (over " +
                                         std::to_string(kCacheObjectBytesMax) + " bytes)");
  }
  co_return std::move(sink.text);
}

Task<void> import_config(oci::ObjectStore& store, ConfigObject config, const std::string& source,
                         std::optional<solve::ImportedCache>& out) {
  std::string const name = config.name;
  auto const text = co_await read_config(store, std::move(config));
  if (!text) co_return;
  try {
    out = to_imported(oci::parse_cache_config(*text), {}, source);
  } catch (const Error& error) {
    throw error.with_context("cache config " + name);
  }
}

/// A reader that tells how far it is.
class CountingReader final : public oci::BlobReader {
 public:
  CountingReader(std::unique_ptr<oci::BlobReader> reader, solve::StepSink& step, std::string status,
                 std::int64_t total)
      : reader_(std::move(reader)), step_(step), status_(std::move(status)), total_(total) {}

  Task<std::size_t> read(std::span<std::byte> buffer) override {
    std::size_t const count = co_await reader_->read(buffer);
    done_ += static_cast<std::int64_t>(count);
    step_.status(status_, done_, total_, false);
    co_return count;
  }

 private:
  std::unique_ptr<oci::BlobReader> reader_;
  solve::StepSink& step_;
  std::string status_;
  std::int64_t done_ = 0;
  std::int64_t total_;
};

/// What all blobs of one export share.
struct BlobExport {
  oci::ObjectStore& store;
  std::string prefix;
  oci::LayerBlobs& blobs;
  solve::StepSink& step;
};

Task<std::unique_ptr<oci::BlobReader>> open_layer(BlobExport& out, oci::Descriptor layer,
                                                  std::string status) {
  auto const total = static_cast<std::int64_t>(layer.size);
  auto reader = co_await out.blobs.open(std::move(layer));
  co_return std::make_unique<CountingReader>(std::move(reader), out.step, std::move(status), total);
}

Task<void> export_blob(BlobExport& out, const oci::Descriptor& layer) {
  std::string const name = out.prefix + layer.digest.to_string();
  if (auto found = co_await out.store.find(name)) {
    if (found->is_old) co_await out.store.touch(*std::move(found));
    co_return;
  }
  std::string const status = "writing layer " + layer.digest.to_string();
  auto const total = static_cast<std::int64_t>(layer.size);
  out.step.status(status, 0, total, false);
  auto open = [&out, &layer, &status] { return open_layer(out, layer, status); };
  co_await out.store.write(name, layer.size, open);
  out.step.status(status, total, total, true);
}

}  // namespace

Task<solve::ImportedCache> import_objects(oci::ObjectStore& store, std::vector<ConfigObject> configs,
                                          std::string source, solve::StepSink& step) {
  std::vector<std::optional<solve::ImportedCache>> found(configs.size());
  std::vector<std::size_t> indexes;
  for (std::size_t i = 0; i < configs.size(); ++i) indexes.push_back(i);
  auto work = [&](std::size_t i) { return import_config(store, configs[i], source, found[i]); };
  std::size_t const count = std::max<std::size_t>(1, indexes.size());
  co_await for_each_bounded(std::move(indexes), count, work);
  solve::ImportedCache all;
  for (auto& cache : found) {
    if (cache) append_cache(all, *std::move(cache));
  }
  step.status(all.records.empty() ? std::string("no cache is there yet")
                                  : "found " + std::to_string(all.layers.size()) + " layers in cache",
              0, 0, true);
  co_return all;
}

std::string annotated_config(const CollectedCache& cache) {
  std::map<BlobDigest, const oci::ImageLayer*> layers;
  for (const oci::ImageLayer& layer : cache.layers) layers.emplace(layer.blob_digest, &layer);
  oci::CacheConfig config = cache.config;
  for (oci::CacheLayer& layer : config.layers) {
    const oci::ImageLayer& made = *layers.at(layer.blob);
    layer.annotations = oci::CacheLayerAnnotations{
        .media_type = oci::convert_type(made.media_type, oci::TypeFamily::kOci),
        .diff_id = made.diff_id,
        .size = static_cast<std::int64_t>(made.blob_bytes),
        .created_at = made.created_at};
  }
  return oci::to_json(config);
}

Task<void> export_blobs(oci::ObjectStore& store, std::string blobs_prefix, std::size_t parallel,
                        const CollectedCache& cache, oci::LayerBlobs& blobs, solve::StepSink& step) {
  BlobExport out{store, std::move(blobs_prefix), blobs, step};
  std::vector<oci::Descriptor> layers = make_cache_image(cache, true, true).layers;
  auto work = [&out](const oci::Descriptor& layer) { return export_blob(out, layer); };
  co_await for_each_bounded(std::move(layers), parallel, work);
}

}  // namespace cobuild::ops
