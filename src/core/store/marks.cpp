#include "core/store/marks.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::store {
namespace {

constexpr const char* kOwnerMark = "owner-mark";
constexpr ::uid_t kMarkOwner = 1;
constexpr const char* kAttributeMark = "attribute-mark";
/// Its value tells whether the mark had capabilities, too: some copies keep only a user's
/// attributes.
constexpr const char* kMarkAttribute = "user.cobuild";
constexpr std::string_view kWithCapabilities = "capabilities";
constexpr const char* kCapabilities = "security.capability";

constexpr std::string_view kRemedy =
    "copy it as root with cp -a or tar --numeric-owner --xattrs --xattrs-include='*' (both for "
    "packing "
    "and for unpacking), remove it, or choose another one with --root";

/// A file that gets its name when it is a mark.
class NewMark {
 public:
  explicit NewMark(std::filesystem::path path)
      : path_(std::move(path)),
        temporary_(path_.string() + ".XXXXXX"),
        file_(::mkostemp(temporary_.data(), O_CLOEXEC)) {
    if (!file_) throw Error::from_errno(errno, "create " + temporary_);
  }
  NewMark(const NewMark&) = delete;
  NewMark& operator=(const NewMark&) = delete;
  ~NewMark() { ::unlink(temporary_.c_str()); }

  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  /// If there is one already, another process was faster.
  void keep() const { (void)::link(temporary_.c_str(), path_.c_str()); }

 private:
  std::filesystem::path path_;
  std::string temporary_;
  UniqueFd file_;
};

void make_owner_mark(const std::filesystem::path& root) {
  NewMark const mark(root / kOwnerMark);
  struct stat status{};
  bool const can_give = ::fchown(mark.fd(), kMarkOwner, kMarkOwner) == 0 &&
                        ::fstat(mark.fd(), &status) == 0 && status.st_uid == kMarkOwner;
  if (can_give) mark.keep();
}

/// Capabilities that give nothing.
bool set_capabilities(int fd) {
  struct vfs_cap_data const nothing{
      .magic_etc = VFS_CAP_REVISION_2,
      .data = {},
  };
  return ::fsetxattr(fd, kCapabilities, &nothing, sizeof nothing, 0) == 0;
}

void make_attribute_mark(const std::filesystem::path& root) {
  NewMark const mark(root / kAttributeMark);
  std::string_view const value = set_capabilities(mark.fd()) ? kWithCapabilities : "";
  if (::fsetxattr(mark.fd(), kMarkAttribute, value.data(), value.size(), 0) == 0) mark.keep();
}

void check_owner_mark(const std::filesystem::path& root) {
  struct stat status{};
  if (::lstat((root / kOwnerMark).c_str(), &status) != 0) return;
  if (status.st_uid == kMarkOwner && status.st_gid == kMarkOwner) return;
  throw Error(ErrorKind::kUnsupported,
              "store " + root.string() + " has files whose owners are not what they were (" +
                  kOwnerMark + " belongs to " + std::to_string(status.st_uid) + ":" +
                  std::to_string(status.st_gid) +
                  ", not 1:1): it was copied without owners, or made by another user or with other "
                  "subordinate ids: " +
                  std::string(kRemedy));
}

[[noreturn]] void throw_lost(const std::filesystem::path& root, const char* attribute) {
  throw Error(
      ErrorKind::kUnsupported,
      "store " + root.string() + " has files that lost their extended attributes (" +
          kAttributeMark + " has no " + attribute +
          "), and what layers had removed would be there again: it was copied without these: " +
          std::string(kRemedy));
}

void check_attribute_mark(const std::filesystem::path& root) {
  auto const mark = root / kAttributeMark;
  std::array<char, 64> value{};
  ssize_t const size = ::lgetxattr(mark.c_str(), kMarkAttribute, value.data(), value.size());
  if (size < 0 && (errno == ENODATA || errno == ENOTSUP)) throw_lost(root, kMarkAttribute);
  if (size < 0 ||
      std::string_view(value.data(), static_cast<std::size_t>(size)) != kWithCapabilities)
    return;
  if (::lgetxattr(mark.c_str(), kCapabilities, nullptr, 0) < 0 && errno == ENODATA) {
    throw_lost(root, kCapabilities);
  }
}

}  // namespace

void make_marks(const std::filesystem::path& root) {
  make_owner_mark(root);
  make_attribute_mark(root);
}

void check_marks(const std::filesystem::path& root) {
  check_owner_mark(root);
  check_attribute_mark(root);
}

}  // namespace cobuild::store
