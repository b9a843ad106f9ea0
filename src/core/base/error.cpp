#include "core/base/error.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

namespace cobuild {

std::string_view to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kInvalidInput: return "invalid input";
    case ErrorKind::kNotFound: return "not found";
    case ErrorKind::kDenied: return "denied";
    case ErrorKind::kUnavailable: return "unavailable";
    case ErrorKind::kCorrupt: return "corrupt";
    case ErrorKind::kExecFailed: return "command failed";
    case ErrorKind::kUnsupported: return "unsupported";
    case ErrorKind::kCancelled: return "cancelled";
    case ErrorKind::kInternal: return "internal error";
  }
  return "unknown";  // Unreachable; no default above, so -Wswitch names a missing case.
}

std::shared_ptr<const Error::State> Error::make_state(ErrorKind kind, std::vector<Frame> frames) {
  std::string joined;
  for (const Frame& frame : frames) {
    if (frame.what.empty()) continue;  // A frame that only carries a span.
    if (!joined.empty()) joined += ": ";
    joined += frame.what;
  }
  return std::make_shared<const State>(State{kind, std::move(frames), std::move(joined)});
}

Error::Error(ErrorKind kind, std::string what, std::source_location where) {
  std::vector<Frame> frames;
  frames.push_back(Frame{std::move(what), where, std::nullopt});
  state_ = make_state(kind, std::move(frames));
}

Error Error::from_errno(int errno_value, std::string what, std::source_location where) {
  what += ": ";
  what += std::generic_category().message(errno_value);
  ErrorKind kind = ErrorKind::kInternal;
  if (errno_value == ENOENT) kind = ErrorKind::kNotFound;
  if (errno_value == EACCES || errno_value == EPERM) kind = ErrorKind::kDenied;
  if (errno_value == ENOSPC || errno_value == EAGAIN) kind = ErrorKind::kUnavailable;
  return Error(kind, std::move(what), where);
}

Error Error::with_context(std::string what, std::source_location where) const {
  std::vector<Frame> frames;
  frames.reserve(state_->frames.size() + 1);
  frames.push_back(Frame{std::move(what), where, std::nullopt});
  frames.insert(frames.end(), state_->frames.begin(), state_->frames.end());
  return Error(make_state(state_->kind, std::move(frames)));
}

Error Error::with_span(SourceSpan span, std::string what, std::source_location where) const {
  std::vector<Frame> frames;
  frames.reserve(state_->frames.size() + 1);
  frames.push_back(Frame{std::move(what), where, std::move(span)});
  frames.insert(frames.end(), state_->frames.begin(), state_->frames.end());
  return Error(make_state(state_->kind, std::move(frames)));
}

}  // namespace cobuild
