#include "registry/downloads.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "core/base/error.hpp"
#include "registry/attempts.hpp"
#include "registry/registry_error.hpp"

namespace cobuild::registry {
namespace {

/// A try that got this far is no failed try.
constexpr std::uint64_t kProgressBytes = 1024 * 1024;

/// One download, over all its connections.
struct Transfer {
  const DownloadRequest& request;
  DownloadSink& sink;
  std::uint64_t received = 0;
  std::string validator;  ///< For If-Range; empty: the file cannot be told from a later one.
};

Failure failure_of(Error error, bool progressed) {
  bool const may_pass = is_retryable(error.kind());
  return Failure{.error = std::move(error),
                 .may_pass = may_pass,
                 .retry_after = {},
                 .progressed = progressed,
                 .fatal = {}};
}

/// What tells this version of the file from others: its strong ETag, else its date.
std::string validator_of(const Headers& headers) {
  if (headers.text("Accept-Ranges") == "none" || headers.find("Content-Encoding")) return "";
  std::string const tag = headers.text("ETag");
  if (!tag.empty() && !tag.starts_with("W/")) return tag;
  return headers.text("Last-Modified");
}

/// Awaits something of the sink's. What that throws is none of the server's doing.
Task<std::exception_ptr> guard(Task<void> work) {
  try {
    co_await std::move(work);
  } catch (...) {
    co_return std::current_exception();
  }
  co_return nullptr;
}

Failure fatal(std::exception_ptr error) {
  return Failure{.error = Error(ErrorKind::kInternal, "sink"),
                 .may_pass = false,
                 .retry_after = {},
                 .fatal = std::move(error)};
}

/// Reads a body into the transfer.
Task<std::optional<Failure>> receive(Transfer& transfer, Response& response) {
  std::uint64_t const start = transfer.received;
  while (true) {
    std::optional<Error> broken;
    std::span<const std::byte> chunk;
    try {
      chunk = co_await response.read();
    } catch (const Error& error) {
      broken = error;
    }
    if (broken) {
      if (broken->kind() == ErrorKind::kCancelled) throw *broken;
      co_return failure_of(
          broken->with_context("received " + std::to_string(transfer.received) + " bytes"),
          transfer.received - start >= kProgressBytes);
    }
    if (chunk.empty()) co_return std::nullopt;
    if (chunk.size() > transfer.request.bytes_max - transfer.received) {
      co_return failure_of(Error(ErrorKind::kCorrupt,
                                 "is longer than " + std::to_string(transfer.request.bytes_max) +
                                     " bytes, which is more than is taken"),
                           false);
    }
    if (auto error = co_await guard(transfer.sink.write(chunk))) co_return fatal(error);
    transfer.received += chunk.size();
  }
}

/// Sends the request once and reads what comes.
Task<Attempt<DownloadHead>> try_get(RedirectingTransport& http, const Options& options,
                                    Transfer& transfer) {
  Request request{.method = Method::kGet,
                  .url = transfer.request.url,
                  .headers = transfer.request.headers,
                  .body = {},
                  .stream = nullptr,
                  .stream_length = 0,
                  .is_bulk = true};
  bool const resumes = transfer.received > 0 && !transfer.validator.empty();
  if (resumes) {
    request.headers.add("Range", "bytes=" + std::to_string(transfer.received) + "-");
    request.headers.add("If-Range", transfer.validator);
  }
  auto response = co_await http.send(std::move(request), PlainHttp::kRefuse);
  DownloadHead head{.status = response->status(), .headers = response->headers()};
  bool const continues =
      resumes && head.status == 206 && content_range_start(head.headers) == transfer.received;
  if (is_retryable_status(head.status)) {
    Failure failure = failure_of(Error(ErrorKind::kUnavailable, status_text(head.status)), false);
    if (auto const after = head.headers.find("Retry-After")) {
      failure.retry_after = parse_retry_after(*after, options.environment.now());
    }
    co_return failure;
  }
  bool const whole = head.status / 100 == 2 && head.status != 206;
  if (!whole && !continues) {
    if (transfer.received == 0) co_return head;
    // It cannot go on from there: next time it is to begin again.
    transfer.validator.clear();
    co_return failure_of(Error(ErrorKind::kUnavailable, status_text(head.status)), false);
  }
  if (!continues) {
    transfer.received = 0;
    transfer.validator = validator_of(head.headers);
    if (auto error = co_await guard(transfer.sink.begin(head.headers))) co_return fatal(error);
  }
  if (continues) head.status = 200;
  auto failure = co_await receive(transfer, *response);
  if (failure) co_return std::move(*failure);
  co_return head;
}

}  // namespace

Task<DownloadHead> Downloads::head(DownloadRequest request) {
  Request head{.method = Method::kHead,
               .url = std::move(request.url),
               .headers = std::move(request.headers),
               .body = {},
               .stream = nullptr,
               .stream_length = 0,
               .is_bulk = false};
  auto const response = co_await http_.send(std::move(head), PlainHttp::kRefuse);
  co_return DownloadHead{.status = response->status(), .headers = response->headers()};
}

Task<DownloadHead> Downloads::get(DownloadRequest request, DownloadSink& sink) {
  Transfer transfer{.request = request, .sink = sink, .received = 0, .validator = {}};
  auto attempt = [&] { return try_get(http_, options_, transfer); };
  auto outcome = co_await try_repeatedly<DownloadHead>(options_, options_.retry, attempt);
  if (auto* failure = std::get_if<Failure>(&outcome)) {
    throw failure->error.with_context("GET " + request.url.to_display());
  }
  co_return std::get<DownloadHead>(std::move(outcome));
}

}  // namespace cobuild::registry
