#include "cli/report_error.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <new>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/source_span.hpp"

namespace cobuild::cli {
namespace {

constexpr std::size_t kWordBytesMax = 1024;

/// "https://user:secret@host" with "xxxxx" in place of the secret.
std::string without_passwords(std::string_view text) {
  std::string out;
  while (true) {
    std::size_t const scheme = text.find("://");
    if (scheme == std::string_view::npos) break;
    std::size_t const authority = scheme + 3;
    out += text.substr(0, authority);
    text.remove_prefix(authority);
    std::string_view const host = text.substr(0, text.find_first_of("/ \t\n\"'?#"));
    std::size_t const at = host.rfind('@');
    if (at == std::string_view::npos) continue;
    std::size_t const colon = host.find(':');
    if (colon < at) {
      out += host.substr(0, colon + 1);
      out += "xxxxx";
    } else {
      out += host.substr(0, at);
    }
    text.remove_prefix(at);
  }
  out += text;
  return out;
}

/// Paths of foreign trees and words of commands can be longer than anybody reads; their ends tell.
std::string with_short_words(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::size_t const end = std::min(text.find_first_of(" \n\t"), text.size());
    std::string_view const word = text.substr(0, end);
    if (word.size() > kWordBytesMax) {
      out += word.substr(0, kWordBytesMax / 2);
      out += "[... " + std::to_string(word.size() - kWordBytesMax) + " bytes ...]";
      out += word.substr(word.size() - kWordBytesMax / 2);
    } else {
      out += word;
    }
    std::size_t const next = std::min(text.find_first_not_of(" \n\t", end), text.size());
    out += text.substr(end, next - end);
    text.remove_prefix(next);
  }
  return out;
}

/// The excerpts of all frames, innermost first, each place once.
std::string render_places(const Error& error) {
  std::string out;
  std::vector<SourceSpan> seen;
  auto const frames = error.frames();
  for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
    if (!frame->span || std::find(seen.begin(), seen.end(), *frame->span) != seen.end()) continue;
    seen.push_back(*frame->span);
    out += render_excerpt(*frame->span);
  }
  return out;
}

std::string render_frames(const Error& error) {
  std::string out = "kind: " + std::string(to_string(error.kind())) + "\n";
  for (const Error::Frame& frame : error.frames()) {
    out += "  at " + std::string(frame.where.file_name()) + ":" +
           std::to_string(frame.where.line()) + " " + frame.where.function_name() + ": " +
           frame.what + "\n";
  }
  return out;
}

}  // namespace

std::string render_error(std::exception_ptr failure, const ReportOptions& options) {
  try {
    std::rethrow_exception(std::move(failure));
  } catch (const Error& error) {
    std::string const story = error.kind() == ErrorKind::kCancelled && *error.what() == '\0'
                                  ? "context canceled"
                                  : error.what();
    std::string out = render_places(error) + "error: " + with_short_words(story) + "\n";
    if (options.debug) out += render_frames(error);
    return without_passwords(out);
  } catch (const boost::system::system_error& error) {
    if (error.code() == boost::asio::error::operation_aborted) return "error: context canceled\n";
    return without_passwords(std::string("error: ") + error.what() + "\n");
  } catch (const std::bad_alloc&) {
    return "error: out of memory\n";
  } catch (const std::exception& error) {
    return without_passwords(std::string("error: ") + error.what() + "\n");
  } catch (...) {
    return "error: unknown failure: this is a bug in cobuild\n";
  }
}

}  // namespace cobuild::cli
