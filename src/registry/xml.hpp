#pragma once

/// The XML in which object stores answer (F5.4.5, F5.4.6): small trees of elements and text.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild::registry {

struct XmlElement {
  std::string name;  ///< Without its namespace.
  std::string text;  ///< Directly in it, all pieces together.
  std::vector<XmlElement> children;

  /// The first child of that name; nullptr when there is none.
  [[nodiscard]] const XmlElement* find(std::string_view child) const noexcept;
  /// The text of the first child of that name; "" when there is none.
  [[nodiscard]] std::string text_of(std::string_view child) const;
};

/// Attributes, comments and processing instructions are passed over. nullopt for what is not
/// well-formed, has a document type (entities are nobody's business here), or is nested deeper or
/// has more elements than any answer that is read here.
[[nodiscard]] std::optional<XmlElement> try_parse_xml(std::string_view text);

}  // namespace cobuild::registry
