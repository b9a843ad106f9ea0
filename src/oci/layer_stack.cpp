#include "oci/layer_stack.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "core/base/error.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::oci {

namespace {

/// Directories remembered at once. Walks are depth first, so a few would do; forgetting all of them
/// costs some lookups and is simple.
constexpr std::size_t kDirectoriesMax = 4096;

std::string parent_of(std::string_view path) {
  std::size_t const slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string() : std::string(path.substr(0, slash));
}

}  // namespace

bool is_whiteout(const struct stat& status) noexcept {
  return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

bool is_opaque(int root_fd, const std::string& path) {
  std::string const target = proc_path(root_fd, path.empty() ? "." : path);
  for (const char* name : {"user.overlay.opaque", "trusted.overlay.opaque"}) {
    char value = 0;
    ssize_t const size = ::lgetxattr(target.c_str(), name, &value, 1);
    if (size == 1 && value == 'y') return true;
    bool const absent = size >= 0 || errno == ENODATA || errno == ENOTSUP || errno == ERANGE ||
                        errno == EPERM || errno == EACCES;
    if (!absent)
      throw Error::from_errno(errno, std::string("read the attribute ") + name + " of " + path);
  }
  return false;
}

LayerStack::LayerStack(const std::vector<std::filesystem::path>& layers) {
  Contributors all;
  for (const std::filesystem::path& layer : layers) {
    all.insert(all.begin(), roots_.size());
    roots_.push_back(open_file(layer, O_PATH | O_DIRECTORY));
  }
  for (auto layer = all.begin(); layer != all.end(); ++layer) {
    if (is_opaque(roots_[*layer].get(), "")) {
      all.erase(std::next(layer), all.end());
      break;
    }
  }
  root_ = std::move(all);
}

std::optional<LayerStack::Entry> LayerStack::find(std::string_view path) {
  return find(path, Whiteouts::kAreNothing);
}

std::optional<LayerStack::Entry> LayerStack::find_change(std::string_view path) {
  return find(path, Whiteouts::kAreEntries);
}

std::optional<LayerStack::Entry> LayerStack::find(std::string_view path, Whiteouts whiteouts) {
  if (path.empty()) {
    if (root_.empty()) return std::nullopt;
    Entry entry{};
    entry.layer = root_.front();
    if (::fstat(roots_[entry.layer].get(), &entry.status) != 0) {
      throw Error::from_errno(errno, "look at a layer");
    }
    return entry;
  }
  return look_up(contributors(parent_of(path)), std::string(path), nullptr, whiteouts);
}

std::vector<std::string> LayerStack::names(std::string_view directory) {
  std::string const path(directory);
  Contributors const layers = contributors(path);
  std::set<std::string> hidden;
  std::set<std::string> seen;
  for (std::size_t const layer : layers) {
    int const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd const fd(::openat(roots_[layer].get(), path.empty() ? "." : path.c_str(), flags));
    if (fd.get() < 0) throw Error::from_errno(errno, "open the directory /" + path);
    for (const DirectoryEntry& entry : list_directory(fd.get())) {
      if (seen.contains(entry.name) || hidden.contains(entry.name)) continue;
      // Only a character device can be a whiteout: no need to look at the others.
      bool const may_be_whiteout = entry.type == DT_CHR || entry.type == DT_UNKNOWN;
      std::optional<struct stat> const status =
          may_be_whiteout ? stat_at(fd.get(), entry.name.c_str()) : std::nullopt;
      bool const is_hidden = status.has_value() && is_whiteout(*status);
      (is_hidden ? hidden : seen).insert(entry.name);
    }
  }
  return {seen.begin(), seen.end()};
}

std::vector<std::string> LayerStack::changed_names(std::string_view directory) {
  std::string const path(directory);
  std::vector<std::string> names;
  for (std::size_t const layer : contributors(path)) {
    int const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd const fd(::openat(roots_[layer].get(), path.empty() ? "." : path.c_str(), flags));
    if (fd.get() < 0) throw Error::from_errno(errno, "open the directory /" + path);
    for (DirectoryEntry& entry : list_directory(fd.get())) names.push_back(std::move(entry.name));
  }
  std::ranges::sort(names);
  auto const doubles = std::ranges::unique(names);
  names.erase(doubles.begin(), doubles.end());
  return names;
}

bool LayerStack::hides_below(std::string_view directory) {
  std::string const path(directory);
  Contributors const parents = contributors(parent_of(path));
  Contributors const layers = contributors(path);
  if (layers.empty()) return false;
  if (is_opaque(roots_[layers.back()].get(), path)) return true;
  // A layer further down that has anything there has what ended the list.
  auto const last = std::ranges::find(parents, layers.back());
  return std::any_of(last + 1, parents.end(), [&](std::size_t layer) {
    return stat_at(roots_[layer].get(), path.c_str()).has_value();
  });
}

const LayerStack::Contributors& LayerStack::contributors(const std::string& directory) {
  if (directory.empty()) return root_;
  if (auto known = directories_.find(directory); known != directories_.end()) return known->second;
  // A copy: the recursion may forget what it refers to.
  Contributors const parents = contributors(parent_of(directory));
  Contributors found;
  (void)look_up(parents, directory, &found, Whiteouts::kAreNothing);  // What it adds to `found` is what counts.
  if (directories_.size() >= kDirectoriesMax) directories_.clear();
  return directories_.insert_or_assign(directory, std::move(found)).first->second;
}

std::optional<LayerStack::Entry> LayerStack::look_up(const Contributors& parents,
                                                     const std::string& path,
                                                     Contributors* found,
                                                     Whiteouts whiteouts) const {
  std::optional<Entry> entry;
  for (std::size_t const layer : parents) {
    std::optional<struct stat> const status = stat_at(roots_[layer].get(), path.c_str());
    if (!status) continue;
    if (is_whiteout(*status)) {
      if (!entry && whiteouts == Whiteouts::kAreEntries) entry = Entry{*status, layer};
      break;
    }
    bool const is_directory = S_ISDIR(status->st_mode);
    if (entry && !is_directory) break;  // Hidden by the directory above it.
    if (!entry) entry = Entry{*status, layer};
    if (!is_directory || found == nullptr) break;
    found->push_back(layer);
    // The lowest hides nothing of the stack.
    if (layer > 0 && is_opaque(roots_[layer].get(), path)) break;
  }
  return entry;
}

}  // namespace cobuild::oci
