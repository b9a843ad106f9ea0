#pragma once

/// Cache keys, the links between them, and the results they lead to (F2.6.1, F2.6.18, F5.1.7).
///
/// A key is a node. A root key stands for (op digest, output) of an op without inputs. Any other
/// key is reached through links: "input I, seen as key K through selector S, of (op digest, output)
/// D". An op's result is found when one key is reached through every one of its inputs. The same
/// key may be reached by several links: that is how a record is found by definition and by content
/// alike.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/store/store.hpp"
#include "core/store/types.hpp"

namespace cobuild::store {

/// A row of the key table, in one store.
struct KeyId {
  std::int64_t value = 0;
  friend auto operator<=>(const KeyId&, const KeyId&) = default;
};

/// How an input of an op reaches a key.
struct KeyLink {
  int input = 0;
  Digest op;  ///< rootKey(op digest, output): sha256 of "digest@output" (F2.6.1).
  std::optional<Digest> selector;
  friend bool operator==(const KeyLink&, const KeyLink&) = default;
};

/// What a key leads to.
struct KeyResult {
  LayerChain chain;
  Timestamp created_at;
  std::string ingredients;  ///< JSON: what the key was made of, for explaining a miss. No secrets.
};

/// All lookups are short and run on the loop; additions are seen at once, and written by
/// Store::publish.
class KeyIndex {
 public:
  explicit KeyIndex(Store& store) : store_(store) {}

  /// The key of an op without inputs, if it was ever recorded.
  [[nodiscard]] std::optional<KeyId> find_root(Digest op);
  /// The keys reached from `from` through `link`.
  [[nodiscard]] std::vector<KeyId> follow(KeyId from, const KeyLink& link);
  /// What `key` leads to, newest first.
  [[nodiscard]] std::vector<KeyResult> results(KeyId key);

  /// A link to a key from a root key.
  struct RootLink {
    Digest root;  ///< The root key's op, as in find_root.
    KeyLink link;
  };
  /// The links to `key` from root keys: contents and sources that are known to lead to it. Only
  /// what has been written (Store::publish).
  [[nodiscard]] std::vector<RootLink> root_links(KeyId key);

  /// A result, and the key that leads to it.
  struct RecordedResult {
    KeyId key;
    KeyResult result;
  };
  /// The `count` newest results among those made before `time`, newest first, on the pool. Only
  /// what has been written.
  Task<std::vector<RecordedResult>> newest_results(Timestamp time, std::size_t count);

  /// A link to a key.
  struct Source {
    KeyId from;
    int input = 0;
    Digest op;  ///< As in KeyLink.
  };
  /// All links to `key`. Only what has been written.
  [[nodiscard]] std::vector<Source> sources(KeyId key);

  /// The id that a key has by now: one that was just made gets another when it is written. Both may
  /// be used; take this before comparing ids.
  [[nodiscard]] KeyId current(KeyId key) const;

  /// Makes (or finds) a root key.
  KeyId add_root(Digest op);
  /// Makes a fresh key for an op with inputs.
  KeyId add_key(Digest op);
  void add_link(KeyId from, const KeyLink& link, KeyId to);
  void add_result(KeyId key, KeyResult result);
  /// Forgets a result whose layers could not be loaded.
  void drop_results(KeyId key);

 private:
  Store& store_;
};

}  // namespace cobuild::store
