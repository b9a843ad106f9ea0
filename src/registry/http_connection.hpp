#pragma once

/// A connection and the response that is being read from it.
///
/// Part of http_transport.cpp, and included by nothing else: Beast and TLS cost more to compile
/// than the rest of the folder together.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/async/semaphore.hpp"
#include "core/async/task.hpp"
#include "core/base/error.hpp"
#include "registry/handshake_failure.hpp"
#include "registry/transport.hpp"

namespace cobuild::registry {

namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

inline constexpr std::uint32_t kHeaderBytesMax = 64 * 1024;
/// Beast reads as much as its buffer has room for, and 512 bytes at a time when nobody made room.
inline constexpr std::size_t kParserBufferBytes = 64 * 1024;
inline constexpr std::size_t kReadBufferBytes = 256 * 1024;
/// A chunk is passed on once it has this much.
inline constexpr std::size_t kReadTargetBytes = 128 * 1024;
inline constexpr std::size_t kIdleConnectionsMax = 8;    ///< Of one host.
inline constexpr std::size_t kInterimResponsesMax = 10;  ///< 1xx, before the real one.
/// A registry may hash and copy a whole upload before it answers: so many idle times are granted
/// then.
inline constexpr int kUploadPatience = 10;

static_assert(kReadBufferBytes <= oci::kChunkBytesMax);

/// Awaits an operation for its error code and results, instead of throwing.
inline constexpr auto kOutcome = asio::as_tuple(asio::use_awaitable);

using Parser = http::response_parser<http::buffer_body>;

inline void throw_if_cancelled(const error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
}

/// A TCP connection, with TLS on top once start_tls() was called. One type for both, so that the
/// HTTP code is compiled once.
class Socket {
 public:
  using executor_type = asio::any_io_executor;

  explicit Socket(const executor_type& executor) : tcp_(executor) {}

  executor_type get_executor() { return tcp_.get_executor(); }
  beast::tcp_stream& tcp() { return tcp_; }
  ssl::stream<beast::tcp_stream&>& start_tls(std::shared_ptr<ssl::context> context) {
    context_ = std::move(context);
    return tls_.emplace(tcp_, *context_);
  }

  template <class Buffers, class Handler>
  auto async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) return tls_->async_read_some(buffers, std::forward<Handler>(handler));
    return tcp_.async_read_some(buffers, std::forward<Handler>(handler));
  }
  template <class Buffers, class Handler>
  auto async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) return tls_->async_write_some(buffers, std::forward<Handler>(handler));
    return tcp_.async_write_some(buffers, std::forward<Handler>(handler));
  }

 private:
  std::shared_ptr<ssl::context> context_;
  beast::tcp_stream tcp_;
  std::optional<ssl::stream<beast::tcp_stream&>> tls_;
};

struct Connection {
  explicit Connection(const asio::any_io_executor& executor) : socket(executor) {
    buffer.reserve(kParserBufferBytes);
  }
  Socket socket;
  beast::flat_buffer buffer;
  bool reused = false;
  Clock::time_point last_used;
};

/// Whether the peer has neither closed an idle connection nor said something unasked on it.
inline bool is_quiet(Connection& connection) {
  if (connection.buffer.size() != 0) return false;
  char byte = 0;
  auto const got =
      ::recv(connection.socket.tcp().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

/// The connections to one server.
struct HostPool {
  HostPool(const asio::any_io_executor& executor, std::size_t transfers_max)
      : transfers(executor, transfers_max), requests(executor, transfers_max + 1) {}

  /// What a request holds until its response was read.
  struct Place {
    std::optional<Semaphore::Slot> transfer;
    Semaphore::Slot request;
  };
  /// Waits for a place; a bulk request for one that leaves room for a small one.
  Task<Place> enter(bool is_bulk) {
    std::optional<Semaphore::Slot> transfer;
    if (is_bulk) transfer.emplace(co_await transfers.acquire());
    Semaphore::Slot request = co_await requests.acquire();
    co_return Place{std::move(transfer), std::move(request)};
  }

  Semaphore transfers;
  Semaphore requests;
  std::vector<std::unique_ptr<Connection>> idle;  ///< Most recently used last.
};

inline std::string describe(const error_code& error) {
  if (error == beast::error::timeout) return "timed out";
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error == asio::error::eof || error == ssl::error::stream_truncated) {
    return "connection closed early";
  }
  return error.message();
}

/// Whether the other side's alert is about the certificate that we have shown, or have not: TLS 1.3
/// tells only when the handshake is over.
inline bool is_about_our_certificate(const error_code& error) {
  if (error.category() != asio::error::get_ssl_category()) return false;
  switch (ERR_GET_REASON(static_cast<unsigned long>(error.value())) - SSL_AD_REASON_OFFSET) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

/// What broke while talking to `url`. Bytes that are not HTTP will not be HTTP next time.
inline Error broken(const Url& url, std::string_view doing, const error_code& error) {
  if (is_about_our_certificate(error)) {
    HandshakeFailure failure;
    failure.problem = HandshakeProblem::kWantsCertificate;
    failure.reason = describe(error);
    return std::get<Error>(judge(url, failure));
  }
  std::string const what = std::string(doing) + " " + url.scheme + "://" + url.authority() + ": ";
  if (error == http::error::header_limit) {
    return Error(ErrorKind::kCorrupt, what + "the header of its answer is longer than " +
                                          std::to_string(kHeaderBytesMax / 1024) + " KiB");
  }
  bool const is_http = error.category() != make_error_code(http::error::bad_version).category() ||
                       error == http::error::end_of_stream || error == http::error::partial_message;
  if (is_http) return Error(ErrorKind::kUnavailable, what + describe(error));
  return Error(ErrorKind::kCorrupt, what + "its answer is not HTTP (" + error.message() + ")");
}

class HttpResponse final : public Response {
 public:
  HttpResponse(std::shared_ptr<HostPool> pool, HostPool::Place place, Url url,
               std::chrono::milliseconds idle_timeout)
      : pool_(std::move(pool)),
        place_(std::move(place)),
        url_(std::move(url)),
        idle_timeout_(idle_timeout) {}

  int status() const noexcept override { return status_; }
  const Headers& headers() const noexcept override { return headers_; }

  /// Reads the head from `connection`. Returns what went wrong on the wire, for the caller to
  /// judge.
  Task<error_code> read_head(std::unique_ptr<Connection> connection, Method method) {
    connection_ = std::move(connection);
    auto const patience = idle_timeout_ * (method == Method::kPut ? kUploadPatience : 1);
    for (std::size_t interim = 0; interim < kInterimResponsesMax; ++interim) {
      parser_.emplace();
      parser_->header_limit(kHeaderBytesMax);
      parser_->body_limit(boost::none);
      parser_->skip(method == Method::kHead);
      connection_->socket.tcp().expires_after(patience);
      auto [error, count] = co_await http::async_read_header(
          connection_->socket, connection_->buffer, *parser_, kOutcome);
      throw_if_cancelled(error);
      if (error) co_return error;
      status_ = parser_->get().result_int();
      if (status_ >= 200) break;
    }
    for (const auto& field : parser_->get()) {
      headers_.add(std::string(field.name_string()), std::string(field.value()));
    }
    if (!parser_->is_done() && parser_->content_length()) left_ = *parser_->content_length();
    release_if_done();
    co_return error_code();
  }

  Task<std::span<const std::byte>> read() override {
    if (broken_) throw *broken_;
    if (!connection_) co_return std::span<const std::byte>();
    if (chunk_.empty()) chunk_.resize(kReadBufferBytes);
    chunk_deadline_ = Clock::now() + 2 * idle_timeout_;
    auto const [error, filled] = co_await (left_ ? read_plain() : read_parsed());
    throw_if_cancelled(error);
    if (error) {
      // What came before is good: it is handed over first, and need not be fetched again.
      connection_.reset();
      broken_ = broken(url_, "read from", error);
      if (filled == 0) throw *broken_;
    } else {
      release_if_done();
    }
    co_return std::span<const std::byte>(chunk_).first(filled);
  }

  /// Takes the connection back, after a head could not be read.
  void drop_connection() { connection_.reset(); }
  HostPool::Place take_place() { return std::move(*std::exchange(place_, std::nullopt)); }

 private:
  /// What went wrong on the wire, and how many bytes of `chunk_` are good.
  using Filled = std::pair<error_code, std::size_t>;

  /// A body of known length: from the socket straight into the chunk, after what came with the
  /// head.
  Task<Filled> read_plain() {
    auto const wanted = static_cast<std::size_t>(std::min<std::uint64_t>(*left_, chunk_.size()));
    auto& ahead = connection_->buffer;
    std::size_t filled = asio::buffer_copy(asio::buffer(chunk_.data(), wanted), ahead.data());
    ahead.consume(filled);
    error_code failure;
    while (!failure && filled < std::min(wanted, kReadTargetBytes)) {
      expect_bytes();
      auto [error, count] = co_await connection_->socket.async_read_some(
          asio::buffer(chunk_.data() + filled, wanted - filled), kOutcome);
      filled += count;
      failure = error;
    }
    *left_ -= filled;
    co_return Filled(failure, filled);
  }

  /// A body whose end only the parser finds.
  Task<Filled> read_parsed() {
    auto& body = parser_->get().body();
    body.data = chunk_.data();
    body.size = chunk_.size();
    body.more = true;
    error_code failure;
    while (!failure && !parser_->is_done() && chunk_.size() - body.size < kReadTargetBytes) {
      expect_bytes();
      auto [error, count] = co_await http::async_read_some(connection_->socket, connection_->buffer,
                                                           *parser_, kOutcome);
      if (error == http::error::need_buffer) break;
      failure = error;
    }
    co_return Filled(failure, chunk_.size() - body.size);
  }

  /// Sets the time limit of the next read: one that sends a byte now and then is no better than a
  /// silent one.
  void expect_bytes() {
    connection_->socket.tcp().expires_at(std::min(Clock::now() + idle_timeout_, chunk_deadline_));
  }

  void release_if_done() {
    if (left_ ? *left_ != 0 : !parser_->is_done()) return;
    if (parser_->get().keep_alive() && pool_->idle.size() < kIdleConnectionsMax) {
      connection_->socket.tcp().expires_never();
      connection_->reused = true;
      connection_->last_used = Clock::now();
      pool_->idle.push_back(std::move(connection_));
    }
    connection_.reset();
    place_.reset();
  }

  std::shared_ptr<HostPool> pool_;  // outlives place_
  std::optional<HostPool::Place> place_;
  Url url_;
  std::chrono::milliseconds idle_timeout_;
  std::unique_ptr<Connection> connection_;  ///< Null once the body has been read.
  std::optional<Parser> parser_;
  std::optional<std::uint64_t> left_;  ///< Of a body whose length the head gave.
  Headers headers_;
  int status_ = 0;
  std::vector<std::byte> chunk_;
  Clock::time_point chunk_deadline_;
  std::optional<Error> broken_;  ///< To be thrown by the next read.
};

}  // namespace cobuild::registry
