#include "ops/checkout_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kFileMode = 0644;
constexpr mode_t kProgramMode = 0755;

class Normaliser {
 public:
  Normaliser(const fs::path& root, const CheckoutTreeOptions& options)
      : options_(options), root_(open_file(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)) {}

  /// Directories are opened from the root each, so that depth costs no descriptors.
  void run() {
    std::vector<std::string> directories = {""};
    for (std::size_t i = 0; i < directories.size(); ++i) {
      std::string const path = directories[i];
      UniqueFd const directory = open_in_root(root_.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      for (const DirectoryEntry& entry : list_directory(directory.get())) {
        visit(directory.get(), path, entry.name, directories);
      }
    }
    // What is in a directory is done first: changing it would change the directory's time.
    for (std::size_t i = directories.size(); i-- > 0;) {
      UniqueFd const directory =
          open_in_root(root_.get(), directories[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (::fchmod(directory.get(), kDirectoryMode) != 0) throw failed(directories[i]);
      set_time(directory.get(), "", directories[i]);
    }
  }

 private:
  static Error failed(const std::string& path) {
    return Error::from_errno(errno, "prepare the checked out " + go_quote("/" + path));
  }

  void visit(int directory, const std::string& parent, const std::string& name,
             std::vector<std::string>& directories) {
    std::string const path = parent.empty() ? name : parent + "/" + name;
    auto const status = stat_at(directory, name.c_str());
    if (!status) return;
    if (name == ".git" && !options_.keep_git_files) {
      remove_tree_at(directory, name);
      return;
    }
    if (S_ISDIR(status->st_mode)) {
      directories.push_back(path);
      return;
    }
    if (S_ISREG(status->st_mode)) {
      bool const is_program = (status->st_mode & S_IXUSR) != 0;
      mode_t const mode = is_program ? kProgramMode : kFileMode;
      bool const is_ours = options_.keep_git_files && path.starts_with(".git/");
      if (!is_ours && (status->st_mode & 07777U) != mode &&
          ::fchmodat(directory, name.c_str(), mode, 0) != 0) {
        throw failed(path);
      }
    }
    set_time(directory, name.c_str(), path);
  }

  /// Of `name` in the directory, or with "" of the directory itself.
  void set_time(int directory, const char* name, const std::string& path) const {
    if (!options_.mtime) return;
    auto const since = options_.mtime->time_since_epoch();
    auto const seconds = std::chrono::floor<std::chrono::seconds>(since);
    timespec const time{.tv_sec = seconds.count(), .tv_nsec = (since - seconds).count()};
    std::array<timespec, 2> const times = {time, time};
    int const result = *name == '\0' ? ::futimens(directory, times.data())
                                     : ::utimensat(directory, name, times.data(), AT_SYMLINK_NOFOLLOW);
    if (result != 0) throw failed(path);
  }

  const CheckoutTreeOptions& options_;
  UniqueFd root_;
};

/// Opens the directory, step by step, so that no link is followed.
UniqueFd open_subdir(const fs::path& root, const std::string& subdir) {
  UniqueFd directory = open_file(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  std::string seen;
  for (std::size_t begin = 0; begin < subdir.size();) {
    std::size_t const end = std::min(subdir.find('/', begin), subdir.size());
    std::string const part = subdir.substr(begin, end - begin);
    begin = end + 1;
    seen += (seen.empty() ? "" : "/") + part;
    auto const status = stat_at(directory.get(), part.c_str());
    std::string const what = "invalid subdir " + subdir + ": ";
    if (!status || part == "..") {
      throw Error(ErrorKind::kNotFound, what + "the repository has no directory " + go_quote(seen));
    }
    if (!S_ISDIR(status->st_mode)) {
      throw Error(ErrorKind::kInvalidInput, what + "git subpath " + go_quote(subdir) +
                                                " contains non-directory " + go_quote(seen));
    }
    int const next = ::openat(directory.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0) throw Error::from_errno(errno, what + "open " + go_quote(seen));
    directory = UniqueFd(next);
  }
  return directory;
}

}  // namespace

void normalise_checkout(const fs::path& root, const CheckoutTreeOptions& options) {
  Normaliser(root, options).run();
}

void move_subdir(const fs::path& from, const std::string& subdir, const fs::path& to) {
  UniqueFd const source = open_subdir(from, subdir);
  UniqueFd const target = open_file(to, O_RDONLY | O_DIRECTORY);
  for (const DirectoryEntry& entry : list_directory(source.get())) {
    if (::renameat(source.get(), entry.name.c_str(), target.get(), entry.name.c_str()) != 0) {
      throw Error::from_errno(errno, "move the checked out " + go_quote(entry.name));
    }
  }
}

}  // namespace cobuild::ops
