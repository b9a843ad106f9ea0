#include "cli/report_error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

using testing::HasSubstr;

template <class Failure>
std::string render(const Failure& failure, bool debug = false) {
  return render_error(std::make_exception_ptr(failure), ReportOptions{debug});
}

SourceSpan span(const std::string& file, const std::string& text, int first, int last) {
  return SourceSpan{file, std::make_shared<const std::string>(text), first, last};
}

TEST(RenderError, TheStoryOnOneLine) {  // F9.1.1
  Error const error = Error(ErrorKind::kNotFound, "no such file")
                          .with_context("open x")
                          .with_context("failed to solve");
  EXPECT_EQ(render(error), "error: failed to solve: open x: no such file\n");
}

TEST(RenderError, LongWordsAreClippedInTheMiddle) {
  std::string const path = "/" + std::string(5400, 'd') + "/end";
  Error const error(ErrorKind::kInvalidInput, "open " + path + ": File name too long");
  EXPECT_THAT(render(error), HasSubstr("error: open /ddd"));
  EXPECT_THAT(render(error), HasSubstr("d[... 4382 bytes ...]d"));
  EXPECT_THAT(render(error), HasSubstr("d/end: File name too long\n"));
}

TEST(RenderError, PlacesFirstInnermostFirst) {  // F9.1.2
  auto const inner = span("inner.Dockerfile", "FROM x\nRUN false\n", 2, 2);
  auto const outer = span("Dockerfile", "1\n2\n3\n4\n5\n6\n", 3, 4);
  Error const error = Error(ErrorKind::kExecFailed, "exit code: 1")
                          .with_span(inner)
                          .with_span(inner)
                          .with_span(outer, "outer");
  EXPECT_EQ(render(error),
            "inner.Dockerfile:2\n--------------------\n"
            "   1 |     FROM x\n   2 | >>> RUN false\n   3 |     \n--------------------\n"
            "Dockerfile:3\n--------------------\n"
            "   2 |     2\n   3 | >>> 3\n   4 | >>> 4\n   5 |     5\n--------------------\n"
            "error: outer: exit code: 1\n");
}

TEST(RenderError, TwoLinesAroundASingleOne) {  // F9.1.2
  Error const error =
      Error(ErrorKind::kInvalidInput, "bad").with_span(span("D", "1\n2\n3\n4\n5\n6\n7", 4, 4));
  EXPECT_THAT(
      render(error),
      HasSubstr("   2 |     2\n   3 |     3\n   4 | >>> 4\n   5 |     5\n   6 |     6\n---"));
}

TEST(RenderError, Cancellation) {  // F9.1.8
  EXPECT_EQ(render(boost::system::system_error(boost::asio::error::operation_aborted)),
            "error: context canceled\n");
  EXPECT_EQ(render(Error(ErrorKind::kCancelled, "")), "error: context canceled\n");
}

TEST(RenderError, OtherExceptions) {
  EXPECT_EQ(render(std::runtime_error("odd")), "error: odd\n");
  EXPECT_EQ(render(std::bad_alloc()), "error: out of memory\n");
  EXPECT_THAT(render(7), HasSubstr("bug in cobuild"));
}

TEST(RenderError, PasswordsInUrlsAreBlottedOut) {
  Error const error(ErrorKind::kDenied,
                    "get https://me:hunter2@host/p@x and http://a.b/c:d@e and git://tok@h/x");
  EXPECT_EQ(render(error),
            "error: get https://me:xxxxx@host/p@x and http://a.b/c:d@e and git://tok@h/x\n");
}

TEST(RenderError, DebugSaysWhere) {  // F9.1.1
  Error const error = Error(ErrorKind::kCorrupt, "digest mismatch").with_context("pull");
  EXPECT_THAT(render(error, true), HasSubstr("kind: corrupt\n  at "));
  EXPECT_THAT(render(error, true), HasSubstr("report_error_test.cpp:"));
  EXPECT_THAT(render(error), testing::Not(HasSubstr("report_error_test.cpp")));
}

}  // namespace
}  // namespace cobuild::cli
