// The keys of what was solved, in the shape of F5.3.

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "core/solve/solver_impl.hpp"

namespace cobuild::solve {
namespace {

std::string selector_text(const CacheLink& link) {
  return link.selector ? link.selector->to_string() : std::string();
}

/// Collects records, each once.
class Records {
 public:
  /// The index of the record with this digest and these inputs, made when it is new.
  std::size_t add(Digest digest, std::vector<std::vector<CacheLink>> inputs) {
    for (auto& links : inputs) {
      std::sort(links.begin(), links.end(), [](const CacheLink& a, const CacheLink& b) {
        return std::tie(a.record, a.selector) < std::tie(b.record, b.selector);
      });
      auto const same = [](const CacheLink& a, const CacheLink& b) {
        return a.record == b.record && a.selector == b.selector;
      };
      links.erase(std::unique(links.begin(), links.end(), same), links.end());
    }
    std::string name = digest.to_string();
    for (const auto& links : inputs) {
      name += '\n';
      for (const auto& link : links)
        name += std::to_string(link.record) + selector_text(link) + ',';
    }
    auto const [place, is_new] = places_.emplace(std::move(name), records_.size());
    if (is_new) records_.push_back({digest, std::move(inputs), {}, {}});
    return place->second;
  }

  KeyRecord& operator[](std::size_t index) { return records_[index]; }

  /// In an order that depends on nothing but what the records are (F5.3.6).
  std::vector<KeyRecord> sorted() && {
    std::vector<std::size_t> order(records_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return sort_key(a) < sort_key(b); });
    std::vector<std::size_t> places(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) places[order[i]] = i;
    std::vector<KeyRecord> out;
    for (std::size_t const index : order) {
      KeyRecord record = std::move(records_[index]);
      for (auto& links : record.inputs) {
        for (auto& link : links) link.record = places[link.record];
        std::sort(links.begin(), links.end(),
                  [](const CacheLink& a, const CacheLink& b) {
                    return std::tie(a.record, a.selector) < std::tie(b.record, b.selector);
                  });
      }
      out.push_back(std::move(record));
    }
    return out;
  }

 private:
  /// Digest, then how many inputs and alternatives, then what these are; at last, when it came.
  [[nodiscard]] std::tuple<Digest, std::size_t, std::string, std::size_t> sort_key(
      std::size_t index) const {
    const KeyRecord& record = records_[index];
    std::string text;
    for (const auto& links : record.inputs) {
      text += std::to_string(links.size()) + ':';
      std::vector<std::string> alternatives;
      for (const auto& link : links) {
        alternatives.push_back(selector_text(link) + '@' + records_[link.record].digest.hex());
      }
      std::sort(alternatives.begin(), alternatives.end());
      for (const std::string& alternative : alternatives) text += alternative + ',';
    }
    return {record.digest, record.inputs.size(), std::move(text), index};
  }

  std::vector<KeyRecord> records_;
  std::map<std::string, std::size_t> places_;
};

}  // namespace

std::vector<KeyRecord> Solver::Impl::key_records() {
  Records records;
  std::map<const EdgeState*, std::vector<std::size_t>> exported;
  // Inputs come before their users in edge_order_.
  for (EdgeState* const edge : edge_order_) {
    VertexState& vertex = *edge->vertex;
    if (edge->known_keys.empty() || vertex.maps.empty()) continue;
    std::vector<std::size_t>& own = exported[edge];
    if (vertex.inputs.empty()) {
      for (const CacheMap& map : vertex.maps) {
        own.push_back(records.add(root_key(map.op, edge->output), {}));
      }
    } else if (edge->match) {
      Digest const name = root_key(vertex.maps[0].op, edge->output);
      std::vector<std::vector<CacheLink>> inputs(vertex.inputs.size());
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const CacheDependency& dependency = edge->match->dependency(i);
        if (!dependency.content_only) {
          for (std::size_t const record : exported[vertex.inputs[i]]) {
            inputs[i].push_back({dependency.selector, record});
          }
        }
        if (const auto& content = edge->match->content(i)) {
          inputs[i].push_back({std::nullopt, records.add(content_key(*content), {})});
        }
      }
      // What earlier builds found out about a key that was hit without looking at its inputs.
      for (store::KeyId const key : edge->known_keys) {
        for (const auto& [root, link] : keys_.root_links(key)) {
          auto const input = static_cast<std::size_t>(link.input);
          if (link.op != name || link.selector || input >= inputs.size()) continue;
          inputs[input].push_back({std::nullopt, records.add(root, {})});
        }
      }
      bool const complete = std::none_of(inputs.begin(), inputs.end(),
                                         [](const auto& links) { return links.empty(); });
      if (complete) own.push_back(records.add(name, std::move(inputs)));
    }
    for (store::KeyId const key : edge->known_keys) {
      for (store::KeyResult& result : keys_.results(key)) {
        if (edge->known_result && edge->known_result->layers != result.chain) continue;
        for (std::size_t const record : own) {
          if (records[record].result && records[record].created_at >= result.created_at) continue;
          records[record].result = Result{result.chain, nullptr};
          records[record].created_at = result.created_at;
        }
      }
    }
  }
  return std::move(records).sorted();
}

}  // namespace cobuild::solve
