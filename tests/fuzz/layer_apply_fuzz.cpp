/// Any bytes as a layer's tar: they become files beneath the layer directory, or are refused.

#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "oci/layer_writer.hpp"
#include "oci/tar_reader.hpp"
#include "support/tar_checksums.hpp"

namespace {

namespace fs = std::filesystem;

/// Whether something was put beside the layer directory.
bool is_untouched(const fs::path& directory) {
  return std::distance(fs::directory_iterator(directory), fs::directory_iterator()) == 1;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 64 * 1024) return 0;
  cobuild::TempDir const scratch = cobuild::TempDir::create(fs::temp_directory_path(), "fuzz-");
  fs::path const layer = scratch.path() / "layer";
  fs::create_directory(layer);
  std::string tar(reinterpret_cast<const char*>(data), size);
  cobuild::test::repair_tar_checksums(tar);
  bool done = false;
  cobuild::oci::TarLimits const limits{.entries_max = 1000, .extended_bytes_max = 16384};
  cobuild::oci::TarReader reader(
      [&]() -> std::span<const std::byte> {
        if (std::exchange(done, true)) return {};
        return std::as_bytes(std::span(tar));
      },
      limits);
  try {
    cobuild::oci::LayerWriter writer(layer, cobuild::oci::ApplyLimits());
    cobuild::oci::WrittenLayer const written = writer.write(reader);
    cobuild::oci::AppliedLayer applied(cobuild::DiffId(cobuild::Digest::of("")));
    applied.deferred_links = written.deferred_links;
    applied.implicit_dirs = written.implicit_dirs;
    applied.has_opaque_root = written.has_opaque_root;
    cobuild::oci::complete_layer(layer, {}, applied);
  } catch (const cobuild::Error&) {
  }
  if (!is_untouched(scratch.path())) throw std::logic_error("wrote outside of the layer");
  return 0;
}
