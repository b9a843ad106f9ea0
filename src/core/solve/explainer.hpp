#pragma once

/// Finds the earlier record that is nearest to a step that ran, and what differs. Private to
/// core/solve.
///
/// Whether an input is the same is asked of the keys, as the solver does: whether one of those that
/// the input has leads to the record. What is different in words is in the descriptions.

#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/async/task.hpp"
#include "core/solve/explanation.hpp"
#include "core/solve/key_graph.hpp"
#include "core/store/store.hpp"

namespace cobuild::solve {

struct EdgeState;

class Explainer {
 public:
  /// Both must outlive it. Records that are made from now on are not earlier ones.
  Explainer(store::Store& store, KeyGraph& keys);

  /// Reads the newest records; once, and again does nothing.
  Task<void> load();

  /// Why `edge` ran. It and what leads to it are described, and its keys are known. After load().
  [[nodiscard]] Explanation explain(const EdgeState& edge);

 private:
  struct Record {
    store::KeyId key;
    Timestamp created_at;
    StepDescription step;
  };
  /// An input that is another one, and what it was.
  struct OtherInput {
    const EdgeState* now;
    const Record* before;  ///< Null: not known.
  };
  struct Comparison {
    std::vector<Difference> differences;
    std::vector<OtherInput> inputs;
  };
  using Sources = std::vector<store::KeyIndex::Source>;

  [[nodiscard]] const Record* find_nearest(const EdgeState& edge);
  [[nodiscard]] std::vector<const Record*> find_likely(const EdgeState& edge) const;
  [[nodiscard]] Comparison compare_with(const EdgeState& edge, const Record& record);
  void compare_input(const EdgeState& edge, std::size_t input, const Record& record,
                     const Sources& sources, Comparison& out);
  [[nodiscard]] std::optional<Difference> compare_content(const EdgeState& edge, std::size_t input,
                                                          const Record& record,
                                                          const Sources& sources);
  void tell_files(const EdgeState& edge, std::size_t input, const ContentNote& before,
                  Difference& difference);
  [[nodiscard]] std::optional<FileList> read_list(store::LayerId layer, const Digest& content);
  [[nodiscard]] bool has_common_key(const EdgeState& edge, std::size_t input, const Sources& sources);
  [[nodiscard]] const Record* find_record(std::size_t input, const Sources& sources,
                                          const std::string& kind) const;
  void find_causes(Comparison comparison, Explanation& out);
  [[nodiscard]] std::optional<NearestImport> find_import(const EdgeState& edge);

  store::Store& store_;
  KeyGraph& keys_;
  Timestamp started_;
  bool loaded_ = false;
  std::vector<Record> records_;  ///< Newest first.
  std::unordered_multimap<std::int64_t, std::size_t> by_key_;
};

}  // namespace cobuild::solve
