#pragma once

/// Which keys an edge may have, judged from what is known of its inputs. Decides, and does nothing
/// else: no files, no coroutines. Private to core/solve.

#include <cstddef>
#include <optional>
#include <vector>

#include "core/base/digest.hpp"
#include "core/solve/key_graph.hpp"
#include "core/solve/op.hpp"

namespace cobuild::solve {

/// sha256 of "digest@output": the name of an op's output among root keys and links (F2.6.1).
[[nodiscard]] Digest root_key(const Digest& op, int output);

/// The root key that stands for a content digest.
[[nodiscard]] Digest content_key(const Digest& content);

/// Everything known of one edge's inputs; grows while the solver looks closer.
class EdgeMatch {
 public:
  /// Edge (`op`, `output`), with one dependency for each input.
  EdgeMatch(KeyGraph& graph, Digest op, int output,
            std::vector<CacheDependency> dependencies);

  [[nodiscard]] std::size_t input_count() const noexcept { return inputs_.size(); }
  [[nodiscard]] const CacheDependency& dependency(std::size_t input) const {
    return inputs_[input].dependency;
  }

  /// Input `input` is known by these keys. With `may_match` false (it was forced to run again) they
  /// are linked to, but nothing is looked for through them. Nothing happens for content_only
  /// inputs.
  void add_definition_keys(std::size_t input, const KeySet& keys, bool may_match);
  /// What the op reads of input `input` has this digest.
  void set_content(std::size_t input, const Digest& content);
  [[nodiscard]] const std::optional<Digest>& content(std::size_t input) const {
    return inputs_[input].content;
  }
  [[nodiscard]] const KeySet& definition_keys(std::size_t input) const {
    return inputs_[input].definition;
  }

  /// Keys that may be the edge's, as far as this input tells.
  [[nodiscard]] KeySet candidates(std::size_t input) const;
  /// Keys that are the edge's, as far as all inputs tell (F2.6.18).
  [[nodiscard]] KeySet matches() const;
  /// Whether each input has a key, so that the edge can be recorded.
  [[nodiscard]] bool is_linkable() const;

  /// The store's key for a result made from these inputs: one that all of them lead to, else a new
  /// one.
  /// Where an input's content is known, a key that only its definition leads to will not do: that
  /// one is of a time when the same definition gave other files, and is found through those still.
  [[nodiscard]] store::KeyId key_for_result();
  /// Lets every input's every key lead to `key` (F2.6.19). Not imported ones: they are as they are,
  /// and a `key` that is one stays out of this too, until it is adopted.
  void link(store::KeyId key);

 private:
  struct Input {
    CacheDependency dependency;
    KeySet definition;  ///< All keys.
    KeySet matchable;   ///< Those that something may be looked for through.
    std::optional<Digest> content;
  };
  [[nodiscard]] KeySet follow(std::size_t input, const KeySet& keys, bool with_content) const;
  template <class Candidates>
  [[nodiscard]] KeySet intersect(Candidates candidates) const;

  KeyGraph& graph_;
  Digest name_;  ///< root_key of the edge.
  std::vector<Input> inputs_;
};

}  // namespace cobuild::solve
