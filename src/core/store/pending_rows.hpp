#pragma once

/// Rows that were added and are not written yet, and how to look things up in them. Private to
/// core/store.
///
/// Keys that are not written have negative ids; writing gives them their real ones.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/store/database.hpp"
#include "core/store/key_index.hpp"

namespace cobuild::store {

/// What the negative ids of written keys have become.
using WrittenIds = std::unordered_map<std::int64_t, std::int64_t>;

class PendingRows {
 public:
  [[nodiscard]] bool empty() const noexcept;

  void add_key(std::int64_t id, const Digest& op, bool root);
  void add_link(std::int64_t from, const KeyLink& link, std::int64_t to);
  void add_result(std::int64_t key, KeyResult result);
  /// Also of what the database has: those that are there when this is written and are not newer.
  void drop_results(std::int64_t key);
  /// `value`: nullopt removes the note. `layer`: without it, the note is not written. `blob`: lives
  /// as long as the layer.
  void add_note(std::string topic, std::string name, std::optional<std::string> value,
                std::optional<LayerId> layer = std::nullopt,
                std::optional<Digest> blob = std::nullopt);

  [[nodiscard]] std::optional<std::int64_t> find_root(const Digest& op) const;
  void follow(std::int64_t from, const KeyLink& link, std::vector<KeyId>& out) const;
  void results(std::int64_t key, std::vector<KeyResult>& out) const;
  [[nodiscard]] bool has_dropped(std::int64_t key) const { return dropped_.contains(key); }
  /// Null when nothing was added; nullopt inside when the note is to go.
  [[nodiscard]] const std::optional<std::string>* find_note(const std::string& topic,
                                                            const std::string& name) const;

  /// By name; those to be removed are nullopt.
  [[nodiscard]] std::map<std::string, std::optional<std::string>> notes_of(
      const std::string& topic) const;

  /// Writes all rows within the caller's transaction and tells the real ids. `ids` has those of
  /// earlier batches.
  void write(Database& database, WrittenIds& ids) const;

  /// Puts real ids in the place of negative ones.
  void replace_ids(const WrittenIds& ids);

 private:
  struct Key {
    std::int64_t id;
    Digest op;
    bool root;
  };
  struct Link {
    KeyLink link;
    std::int64_t to;
  };
  struct Note {
    std::optional<std::string> value;
    std::optional<LayerId> layer;
    std::optional<Digest> blob;
  };
  static void write_note(Database& database, std::string_view topic, std::string_view name,
                         const Note& note);

  std::vector<Key> keys_;
  std::unordered_map<Digest, std::int64_t> roots_;
  std::unordered_multimap<std::int64_t, Link> links_;
  std::unordered_multimap<std::int64_t, KeyResult> results_;
  std::unordered_map<std::int64_t, Timestamp> dropped_;  ///< Keys, and when.
  std::map<std::pair<std::string, std::string>, Note> notes_;
};

/// The topic of the notes about a layer.
[[nodiscard]] std::string layer_topic(LayerId layer);

/// "1,2,3": a chain as the results table has it.
[[nodiscard]] std::string format_chain(const LayerChain& chain);
[[nodiscard]] LayerChain parse_chain(const std::string& text);

}  // namespace cobuild::store
