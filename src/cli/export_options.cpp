#include "cli/export_options.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/go_csv.hpp"
#include "oci/compression.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::cli {
namespace {

using Attributes = std::map<std::string, std::string>;

constexpr std::array<std::string_view, 5> kExporters = {"image", "oci", "docker", "tar", "local"};

/// The releases of BuildKit whose defaults can be asked for (F4.1.11): 0.13, 0.15 and 0.31.
constexpr std::array<std::int64_t, 3> kCompatibilityVersions = {10, 20, 30};

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::kInvalidInput, what);
}

/// Go's strconv.ParseInt, whose words end the message `what`.
std::int64_t parse_int(const std::string& value, const std::string& what) {
  std::string_view digits = value;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  std::int64_t number = 0;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  bool const whole = !digits.empty() && end == digits.data() + digits.size();
  if (error == std::errc::result_out_of_range && whole) {
    refuse(what + ": strconv.ParseInt: parsing \"" + value + "\": value out of range");
  }
  if (error != std::errc() || !whole) {
    refuse(what + ": strconv.ParseInt: parsing \"" + value + "\": invalid syntax");
  }
  return number;
}

/// As parse_bool, for the keys of which an empty value is an error.
bool parse_strict_bool(const std::string& key, const std::string& value) {
  if (value.empty()) {
    refuse("non-bool value specified for " + key +
           ": strconv.ParseBool: parsing \"\": invalid syntax");
  }
  return parse_bool(key, value);
}

EpochAttribute parse_epoch(const std::string& key, const std::string& value) {
  if (value.empty()) return {};
  return {Timestamp(std::chrono::seconds(parse_int(value, "invalid " + key)))};
}

void read_compression(const std::string& value, ops::SealRequest& seal) {
  seal.stargz = value == "estargz";
  auto const compression = oci::try_parse_compression(seal.stargz ? "gzip" : value);
  if (!compression) {
    refuse("unsupported compression type " + value + ": use gzip, estargz, zstd or uncompressed");
  }
  seal.compression = *compression;
}

Squash parse_squash(const std::string& value) {
  if (value == "all") return Squash::kAll;
  if (value == "new") return Squash::kNew;
  if (is_bool(value)) return parse_bool("squash", value) ? Squash::kNew : Squash::kNone;
  refuse("invalid squash=" + value + ": use new for the layers above the base image, or all");
}

bool parse_mode_delete(const std::string& value) {
  std::string mode = value;
  std::erase_if(mode, [](unsigned char c) { return std::isspace(c) != 0; });
  std::ranges::transform(mode, mode.begin(), [](unsigned char c) { return std::tolower(c); });
  if (mode != "delete" && mode != "copy" && !mode.empty()) {
    refuse("invalid local exporter mode \"" + value + "\": use copy or delete");
  }
  return mode == "delete";
}

/// Where an annotation is written, of which platform, and what it is called.
struct AnnotationKey {
  std::string type;      ///< "manifest" when nothing was said.
  std::string platform;  ///< As ExportOptions::annotations has it.
  std::string name;
};

bool is_annotation_type(std::string_view type) {
  return type == "index" || type == "index-descriptor" || type == "manifest" ||
         type == "manifest-descriptor";
}

/// "-TYPE" or "TYPE" and "[PLATFORM]" off the front of `text`; false when that is no such thing.
bool take_type_and_platform(std::string_view& text, std::string& type, std::string& platform) {
  auto const is_type = [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; };
  auto const is_platform = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '/' || c == '-';
  };
  std::size_t const end =
      static_cast<std::size_t>(std::ranges::find_if_not(text, is_type) - text.begin());
  type = text.substr(0, end);
  text.remove_prefix(end);
  if (!text.starts_with('[')) return true;
  std::size_t const close = text.find(']');
  if (close == std::string_view::npos || close == 1) return false;
  platform = text.substr(1, close - 1);
  text.remove_prefix(close + 1);
  return std::ranges::all_of(platform, is_platform);
}

/// "annotation[-TYPE][[PLATFORM]].NAME"; nullopt for anything else.
std::optional<AnnotationKey> parse_annotation_key(std::string_view text) {
  constexpr std::string_view kPrefix = "annotation";
  if (!text.starts_with(kPrefix)) return std::nullopt;
  std::string_view rest = text.substr(kPrefix.size());
  bool const typed = rest.starts_with('-');
  if (typed) rest.remove_prefix(1);
  AnnotationKey key;
  if (!take_type_and_platform(rest, key.type, key.platform) || typed == key.type.empty()) {
    return std::nullopt;
  }
  if (!rest.starts_with('.') || rest.size() == 1) return std::nullopt;
  key.name = rest.substr(1);
  auto const is_space = [](unsigned char c) { return std::isspace(c) != 0; };
  if (std::ranges::any_of(key.name, is_space)) return std::nullopt;
  if (!typed) key.type = "manifest";
  if (!is_annotation_type(key.type)) refuse("unrecognized annotation type " + key.type);
  if (!key.platform.empty()) {
    key.platform =
        oci::format_platform_all(oci::normalize_platform(oci::parse_platform(key.platform)));
  }
  return key;
}

void add_annotation(const AnnotationKey& key, const std::string& value, ExportOptions& options) {
  Annotations& annotations = options.annotations[key.platform];
  if (key.type == "index") annotations.index[key.name] = value;
  if (key.type == "index-descriptor") annotations.index_descriptor[key.name] = value;
  if (key.type == "manifest") annotations.manifest[key.name] = value;
  if (key.type == "manifest-descriptor") annotations.manifest_descriptor[key.name] = value;
}

/// The names of an archive. "*" is what the result says it is called: `image.name`, which frontends
/// and the attribute of that name give (F4.2.1).
std::vector<std::string> parse_archive_names(const Attributes& attributes) {
  std::vector<std::string> names;
  for (const std::string& name : requested_names(attributes)) {
    names.push_back(parse_name(name).to_string());
  }
  return names;
}

/// Keys that are read as they come, each by itself.
void read_attribute(const std::string& key, const std::string& value, ExportOptions& options) {
  if (key == "compression") read_compression(value, options.seal);
  if (key == "squash") options.squash = parse_squash(value);
  if (key == "compression-level") {
    std::string const what = "non-integer value " + value + " specified for " + key;
    options.seal.level =
        static_cast<int>(std::clamp<std::int64_t>(parse_int(value, what), -1, 1000));
  }
  if (key == "force-compression") {
    if (!is_bool(value)) {
      refuse("non-bool value " + value + " specified for " + key +
             ": strconv.ParseBool: parsing \"" + value + "\": invalid syntax");
    }
    options.seal.force = parse_bool(key, value);
  }
  if (key == "tar") (void)parse_bool(key, value);  // The destination depends on it: read with that.
  if (key == "rewrite-timestamp") options.rewrite_timestamp = parse_strict_bool(key, value);
  if (key == "prefer-nondist-layers")
    options.prefer_nondistributable = parse_strict_bool(key, value);
  if (key == "attestation-inline") (void)parse_strict_bool(key, value);
  if (key == "source-date-epoch") options.epoch = parse_epoch(key, value);
  if (auto const annotation = parse_annotation_key(key))
    add_annotation(*annotation, value, options);
}

/// Types of media and what depends on them (F4.2.9, F4.2.10, F4.1.11, F4.5.14).
void read_media_types(const OutputOptions& output, ExportOptions& options) {
  auto const find = [&output](const char* key) -> const std::string* {
    auto const found = output.attributes.find(key);
    return found == output.attributes.end() ? nullptr : &found->second;
  };
  std::int64_t version = kCompatibilityVersions.back();
  if (const std::string* text = find("compatibility-version")) {
    version = parse_int(*text, "invalid compatibility-version");
    std::string const what = "unsupported compatibility-version " + std::to_string(version);
    if (version > kCompatibilityVersions.back()) {
      refuse(what + ": upgrade buildkit (max supported: " +
             std::to_string(kCompatibilityVersions.back()) + ")");
    }
    if (std::ranges::find(kCompatibilityVersions, version) == kCompatibilityVersions.end()) {
      refuse(what + " (supported: [10 20 30])");
    }
  }
  if (version == 10 && options.seal.compression == oci::Compression::kZstd) {
    refuse("unsupported compatibility-version 10 feature " + output.type +
           " exporter compression=zstd");
  }
  options.seal.oci_media_types = output.type == "oci" || version >= 30;
  if (const std::string* text = find("oci-mediatypes")) {
    options.seal.oci_media_types = parse_strict_bool("oci-mediatypes", *text);
  }
  if (options.seal.stargz && !options.seal.oci_media_types) {
    refuse("exporter option \"compression=estargz\" conflicts with \"oci-mediatypes=false\"");
  }
  const std::string* const artifact = find("oci-artifact");
  if (artifact && parse_strict_bool("oci-artifact", *artifact) && !options.seal.oci_media_types) {
    refuse("exporter option \"oci-artifact=true\" conflicts with \"oci-mediatypes=false\"");
  }
}

void read_image_options(const OutputOptions& output, ExportOptions& options) {
  for (const auto& [key, value] : output.attributes) read_attribute(key, value, options);
  read_media_types(output, options);
  if (options.seal.level)
    oci::check_compression_level(options.seal.compression, *options.seal.level);
  if (output.type != "image") {
    options.names = parse_archive_names(output.attributes);
    return;
  }
  options.push = parse_push_options(output);
  if (options.push.unpack && options.rewrite_timestamp) {
    refuse("exporter option \"rewrite-timestamp\" conflicts with \"unpack\"");
  }
}

void read_tree_options(const OutputOptions& output, ExportOptions& options) {
  for (const auto& [key, value] : output.attributes) {
    if (key == "source-date-epoch") options.epoch = parse_epoch(key, value);
    if (key == "mode") options.delete_extra = parse_mode_delete(value);
    if (key == "platform-split") {
      if (value.empty() || !is_bool(value)) {
        refuse("non-bool value for platform-split: " + value + ": strconv.ParseBool: parsing \"" +
               value + "\": invalid syntax");
      }
      options.platform_split = parse_bool(key, value);
    }
  }
}

void merge(Annotations::Texts& into, const Annotations::Texts& from) {
  for (const auto& [key, value] : from) into[key] = value;
}

}  // namespace

ExportOptions parse_export_options(const OutputOptions& output) {
  ExportOptions options;
  if (output.type == "local" || output.type == "tar") {
    read_tree_options(output, options);
  } else {
    read_image_options(output, options);
  }
  return options;
}

Annotations annotations_of(const ExportOptions& options,
                           const std::optional<oci::Platform>& platform) {
  Annotations all;
  for (const auto& [key, some] : options.annotations) {
    merge(all.index, some.index);
    merge(all.index_descriptor, some.index_descriptor);
  }
  auto const add = [&](const std::string& key) {
    auto const found = options.annotations.find(key);
    if (found == options.annotations.end()) return;
    merge(all.manifest, found->second.manifest);
    merge(all.manifest_descriptor, found->second.manifest_descriptor);
  };
  add("");
  if (platform) add(oci::format_platform_all(oci::normalize_platform(*platform)));
  return all;
}

void check_annotations(const ExportOptions& options, const std::vector<oci::Platform>& platforms,
                       bool is_index) {
  for (const auto& [key, annotations] : options.annotations) {
    auto const is_it = [&key](const oci::Platform& platform) {
      return oci::format_platform_all(oci::normalize_platform(platform)) == key;
    };
    // An image alone is taken for any platform.
    if (!key.empty() && platforms.size() > 1 && std::ranges::none_of(platforms, is_it)) {
      refuse("invalid annotation: no platform " + key + " found in source");
    }
    bool const of_index = !annotations.index.empty() || !annotations.index_descriptor.empty();
    if (!options.seal.oci_media_types && (of_index || !annotations.manifest_descriptor.empty())) {
      refuse("cannot export annotations with \"oci-mediatypes=false\"");
    }
    if (of_index && !is_index) refuse("index annotations not supported for single platform export");
  }
}

void check_outputs(const std::vector<OutputOptions>& outputs) {
  int to_stdout = 0;
  for (const OutputOptions& output : outputs) {
    if (std::ranges::find(kExporters, output.type) == kExporters.end()) {
      refuse("unknown exporter \"" + output.type +
             "\": use image, registry, oci, docker, tar or local");
    }
    check_push_options(parse_export_options(output).push);
    to_stdout += output.to_stdout() ? 1 : 0;
  }
  if (to_stdout > 1) refuse("only one --output can go to stdout");
}

std::map<std::string, std::string> parse_annotation_flag(const std::string& text) {
  std::size_t const equals = text.find('=');
  if (equals == std::string::npos) {
    refuse("invalid annotation \"" + text + "\", expected key=value");
  }
  std::string const value = text.substr(equals + 1);
  std::string_view const key = std::string_view(text).substr(0, equals);
  std::size_t const colon = key.find(':');
  if (colon == std::string_view::npos) return {{"annotation." + std::string(key), value}};
  std::string const name(key.substr(colon + 1));
  if (name.empty() || colon == 0) refuse("invalid annotation \"" + text + "\", expected key=value");
  std::map<std::string, std::string> attributes;
  for (const std::string& place : go_csv_fields(key.substr(0, colon))) {
    std::string_view rest = place;
    std::string type;
    std::string platform;
    if (!take_type_and_platform(rest, type, platform) || !rest.empty() || type.empty()) {
      refuse("invalid annotation type \"" + place +
             "\", expected type and optional platform in square brackets");
    }
    if (!is_annotation_type(type)) {
      refuse("unknown annotation type \"" + type +
             "\": use manifest, manifest-descriptor, index or index-descriptor");
    }
    bool const of_index = type.starts_with("index");
    std::string const where = platform.empty() || of_index ? "" : "[" + platform + "]";
    if (!platform.empty()) {
      try {
        (void)oci::parse_platform(platform);
      } catch (const Error& error) {
        throw error.with_context("invalid platform \"" + platform + "\"");
      }
    }
    attributes["annotation-" + type + where + "." + name] = value;
  }
  return attributes;
}

}  // namespace cobuild::cli
