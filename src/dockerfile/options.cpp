#include "dockerfile/options.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "core/base/error.hpp"
#include "core/base/go_csv.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/rune.hpp"
#include "core/base/utf8.hpp"
#include "dockerfile/conversion.hpp"
#include "dockerfile/git_reference.hpp"
#include "dockerfile/text.hpp"
#include "oci/spec/platform.hpp"

namespace cobuild::dockerfile {
namespace {

using Options = std::map<std::string, std::string>;

constexpr long long kCpuMax = 8192;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

/// The option's value; "" when it is not given.
std::string get(const Options& options, const std::string& key) {
  auto const found = options.find(key);
  return found == options.end() ? std::string() : found->second;
}

std::map<std::string, std::string> with_prefix(const Options& options, const std::string& prefix) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : options) {
    if (key.starts_with(prefix)) out.emplace(key.substr(prefix.size()), value);
  }
  return out;
}

long long integer(const std::string& text) {
  auto const number = try_parse_integer(text);
  if (!number) fail("strconv.ParseInt: parsing " + go_quote(text) + ": invalid syntax");
  return *number;
}

std::vector<pb::Platform> parse_platforms(const std::string& text) {
  std::vector<pb::Platform> out;
  if (text.empty()) return out;
  for (const std::string& one : split(text, ',')) {
    try {
      out.push_back(to_pb(oci::normalize_platform(oci::parse_platform(one))));
    } catch (const Error& error) {
      throw error.with_context("failed to parse target platform " + one);
    }
  }
  return out;
}

ImageResolveMode parse_resolve_mode(const std::string& text) {
  if (text.empty() || text == "default") return ImageResolveMode::kDefault;
  if (text == "pull") return ImageResolveMode::kPull;
  if (text == "local") return ImageResolveMode::kLocal;
  fail("invalid image-resolve-mode: " + text);
}

/// The address as Go prints it; nullopt when it is none.
std::optional<std::string> normalise_address(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  std::array<char, INET6_ADDRSTRLEN> out{};
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return text;
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return std::nullopt;
  constexpr std::array<unsigned char, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  bool const is_v4 = std::equal(kMapped.begin(), kMapped.end(), bytes.begin());
  const void* const address = is_v4 ? bytes.data() + kMapped.size() : bytes.data();
  return std::string(inet_ntop(is_v4 ? AF_INET : AF_INET6, address, out.data(), out.size()));
}

std::vector<pb::HostIP> parse_hosts(const std::string& text) {
  std::vector<pb::HostIP> hosts;
  if (text.empty()) return hosts;
  std::string const what = "failed to parse additional hosts: ";
  for (const std::string& field : go_csv_fields(to_lower(text))) {
    auto const [name, address] = cut(field, '=');
    if (!address) fail(what + "invalid key-value pair " + field);
    auto const ip = normalise_address(std::string(*address));
    if (!ip) fail(what + "failed to parse IP " + std::string(*address));
    pb::HostIP& host = hosts.emplace_back();
    host.set_host(std::string(name));
    host.set_ip(*ip);
  }
  return hosts;
}

pb::Ulimit parse_ulimit(const std::string& text) {
  constexpr std::array<std::string_view, 15> kNames{
      "core",   "cpu",  "data",   "fsize", "locks",  "memlock",    "msgqueue", "nice",
      "nofile", "nproc", "rss",   "rtprio", "rttime", "sigpending", "stack"};
  auto const [name, limits] = cut(text, '=');
  if (!limits) fail("failed to parse ulimit: invalid ulimit argument: " + text);
  if (std::ranges::find(kNames, name) == kNames.end()) {
    fail("failed to parse ulimit: invalid ulimit type: " + std::string(name));
  }
  auto const values = split(*limits, ':');
  if (values.size() > 2) {
    fail("failed to parse ulimit: too many limit value arguments - " + std::string(*limits) +
         ", can only have up to two, `soft[:hard]`");
  }
  long long const soft = integer(values[0]);
  long long const hard = integer(values.back());
  if (hard != -1 && (soft == -1 || soft > hard)) {
    fail("failed to parse ulimit: ulimit soft limit must be less than or equal to hard limit: " +
         (soft == -1 ? "soft: -1 (unlimited), hard: " + std::to_string(hard)
                     : std::to_string(soft) + " > " + std::to_string(hard)));
  }
  pb::Ulimit limit;
  limit.set_name(std::string(name));
  limit.set_soft(soft);
  limit.set_hard(hard);
  return limit;
}

/// How Go reads a number; messages tell.
enum class Sign { kSigned, kUnsigned };

/// A number that must be positive; `also` is a further value that is fine.
long long resource(const Options& options, const std::string& key, Sign sign = Sign::kSigned,
                   std::optional<long long> also = {}) {
  std::string const text = get(options, key);
  if (text.empty()) return 0;
  std::string const what = "failed to parse resource limits: invalid " + key + " value: " + text;
  auto const number = try_parse_integer(text);
  bool const is_unsigned = sign == Sign::kUnsigned;
  if (!number || (is_unsigned && *number < 0)) {
    fail(what + ": strconv.Parse" + (is_unsigned ? "Uint" : "Int") + ": parsing " + go_quote(text) +
         ": invalid syntax");
  }
  if (*number > 0 || (also && *number == *also)) return *number;
  fail(what + (also ? ": must be -1 (unlimited) or > 0" : ": must be > 0"));
}

std::string cpu_list(const Options& options, const std::string& key) {
  std::string const text = get(options, key);
  if (text.empty()) return text;
  std::string const what = "failed to parse resource limits: invalid " + key + " value: " + text + ": ";
  for (const std::string& part : split(text, ',')) {
    std::string_view const trimmed = trim_space(part);
    if (trimmed.empty()) continue;
    auto const [low, high] = cut(trimmed, '-');
    auto const first = try_parse_integer(trim_space(low));
    auto const last = high ? try_parse_integer(trim_space(*high)) : first;
    if (!first || !last || *first < 0 || *last < *first) {
      fail(what + (high ? "invalid cpuset range " : "invalid cpuset element ") + go_quote(trimmed));
    }
    if (*last > kCpuMax) {
      fail(what + (high ? "cpuset range " : "cpuset element ") + go_quote(trimmed) + " exceeds maximum " +
           std::to_string(kCpuMax));
    }
  }
  return text;
}

std::optional<pb::LinuxResources> parse_resources(const Options& options) {
  pb::LinuxResources resources;
  resources.set_memory(resource(options, "memory"));
  resources.set_memoryswap(resource(options, "memswap", Sign::kSigned, -1));
  resources.set_cpushares(static_cast<std::uint64_t>(resource(options, "cpushares", Sign::kUnsigned)));
  resources.set_cpuperiod(static_cast<std::uint64_t>(resource(options, "cpuperiod", Sign::kUnsigned)));
  resources.set_cpuquota(resource(options, "cpuquota"));
  resources.set_cpusetcpus(cpu_list(options, "cpusetcpus"));
  resources.set_cpusetmems(cpu_list(options, "cpusetmems"));
  if (resources.ByteSizeLong() == 0) return std::nullopt;
  return resources;
}

pb::NetMode parse_network(const std::string& text) {
  if (text.empty() || text == "sandbox") return pb::UNSET;
  if (text == "none") return pb::NONE;
  if (text == "host") return pb::HOST;
  fail("invalid netmode " + text);
}

bool parse_multi_platform(const Options& options, std::size_t platform_count) {
  std::string value = get(options, "build-arg:BUILDKIT_MULTI_PLATFORM");
  if (value.empty()) value = get(options, "multi-platform");
  if (value.empty()) return platform_count > 1;
  auto const flag = try_parse_bool(value);
  if (!flag) fail("invalid boolean value for multi-platform: " + value);
  if (!*flag && platform_count > 1) {
    fail("conflicting config: returning multiple target platforms is not allowed");
  }
  return *flag;
}

/// F1.11.29. A "+forward" behind a name is for image frontends.
void check_capabilities(const std::string& wanted) {
  constexpr std::array<std::string_view, 4> kCapabilities{"inputs", "subrequests", "contexts", "gitquerystring"};
  constexpr std::string_view kPrefix = "moby.buildkit.frontend.";
  if (wanted.empty()) return;
  for (const std::string& field : split(wanted, ',')) {
    std::string_view const name = cut(field, '+').first;
    bool const is_known = name.starts_with(kPrefix) &&
                          std::ranges::find(kCapabilities, name.substr(kPrefix.size())) != kCapabilities.end();
    if (!is_known) {
      throw Error(ErrorKind::kUnsupported, "unsupported frontend capability " + std::string(name));
    }
  }
}

void refuse_unsupported(const Options& options) {
  if (!get(options, "override-copy-image").empty()) {
    fail("support for \"override-copy-image\" was removed in BuildKit 0.11");
  }
  if (try_parse_bool(get(options, "build-arg:BUILDKIT_DISABLE_FILEOP")) == true) {
    fail("support for \"BUILDKIT_DISABLE_FILEOP\" build-arg was removed in BuildKit 0.11");
  }
  for (const auto& [key, value] : options) {
    if (to_valid_utf8(key) != key || to_valid_utf8(value) != value) {
      fail("the option " + to_valid_utf8(key) + " is not valid UTF-8");
    }
    bool const is_attestation = key.starts_with("attest:") || key.starts_with("build-arg:BUILDKIT_ATTEST_");
    if (is_attestation || ((key == "cache-imports" || key == "cache-from") && !value.empty())) {
      throw Error(ErrorKind::kUnsupported, "the option " + key + "=" + value + " is not supported yet");
    }
  }
}

/// F1.10.2, F1.10.7. What is neither a repository nor an HTTP URL is passed over, as BuildKit does.
std::optional<RemoteContext> parse_remote_context(const Options& options) {
  std::string const named = get(options, "contextkey");
  RemoteContext context;
  context.url = get(options, named.empty() ? "context" : named);
  if (try_parse_git_reference(context.url)) {
    context.kind = RemoteContext::Kind::kGit;
    context.keep_git_dir = try_parse_bool(get(options, "build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR")) == true;
  } else if (context.url.starts_with("http://") || context.url.starts_with("https://")) {
    context.kind = RemoteContext::Kind::kArchive;
  } else {
    return std::nullopt;
  }
  auto const subdir = options.find("contextsubdir");
  if (subdir != options.end()) context.subdir = subdir->second;
  return context;
}

}  // namespace

FrontendOptions parse_frontend_options(const Options& options, const pb::Platform& build_platform) {
  refuse_unsupported(options);
  check_capabilities(get(options, "frontend.caps"));
  FrontendOptions out;
  ConvertOptions& convert = out.convert;
  out.target_platforms = parse_platforms(get(options, "platform"));
  convert.build_platform = build_platform;
  convert.image_resolve_mode = parse_resolve_mode(get(options, "image-resolve-mode"));
  convert.extra_hosts = parse_hosts(get(options, "add-hosts"));
  if (std::string const size = get(options, "shm-size"); !size.empty()) {
    auto const bytes = try_parse_integer(size);
    if (!bytes) fail("failed to parse shm size: strconv.ParseInt: parsing " + go_quote(size) + ": invalid syntax");
    convert.shm_size_bytes = *bytes;
  }
  if (std::string const limits = get(options, "ulimit"); !limits.empty()) {
    for (const std::string& field : go_csv_fields(limits)) convert.ulimits.push_back(parse_ulimit(field));
  }
  convert.linux_resources = parse_resources(options);
  convert.network = parse_network(get(options, "force-network-mode"));
  if (auto const stages = options.find("no-cache"); stages != options.end()) {
    convert.no_cache_stages.emplace();
    if (!stages->second.empty()) convert.no_cache_stages = split(stages->second, ',');
  }
  convert.multi_platform = parse_multi_platform(options, out.target_platforms.size());
  convert.build_args = with_prefix(options, "build-arg:");
  convert.labels = with_prefix(options, "label:");
  convert.named_contexts = with_prefix(options, "context:");
  convert.local_session_ids = with_prefix(options, "local-sessionid:");
  convert.cache_mount_namespace = get(options, "build-arg:BUILDKIT_CACHE_MOUNT_NS");
  convert.cgroup_parent = get(options, "cgroup-parent");
  convert.target = get(options, "target");
  convert.hostname = get(options, "build-arg:BUILDKIT_SANDBOX_HOSTNAME");
  if (convert.hostname.empty()) convert.hostname = get(options, "hostname");
  if (auto const check = options.find("build-arg:BUILDKIT_DOCKERFILE_CHECK"); check != options.end()) {
    convert.check = check->second;
  }
  if (auto const name = options.find("filename"); name != options.end()) convert.filename = name->second;
  if (auto const name = options.find("dockerfilekey"); name != options.end()) {
    convert.dockerfile_name = name->second;
    convert.local_dockerfile = true;
  }
  convert.shared_keys = with_prefix(options, "sharedkey:localdir:");
  convert.remote_context = parse_remote_context(options);
  return out;
}

std::string format_platform(const pb::Platform& platform) {
  return oci::format_platform_all(to_oci(platform));
}

}  // namespace cobuild::dockerfile
