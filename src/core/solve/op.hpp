#pragma once

/// What the solver asks of an op: how are you cached, and run. It never looks inside.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/llb/definition.hpp"
#include "core/progress/events.hpp"
#include "core/solve/description.hpp"
#include "core/store/types.hpp"

namespace cobuild::solve {

/// A result that is not (yet) layers: the build context in the user's directory. Ops know the
/// concrete type; the solver only passes it on, and never records it.
class Unstored {
 public:
  virtual ~Unstored() = default;
};

/// What one output of an op is. Copyable and cheap.
struct Result {
  store::LayerChain layers;                  ///< Empty, with no `unstored`: scratch.
  std::shared_ptr<const Unstored> unstored;  ///< Set: `layers` is empty and nothing is recorded.
};

/// How an op depends on one of its inputs, for caching.
struct CacheDependency {
  std::optional<Digest> selector;  ///< Goes with the input's key (F2.6.3, F2.6.5).
  bool content_keyed = false;      ///< content_digest may be asked for this input (F2.6.17).
  /// The input's own key says nothing about what the op reads: only the content counts, so no
  /// record is looked for, or linked, by definition.
  bool content_only = false;
};

/// One way an op can be recognised. Most have one; a pulled image has two (F2.6.7).
struct CacheMap {
  Digest op;  ///< The op's own digest: type and parameters, no inputs (F2.6.2 to F2.6.11).
  std::vector<CacheDependency> dependencies;  ///< One for each of the vertex's inputs.
};

/// Where an op says what it does while it runs. Lives on the loop; the vertex is known.
class StepSink {
 public:
  virtual ~StepSink() = default;
  virtual void log(int stream, std::string_view data) = 0;
  /// `id` names the part; call again with a higher `current`; `done` ends it.
  virtual void status(std::string_view id, std::int64_t current, std::int64_t total, bool done) = 0;
  virtual void warn(std::string_view text) = 0;
};

/// One vertex's work. Made for one solve, used on the loop.
class Op {
 public:
  virtual ~Op() = default;

  /// The ways in which this op is recognised, the cheapest first. Never needs the inputs' files. A
  /// source may have to ask the network (to resolve a tag). Cancellable.
  virtual Task<std::vector<CacheMap>> cache_maps(StepSink& step) = 0;

  /// The digest of what this op reads of its input `index` (F2.6.12 to F2.6.16). Called only where
  /// CacheDependency::content_keyed. \throws Error kNotFound when a needed path is missing.
  virtual Task<Digest> content_digest(std::size_t index, Result input, StepSink& step) = 0;

  /// Does the work. `inputs` are those of the vertex, in order. Returns one result for each output.
  virtual Task<std::vector<Result>> run(std::vector<Result> inputs, StepSink& step) = 0;

  /// What this op is, for people who ask why it ran; its kind is empty for what nobody asks about.
  /// Only after cache_maps.
  [[nodiscard]] virtual OpDescription describe() const { return {}; }

  /// Which files of an unstored input content_digest has read; nullopt when that is not known. Only
  /// after content_digest. Cancellable.
  virtual Task<std::optional<FileList>> read_files(std::size_t /*index*/, Result /*input*/) {
    co_return std::nullopt;
  }

  /// Whether `run` takes one of the worker's slots (exec, file, source: F2.6.25).
  [[nodiscard]] virtual bool takes_slot() const { return true; }
};

/// Makes ops: the one switch over vertex types is behind this.
class OpResolver {
 public:
  virtual ~OpResolver() = default;
  /// \throws Error kUnsupported for what this build of cobuild cannot run.
  virtual std::unique_ptr<Op> resolve(std::shared_ptr<const llb::Vertex> vertex) = 0;
};

}  // namespace cobuild::solve
