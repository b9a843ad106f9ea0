/// Any bytes as the index.json of a layout directory that an image is added to.

#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "oci/export_image.hpp"

namespace oci = cobuild::oci;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static oci::ExportImage const image = [] {
    oci::ExportImage empty = oci::export_of(
        oci::build_image(oci::default_image_config("linux", "amd64", ""), {}), {}, {});
    empty.names = {"docker.io/library/a:1"};
    return empty;
  }();
  static cobuild::TempDir const scratch =
      cobuild::TempDir::create(std::filesystem::temp_directory_path(), "fuzz-");
  std::ofstream(scratch.path() / "index.json", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    oci::write_image_layout(image, {}, scratch.path());
  } catch (const cobuild::Error&) {
  }
  return 0;
}
