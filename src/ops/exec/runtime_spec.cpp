#include "ops/exec/runtime_spec.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <set>
#include <string_view>
#include <utility>

#include "core/base/utf8.hpp"
#include "ops/exec/network_files.hpp"
#include "ops/exec/seccomp_profile.hpp"

namespace cobuild::ops {
namespace {

namespace json = boost::json;

/// In the order of their bits.
constexpr std::string_view kCapabilityNames[] = {"CAP_CHOWN",
                                                 "CAP_DAC_OVERRIDE",
                                                 "CAP_DAC_READ_SEARCH",
                                                 "CAP_FOWNER",
                                                 "CAP_FSETID",
                                                 "CAP_KILL",
                                                 "CAP_SETGID",
                                                 "CAP_SETUID",
                                                 "CAP_SETPCAP",
                                                 "CAP_LINUX_IMMUTABLE",
                                                 "CAP_NET_BIND_SERVICE",
                                                 "CAP_NET_BROADCAST",
                                                 "CAP_NET_ADMIN",
                                                 "CAP_NET_RAW",
                                                 "CAP_IPC_LOCK",
                                                 "CAP_IPC_OWNER",
                                                 "CAP_SYS_MODULE",
                                                 "CAP_SYS_RAWIO",
                                                 "CAP_SYS_CHROOT",
                                                 "CAP_SYS_PTRACE",
                                                 "CAP_SYS_PACCT",
                                                 "CAP_SYS_ADMIN",
                                                 "CAP_SYS_BOOT",
                                                 "CAP_SYS_NICE",
                                                 "CAP_SYS_RESOURCE",
                                                 "CAP_SYS_TIME",
                                                 "CAP_SYS_TTY_CONFIG",
                                                 "CAP_MKNOD",
                                                 "CAP_LEASE",
                                                 "CAP_AUDIT_WRITE",
                                                 "CAP_AUDIT_CONTROL",
                                                 "CAP_SETFCAP",
                                                 "CAP_MAC_OVERRIDE",
                                                 "CAP_MAC_ADMIN",
                                                 "CAP_SYSLOG",
                                                 "CAP_WAKE_ALARM",
                                                 "CAP_BLOCK_SUSPEND",
                                                 "CAP_AUDIT_READ",
                                                 "CAP_PERFMON",
                                                 "CAP_BPF",
                                                 "CAP_CHECKPOINT_RESTORE"};

/// F8.1.2.
constexpr std::string_view kSandboxCapabilities[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE"};

constexpr std::string_view kMaskedPaths[] = {"/proc/acpi",          "/proc/asound",
                                             "/proc/kcore",         "/proc/keys",
                                             "/proc/latency_stats", "/proc/timer_list",
                                             "/proc/timer_stats",   "/proc/sched_debug",
                                             "/sys/firmware",       "/sys/devices/virtual/powercap",
                                             "/proc/scsi"};

constexpr std::string_view kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                               "/proc/sysrq-trigger"};

struct DeviceNode {
  std::string_view path;
  int major;
  int minor;
};

/// F8.1.11: what an insecure step of real root sees besides the usual ones; and /dev/loopN.
constexpr DeviceNode kInsecureDevices[] = {
    {"/dev/kmsg", 1, 11},  {"/dev/cuse", 10, 203},    {"/dev/fuse", 10, 229},
    {"/dev/kvm", 10, 232}, {"/dev/net/tun", 10, 200}, {"/dev/loop-control", 10, 237}};
constexpr int kLoopMajor = 7;

/// A mount on its way into the spec.
struct SpecMount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

template <class Range>
json::array strings(const Range& range) {
  json::array result;
  for (const auto& item : range) result.emplace_back(std::string_view(item));
  return result;
}

bool insecure(const ContainerSpec& container) {
  return container.security == SecurityMode::kInsecure;
}

/// /sys: a fresh one shows the container's network, but may be mounted only by who owns that; a
/// user namespace binds the machine's instead, and leaves its cgroups alone.
void add_sys(std::vector<SpecMount>& mounts, const ContainerSpec& container,
             const SpecEnvironment& environment) {
  std::string const access = insecure(container) ? "rw" : "ro";
  if (environment.rootless) {
    mounts.push_back({"/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", access}});
    return;
  }
  mounts.push_back({"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}});
}

SpecMount read_only_file(std::string source, std::string destination) {
  return {std::move(destination),
          "bind",
          std::move(source),
          {"nosuid", "noexec", "nodev", "rbind", "ro"}};
}

/// F8.1.4, F8.1.5.
std::vector<SpecMount> default_mounts(const ContainerSpec& container,
                                      const SpecEnvironment& environment) {
  std::vector<SpecMount> mounts;
  if (environment.proc_mountable) {
    mounts.push_back({"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}});
  } else {
    mounts.push_back({"/proc", "bind", "/proc", {"rbind"}});
  }
  mounts.push_back(
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}});
  SpecMount terminals = {"/dev/pts",
                         "devpts",
                         "devpts",
                         {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}};
  if (!environment.single_id) terminals.options.emplace_back("gid=5");
  mounts.push_back(std::move(terminals));
  mounts.push_back(
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}});
  mounts.push_back({"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}});
  add_sys(mounts, container, environment);
  mounts.push_back(read_only_file(environment.resolv_conf_path, "/etc/resolv.conf"));
  mounts.push_back(read_only_file(environment.hosts_path, "/etc/hosts"));
  if (!environment.rootless && environment.cgroups) {
    mounts.push_back({"/sys/fs/cgroup",
                      "cgroup",
                      "cgroup",
                      {insecure(container) ? "rw" : "ro", "nosuid", "noexec", "nodev"}});
  }
  return mounts;
}

SpecMount to_spec_mount(const ContainerMount& mount) {
  SpecMount result;
  result.destination = mount.destination;
  if (mount.kind == ContainerMount::Kind::kTmpfs) {
    result.type = "tmpfs";
    result.source = "tmpfs";
    result.options = {"nosuid"};
    if (mount.size_bytes > 0) result.options.push_back("size=" + std::to_string(mount.size_bytes));
  } else {
    result.type = "bind";
    result.source = mount.source.string();
    result.options = {"rbind"};
  }
  if (mount.read_only) result.options.emplace_back("ro");
  result.options.insert(result.options.end(), mount.options.begin(), mount.options.end());
  return result;
}

/// Of one destination the last mount counts, at the place of the first.
void put_mount(std::vector<SpecMount>& mounts, SpecMount mount) {
  auto same = std::find_if(mounts.begin(), mounts.end(), [&](const SpecMount& other) {
    return other.destination == mount.destination;
  });
  if (same != mounts.end()) {
    *same = std::move(mount);
  } else {
    mounts.push_back(std::move(mount));
  }
}

bool is_bind(const SpecMount& mount) {
  return std::any_of(mount.options.begin(), mount.options.end(),
                     [](const std::string& o) { return o == "bind" || o == "rbind"; });
}

void keep_locked_flags(SpecMount& mount, const SpecEnvironment& environment) {
  if (!environment.rootless || !environment.locked_mount_flags || !is_bind(mount)) return;
  for (std::string& flag : environment.locked_mount_flags(mount.source)) {
    auto const known = std::find(mount.options.begin(), mount.options.end(), flag);
    if (known == mount.options.end()) mount.options.push_back(std::move(flag));
  }
}

json::array mounts_of(const ContainerSpec& container, const SpecEnvironment& environment) {
  std::vector<SpecMount> mounts = default_mounts(container, environment);
  for (const ContainerMount& mount : container.mounts) put_mount(mounts, to_spec_mount(mount));
  json::array result;
  for (SpecMount& mount : mounts) {
    keep_locked_flags(mount, environment);
    result.push_back(json::object{{"destination", mount.destination},
                                  {"type", mount.type},
                                  {"source", mount.source},
                                  {"options", strings(mount.options)}});
  }
  return result;
}

json::object capabilities_of(const ContainerSpec& container, const SpecEnvironment& environment) {
  if (insecure(container)) {
    json::array const all = strings(environment.own_capabilities);
    return {{"bounding", all},
            {"effective", all},
            {"inheritable", all},
            {"permitted", all},
            {"ambient", all}};
  }
  json::array const some = strings(kSandboxCapabilities);
  return {{"bounding", some}, {"effective", some}, {"permitted", some}};
}

std::string rlimit_type(const std::string& name) {
  std::string type = "RLIMIT_";
  for (char c : name) type += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return type;
}

/// A value that is no UTF-8 is changed as BuildKit changes it: JSON has no way to write it.
json::array environment_of(const ContainerSpec& container) {
  json::array env = strings(container.env);
  for (const auto& [name, value] : container.secret_env) {
    env.emplace_back(name + "=" + to_valid_utf8(value.reveal()));
  }
  return env;
}

json::object process_of(const ContainerSpec& container, const SpecEnvironment& environment) {
  json::object user{{"uid", container.user.uid}, {"gid", container.user.gid}};
  if (!environment.single_id) {
    // The group itself is among them, as containerd has it: getgroups() and id(1) show it.
    const auto& additional = container.user.additional_gids;
    json::array gids;
    if (std::ranges::find(additional, container.user.gid) == additional.end()) {
      gids.emplace_back(container.user.gid);
    }
    for (std::uint32_t gid : additional) gids.emplace_back(gid);
    user["additionalGids"] = std::move(gids);
  }
  json::object process{{"terminal", false},
                       {"user", std::move(user)},
                       {"args", strings(container.args)},
                       {"env", environment_of(container)},
                       {"cwd", container.cwd},
                       {"capabilities", capabilities_of(container, environment)},
                       {"noNewPrivileges", false}};
  if (!container.ulimits.empty()) {
    json::array limits;
    for (const Ulimit& limit : container.ulimits) {
      // -1 is the largest number there, as for the kernel.
      limits.push_back(json::object{{"type", rlimit_type(limit.name)},
                                    {"hard", static_cast<std::uint64_t>(limit.hard)},
                                    {"soft", static_cast<std::uint64_t>(limit.soft)}});
    }
    process["rlimits"] = std::move(limits);
  }
  return process;
}

json::array namespaces_of(const ContainerSpec& container, const SpecEnvironment& environment) {
  json::array namespaces;
  auto add = [&](std::string_view type) { namespaces.push_back(json::object{{"type", type}}); };
  if (environment.proc_mountable) add("pid");
  add("ipc");
  add("uts");
  add("mount");
  if (container.network == NetworkMode::kNone) add("network");
  if (environment.cgroup_namespace) add("cgroup");
  return namespaces;
}

/// F8.1.13.
std::string cgroup_path(const ContainerSpec& container, const SpecEnvironment& environment) {
  std::string const& parent =
      container.cgroup_parent.empty() ? environment.default_cgroup_parent : container.cgroup_parent;
  if (parent.find(".slice") != std::string::npos && parent.back() == ':') {
    return parent + environment.id;
  }
  std::filesystem::path path("/");
  path /= std::filesystem::path(parent).relative_path() / "buildkit" / environment.id;
  return path.lexically_normal().string();
}

json::array device_rules(const ContainerSpec& container) {
  if (insecure(container)) {
    return {json::object{{"allow", true}, {"type", "c"}, {"access", "rwm"}},
            json::object{{"allow", true}, {"type", "b"}, {"access", "rwm"}}};
  }
  json::array rules{json::object{{"allow", false}, {"access", "rwm"}}};
  for (const ContainerDevice& device : container.devices) {
    if (device.type != 'b' && device.type != 'c') continue;
    rules.push_back(
        json::object{{"allow", true},
                     {"type", std::string_view(&device.type, 1)},
                     {"major", device.major},
                     {"minor", device.minor},
                     {"access", device.permissions.empty() ? "rwm" : device.permissions}});
  }
  return rules;
}

json::object resources_of(const ContainerSpec& container) {
  json::object resources{{"devices", device_rules(container)}};
  const ResourceLimits& limits = container.resources;
  json::object memory;
  if (limits.memory_bytes != 0) memory["limit"] = limits.memory_bytes;
  if (limits.memory_swap_bytes != 0) memory["swap"] = limits.memory_swap_bytes;
  json::object cpu;
  if (limits.cpu_shares != 0) cpu["shares"] = limits.cpu_shares;
  if (limits.cpu_quota_us != 0 || limits.cpu_period_us != 0) {
    if (limits.cpu_quota_us != 0) cpu["quota"] = limits.cpu_quota_us;
    if (limits.cpu_period_us != 0) cpu["period"] = limits.cpu_period_us;
  }
  if (!limits.cpuset_cpus.empty()) cpu["cpus"] = limits.cpuset_cpus;
  if (!limits.cpuset_mems.empty()) cpu["mems"] = limits.cpuset_mems;
  if (!memory.empty()) resources["memory"] = std::move(memory);
  if (!cpu.empty()) resources["cpu"] = std::move(cpu);
  return resources;
}

json::array insecure_devices(const SpecEnvironment& environment) {
  json::array devices;
  for (const DeviceNode& node : kInsecureDevices) {
    devices.push_back(json::object{
        {"path", node.path}, {"type", "c"}, {"major", node.major}, {"minor", node.minor}});
  }
  for (int i = 0; i < environment.loop_devices; ++i) {
    devices.push_back(json::object{{"path", "/dev/loop" + std::to_string(i)},
                                   {"type", "b"},
                                   {"major", kLoopMajor},
                                   {"minor", i}});
  }
  return devices;
}

void add_asked_for(json::array& devices, const ContainerSpec& container) {
  for (const ContainerDevice& device : container.devices) {
    json::object node{{"path", device.path}, {"type", std::string_view(&device.type, 1)}};
    if (device.type != 'p') {
      node["major"] = device.major;
      node["minor"] = device.minor;
    }
    if (device.mode) node["fileMode"] = *device.mode;
    if (device.uid) node["uid"] = *device.uid;
    if (device.gid) node["gid"] = *device.gid;
    devices.push_back(std::move(node));
  }
}

/// By stage, in their order.
json::object hooks_of(const ContainerSpec& container) {
  json::object hooks;
  for (const ContainerHook& hook : container.hooks) {
    json::object entry{{"path", hook.path}};
    if (!hook.args.empty()) entry["args"] = strings(hook.args);
    if (!hook.env.empty()) entry["env"] = strings(hook.env);
    if (hook.timeout_s) entry["timeout"] = *hook.timeout_s;
    json::value& stage = hooks[hook.stage];
    if (!stage.is_array()) stage = json::array();
    stage.get_array().push_back(std::move(entry));
  }
  return hooks;
}

template <class Range>
json::array guarded_paths(const Range& paths, const SpecEnvironment& environment) {
  json::array result;
  for (std::string_view path : paths) {
    // A bound /proc is already guarded by whoever made it, and may not be covered by us.
    if (!environment.proc_mountable && path.starts_with("/proc")) continue;
    result.emplace_back(path);
  }
  return result;
}

json::object linux_of(const ContainerSpec& container, const SpecEnvironment& environment) {
  json::object result{{"namespaces", namespaces_of(container, environment)}};
  if (!environment.rootless && environment.cgroups) {
    result["cgroupsPath"] = cgroup_path(container, environment);
    result["resources"] = resources_of(container);
  }
  json::array devices;
  if (insecure(container) && !environment.rootless) devices = insecure_devices(environment);
  if (!environment.rootless) add_asked_for(devices, container);
  if (!devices.empty()) result["devices"] = std::move(devices);
  if (insecure(container)) return result;
  result["seccomp"] = seccomp_profile(sandbox_capabilities());
  result["maskedPaths"] = guarded_paths(kMaskedPaths, environment);
  result["readonlyPaths"] = guarded_paths(kReadonlyPaths, environment);
  return result;
}

}  // namespace

json::object runtime_spec(const ContainerSpec& container, const SpecEnvironment& environment) {
  std::string_view const hostname =
      container.hostname.empty() ? kDefaultHostname : std::string_view(container.hostname);
  json::object spec{{"ociVersion", "1.0.2"},
                    {"process", process_of(container, environment)},
                    {"root", json::object{{"path", container.rootfs.string()},
                                          {"readonly", container.read_only_rootfs}}},
                    {"hostname", hostname},
                    {"mounts", mounts_of(container, environment)},
                    {"linux", linux_of(container, environment)}};
  if (!container.hooks.empty()) spec["hooks"] = hooks_of(container);
  if (!environment.seccomp_program.empty() && !insecure(container)) {
    spec["annotations"] = json::object{{"run.oci.seccomp_bpf_data", environment.seccomp_program}};
  }
  return spec;
}

std::set<std::string> sandbox_capabilities() {
  return {std::begin(kSandboxCapabilities), std::end(kSandboxCapabilities)};
}

std::vector<std::string> capability_names(std::uint64_t mask) {
  std::vector<std::string> names;
  for (std::size_t bit = 0; bit < std::size(kCapabilityNames); ++bit) {
    if ((mask >> bit & 1U) != 0) names.emplace_back(kCapabilityNames[bit]);
  }
  return names;
}

}  // namespace cobuild::ops
