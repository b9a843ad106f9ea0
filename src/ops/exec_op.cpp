#include "ops/exec_op.hpp"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/user_namespace.hpp"
#include "ops/content_hash.hpp"
#include "ops/exec_mounts.hpp"
#include "ops/local_source.hpp"
#include "ops/op_description.hpp"
#include "ops/op_digest.hpp"
#include "ops/user_lookup.hpp"

namespace cobuild::ops {
namespace {

constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";  // F1.4.18

/// How messages about a step that failed begin.
std::string describe_unfinished(const pb::Meta& meta) {
  std::string command;
  for (const std::string& word : meta.args()) {
    if (!command.empty()) command += ' ';
    command += word;
  }
  return "process " + go_quote(command) + " did not complete successfully";
}

constexpr std::size_t kIdMapBytes_max = 64 * 1024;

/// \throws Error kDenied when `id` is none of the ids that an ordinary user has to give away. The
/// runtime would only say "Invalid argument".
void require_id(std::uint32_t id, const char* map, const char* what) {
  auto const text = read_file_if_exists(map, kIdMapBytes_max);
  if (id == 0 || !text || has_id(*text, id)) return;
  throw Error(ErrorKind::kDenied, std::string(what) + " " + std::to_string(id) +
                                      ": this user namespace lacks that id; give the user more "
                                      "subordinate ids in /etc/subuid and /etc/subgid");
}

class ExecOp final : public solve::Op {
 public:
  ExecOp(const Services& services, std::shared_ptr<const llb::Vertex> vertex)
      : services_(services), vertex_(std::move(vertex)), key_(op_key(*vertex_)) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink&) override {
    co_return std::vector<solve::CacheMap>(1, key_.map);
  }

  Task<Digest> content_digest(std::size_t index, solve::Result input,
                              solve::StepSink& step) override {
    co_return co_await ops::content_digest(services_, key_.selectors.at(index), std::move(input), step);
  }

  [[nodiscard]] solve::OpDescription describe() const override { return ops::describe(*vertex_); }

  Task<std::optional<solve::FileList>> read_files(std::size_t index, solve::Result input) override {
    co_return co_await list_content(services_, key_.selectors.at(index), std::move(input));
  }

  Task<std::vector<solve::Result>> run(std::vector<solve::Result> inputs,
                                       solve::StepSink& step) override {
    ExecMounts mounts(services_, *vertex_);
    co_await mounts.prepare(std::move(inputs), step);
    ContainerSpec spec = make_spec(mounts);
    std::string const warning = services_.runtime.take_limits_warning(spec);
    if (!warning.empty()) step.warn(warning);
    // Native programs in an image for another platform run all the same: this may matter, or not.
    std::string const obstacle = co_await find_obstacle();
    std::optional<Error> failure;
    try {
      check(co_await services_.runtime.run(
          std::move(spec), [&step](int stream, std::string_view data) { step.log(stream, data); }));
    } catch (const Error& error) {
      failure = obstacle.empty() ? error : error.with_context(obstacle);
    }
    if (failure) throw *std::move(failure);
    co_return co_await mounts.take_outputs();
  }

 private:
  [[nodiscard]] const pb::ExecOp& exec() const { return vertex_->op.exec(); }

  /// Why programs of the op's platform do not run here; empty when they do.
  Task<std::string> find_obstacle() {
    if (services_.emulation == nullptr) co_return std::string();
    co_return co_await services_.emulation->prepare(vertex_->op.platform());
  }

  ContainerSpec make_spec(const ExecMounts& mounts) const {
    const pb::Meta& meta = exec().meta();
    ContainerSpec spec;
    spec.args.assign(meta.args().begin(), meta.args().end());
    spec.env = process_environment(meta, vertex_->op.platform());
    mounts.add_to(spec);
    spec.cwd = meta.cwd().empty() ? "/" : meta.cwd();
    UniqueFd const root = open_file(spec.rootfs, O_PATH | O_DIRECTORY);
    spec.user = find_user(root.get());
    bool const has_home = std::ranges::any_of(
        spec.env, [](const std::string& entry) { return entry.starts_with("HOME="); });
    // As runc does by itself; crun sets none for users that are not listed.
    if (!has_home) spec.env.push_back("HOME=" + find_home(root.get(), spec.user.uid));
    spec.hostname = meta.hostname();
    for (const pb::HostIP& host : meta.extrahosts()) {
      spec.extra_hosts.push_back(ExtraHost{host.host(), host.ip()});
    }
    for (const pb::Ulimit& limit : meta.ulimit()) {
      spec.ulimits.push_back(Ulimit{limit.name(), limit.soft(), limit.hard()});
    }
    spec.network = exec().network() == pb::HOST   ? NetworkMode::kHost
                   : exec().network() == pb::NONE ? NetworkMode::kNone
                                                  : NetworkMode::kDefault;
    spec.security = exec().security() == pb::INSECURE ? SecurityMode::kInsecure
                                                      : SecurityMode::kSandbox;
    spec.cgroup_parent = meta.cgroupparent();
    spec.remove_mount_stubs_recursive = meta.removemountstubsrecursive();
    const pb::LinuxResources& limits = vertex_->metadata.linux_resources();
    add_devices(spec);
    spec.resources = ResourceLimits{limits.memory(),    limits.memoryswap(), limits.cpushares(),
                                    limits.cpuperiod(), limits.cpuquota(),   limits.cpusetcpus(),
                                    limits.cpusetmems()};
    return spec;
  }

  void add_devices(ContainerSpec& spec) const {
    if (exec().cdidevices().empty()) return;
    if (services_.devices == nullptr) throw Error(ErrorKind::kInternal, "devices, and nobody to ask for them");
    services_.devices->inject(device_requests(exec()), spec);
  }

  [[nodiscard]] ContainerUser find_user(int root) const {
    try {
      ExecUser user = resolve_exec_user(root, exec().meta().user());
      require_id(user.uid, "/proc/self/uid_map", "user");
      require_id(user.gid, "/proc/self/gid_map", "group");
      for (std::uint32_t const gid : user.additional_gids) {
        require_id(gid, "/proc/self/gid_map", "group");
      }
      return ContainerUser{user.uid, user.gid, std::move(user.additional_gids)};
    } catch (const Error& error) {
      throw error.with_context(describe_unfinished(exec().meta()));
    }
  }

  void check(const ExitStatus& status) const {
    const auto& valid = exec().meta().validexitcodes();
    bool const ok = valid.empty() ? status.success()
                                  : std::find(valid.begin(), valid.end(), status.code) != valid.end();
    if (ok) return;
    std::string what = describe_failure(exec().meta(), status);
    // Programs say this in their own ways, or not at all. What the step wrote is still there.
    if (is_disk_full(services_.store.root())) what += ": no space left on device";
    throw Error(ErrorKind::kExecFailed, std::move(what));
  }

  Services services_;
  std::shared_ptr<const llb::Vertex> vertex_;
  OpKey key_;
};

}  // namespace

std::unique_ptr<solve::Op> make_exec_op(const Services& services,
                                        std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<ExecOp>(services, std::move(vertex));
}

std::vector<DeviceRequest> device_requests(const pb::ExecOp& exec) {
  std::vector<DeviceRequest> requests;
  for (const pb::CDIDevice& device : exec.cdidevices()) requests.push_back({device.name(), device.optional()});
  return requests;
}

std::string describe_failure(const pb::Meta& meta, const ExitStatus& status) {
  std::string const why = status.oom ? "cannot allocate memory"  // F8.1.24
                                     : "exit code: " + std::to_string(status.code);
  return describe_unfinished(meta) + ": " + why;
}

std::vector<std::string> process_environment(const pb::Meta& meta, const pb::Platform& platform) {
  std::vector<std::string> env(meta.env().begin(), meta.env().end());
  auto add_both_cases = [&env](std::string name, const std::string& value) {
    if (value.empty()) return;
    env.push_back(name + "=" + value);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    env.push_back(name + "=" + value);
  };
  const pb::ProxyEnv& proxy = meta.proxy_env();
  add_both_cases("HTTP_PROXY", proxy.http_proxy());
  add_both_cases("HTTPS_PROXY", proxy.https_proxy());
  add_both_cases("FTP_PROXY", proxy.ftp_proxy());
  add_both_cases("NO_PROXY", proxy.no_proxy());
  add_both_cases("ALL_PROXY", proxy.all_proxy());
  bool const has_path = std::any_of(env.begin(), env.end(),
                                    [](const auto& entry) { return entry.starts_with("PATH="); });
  if (!has_path && platform.os() != "windows") env.emplace_back(kDefaultPath);
  return env;
}

}  // namespace cobuild::ops
