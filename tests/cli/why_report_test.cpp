#include "cli/why_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

using namespace solve;
using testing::HasSubstr;
using testing::Not;

Difference difference(DifferenceKind kind, std::string name, std::string before = "",
                      std::string now = "", Change change = Change::kChanged) {
  Difference made;
  made.kind = kind;
  made.name = std::move(name);
  made.before = std::move(before);
  made.now = std::move(now);
  made.change = change;
  return made;
}

BuildReport report() {
  Explanation why;
  why.reason = Reason::kDiffers;
  why.record =
      NearestRecord{"[build 2/3] COPY . .", Timestamp(std::chrono::seconds(1'700'000'000)), ""};
  Difference files = difference(DifferenceKind::kFiles, "[internal] load build context");
  files.files = {{FileChangeKind::kContent, "src/a.c", 0, 0},
                 {FileChangeKind::kAdded, "src/b.c", 0, 0},
                 {FileChangeKind::kRemoved, "src/c.c", 0, 0},
                 {FileChangeKind::kMode, "run.sh", 0644, 0755}};
  files.more_files = 12;
  why.differences = {files};
  Explanation after;
  after.reason = Reason::kDiffers;
  after.differences = {difference(DifferenceKind::kInput, "[build 2/3] COPY . .")};
  after.causes = {{"[build 2/3] COPY . .", {files}}};
  BuildReport report;
  report.time = Timestamp(std::chrono::seconds(1'700'000'100));
  report.what = "/src";
  report.succeeded = true;
  report.steps = {{"[build 1/3] FROM base", Outcome::kCached, {}},
                  {"[build 2/3] COPY . .", Outcome::kRan, why},
                  {"[build 3/3] RUN make", Outcome::kRan, after}};
  return report;
}

TEST(WhyReport, TellsOfEachStepThatRan) {
  EXPECT_EQ(render_report(report(), false),
            "build of /src at 2023-11-14T22:15:00Z: 2 of 3 steps ran\n"
            "[build 2/3] COPY . . ran because\n"
            "  it reads other files of [internal] load build context:\n"
            "    changed  src/a.c\n"
            "    added    src/b.c\n"
            "    removed  src/c.c\n"
            "    mode     run.sh  0755, was 0644\n"
            "    and 12 more\n"
            "  (compared with [build 2/3] COPY . . of 2023-11-14T22:13:20Z)\n"
            "[build 3/3] RUN make ran because\n"
            "  before it, [build 2/3] COPY . . differs:\n"
            "    it reads other files of [internal] load build context:\n"
            "      changed  src/a.c\n"
            "      added    src/b.c\n"
            "      removed  src/c.c\n"
            "      mode     run.sh  0755, was 0644\n"
            "      and 12 more\n");
}

TEST(WhyReport, EachKindOfDifferenceHasItsWords) {
  Explanation why;
  why.reason = Reason::kDiffers;
  why.differences = {difference(DifferenceKind::kArguments, "", "make", "make all"),
                     difference(DifferenceKind::kVariable, "TOKEN"),
                     difference(DifferenceKind::kVariable, "A", "", "", Change::kAdded),
                     difference(DifferenceKind::kMount, "/c", "", "type=cache", Change::kAdded),
                     difference(DifferenceKind::kSetting, "user", "root", "app"),
                     difference(DifferenceKind::kForcedInput, "[1/2] RUN x"),
                     difference(DifferenceKind::kOther, "")};
  why.import = NearestImport{"r.io/cache", false, {difference(DifferenceKind::kFiles, "context")}};
  EXPECT_THAT(
      explain(why),
      testing::ElementsAre(
          "what it does is another:", "  was  make", "  now  make all",
          "the variable TOKEN has another value", "the variable A is new",
          "the mount /c is new: type=cache", "the user is another: app, was root",
          "it comes after [1/2] RUN x, for which the cache was not to be used",
          "it differs in what is not told here",
          "the imported cache r.io/cache has this step, but:", "  with other files of context"));
  why = {};
  EXPECT_THAT(explain(why), testing::ElementsAre("nothing like it was built in this store before"));
  why.reason = Reason::kNoCache;
  EXPECT_THAT(explain(why), testing::ElementsAre("the cache was not to be used for it"));
}

TEST(WhyReport, LongCommandsAreShownFromWhereTheyDiffer) {
  Explanation why;
  why.reason = Reason::kDiffers;
  std::string const same(5000, 'x');
  why.differences = {
      difference(DifferenceKind::kArguments, "", same + "old", same + "new\x1b[31m")};
  auto const lines = explain(why);
  EXPECT_EQ(lines.at(1), "  was  ..." + std::string(30, 'x') + "old");
  EXPECT_EQ(lines.at(2), "  now  ..." + std::string(30, 'x') + "new[31m")
      << "no escape gets through";
}

TEST(WhyReport, StepsAreNamedByNumberOrByAPartOfTheName) {
  auto const chosen = [](std::string_view step) {
    BuildReport all = report();
    select_steps(all, step);
    std::string names;
    for (const StepOutcome& one : all.steps) names += one.name + ";";
    return names;
  };
  EXPECT_EQ(chosen("3"), "[build 3/3] RUN make;");
  EXPECT_EQ(chosen("#2"), "[build 2/3] COPY . .;");
  EXPECT_EQ(chosen("[build 3/3]"), "[build 3/3] RUN make;");
  EXPECT_EQ(chosen("run MAKE"), "[build 3/3] RUN make;");
  EXPECT_EQ(chosen("build"), "[build 1/3] FROM base;[build 2/3] COPY . .;[build 3/3] RUN make;");
  for (const char* step : {"9", "test", "0"}) {
    try {
      (void)chosen(step);
      FAIL() << step;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kNotFound);
      EXPECT_THAT(error.what(), HasSubstr(step));
      EXPECT_THAT(error.what(), HasSubstr("[build 2/3] COPY . ."));
    }
  }
}

TEST(WhyReport, CachedStepsAreToldWhenAskedFor) {
  BuildReport one = report();
  select_steps(one, "1");
  EXPECT_EQ(render_report(one, true), "[build 1/3] FROM base was in the cache\n");
  one.steps.resize(1);
  EXPECT_THAT(render_report(one, false), HasSubstr("no step ran, 1 were in the cache"));
  one.steps[0].outcome = Outcome::kFailed;
  one.succeeded = false;
  EXPECT_THAT(render_report(one, false), HasSubstr(", failed: 1 of 1 steps ran"));
}

}  // namespace
}  // namespace cobuild::cli
