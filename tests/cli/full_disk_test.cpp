#include "cli/full_disk.hpp"

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

}  // namespace
}  // namespace cobuild::cli
