#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/source_span.hpp"

namespace cobuild {

/// What the caller can do about a failure; not which subsystem raised it.
enum class ErrorKind {
  kInvalidInput,  ///< The user wrote something wrong; show them where. Never retried.
  kNotFound,      ///< A thing the user named does not exist.
  kDenied,        ///< Credentials are missing or not sufficient.
  kUnavailable,   ///< The other side may recover: worth retrying, with a delay.
  kCorrupt,       ///< Bytes do not match their digest or format; drop them, fetch again.
  kExecFailed,    ///< A RUN step exited non-zero; its output is already on screen.
  kUnsupported,   ///< Valid input that this build of cobuild does not handle.
  kCancelled,     ///< Somebody asked us to stop. Not a failure: never wrapped, logged or retried.
  kInternal,      ///< A bug in cobuild.
};

[[nodiscard]] std::string_view to_string(ErrorKind kind) noexcept;

/// A failure with the story of how it was reached.
///
/// Immutable and cheap to copy. One failure may be handed to many waiters at once (the solver gives
/// every dependent of a failed vertex the same exception_ptr), so adding context makes a new Error
/// and leaves the shared one as it was.
class Error final : public std::exception {
 public:
  /// One line of the story, newest first.
  struct Frame {
    std::string what;            ///< For the user: "pulling docker.io/library/alpine:3.19".
    std::source_location where;  ///< For us: shown only with --debug.
    std::optional<SourceSpan> span;  ///< The place in the user's text that this frame is about.
  };

  Error(ErrorKind kind, std::string what,
        std::source_location where = std::source_location::current());

  /// An Error for a failed system call. Takes the number, not the ambient errno, so that building
  /// the message cannot clobber it.
  [[nodiscard]] static Error from_errno(
      int errno_value, std::string what,
      std::source_location where = std::source_location::current());

  [[nodiscard]] Error with_context(
      std::string what, std::source_location where = std::source_location::current()) const;

  /// As with_context, for a step of the user's text: `span` is shown as an excerpt by the CLI. A
  /// span with an empty `what` adds the place and no words.
  [[nodiscard]] Error with_span(SourceSpan span, std::string what = {},
                                std::source_location where = std::source_location::current()) const;

  [[nodiscard]] ErrorKind kind() const noexcept { return state_->kind; }
  [[nodiscard]] std::span<const Frame> frames() const noexcept { return state_->frames; }

  /// All frames on one line, outermost first: "pulling X: blob Y: digest mismatch".
  [[nodiscard]] const char* what() const noexcept override { return state_->joined.c_str(); }

 private:
  struct State {
    ErrorKind kind;
    std::vector<Frame> frames;
    std::string joined;
  };
  explicit Error(std::shared_ptr<const State> state) noexcept : state_(std::move(state)) {}
  static std::shared_ptr<const State> make_state(ErrorKind kind, std::vector<Frame> frames);

  std::shared_ptr<const State> state_;
};

}  // namespace cobuild
