#include "cli/stdin_context.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/process.hpp"
#include "dockerfile/frontend.hpp"
#include "oci/output_file.hpp"

namespace cobuild::cli {
namespace {

/// What stands for it in the definition: no host has such a name.
constexpr std::size_t kPieceBytes = 256 * 1024;

/// Takes the bytes of stdin: to a file once they turn out to be an archive, until then and else to
/// memory.
class Receiver {
 public:
  explicit Receiver(std::filesystem::path file) : path_(std::move(file)) {}

  void take(std::string_view piece) {
    if (file_) {
      oci::write_fully(file_.get(), piece, "the context from stdin");
      return;
    }
    text_ += piece;
    if (text_.size() >= dockerfile::kArchiveHeadBytes) decide();
    if (!file_ && text_.size() > dockerfile::kDockerfileBytes_max) {
      throw Error(ErrorKind::kInvalidInput,
                  "stdin is neither a context (tar, or tar packed by gzip, bzip2 or xz) nor a "
                  "Dockerfile, which has at most " +
                      std::to_string(dockerfile::kDockerfileBytes_max) + " bytes");
    }
  }
  void finish() {
    if (!file_) decide();
    if (file_) file_.close();
  }
  [[nodiscard]] bool is_archive() const noexcept { return is_archive_; }
  [[nodiscard]] std::string take_text() { return std::move(text_); }

 private:
  void decide() {
    if (decided_) return;
    decided_ = true;
    is_archive_ = dockerfile::is_context_archive(text_);
    if (!is_archive_) return;
    file_ = open_file(path_, O_WRONLY | O_CREAT | O_EXCL, 0600);
    oci::write_fully(file_.get(), std::exchange(text_, {}), "the context from stdin");
  }

  std::filesystem::path path_;
  std::string text_;
  UniqueFd file_;
  bool decided_ = false;
  bool is_archive_ = false;
};

/// A file cannot be waited for: it is read on the pool.
Task<void> read_file(asio::thread_pool& pool, Receiver& receiver) {
  std::vector<char> buffer(kPieceBytes);
  while (true) {
    auto step = [&buffer, &receiver] {
      ssize_t const got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
      if (got < 0 && errno != EINTR) throw Error::from_errno(errno, "read the context from stdin");
      if (got > 0) receiver.take(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
      return got;
    };
    if (co_await offload(pool, step) == 0) co_return;
  }
}

Task<void> read_stdin(asio::thread_pool& pool, Receiver& receiver) {
  struct stat status = {};
  bool const is_file = ::fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode);
  if (is_file) {
    co_await read_file(pool, receiver);
    co_return;
  }
  UniqueFd copy(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!copy) throw Error::from_errno(errno, "read the context from stdin");
  co_await read_stream(std::move(copy), [&receiver](std::string_view piece) { receiver.take(piece); });
}

}  // namespace

Task<void> take_stdin_context(BuildOptions& options, Workspace& workspace) {
  if (!options.context_from_stdin) co_return;
  workspace.stdin_context.emplace(workspace.store->new_layer());
  auto const directory = workspace.stdin_context->scratch();
  auto const file = directory / "context";
  Receiver receiver(file);
  co_await read_stdin(workspace.runtime.pool(), receiver);
  receiver.finish();
  if (receiver.is_archive()) {
    workspace.http_files.add_upload(kUploadUrl, file);
    options.frontend_options["context"] = kUploadUrl;
    co_return;
  }
  std::string text = receiver.take_text();
  if (text.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "the context on stdin is empty: pipe in a tar archive or a Dockerfile");
  }
  if (options.frontend_options.contains("filename") || options.locals.contains("dockerfile") ||
      !options.dockerfile_url.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles");
  }
  options.dockerfile_text = std::move(text);
  auto const empty = directory / "empty";
  std::filesystem::create_directory(empty);
  options.locals["context"] = empty;
}

}  // namespace cobuild::cli
