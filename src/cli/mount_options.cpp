#include "cli/mount_options.hpp"

#include <sstream>

#include "core/base/error.hpp"
#include "core/base/units.hpp"
#include "dockerfile/duration.hpp"

namespace cobuild::cli {
namespace {

/// Three letters for each, in the worst case, still fit into an object's name everywhere.
constexpr std::size_t kKeyBytesMax = 100;
constexpr std::chrono::hours kTimeoutMax{24};

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kInvalidInput, what); }

std::string check_key(std::string key) {
  if (key.size() > kKeyBytesMax) {
    refuse("the key of cache mounts is longer than " + std::to_string(kKeyBytesMax) + " bytes: " + key);
  }
  return key;
}

std::uint64_t parse_size(const std::string& text) {
  auto const bytes = try_parse_bytes(text, SizeUnits::kBinary);
  if (!bytes || *bytes == 0) refuse("invalid max-size " + text + ": use a size such as 500MB or 4GB");
  return static_cast<std::uint64_t>(*bytes);
}

std::chrono::seconds parse_timeout(const std::string& text) {
  try {
    auto const time = std::chrono::ceil<std::chrono::seconds>(dockerfile::parse_duration(text));
    if (time.count() > 0 && time <= kTimeoutMax) return time;
  } catch (const Error&) {  // Told below.
  }
  refuse("invalid timeout " + text + ": use a duration such as 90s or 5m, at most 24h");
}

std::vector<std::string> split_keys(const std::string& text) {
  std::vector<std::string> keys;
  std::istringstream rest(text);
  for (std::string key; std::getline(rest, key, ';');) {
    if (!key.empty()) keys.push_back(check_key(std::move(key)));
  }
  return keys;
}

}  // namespace

MountOptions parse_mount_options(const CacheOptions& place) {
  MountOptions options;
  for (const auto& [key, value] : place.attributes) {
    if (key == "key") options.key = check_key(value);
    if (key == "restore-keys") options.restore_keys = split_keys(value);
    if (key == "max-size") options.bytes_max = parse_size(value);
    if (key == "timeout") options.timeout = parse_timeout(value);
  }
  return options;
}

}  // namespace cobuild::cli
