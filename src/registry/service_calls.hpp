#pragma once

/// Requests to services that keep objects: signed anew for each attempt, tried again when that may
/// help, and held back when the service says that there were too many.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "registry/attempts.hpp"
#include "registry/options.hpp"
#include "registry/redirects.hpp"
#include "registry/request.hpp"

namespace cobuild::registry {

/// Answers but objects are no longer.
inline constexpr std::size_t kAnswerBytesMax = std::size_t{8} << 20;

/// An answer with its body.
struct Answer {
  Method method = Method::kGet;
  Url url;
  int status = 0;
  Headers headers;
  std::string body;

  [[nodiscard]] bool is_success() const noexcept { return status / 100 == 2; }
};

/// That the service refused. Kind and words as status_error has them.
[[nodiscard]] Error refusal(const Answer& answer);

/// Bytes of an object: as many of `length` as it has.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = UINT64_MAX;
};

class ServiceCalls {
 public:
  /// Makes the request of one attempt. What it throws counts as the attempt's failure.
  using Prepare = std::function<Task<Request>()>;
  /// As Prepare, with the value of the Range header; empty: all of it.
  using PrepareRead = std::function<Task<Request>(std::string range)>;

  /// `transport` and `options` outlive this. A service that says 429 is waited for as long as
  /// `patience` in all for each request, by all requests together.
  ServiceCalls(Transport& transport, const Options& options, RetryPolicy retry,
               std::chrono::milliseconds patience);

  /// What the service answers, whatever the status. `body` is sent, unless null, and outlives the
  /// call. \throws Error kUnavailable after the last of the attempts, and as Transport::send.
  Task<Answer> call(Prepare prepare, const std::string* body = nullptr);

  /// Streams the bytes of `range` into `sink`, which outlives the call; goes on where it broke.
  /// nullopt: done; else the answer that was no object. \throws Error as call, and kCorrupt when
  /// what came is not what was asked for.
  Task<std::optional<Answer>> read(PrepareRead prepare, ByteRange range, oci::BlobSink& sink);

 private:
  struct Sent {
    Method method = Method::kGet;
    Url url;
    std::unique_ptr<Response> response;
  };
  struct Reading;
  Task<std::variant<Sent, Failure>> send(Prepare prepare, const std::string* body);
  Task<Attempt<Answer>> try_call(const Prepare& prepare, const std::string* body);
  Task<Attempt<std::optional<Answer>>> try_read(const PrepareRead& prepare, Reading& reading);
  Task<Answer> read_answer(Sent sent);
  std::optional<Failure> judge(const Answer& answer);
  std::optional<Error> hold_back(const Sent& sent, std::chrono::system_clock::time_point deadline);

  RedirectingTransport http_;
  const Options& options_;
  RetryPolicy retry_;
  std::chrono::milliseconds patience_;
  std::chrono::milliseconds pause_;                        ///< Before the next attempt after a 429.
  std::chrono::system_clock::time_point not_before_{};  ///< No request is sent earlier.
};

}  // namespace cobuild::registry
