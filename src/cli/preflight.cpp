#include "cli/preflight.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <system_error>

#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"

namespace cobuild::cli {
namespace {

namespace fs = std::filesystem;

/// nullopt when there is nothing of that name, nor can be. \throws Error what else stat fails with.
std::optional<struct stat> status_of(const fs::path& path, const std::string& what) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) == 0) return status;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw Error::from_errno(errno, what);
}

std::string name_of_local(const std::string& name, const fs::path& path) {
  if (name == "context") return "the build context " + path.string();
  if (name == "dockerfile") return "the Dockerfile's directory " + path.string();
  return "the directory " + path.string() + " of the context " + name;
}

void check_local(const std::string& name, const fs::path& path) {
  std::string const what = name_of_local(name, path);
  auto const status = status_of(path, what);
  if (!status) throw Error(ErrorKind::kNotFound, what + " does not exist");
  if (!S_ISDIR(status->st_mode)) {
    throw Error(ErrorKind::kInvalidInput, what + " is not a directory");
  }
  if (::access(path.c_str(), R_OK | X_OK) != 0) throw Error::from_errno(errno, "open " + what);
}

/// `path` as "--output dest=a/b" for messages.
struct Destination {
  std::string flag;  ///< "--output" or "--iidfile".
  fs::path path;

  [[nodiscard]] std::string text() const { return flag + " " + path.string(); }
};

void require_writable_directory(const Destination& destination, const fs::path& directory) {
  auto const status = status_of(directory, destination.text());
  if (!status) {
    throw Error(ErrorKind::kNotFound, destination.text() + ": the directory " + directory.string() +
                                          " does not exist: make it with `mkdir -p " +
                                          directory.string() + "`, or choose another");
  }
  if (!S_ISDIR(status->st_mode)) {
    throw Error(ErrorKind::kInvalidInput,
                destination.text() + ": " + directory.string() + " is not a directory");
  }
  if (::faccessat(AT_FDCWD, directory.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    throw Error::from_errno(
        errno, destination.text() + ": cannot write to the directory " + directory.string());
  }
}

fs::path directory_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

void check_file(const Destination& destination) {
  fs::path const path = follow_links(destination.path);
  auto const status = status_of(path, destination.text());
  if (status && S_ISDIR(status->st_mode)) {
    throw Error(ErrorKind::kInvalidInput,
                destination.text() + ": destination file is a directory: name a file in it");
  }
  if (status && !S_ISREG(status->st_mode)) return;  // a device or a pipe: opened as it is
  require_writable_directory(destination, directory_of(path));
}

/// A directory is made when it is missing, with all above it.
void check_directory(const Destination& destination) {
  fs::path existing = destination.path.empty() ? fs::path(".") : destination.path;
  while (!existing.empty() && !status_of(existing, destination.text())) {
    existing = existing == existing.parent_path() ? fs::path() : existing.parent_path();
  }
  require_writable_directory(destination, existing.empty() ? fs::path(".") : existing);
}

}  // namespace

void check_local_directories(const BuildOptions& options) {
  for (const auto& [name, path] : options.locals) check_local(name, path);
}

void check_destinations(const BuildOptions& options, WriteRights rights) {
  LimitedWriting const limited(rights);
  std::map<fs::path, std::string> taken;
  auto const take = [&taken](const Destination& destination) {
    std::error_code error;
    fs::path const real = fs::weakly_canonical(fs::absolute(follow_links(destination.path)), error);
    if (error || fs::is_other(real, error)) return;  // a device takes any number
    auto const [other, fresh] = taken.emplace(real, destination.flag);
    if (fresh) return;
    throw Error(ErrorKind::kInvalidInput, destination.text() + ": " + other->second +
                                              " writes there already: give each its own place");
  };
  for (const OutputOptions& output : options.outputs) {
    if (output.to_stdout() || output.load || output.type == "image") continue;
    Destination const destination{"--output", output.destination};
    if (output.directory) {
      check_directory(destination);
    } else {
      check_file(destination);
    }
    take(destination);
  }
  Destination const files[] = {{"--metadata-file", options.metadata_file},
                               {"--iidfile", options.iid_file},
                               {"--ref-file", options.ref_file},
                               {"--trace", options.trace_file}};
  for (const Destination& file : files) {
    if (file.path.empty()) continue;
    check_file(file);
    take(file);
  }
}

}  // namespace cobuild::cli
