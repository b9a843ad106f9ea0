#pragma once

/// Build caches that travel: from what a registry or a layout directory has to keys that a solver
/// looks through (F5.3.12 to F5.3.14), and from what was solved to what they take (F5.3.9, F5.3.10).

#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/solve/cache_record.hpp"
#include "core/solve/op.hpp"
#include "core/store/store.hpp"
#include "oci/content.hpp"
#include "oci/export_image.hpp"
#include "oci/spec/cache_config.hpp"
#include "oci/spec/descriptor.hpp"
#include "ops/sealer.hpp"

namespace cobuild::ops {

/// No manifest or config of a cache is longer (F5.3.12).
inline constexpr std::size_t kCacheDocumentBytesMax = std::size_t{1} << 20;

/// Where a cache is.
struct CachePlace {
  std::string name;  ///< As users say it.
  oci::Reference reference;
  std::string source;  ///< What LayerBlob::sources says for blobs of it.
};

/// Reads the manifest and the config, and nothing else: a cache of its own, or that inside an image
/// (inline). nullopt when there is none at `place`. What is passed by reference outlives the call.
/// \throws Error kCorrupt, and what `source` throws.
Task<std::optional<solve::ImportedCache>> import_cache(oci::ContentSource& source, CachePlace place,
                                                       solve::StepSink& step);

/// The records of `config` whose results are made of `blobs`, which are at `source`. Results with
/// other blobs, with blobs that neither have annotations nor are described with their diff ID, or
/// that are no layers, are left out.
[[nodiscard]] solve::ImportedCache to_imported(oci::CacheConfig config,
                                               const std::vector<oci::Descriptor>& blobs,
                                               const std::string& source);

/// Adds the layers and records of `more`.
void append_cache(solve::ImportedCache& cache, solve::ImportedCache more);

/// What is to be exported, its blobs sealed.
struct CollectedCache {
  oci::CacheConfig config;               ///< In F5.3.6's order, without annotations.
  std::vector<oci::ImageLayer> layers;   ///< Each blob once, in the order of config.layers.
  store::LayerChain chain;               ///< The layers that have the blobs.
};

struct CacheScope {
  /// The chains of the build's results: without `all`, only what they were made of is exported.
  std::vector<store::LayerChain> results;
  bool all = false;  ///< mode=max (F5.2.2).
};

/// Seals the results among `records` that are in scope, all records staying as links between them.
/// Results that nobody needed and that are gone meanwhile are left out: others may tidy `store`.
/// `watcher`: as for Sealer::seal. What is passed by reference outlives the call. \throws Error what
/// sealing throws.
Task<CollectedCache> collect_cache(std::vector<solve::KeyRecord> records, CacheScope scope,
                                   SealRequest request, store::Store& store, Sealer& sealer,
                                   solve::StepSink& step, PackWatcher* watcher = nullptr);

/// As something that can be pushed, or written to a layout: a manifest with the config as its image
/// config, or an index that lists both.
[[nodiscard]] oci::ExportImage make_cache_image(const CollectedCache& cache, bool image_manifest,
                                                bool oci_media_types);

/// The records for the member of an image config that carries an inline cache (F4.5.10): those
/// with results that the image's layers make up. Empty when there is none.
[[nodiscard]] std::string make_inline_cache(const CollectedCache& cache,
                                            const std::vector<oci::ImageLayer>& image);

}  // namespace cobuild::ops
