#pragma once

/// A blob that is in memory: configs, manifests.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
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

inline Task<std::unique_ptr<BlobReader>> open_copy(std::shared_ptr<const std::string> text) {
  co_return std::make_unique<TextReader>(*text);
}

/// What reads `text`, from its beginning each time that it is opened.
[[nodiscard]] inline OpenBlob open_text(std::string text) {
  auto shared = std::make_shared<const std::string>(std::move(text));
  return [shared] { return open_copy(shared); };
}

}  // namespace cobuild::oci
