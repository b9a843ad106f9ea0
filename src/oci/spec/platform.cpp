#include "oci/spec/platform.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "oci/spec/descriptor.hpp"

namespace cobuild::oci {
namespace {

#if defined(__x86_64__)
constexpr std::string_view kHostArchitecture = "amd64";
constexpr std::string_view kHostVariant = "";
#elif defined(__aarch64__)
constexpr std::string_view kHostArchitecture = "arm64";
constexpr std::string_view kHostVariant = "v8";
#elif defined(__arm__)
constexpr std::string_view kHostArchitecture = "arm";
constexpr std::string_view kHostVariant = "v7";
#elif defined(__riscv) && __riscv_xlen == 64
constexpr std::string_view kHostArchitecture = "riscv64";
constexpr std::string_view kHostVariant = "";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
constexpr std::string_view kHostArchitecture = "ppc64le";
constexpr std::string_view kHostVariant = "";
#elif defined(__s390x__)
constexpr std::string_view kHostArchitecture = "s390x";
constexpr std::string_view kHostVariant = "";
#else
#error "name this architecture as Go does"
#endif

constexpr std::size_t kPartsMax = 4;
constexpr int kAmd64VersionMax = 16;  ///< Of a variant; bounds the list of older ones.
constexpr std::string_view kPartPattern = "^[A-Za-z0-9_.-]+$";
constexpr std::string_view kOsPattern =
    R"(^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$)";

constexpr std::array<std::string_view, 17> kKnownOs = {
    "aix",   "android", "darwin", "dragonfly", "freebsd", "hurd",    "illumos", "ios", "js",
    "linux", "nacl",    "netbsd", "openbsd",   "plan9",   "solaris", "windows", "zos"};

constexpr std::array<std::string_view, 24> kKnownArchitectures = {
    "386",     "amd64",   "amd64p32", "arm",    "armbe",  "arm64",    "arm64be",   "ppc64",
    "ppc64le", "loong64", "mips",     "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le",
    "ppc",     "riscv",   "riscv64",  "s390",   "s390x",  "sparc",    "sparc64",   "wasm"};

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool consists_of(std::string_view text, std::string_view more) {
  return std::ranges::all_of(text, [more](char c) {
    return is_alphanumeric(c) || more.find(c) != std::string_view::npos;
  });
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string normalize_os(std::string_view os) {
  if (os.empty()) return "linux";
  std::string name = lower(os);
  return name == "macos" ? "darwin" : name;
}

struct Architecture {
  std::string name;
  std::string variant;
};

Architecture normalize_architecture(std::string_view name, std::string_view variant) {
  Architecture a{lower(name), lower(variant)};
  if (a.name == "i386") return {"386", ""};
  if (a.name == "armhf") return {"arm", "v7"};
  if (a.name == "armel") return {"arm", "v6"};
  if (a.name == "x86_64" || a.name == "x86-64" || a.name == "amd64") {
    return {"amd64", a.variant == "v1" ? "" : a.variant};
  }
  if (a.name == "aarch64" || a.name == "arm64") {
    a.name = "arm64";
    if (a.variant == "8" || a.variant == "v8" || a.variant == "v8.0") a.variant.clear();
    if (a.variant == "9" || a.variant == "9.0" || a.variant == "v9.0") a.variant = "v9";
  } else if (a.name == "arm") {
    if (a.variant.empty() || a.variant == "7") a.variant = "v7";
    if (a.variant == "5" || a.variant == "6" || a.variant == "8") a.variant.insert(0, "v");
  }
  return a;
}

Error invalid(std::string what) {
  return Error(ErrorKind::kInvalidInput, std::move(what) + ": invalid argument");
}

/// Undoes the percent encoding of os versions and features; nullopt when it is malformed.
std::optional<std::string> decode_option(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (error != std::errc() || end != text.data() + i + 3) return std::nullopt;
    decoded += static_cast<char>(value);
    i += 2;
  }
  return decoded;
}

std::string encode_option(std::string_view text) {
  std::string encoded;
  for (char c : text) {
    switch (c) {
      case '%': encoded += "%25"; break;
      case '+': encoded += "%2B"; break;
      case '(': encoded += "%28"; break;
      case ')': encoded += "%29"; break;
      case '/': encoded += "%2F"; break;
      default: encoded += c;
    }
  }
  return encoded;
}

/// The first part: "os", or "os(version+feature+feature)".
void parse_os_part(std::string_view part, std::string_view specifier, Platform& platform) {
  auto malformed = [&] {
    return invalid(go_quote(part) + " is an invalid OS component of " + go_quote(specifier) +
                   ": OSAndVersion specifier component must match " + go_quote(kOsPattern));
  };
  auto open = part.find('(');
  std::string_view const name = part.substr(0, open);
  if (name.empty() || !consists_of(name, "_-")) throw malformed();
  platform.os = normalize_os(name);
  if (open == std::string_view::npos) return;
  if (!part.ends_with(')')) throw malformed();
  std::string_view options = part.substr(open + 1, part.size() - open - 2);
  for (bool first = true;; first = false) {
    auto plus = options.find('+');
    std::string_view const option = options.substr(0, plus);
    if (!consists_of(option, "_.%-") || (!first && option.empty())) throw malformed();
    auto decoded = decode_option(option);
    if (!decoded) {
      throw Error(
          ErrorKind::kInvalidInput,
          go_quote(specifier) + " has an invalid OS version or feature " + go_quote(option));
    }
    if (first) {
      platform.os_version = *decoded;
    } else if (!decoded->empty()) {
      platform.os_features.push_back(*decoded);
    }
    if (plus == std::string_view::npos) return;
    options.remove_prefix(plus + 1);
  }
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (parts.size() + 1 < kPartsMax) {
    auto slash = text.find('/');
    if (slash == std::string_view::npos) break;
    parts.push_back(text.substr(0, slash));
    text.remove_prefix(slash + 1);
  }
  parts.push_back(text);
  return parts;
}

std::string join(std::string_view os, const Platform& platform) {
  std::string text(os);
  for (const std::string& part : {platform.architecture, platform.variant}) {
    if (!part.empty()) text += "/" + part;
  }
  return text;
}

/// "v7" -> 7.
std::optional<int> version_of(std::string_view variant) {
  if (variant.starts_with('v')) variant.remove_prefix(1);
  int version = 0;
  auto [end, error] = std::from_chars(variant.data(), variant.data() + variant.size(), version);
  if (error != std::errc() || end != variant.data() + variant.size()) return std::nullopt;
  return version;
}

Platform with(const Platform& platform, std::string architecture, std::string variant) {
  Platform other = platform;
  other.architecture = std::move(architecture);
  other.variant = std::move(variant);
  return other;
}

void append_older_arm(const Platform& platform, std::vector<Platform>& found) {
  found.push_back(platform);
  auto version = version_of(platform.variant);
  if (!version) return;
  for (int v = std::min(*version, 9) - 1; v >= 5; --v) {
    found.push_back(with(platform, "arm", "v" + std::to_string(v)));
  }
}

/// arm64 v8.x runs what v8.0 to v8.x do; v9.x that of v9.0 to v9.x and of v8.0 to v8.(x+5).
void append_older_arm64(const Platform& platform, std::vector<Platform>& found) {
  std::string variant = platform.variant.empty() ? "v8" : platform.variant;
  int major = 0;
  int minor = 0;
  bool known = false;
  if (variant.size() >= 2 && (variant.starts_with("v8") || variant.starts_with("v9"))) {
    major = variant[1] - '0';
    int const minor_max = major == 8 ? 9 : 7;
    if (variant.size() == 2) {
      known = true;
    } else if (variant.size() == 4 && variant[2] == '.' && variant[3] >= '0' &&
               variant[3] <= '0' + minor_max) {
      minor = variant[3] - '0';
      known = true;
    }
  }
  if (!known) {  // a version from the future runs what is made for it, and we know no more
    found.push_back(platform);
    return;
  }
  auto append = [&](int of_major, int newest) {
    for (int m = newest; m >= 0; --m) {
      std::string name = "v" + std::to_string(of_major);
      if (m > 0) name += "." + std::to_string(m);
      found.push_back(with(platform, "arm64", std::move(name)));
    }
  };
  append(major, minor);
  // Both v8 lists end at v8.9, though v9.5 and later could run more: containerd knows no v8.10.
  if (major == 9) append(8, std::min(minor + 5, 9));
  append_older_arm(with(platform, "arm", "v8"), found);
}

bool features_within(const std::vector<std::string>& offered,
                     const std::vector<std::string>& wanted) {
  return std::ranges::includes(wanted, offered);  // both sorted by normalize_platform
}

/// Windows runs an image only when the build is its own: the first three numbers must agree.
bool os_version_fits(const Platform& offered, const Platform& wanted) {
  if (wanted.os != "windows" || offered.os_version.empty() || wanted.os_version.empty()) {
    return true;
  }
  auto build = [](std::string_view version) {
    std::size_t end = 0;
    for (int dots = 0; end < version.size(); ++end) {
      if (version[end] == '.' && ++dots == 3) break;
    }
    return version.substr(0, end);
  };
  return build(offered.os_version) == build(wanted.os_version);
}

/// `offered` is normalised; `candidate` is one of compatible_platforms.
bool matches(const Platform& offered, const Platform& candidate) {
  Platform const c = normalize_platform(candidate);
  return offered.os == c.os && offered.architecture == c.architecture &&
         offered.variant == c.variant && os_version_fits(offered, c) &&
         features_within(offered.os_features, c.os_features);
}

}  // namespace

Platform parse_platform(std::string_view specifier) {
  if (specifier.find('*') != std::string_view::npos) {
    throw invalid(go_quote(specifier) + ": wildcards not yet supported");
  }
  auto const parts = split(specifier);
  Platform platform;
  parse_os_part(parts.front(), specifier, platform);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (parts[i].empty() || !consists_of(parts[i], "_.-")) {
      throw invalid(go_quote(parts[i]) + " is an invalid component of " + go_quote(specifier) +
                    ": platform specifier component must match " + go_quote(kPartPattern));
    }
  }
  if (parts.size() == 1 && std::ranges::find(kKnownOs, platform.os) != kKnownOs.end()) {
    platform.architecture = kHostArchitecture;
    return platform;
  }
  if (parts.size() == kPartsMax) {
    throw invalid(go_quote(specifier) + ": cannot parse platform specifier");
  }
  std::string_view const name = parts.size() == 1 ? parts[0] : parts[1];
  auto architecture = normalize_architecture(name, parts.size() == 3 ? parts[2] : "");
  if (parts.size() == 1) {
    if (std::ranges::find(kKnownArchitectures, architecture.name) == kKnownArchitectures.end()) {
      throw invalid(go_quote(specifier) + ": unknown operating system or architecture");
    }
    platform.os = "linux";
  }
  if (parts.size() < 3 && architecture.name == "arm" && architecture.variant == "v7") {
    architecture.variant.clear();
  }
  if (parts.size() == 3 && architecture.name == "arm64" && architecture.variant.empty()) {
    architecture.variant = "v8";
  }
  platform.architecture = std::move(architecture.name);
  platform.variant = std::move(architecture.variant);
  return platform;
}

std::string format_platform(const Platform& platform) {
  return platform.os.empty() ? "unknown" : join(platform.os, platform);
}

std::string format_platform_all(const Platform& platform) {
  if (platform.os.empty()) return "unknown";
  std::vector<std::string> features = platform.os_features;
  std::ranges::sort(features);
  features.erase(std::unique(features.begin(), features.end()), features.end());
  std::string options = encode_option(platform.os_version);
  for (const std::string& feature : features) {
    if (!feature.empty()) options += "+" + encode_option(feature);
  }
  if (options.empty()) return join(platform.os, platform);
  return join(platform.os + "(" + options + ")", platform);
}

Platform normalize_platform(Platform platform) {
  platform.os = normalize_os(platform.os);
  auto architecture = normalize_architecture(platform.architecture, platform.variant);
  platform.architecture = std::move(architecture.name);
  platform.variant = std::move(architecture.variant);
  std::ranges::sort(platform.os_features);
  auto repeated = std::ranges::unique(platform.os_features);
  platform.os_features.erase(repeated.begin(), repeated.end());
  return platform;
}

Platform host_platform() {
  Platform platform;
  platform.os = "linux";
  platform.architecture = kHostArchitecture;
  platform.variant = kHostVariant;
  return normalize_platform(std::move(platform));
}

std::vector<Platform> compatible_platforms(const Platform& wanted) {
  Platform const platform = normalize_platform(wanted);
  std::vector<Platform> found;
  if (platform.architecture == "arm64") {
    append_older_arm64(platform, found);
    return found;
  }
  if (platform.architecture == "arm") {
    append_older_arm(platform, found);
    return found;
  }
  found.push_back(platform);
  if (platform.architecture == "amd64") {
    if (auto version = version_of(platform.variant); version && *version > 1) {
      for (int v = std::min(*version, kAmd64VersionMax) - 1; v >= 1; --v) {
        found.push_back(with(platform, "amd64", "v" + std::to_string(v)));
      }
    }
    found.push_back(with(platform, "386", ""));
  }
  return found;
}

bool platform_runs(const Platform& offered, const Platform& wanted) {
  Platform const normal = normalize_platform(offered);
  return std::ranges::any_of(compatible_platforms(wanted),
                             [&](const Platform& p) { return matches(normal, p); });
}

bool same_platform(const Platform& a, const Platform& b) {
  return normalize_platform(a) == normalize_platform(b);
}

std::vector<const Descriptor*> rank_for_platform(std::span<const Descriptor> manifests,
                                                 const Platform& wanted) {
  auto const order = compatible_platforms(wanted);
  std::vector<std::pair<std::size_t, const Descriptor*>> ranked;
  for (const Descriptor& descriptor : manifests) {
    std::size_t rank = order.size();  // without a platform: last
    if (descriptor.platform) {
      Platform const offered = normalize_platform(*descriptor.platform);
      auto best =
          std::ranges::find_if(order, [&](const Platform& p) { return matches(offered, p); });
      if (best == order.end()) continue;
      rank = static_cast<std::size_t>(best - order.begin());
    }
    ranked.emplace_back(rank, &descriptor);
  }
  std::ranges::sort(ranked);  // by rank, then by place in the index
  std::vector<const Descriptor*> result;
  result.reserve(ranked.size());
  for (const auto& [rank, descriptor] : ranked) result.push_back(descriptor);
  return result;
}

const Descriptor* choose_platform(std::span<const Descriptor> manifests, const Platform& wanted) {
  auto const ranked = rank_for_platform(manifests, wanted);
  return ranked.empty() ? nullptr : ranked.front();
}

}  // namespace cobuild::oci
