#include "registry/redirects.hpp"

#include <utility>

#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// What may go to another server: everything but what says who we are.
Headers without_credentials(const Headers& headers) {
  Headers kept;
  for (const auto& [name, value] : headers.fields()) {
    if (name != "Authorization") kept.add(name, value);
  }
  return kept;
}

}  // namespace

Url RedirectingTransport::spoken(Url url, PlainHttp plain_http) const {
  std::string const authority = url.authority();
  bool const is_plain =
      url.is_tls() && plain_http == PlainHttp::kAllow && plain_hosts_.contains(authority);
  return is_plain ? Url::of("http", authority, url.target) : url;
}

Task<std::unique_ptr<Response>> RedirectingTransport::send_once(Request request,
                                                                PlainHttp plain_http) {
  Url const url = request.url;
  bool const known_plain = plain_hosts_.contains(url.authority());
  if (!url.is_tls() || plain_http == PlainHttp::kRefuse || !known_plain) {
    auto outcome = co_await transport_.send(request);
    if (auto* response = std::get_if<std::unique_ptr<Response>>(&outcome)) {
      co_return std::move(*response);
    }
    if (plain_http == PlainHttp::kRefuse) throw std::get<NoTls>(outcome).error;
  }
  std::string authority = url.authority();
  request.url = Url::of("http", authority, url.target);
  auto outcome = co_await transport_.send(std::move(request));
  if (auto* no_tls = std::get_if<NoTls>(&outcome)) throw no_tls->error;
  plain_hosts_.insert(std::move(authority));
  co_return std::move(std::get<std::unique_ptr<Response>>(outcome));
}

Task<std::unique_ptr<Response>> RedirectingTransport::send(Request request, PlainHttp plain_http) {
  Url const start = request.url;
  bool const follow = request.method == Method::kGet || request.method == Method::kHead;
  for (std::size_t hops = 0; hops <= kRedirectsMax; ++hops) {
    auto response = co_await send_once(request, plain_http);
    auto const location = response->headers().find("Location");
    if (!follow || !is_redirect(response->status()) || !location) co_return std::move(response);
    Url next = request.url.resolve(*location);
    if (request.url.is_tls() && !next.is_tls() && plain_http == PlainHttp::kRefuse) {
      throw Error(ErrorKind::kDenied, "redirect from " + request.url.to_display() + " to " +
                                          next.to_display() +
                                          ": refused, since it leaves TLS; "
                                          "--insecure-registry " +
                                          start.authority() + " allows it");
    }
    if (!next.same_origin(request.url)) request.headers = without_credentials(request.headers);
    request.url = std::move(next);
  }
  throw Error(ErrorKind::kUnsupported, "GET " + start.to_display() + ": more than " +
                                           std::to_string(kRedirectsMax) + " redirects");
}

}  // namespace cobuild::registry
