/// Any bytes as the index of a tree: refused, or files are made of it, none of them elsewhere.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "oci/tree_unpack.hpp"
#include "support/tar_checksums.hpp"

namespace {

namespace fs = std::filesystem;
using namespace cobuild;

void read(const std::string& text) {
  std::size_t at = 0;
  oci::TreeIndexReader index([&](std::size_t bytes_max) {
    auto const piece = std::as_bytes(std::span(text)).subspan(at, std::min(bytes_max, text.size() - at));
    at += piece.size();
    return piece;
  });
  TempDir const directory = TempDir::create(fs::temp_directory_path(), "tree-fuzz-");
  UniqueFd chunks(::memfd_create("chunks", MFD_CLOEXEC));
  if (::ftruncate(chunks.get(), 1 << 20) != 0) __builtin_trap();
  oci::ChunkFile const file(index.head(), std::move(chunks), 1 << 20);
  fs::create_directory(directory.path() / "tree");
  (void)oci::unpack_tree(index, file, directory.path() / "tree", {.bytes_max = 1 << 20});
  for (const auto& entry : fs::directory_iterator(directory.path())) {
    if (entry.path().filename() != "tree") __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 64 * 1024) return 0;
  std::string text(reinterpret_cast<const char*>(data), size);
  test::repair_tar_checksums(text);
  try {
    read(text);
  } catch (const Error&) {
  }
  try {
    (void)oci::parse_tree_head(text);
  } catch (const Error&) {
  }
  return 0;
}
