#pragma once

/// AWS Signature Version 4: how a request says who sends it. Pure.

#include <chrono>
#include <string>
#include <string_view>

#include "core/base/secret.hpp"
#include "registry/request.hpp"

namespace cobuild::registry {

struct AwsKeys {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;  ///< Of keys that last for some hours; else empty.
};

/// What a signature is good for.
struct AwsScope {
  std::string region;
  std::string service;  ///< "s3".
};

/// Adds x-amz-date, x-amz-content-sha256, x-amz-security-token and Authorization to `request`, all
/// of whose headers are signed with its method, host, path and query. The target must be encoded as
/// encode_path and percent_encode do it, and `payload_sha256` is of the body, in hex.
void sign_aws(Request& request, const AwsKeys& keys, const AwsScope& scope,
              std::string_view payload_sha256, std::chrono::system_clock::time_point now);

/// As percent_encode, but slashes stay: for the path of a URL.
[[nodiscard]] std::string encode_path(std::string_view path);

/// HMAC-SHA256, raw.
[[nodiscard]] std::string hmac_sha256(std::string_view key, std::string_view text);

}  // namespace cobuild::registry
