#include "registry/http_transport.hpp"

#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <map>
#include <variant>

#include "core/async/concurrency.hpp"
#include "core/async/shared.hpp"
#include "registry/handshake_failure.hpp"
#include "registry/hosts.hpp"
#include "registry/http_connection.hpp"
#include "registry/proxy.hpp"
#include "registry/request_text.hpp"
#include "registry/tls_trust.hpp"

namespace cobuild::registry {
namespace {

using Tcp = asio::ip::tcp;

constexpr std::size_t kWriteBufferBytes = 256 * 1024;
/// One dead address (often IPv6 without a route) must not use up the time of the others.
constexpr std::chrono::milliseconds kNextAddressAfter{8000};
/// Of a certificate's names, in a message.
constexpr std::size_t kHostNamesTextMax = 200;

std::shared_ptr<ssl::context> make_context(const TlsTrust& trust) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  context->set_verify_mode(trust.verify ? ssl::verify_peer : ssl::verify_none);
  error_code error;
  for (const auto& directory : trust.hashed_dirs)
    context->add_verify_path(directory.string(), error);
  for (const auto& bundle : trust.bundles) {
    context->load_verify_file(bundle.string(), error);
    if (error) {
      throw Error(ErrorKind::kInvalidInput,
                  "CA certificate " + bundle.string() + ": " + error.message());
    }
  }
  for (const KeyPair& pair : trust.key_pairs) {
    context->use_certificate_chain_file(pair.certificate.string(), error);
    if (!error) context->use_private_key_file(pair.key.string(), ssl::context::pem, error);
    if (error) {
      throw Error(ErrorKind::kInvalidInput, "client certificate " + pair.certificate.string() +
                                                " with key " + pair.key.string() + ": " +
                                                error.message());
    }
  }
  return context;
}

/// The hosts that a certificate is for: "localhost, 127.0.0.1".
std::string host_names(X509* certificate) {
  std::string text;
  auto* const names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && text.size() < kHostNamesTextMax; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    const auto* bytes = ASN1_STRING_get0_data(name->d.ia5);
    std::string one(bytes, bytes + ASN1_STRING_length(name->d.ia5));
    if (name->type == GEN_IPADD && one.size() == sizeof(asio::ip::address_v4::bytes_type)) {
      asio::ip::address_v4::bytes_type address{};
      std::copy(one.begin(), one.end(), address.begin());
      one = asio::ip::address_v4(address).to_string();
    } else if (name->type == GEN_IPADD) {
      if (one.size() != sizeof(asio::ip::address_v6::bytes_type)) continue;
      asio::ip::address_v6::bytes_type address{};
      std::copy(one.begin(), one.end(), address.begin());
      one = asio::ip::address_v6(address).to_string();
    }
    std::replace_if(one.begin(), one.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    text += (text.empty() ? "" : ", ") + one;
  }
  sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
  return text;
}

/// What a certificate is for that is trusted but not for the host asked: nullopt while none was
/// seen. Shared with OpenSSL's callback.
using OtherNames = std::shared_ptr<std::optional<std::string>>;

/// Verifies the host name as Asio does, and keeps what else the certificate is for.
void verify_host_name(ssl::stream<beast::tcp_stream&>& tls, const std::string& host,
                      OtherNames other_names) {
  auto verify = [matches = ssl::host_name_verification(host), other_names = std::move(other_names)](
                    bool trusted, ssl::verify_context& context) {
    bool const accepted = matches(trusted, context);
    if (trusted && !accepted) {
      *other_names = host_names(X509_STORE_CTX_get_current_cert(context.native_handle()));
    }
    return accepted;
  };
  tls.set_verify_callback(std::move(verify));
}

/// OpenSSL's account of a handshake that failed.
HandshakeFailure describe_handshake(const error_code& error, SSL* ssl,
                                    const OtherNames& other_names) {
  HandshakeFailure failure;
  failure.reason = describe(error);
  if (error == asio::error::eof || error == ssl::error::stream_truncated ||
      error == asio::error::connection_reset) {
    failure.problem = HandshakeProblem::kClosed;
    return failure;
  }
  if (error.category() != asio::error::get_ssl_category()) return failure;
  failure.problem = is_about_our_certificate(error) ? HandshakeProblem::kWantsCertificate
                                                    : HandshakeProblem::kRefused;
  switch (ERR_GET_REASON(static_cast<unsigned long>(error.value()))) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED: {
      long const verdict = SSL_get_verify_result(ssl);
      failure.problem = *other_names ? HandshakeProblem::kWrongName : HandshakeProblem::kUntrusted;
      failure.reason = *other_names ? **other_names : X509_verify_cert_error_string(verdict);
      break;
    }
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG: failure.problem = HandshakeProblem::kNotTls; break;
    default: break;
  }
  return failure;
}

class HttpTransport final : public Transport {
 public:
  HttpTransport(asio::any_io_executor executor, asio::thread_pool& pool, const Options& options)
      : executor_(std::move(executor)), pool_(pool), options_(options) {
    // No openssl.cnf: reading it costs milliseconds, and it could name engines to load.
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  }

  Task<SendOutcome> send(Request request) override {
    auto const proxy = choose_proxy(request.url, options_.environment.variable);
    auto const pool = host_pool(request.url);
    HostPool::Place place = co_await pool->enter(request.is_bulk);
    while (true) {
      std::unique_ptr<Connection> connection = take_idle(*pool);
      if (!connection) {
        auto opened = co_await open(request.url, proxy);
        if (auto* no_tls = std::get_if<NoTls>(&opened)) co_return std::move(*no_tls);
        connection = std::move(std::get<std::unique_ptr<Connection>>(opened));
      }
      bool const may_be_stale = connection->reused && !request.stream;
      auto response =
          std::make_unique<HttpResponse>(pool, std::move(place), request.url, options_.idle_timeout);
      // A server that refuses early may stop reading: its answer counts, not the failed write.
      error_code const write_error = co_await write(*connection, request, proxy);
      error_code const read_error =
          co_await response->read_head(std::move(connection), request.method);
      if (!read_error) co_return SendOutcome(std::move(response));
      if (!may_be_stale || read_error == beast::error::timeout) {
        throw broken(request.url, write_error ? "write to" : "read from",
                     write_error ? write_error : read_error);
      }
      // The server closed the idle connection just as we used it; a fresh one tells the truth.
      response->drop_connection();
      place = response->take_place();
    }
  }

  void close_idle() override {
    for (auto& [key, pool] : pools_) pool->idle.clear();
  }

 private:
  using Opened = std::variant<std::unique_ptr<Connection>, NoTls>;
  struct Trusted {
    std::shared_ptr<ssl::context> context;
    bool trusts_somebody = false;
  };

  std::shared_ptr<HostPool> host_pool(const Url& url) {
    auto& pool = pools_[url.scheme + "://" + url.authority()];
    if (!pool) pool = std::make_shared<HostPool>(executor_, options_.transfers_per_host_max);
    return pool;
  }

  std::unique_ptr<Connection> take_idle(HostPool& pool) const {
    while (!pool.idle.empty()) {
      auto connection = std::move(pool.idle.back());
      pool.idle.pop_back();
      bool const fresh = Clock::now() - connection->last_used < options_.keep_alive;
      if (fresh && is_quiet(*connection)) return connection;
    }
    return nullptr;
  }

  Task<Opened> open(Url url, std::optional<Proxy> proxy) {
    auto const deadline = Clock::now() + options_.connect_timeout;
    auto connection = std::make_unique<Connection>(executor_);
    std::string const host = proxy ? proxy->host : url.host;
    std::string const port = proxy ? proxy->port : url.port;
    if (auto refused = co_await connect(*connection, host, port, deadline)) {
      if (proxy) throw refused->with_context("proxy for " + url.authority());
      if (url.is_tls()) co_return NoTls{*refused};
      throw *refused;
    }
    if (!url.is_tls()) co_return std::move(connection);
    if (proxy) co_await tunnel(*connection, url, *proxy, deadline);
    co_return co_await secure(std::move(connection), std::move(url), deadline);
  }

  /// Tries the addresses of `host` one after the other. Returns the error when none of them
  /// listens, and throws all others.
  Task<std::optional<Error>> connect(Connection& connection, std::string host, std::string port,
                                     Clock::time_point deadline) {
    Tcp::resolver resolver(executor_);
    auto [resolve_error, addresses] = co_await resolver.async_resolve(host, port, kOutcome);
    throw_if_cancelled(resolve_error);
    if (resolve_error) {
      bool const unknown =
          resolve_error == asio::error::host_not_found || resolve_error == asio::error::no_data;
      throw Error(unknown ? ErrorKind::kNotFound : ErrorKind::kUnavailable,
                  "look up host " + host + ": " + resolve_error.message());
    }
    std::size_t left = addresses.size();
    error_code last = asio::error::host_not_found;
    std::string where = host;
    bool all_refused = true;
    for (const auto& entry : addresses) {
      auto const limit =
          --left > 0 ? std::min(deadline, Clock::now() + kNextAddressAfter) : deadline;
      connection.socket.tcp().expires_at(limit);
      auto [error] = co_await connection.socket.tcp().async_connect(entry.endpoint(), kOutcome);
      throw_if_cancelled(error);
      if (!error) {
        error_code ignored;  // only a hint to the kernel
        connection.socket.tcp().socket().set_option(Tcp::no_delay(true), ignored);
        co_return std::nullopt;
      }
      connection.socket.tcp().close();
      last = error;
      where = host + ":" + port + " (" + entry.endpoint().address().to_string() + ")";
      all_refused = all_refused && error == asio::error::connection_refused;
    }
    Error failure(ErrorKind::kUnavailable, "connect to " + where + ": " + describe(last));
    if (all_refused) co_return failure;
    throw failure;
  }

  /// Asks the proxy for a way through to `url`.
  Task<void> tunnel(Connection& connection, Url url, Proxy proxy, Clock::time_point deadline) {
    std::string const target = tunnel_target(url);
    std::string const head = tunnel_text(url, proxy);
    std::string const who = "proxy " + proxy.host + ":" + proxy.port + ": CONNECT " + target + ": ";
    connection.socket.tcp().expires_at(deadline);
    auto [write_error, written] =
        co_await asio::async_write(connection.socket, asio::buffer(head), kOutcome);
    throw_if_cancelled(write_error);
    Parser parser;
    parser.header_limit(kHeaderBytesMax);
    parser.skip(true);
    auto [error, count] =
        co_await http::async_read_header(connection.socket, connection.buffer, parser, kOutcome);
    throw_if_cancelled(error);
    if (error) throw Error(ErrorKind::kUnavailable, who + describe(error));
    int const status = static_cast<int>(parser.get().result_int());
    if (status / 100 != 2) {
      throw Error(status >= 500 ? ErrorKind::kUnavailable : ErrorKind::kDenied,
                  who + std::to_string(status) + " " + std::string(parser.get().reason()));
    }
  }

  Task<Opened> secure(std::unique_ptr<Connection> connection, Url url, Clock::time_point deadline) {
    Trusted const trusted = co_await trust_for(url.authority());
    auto& tls = connection->socket.start_tls(trusted.context);
    auto const other_names = std::make_shared<std::optional<std::string>>();
    error_code not_an_address;
    asio::ip::make_address(url.host, not_an_address);
    if (not_an_address) SSL_set_tlsext_host_name(tls.native_handle(), url.host.c_str());
    if ((SSL_CTX_get_verify_mode(trusted.context->native_handle()) & SSL_VERIFY_PEER) != 0) {
      verify_host_name(tls, url.host, other_names);
    }
    connection->socket.tcp().expires_at(deadline);
    auto [error] = co_await tls.async_handshake(ssl::stream_base::client, kOutcome);
    throw_if_cancelled(error);
    if (!error) co_return std::move(connection);
    HandshakeFailure failure = describe_handshake(error, tls.native_handle(), other_names);
    failure.trusts_somebody = trusted.trusts_somebody;
    auto verdict = judge(url, failure);
    if (auto* no_tls = std::get_if<NoTls>(&verdict)) co_return std::move(*no_tls);
    throw std::get<Error>(verdict);
  }

  /// The TLS context for a host; those without options of their own share one.
  Task<Trusted> trust_for(std::string authority) {
    const HostOptions* const host = find_host(authority, options_);
    std::string const key = host ? authority : "";
    auto& shared = trusted_[key];
    if (!shared) {
      HostOptions const host_options = host ? *host : HostOptions();
      auto compute = [this, host_options]() { return load_trust(host_options); };
      shared = std::make_unique<Shared<Trusted>>(executor_, std::move(compute));
    }
    co_return co_await shared->get();
  }

  Task<Trusted> load_trust(HostOptions host) {
    auto load = [host = std::move(host), ca_files = options_.ca_files,
                 variables = options_.environment.variable]() {
      TlsTrust const trust = find_tls_trust(host, ca_files, variables);
      return Trusted{make_context(trust), !trust.bundles.empty() || !trust.hashed_dirs.empty()};
    };
    co_return co_await offload(pool_, std::move(load));
  }

  /// Sends the request. Returns what went wrong on the wire. \throws what a streamed body throws.
  Task<error_code> write(Connection& connection, const Request& request,
                         const std::optional<Proxy>& proxy) {
    std::string head = request_text(request, proxy);
    if (!request.stream) head += request.body;
    connection.socket.tcp().expires_after(options_.idle_timeout);
    auto [error, count] =
        co_await asio::async_write(connection.socket, asio::buffer(head), kOutcome);
    throw_if_cancelled(error);
    if (error || !request.stream) co_return error;
    std::vector<std::byte> buffer(kWriteBufferBytes);
    for (std::uint64_t left = request.stream_length; left > 0;) {
      auto const room = std::span(buffer).first(
          static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer.size())));
      std::size_t const filled = co_await request.stream->read(room);
      if (filled == 0) {
        throw Error(ErrorKind::kCorrupt, "upload to " + request.url.to_display() + ": content is " +
                                             std::to_string(left) +
                                             " bytes shorter than announced");
      }
      connection.socket.tcp().expires_after(options_.idle_timeout);
      auto [body_error, written] = co_await asio::async_write(
          connection.socket, asio::buffer(buffer.data(), filled), kOutcome);
      throw_if_cancelled(body_error);
      if (body_error) co_return body_error;
      left -= filled;
    }
    co_return error_code();
  }

  asio::any_io_executor executor_;
  asio::thread_pool& pool_;
  const Options& options_;
  std::map<std::string, std::shared_ptr<HostPool>> pools_;
  std::map<std::string, std::unique_ptr<Shared<Trusted>>> trusted_;
};

}  // namespace

std::unique_ptr<Transport> make_http_transport(asio::any_io_executor executor,
                                               asio::thread_pool& pool, const Options& options) {
  return std::make_unique<HttpTransport>(std::move(executor), pool, options);
}

}  // namespace cobuild::registry
