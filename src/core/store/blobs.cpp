// The blobs of a Store.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/base/error.hpp"
#include "core/store/store_impl.hpp"

namespace cobuild::store {
namespace {

std::int64_t size_of(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw Error::from_errno(errno, "stat a blob");
  return status.st_size;
}

}  // namespace

NewBlob::NewBlob(NewBlob&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::exchange(other.path_, {})),
      offset_(other.offset_),
      resumable_(other.resumable_),
      lock_(std::move(other.lock_)) {}

NewBlob& NewBlob::operator=(NewBlob&& other) noexcept {
  NewBlob old(std::move(*this));
  fd_ = std::move(other.fd_);
  path_ = std::exchange(other.path_, {});
  offset_ = other.offset_;
  resumable_ = other.resumable_;
  lock_ = std::move(other.lock_);
  return *this;
}

NewBlob::~NewBlob() {
  if (!path_.empty() && !resumable_) ::unlink(path_.c_str());
}

Task<NewBlob> Store::new_blob(std::optional<BlobDigest> resume) {
  NewBlob blob;
  if (!resume) {
    std::string pattern = (impl_->scratch_path() / "blob-XXXXXX").string();
    blob.fd_ = UniqueFd(::mkostemp(pattern.data(), O_CLOEXEC));
    if (!blob.fd_)
      throw Error::from_errno(errno, "make a file in " + impl_->scratch_path().string());
    blob.path_ = pattern;
    co_return blob;
  }
  Lock lock = co_await this->lock("blob " + resume->to_string());
  blob.lock_ = std::make_shared<Lock>(std::move(lock));
  blob.path_ = impl_->root / "ingest" / resume->digest().hex();
  blob.fd_ = open_file(blob.path_, O_RDWR | O_CREAT, 0644);
  blob.resumable_ = true;
  blob.offset_ = size_of(blob.fd_.get());
  co_return blob;
}

Task<void> Store::commit_blob(NewBlob blob, BlobDigest digest, std::int64_t size) {
  if (std::int64_t const written = size_of(blob.fd()); written != size) {
    throw Error(ErrorKind::kCorrupt, "blob " + digest.to_string() + " has " +
                                         std::to_string(written) + " bytes, not " +
                                         std::to_string(size));
  }
  auto const lock =
      std::move(blob.lock_);  // let go of on the loop, where those who wait for it are
  auto job = [blob = std::move(blob), digest, size,
              target = impl_->blob_path(digest.digest())](Database& database) mutable {
    if (database.query("SELECT 1 FROM blobs WHERE digest = ?", {to_value(digest.digest())})
            .next()) {
      // The one that is there may be on disk already; ours is not, and must not replace it.
      ::unlink(blob.path_.c_str());
      blob.path_.clear();
      return true;
    }
    ::fchmod(blob.fd(), 0644);
    if (::rename(blob.path_.c_str(), target.c_str()) != 0) {
      throw Error::from_errno(errno, "rename " + blob.path_.string() + " to " + target.string());
    }
    blob.path_.clear();
    // The mark is a number of its own: see Unsettled.
    database.run("INSERT INTO blobs(digest, size, unsynced) VALUES(?, ?, ?)",
                 {to_value(digest.digest()), size, to_integer(now())});
    return true;
  };
  co_await impl_->write(std::move(job));
}

bool Store::has_blob(BlobDigest digest) const {
  return impl_->reader.query("SELECT 1 FROM blobs WHERE digest = ?", {to_value(digest.digest())})
      .next();
}

std::filesystem::path Store::blob_path(BlobDigest digest) const {
  return impl_->blob_path(digest.digest());
}

}  // namespace cobuild::store
