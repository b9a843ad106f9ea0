#include "oci/spec/cache_config.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/base/error.hpp"
#include "oci/spec/json_members.hpp"
#include "oci/spec/json_text.hpp"

namespace cobuild::oci {
namespace {

namespace json = boost::json;

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw Error(ErrorKind::kCorrupt, "cache config: " + path + " " + what);
}

/// A member that is an index into a list of `count`.
std::size_t read_index(std::int64_t value, std::size_t count, const std::string& path) {
  if (value < 0 || static_cast<std::uint64_t>(value) >= count) {
    refuse(path, "is " + std::to_string(value) + ", and there are " + std::to_string(count));
  }
  return static_cast<std::size_t>(value);
}

std::optional<Timestamp> read_time(const Members& members) {
  return try_parse_rfc3339(members.text("createdAt"));
}

std::size_t count_of(const Members& members, std::string_view name) {
  const json::value* const value = members.find(name);
  return value != nullptr && value->is_array() ? value->get_array().size() : 0;
}

std::optional<CacheLayerAnnotations> read_annotations(const Members& layer) {
  const json::value* const value = layer.find("annotations");
  if (value == nullptr) return std::nullopt;
  Members const annotations(*value, layer.path_of("annotations"));
  CacheLayerAnnotations read{.media_type = annotations.text("mediaType"),
                             .diff_id = {},
                             .size = annotations.integer("size"),
                             .created_at = read_time(annotations)};
  if (auto const diff_id = Digest::try_parse(annotations.text("diffID"))) {
    read.diff_id = DiffId(*diff_id);
  }
  if (read.size < 0) annotations.throw_wrong("size", "a size");
  return read;
}

/// `blob_bytes` is what else is said of the layer's size.
CachePack read_pack(const Members& pack, const std::string& path, std::int64_t blob_bytes) {
  std::int64_t const size = pack.integer("size");
  std::int64_t const offset = pack.integer("offset");
  std::int64_t const length = pack.integer("length");
  if (offset < 0 || length <= 0 || length > size || offset > size - length) {
    refuse(path, "cannot have " + std::to_string(length) + " bytes at " + std::to_string(offset) +
                     ": it has " + std::to_string(size));
  }
  if (length != blob_bytes) refuse(pack.path_of("length"), "is not the layer's size");
  return CachePack{BlobDigest(parse_digest_member(pack.text("digest"), pack.path_of("digest"))),
                   static_cast<std::uint64_t>(size), static_cast<std::uint64_t>(offset),
                   static_cast<std::uint64_t>(length)};
}

CacheLayer read_layer(const json::value& value, const std::string& path, std::size_t count) {
  Members const members(value, path);
  CacheLayer layer{BlobDigest(parse_digest_member(members.text("blob"), members.path_of("blob"))),
                   {},
                   {}};
  // Absent is 0 (F5.3.2).
  std::int64_t const parent = members.integer("parent");
  if (parent != -1) layer.parent = read_index(parent, count, members.path_of("parent"));
  layer.annotations = read_annotations(members);
  if (const json::value* const value_of_pack = members.find("pack")) {
    Members const pack(*value_of_pack, members.path_of("pack"));
    layer.annotations = read_annotations(pack);
    layer.pack = read_pack(pack, members.path_of("pack"),
                           layer.annotations ? layer.annotations->size : 0);
  }
  return layer;
}

/// A record of the text. `unknown`: it, or an input without which it cannot be reached, is in terms
/// that we do not have.
struct ReadRecord {
  CacheRecord record;
  bool unknown = false;
};

std::vector<CacheRecord::Input> read_alternatives(const json::value& value, const std::string& path,
                                                  std::size_t records) {
  const json::array* const items = value.if_array();
  if (items == nullptr || items->empty()) refuse(path, "has no alternatives");
  std::vector<CacheRecord::Input> alternatives;
  for (const json::value& item : *items) {
    Members const members(item, path);
    CacheRecord::Input input;
    input.link = read_index(members.integer("link"), records, members.path_of("link"));
    if (std::string const selector = members.text("selector"); !selector.empty()) {
      input.selector = Digest::try_parse(selector);
      if (!input.selector) continue;
    }
    alternatives.push_back(input);
  }
  return alternatives;
}

void read_results(const Members& members, std::size_t layers, CacheRecord& record) {
  members.for_each("layers", [&](const json::value& item, const std::string& path) {
    Members const result(item, path);
    record.results.push_back(
        {read_index(result.integer("layer"), layers, result.path_of("layer")), read_time(result)});
  });
  members.for_each("chains", [&](const json::value& item, const std::string& path) {
    Members const result(item, path);
    CacheRecord::Chain chain{{}, read_time(result)};
    result.for_each("layers", [&](const json::value& index, const std::string& at) {
      if (!index.is_int64()) refuse(at, "is no number");
      chain.layers.push_back(read_index(index.get_int64(), layers, at));
    });
    if (!chain.layers.empty()) record.chains.push_back(std::move(chain));
  });
}

ReadRecord read_record(const json::value& value, const std::string& path, std::size_t layers,
                       std::size_t records) {
  Members const members(value, path);
  auto const digest = Digest::try_parse(members.text("digest"));
  ReadRecord read{{digest.value_or(Digest::of(std::string_view())), {}, {}, {}}, !digest};
  read_results(members, layers, read.record);
  members.for_each("inputs", [&](const json::value& item, const std::string& at) {
    read.record.inputs.push_back(read_alternatives(item, at, records));
    read.unknown |= read.record.inputs.back().empty();
  });
  return read;
}

/// Inputs before what they lead to, and without those that are unknown. \throws Error for a loop.
std::vector<CacheRecord> in_order(std::vector<ReadRecord> read) {
  enum class State { kNew, kOpen, kDone };
  struct Visit {
    std::size_t record;
    std::size_t input = 0;
    std::size_t alternative = 0;
  };
  std::vector<State> states(read.size(), State::kNew);
  std::vector<std::size_t> places(read.size());
  std::vector<CacheRecord> out;
  auto const finish = [&](std::size_t index) {
    ReadRecord& own = read[index];
    for (auto& alternatives : own.record.inputs) {
      std::erase_if(alternatives, [&](const auto& input) { return read[input.link].unknown; });
      own.unknown |= alternatives.empty();
      for (CacheRecord::Input& input : alternatives) input.link = places[input.link];
    }
    states[index] = State::kDone;
    if (own.unknown) return;
    places[index] = out.size();
    out.push_back(std::move(own.record));
  };
  for (std::size_t first = 0; first < read.size(); ++first) {
    if (states[first] != State::kNew) continue;
    std::vector<Visit> path{{first}};  // not by recursion: it may be deep
    states[first] = State::kOpen;
    while (!path.empty()) {
      Visit& visit = path.back();
      const auto& inputs = read[visit.record].record.inputs;
      if (visit.input == inputs.size()) {
        finish(visit.record);
        path.pop_back();
      } else if (visit.alternative == inputs[visit.input].size()) {
        ++visit.input;
        visit.alternative = 0;
      } else {
        std::size_t const next = inputs[visit.input][visit.alternative++].link;
        if (states[next] == State::kOpen) refuse("records[" + std::to_string(next) + "]", "is in a loop");
        if (states[next] == State::kDone) continue;
        states[next] = State::kOpen;
        path.push_back({next});
      }
    }
  }
  return out;
}

std::vector<CacheRecord> read_records(const json::array& items, const std::string& path,
                                      std::size_t layers) {
  std::vector<ReadRecord> read;
  for (std::size_t i = 0; i < items.size(); ++i) {
    read.push_back(
        read_record(items[i], path + "[" + std::to_string(i) + "]", layers, items.size()));
  }
  return in_order(std::move(read));
}

/// \throws Error for a layer that lies on itself.
void check_parents(const std::vector<CacheLayer>& layers) {
  std::vector<bool> ends(layers.size());  // those whose parents are known to end
  for (std::size_t first = 0; first < layers.size(); ++first) {
    std::size_t steps = 0;
    std::optional<std::size_t> at = first;
    for (; at && !ends[*at]; at = layers[*at].parent) {
      if (++steps > layers.size()) refuse("layers[" + std::to_string(first) + "]", "is in a loop");
    }
    for (at = first; at && !ends[*at]; at = layers[*at].parent) ends[*at] = true;
  }
}

std::string time_text(const std::optional<Timestamp>& time) {
  return time ? format_rfc3339(*time) : "0001-01-01T00:00:00Z";
}

json::object write(const CacheLayer& layer) {
  json::object object{{"blob", layer.blob.to_string()}};
  if (!layer.parent) object["parent"] = -1;
  if (layer.parent && *layer.parent != 0) object["parent"] = *layer.parent;
  if (!layer.annotations) return object;
  json::object annotations;
  if (!layer.annotations->media_type.empty()) annotations["mediaType"] = layer.annotations->media_type;
  if (layer.annotations->diff_id) annotations["diffID"] = layer.annotations->diff_id->to_string();
  if (layer.annotations->size != 0) annotations["size"] = layer.annotations->size;
  annotations["createdAt"] = time_text(layer.annotations->created_at);
  if (!layer.pack) {
    object["annotations"] = std::move(annotations);
    return object;
  }
  // The annotations, too: BuildKit refuses a cache that has none. It would take hits of it, else, and
  // its build would end when the objects of the layers are not there.
  object["pack"] = {{"digest", layer.pack->digest.to_string()},
                    {"size", layer.pack->size},
                    {"offset", layer.pack->offset},
                    {"length", layer.pack->length},
                    {"annotations", std::move(annotations)}};
  return object;
}

json::object write(const CacheRecord& record) {
  json::object object;
  json::array results;
  for (const auto& result : record.results) {
    results.push_back({{"layer", result.layer}, {"createdAt", time_text(result.created_at)}});
  }
  if (!results.empty()) object["layers"] = std::move(results);
  json::array chains;
  for (const auto& chain : record.chains) {
    json::array layers(chain.layers.begin(), chain.layers.end());
    chains.push_back({{"layers", std::move(layers)}, {"createdAt", time_text(chain.created_at)}});
  }
  if (!chains.empty()) object["chains"] = std::move(chains);
  object["digest"] = record.digest.to_string();
  json::array inputs;
  for (const auto& alternatives : record.inputs) {
    json::array list;
    for (const CacheRecord::Input& input : alternatives) {
      json::object link;
      if (input.selector) link["selector"] = input.selector->to_string();
      link["link"] = input.link;
      list.push_back(std::move(link));
    }
    inputs.push_back(std::move(list));
  }
  if (!inputs.empty()) object["inputs"] = std::move(inputs);
  return object;
}

template <class Items>
json::array write_all(const Items& items) {
  json::array array;
  for (const auto& item : items) array.push_back(write(item));
  return array;
}

/// Where each item goes, when sorted by what `key` says of its index.
template <class Key>
std::vector<std::size_t> sorted_places(std::size_t count, Key key) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(key(a), a) < std::tuple(key(b), b);
  });
  std::vector<std::size_t> places(count);
  for (std::size_t i = 0; i < count; ++i) places[order[i]] = i;
  return places;
}

template <class Item>
std::vector<Item> moved_to(std::vector<Item> items, const std::vector<std::size_t>& places) {
  std::vector<std::size_t> from(items.size());
  for (std::size_t i = 0; i < places.size(); ++i) from[places[i]] = i;
  std::vector<Item> out;
  for (std::size_t const index : from) out.push_back(std::move(items[index]));
  return out;
}

void sort_layers(CacheConfig& config) {
  // Before its number, which depends on the order.
  auto const key = [&](std::size_t i) {
    const auto& parent = config.layers[i].parent;
    return std::tuple(config.layers[i].blob.to_string(),
                      parent ? config.layers[*parent].blob.to_string() : std::string());
  };
  auto const places = sorted_places(config.layers.size(), key);
  for (CacheLayer& layer : config.layers) {
    if (layer.parent) layer.parent = places[*layer.parent];
  }
  config.layers = moved_to(std::move(config.layers), places);
  for (CacheRecord& record : config.records) {
    for (auto& result : record.results) result.layer = places[result.layer];
    for (auto& chain : record.chains) {
      for (std::size_t& layer : chain.layers) layer = places[layer];
    }
  }
}

void sort_records(CacheConfig& config) {
  auto const key = [&](std::size_t i) {
    const CacheRecord& record = config.records[i];
    std::string text;
    for (const auto& alternatives : record.inputs) {
      std::vector<std::string> links;
      for (const auto& input : alternatives) {
        links.push_back((input.selector ? input.selector->to_string() : "") + "@" +
                        config.records[input.link].digest.to_string());
      }
      std::sort(links.begin(), links.end());
      text += std::to_string(links.size()) + ":";
      for (const std::string& link : links) text += link + ",";
    }
    return std::tuple(record.digest.to_string(), record.inputs.size(), std::move(text));
  };
  auto const places = sorted_places(config.records.size(), key);
  for (CacheRecord& record : config.records) {
    for (auto& alternatives : record.inputs) {
      for (auto& input : alternatives) input.link = places[input.link];
      std::sort(alternatives.begin(), alternatives.end(), [](const auto& a, const auto& b) {
        return std::tie(a.link, a.selector) < std::tie(b.link, b.selector);
      });
    }
  }
  config.records = moved_to(std::move(config.records), places);
}

}  // namespace

CacheConfig parse_cache_config(std::string_view text) {
  json::value const value = parse_json(text, "cache config");
  Members const members(value, "cache config");
  CacheConfig config;
  std::size_t const layers = count_of(members, "layers");
  members.for_each("layers", [&](const json::value& item, const std::string& path) {
    config.layers.push_back(read_layer(item, path, layers));
  });
  check_parents(config.layers);
  if (const json::value* const records = members.find("records")) {
    if (!records->is_array()) members.throw_wrong("records", "a list");
    config.records = read_records(records->get_array(), members.path_of("records"), layers);
  }
  return config;
}

std::vector<CacheRecord> parse_cache_records(std::string_view text, std::size_t layers) {
  json::value const value = parse_json(text, "inline cache");
  if (value.is_null()) return {};
  if (!value.is_array()) refuse("records", "is no list");
  return read_records(value.get_array(), "records", layers);
}

std::string to_json(const CacheConfig& config) {
  json::object object;
  if (!config.layers.empty()) object["layers"] = write_all(config.layers);
  if (!config.records.empty()) object["records"] = write_all(config.records);
  return to_compact_text(object);
}

std::string to_json(const std::vector<CacheRecord>& records) {
  return to_compact_text(write_all(records));
}

void sort_cache_config(CacheConfig& config) {
  sort_layers(config);
  sort_records(config);
}

}  // namespace cobuild::oci
