#include "ops/object_cache.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "oci/spec/media_type.hpp"
#include "ops/cache_packs.hpp"

namespace cobuild::ops {
namespace {

constexpr std::size_t kHashBytes = 256 * 1024;

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

/// What is known of a layer already stays.
void note_packed(const oci::CacheConfig& config, oci::PackedLayers& packed) {
  for (const oci::CacheLayer& layer : config.layers) {
    if (layer.pack) packed.try_emplace(layer.blob, oci::PackedLayer{*layer.pack});
  }
}

Task<void> import_config(oci::ObjectStore& store, ConfigObject config, const std::string& source,
                         oci::PackedLayers& packed, std::optional<solve::ImportedCache>& out) {
  std::string const name = config.name;
  auto const text = co_await read_config(store, std::move(config));
  if (!text) co_return;
  try {
    oci::CacheConfig read = oci::parse_cache_config(*text);
    note_packed(read, packed);
    out = to_imported(std::move(read), {}, source);
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

Task<std::unique_ptr<oci::BlobReader>> open_counted(BlobExport& out, const oci::OpenBlob& open,
                                                    std::string status, std::uint64_t size) {
  auto reader = co_await open();
  co_return std::make_unique<CountingReader>(std::move(reader), out.step, std::move(status),
                                             static_cast<std::int64_t>(size));
}

/// Whether an object of `size` bytes is there, which is made new when it is old. Not every place
/// says how many it has.
Task<bool> is_there(BlobExport& out, BlobDigest digest, std::uint64_t size) {
  auto found = co_await out.store.find(out.prefix + digest.to_string());
  if (!found || (found->size != 0 && found->size < size)) co_return false;
  if (found->is_old) co_await out.store.touch(*std::move(found));
  co_return true;
}

/// Stores an object unless it is there. `what` it is, for people.
Task<void> export_object(BlobExport& out, BlobDigest digest, std::uint64_t size, std::string what,
                         oci::OpenBlob open) {
  if (co_await is_there(out, digest, size)) co_return;
  std::string const status = "writing " + what;
  auto const total = static_cast<std::int64_t>(size);
  out.step.status(status, 0, total, false);
  auto counted = [&] { return open_counted(out, open, status, size); };
  co_await out.store.write(out.prefix + digest.to_string(), size, counted);
  out.step.status(status, total, total, true);
}

Task<void> export_blob(BlobExport& out, const oci::Descriptor& layer) {
  oci::OpenBlob open = [&out, &layer] { return out.blobs.open(layer); };
  std::string what = "layer " + layer.digest.to_string();
  co_await export_object(out, layer.digest, layer.size, std::move(what), std::move(open));
}

Task<BlobDigest> hash_pack(oci::OpenBlob open) {
  auto const reader = co_await open();
  DigestWriter hash;
  std::vector<std::byte> buffer(kHashBytes);
  while (std::size_t const count = co_await reader->read(buffer)) {
    hash.write(std::span(buffer).first(count));
  }
  co_return BlobDigest(hash.finish());
}

/// A pack of one is that layer: they have the same bytes, and so the same name.
Task<void> export_group(BlobExport& out, const LayerGroup& group, oci::PackedLayers& packed) {
  BlobDigest digest = group.front().digest;
  std::uint64_t size = 0;
  for (const oci::Descriptor& layer : group) size += layer.size;
  if (group.size() == 1) {
    co_await export_blob(out, group.front());
    if (size >= kPackedLayerBytesMax) co_return;
  } else {
    oci::OpenBlob open = open_pack(out.blobs, group);
    digest = co_await hash_pack(open);
    std::string what =
        "pack " + digest.to_string() + " of " + std::to_string(group.size()) + " layers";
    co_await export_object(out, digest, size, std::move(what), std::move(open));
  }
  std::uint64_t offset = 0;
  for (const oci::Descriptor& layer : group) {
    oci::PackedLayer const place{{digest, size, offset, layer.size}};
    packed.insert_or_assign(layer.digest, place);
    offset += layer.size;
  }
}

using SizedPack = std::pair<BlobDigest, std::uint64_t>;

Task<void> check_pack(BlobExport& out, SizedPack pack, oci::PackedLayers& packed) {
  if (co_await is_there(out, pack.first, pack.second)) co_return;
  std::erase_if(packed, [&](const auto& layer) { return layer.second.pack.digest == pack.first; });
}

/// Forgets the layers in packs that are gone; old packs are made new.
Task<void> drop_missing(BlobExport& out, std::size_t parallel, oci::PackedLayers& packed) {
  std::map<BlobDigest, std::uint64_t> sizes;
  for (const auto& [layer, place] : packed) {
    std::uint64_t& size = sizes[place.pack.digest];
    size = std::max(size, place.pack.size);
  }
  std::vector<SizedPack> packs(sizes.begin(), sizes.end());
  auto work = [&](const SizedPack& pack) { return check_pack(out, pack, packed); };
  co_await for_each_bounded(std::move(packs), parallel, work);
}

}  // namespace

Task<solve::ImportedCache> import_objects(oci::ObjectStore& store, std::vector<ConfigObject> configs,
                                          std::string source, oci::PackedLayers& packed,
                                          solve::StepSink& step) {
  std::vector<std::optional<solve::ImportedCache>> found(configs.size());
  std::vector<std::size_t> indexes;
  for (std::size_t i = 0; i < configs.size(); ++i) indexes.push_back(i);
  auto work = [&](std::size_t i) { return import_config(store, configs[i], source, packed, found[i]); };
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

std::string annotated_config(const CollectedCache& cache, const oci::PackedLayers& packed) {
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
    if (auto const place = packed.find(layer.blob); place != packed.end()) {
      layer.pack = place->second.pack;
    }
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

Task<oci::PackedLayers> export_packed(oci::ObjectStore& store, std::string blobs_prefix,
                                      std::size_t parallel, const CollectedCache& cache,
                                      oci::PackedLayers known, oci::LayerBlobs& blobs,
                                      solve::StepSink& step) {
  BlobExport out{store, std::move(blobs_prefix), blobs, step};
  std::vector<oci::Descriptor> const layers = layers_in_chain_order(cache);
  oci::PackedLayers packed = keep_packed(layers, known);
  co_await drop_missing(out, parallel, packed);
  std::vector<LayerGroup> groups = group_layers(layers, packed);
  auto work = [&](const LayerGroup& group) { return export_group(out, group, packed); };
  co_await for_each_bounded(std::move(groups), parallel, work);
  co_return packed;
}

Task<void> read_packed(oci::ObjectStore& store, std::vector<ConfigObject> configs,
                       oci::PackedLayers& packed) {
  for (ConfigObject& config : configs) {
    auto const text = co_await read_config(store, std::move(config));
    if (!text) continue;
    try {
      note_packed(oci::parse_cache_config(*text), packed);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCorrupt) throw;  // else it is about to be replaced
    }
  }
}

}  // namespace cobuild::ops
