#pragma once

#include <string>
#include <string_view>

namespace cobuild::registry {

/// An absolute http or https URL. A value.
struct Url {
  std::string scheme;  ///< "http" or "https".
  std::string host;    ///< Lower case, without brackets.
  std::string port;    ///< Always there, in digits.
  std::string target;  ///< Path and query; starts with '/'.

  /// \throws Error kInvalidInput quoting `text`, without the user and password it may have.
  [[nodiscard]] static Url parse(std::string_view text);
  /// From "host[:port]" as references have it. \throws Error kInvalidInput.
  [[nodiscard]] static Url of(std::string_view scheme, std::string_view authority,
                              std::string_view target);

  /// Where a Location header leads from here. \throws Error kInvalidInput.
  [[nodiscard]] Url resolve(std::string_view location) const;

  [[nodiscard]] bool is_tls() const noexcept { return scheme == "https"; }
  /// "host", or "host:port" when the port is not the scheme's own: the Host header.
  [[nodiscard]] std::string authority() const;
  [[nodiscard]] std::string to_string() const;
  /// For messages: without the query, which in redirects to storage is a credential.
  [[nodiscard]] std::string to_display() const;
  /// Whether both go to the same server: what a credential may be sent to.
  [[nodiscard]] bool same_origin(const Url& other) const noexcept;

  friend bool operator==(const Url&, const Url&) = default;
};

/// "a b&c" -> "a%20b%26c": for query values and form fields.
[[nodiscard]] std::string percent_encode(std::string_view text);
/// Undoes it; malformed escapes stay as they are.
[[nodiscard]] std::string percent_decode(std::string_view text);

/// localhost, 127.0.0.0/8 and ::1, with or without a port: hosts spoken to without TLS by default.
[[nodiscard]] bool is_localhost(std::string_view authority);

}  // namespace cobuild::registry
