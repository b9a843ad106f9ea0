#pragma once

/// Tar archives for tests: entry by entry, also such as no honest program writes.

#include <string>
#include <string_view>
#include <utility>

#include "oci/tar_header.hpp"

namespace cobuild::test {

class TarBuilder {
 public:
  TarBuilder& add(oci::TarHeader header, std::string_view contents = {}) {
    header.size = static_cast<std::int64_t>(contents.size());
    bytes_ += oci::format_tar_header(header);
    return raw(contents).raw(std::string(oci::tar_padding(contents.size()), '\0'));
  }
  TarBuilder& file(std::string name, std::string_view contents = {}, std::uint32_t mode = 0644) {
    return add({.name = std::move(name), .mode = mode, .mtime = kTime}, contents);
  }
  TarBuilder& directory(std::string name, std::uint32_t mode = 0755) {
    return add({.name = std::move(name) + "/",
                .type = oci::TarType::kDirectory,
                .mode = mode,
                .mtime = kTime});
  }
  TarBuilder& symlink(std::string name, std::string target) {
    return add({.name = std::move(name),
                .link_name = std::move(target),
                .type = oci::TarType::kSymlink,
                .mode = 0777,
                .mtime = kTime});
  }
  TarBuilder& link(std::string name, std::string target) {
    return add({.name = std::move(name),
                .link_name = std::move(target),
                .type = oci::TarType::kHardLink,
                .mode = 0644,
                .mtime = kTime});
  }
  TarBuilder& raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  [[nodiscard]] std::string finish() const { return bytes_ + std::string(oci::tar_end()); }
  /// Without the end of the archive.
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

  static constexpr std::int64_t kTime = 1'600'000'000;

 private:
  std::string bytes_;
};

}  // namespace cobuild::test
