#include "ops/copy_tree.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "core/base/go_path.hpp"
#include "core/sys/tree.hpp"
#include "ops/op_digest.hpp"

namespace cobuild::ops {

namespace {

constexpr mode_t kDirectoryMode = 0755;
using Entry = FileTree::Entry;

/// The entry that a copy starts from. \throws Error when there is none.
[[nodiscard]] Entry& find_source(FileTree& tree, const std::string& source, bool follow_links) {
  std::string const path = go_path::join("/", source);
  Entry* const entry = tree.find(path, follow_links);
  if (entry == nullptr) throw path_error("lstat", path, ENOENT);
  return *entry;
}

/// The directory part of a destination that must exist: all of it, when it names a directory.
[[nodiscard]] std::string directory_part(const std::string& destination) {
  std::size_t const slash = destination.rfind('/');
  std::string const last = slash == std::string::npos ? destination : destination.substr(slash + 1);
  if (last.empty() || last == ".") return destination;
  return destination.substr(0, destination.size() - last.size());
}

/// Children of `entry` that match, in order; nothing below a match.
void collect_matches(FileTree& tree, Entry& entry, const std::string& relative,
                     const std::string& pattern, std::vector<std::string>& matches) {
  auto const depth = [](const std::string& path) {
    return std::count(path.begin(), path.end(), '/');
  };
  bool const may_cross = pattern.find('[') != std::string::npos;
  for (Entry* child : tree.list(entry)) {
    std::string const path = relative.empty() ? child->name : relative + "/" + child->name;
    if (is_path_pattern(pattern) && match_path(pattern, path)) {
      matches.push_back(tree.path_of(*child));
    } else if (child->is_directory() && (may_cross || depth(path) < depth(pattern))) {
      collect_matches(tree, *child, path, pattern, matches);
    }
  }
}

}  // namespace

void copy_path(FileTree& tree, const std::string& source, const TargetRoot& target,
               const std::string& destination, const CopyOptions& options) {
  NewFileAttributes const attributes{.owner = options.owner, .time = options.time};
  mode_t const directory_mode = options.mode.value_or(kDirectoryMode) & 0777;
  std::vector<std::string> created;
  auto make_directories = [&](const std::string& path) {
    if (options.only_compare) return;  // what the former copy made is there
    for (std::string& made : target.make_directories(path, directory_mode, attributes)) {
      created.push_back(std::move(made));
    }
  };
  if (std::string const part = directory_part(destination); !part.empty()) {
    make_directories(target.resolve(part));
  }
  std::string path = target.resolve(destination);

  Entry& entry = find_source(tree, source, options.follow_links);
  std::optional<struct stat> const existing = target.status(path);
  bool const into_directory =
      existing && (entry.is_directory() ? !options.copy_dir_contents : S_ISDIR(existing->st_mode));
  if (into_directory) path = go_path::join(path, go_path::base(source));
  bool const is_new_contents = options.copy_dir_contents && entry.is_directory() && !existing;
  make_directories(is_new_contents ? path : go_path::dir(path));

  EntryCopier(tree, target, options).copy(entry, path);

  // Filling the directories has changed their times.
  if (!options.time || options.only_compare) return;
  NewFileAttributes const time_only{.owner = std::nullopt, .time = options.time};
  for (auto made = created.rbegin(); made != created.rend(); ++made) {
    TargetRoot::Place const place = target.place(*made, "utimes");
    TargetRoot::apply(place.directory.get(), place.name, *made, time_only);
  }
}

std::vector<std::string> resolve_wildcards(FileTree& tree, const std::string& pattern,
                                           bool follow_links) {
  std::string const clean = go_path::clean(pattern);
  std::size_t begin = 0;
  while (begin < clean.size()) {
    std::size_t const end = std::min(clean.find('/', begin), clean.size());
    if (contains_wildcards(std::string_view(clean).substr(begin, end - begin))) break;
    begin = end + 1;
  }
  if (begin >= clean.size()) return {clean};
  Entry& base = find_source(tree, clean.substr(0, begin), follow_links);
  std::vector<std::string> matches;
  collect_matches(tree, base, "", clean.substr(begin), matches);
  return matches;
}

}  // namespace cobuild::ops
