#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/tree.hpp"
#include "oci/layer_apply.hpp"
#include "oci/layer_stack.hpp"
#include "oci/layer_writer.hpp"

namespace cobuild::oci {

namespace {

std::string parent_of(std::string_view path) {
  std::size_t const slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string() : std::string(path.substr(0, slash));
}

class Completion {
 public:
  Completion(const std::filesystem::path& layer_dir,
             const std::vector<std::filesystem::path>& lower)
      : root_(open_file(layer_dir, O_PATH | O_DIRECTORY)), below_(lower) {}

  void expand_opaque_root() {
    for (const std::string& name : below_.names("")) {
      std::optional<struct stat> const status = stat_at(root_.get(), name.c_str());
      if (!status) {
        make_whiteout_at(root_.get(), name);
      } else if (S_ISDIR(status->st_mode)) {
        make_opaque_at(root_.get(), name);
      }
    }
  }

  void adopt_directory(const std::string& path) {
    check_no_links(parent_of(path));
    std::optional<struct stat> const mine = stat_at(root_.get(), path.c_str());
    if (!mine || !S_ISDIR(mine->st_mode)) return;
    std::optional<LayerStack::Entry> const lower = find_below(path);
    if (lower && S_ISDIR(lower->status.st_mode)) copy_metadata(*lower, path);
  }

  void make_link(const DeferredLink& link) {
    check_no_links(parent_of(link.path));
    check_no_links(parent_of(link.target));
    if (stat_at(root_.get(), link.path.c_str())) return;  // Made before, or by a later entry.
    if (!stat_at(root_.get(), link.target.c_str())) {
      std::optional<LayerStack::Entry> const lower = find_below(link.target);
      if (!lower || S_ISDIR(lower->status.st_mode)) {
        throw Error(ErrorKind::kCorrupt, "unpacking /" + link.path + ": a hard link to /" +
                                             link.target + ", which is no file of any layer");
      }
      copy_up_parents(parent_of(link.target));
      copy_up(*lower, link.target);
    }
    if (::linkat(root_.get(), link.target.c_str(), root_.get(), link.path.c_str(), 0) != 0) {
      throw Error::from_errno(errno, "make the hard link /" + link.path);
    }
  }

 private:
  /// Everything below opens paths of several components. A link on the way, which the archive may
  /// have planted, would lead it out of the layer.
  void check_no_links(const std::string& directory) {
    if (directory.empty()) return;
    check_no_links(parent_of(directory));
    std::optional<struct stat> const status = stat_at(root_.get(), directory.c_str());
    if (status && !S_ISDIR(status->st_mode)) {
      throw Error(ErrorKind::kCorrupt,
                  "a hard link by way of /" + directory + ", which is no directory");
    }
  }

  /// What the layers below show at `path`, unless this layer hides it.
  std::optional<LayerStack::Entry> find_below(const std::string& path) {
    for (std::string above = parent_of(path);; above = parent_of(above)) {
      std::optional<struct stat> const status = stat_at(root_.get(), above.c_str());
      if (status && (!S_ISDIR(status->st_mode) || is_opaque(root_.get(), above)))
        return std::nullopt;
      if (above.empty()) break;
    }
    std::optional<struct stat> const mine = stat_at(root_.get(), path.c_str());
    if (mine && (is_whiteout(*mine) || (S_ISDIR(mine->st_mode) && is_opaque(root_.get(), path)))) {
      return std::nullopt;
    }
    return below_.find(path);
  }

  void copy_metadata(const LayerStack::Entry& from, const std::string& path) {
    int const from_fd = below_.layer_fd(from);
    if (::fchownat(root_.get(), path.c_str(), from.status.st_uid, from.status.st_gid,
                   AT_SYMLINK_NOFOLLOW) != 0) {
      throw Error::from_errno(errno, "set the owner of /" + path);
    }
    for (const auto& [key, value] : read_xattrs_at(from_fd, path)) {
      if (key.starts_with("trusted.") || key.starts_with("user.overlay.")) continue;
      int const error = set_xattr_at(root_.get(), path, key, value);
      if (error != 0 && error != ENOTSUP && error != EPERM) {
        throw Error::from_errno(error, "set the attribute " + key + " of /" + path);
      }
    }
    if (!S_ISLNK(from.status.st_mode) &&
        ::fchmodat(root_.get(), path.c_str(), from.status.st_mode & 07777, 0) != 0) {
      throw Error::from_errno(errno, "set the mode of /" + path);
    }
    timespec const times[2] = {from.status.st_mtim, from.status.st_mtim};
    if (::utimensat(root_.get(), path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      throw Error::from_errno(errno, "set the time of /" + path);
    }
  }

  void copy_up_parents(const std::string& path) {
    if (path.empty() || stat_at(root_.get(), path.c_str())) return;
    copy_up_parents(parent_of(path));
    std::optional<LayerStack::Entry> const lower = find_below(path);
    if (::mkdirat(root_.get(), path.c_str(), 0755) != 0) {
      throw Error::from_errno(errno, "make the directory /" + path);
    }
    if (lower) copy_metadata(*lower, path);
  }

  void copy_up(const LayerStack::Entry& from, const std::string& path) {
    int const from_fd = below_.layer_fd(from);
    if (S_ISREG(from.status.st_mode)) {
      UniqueFd const source(::openat(from_fd, path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
      UniqueFd target(::openat(root_.get(), path.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      if (source.get() < 0 || target.get() < 0) throw Error::from_errno(errno, "copy up /" + path);
      copy_file_content(source.get(), target.get());
      target.close();
    } else if (S_ISLNK(from.status.st_mode)) {
      std::string const link = read_link_at(from_fd, path.c_str());
      if (::symlinkat(link.c_str(), root_.get(), path.c_str()) != 0) {
        throw Error::from_errno(errno, "copy up /" + path);
      }
    } else if (::mknodat(root_.get(), path.c_str(), from.status.st_mode, from.status.st_rdev) !=
               0) {
      throw Error::from_errno(errno, "copy up /" + path);
    }
    copy_metadata(from, path);
  }

  UniqueFd root_;
  LayerStack below_;
};

}  // namespace

void complete_layer(const std::filesystem::path& layer_dir,
                    const std::vector<std::filesystem::path>& lower_dirs,
                    const AppliedLayer& applied) {
  if (applied.is_complete()) return;
  Completion completion(layer_dir, lower_dirs);
  // Links first: they change the times of directories.
  for (const DeferredLink& link : applied.deferred_links) completion.make_link(link);
  if (applied.has_opaque_root) completion.expand_opaque_root();
  for (const std::string& path : applied.implicit_dirs) completion.adopt_directory(path);
}

}  // namespace cobuild::oci
