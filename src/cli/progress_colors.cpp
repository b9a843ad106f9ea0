#include "cli/progress_colors.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/go_csv.hpp"

namespace cobuild::cli {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string select_graphics(const std::string& parameters) {
  return "\x1b[" + parameters + "m";
}

/// "red", "light-blue", "default"; nullopt for other words.
std::optional<std::string> named_color(std::string_view name) {
  static constexpr std::array<std::string_view, 8> kNames = {"black", "red",     "green", "yellow",
                                                             "blue",  "magenta", "cyan",  "white"};
  if (name == "default") return select_graphics("39");
  bool const light = name.starts_with("light-");
  if (light) name.remove_prefix(std::string_view("light-").size());
  auto const found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return select_graphics(std::to_string((light ? 90 : 30) + (found - kNames.begin())));
}

/// "255,0,0"; nullopt unless it is three numbers up to 255.
std::optional<std::string> rgb_color(const std::string& text) {
  if (text.empty()) return std::nullopt;
  auto const fields = go_csv_fields(text);
  if (fields.size() != 3) return std::nullopt;
  std::string parameters = "38;2";
  for (const std::string& field : fields) {
    unsigned value = 256;
    auto const [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size() || value > 255)
      return std::nullopt;
    parameters += ";" + std::to_string(value);
  }
  return select_graphics(parameters);
}

void apply_field(ProgressColors& colors, const std::string& field,
                 std::vector<std::string>& complaints) {
  std::size_t const equals = field.find('=');
  if (equals == std::string::npos || field.find('=', equals + 1) != std::string::npos) {
    complaints.push_back("BUILDKIT_COLORS: valid entry must have exactly two fields: " + field);
    return;
  }
  std::string const key = lower(field.substr(0, equals));
  std::string const value = lower(field.substr(equals + 1));
  std::string* target = nullptr;
  if (key == "run") target = &colors.run;
  if (key == "cancel") target = &colors.cancel;
  if (key == "warning") target = &colors.warning;
  if (key == "error") target = &colors.error;
  if (target == nullptr) {
    complaints.push_back("BUILDKIT_COLORS: unknown key (expected run, cancel, error or warning): " +
                         key);
    return;
  }
  auto color = named_color(value);
  if (!color) color = rgb_color(value);
  if (!color) {
    complaints.push_back("BUILDKIT_COLORS: unknown color (expected a name, or r,g,b up to 255): " +
                         field);
    return;
  }
  *target = *color;
}

}  // namespace

ProgressColors progress_colors(const Environment& environment,
                               std::vector<std::string>& complaints) {
  if (!environment("NO_COLOR").value_or("").empty()) return ProgressColors{};
  ProgressColors colors{*named_color("blue"), *named_color("yellow"), *named_color("yellow"),
                        *named_color("red"),  select_graphics("2"),   select_graphics("0")};
  auto const wanted = environment("BUILDKIT_COLORS");
  if (!wanted || wanted->empty()) return colors;
  try {
    for (const std::string& field : go_csv_fields(*wanted, ':')) apply_field(colors, field, complaints);
  } catch (const Error& error) {
    complaints.push_back(std::string("BUILDKIT_COLORS: ") + error.what());
  }
  return colors;
}

}  // namespace cobuild::cli
