#include "ops/file_op.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/async/cleanup.hpp"
#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/solve/kept_name.hpp"
#include "ops/content_hash.hpp"
#include "ops/copy_history.hpp"
#include "ops/file_actions.hpp"
#include "ops/local_source.hpp"
#include "ops/made_on_scratch.hpp"
#include "ops/op_description.hpp"
#include "ops/op_digest.hpp"
#include "ops/stoppable.hpp"
#include "ops/user_lookup.hpp"

namespace cobuild::ops {

namespace {

/// A layer on which actions are at work. The view goes first: it writes into the layer.
struct Edit {
  explicit Edit(store::NewLayer new_layer) : layer(std::move(new_layer)) {}

  store::NewLayer layer;
  store::LayerChain base;
  std::vector<std::filesystem::path> base_directories;
  std::unique_ptr<store::View> view;     ///< None on scratch: the layer's own directory will do.
  std::optional<store::LayerId> amends;  ///< \see store::Layer::amends.
  bool is_open = false;

  /// Where the files are. Blocking the first time.
  std::filesystem::path root(store::Snapshotter& snapshotter) {
    if (!is_open && !base_directories.empty()) view = snapshotter.edit(base_directories, layer);
    is_open = true;
    return view ? view->path() : layer.fs();
  }
};

/// A root to read from: of an input, of an earlier action, or nothing at all.
struct ReadRoot {
  std::shared_ptr<const LocalTree> local;
  std::shared_ptr<Edit> edit;
  std::vector<std::filesystem::path> directories;  ///< When there is neither of them.
};

/// The same, opened. The tree's descriptors must go before the view.
struct OpenRoot {
  std::unique_ptr<store::View> view;
  std::unique_ptr<FileTree> own_tree;
  FileTree* tree = nullptr;
};

[[nodiscard]] OpenRoot open_root(const ReadRoot& root, store::Snapshotter& snapshotter) {
  OpenRoot open;
  if (root.local) {
    open.tree = &root.local->tree();
    return open;
  }
  if (root.edit) {
    open.own_tree = FileTree::open(root.edit->root(snapshotter));
  } else {
    open.view = snapshotter.view(root.directories);
    open.own_tree = FileTree::open(open.view->path());
  }
  open.tree = open.own_tree.get();
  return open;
}

/// A user file; nullopt when there is none.
[[nodiscard]] std::optional<std::string> read_file(FileTree& tree, std::string_view path) {
  const FileTree::Entry* const entry = tree.find(path, true);
  if (entry == nullptr) return std::nullopt;
  if (!entry->is_regular()) {
    throw Error(ErrorKind::kInvalidInput, std::string(path) + " is not a regular file");
  }
  UniqueFd const fd = tree.open_file(*entry);
  std::string text;
  std::array<char, 64 << 10> buffer;
  for (;;) {
    ssize_t const n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error::from_errno(errno, "read " + std::string(path));
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
    if (text.size() > kUserFileBytesMax) {
      throw Error(ErrorKind::kInvalidInput, "\"" + std::string(path) + "\" exceeds " +
                                                std::to_string(kUserFileBytesMax) + " bytes");
    }
  }
}

/// Everything that one action needs, gathered on the loop for a visit to the pool.
struct ActionJob {
  const pb::FileAction* action = nullptr;
  std::shared_ptr<Edit> edit;
  std::optional<ReadRoot> source;
  std::optional<ReadRoot> user_root;
  std::optional<ReadRoot> group_root;
  CopyLedger* ledger = nullptr;
};

/// Blocking.
void run_job(const ActionJob& job, store::Snapshotter& snapshotter, const std::atomic<bool>& stop) {
  std::optional<std::string> passwd;
  std::optional<std::string> group;
  if (job.user_root)
    passwd = read_file(*open_root(*job.user_root, snapshotter).tree, "/etc/passwd");
  if (job.group_root)
    group = read_file(*open_root(*job.group_root, snapshotter).tree, "/etc/group");
  OpenRoot source;
  if (job.source) source = open_root(*job.source, snapshotter);
  TargetRoot const target(open_file(job.edit->root(snapshotter), O_RDONLY | O_DIRECTORY));
  ActionContext context{
      .target = target, .source = source.tree, .owner = {}, .stop = &stop, .ledger = job.ledger};
  if (const pb::ChownOpt* owner = owner_of(*job.action)) {
    context.owner = resolve_owner(*owner, passwd, group);
  }
  perform(*job.action, context);
}

/// One execution: which action comes when, and where layers begin and end.
class FileRun {
 public:
  FileRun(Services services, const llb::Vertex& vertex, std::vector<solve::Result> inputs,
          solve::StepSink& step)
      : services_(services),
        vertex_(vertex),
        op_(vertex.op.file()),
        inputs_(std::move(inputs)),
        step_(step) {}

  Task<std::vector<solve::Result>> run() {
    std::vector<std::int64_t> const outputs = plan();
    std::vector<solve::Result> results;
    for (std::int64_t const index : outputs) {
      co_await make(index);
      results.push_back(*slots_[index].result);
    }
    co_return results;
  }

  /// Removes what was not committed, on the pool: it may be a large tree.
  Task<void> discard() {
    auto drop = [slots = std::exchange(slots_, {})]() mutable {
      slots.clear();
      return true;
    };
    co_await offload(services_.pool, std::move(drop));
  }

 private:
  struct Slot {
    bool requires_commit = false;  ///< Its state is needed by more than the next action.
    std::optional<solve::Result> result;
    std::shared_ptr<Edit> edit;
  };

  [[nodiscard]] std::int64_t input_count() const {
    return static_cast<std::int64_t>(inputs_.size());
  }

  void use(std::int64_t index) {
    auto const [slot, is_first_use] = slots_.try_emplace(index);
    if (!is_first_use) slot->second.requires_commit = true;
  }

  /// The indexes of what becomes the outputs, in their order. \throws Error for a graph that is
  /// none.
  std::vector<std::int64_t> plan() {
    std::map<std::int64_t, std::int64_t> outputs;
    std::int64_t const end = input_count() + op_.actions_size();
    for (int i = 0; i < op_.actions_size(); ++i) {
      const pb::FileAction& action = op_.actions(i);
      std::int64_t const own = input_count() + i;
      for (std::int64_t const input : {action.input(), action.secondaryinput()}) {
        if (input < -1 || input >= end) {
          throw Error(ErrorKind::kInvalidInput, "invalid input index " + std::to_string(input) +
                                                    ", " + std::to_string(end) + " provided");
        }
        use(input);
      }
      if (action.output() == -1) continue;
      if (!outputs.emplace(action.output(), own).second) {
        throw Error(ErrorKind::kInvalidInput,
                    "duplicate output " + std::to_string(action.output()));
      }
      slots_[own].requires_commit = true;
    }
    if (outputs.empty()) throw Error(ErrorKind::kInvalidInput, "no outputs specified");
    std::vector<std::int64_t> ordered;
    for (const auto& [output, index] : outputs) {
      if (output != static_cast<std::int64_t>(ordered.size())) {
        throw Error(ErrorKind::kInvalidInput,
                    "missing output index " + std::to_string(ordered.size()));
      }
      ordered.push_back(index);
    }
    check_loops();
    return ordered;
  }

  /// Actions may refer to later ones, but not to themselves.
  void check_loops() const {
    enum class State { kNew, kOpen, kDone };
    std::vector<State> states(static_cast<std::size_t>(op_.actions_size()), State::kNew);
    std::vector<int> stack;
    auto enter = [&](std::int64_t index) {
      if (index < input_count()) return;
      auto const i = static_cast<std::size_t>(index - input_count());
      if (states[i] == State::kOpen) {
        throw Error(ErrorKind::kInvalidInput, "loop from index " + std::to_string(index));
      }
      if (states[i] == State::kNew) stack.push_back(static_cast<int>(i));
    };
    for (int start = 0; start < op_.actions_size(); ++start) {
      enter(input_count() + start);
      while (!stack.empty()) {
        int const top = stack.back();
        auto& state = states[static_cast<std::size_t>(top)];
        if (state != State::kNew) {
          state = State::kDone;
          stack.pop_back();
          continue;
        }
        state = State::kOpen;
        enter(op_.actions(top).input());
        enter(op_.actions(top).secondaryinput());
      }
    }
  }

  /// Fills the slot of an input or an action.
  Task<void> make(std::int64_t index) {
    if (slots_[index].result || slots_[index].edit) co_return;
    if (index < input_count()) {
      slots_[index].result = inputs_[static_cast<std::size_t>(index)];
      co_return;
    }
    ActionJob job;
    job.action = &op_.actions(static_cast<int>(index - input_count()));
    if (job.action->has_copy()) job.source = co_await read_root(job.action->secondaryinput());
    if (const pb::ChownOpt* owner = owner_of(*job.action)) {
      if (owner->user().has_byname()) job.user_root = co_await user_root(owner->user().byname());
      if (owner->group().has_byname()) job.group_root = co_await user_root(owner->group().byname());
    }
    if (is_plain_copy(job)) co_return co_await copy_incrementally(index, std::move(job));
    job.edit = co_await begin_edit(job.action->input());
    co_await perform_on_pool(job);
    slots_[index].edit = std::move(job.edit);
    if (slots_[index].requires_commit) co_await commit(index);
  }

  /// One COPY of the user's files: the next build brings most of them again.
  [[nodiscard]] bool is_plain_copy(const ActionJob& job) const {
    return op_.actions_size() == 1 && job.source && job.source->local &&
           job.action->input() < input_count() && services_.snapshotter.name() == "overlayfs";
  }

  Task<void> copy_incrementally(std::int64_t index, ActionJob job) {
    std::int64_t const input = job.action->input();
    store::LayerChain base;
    if (input != -1) {
      co_await make(input);
      base = co_await materialise(services_, *slots_[input].result, step_);
    }
    CopyHistory const history(services_.store, vertex_.digest.digest(),
                              job.source->local->tree().root(), base);
    std::optional<FormerCopy> former = co_await history.find();
    if (former && co_await amend(index, job, std::move(base), *former)) co_return;

    CopyLedger ledger;
    job.ledger = &ledger;
    job.edit = co_await begin_edit(input);
    co_await perform_on_pool(job);
    slots_[index].edit = std::move(job.edit);
    co_await commit(index);
    if (std::optional<std::string> const text = ledger.take_text()) {
      history.save(slots_[index].result->layers.back(), *text);
    }
  }

  /// Copies only what differs from `former`, into a layer on its layer. False when that cannot be.
  Task<bool> amend(std::int64_t index, ActionJob job, store::LayerChain base,
                   const FormerCopy& former) {
    job.edit = std::make_shared<Edit>(services_.store.new_layer());
    job.edit->base = std::move(base);
    job.edit->base.push_back(former.layer);
    job.edit->amends = former.layer;
    job.edit->base_directories = co_await services_.files.directories(job.edit->base, step_);
    slots_[index].edit = job.edit;  // for discard(), should this fail
    bool done = false;
    try {
      CopyLedger ledger(former.ledger);
      job.ledger = &ledger;
      co_await perform_on_pool(job);
      done = true;
    } catch (const CannotAmend&) {
    }
    if (!done) {
      auto drop = [edit = std::exchange(slots_[index].edit, nullptr)]() mutable {
        edit.reset();
        return true;
      };
      job.edit.reset();
      co_await offload(services_.pool, std::move(drop));
      co_return false;
    }
    co_await commit(index);
    co_return true;
  }

  /// The state that an action changes: the previous action's own one if nobody else needs it.
  Task<std::shared_ptr<Edit>> begin_edit(std::int64_t input) {
    if (input != -1) {
      co_await make(input);
      if (auto edit = slots_[input].edit) co_return edit;
    }
    auto edit = std::make_shared<Edit>(services_.store.new_layer());
    if (input != -1) {
      edit->base = co_await materialise(services_, *slots_[input].result, step_);
      if (!edit->base.empty()) {
        edit->base_directories = co_await services_.files.directories(edit->base, step_);
      }
    }
    co_return edit;
  }

  Task<ReadRoot> read_root(std::int64_t index) {
    ReadRoot root;
    if (index == -1) co_return root;
    co_await make(index);
    Slot const slot = slots_[index];
    root.edit = slot.edit;
    if (!slot.result) co_return root;
    root.local = std::dynamic_pointer_cast<const LocalTree>(slot.result->unstored);
    if (!root.local && !slot.result->layers.empty()) {
      root.directories = co_await services_.files.directories(slot.result->layers, step_);
    }
    co_return root;
  }

  Task<ReadRoot> user_root(pb::NamedUserOpt user) {
    if (user.input() < 0) {
      throw Error(ErrorKind::kInvalidInput, "invalid user index: " + std::to_string(user.input()));
    }
    co_return co_await read_root(user.input());
  }

  Task<void> perform_on_pool(const ActionJob& job) {
    // In one order for everybody, so that two ops with two contexts do not wait for each other.
    std::set<std::shared_ptr<const LocalTree>> locals;
    for (const auto* root : {&job.source, &job.user_root, &job.group_root}) {
      if (*root && (*root)->local) locals.insert((*root)->local);
    }
    std::vector<Semaphore::Slot> exclusive;
    for (const auto& local : locals) exclusive.push_back(co_await local->exclusive().acquire());
    store::Snapshotter& snapshotter = services_.snapshotter;
    auto perform_job = [&job, &snapshotter](const std::atomic<bool>& stop) {
      Timings::Span const span(Phase::kCopy);
      run_job(job, snapshotter, stop);
      return true;
    };
    co_await offload_stoppable(services_.pool, perform_job);
  }

  Task<void> commit(std::int64_t index) {
    std::shared_ptr<Edit> const edit = std::exchange(slots_[index].edit, nullptr);
    auto close = [edit] {
      if (edit->view) edit->view->close();
      edit->view.reset();
      return true;
    };
    co_await offload(services_.pool, close);
    store::LayerAttributes attributes;
    attributes.description = solve::kept_name(vertex_.name);
    attributes.amends = edit->amends;
    store::LayerId const layer =
        co_await services_.store.commit_layer(std::move(edit->layer), std::move(attributes));
    if (edit->base.empty()) note_made_on_scratch(services_.store, layer);
    solve::Result result;
    result.layers = edit->base;
    result.layers.push_back(layer);
    // Whoever worked on the same edit before has its state no more: it was committed with this one.
    slots_[index].result = std::move(result);
  }

  Services services_;
  const llb::Vertex& vertex_;
  const pb::FileOp& op_;
  std::vector<solve::Result> inputs_;
  solve::StepSink& step_;
  std::map<std::int64_t, Slot> slots_;
};

class FileOp final : public solve::Op {
 public:
  FileOp(const Services& services, std::shared_ptr<const llb::Vertex> vertex)
      : services_(services), vertex_(std::move(vertex)) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink&) override {
    std::vector<solve::CacheMap> maps{op_key(*vertex_).map};
    co_return maps;
  }

  Task<Digest> content_digest(std::size_t index, solve::Result input,
                              solve::StepSink& step) override {
    OpKey key = op_key(*vertex_);
    co_return co_await ops::content_digest(services_, std::move(key.selectors.at(index)),
                                           std::move(input), step);
  }

  [[nodiscard]] solve::OpDescription describe() const override { return ops::describe(*vertex_); }

  Task<std::optional<solve::FileList>> read_files(std::size_t index, solve::Result input) override {
    OpKey key = op_key(*vertex_);
    co_return co_await list_content(services_, std::move(key.selectors.at(index)), std::move(input));
  }

  Task<std::vector<solve::Result>> run(std::vector<solve::Result> inputs,
                                       solve::StepSink& step) override {
    FileRun file_run(services_, *vertex_, std::move(inputs), step);
    co_return co_await with_cleanup(file_run.run(), file_run.discard());
  }

 private:
  Services services_;
  std::shared_ptr<const llb::Vertex> vertex_;
};

}  // namespace

std::unique_ptr<solve::Op> make_file_op(const Services& services,
                                        std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<FileOp>(services, std::move(vertex));
}

}  // namespace cobuild::ops
