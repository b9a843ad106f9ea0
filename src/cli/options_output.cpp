#include <algorithm>
#include <cctype>
#include <utility>

#include "cli/options.hpp"
#include "core/base/error.hpp"
#include "core/base/go_csv.hpp"
#include "core/base/rune.hpp"

namespace cobuild::cli {
namespace {

std::string to_lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_false(const std::string& text) {
  return text == "0" || text == "f" || text == "F" || text == "false" || text == "FALSE" ||
         text == "False";
}

std::vector<std::string> output_fields(const std::string& text) {
  if (text.empty()) return {};
  try {
    return go_csv_fields(text);
  } catch (const Error& error) {
    throw error.with_context("--output " + text);
  }
}

/// F4.1.3: what `dest` may be for this type of exporter.
void resolve_destination(OutputOptions& output, std::string dest,
                         const Surroundings& surroundings) {
  auto const invalid = [](const std::string& why) {
    return Error(ErrorKind::kInvalidInput, "invalid output option: output: " + why);
  };
  bool const archive = output.type == "oci" || output.type == "docker";
  auto const tar = output.attributes.find("tar");
  if (dest == "/dev/stdout") dest = "-";  // So that no other output goes there, too.
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

OutputOptions parse_output(const std::string& text, const Surroundings& surroundings) {
  OutputOptions output;
  auto const fields = output_fields(text);
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
      std::string key(trim_space(to_lower(field.substr(0, equals))));
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
