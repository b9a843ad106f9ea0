#include "registry/aws_signature.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "registry/url.hpp"

namespace cobuild::registry {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return out;
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (char const c : bytes) {
    auto const byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

/// "20130524T000000Z".
std::string date_time(std::chrono::system_clock::time_point now) {
  std::time_t const seconds = std::chrono::system_clock::to_time_t(now);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::size_t const length = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
  return {text.data(), length};
}

/// Without blanks around it, and one blank for several within.
std::string trimmed(std::string_view value) {
  std::string out;
  for (char const c : value) {
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    out += c;
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

/// "a=1&b=": sorted, and each with its equals sign.
std::string canonical_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> fields;
  while (!query.empty()) {
    std::size_t const end = std::min(query.find('&'), query.size());
    std::string_view const field = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    std::size_t const equals = std::min(field.find('='), field.size());
    fields.emplace_back(field.substr(0, equals),
                        equals < field.size() ? field.substr(equals + 1) : std::string_view());
  }
  std::ranges::sort(fields);
  std::string out;
  for (const auto& [name, value] : fields) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

}  // namespace

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned length = 0;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data());
  if (::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, text.size(),
             out.data(), &length) == nullptr) {
    throw Error(ErrorKind::kInternal, "HMAC-SHA256 is not to be had");
  }
  return {reinterpret_cast<const char*>(out.data()), length};
}

std::string encode_path(std::string_view path) {
  std::string out;
  while (true) {
    std::size_t const slash = path.find('/');
    out += percent_encode(path.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    out += '/';
    path.remove_prefix(slash + 1);
  }
}

void sign_aws(Request& request, const AwsKeys& keys, const AwsScope& scope,
              std::string_view payload_sha256, std::chrono::system_clock::time_point now) {
  std::string const time = date_time(now);
  std::string const date = time.substr(0, 8);
  request.headers.add("x-amz-content-sha256", std::string(payload_sha256));
  request.headers.add("x-amz-date", time);
  if (!keys.session_token.empty()) {
    request.headers.add("x-amz-security-token", keys.session_token.reveal());
  }
  std::map<std::string, std::string> headers{{"host", request.url.authority()}};
  for (const auto& [name, value] : request.headers.fields()) headers[lower(name)] = trimmed(value);
  std::string names;
  std::string lines;
  for (const auto& [name, value] : headers) {
    names += (names.empty() ? "" : ";") + name;
    lines.append(name).append(":").append(value).append("\n");
  }
  std::string_view const target = request.url.target;
  std::size_t const question = std::min(target.find('?'), target.size());
  std::string const canonical =
      std::string(to_string(request.method)) + "\n" + std::string(target.substr(0, question)) +
      "\n" + canonical_query(target.substr(std::min(question + 1, target.size()))) + "\n" + lines +
      "\n" + names + "\n" + std::string(payload_sha256);
  std::string const place = date + "/" + scope.region + "/" + scope.service + "/aws4_request";
  std::string const to_sign = std::string(kAlgorithm) + "\n" + time + "\n" + place + "\n" +
                              Digest::of(std::string_view(canonical)).hex();
  std::string key = hmac_sha256("AWS4" + keys.secret_access_key.reveal(), date);
  key = hmac_sha256(key, scope.region);
  key = hmac_sha256(key, scope.service);
  key = hmac_sha256(key, "aws4_request");
  request.headers.add("Authorization", std::string(kAlgorithm) + " Credential=" +
                                           keys.access_key_id + "/" + place +
                                           ", SignedHeaders=" + names +
                                           ", Signature=" + hex(hmac_sha256(key, to_sign)));
}

}  // namespace cobuild::registry
