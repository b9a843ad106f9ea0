#pragma once

/// What one solver knows, as a cache for another one; for tests.

#include <string>
#include <vector>

#include "core/solve/cache_record.hpp"

namespace cobuild::test {

/// `records` as another machine gets them: each layer is a blob somewhere.
inline solve::ImportedCache imported(const std::vector<solve::KeyRecord>& records) {
  solve::ImportedCache cache{"elsewhere", {}, {}};
  // In the order of what leads to what.
  std::vector<std::size_t> places(records.size(), records.size());
  for (std::size_t done = 0; done < records.size();) {
    for (std::size_t i = 0; i < records.size(); ++i) {
      if (places[i] != records.size()) continue;
      solve::ImportedRecord out{records[i].digest, {}, {}};
      bool ready = true;
      for (const auto& links : records[i].inputs) {
        auto& alternatives = out.inputs.emplace_back();
        for (const solve::CacheLink& link : links) {
          ready = ready && places[link.record] != records.size();
          alternatives.push_back({link.selector, places[link.record]});
        }
      }
      if (!ready) continue;
      if (records[i].result && !records[i].inputs.empty()) {
        std::string const name = "layer of " + records[i].digest.to_string();
        Digest const digest = Digest::of(name);
        out.results.push_back({{cache.layers.size()}, true, records[i].created_at});
        cache.layers.push_back({DiffId(digest),
                                {BlobDigest(digest), 1, "type", {"r.io/elsewhere"}, false},
                                {}});
      }
      places[i] = done++;
      cache.records.push_back(std::move(out));
    }
  }
  return cache;
}

}  // namespace cobuild::test
