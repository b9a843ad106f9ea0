#pragma once

/// Reading TOML, for configuration files; included only where one is read, since the parser costs
/// seconds to compile.

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.hpp"

namespace cobuild::registry {

inline constexpr std::size_t kConfigBytesMax = 1024 * 1024;

/// Says where in which file something is wrong.
class TomlPlace {
 public:
  TomlPlace(std::string file, std::string table)
      : file_(std::move(file)), table_(std::move(table)) {}

  [[noreturn]] void refuse(const toml::node& node, const std::string& key,
                           std::string_view expected) const {
    throw Error(ErrorKind::kInvalidInput, file_ + ":" + std::to_string(node.source().begin.line) +
                                              ": " + table_ + "." + key + " must be " +
                                              std::string(expected));
  }

 private:
  std::string file_;
  std::string table_;
};

inline std::optional<bool> read_flag(const toml::table& table, const std::string& key,
                                     const TomlPlace& place) {
  const toml::node* node = table.get(key);
  if (!node) return std::nullopt;
  if (!node->is_boolean()) place.refuse(*node, key, "true or false");
  return node->as_boolean()->get();
}

inline std::vector<std::string> read_texts(const toml::table& table, const std::string& key,
                                           const TomlPlace& place) {
  std::vector<std::string> texts;
  const toml::node* node = table.get(key);
  if (!node) return texts;
  if (!node->is_array()) place.refuse(*node, key, "a list of strings");
  for (const toml::node& item : *node->as_array()) {
    if (!item.is_string()) place.refuse(item, key, "a list of strings");
    texts.push_back(item.as_string()->get());
  }
  return texts;
}

/// "" when it is not there.
inline std::string read_text(const toml::table& table, const std::string& key,
                             const TomlPlace& place) {
  const toml::node* node = table.get(key);
  if (!node) return {};
  if (!node->is_string()) place.refuse(*node, key, "a string");
  return node->as_string()->get();
}

/// \throws Error kNotFound, kInvalidInput for what is no file or too long.
inline std::string read_config_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error::from_errno(errno, "open " + path.string());
  std::string text;
  std::array<char, 16 * 1024> buffer;
  while (text.size() <= kConfigBytesMax &&
         (file.read(buffer.data(), buffer.size()) || file.gcount() > 0)) {
    text.append(buffer.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) {
    throw Error(ErrorKind::kInvalidInput, "read " + path.string() + ": is it a file?");
  }
  if (text.size() > kConfigBytesMax) {
    throw Error(ErrorKind::kInvalidInput,
                path.string() + " is longer than " + std::to_string(kConfigBytesMax) + " bytes");
  }
  return text;
}

/// \throws Error kInvalidInput naming file and line.
inline toml::table parse_toml(const std::string& text, const std::filesystem::path& file) {
  try {
    return toml::parse(text, file.string());
  } catch (const toml::parse_error& error) {
    throw Error(ErrorKind::kInvalidInput, file.string() + ":" +
                                              std::to_string(error.source().begin.line) + ": " +
                                              std::string(error.description()));
  }
}

}  // namespace cobuild::registry
