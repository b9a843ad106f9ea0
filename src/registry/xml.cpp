#include "registry/xml.hpp"

#include <expat.h>

#include <algorithm>
#include <cstddef>
#include <memory>

namespace cobuild::registry {
namespace {

constexpr std::size_t kDepthMax = 16;
constexpr std::size_t kElementsMax = 100'000;
constexpr std::size_t kTextBytesMax = std::size_t{16} << 20;

/// What has been read; `open` leads from the root to the element that is being read. Elements of
/// `open` stay where they are: only the last child of each can grow.
struct Reading {
  XML_Parser parser;
  XmlElement root{};
  std::vector<XmlElement*> open{};
  std::size_t elements = 0;
};

std::string_view local_name(std::string_view name) {
  return name.substr(name.rfind(':') + 1);
}

void begin_element(void* data, const XML_Char* name, const XML_Char**) {
  auto& reading = *static_cast<Reading*>(data);
  if (reading.open.size() >= kDepthMax || ++reading.elements > kElementsMax) {
    XML_StopParser(reading.parser, XML_FALSE);
    return;
  }
  XmlElement* element = &reading.root;
  if (!reading.open.empty()) element = &reading.open.back()->children.emplace_back();
  element->name = local_name(name);
  reading.open.push_back(element);
}

void end_element(void* data, const XML_Char*) {
  auto& reading = *static_cast<Reading*>(data);
  if (!reading.open.empty()) reading.open.pop_back();
}

void add_text(void* data, const XML_Char* text, int length) {
  auto& reading = *static_cast<Reading*>(data);
  if (!reading.open.empty()) reading.open.back()->text.append(text, static_cast<std::size_t>(length));
}

void refuse_document_type(void* data, const XML_Char*, const XML_Char*, const XML_Char*, int) {
  XML_StopParser(static_cast<Reading*>(data)->parser, XML_FALSE);
}

struct FreeParser {
  void operator()(XML_Parser parser) const noexcept { XML_ParserFree(parser); }
};

}  // namespace

const XmlElement* XmlElement::find(std::string_view child) const noexcept {
  auto const found = std::ranges::find(children, child, &XmlElement::name);
  return found == children.end() ? nullptr : &*found;
}

std::string XmlElement::text_of(std::string_view child) const {
  const XmlElement* const found = find(child);
  return found == nullptr ? std::string() : found->text;
}

std::optional<XmlElement> try_parse_xml(std::string_view text) {
  if (text.size() > kTextBytesMax) return std::nullopt;
  std::unique_ptr<XML_ParserStruct, FreeParser> const parser(XML_ParserCreate(nullptr));
  if (!parser) return std::nullopt;
  Reading reading{.parser = parser.get()};
  XML_SetUserData(parser.get(), &reading);
  XML_SetElementHandler(parser.get(), begin_element, end_element);
  XML_SetCharacterDataHandler(parser.get(), add_text);
  XML_SetStartDoctypeDeclHandler(parser.get(), refuse_document_type);
  auto const status =
      XML_Parse(parser.get(), text.data(), static_cast<int>(text.size()), XML_TRUE);
  if (status != XML_STATUS_OK) return std::nullopt;
  return std::move(reading.root);
}

}  // namespace cobuild::registry
