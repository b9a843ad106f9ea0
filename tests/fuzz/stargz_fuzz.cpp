/// Any bytes as a layer's tar: it becomes the tar of an eStargz layer, the same whatever pieces it
/// comes in, or is refused.

#include <algorithm>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "oci/stargz_writer.hpp"
#include "support/tar_checksums.hpp"

namespace {

/// What comes of `tar` in pieces of `piece` bytes; nullopt when it is refused.
std::optional<std::string> rewrite(std::string_view tar, std::size_t piece) {
  std::string out;
  std::vector<std::uint64_t> cuts;
  auto append = [&](std::span<const std::byte> data) {
    out.append(reinterpret_cast<const char*>(data.data()), data.size());
  };
  try {
    cobuild::oci::StargzWriter writer(append, [&] { cuts.push_back(out.size()); });
    for (std::size_t at = 0; at < tar.size(); at += piece) {
      writer.write(std::as_bytes(std::span(tar.substr(at, piece))));
    }
    writer.finish();
    out += writer.toc(cuts).tar;
  } catch (const cobuild::Error&) {
    return std::nullopt;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 64 * 1024) return 0;
  std::string tar(reinterpret_cast<const char*>(data), size);
  cobuild::test::repair_tar_checksums(tar);
  auto const whole = rewrite(tar, std::max<std::size_t>(tar.size(), 1));
  if (whole != rewrite(tar, 100)) throw std::logic_error("depends on the pieces");
  return 0;
}
