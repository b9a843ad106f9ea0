#include "core/store/gc_policy.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "core/base/error.hpp"

namespace cobuild::store {
namespace {

// F5.5.12.
constexpr std::int64_t kReservedPercent = 10;
constexpr std::int64_t kReservedBytesMax = 10'000'000'000;
constexpr std::int64_t kFreePercent = 20;
constexpr std::int64_t kUsedPercentMax = 80;
constexpr std::int64_t kUsedBytesMax = 100'000'000'000;
constexpr std::int64_t kCheapBytesMax = 512'000'000;
constexpr std::chrono::hours kCheapKept{48};
constexpr std::chrono::hours kAnyKept{60 * 24};

/// Of a disk that does not say how large it is.
constexpr std::int64_t kUnknownShare = 2'000'000'000;

std::vector<GcRule> default_rules(const GcConfig& config, const DiskStat& disk) {
  DiskSpace reserved = config.reserved;
  DiskSpace max_used = config.max_used;
  DiskSpace min_free = config.min_free;
  if (!reserved.is_set() && !max_used.is_set() && !min_free.is_set()) {
    reserved.bytes = std::min(DiskSpace{0, kReservedPercent}.on(disk), kReservedBytesMax);
    max_used.bytes = std::min(DiskSpace{0, kUsedPercentMax}.on(disk), kUsedBytesMax);
    min_free.percent = kFreePercent;
  }
  GcRule cheap;  // What is most easily had again.
  cheap.filters = {"type==source.local", "type==exec.cachemount", "type==source.git.checkout"};
  cheap.keep_duration = kCheapKept;
  cheap.max_used.bytes = kCheapBytesMax;
  GcRule within;
  within.reserved = reserved;
  within.max_used = max_used;
  within.min_free = min_free;
  GcRule old = within;
  old.keep_duration = kAnyKept;
  GcRule all = within;
  all.all = true;
  return {cheap, old, within, all};
}

}  // namespace

DiskStat stat_disk(const std::filesystem::path& path) {
  struct statvfs disk{};
  if (::statvfs(path.c_str(), &disk) != 0)
    throw Error::from_errno(errno, "stat the disk of " + path.string());
  return {.total = static_cast<std::int64_t>(disk.f_blocks * disk.f_frsize),
          .free = static_cast<std::int64_t>(disk.f_bfree * disk.f_frsize)};
}

std::int64_t DiskSpace::on(const DiskStat& disk) const noexcept {
  if (bytes != 0 || percent == 0) return bytes;
  if (disk.total == 0) return kUnknownShare;
  // Divided first: the product may not fit.
  std::int64_t const share = disk.total / 100 * percent + disk.total % 100 * percent / 100;
  return ((share >> 30) + 1) * 1'000'000'000;
}

std::vector<PruneOptions> gc_rules(const GcConfig& config, const DiskStat& disk) {
  std::vector<PruneOptions> out;
  if (!config.enabled) return out;
  for (const GcRule& rule : config.rules.empty() ? default_rules(config, disk) : config.rules) {
    out.push_back({.all = rule.all,
                   .filters = rule.filters,
                   .keep_duration = rule.keep_duration,
                   .reserved_bytes = rule.reserved.on(disk),
                   .max_used_bytes = rule.max_used.on(disk),
                   .min_free_bytes = rule.min_free.on(disk)});
  }
  return out;
}

}  // namespace cobuild::store
