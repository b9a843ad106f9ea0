#include "dockerfile/syntax.hpp"

#include <algorithm>
#include <array>

#include "core/base/rune.hpp"
#include "dockerfile/directives.hpp"
#include "dockerfile/frontend.hpp"
#include "dockerfile/text.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::dockerfile {
namespace {

bool is_frontend_image(const oci::Reference& reference) {
  return reference.registry == "docker.io" && (reference.repository == "docker/dockerfile" ||
                                               reference.repository == "docker/dockerfile-upstream");
}

/// A tag's version without its channel: "1.7-labs" is "1.7", "labs" is "".
std::string_view version_in(std::string_view tag) {
  for (std::string_view channel : {"labs", "experimental"}) {
    if (tag == channel) return "";
    if (tag.ends_with(channel) && tag[tag.size() - channel.size() - 1] == '-') {
      return tag.substr(0, tag.size() - channel.size() - 1);
    }
  }
  return tag;
}

/// "1", "1.N" or "1.N.P", the latter also of a release candidate ("1.7.0-rc1"), with N that we have.
bool is_covered_version(std::string_view version) {
  auto const parts = split(cut(version, '-').first, '.');
  if (parts.size() > 3 || parts[0] != "1") return false;
  for (const std::string& part : parts) {
    if (!try_parse_integer(part)) return false;
  }
  return parts.size() == 1 || *try_parse_integer(parts[1]) <= kFrontendMinor;
}

int line_of_directive(const std::string& text, const std::string& image) {
  std::size_t const at = text.find(image);
  if (at == std::string::npos) return 1;  // JSON may spell it otherwise.
  auto const end = text.begin() + static_cast<std::ptrdiff_t>(at);
  return 1 + static_cast<int>(std::count(text.begin(), end, '\n'));
}

}  // namespace

std::optional<Syntax> wanted_frontend(const std::string& text,
                                      const std::map<std::string, std::string>& build_args) {
  if (auto const given = build_args.find("BUILDKIT_SYNTAX"); given != build_args.end()) {
    std::string_view const image = cut(trim_space(given->second), ' ').first;
    if (!image.empty()) return Syntax{.image = std::string(image), .lines = {}};
  }
  auto image = detect_syntax(text);
  if (!image) return std::nullopt;
  int const line = line_of_directive(text, *image);
  return Syntax{.image = *std::move(image), .lines = {line, line}};
}

bool is_built_in(const std::string& image) {
  auto const reference = oci::Reference::try_parse(image);
  if (!reference || !is_frontend_image(*reference)) return false;
  if (!reference->tag) return true;  // By digest only: whatever it is.
  std::string_view const tag = *reference->tag;
  constexpr std::array<std::string_view, 2> kMoving{"latest", "master"};
  std::string_view const version = version_in(tag);
  return version.empty() || std::ranges::find(kMoving, version) != kMoving.end() ||
         is_covered_version(version);
}

std::string refusal_of(const Syntax& syntax) {
  std::string const source = syntax.lines.first > 0 ? "# syntax=" : "BUILDKIT_SYNTAX=";
  auto const reference = oci::Reference::try_parse(syntax.image);
  std::string const newest = "1." + std::to_string(kFrontendMinor);
  if (reference && is_frontend_image(*reference)) {
    return source + syntax.image + ": the built-in Dockerfile frontend has what docker/dockerfile:" + newest +
           " has, and image frontends are not supported yet; use docker/dockerfile:1, or leave it out";
  }
  return source + syntax.image +
         ": image frontends are not supported yet; docker/dockerfile up to " + newest + " is built in";
}

}  // namespace cobuild::dockerfile
