#include <algorithm>
#include <cctype>
#include <utility>

#include "cli/options.hpp"
#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

/// Takes a quoted field's text off `line`, up to and with the closing quote.
std::string take_quoted(std::string_view& line, std::string_view whole) {
  std::string field;
  line.remove_prefix(1);
  while (true) {
    std::size_t const quote = line.find('"');
    if (quote == std::string_view::npos) {
      throw Error(ErrorKind::kInvalidInput,
                  "parse error in \"" + std::string(whole) + "\": a quoted field is not closed");
    }
    field += line.substr(0, quote);
    line.remove_prefix(quote + 1);
    if (!line.starts_with('"')) return field;
    field += '"';  // Two quotes are one.
    line.remove_prefix(1);
  }
}

std::string to_lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_false(const std::string& text) {
  return text == "0" || text == "f" || text == "F" || text == "false" || text == "FALSE" ||
         text == "False";
}

/// F4.1.3: what `dest` may be for this type of exporter.
void resolve_destination(OutputOptions& output, std::string dest,
                         const Surroundings& surroundings) {
  auto const invalid = [](const std::string& why) {
    return Error(ErrorKind::kInvalidInput, "invalid output option: output: " + why);
  };
  bool const archive = output.type == "oci" || output.type == "docker";
  auto const tar = output.attributes.find("tar");
  output.directory = output.type == "local" ||
                     (archive && tar != output.attributes.end() && is_false(tar->second));
  if (output.directory) {
    if (dest.empty())
      throw invalid("output directory is required for " + output.type + " exporter");
    output.destination = std::move(dest);
    return;
  }
  if (archive || output.type == "tar") {
    output.destination = dest.empty() ? "-" : std::move(dest);
    if (output.destination == "-" && surroundings.stdout_is_terminal) {
      throw invalid("output file is required for " + output.type +
                    " exporter. refusing to write to console");
    }
    return;
  }
  if (!dest.empty()) {
    throw invalid("output " + dest + " is not supported by " + output.type + " exporter");
  }
}

}  // namespace

std::vector<std::string> split_csv(std::string_view line, char separator) {
  std::string_view const whole = line;
  std::vector<std::string> fields;
  if (line.empty()) return fields;
  while (true) {
    if (line.starts_with('"')) {
      fields.push_back(take_quoted(line, whole));
      if (line.empty()) return fields;
      if (line[0] != separator) {
        throw Error(ErrorKind::kInvalidInput,
                    "parse error in \"" + std::string(whole) + "\": text after a closing quote");
      }
    } else {
      std::string_view const field = line.substr(0, line.find(separator));
      if (field.find('"') != std::string_view::npos) {
        throw Error(ErrorKind::kInvalidInput,
                    "parse error in \"" + std::string(whole) +
                        "\": a quote inside a field; quote the whole field: \"key=value\"");
      }
      fields.emplace_back(field);
      if (field.size() == line.size()) return fields;
      line.remove_prefix(field.size());
    }
    line.remove_prefix(1);
  }
}

OutputOptions parse_output(const std::string& text, const Surroundings& surroundings) {
  OutputOptions output;
  auto const fields = split_csv(text);
  std::string dest;
  if (fields.size() == 1 && fields[0].find('=') == std::string::npos && !fields[0].empty()) {
    output.type = fields[0] == "-" ? "tar" : "local";  // docker's short form
    dest = fields[0];
  } else {
    for (const std::string& field : fields) {
      std::size_t const equals = field.find('=');
      if (equals == std::string::npos) {
        throw Error(ErrorKind::kInvalidInput, "invalid value " + field);
      }
      std::string key = to_lower(field.substr(0, equals));
      std::string value = field.substr(equals + 1);
      if (key == "type") {
        output.type = std::move(value);
      } else if (key == "dest") {
        dest = std::move(value);
      } else {
        output.attributes[std::move(key)] = std::move(value);
      }
    }
  }
  if (output.type.empty()) {
    throw Error(ErrorKind::kInvalidInput, "--output requires type=<type>");
  }
  if (auto const wrong = output.attributes.find("output"); wrong != output.attributes.end()) {
    throw Error(ErrorKind::kInvalidInput,
                "output=" + wrong->second +
                    " not supported for --output, you meant dest=" + wrong->second + "?");
  }
  if (output.type == "registry") {  // buildx's name for an image that is pushed
    output.type = "image";
    output.attributes.emplace("push", "true");
  }
  resolve_destination(output, std::move(dest), surroundings);
  return output;
}

void ask_for_push(std::vector<OutputOptions>& outputs) {
  bool pushed = false;
  for (OutputOptions& output : outputs) {
    if (output.type != "image") continue;
    output.attributes["push"] = "true";
    pushed = true;
  }
  if (pushed) return;
  OutputOptions& output = outputs.emplace_back();
  output.type = "image";
  output.attributes["push"] = "true";
}

void ask_for_load(std::vector<OutputOptions>& outputs) {
  auto const load = [](OutputOptions& output) {
    output.destination.clear();
    output.load = true;
  };
  for (OutputOptions& output : outputs) {
    if (output.type == "docker" && output.to_stdout()) return load(output);
  }
  OutputOptions& output = outputs.emplace_back();
  output.type = "docker";
  load(output);
}

}  // namespace cobuild::cli
