#include "ops/exec_op.hpp"

#include <fcntl.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/async/cleanup.hpp"
#include "core/async/concurrency.hpp"
#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/tree.hpp"
#include "ops/content_hash.hpp"
#include "ops/local_source.hpp"
#include "ops/op_digest.hpp"
#include "ops/user_lookup.hpp"

namespace cobuild::ops {
namespace {

constexpr std::string_view kRootMount = "/";
constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";  // F1.4.18

/// A mount made ready: where its files are, and what becomes of them. Members are destroyed from the
/// last to the first: the view is unmounted before the layer under it is removed.
struct PreparedMount {
  const pb::Mount* mount = nullptr;
  std::optional<store::Store::Lock> lock;  ///< Of a cache mount that is not shared.
  std::optional<store::NewLayer> layer;    ///< Takes the changes of a writable mount.
  std::unique_ptr<store::View> view;
  UniqueFd selected;                       ///< Keeps what `source` names while the step runs.
  std::filesystem::path source;            ///< What is bound into the container.
  store::LayerChain lowers;                ///< What `layer` is stacked on.
  std::optional<solve::Result> passed_on;  ///< The output of a mount that cannot change.
};

bool has_output(const pb::Mount& mount) { return mount.output() != -1; }

std::size_t depth(const std::string& path) {
  return static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
}

/// Parents before children, else in the order given. (std::stable_sort would do, but for a deprecated
/// function that libstdc++ 12 uses in it.)
void sort_by_depth(std::vector<ContainerMount>& mounts) {
  for (std::size_t i = 1; i < mounts.size(); ++i) {
    auto const current = mounts.begin() + static_cast<std::ptrdiff_t>(i);
    auto const place = std::upper_bound(
        mounts.begin(), current, depth(current->destination),
        [](std::size_t wanted, const ContainerMount& other) { return wanted < depth(other.destination); });
    std::rotate(place, current, current + 1);
  }
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

  Task<std::vector<solve::Result>> run(std::vector<solve::Result> inputs,
                                       solve::StepSink& step) override {
    std::vector<PreparedMount> mounts;
    for (const pb::Mount& mount : exec().mounts()) {
      if (mount.mounttype() == pb::TMPFS) continue;
      mounts.push_back(co_await prepare(mount, inputs, step));
    }
    ContainerSpec spec = make_spec(mounts);
    ExitStatus const status = co_await services_.runtime.run(
        std::move(spec), [&step](int stream, std::string_view data) { step.log(stream, data); });
    check(status);
    co_return co_await take_outputs(std::move(mounts));
  }

 private:
  [[nodiscard]] const pb::ExecOp& exec() const { return vertex_->op.exec(); }

  Task<PreparedMount> prepare(const pb::Mount& mount, const std::vector<solve::Result>& inputs,
                              solve::StepSink& step) {
    solve::Result input;
    if (mount.input() >= 0) input = inputs.at(static_cast<std::size_t>(mount.input()));
    switch (mount.mounttype()) {
      case pb::BIND: co_return co_await prepare_bind(mount, std::move(input), step);
      case pb::CACHE: co_return co_await prepare_cache(mount);
      case pb::SECRET: throw Error(ErrorKind::kUnsupported, "secret mounts are not supported yet");
      case pb::SSH: throw Error(ErrorKind::kUnsupported, "ssh mounts are not supported yet");
      default: throw Error(ErrorKind::kInvalidInput, "invalid mount type");
    }
  }

  /// Which mounts can change and which pass their input on is F2.3.14 and F2.3.18.
  Task<PreparedMount> prepare_bind(const pb::Mount& mount, solve::Result input,
                                   solve::StepSink& step) {
    PreparedMount prepared;
    prepared.mount = &mount;
    bool const root = mount.dest() == kRootMount;
    if (input.unstored) {
      input.layers = co_await materialise(services_, input, step);
      input.unstored.reset();
    }
    bool const writable =
        has_output(mount) ? !(mount.readonly() && mount.input() >= 0 && !root)
                          : !root && (!mount.readonly() || mount.input() < 0);
    if (has_output(mount) && !writable) prepared.passed_on = input;
    auto lowers = co_await services_.files.directories(input.layers, step);
    if (writable || root) {
      prepared.lowers = input.layers;
      prepared.layer = services_.store.new_layer();
      prepared.view = co_await edit(std::move(lowers), *prepared.layer);
    } else {
      prepared.view = co_await view(std::move(lowers));
    }
    prepared.source = prepared.view->path();
    if (!mount.selector().empty() && mount.selector() != kRootMount) {
      prepared.source = select(prepared, mount.selector());
    }
    co_return prepared;
  }

  /// A path inside the mount, links resolved beneath its root. The name in /proc keeps pointing to what
  /// was found, whatever happens to the names on the way.
  static std::filesystem::path select(PreparedMount& prepared, const std::string& selector) {
    UniqueFd const root = open_file(prepared.view->path(), O_PATH | O_DIRECTORY);
    prepared.selected = open_in_root(root.get(), selector, O_PATH);
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(prepared.selected.get()));
  }

  Task<std::unique_ptr<store::View>> edit(std::vector<std::filesystem::path> lowers,
                                          const store::NewLayer& layer) {
    auto mount = [this, lowers = std::move(lowers), &layer] {
      return services_.snapshotter.edit(lowers, layer);
    };
    co_return co_await offload(services_.pool, std::move(mount));
  }

  Task<std::unique_ptr<store::View>> view(std::vector<std::filesystem::path> lowers) {
    auto mount = [this, lowers = std::move(lowers)] { return services_.snapshotter.view(lowers); };
    co_return co_await offload(services_.pool, std::move(mount));
  }

  /// shared: one directory for all; locked: wait for it; private: another one while it is taken
  /// (F1.6.12).
  Task<PreparedMount> prepare_cache(const pb::Mount& mount) {
    if (mount.input() >= 0) {
      throw Error(ErrorKind::kUnsupported,
                  "cache mounts with initial contents are not supported yet");
    }
    PreparedMount prepared;
    prepared.mount = &mount;
    std::string id = mount.cacheopt().id();
    if (id.empty()) id = mount.dest();
    if (mount.cacheopt().sharing() == pb::LOCKED) {
      prepared.lock = co_await services_.store.lock("cache mount " + id);
    } else if (mount.cacheopt().sharing() == pb::PRIVATE) {
      std::string const base = id;
      for (int copy = 1; !(prepared.lock = services_.store.try_lock("cache mount " + id)); ++copy) {
        id = base + "#" + std::to_string(copy);
      }
    }
    prepared.source = co_await services_.store.cache_mount(
        id, "cached mount " + mount.dest() + " from " + vertex_->name + " with id \"" + id + "\"");
    co_return prepared;
  }

  ContainerSpec make_spec(const std::vector<PreparedMount>& mounts) const {
    const pb::Meta& meta = exec().meta();
    ContainerSpec spec;
    for (const PreparedMount& prepared : mounts) {
      const pb::Mount& mount = *prepared.mount;
      if (mount.dest() == kRootMount) {
        spec.rootfs = prepared.source;
        spec.read_only_rootfs = mount.readonly();
        continue;
      }
      ContainerMount bind;
      bind.destination = absolute(mount.dest());
      bind.source = prepared.source;
      bind.read_only = mount.readonly();
      spec.mounts.push_back(std::move(bind));
    }
    for (const pb::Mount& mount : exec().mounts()) {
      if (mount.mounttype() != pb::TMPFS) continue;
      ContainerMount tmpfs;
      tmpfs.kind = ContainerMount::Kind::kTmpfs;
      tmpfs.destination = absolute(mount.dest());
      tmpfs.size_bytes = mount.tmpfsopt().size();
      spec.mounts.push_back(std::move(tmpfs));
    }
    sort_by_depth(spec.mounts);
    spec.args.assign(meta.args().begin(), meta.args().end());
    spec.env = process_environment(meta, vertex_->op.platform());
    spec.cwd = meta.cwd().empty() ? "/" : meta.cwd();
    UniqueFd const root = open_file(spec.rootfs, O_PATH | O_DIRECTORY);
    ExecUser const user = resolve_exec_user(root.get(), meta.user());
    spec.user = ContainerUser{user.uid, user.gid, user.additional_gids};
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
    spec.resources = ResourceLimits{limits.memory(),    limits.memoryswap(), limits.cpushares(),
                                    limits.cpuperiod(), limits.cpuquota(),   limits.cpusetcpus(),
                                    limits.cpusetmems()};
    return spec;
  }

  [[nodiscard]] std::string absolute(const std::string& destination) const {
    if (destination.starts_with('/')) return destination;
    const std::string& cwd = exec().meta().cwd();
    return (std::filesystem::path(cwd.empty() ? "/" : cwd) / destination).lexically_normal();
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

  /// Unmounts what was mounted and makes the changed trees layers; nothing is committed before all
  /// are unmounted.
  Task<std::vector<solve::Result>> take_outputs(std::vector<PreparedMount> mounts) {
    auto close_all = [&mounts] {
      for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
        if (mount->view) mount->view->close();
      }
      return true;
    };
    co_await offload(services_.pool, close_all);
    std::vector<solve::Result> results;
    for (PreparedMount& prepared : mounts) {
      if (!has_output(*prepared.mount)) continue;
      if (prepared.passed_on) {
        results.push_back(*prepared.passed_on);
        continue;
      }
      COBUILD_ASSERT(prepared.layer.has_value(), "a mount with an output has a layer");
      store::LayerAttributes attributes;
      attributes.description = prepared.mount->dest() == kRootMount
                                   ? vertex_->name
                                   : "mount " + prepared.mount->dest() + " from exec " + vertex_->name;
      solve::Result result;
      result.layers = prepared.lowers;
      result.layers.push_back(
          co_await services_.store.commit_layer(std::move(*prepared.layer), std::move(attributes)));
      results.push_back(std::move(result));
    }
    co_return results;
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

std::string describe_failure(const pb::Meta& meta, const ExitStatus& status) {
  std::string command;
  for (const std::string& word : meta.args()) {
    if (!command.empty()) command += ' ';
    command += word;
  }
  std::string const why = status.oom ? "cannot allocate memory"  // F8.1.24
                                     : "exit code: " + std::to_string(status.code);
  return "process " + go_quote(command) + " did not complete successfully: " + why;
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
