#include "cli/remedies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace cobuild::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(FullDisk, NamesTheStoreAndARemedy) {
  Error const error = explain_full_store(Error::from_errno(ENOSPC, "write a layer"), "/tmp/none/s");
  EXPECT_THAT(error.what(), StartsWith("write a layer: No space left on device; no room is left on "
                                       "the disk of the store /tmp/none/s ("));
  EXPECT_THAT(error.what(), HasSubstr(" free): free some"));
  EXPECT_THAT(error.what(), EndsWith("`cobuild prune`, or choose another place with --root"));
  EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
}

TEST(FullDisk, OfADestinationIsNotTheStores) {
  Error const at_output =
      explain_full_destination(Error::from_errno(EDQUOT, "write x.tar"), "/tmp/x.tar");
  EXPECT_THAT(at_output.what(), HasSubstr("; no room is left on the disk of /tmp/x.tar ("));
  Error const outer = explain_full_store(at_output.with_context("failed to solve"), "/tmp");
  EXPECT_STREQ(outer.what(), (std::string("failed to solve: ") + at_output.what()).c_str());
  EXPECT_THAT(explain_full_destination(Error::from_errno(ENOSPC, "write"), "-").what(),
              EndsWith("the disk of standard output"));
}

TEST(FullDisk, OtherFailuresStayAsTheyAre) {
  Error const error = Error::from_errno(EACCES, "open x");
  EXPECT_STREQ(explain_full_store(error, "/tmp").what(), error.what());
  EXPECT_STREQ(explain_full_destination(error, "/tmp").what(), error.what());
}

TEST(FullDisk, KeepsThePlaceInTheUsersFile) {
  SourceSpan span;
  span.filename = "Dockerfile";
  Error const error = explain_full_store(Error::from_errno(ENOSPC, "copy").with_span(span), "/tmp");
  EXPECT_TRUE(error.frames().front().span.has_value());
}

TEST(Denied, EachPlaceHasItsRemedy) {
  BuildOptions options;
  options.global.root = "/s";
  options.locals = {{"context", "/c"}, {"dockerfile", "/d"}};
  auto told = [&options](const std::string& text) {
    return std::string(explain_denied(Error(ErrorKind::kDenied, text), options).what());
  };
  std::string const in_context = "; it is in /c: let yourself read it (chmod), or leave it out";
  EXPECT_THAT(told("open /c/x: Permission denied"), HasSubstr(in_context));
  EXPECT_THAT(told("ref context: hash /x: open /x: Permission denied"), HasSubstr(in_context));
  EXPECT_THAT(told("open /d/Dockerfile: Permission denied"), HasSubstr("; it is in /d: "));
  EXPECT_THAT(told("mknod /d/dev: operation not permitted"), HasSubstr("; only root can make"));
  EXPECT_THAT(told("open /s/leases/1: Permission denied"), EndsWith("of your own with --root"));
  for (const char* other :
       {"open /o/x.tar: Permission denied", "make the store /s: Permission denied",
        "open /c/x: No such file or directory"}) {
    EXPECT_EQ(told(other), other);
  }
}

}  // namespace
}  // namespace cobuild::cli
