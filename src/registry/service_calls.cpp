#include "registry/service_calls.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "registry/registry_error.hpp"

namespace cobuild::registry {
namespace {

using TimePoint = std::chrono::system_clock::time_point;

constexpr int kTooManyRequests = 429;
constexpr std::chrono::milliseconds kPauseMin{1000};
constexpr std::chrono::milliseconds kPauseMax{90000};
/// A read that got this much further starts its count of attempts anew.
constexpr std::uint64_t kProgressBytes = 1024 * 1024;

/// Codes that come with a status that would not be tried again: S3's, also within a 200.
constexpr std::array<std::string_view, 4> kPassingCodes = {"RequestTimeout", "InternalError",
                                                           "SlowDown", "OperationAborted"};

/// A body that is in memory.
class MemoryReader final : public oci::BlobReader {
 public:
  explicit MemoryReader(std::string_view bytes) : left_(bytes) {}

  Task<std::size_t> read(std::span<std::byte> buffer) override {
    std::size_t const count = std::min(buffer.size(), left_.size());
    std::memcpy(buffer.data(), left_.data(), count);
    left_.remove_prefix(count);
    co_return count;
  }

 private:
  std::string_view left_;
};

std::string range_header(const ByteRange& range, std::uint64_t received) {
  std::uint64_t const begin = range.offset + received;
  bool const open_end = range.length >= UINT64_MAX - range.offset;
  if (begin == 0 && open_end) return {};
  std::string text = "bytes=" + std::to_string(begin) + "-";
  if (!open_end) text += std::to_string(range.offset + range.length - 1);
  return text;
}

Task<std::exception_ptr> deliver(oci::BlobSink& sink, std::span<const std::byte> chunk) {
  try {
    co_await sink.write(chunk);
  } catch (...) {
    co_return std::current_exception();
  }
  co_return nullptr;
}

Failure failure_of(Error error, bool may_pass) {
  return Failure{.error = std::move(error), .may_pass = may_pass, .retry_after = {}, .fatal = {}};
}

}  // namespace

/// One read, over all its connections.
struct ServiceCalls::Reading {
  ByteRange range;
  oci::BlobSink& sink;
  std::uint64_t received = 0;

  /// Takes a body, of which the first `skip` bytes are here already.
  Task<std::optional<Failure>> take(Response& response, std::uint64_t skip) {
    std::uint64_t const start = received;
    while (received < range.length) {
      std::optional<Error> broken;
      std::span<const std::byte> chunk;
      try {
        chunk = co_await response.read();
      } catch (const Error& error) {
        if (error.kind() == ErrorKind::kCancelled) throw;
        broken = error;
      }
      if (broken) {
        Failure failure = failure_of(
            broken->with_context("received " + std::to_string(received) + " bytes"),
            is_retryable(broken->kind()));
        failure.progressed = received - start >= kProgressBytes;
        co_return failure;
      }
      if (chunk.empty()) break;
      std::uint64_t const skipped = std::min<std::uint64_t>(skip, chunk.size());
      skip -= skipped;
      chunk = chunk.subspan(static_cast<std::size_t>(skipped));
      chunk = chunk.first(static_cast<std::size_t>(
          std::min<std::uint64_t>(chunk.size(), range.length - received)));
      if (chunk.empty()) continue;
      if (auto fatal = co_await deliver(sink, chunk)) {
        Failure failure = failure_of(Error(ErrorKind::kInternal, "sink"), false);
        failure.fatal = fatal;
        co_return failure;
      }
      received += chunk.size();
    }
    co_return std::nullopt;
  }
};

Error refusal(const Answer& answer) {
  return status_error(answer.method, answer.url, answer.status, answer.body);
}

ServiceCalls::ServiceCalls(Transport& transport, const Options& options, RetryPolicy retry,
                           std::chrono::milliseconds patience)
    : http_(transport), options_(options), retry_(retry), patience_(patience), pause_(kPauseMin) {}

/// After a 429: nobody asks for a while. The error when that would take too long.
std::optional<Error> ServiceCalls::hold_back(const Sent& sent, TimePoint deadline) {
  TimePoint const now = options_.environment.now();
  std::optional<std::chrono::milliseconds> wait;
  if (auto const after = sent.response->headers().find("Retry-After")) {
    wait = parse_retry_after(*after, now);
  }
  if (!wait) {
    wait = pause_;
    pause_ = std::min(pause_ * 2, kPauseMax);
  }
  Error error = status_error(sent.method, sent.url, kTooManyRequests, "");
  auto const seconds = std::chrono::ceil<std::chrono::seconds>(*wait).count();
  if (now + *wait > deadline) {
    return error.with_context("the server asks to try again in " + std::to_string(seconds) + " s");
  }
  if (options_.on_notice) {
    options_.on_notice(std::string(error.what()) + "; going on in " + std::to_string(seconds) + " s");
  }
  not_before_ = std::max(not_before_, now + *wait);
  return std::nullopt;
}

Task<std::variant<ServiceCalls::Sent, Failure>> ServiceCalls::send(Prepare prepare,
                                                                   const std::string* body) {
  const Environment& environment = options_.environment;
  TimePoint const deadline = environment.now() + patience_;
  while (true) {
    for (TimePoint now = environment.now(); now < not_before_; now = environment.now()) {
      co_await environment.sleep(std::chrono::ceil<std::chrono::milliseconds>(not_before_ - now));
    }
    Request request = co_await prepare();
    MemoryReader reader(body == nullptr ? std::string_view() : *body);
    if (body != nullptr) {
      request.stream = &reader;
      request.stream_length = body->size();
      request.is_bulk = true;
    }
    Sent sent{.method = request.method, .url = request.url, .response = nullptr};
    sent.response = co_await http_.send(std::move(request), PlainHttp::kRefuse);
    if (sent.response->status() != kTooManyRequests) {
      pause_ = kPauseMin;
      co_return std::move(sent);
    }
    if (auto error = hold_back(sent, deadline)) co_return failure_of(std::move(*error), false);
  }
}

Task<Answer> ServiceCalls::read_answer(Sent sent) {
  Answer answer{.method = sent.method,
                .url = std::move(sent.url),
                .status = sent.response->status(),
                .headers = sent.response->headers(),
                .body = {}};
  // An answer to HEAD has no body, whatever length it announces.
  if (sent.method == Method::kHead) {
    (void)co_await sent.response->read();
  } else {
    answer.body = co_await read_body(*sent.response, kAnswerBytesMax);
  }
  co_return answer;
}

/// Whether the service may answer otherwise next time.
std::optional<Failure> ServiceCalls::judge(const Answer& answer) {
  bool may_pass = is_retryable_status(answer.status);
  // An answer that began before the work was done can only tell by its body that it failed.
  if (!may_pass && !answer.body.empty() && (answer.body.front() == '<' || !answer.is_success())) {
    std::string const code = service_error_code(answer.body);
    may_pass = std::ranges::find(kPassingCodes, code) != kPassingCodes.end();
  }
  if (!may_pass) return std::nullopt;
  Error const error = refusal(answer);
  Failure failure = failure_of(Error(ErrorKind::kUnavailable, error.what()), true);
  if (auto const after = answer.headers.find("Retry-After")) {
    failure.retry_after = parse_retry_after(*after, options_.environment.now());
  }
  return failure;
}

Task<Attempt<Answer>> ServiceCalls::try_call(const Prepare& prepare, const std::string* body) {
  auto sent = co_await send(prepare, body);
  if (auto* failure = std::get_if<Failure>(&sent)) co_return std::move(*failure);
  Answer answer = co_await read_answer(std::get<Sent>(std::move(sent)));
  if (auto failure = judge(answer)) co_return std::move(*failure);
  co_return answer;
}

Task<Answer> ServiceCalls::call(Prepare prepare, const std::string* body) {
  auto attempt = [&] { return try_call(prepare, body); };
  auto outcome = co_await try_repeatedly<Answer>(options_, retry_, attempt);
  if (auto* failure = std::get_if<Failure>(&outcome)) throw failure->error;
  co_return std::get<Answer>(std::move(outcome));
}

Task<Attempt<std::optional<Answer>>> ServiceCalls::try_read(const PrepareRead& prepare,
                                                            Reading& reading) {
  std::string const range = range_header(reading.range, reading.received);
  auto make = [&] { return prepare(range); };
  auto outcome = co_await send(make, nullptr);
  if (auto* failure = std::get_if<Failure>(&outcome)) co_return std::move(*failure);
  Sent sent = std::get<Sent>(std::move(outcome));
  int const status = sent.response->status();
  if (status == 416) co_return std::optional<Answer>();  // there is no such byte
  if (status != 200 && status != 206) {
    Answer answer = co_await read_answer(std::move(sent));
    if (auto failure = judge(answer)) co_return std::move(*failure);
    co_return std::optional(std::move(answer));
  }
  std::uint64_t const begin = reading.range.offset + reading.received;
  if (status == 206 && content_range_start(sent.response->headers()) != begin) {
    co_return failure_of(Error(ErrorKind::kCorrupt,
                               sent.url.to_display() + ": unhandled content range in response: " +
                                   sent.response->headers().text("Content-Range")),
                         false);
  }
  auto failure = co_await reading.take(*sent.response, status == 206 ? 0 : begin);
  if (failure) co_return std::move(*failure);
  co_return std::optional<Answer>();
}

Task<std::optional<Answer>> ServiceCalls::read(PrepareRead prepare, ByteRange range,
                                               oci::BlobSink& sink) {
  if (range.length == 0) co_return std::nullopt;
  Reading reading{.range = range, .sink = sink, .received = 0};
  auto attempt = [&] { return try_read(prepare, reading); };
  auto outcome = co_await try_repeatedly<std::optional<Answer>>(options_, retry_, attempt);
  if (auto* failure = std::get_if<Failure>(&outcome)) throw failure->error;
  co_return std::get<std::optional<Answer>>(std::move(outcome));
}

}  // namespace cobuild::registry
