#pragma once

/// All keys that a solve can look through: those of the store, and those of imported caches.
/// Private to core/solve.
///
/// Imported keys live as long as the graph and are never written; ids tell which is which. Once a
/// result of one is taken, the key is adopted: it becomes one of the store's, with all that leads to
/// it, and the next build finds it without an import.

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/solve/cache_record.hpp"
#include "core/store/key_index.hpp"

namespace cobuild::solve {

/// Keys, each once, in no order that means anything.
using KeySet = std::vector<store::KeyId>;

/// Adds `key` unless it is there.
void add_key(KeySet& keys, store::KeyId key);

/// Layers of one imported result.
inline constexpr std::size_t kImportedLayersMax = 1000;
/// Imported results that are tried for one edge, the newest first.
inline constexpr std::size_t kImportedResultsMax = 100;

class KeyGraph {
 public:
  KeyGraph(store::Store& store, const std::vector<ImportedCache>& imports);

  [[nodiscard]] static bool is_imported(store::KeyId key) noexcept;

  /// The keys of an op without inputs, or of a content.
  [[nodiscard]] KeySet find_roots(const Digest& op);
  /// The keys reached from `from` through `link`.
  [[nodiscard]] KeySet follow(store::KeyId from, const store::KeyLink& link);
  /// The cache that an imported `key` is of.
  [[nodiscard]] const std::string& cache_name(store::KeyId key) const;

  /// An imported record that is not what is looked for, but like it.
  struct ImportedLike {
    std::string cache;
    bool other_op = false;
    std::vector<std::size_t> other_inputs;
  };
  /// The imported record with the fewest differences to one named `op` whose inputs have these
  /// keys, the store's or imported ones; nullopt when none has the op, or an input.
  [[nodiscard]] std::optional<ImportedLike> nearest_import(const Digest& op,
                                                           const std::vector<KeySet>& inputs) const;

  /// The index of the store's keys.
  [[nodiscard]] store::KeyIndex& index() noexcept { return index_; }

  /// \see store::KeyIndex::root_links. Of imported keys too.
  [[nodiscard]] std::vector<store::KeyIndex::RootLink> root_links(store::KeyId key);

  /// What the store has for `key`, newest first; nothing for an imported one.
  [[nodiscard]] std::vector<store::KeyResult> results(store::KeyId key);
  /// What a cache has for an imported `key`; nothing for others. Valid as long as the graph.
  [[nodiscard]] const std::vector<ImportedResult>& imported_results(store::KeyId key) const;
  /// The layers of a result of an imported `key`, lowest first; none when there are more than
  /// kImportedLayersMax, which nothing could mount.
  [[nodiscard]] std::vector<const ImportedLayer*> imported_layers(
      store::KeyId key, const ImportedResult& result) const;
  [[nodiscard]] bool has_result(store::KeyId key);

  /// The store's key that stands for an imported one from now on.
  store::KeyId adopt(store::KeyId key);

  /// \see store::KeyIndex. Of the store's keys only.
  [[nodiscard]] store::KeyId current(store::KeyId key) const;
  store::KeyId add_root(const Digest& op) { return index_.add_root(op); }
  store::KeyId add_key(const Digest& op) { return index_.add_key(op); }
  void add_link(store::KeyId from, const store::KeyLink& link, store::KeyId to) {
    index_.add_link(from, link, to);
  }
  void add_result(store::KeyId key, store::KeyResult result) {
    index_.add_result(key, std::move(result));
  }
  void drop_results(store::KeyId key) { index_.drop_results(key); }

 private:
  struct Imported {
    const ImportedRecord* record;
    const ImportedCache* cache;
    std::size_t first;                     ///< Where this cache's records begin in imported_.
    std::optional<store::KeyId> adopted;
  };
  using LinkName = std::pair<store::KeyId, std::string>;
  [[nodiscard]] const Imported& imported(store::KeyId key) const;
  [[nodiscard]] bool leads_to(const Imported& record, std::size_t input, const KeySet& keys) const;
  [[nodiscard]] KeySet common_targets(const std::vector<KeySet>& from,
                                      const std::vector<std::vector<CacheLink>>& inputs,
                                      const Digest& op);

  store::KeyIndex index_;
  std::vector<ImportedCache> imports_;
  std::vector<Imported> imported_;
  std::unordered_multimap<Digest, store::KeyId> roots_;
  std::map<LinkName, KeySet> links_;
};

}  // namespace cobuild::solve
