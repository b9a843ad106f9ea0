#pragma once

/// Where the time of a build goes, by phase: for --timings.
///
/// Like a logger, the recorder is one for the process: one process runs one build, and what is
/// measured lies in every folder. It is off until asked for; then a Span costs two readings of the
/// clock and two short locks, and otherwise the reading of one flag. Nothing depends on what it
/// holds.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

namespace cobuild {

/// What a build spends its time on, in the order in which it is told. Phases overlap: a commit
/// writes to the store, and steps run side by side.
enum class Phase {
  kStart,      ///< Loading the executable, static initialisation, reading the command line.
  kNamespace,  ///< Entering the sandbox: namespaces, the maps of ids, the second process.
  kParse,      ///< Reading the Dockerfile or the LLB, and what is made of it.
  kScan,       ///< Listing a context.
  kHash,       ///< Digests of contents.
  kResolve,    ///< Manifests and configs of images.
  kProbe,      ///< Looking for a record of an edge.
  kStore,      ///< Opening and closing the store, its transactions and lookups.
  kPull,       ///< Downloading and unpacking layers.
  kCopy,       ///< Actions of file ops.
  kMount,      ///< Mounting and unmounting trees of layers, or copying them without overlayfs.
  kRuntime,    ///< The OCI runtime and the step's own program, from start to exit.
  kCommit,     ///< Making directories layers of the store.
  kSeal,       ///< Diffing and compressing layers.
  kExport,     ///< Writing results.
  kFlush,      ///< Seeing to it, at the end, that what was added outlasts this boot.
  kClose,      ///< Then: unmounting and removing what the build had for itself.
};
inline constexpr std::size_t kPhases = static_cast<std::size_t>(Phase::kClose) + 1;

/// "start", "namespace", ...
[[nodiscard]] std::string_view to_string(Phase phase) noexcept;

/// What processes have used so far.
struct ResourceUse {
  std::chrono::microseconds user{0};
  std::chrono::microseconds system{0};
  std::int64_t peak_bytes = 0;  ///< The most memory that one of them had resident at once.

  friend bool operator==(const ResourceUse&, const ResourceUse&) = default;
};

/// This process and its children that have ended.
[[nodiscard]] ResourceUse resources_used() noexcept;
/// Both, one after the other or side by side.
[[nodiscard]] ResourceUse operator+(const ResourceUse& a, const ResourceUse& b) noexcept;

/// Adds up the intervals of each phase. All members may be called from any thread.
class Timings {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;
  using Duration = Clock::duration;

  struct Row {
    Phase phase = Phase::kStart;
    std::uint64_t count = 0;  ///< Pieces: intervals that have ended.
    Duration total{0};        ///< The sum of the pieces.
    Duration wall{0};         ///< How long at least one piece was going on.

    friend bool operator==(const Row&, const Row&) = default;
  };
  struct Report {
    std::vector<Row> rows;  ///< The phases that occurred, in their order.
    Duration covered{0};    ///< How long at least one piece of any phase was going on.
    Duration whole{0};      ///< Since the process began.
    ResourceUse used;       ///< What was carried over; the caller adds what was used since.
  };
  class Span;

  /// Begins to record, and notes the phase `start`: from `process_start` until `at`.
  void enable(Time process_start, Time at);
  [[nodiscard]] bool is_enabled() const noexcept {
    return enabled_.load(std::memory_order_relaxed);
  }

  /// A piece of `phase` begins. Give the times in about the order in which they come: memory does
  /// not grow with the number of pieces, so the union is kept as they begin and end.
  void begin(Phase phase, Time at);
  /// A piece of `phase` ends that began at `began`.
  void end(Phase phase, Time began, Time at);

  /// Notes what a process used that forked and goes on as its child, which starts from zero.
  void carry(const ResourceUse& used);

  /// What there is at `at`. Pieces that have not ended count with `wall` only.
  [[nodiscard]] Report report(Time at) const;

 private:
  /// Counts how many intervals are going on, and how long there was one.
  struct Union {
    std::uint64_t active = 0;
    Time since;  ///< When `active` was last zero.
    Duration covered{0};

    void begin(Time at) noexcept;
    void end(Time at) noexcept;
    [[nodiscard]] Duration covered_at(Time at) const noexcept;
  };
  struct Total {
    std::uint64_t count = 0;
    Duration total{0};
    Union wall;
  };

  std::atomic<bool> enabled_ = false;
  mutable std::mutex mutex_;
  Time process_start_;
  std::array<Total, kPhases> totals_;
  Union any_;
  ResourceUse carried_;
};

/// The recorder of this process.
[[nodiscard]] Timings& process_timings() noexcept;

/// When this process began, as far as its CPU time until now tells: exact for one that has not
/// waited yet, later than the truth for others. The kernel's own note of it counts in hundredths of
/// a second, which is as long as a whole build may take.
[[nodiscard]] Timings::Time estimate_process_start(Timings::Time at) noexcept;

/// One piece of a phase: from here to the end of the scope, in functions and in coroutines (waiting
/// counts). Nothing when the recorder of the process is off.
class Timings::Span {
 public:
  explicit Span(Phase phase) : phase_(phase) {
    if (!process_timings().is_enabled()) return;
    began_ = Clock::now();
    process_timings().begin(phase_, began_);
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;
  ~Span() {
    if (began_ != Time()) process_timings().end(phase_, began_, Clock::now());
  }

 private:
  Phase phase_;
  Time began_;  ///< The clock's own beginning: not recorded.
};

}  // namespace cobuild
