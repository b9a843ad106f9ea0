/// Any bytes as a blob: they unpack, or are refused, and it does not matter how they are cut.

#include <span>
#include <stdexcept>
#include <string>

#include "core/base/error.hpp"
#include "oci/compression.hpp"

namespace {

/// What the bytes unpack to; "!" when they are refused.
std::string inflate(std::span<const std::byte> data, std::size_t piece) {
  std::string out;
  cobuild::oci::InflateStream::Options options;
  options.output_bytes_max = 4 << 20;
  options.zstd_window_log_max = 22;
  try {
    cobuild::oci::InflateStream stream(options, [&](std::span<const std::byte> bytes) {
      out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    });
    for (std::size_t at = 0; at < data.size(); at += piece) {
      stream.write(data.subspan(at, std::min(piece, data.size() - at)));
    }
    stream.finish();
  } catch (const cobuild::Error&) {
    return "!";
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto const bytes = std::as_bytes(std::span(data, size));
  if (inflate(bytes, size + 1) != inflate(bytes, 7)) throw std::logic_error("pieces matter");
  return 0;
}
