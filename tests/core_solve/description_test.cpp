#include "core/solve/description.hpp"

#include <gtest/gtest.h>

#include "core/solve/explanation.hpp"

namespace cobuild::solve {
namespace {

StepDescription step() {
  StepDescription step;
  step.name = "[build 3/5] RUN make";
  step.origin = "abcd";
  step.op.kind = "exec";
  step.op.arguments = {"/bin/sh", "-c", "make"};
  step.op.variables = {{"PATH", "1234"}, {"TOKEN", "5678"}};
  step.op.mounts = {{"/cache", "type=cache"}};
  step.op.settings = {{"user", "app"}};
  step.contents.emplace(1, ContentNote{Digest::of("x"), store::LayerId{7}});
  step.contents.emplace(2, ContentNote{Digest::of("y"), std::nullopt});
  return step;
}

TEST(DescriptionTest, ComesBackFromItsText) {
  auto const read = parse_step_description(to_json(step()));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, step());
  EXPECT_TRUE(compare(read->op, step().op).empty()) << "equal ones do not differ";
}

TEST(DescriptionTest, OtherTextsAreNone) {
  for (const char* text : {"", "{", "[]", "{}", "{\"op\":1}", "{\"type\":\"exec\",\"args\":[]}"}) {
    EXPECT_FALSE(parse_step_description(text)) << text;
  }
}

TEST(DescriptionTest, LongTextsAreCutAndStillToldApart) {
  StepDescription long_one = step();
  long_one.op.arguments[2] = std::string(100'000, 'a') + "1";
  auto const read = parse_step_description(to_json(long_one));
  ASSERT_TRUE(read);
  EXPECT_LE(read->op.arguments[2].size(), kDescribedTextMax);
  EXPECT_TRUE(compare(read->op, long_one.op).empty());
  StepDescription other = long_one;
  other.op.arguments[2].back() = '2';
  EXPECT_EQ(compare(read->op, other.op).size(), 1U);
}

TEST(DescriptionTest, TellsTheWordsThatDiffer) {
  OpDescription now = step().op;
  now.arguments[2] = "make install";
  auto const differences = compare(step().op, now);
  ASSERT_EQ(differences.size(), 1U);
  EXPECT_EQ(differences[0].kind, DifferenceKind::kArguments);
  EXPECT_EQ(differences[0].before, "make");
  EXPECT_EQ(differences[0].now, "make install");
}

TEST(DescriptionTest, OfVariablesOnlyTheNameIsTold) {
  OpDescription now = step().op;
  now.variables = {{"PATH", "1234"}, {"TOKEN", "9999"}, {"NEW", "8888"}};
  OpDescription before = step().op;
  before.variables["OLD"] = "7777";
  auto const differences = compare(before, now);
  ASSERT_EQ(differences.size(), 3U);
  for (const Difference& difference : differences) {
    EXPECT_EQ(difference.kind, DifferenceKind::kVariable);
    EXPECT_EQ(difference.before + difference.now, "");
  }
  EXPECT_EQ(differences[0].name, "NEW");
  EXPECT_EQ(differences[0].change, Change::kAdded);
  EXPECT_EQ(differences[1].name, "TOKEN");
  EXPECT_EQ(differences[1].change, Change::kChanged);
  EXPECT_EQ(differences[2].name, "OLD");
  EXPECT_EQ(differences[2].change, Change::kRemoved);
}

TEST(DescriptionTest, TellsMountsAndSettings) {
  OpDescription now = step().op;
  now.mounts = {{"/cache", "type=cache,sharing=locked"}};
  now.settings = {};
  auto const differences = compare(step().op, now);
  ASSERT_EQ(differences.size(), 2U);
  EXPECT_EQ(differences[0].kind, DifferenceKind::kMount);
  EXPECT_EQ(differences[0].now, "type=cache,sharing=locked");
  EXPECT_EQ(differences[1].kind, DifferenceKind::kSetting);
  EXPECT_EQ(differences[1].change, Change::kRemoved);
  EXPECT_EQ(differences[1].before, "app");
}

TEST(DescriptionTest, TakesNamesOfStepsApart) {
  StepName name = split_step_name("[build  3/12] RUN make all");
  EXPECT_EQ(name.place, "[build 3");
  EXPECT_EQ(name.number, "3");
  EXPECT_EQ(name.text, "RUN make all");
  EXPECT_EQ(name.keyword, "RUN");
  name = split_step_name("[linux/amd64->arm64 2/3] COPY . .");
  EXPECT_EQ(name.place, "[linux/amd64->arm64 2");
  name = split_step_name("[2/3] COPY . .");
  EXPECT_EQ(name.number, "2");
  name = split_step_name("[linux/amd64 internal] load");
  EXPECT_EQ(name.place + name.number, "");
  EXPECT_EQ(name.text, "load");
  name = split_step_name("docker-image://alpine");
  EXPECT_EQ(name.place, "");
  EXPECT_EQ(name.keyword, "docker-image://alpine");
}

TEST(ExplanationTest, AReportComesBackFromItsText) {
  BuildReport report;
  report.time = Timestamp(std::chrono::seconds(1'700'000'000));
  report.what = "/src, target x";
  report.succeeded = true;
  Difference files;
  files.kind = DifferenceKind::kFiles;
  files.name = "[internal] load build context";
  files.files = {{FileChangeKind::kMode, "run.sh", 0644, 0755}, {FileChangeKind::kAdded, "b", 0, 0}};
  files.more_files = 12;
  Difference variable;
  variable.kind = DifferenceKind::kVariable;
  variable.change = Change::kRemoved;
  variable.name = "X";
  Explanation why;
  why.reason = Reason::kDiffers;
  why.record = NearestRecord{"[2/3] COPY . .", report.time, "r.io/cache"};
  why.differences = {files, variable};
  why.causes = {{"[1/3] RUN x", {variable}}};
  why.import = NearestImport{"r.io/cache", true, {files}};
  report.steps = {{"[2/3] COPY . .", Outcome::kFailed, why}, {"[1/3] FROM x", Outcome::kCached, {}}};
  std::string const text = to_json(report);
  auto const read = parse_build_report(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(to_json(*read), text);
  ASSERT_EQ(read->steps.size(), 2U);
  ASSERT_TRUE(read->steps[0].explanation);
  EXPECT_EQ(read->steps[0].explanation->differences, why.differences);
  EXPECT_EQ(read->steps[0].outcome, Outcome::kFailed);
  EXPECT_FALSE(parse_build_report("{}"));
  EXPECT_FALSE(parse_build_report("no"));
}

}  // namespace
}  // namespace cobuild::solve
