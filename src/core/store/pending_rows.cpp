#include "core/store/pending_rows.hpp"

#include <algorithm>
#include <charconv>

namespace cobuild::store {
namespace {

std::int64_t real_id(std::int64_t id, const WrittenIds& ids) {
  auto const found = ids.find(id);
  return found == ids.end() ? id : found->second;
}

template <class Map>
void replace_keys(Map& map, const WrittenIds& ids) {
  Map replaced;
  for (auto& [id, value] : map) replaced.emplace(real_id(id, ids), std::move(value));
  map = std::move(replaced);
}

/// NULLs are never equal in a primary key, so "no selector" is empty bytes.
Value selector_value(const std::optional<Digest>& selector) {
  return selector ? to_value(*selector) : Value(BlobValue{""});
}

std::int64_t write_key(Database& database, const Digest& op, bool root) {
  if (root) {
    database.run("INSERT OR IGNORE INTO keys(op, root) VALUES(?, 1)", {to_value(op)});
    Query found = database.query("SELECT id FROM keys WHERE op = ? AND root = 1", {to_value(op)});
    found.next();
    return found.integer(0);
  }
  database.run("INSERT INTO keys(op, root) VALUES(?, 0)", {to_value(op)});
  return database.last_insert_id();
}

bool has_layer(Database& database, LayerId layer) {
  return database.query("SELECT 1 FROM layers WHERE id = ?", {layer.value}).next();
}

void write_result(Database& database, std::int64_t key, const KeyResult& result) {
  // A layer may have been collected since it was made; a result without it would be a broken
  // promise.
  for (LayerId const layer : result.chain) {
    if (!has_layer(database, layer)) return;
  }
  std::string const chain = format_chain(result.chain);
  database.run(
      "INSERT INTO results(key, chain, created_at, ingredients) VALUES(?, ?, ?, ?) "
      "ON CONFLICT(key, chain) DO UPDATE SET created_at = max(created_at, excluded.created_at)",
      {key, std::string_view(chain), result.created_at.time_since_epoch().count(),
       std::string_view(result.ingredients)});
  Query row = database.query("SELECT id FROM results WHERE key = ? AND chain = ?",
                             {key, std::string_view(chain)});
  row.next();
  std::int64_t const id = row.integer(0);
  for (LayerId const layer : result.chain) {
    database.run("INSERT OR IGNORE INTO result_layers(layer, result) VALUES(?, ?)",
                 {layer.value, id});
  }
}

void drop_written_results(Database& database, std::int64_t key, Timestamp until) {
  std::int64_t const time = until.time_since_epoch().count();
  database.run(
      "DELETE FROM result_layers WHERE result IN "
      "(SELECT id FROM results WHERE key = ? AND created_at <= ?)",
      {key, time});
  database.run("DELETE FROM results WHERE key = ? AND created_at <= ?", {key, time});
}

}  // namespace

std::string layer_topic(LayerId layer) {
  return "layer " + std::to_string(layer.value);
}

std::string format_chain(const LayerChain& chain) {
  std::string out;
  for (LayerId const layer : chain) {
    if (!out.empty()) out += ',';
    out += std::to_string(layer.value);
  }
  return out;
}

LayerChain parse_chain(const std::string& text) {
  LayerChain chain;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    LayerId layer;
    auto const [next, error] = std::from_chars(at, end, layer.value);
    if (error != std::errc()) break;
    chain.push_back(layer);
    at = next + 1;
  }
  return chain;
}

bool PendingRows::empty() const noexcept {
  return keys_.empty() && links_.empty() && results_.empty() && notes_.empty() && dropped_.empty();
}

void PendingRows::add_key(std::int64_t id, const Digest& op, bool root) {
  keys_.push_back({id, op, root});
  if (root) roots_.emplace(op, id);
}

void PendingRows::add_link(std::int64_t from, const KeyLink& link, std::int64_t to) {
  auto const [begin, end] = links_.equal_range(from);
  bool const known = std::any_of(begin, end, [&](const auto& entry) {
    return entry.second.to == to && entry.second.link == link;
  });
  if (!known) links_.emplace(from, Link{link, to});
}

void PendingRows::add_result(std::int64_t key, KeyResult result) {
  results_.emplace(key, std::move(result));
}

void PendingRows::drop_results(std::int64_t key) {
  results_.erase(key);
  dropped_[key] = now();
}

void PendingRows::add_note(std::string topic, std::string name, std::optional<std::string> value,
                           std::optional<LayerId> layer, std::optional<Digest> blob) {
  notes_[{std::move(topic), std::move(name)}] = {std::move(value), layer, blob};
}

std::optional<std::int64_t> PendingRows::find_root(const Digest& op) const {
  auto const found = roots_.find(op);
  if (found == roots_.end()) return std::nullopt;
  return found->second;
}

void PendingRows::follow(std::int64_t from, const KeyLink& link, std::vector<KeyId>& out) const {
  auto const [begin, end] = links_.equal_range(from);
  for (auto entry = begin; entry != end; ++entry) {
    KeyId const key{entry->second.to};
    if (entry->second.link != link) continue;
    if (std::find(out.begin(), out.end(), key) == out.end()) out.push_back(key);
  }
}

void PendingRows::results(std::int64_t key, std::vector<KeyResult>& out) const {
  auto const [begin, end] = results_.equal_range(key);
  for (auto entry = begin; entry != end; ++entry) out.push_back(entry->second);
}

const std::optional<std::string>* PendingRows::find_note(const std::string& topic,
                                                         const std::string& name) const {
  auto const found = notes_.find({topic, name});
  return found == notes_.end() ? nullptr : &found->second.value;
}

std::map<std::string, std::optional<std::string>> PendingRows::notes_of(
    const std::string& topic) const {
  std::map<std::string, std::optional<std::string>> notes;
  for (auto at = notes_.lower_bound({topic, ""}); at != notes_.end() && at->first.first == topic; ++at) {
    notes.emplace(at->first.second, at->second.value);
  }
  return notes;
}

void PendingRows::write(Database& database, WrittenIds& ids) const {
  for (const Key& key : keys_) ids[key.id] = write_key(database, key.op, key.root);
  for (const auto& [from, link] : links_) {
    database.run(
        "INSERT OR IGNORE INTO links(source, input, op, selector, target) VALUES(?, ?, ?, ?, ?)",
        {real_id(from, ids), link.link.input, to_value(link.link.op),
         selector_value(link.link.selector), real_id(link.to, ids)});
  }
  for (const auto& [key, when] : dropped_) drop_written_results(database, real_id(key, ids), when);
  for (const auto& [key, result] : results_) write_result(database, real_id(key, ids), result);
  for (const auto& [name, note] : notes_) write_note(database, name.first, name.second, note);
}

void PendingRows::write_note(Database& database, std::string_view topic, std::string_view name,
                             const Note& note) {
  if (!note.value) {
    database.run("DELETE FROM notes WHERE topic = ? AND name = ?", {topic, name});
    return;
  }
  if (note.layer && !has_layer(database, *note.layer)) return;  // nobody would remove it
  database.run("INSERT OR REPLACE INTO notes(topic, name, value, written_at) VALUES(?, ?, ?, ?)",
               {topic, name, BlobValue{*note.value}, now().time_since_epoch().count()});
  if (!note.layer || !note.blob) return;
  database.run("INSERT OR IGNORE INTO layer_forms(layer, digest) VALUES(?, ?)",
               {note.layer->value, to_value(*note.blob)});
}

void PendingRows::replace_ids(const WrittenIds& ids) {
  for (auto& [op, id] : roots_) id = real_id(id, ids);
  for (auto& [from, link] : links_) link.to = real_id(link.to, ids);
  replace_keys(links_, ids);
  replace_keys(results_, ids);
  replace_keys(dropped_, ids);
}

}  // namespace cobuild::store
