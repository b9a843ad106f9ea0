#include "ops/cache_packs.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::ops {
namespace {

bool is_small(const oci::Descriptor& layer) { return layer.size < kPackedLayerBytesMax; }

class PackReader final : public oci::BlobReader {
 public:
  PackReader(oci::LayerBlobs& blobs, const LayerGroup& group) : blobs_(blobs), group_(group) {}

  Task<std::size_t> read(std::span<std::byte> buffer) override {
    while (left_ == 0) {
      if (next_ == group_.size()) co_return 0;
      oci::Descriptor layer = group_[next_++];
      left_ = layer.size;
      reader_ = co_await blobs_.open(std::move(layer));
    }
    std::size_t const room = std::min<std::uint64_t>(buffer.size(), left_);
    std::size_t const count = co_await reader_->read(buffer.first(room));
    // All that come after it would lie elsewhere.
    if (count == 0) {
      throw Error(ErrorKind::kCorrupt,
                  "the layer " + group_[next_ - 1].digest.to_string() + " is too short here");
    }
    left_ -= count;
    co_return count;
  }

 private:
  oci::LayerBlobs& blobs_;
  const LayerGroup& group_;
  std::unique_ptr<oci::BlobReader> reader_;
  std::size_t next_ = 0;
  std::uint64_t left_ = 0;  ///< Of the blob before next_.
};

Task<std::unique_ptr<oci::BlobReader>> open_reader(oci::LayerBlobs& blobs, const LayerGroup& group) {
  co_return std::make_unique<PackReader>(blobs, group);
}

}  // namespace

std::vector<oci::Descriptor> layers_in_chain_order(const CollectedCache& cache) {
  std::map<BlobDigest, oci::Descriptor> unseen;
  for (oci::Descriptor& layer : make_cache_image(cache, true, true).layers) {
    BlobDigest const digest = layer.digest;
    unseen.emplace(digest, std::move(layer));
  }
  std::map<std::optional<std::size_t>, std::vector<std::size_t>> on;  // what lies on a layer
  for (std::size_t i = cache.config.layers.size(); i-- > 0;) {
    on[cache.config.layers[i].parent].push_back(i);
  }
  std::vector<oci::Descriptor> ordered;
  for (std::vector<std::size_t> open = on[std::nullopt]; !open.empty();) {
    std::size_t const layer = open.back();
    open.pop_back();
    if (auto node = unseen.extract(cache.config.layers[layer].blob)) {
      ordered.push_back(std::move(node.mapped()));
    }
    const std::vector<std::size_t>& above = on[layer];
    open.insert(open.end(), above.begin(), above.end());
  }
  return ordered;
}

oci::PackedLayers keep_packed(const std::vector<oci::Descriptor>& layers,
                              const oci::PackedLayers& known) {
  struct Pack {
    std::uint64_t size = 0;
    std::uint64_t used = 0;
  };
  std::map<BlobDigest, Pack> packs;
  oci::PackedLayers kept;
  for (const oci::Descriptor& layer : layers) {
    auto const found = known.find(layer.digest);
    if (found == known.end() || found->second.is_suspect) continue;
    const oci::CachePack& place = found->second.pack;
    if (place.length != layer.size) continue;
    kept.insert(*found);
    Pack& pack = packs[place.digest];
    pack.size = std::max(pack.size, place.size);
    pack.used += layer.size;
  }
  auto const is_wasted = [](const Pack& pack) { return pack.used < pack.size / 2; };
  std::erase_if(packs, [&](const auto& pack) { return is_wasted(pack.second); });
  auto const has_room = [](const auto& pack) { return pack.second.used < kPackBytesMax / 2; };
  if (static_cast<std::size_t>(std::ranges::count_if(packs, has_room)) > kSmallPacksMax) {
    std::erase_if(packs, has_room);
  }
  std::erase_if(kept, [&](const auto& layer) { return !packs.contains(layer.second.pack.digest); });
  return kept;
}

std::vector<LayerGroup> group_layers(const std::vector<oci::Descriptor>& layers,
                                     const oci::PackedLayers& packed) {
  std::vector<LayerGroup> groups;
  LayerGroup pack;
  std::uint64_t pack_bytes = 0;
  for (const oci::Descriptor& layer : layers) {
    if (packed.contains(layer.digest)) continue;
    if (!is_small(layer)) {
      groups.push_back({layer});
      continue;
    }
    if (pack_bytes + layer.size > kPackBytesMax) {
      groups.push_back(std::exchange(pack, {}));
      pack_bytes = 0;
    }
    pack.push_back(layer);
    pack_bytes += layer.size;
  }
  if (!pack.empty()) groups.push_back(std::move(pack));
  return groups;
}

oci::OpenBlob open_pack(oci::LayerBlobs& blobs, const LayerGroup& group) {
  return [&blobs, &group] { return open_reader(blobs, group); };
}

}  // namespace cobuild::ops
