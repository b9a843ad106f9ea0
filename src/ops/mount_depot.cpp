#include "ops/mount_depot.hpp"

#include <fcntl.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "oci/file_blob.hpp"

namespace cobuild::ops {
namespace {

constexpr std::size_t kIdDigits = 24;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

std::string escape(std::string_view key) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (char const c : key) {
    auto const byte = static_cast<unsigned char>(c);
    if (is_plain(c)) {
      out += c;
    } else {
      out += {'_', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

std::optional<Digest> digest_in(const std::string& name) {
  return Digest::try_parse("sha256:" + name.substr(name.rfind('-') + 1));
}

}  // namespace

std::string mount_prefix(std::string_view id) {
  return "cobuild-mounts/1/" + Digest::of(id).hex().substr(0, kIdDigits) + "/";
}

std::string pack_prefix(const std::string& prefix) { return prefix + "pack/"; }

std::string pack_name(const std::string& prefix, const Digest& digest) {
  return pack_prefix(prefix) + digest.hex();
}

std::string index_prefix(const std::string& prefix, std::string_view key_prefix) {
  return prefix + "index/" + escape(key_prefix);
}

std::string exact_index_prefix(const std::string& prefix, std::string_view key) {
  return index_prefix(prefix, key) + ":";
}

std::string index_name(const std::string& prefix, std::string_view key, Timestamp time,
                       const Digest& digest) {
  std::array<char, 17> digits{};  // So that names are in the order of their times, too.
  std::snprintf(digits.data(), digits.size(), "%016llx",
                static_cast<unsigned long long>(time.time_since_epoch().count()));
  return exact_index_prefix(prefix, key) + digits.data() + "-" + digest.hex();
}

UniqueFd nameless_file(const std::filesystem::path& directory) {
  static std::atomic<unsigned> counter = 0;
  std::filesystem::path const path = directory / ("nameless-" + std::to_string(++counter));
  UniqueFd file = open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return file;
}

Task<FetchedIndex> fetch_index(asio::thread_pool& pool, oci::ObjectStore& objects,
                               oci::ObjectInfo index, std::filesystem::path scratch) {
  FetchedIndex fetched{nameless_file(scratch), nullptr};
  oci::FileSink sink(pool, fetched.file.get(), oci::kTreeIndexBytesMax);
  co_await objects.read(index.name, 0, oci::kTreeIndexBytesMax, sink);
  if (sink.finish() != digest_in(index.name)) {
    throw Error(ErrorKind::kCorrupt, index.name + " does not have the digest in its name");
  }
  auto open = [fd = fetched.file.get()] {
    return std::make_unique<oci::TreeIndexReader>(oci::read_index_file(fd));
  };
  fetched.reader = co_await offload(pool, open);
  co_return fetched;
}

}  // namespace cobuild::ops
