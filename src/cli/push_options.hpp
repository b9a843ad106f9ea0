#pragma once

/// What `--output type=image` says of names and registries (F4.2). Pure.

#include <map>
#include <string>
#include <vector>

#include "cli/options.hpp"
#include "core/base/digest.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::cli {

struct PushOptions {
  std::vector<std::string> names;  ///< As written; each can be parsed.
  bool push = false;
  bool by_digest = false;  ///< Without a tag.
  bool insecure = false;   ///< Any certificate, and plain HTTP.
  bool unpack = false;
  bool store = true;       ///< This machine knows the image by its names from now on.
  bool canonical = false;  ///< The image is kept under each name with its digest, too.
  std::string dangling_prefix;       ///< A further name is this with "@DIGEST".
  bool dangling_empty_only = false;  ///< But only without any other name.
};

/// Whether parse_bool() can read it.
[[nodiscard]] bool is_bool(const std::string& value);

/// A boolean attribute as Go's strconv.ParseBool reads it; an empty value is true (F4.2.19).
/// \throws Error kInvalidInput.
[[nodiscard]] bool parse_bool(const std::string& key, const std::string& value);

/// The attribute `name`, taken apart. "*" is what the result says it is called, which is the attribute
/// `image.name` as long as no frontend says anything else (F4.2.1).
[[nodiscard]] std::vector<std::string> requested_names(
    const std::map<std::string, std::string>& attributes);

/// As oci::Reference::parse, saying of what. \throws Error kInvalidInput.
[[nodiscard]] oci::Reference parse_name(const std::string& name);

/// Keys that are about something else are passed over. \throws Error kInvalidInput for a value that
/// does not parse.
[[nodiscard]] PushOptions parse_push_options(const OutputOptions& output);

/// What can be told to be wrong before anything is built: nothing to push to, or a tag with
/// push-by-digest. \throws Error kInvalidInput.
void check_push_options(const PushOptions& options);

/// All names of an image whose manifest or index is `root` (F4.2.6).
[[nodiscard]] std::vector<std::string> image_names(const PushOptions& options,
                                                   const BlobDigest& root);

/// "a,b".
[[nodiscard]] std::string join_names(const std::vector<std::string>& names);

}  // namespace cobuild::cli
