#pragma once

/// Reading members of JSON that others wrote, with errors that say where. For the .cpp files of
/// this folder. As in Go, null counts as absent everywhere.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"

namespace cobuild::oci {

/// An object and the path that led to it ("manifest.layers[2]"), which must outlive this.
class Members {
 public:
  /// \throws Error kCorrupt when `value` is not an object.
  Members(const boost::json::value& value, std::string path);

  /// nullptr when absent or null.
  [[nodiscard]] const boost::json::value* find(std::string_view name) const;

  // All \throw Error kCorrupt when the member has another type.
  [[nodiscard]] std::string text(std::string_view name) const;  ///< "" when absent.
  [[nodiscard]] bool flag(std::string_view name) const;
  [[nodiscard]] std::int64_t integer(std::string_view name) const;  ///< 0 when absent.
  [[nodiscard]] std::vector<std::string> texts(std::string_view name) const;
  [[nodiscard]] std::map<std::string, std::string> text_map(std::string_view name) const;
  /// The names in an object of empty objects ("ExposedPorts").
  [[nodiscard]] std::vector<std::string> keys(std::string_view name) const;

  /// Calls `each` with every item of a list, and its path.
  template <class Each>
  void for_each(std::string_view name, Each each) const {
    const boost::json::value* value = find(name);
    if (!value) return;
    const boost::json::array* items = value->if_array();
    if (!items) throw_wrong(name, "a list");
    std::size_t index = 0;
    for (const boost::json::value& item : *items) {
      each(item, path_of(name) + "[" + std::to_string(index++) + "]");
    }
  }

  [[nodiscard]] std::string path_of(std::string_view name) const;
  [[noreturn]] void throw_wrong(std::string_view name, std::string_view expected) const;

 private:
  const boost::json::object* object_;
  std::string path_;
};

/// \throws Error kCorrupt when it is no digest, kUnsupported when it is one of another algorithm.
[[nodiscard]] Digest parse_digest_member(std::string_view text, std::string_view path);

}  // namespace cobuild::oci
