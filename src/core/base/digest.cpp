#include "core/base/digest.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <cstring>

#include "core/base/error.hpp"

namespace cobuild {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kHexDigits = "0123456789abcdef";

// Upper case is refused: the spec's grammar is lower case, and one spelling per digest is what
// makes a digest usable as a file name and a map key.
std::optional<std::uint8_t> hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  return std::nullopt;
}

}  // namespace

Digest Digest::of(std::span<const std::byte> data) {
  Bytes bytes;
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(), bytes.data());
  return Digest(bytes);
}

Digest Digest::of(std::string_view data) {
  return of(std::as_bytes(std::span(data)));
}

struct DigestWriter::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  Context() = default;
  Context(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(md); }
};

DigestWriter::DigestWriter() : context_(std::make_unique<Context>()) {
  if (EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) != 1) {
    throw Error(ErrorKind::kInternal, "start a sha256");
  }
}

DigestWriter::DigestWriter(DigestWriter&&) noexcept = default;
DigestWriter& DigestWriter::operator=(DigestWriter&&) noexcept = default;
DigestWriter::~DigestWriter() = default;

void DigestWriter::write(std::span<const std::byte> data) {
  EVP_DigestUpdate(context_->md, data.data(), data.size());
}

void DigestWriter::write(std::string_view data) {
  EVP_DigestUpdate(context_->md, data.data(), data.size());
}

Digest DigestWriter::finish() {
  Digest::Bytes bytes;
  EVP_DigestFinal_ex(context_->md, bytes.data(), nullptr);
  return Digest(bytes);
}

std::optional<Digest> Digest::try_parse(std::string_view text) noexcept {
  if (!text.starts_with(kPrefix)) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  if (text.size() != 2 * kByteCount) return std::nullopt;
  Bytes bytes;
  for (std::size_t i = 0; i < kByteCount; ++i) {
    auto high = hex_value(text[2 * i]);
    auto low = hex_value(text[2 * i + 1]);
    if (!high || !low) return std::nullopt;
    bytes[i] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  return Digest(bytes);
}

Digest Digest::parse(std::string_view text) {
  if (auto digest = try_parse(text)) return *digest;
  throw Error(ErrorKind::kInvalidInput, "not a sha256 digest: '" + std::string(text) + "'");
}

std::string Digest::hex() const {
  std::string hex;
  hex.reserve(2 * kByteCount);
  for (std::uint8_t byte : bytes_) {
    hex += kHexDigits[byte >> 4];
    hex += kHexDigits[byte & 0xf];
  }
  return hex;
}

std::string Digest::to_string() const {
  return std::string(kPrefix) + hex();
}

}  // namespace cobuild

std::size_t std::hash<cobuild::Digest>::operator()(const cobuild::Digest& digest) const noexcept {
  // Any 8 bytes of a cryptographic hash are as good a hash as can be had.
  std::size_t value;
  std::memcpy(&value, digest.bytes().data(), sizeof(value));
  return value;
}
