#pragma once

/// A blob that is in memory: configs, manifests.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "core/async/task.hpp"
#include "oci/content.hpp"

namespace cobuild::oci {

/// Reads a text from its beginning, once. Never waits.
class TextReader final : public BlobReader {
 public:
  explicit TextReader(std::string text) : text_(std::move(text)) {}

  Task<std::size_t> read(std::span<std::byte> buffer) override {
    std::size_t const count = std::min(buffer.size(), text_.size() - at_);
    std::memcpy(buffer.data(), text_.data() + at_, count);
    at_ += count;
    co_return count;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

}  // namespace cobuild::oci
