#include "registry/request_text.hpp"

#include <string_view>

#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

constexpr std::string_view kUserAgent = "cobuild/" COBUILD_VERSION;

void add_field(std::string& text, std::string_view name, std::string_view value) {
  if (value.find_first_of("\r\n") != std::string_view::npos) {
    throw Error(ErrorKind::kInvalidInput,
                "HTTP header " + std::string(name) + " has a line break in its value");
  }
  text.append(name).append(": ").append(value).append("\r\n");
}

bool needs_length(const Request& request) {
  bool const bodiless = request.method == Method::kGet || request.method == Method::kHead;
  return !request.body.empty() || !bodiless;
}

}  // namespace

std::string request_text(const Request& request, const std::optional<Proxy>& proxy) {
  bool const through_proxy = proxy && !request.url.is_tls();
  std::string text(to_string(request.method));
  text += " " + (through_proxy ? request.url.to_string() : request.url.target) + " HTTP/1.1\r\n";
  add_field(text, "Host", request.url.authority());
  if (!request.headers.find("User-Agent")) add_field(text, "User-Agent", kUserAgent);
  // Blobs are compressed already, and their digests are of the bytes as they are.
  add_field(text, "Accept-Encoding", "identity");
  for (const auto& [name, value] : request.headers.fields()) add_field(text, name, value);
  if (through_proxy && !proxy->authorization.empty()) {
    add_field(text, "Proxy-Authorization", proxy->authorization.reveal());
  }
  if (request.stream) {
    add_field(text, "Content-Length", std::to_string(request.stream_length));
  } else if (needs_length(request)) {
    add_field(text, "Content-Length", std::to_string(request.body.size()));
  }
  return text + "\r\n";
}

std::string tunnel_target(const Url& url) {
  std::string const host =
      url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  return host + ":" + url.port;
}

std::string tunnel_text(const Url& url, const Proxy& proxy) {
  std::string const target = tunnel_target(url);
  std::string text = "CONNECT " + target + " HTTP/1.1\r\n";
  add_field(text, "Host", target);
  add_field(text, "User-Agent", kUserAgent);
  if (!proxy.authorization.empty()) {
    add_field(text, "Proxy-Authorization", proxy.authorization.reveal());
  }
  return text + "\r\n";
}

}  // namespace cobuild::registry
