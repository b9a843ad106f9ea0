#pragma once

/// What garbage collection is to leave: rules as buildkitd.toml has them, and those of a builder
/// without any (F5.5.11, F5.5.12).

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cobuild::store {

/// The file system of a store.
struct DiskStat {
  std::int64_t total = 0;  ///< Bytes.
  std::int64_t free = 0;   ///< Bytes that nothing uses, those kept for root among them.
};

/// That of `path`. \throws Error when it cannot be told.
[[nodiscard]] DiskStat stat_disk(const std::filesystem::path& path);

/// So many bytes, or a share of the disk; neither: nothing was said.
struct DiskSpace {
  std::int64_t bytes = 0;
  std::int64_t percent = 0;

  [[nodiscard]] bool is_set() const noexcept { return bytes != 0 || percent != 0; }
  /// A share is rounded as BuildKit does it: to the next whole GiB, each counted as 10^9 bytes.
  [[nodiscard]] std::int64_t on(const DiskStat& disk) const noexcept;

  friend bool operator==(const DiskSpace&, const DiskSpace&) = default;
};

struct PruneOptions {
  bool all = false;                  ///< Internal and frontend records too.
  std::vector<std::string> filters;  ///< containerd filter syntax (F5.5.4).
  std::chrono::seconds keep_duration{0};
  std::int64_t reserved_bytes = 0;
  std::int64_t max_used_bytes = 0;
  std::int64_t min_free_bytes = 0;

  friend bool operator==(const PruneOptions&, const PruneOptions&) = default;
};

/// One [[worker.oci.gcpolicy]].
struct GcRule {
  bool all = false;
  std::vector<std::string> filters;
  std::chrono::seconds keep_duration{0};
  DiskSpace reserved;
  DiskSpace max_used;
  DiskSpace min_free;

  friend bool operator==(const GcRule&, const GcRule&) = default;
};

struct GcConfig {
  bool enabled = true;
  // For the default rules, in the place of limits made of the disk's size.
  DiskSpace reserved;
  DiskSpace max_used;
  DiskSpace min_free;
  std::vector<GcRule> rules;  ///< Empty: the default rules.
};

/// What is to be done on this disk, one after the other.
[[nodiscard]] std::vector<PruneOptions> gc_rules(const GcConfig& config, const DiskStat& disk);

}  // namespace cobuild::store
