#include "ops/lend/secrets.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::ops {
namespace {

std::string describe(const SecretSource& source) {
  return "secret " + source.id + " (--secret id=" + source.id + ",src=" + source.file.string() + ")";
}

[[noreturn]] void fail_too_large(const SecretSource& source) {
  throw Error(ErrorKind::kInvalidInput,
              "secret " + source.id + " too big. max size 500KB: " + source.file.string());
}

void check_file(const SecretSource& source) {
  struct stat status = {};
  if (::stat(source.file.c_str(), &status) != 0 || ::access(source.file.c_str(), R_OK) != 0) {
    throw Error::from_errno(errno, describe(source));
  }
  if (S_ISDIR(status.st_mode)) {
    throw Error(ErrorKind::kInvalidInput, describe(source) + ": is a directory");
  }
  if (status.st_size > static_cast<off_t>(kSecretBytes_max)) fail_too_large(source);
}

Secret read_source(const SecretSource& source) {
  if (!source.env.empty()) {
    const char* const value = std::getenv(source.env.c_str());
    return Secret(value != nullptr ? value : "");
  }
  UniqueFd const file = open_file(source.file, O_RDONLY);
  return Secret(read_all(file.get(), kSecretBytes_max, describe(source)));
}

}  // namespace

Secrets::Secrets(std::vector<SecretSource> sources) {
  for (SecretSource& source : sources) {
    if (source.env.empty()) check_file(source);
    std::string id = source.id;
    sources_.insert_or_assign(std::move(id), std::move(source));
  }
}

std::optional<Secret> Secrets::find(const std::string& id) const {
  if (auto const known = read_.find(id); known != read_.end()) return known->second;
  auto const source = sources_.find(id);
  if (source == sources_.end()) return std::nullopt;
  return read_.emplace(id, read_source(source->second)).first->second;
}

Secret Secrets::get(const std::string& id) const {
  if (auto secret = find(id)) return *std::move(secret);
  throw Error(ErrorKind::kNotFound,
              "secret " + id + ": not found: give it with --secret id=" + id + ",src=FILE or ,env=NAME");
}

}  // namespace cobuild::ops
