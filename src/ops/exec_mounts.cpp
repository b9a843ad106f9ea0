#include "ops/exec_mounts.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/solve/kept_name.hpp"
#include "core/store/empty_mounts.hpp"
#include "core/sys/tree.hpp"
#include "ops/copy_tree.hpp"
#include "ops/local_source.hpp"
#include "ops/mount_courier.hpp"
#include "ops/stoppable.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using store::Store;

constexpr std::string_view kRootMount = "/";
constexpr unsigned kPermissions = 0777;
constexpr int kCacheCopies_max = 10000;
constexpr std::size_t kStartDigits = 16;
/// In the directory of a cache mount whose source is a file.
constexpr std::string_view kCachedFile = ".cobuild-cached-file";

/// Secrets, agents and memory have none, whatever the field says (F2.3.14).
bool has_output(const pb::Mount& mount) {
  return mount.output() != -1 && (mount.mounttype() == pb::BIND || mount.mounttype() == pb::CACHE);
}

bool has_selector(const pb::Mount& mount) {
  return !mount.selector().empty() && mount.selector() != kRootMount;
}

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

/// A path inside a mounted tree, links resolved beneath its root.
UniqueFd open_selected(const fs::path& tree, const std::string& selector) {
  UniqueFd const root = open_file(tree, O_PATH | O_DIRECTORY);
  return open_in_root(root.get(), selector, O_PATH);
}

/// What an open descriptor stands for now, whatever happens to the names on the way.
fs::path path_of(const UniqueFd& fd) {
  return fs::read_symlink("/proc/self/fd/" + std::to_string(fd.get()));
}

/// Which directory a cache mount has. What it starts as is part of the name: BuildKit keeps one for
/// each input.
std::string cache_id(const pb::Mount& mount, const solve::Result& start) {
  std::string id = mount.cacheopt().id();
  if (id.empty()) id = mount.dest();
  if (start.layers.empty()) return id;
  std::string layers;
  for (const store::LayerId& layer : start.layers) layers += std::to_string(layer.value) + ",";
  return Store::cache_mount_on(id, layers + mount.selector());
}

/// What `selector` names in the tree `source`, with owners, modes and times, into the empty directory
/// `target`: as that directory itself, or as the one file in it.
void copy_selected(const fs::path& source, const std::string& selector, const fs::path& target,
                   const std::atomic<bool>& stop) {
  auto const tree = FileTree::open(source);
  FileTree::Entry* const entry = tree->find(selector, true);
  if (entry == nullptr) throw Error::from_errno(ENOENT, "open " + selector);
  TargetRoot const root(open_file(target, O_PATH | O_DIRECTORY));
  CopyOptions options;
  options.copy_dir_contents = true;
  options.stop = &stop;
  EntryCopier copier(*tree, root, options);
  if (!entry->is_directory()) return copier.copy(*entry, "/" + std::string(kCachedFile));
  copier.copy(*entry, "/");
  copier.copy_metadata(*entry, "/");
}

}  // namespace

Task<void> ExecMounts::prepare(std::vector<solve::Result> inputs, solve::StepSink& step) {
  inputs_ = std::move(inputs);
  // Before anything that waits for a disk: what is missing is known at once.
  for (const pb::Mount& mount : exec().mounts()) {
    if (mount.dest() == kRootMount && mount.mounttype() != pb::BIND) {
      throw Error(ErrorKind::kInvalidInput, "invalid mount type " + pb::MountType_Name(mount.mounttype()) +
                                                " for " + mount.dest());
    }
    if (mount.mounttype() == pb::SECRET) lend_secret(mount);
    if (mount.mounttype() == pb::SSH) lend_agent(mount);
  }
  lend_variables();
  co_await prepare_caches(step);
  for (const pb::Mount& mount : exec().mounts()) {
    if (mount.mounttype() == pb::BIND) {
      prepared_.push_back(co_await prepare_bind(mount, step));
    } else if (mount.mounttype() == pb::CACHE) {
      prepared_.push_back(use_cache(mount));
    }
  }
}

solve::Result ExecMounts::input_of(const pb::Mount& mount) const {
  return mount.input() < 0 ? solve::Result() : inputs_.at(static_cast<std::size_t>(mount.input()));
}

// ---- trees

/// Which mounts can change and which pass their input on is F2.3.14 and F2.3.18.
Task<ExecMounts::Prepared> ExecMounts::prepare_bind(const pb::Mount& mount, solve::StepSink& step) {
  Prepared prepared;
  prepared.mount = &mount;
  solve::Result input = input_of(mount);
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
  if (has_selector(mount)) {
    prepared.selected = open_selected(prepared.view->path(), mount.selector());
    prepared.source = path_of(prepared.selected);
  }
  co_return prepared;
}

Task<std::unique_ptr<store::View>> ExecMounts::edit(std::vector<fs::path> lowers,
                                                    const store::NewLayer& layer) {
  auto mount = [this, lowers = std::move(lowers), &layer] {
    return services_.snapshotter.edit(lowers, layer);
  };
  co_return co_await offload(services_.pool, std::move(mount));
}

Task<std::unique_ptr<store::View>> ExecMounts::view(std::vector<fs::path> lowers) {
  auto mount = [this, lowers = std::move(lowers)] { return services_.snapshotter.view(lowers); };
  co_return co_await offload(services_.pool, std::move(mount));
}

// ---- cache mounts

/// In the order of their ids, whoever asks: two steps that want the same two do not wait for each
/// other.
Task<void> ExecMounts::prepare_caches(solve::StepSink& step) {
  for (const pb::Mount& mount : exec().mounts()) {
    if (mount.mounttype() != pb::CACHE) continue;
    solve::Result start = input_of(mount);
    if (start.unstored) {
      start.layers = co_await materialise(services_, start, step);
      start.unstored.reset();
    }
    std::string id = cache_id(mount, start);
    auto const [cache, is_new] = caches_.try_emplace(std::move(id));
    if (is_new) cache->second.start = std::move(start);
    cache->second.mounts.push_back(&mount);
  }
  for (auto& [first_id, cache] : caches_) {
    std::string id = first_id;
    MountCourier* const courier = services_.mount_courier;
    bool const may_restore =
        courier != nullptr && courier->restores() && !vertex_.metadata.ignore_cache();
    // One that is there and empty, after a step that failed, is as good as none.
    if (may_restore) store::drop_empty_cache_mount(services_.store, id);
    co_await hold(cache, id, step);
    std::string const& destination = cache.first().dest();
    std::string description = "cached mount " + destination + " from " + solve::kept_name(vertex_.name);
    if (id != destination) description += " with id " + go_quote(id);
    std::optional<store::NewLayer> start;
    std::optional<Store::Lock> restoring;
    // Further copies, for those who want to be alone, stay here.
    bool const travels = courier != nullptr && id == first_id;
    if (travels && may_restore && !services_.store.has_cache_mount(id)) {
      restoring = co_await services_.store.lock("restoring " + Store::cache_mount_lock(id));
      if (!services_.store.has_cache_mount(id)) {
        start = co_await courier->restore(travel_id(cache.first()), step);
      }
    }
    if (!start && !cache.start.layers.empty() && !services_.store.has_cache_mount(id)) {
      start = co_await make_start(cache, step);
    }
    cache.path = co_await services_.store.cache_mount(id, std::move(description), std::move(start));
    if (travels) courier->note_use({travel_id(cache.first()), id, cache.path});
    if (!cache.start.layers.empty() && fs::exists(cache.path / kCachedFile)) cache.path /= kCachedFile;
  }
}

/// What a cache mount is called on all machines. What it starts as is part of the name here, too, as
/// it was asked for: the ids of layers mean nothing elsewhere.
std::string ExecMounts::travel_id(const pb::Mount& mount) const {
  std::string id = mount.cacheopt().id().empty() ? mount.dest() : mount.cacheopt().id();
  if (mount.input() < 0) return id;
  const llb::Edge& input = vertex_.inputs.at(static_cast<std::size_t>(mount.input()));
  if (!input.vertex) return id;
  std::string const start = input.vertex->digest.to_string() + " " + std::to_string(input.output) +
                            " " + mount.selector();
  return id + "@" + Digest::of(start).hex().substr(0, kStartDigits);
}

/// shared: one directory for all; locked: wait for it; private: another one while it is taken
/// (F1.6.12). One that somebody has alone is taken for those who share, too. Sets `id` to the one that
/// was had.
Task<void> ExecMounts::hold(Cache& cache, std::string& id, solve::StepSink& step) {
  Store& store = services_.store;
  std::string const first = id;
  auto const sharing = cache.first().cacheopt().sharing();
  if (sharing == pb::LOCKED) {
    cache.lock = store.try_lock(Store::cache_mount_lock(id));
    if (cache.lock) co_return;
    std::string const waiting = "waiting for the cache mount " + cache.first().dest();
    step.status(waiting, 0, 0, false);
    cache.lock = co_await store.lock(Store::cache_mount_lock(id));
    step.status(waiting, 0, 0, true);
    co_return;
  }
  for (int copy = 0; copy < kCacheCopies_max; ++copy) {
    id = Store::cache_mount_copy(first, copy);
    std::string const name = Store::cache_mount_lock(id);
    cache.lock = sharing == pb::PRIVATE ? store.try_lock(name) : store.try_lock_shared(name);
    if (cache.lock) co_return;
  }
  throw Error(ErrorKind::kUnavailable, "all copies of the cache mount " + first + " are in use");
}

/// The files that a cache mount with an input starts as.
Task<std::optional<store::NewLayer>> ExecMounts::make_start(const Cache& cache, solve::StepSink& step) {
  std::shared_ptr<store::View> const tree =
      co_await view(co_await services_.files.directories(cache.start.layers, step));
  store::NewLayer start = services_.store.new_layer();
  auto copy = [tree, selector = "/" + cache.first().selector(),
               target = start.fs()](const std::atomic<bool>& stop) {
    copy_selected(tree->path(), selector, target, stop);
    return true;
  };
  co_await offload_stoppable(services_.pool, std::move(copy));
  auto close = [tree] {
    tree->close();
    return true;
  };
  co_await offload(services_.pool, std::move(close));
  co_return start;
}

ExecMounts::Prepared ExecMounts::use_cache(const pb::Mount& mount) const {
  Prepared prepared;
  prepared.mount = &mount;
  solve::Result const input = input_of(mount);
  if (has_output(mount) && mount.input() >= 0) prepared.passed_on = input;
  for (const auto& [id, cache] : caches_) {
    if (std::ranges::find(cache.mounts, &mount) != cache.mounts.end()) prepared.source = cache.path;
  }
  return prepared;
}

// ---- what the user lends

void ExecMounts::lend_secret(const pb::Mount& mount) {
  const pb::SecretOpt& options = mount.secretopt();
  if (options.id().empty()) {
    throw Error(ErrorKind::kInvalidInput, "secret ID missing from mount options");
  }
  Secrets const none;
  const Secrets& secrets = services_.secrets != nullptr ? *services_.secrets : none;
  auto secret = options.optional() ? secrets.find(options.id()) : secrets.get(options.id());
  if (!secret) return;
  ContainerMount lent;
  lent.kind = ContainerMount::Kind::kSecret;
  lent.destination = absolute(mount.dest());
  lent.content = *std::move(secret);
  lent.owner = {.uid = options.uid(), .gid = options.gid(), .additional_gids = {}};
  lent.mode = options.mode() & kPermissions;
  lent_.push_back(std::move(lent));
}

void ExecMounts::lend_agent(const pb::Mount& mount) {
  const pb::SSHOpt& options = mount.sshopt();
  SshAgents const none;
  const SshAgents& agents = services_.ssh_agents != nullptr ? *services_.ssh_agents : none;
  ConnectionHandler serve = options.optional() ? agents.find(options.id()) : agents.get(options.id());
  if (!serve) return;
  ContainerMount lent;
  lent.kind = ContainerMount::Kind::kSocket;
  lent.destination = absolute(mount.dest());
  lent.serve = std::move(serve);
  lent.owner = {.uid = options.uid(), .gid = options.gid(), .additional_gids = {}};
  lent.mode = options.mode() & kPermissions;
  lent_.push_back(std::move(lent));
}

/// One that is optional and missing is there all the same, and empty.
void ExecMounts::lend_variables() {
  Secrets const none;
  const Secrets& secrets = services_.secrets != nullptr ? *services_.secrets : none;
  for (const pb::SecretEnv& variable : exec().secretenv()) {
    if (variable.id().empty()) {
      throw Error(ErrorKind::kInvalidInput,
                  "secret ID missing for " + go_quote(variable.name()) + " environment variable");
    }
    Secret value =
        variable.optional() ? secrets.find(variable.id()).value_or(Secret()) : secrets.get(variable.id());
    if (value.reveal().find('\0') != std::string::npos) {
      throw Error(ErrorKind::kInvalidInput, "secret " + variable.id() +
                                                " cannot be in the environment variable " + variable.name() +
                                                ", because it has a zero byte: mount it as a file");
    }
    variables_.emplace_back(variable.name(), std::move(value));
  }
}

// ---- the container, and after it

std::string ExecMounts::absolute(const std::string& destination) const {
  if (destination.starts_with('/')) return destination;
  const std::string& cwd = exec().meta().cwd();
  return (fs::path(cwd.empty() ? "/" : cwd) / destination).lexically_normal();
}

void ExecMounts::add_to(ContainerSpec& spec) const {
  for (const Prepared& prepared : prepared_) {
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
    tmpfs.read_only = mount.readonly();
    tmpfs.size_bytes = mount.tmpfsopt().size();
    spec.mounts.push_back(std::move(tmpfs));
  }
  spec.mounts.insert(spec.mounts.end(), lent_.begin(), lent_.end());
  sort_by_depth(spec.mounts);
  for (const auto& [name, value] : variables_) {
    // Of two with one name, programs do not agree which counts.
    std::erase_if(spec.env, [&name](const std::string& entry) { return entry.starts_with(name + "="); });
    spec.secret_env.emplace_back(name, value);
  }
}

Task<std::vector<solve::Result>> ExecMounts::take_outputs() {
  auto close_all = [this] {
    for (auto mount = prepared_.rbegin(); mount != prepared_.rend(); ++mount) {
      mount->selected = UniqueFd();  // It would keep the view busy.
      if (mount->view) mount->view->close();
    }
    return true;
  };
  co_await offload(services_.pool, close_all);
  std::vector<solve::Result> results;
  for (Prepared& prepared : prepared_) {
    if (!has_output(*prepared.mount)) continue;
    if (prepared.passed_on) {
      results.push_back(*prepared.passed_on);
      continue;
    }
    if (prepared.mount->mounttype() == pb::CACHE) continue;
    COBUILD_ASSERT(prepared.layer.has_value(), "a mount with an output has a layer");
    store::LayerAttributes attributes;
    attributes.description = solve::kept_name(vertex_.name);
    if (prepared.mount->dest() != kRootMount) {
      attributes.description =
          "mount " + prepared.mount->dest() + " from exec " + attributes.description;
    }
    solve::Result result;
    result.layers = prepared.lowers;
    result.layers.push_back(
        co_await services_.store.commit_layer(std::move(*prepared.layer), std::move(attributes)));
    results.push_back(std::move(result));
  }
  co_return results;
}

}  // namespace cobuild::ops
