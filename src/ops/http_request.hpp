#pragma once

/// What an http:// or https:// source asks for, and how it is recognised (F2.2.12, F2.6.9). Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/llb/ops.pb.h"

namespace cobuild::ops {

/// A value. Numbers that are not given are 0.
struct HttpRequest {
  struct Field {
    std::string name;  ///< In Go's canonical form: "User-Agent".
    std::string value;
  };
  std::string url;       ///< Of the identifier; may have a user and a password in it.
  std::string filename;  ///< As given; empty: \see http_filename.
  unsigned perm = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::optional<Digest> checksum;
  std::string auth_header_secret;
  std::vector<Field> headers;  ///< Accept and User-Agent only, sorted.
};

/// \throws Error kInvalidInput for attributes that mean nothing; kUnsupported for signatures.
[[nodiscard]] HttpRequest parse_http_request(const pb::SourceOp& source);

/// What the file is called: as asked, else as the server says, else as the URL ends, else "download".
/// Never a path. \param content_disposition empty: the server says nothing.
[[nodiscard]] std::string http_filename(const HttpRequest& request,
                                        std::string_view content_disposition);

/// The source's key: of what was asked for and what the answer was. `last_modified` as HTTP writes it,
/// or empty.
[[nodiscard]] std::string http_key(const HttpRequest& request, const std::string& filename,
                                   const Digest& content, const std::string& last_modified);

/// Stands for all of the request: under which its answer is remembered.
[[nodiscard]] Digest http_request_digest(const HttpRequest& request);

}  // namespace cobuild::ops
