#include "core/solve/key_graph.hpp"

#include <algorithm>
#include <limits>

#include "core/base/assert.hpp"

namespace cobuild::solve {
namespace {

/// The store's ids are those of SQLite's rows, and never get here.
constexpr std::int64_t kImportedBase = std::numeric_limits<std::int64_t>::max() / 2;

store::KeyId imported_id(std::size_t index) {
  return {kImportedBase + static_cast<std::int64_t>(index)};
}

/// What makes two links the same.
std::string link_name(int input, const Digest& op, const std::optional<Digest>& selector) {
  std::string name = std::to_string(input);
  name += ' ';
  name.append(reinterpret_cast<const char*>(op.bytes().data()), Digest::kByteCount);
  if (selector) {
    name.append(reinterpret_cast<const char*>(selector->bytes().data()), Digest::kByteCount);
  }
  return name;
}

}  // namespace

void add_key(KeySet& keys, store::KeyId key) {
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
}

KeyGraph::KeyGraph(store::Store& store, const std::vector<ImportedCache>& imports)
    : index_(store), imports_(imports) {
  for (const ImportedCache& cache : imports_) {
    std::size_t const first = imported_.size();
    for (const ImportedRecord& record : cache.records) {
      store::KeyId const key = imported_id(imported_.size());
      imported_.push_back({&record, &cache, first, {}});
      if (record.inputs.empty()) roots_.emplace(record.digest, key);
      for (std::size_t i = 0; i < record.inputs.size(); ++i) {
        for (const CacheLink& link : record.inputs[i]) {
          COBUILD_ASSERT(first + link.record < imported_.size(), "inputs come first");
          solve::add_key(links_[{imported_id(first + link.record),
                                 link_name(static_cast<int>(i), record.digest, link.selector)}],
                         key);
        }
      }
    }
  }
}

bool KeyGraph::is_imported(store::KeyId key) noexcept {
  return key.value >= kImportedBase;
}

const KeyGraph::Imported& KeyGraph::imported(store::KeyId key) const {
  return imported_.at(static_cast<std::size_t>(key.value - kImportedBase));
}

KeySet KeyGraph::find_roots(const Digest& op) {
  KeySet keys;
  if (auto const root = index_.find_root(op)) keys.push_back(*root);
  auto const [begin, end] = roots_.equal_range(op);
  for (auto at = begin; at != end; ++at) keys.push_back(at->second);
  return keys;
}

KeySet KeyGraph::follow(store::KeyId from, const store::KeyLink& link) {
  if (!is_imported(from)) {
    KeySet keys;
    for (store::KeyId const key : index_.follow(from, link)) {
      solve::add_key(keys, index_.current(key));
    }
    return keys;
  }
  auto const found = links_.find({from, link_name(link.input, link.op, link.selector)});
  return found == links_.end() ? KeySet() : found->second;
}

const std::string& KeyGraph::cache_name(store::KeyId key) const {
  return imported(key).cache->name;
}

/// Whether one of `keys` is known to the cache as this input of the record.
bool KeyGraph::leads_to(const Imported& record, std::size_t input, const KeySet& keys) const {
  auto const& links = record.record->inputs[input];
  return std::any_of(links.begin(), links.end(), [&](const CacheLink& link) {
    std::size_t const index = record.first + link.record;
    const auto& adopted = imported_[index].adopted;
    return std::any_of(keys.begin(), keys.end(), [&](store::KeyId key) {
      return key == imported_id(index) || (adopted && current(key) == current(*adopted));
    });
  });
}

std::optional<KeyGraph::ImportedLike> KeyGraph::nearest_import(
    const Digest& op, const std::vector<KeySet>& inputs) const {
  std::optional<ImportedLike> nearest;
  std::size_t fewest = 0;
  for (const Imported& candidate : imported_) {
    const ImportedRecord& record = *candidate.record;
    if (record.inputs.empty() || record.inputs.size() != inputs.size()) continue;
    ImportedLike like{candidate.cache->name, record.digest != op, {}};
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!leads_to(candidate, i, inputs[i])) like.other_inputs.push_back(i);
    }
    if (like.other_op && like.other_inputs.size() == inputs.size()) continue;
    std::size_t const count = like.other_inputs.size() + (like.other_op ? 1 : 0);
    bool const is_nearer = !nearest || count < fewest || (count == fewest && !like.other_op && nearest->other_op);
    if (!is_nearer) continue;
    fewest = count;
    nearest = std::move(like);
  }
  return nearest;
}

std::vector<store::KeyIndex::RootLink> KeyGraph::root_links(store::KeyId key) {
  if (!is_imported(key)) return index_.root_links(key);
  const Imported& own = imported(key);
  std::vector<store::KeyIndex::RootLink> links;
  for (std::size_t i = 0; i < own.record->inputs.size(); ++i) {
    for (const CacheLink& link : own.record->inputs[i]) {
      const ImportedRecord& from = *imported_[own.first + link.record].record;
      if (!from.inputs.empty()) continue;
      links.push_back({from.digest, {static_cast<int>(i), own.record->digest, link.selector}});
    }
  }
  return links;
}

std::vector<store::KeyResult> KeyGraph::results(store::KeyId key) {
  return is_imported(key) ? std::vector<store::KeyResult>() : index_.results(key);
}

const std::vector<ImportedResult>& KeyGraph::imported_results(store::KeyId key) const {
  static const std::vector<ImportedResult> kNone;
  return is_imported(key) ? imported(key).record->results : kNone;
}

std::vector<const ImportedLayer*> KeyGraph::imported_layers(store::KeyId key,
                                                            const ImportedResult& result) const {
  const std::vector<ImportedLayer>& all = imported(key).cache->layers;
  std::vector<const ImportedLayer*> layers;
  if (!result.with_parents) {
    for (std::size_t const index : result.layers) layers.push_back(&all[index]);
  } else {
    std::optional<std::size_t> next = result.layers.front();
    for (; next && layers.size() <= kImportedLayersMax; next = all[*next].parent) {
      layers.push_back(&all[*next]);
    }
    std::reverse(layers.begin(), layers.end());
  }
  if (layers.size() > kImportedLayersMax) layers.clear();
  return layers;
}

bool KeyGraph::has_result(store::KeyId key) {
  return is_imported(key) ? !imported_results(key).empty() : !index_.results(key).empty();
}

store::KeyId KeyGraph::current(store::KeyId key) const {
  return is_imported(key) ? key : index_.current(key);
}

/// The store's keys to which every input leads already.
KeySet KeyGraph::common_targets(const std::vector<KeySet>& from,
                                const std::vector<std::vector<CacheLink>>& inputs,
                                const Digest& op) {
  KeySet common;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    KeySet reached;
    for (std::size_t j = 0; j < inputs[i].size(); ++j) {
      store::KeyLink const link{static_cast<int>(i), op, inputs[i][j].selector};
      for (store::KeyId const key : follow(from[i][j], link)) solve::add_key(reached, key);
    }
    if (i == 0) common = reached;
    std::erase_if(common, [&](store::KeyId key) {
      return std::find(reached.begin(), reached.end(), key) == reached.end();
    });
  }
  return common;
}

store::KeyId KeyGraph::adopt(store::KeyId key) {
  if (!is_imported(key)) return key;
  // With a list of its own, not by recursion: caches come from elsewhere and may be deep.
  std::vector<std::size_t> path{static_cast<std::size_t>(key.value - kImportedBase)};
  while (!path.empty()) {
    Imported& own = imported_[path.back()];
    bool ready = true;
    for (const auto& links : own.record->inputs) {
      for (const CacheLink& link : links) {
        if (imported_[own.first + link.record].adopted) continue;
        ready = false;
        path.push_back(own.first + link.record);
      }
    }
    if (!ready) continue;
    path.pop_back();
    if (own.adopted) continue;
    if (own.record->inputs.empty()) {
      own.adopted = index_.add_root(own.record->digest);
      continue;
    }
    std::vector<KeySet> from;
    for (const auto& links : own.record->inputs) {
      KeySet& keys = from.emplace_back();
      for (const CacheLink& link : links) {
        keys.push_back(*imported_[own.first + link.record].adopted);
      }
    }
    KeySet const known = common_targets(from, own.record->inputs, own.record->digest);
    own.adopted = known.empty() ? index_.add_key(own.record->digest) : known.front();
    for (std::size_t i = 0; i < from.size(); ++i) {
      for (std::size_t j = 0; j < from[i].size(); ++j) {
        store::KeyLink const link{static_cast<int>(i), own.record->digest,
                                  own.record->inputs[i][j].selector};
        index_.add_link(from[i][j], link, *own.adopted);
      }
    }
  }
  return current(*imported(key).adopted);
}

}  // namespace cobuild::solve
