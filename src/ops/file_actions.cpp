#include "ops/file_actions.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "core/base/go_path.hpp"
#include "core/sys/tree.hpp"
#include "ops/copy_archive.hpp"
#include "ops/copy_tree.hpp"
#include "ops/user_lookup.hpp"

namespace cobuild::ops {

namespace {

constexpr mode_t kModeBits = 0777;

/// -1: no time of its own.
[[nodiscard]] std::optional<timespec> time_of(std::int64_t nanoseconds) {
  if (nanoseconds == -1) return std::nullopt;
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::int64_t seconds = nanoseconds / kSecond;
  std::int64_t rest = nanoseconds % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return timespec{.tv_sec = seconds, .tv_nsec = rest};
}

/// Absolute and clean, but with the "/" or "/." at its end that says that it is a directory.
[[nodiscard]] std::string clean_keeping_end(const std::string& path) {
  std::string clean = go_path::join("/", path);
  if (path.ends_with("/.")) return clean == "/" ? "/." : clean + "/.";
  if (path.ends_with('/') && clean != "/") clean += '/';
  return clean;
}

void make_directory(const pb::FileActionMkDir& action, const ActionContext& context) {
  NewFileAttributes const attributes{.owner = context.owner, .time = time_of(action.timestamp())};
  std::string const path = context.target.resolve(action.path());
  mode_t const mode = static_cast<mode_t>(action.mode()) & kModeBits;
  if (action.makeparents()) {
    static_cast<void>(context.target.make_directories(path, mode, attributes));
    return;
  }
  TargetRoot::Place const place = context.target.place(path, "mkdir");
  int const directory = place.directory.get();
  if (::mkdirat(directory, place.name.c_str(), mode) != 0) {
    if (errno == EEXIST) return;
    throw path_error("mkdir", path, errno);
  }
  if (::fchmodat(directory, place.name.c_str(), mode, 0) != 0)
    throw path_error("chmod", path, errno);
  TargetRoot::apply(directory, place.name, path, attributes);
}

void make_file(const pb::FileActionMkFile& action, const ActionContext& context) {
  std::string const path = context.target.resolve(action.path());
  TargetRoot::Place const place = context.target.place(path, "open");
  int const directory = place.directory.get();
  mode_t const mode = static_cast<mode_t>(action.mode()) & kModeBits;
  constexpr int kFlags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd file(::openat(directory, place.name.c_str(), kFlags | O_EXCL, mode));
  if (file) {
    if (::fchmod(file.get(), mode) != 0) throw path_error("chmod", path, errno);
  } else if (errno == EEXIST) {
    // An existing file keeps its mode. O_NONBLOCK: a fifo must not hang us.
    file = UniqueFd(::openat(directory, place.name.c_str(), kFlags | O_TRUNC | O_NONBLOCK, mode));
  }
  if (!file) throw path_error("open", path, errno);
  const std::string& data = action.data();
  for (std::size_t done = 0; done < data.size();) {
    ssize_t const n = ::write(file.get(), data.data() + done, data.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw path_error("write", path, errno);
    done += static_cast<std::size_t>(n);
  }
  file.close();
  TargetRoot::apply(directory, place.name, path,
                    {.owner = context.owner, .time = time_of(action.timestamp())});
}

void make_link(const pb::FileActionSymlink& action, const ActionContext& context) {
  std::string const path = context.target.resolve(action.newpath());
  std::string const call = "symlink " + action.oldpath();
  TargetRoot::Place const place = context.target.place(path, call);
  if (::symlinkat(action.oldpath().c_str(), place.directory.get(), place.name.c_str()) != 0) {
    throw path_error(call, path, errno);
  }
  TargetRoot::apply(place.directory.get(), place.name, path,
                    {.owner = context.owner, .time = time_of(action.timestamp())});
}

void remove_one(const TargetRoot& target, const std::string& path, bool allow_not_found) {
  std::string const clean = go_path::join("/", path);
  if (clean == "/") throw Error(ErrorKind::kInvalidInput, "rmPath: invalid empty path");
  // The links on the way are followed, the last name is what is removed.
  std::string const real = go_path::join(target.resolve(go_path::dir(clean)), go_path::base(clean));
  if (!target.status(real)) {
    if (allow_not_found) return;
    throw path_error("stat", real, ENOENT);
  }
  TargetRoot::Place const place = target.place(real, "unlinkat");
  remove_tree_at(place.directory.get(), place.name);
}

void remove(const pb::FileActionRm& action, const ActionContext& context) {
  if (!action.allowwildcard()) {
    remove_one(context.target, action.path(), action.allownotfound());
    return;
  }
  std::unique_ptr<FileTree> const tree = FileTree::open(proc_path(context.target.fd(), "."));
  std::string const pattern = clean_keeping_end(action.path());
  for (const std::string& path : resolve_wildcards(*tree, pattern, false)) {
    remove_one(context.target, path, action.allownotfound());
  }
}

[[nodiscard]] CopyOptions copy_options(const pb::FileActionCopy& action,
                                       const ActionContext& context) {
  CopyOptions options;
  options.owner = context.owner;
  options.time = time_of(action.timestamp());
  if (!action.modestr().empty()) {
    options.mode_change = ModeChange::parse(action.modestr());
  } else if (action.mode() != -1) {
    options.mode = static_cast<mode_t>(action.mode());
  }
  options.copy_dir_contents = action.dircopycontents();
  options.follow_links = action.followsymlink();
  options.always_replace = action.alwaysreplaceexistingdestpaths();
  options.include_patterns.assign(action.include_patterns().begin(),
                                  action.include_patterns().end());
  options.exclude_patterns.assign(action.exclude_patterns().begin(),
                                  action.exclude_patterns().end());
  options.stop = context.stop;
  options.ledger = context.ledger;
  return options;
}

/// True when the source was an archive, which is unpacked now.
bool unpack(const std::string& path, const std::string& destination, const ActionContext& context,
            const CopyOptions& options) {
  FileTree& source = *context.source;
  FileTree::Entry* const entry = source.find(path, true);
  if (entry == nullptr || !is_archive(source, *entry)) return false;
  if (options.ledger != nullptr) options.ledger->give_up();
  UnpackOptions const unpack_options{
      .owner = options.owner, .time = options.time, .stop = options.stop};
  unpack_archive(source, *entry, context.target, destination, unpack_options);
  return true;
}

void copy(const pb::FileActionCopy& action, const ActionContext& context) {
  std::string const source = clean_keeping_end(action.src());
  std::string const destination = clean_keeping_end(action.dest());
  if (!action.createdestpath()) {
    std::string const parent = go_path::dir(context.target.resolve(action.dest()));
    if (!context.target.status(parent)) {
      throw path_error("lstat", parent, ENOENT).with_context("failed to stat " + action.dest());
    }
  }
  CopyOptions const options = copy_options(action, context);
  std::vector<std::string> paths{source};
  if (action.allowwildcard()) {
    paths = resolve_wildcards(*context.source, source, action.followsymlink());
    if (paths.empty() && action.allowemptywildcard()) return;
    if (paths.empty()) throw Error(ErrorKind::kNotFound, source + " not found");
  }
  auto copy_all = [&](const CopyOptions& how) {
    for (const std::string& path : paths) {
      bool const unpacked =
          action.attemptunpackdockercompatibility() && unpack(path, destination, context, how);
      if (!unpacked) copy_path(*context.source, path, context.target, destination, how);
    }
    if (how.ledger != nullptr) how.ledger->check_complete();
  };
  if (options.ledger != nullptr && options.ledger->is_amending()) {
    // Whether it can be amended is known before the first byte is copied, which would be in vain.
    CopyOptions compare = options;
    compare.only_compare = true;
    copy_all(compare);
    options.ledger->restart();
  }
  copy_all(options);
}

}  // namespace

void perform(const pb::FileAction& action, const ActionContext& context) {
  switch (action.action_case()) {
    case pb::FileAction::kCopy: return copy(action.copy(), context);
    case pb::FileAction::kMkfile: return make_file(action.mkfile(), context);
    case pb::FileAction::kMkdir: return make_directory(action.mkdir(), context);
    case pb::FileAction::kRm: return remove(action.rm(), context);
    case pb::FileAction::kSymlink: return make_link(action.symlink(), context);
    case pb::FileAction::ACTION_NOT_SET: break;
  }
  throw Error(ErrorKind::kInvalidInput, "invalid action type");
}

const pb::ChownOpt* owner_of(const pb::FileAction& action) {
  switch (action.action_case()) {
    case pb::FileAction::kCopy: return action.copy().has_owner() ? &action.copy().owner() : nullptr;
    case pb::FileAction::kMkfile:
      return action.mkfile().has_owner() ? &action.mkfile().owner() : nullptr;
    case pb::FileAction::kMkdir:
      return action.mkdir().has_owner() ? &action.mkdir().owner() : nullptr;
    case pb::FileAction::kSymlink:
      return action.symlink().has_owner() ? &action.symlink().owner() : nullptr;
    default: return nullptr;
  }
}

Owner resolve_owner(const pb::ChownOpt& owner, const std::optional<std::string>& passwd,
                    const std::optional<std::string>& group) {
  Owner result;
  if (owner.user().user_case() == pb::UserOpt::kByID) {
    result = {.uid = owner.user().byid(), .gid = owner.user().byid()};
  } else if (owner.user().has_byname() && passwd) {
    for (const PasswdEntry& entry : parse_passwd(*passwd)) {
      if (entry.name != owner.user().byname().name()) continue;
      result = {.uid = static_cast<uid_t>(entry.uid), .gid = static_cast<gid_t>(entry.gid)};
      break;
    }
  }
  if (owner.group().user_case() == pb::UserOpt::kByID) {
    result.gid = owner.group().byid();
  } else if (owner.group().has_byname() && group) {
    for (const GroupEntry& entry : parse_group(*group)) {
      if (entry.name != owner.group().byname().name()) continue;
      result.gid = static_cast<gid_t>(entry.gid);
      break;
    }
  }
  return result;
}

}  // namespace cobuild::ops
