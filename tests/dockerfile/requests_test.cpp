#include "dockerfile/requests.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert.hpp"

namespace cobuild::dockerfile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> names_of(const std::vector<OutlineArg>& args) {
  std::vector<std::string> names;
  for (const OutlineArg& arg : args) names.push_back(arg.name + "=" + arg.value);
  return names;
}

Outline outline_of(const std::string& text, const ConvertOptions& options = test_options()) {
  return make_outline(parse(text, "Dockerfile"), options, {});
}

std::vector<std::string> rules_of(const LintReport& report) {
  std::vector<std::string> rules;
  for (const Warning& warning : report.warnings) rules.push_back(warning.rule);
  return rules;
}

LintReport lint_of(const std::string& text, const ConvertOptions& options = test_options()) {
  return lint(parse(text, "Dockerfile"), options, {}, std::nullopt);
}

TEST(RequestsTest, TargetsAreTheStagesInOrder) {  // F1.13.4, F1.13.8
  auto const targets = list_targets(parse(
      "# base what others start from\nFROM alpine AS base\n\nFROM --platform=$P base\n", "Dockerfile"));
  ASSERT_EQ(targets.size(), 2U);
  EXPECT_EQ(targets[0].name, "base");
  EXPECT_EQ(targets[0].description, "what others start from");
  EXPECT_EQ(targets[0].base, "alpine");
  EXPECT_FALSE(targets[0].is_default);
  EXPECT_EQ(targets[0].lines, (LineRange{2, 2}));
  EXPECT_EQ(targets[1].name, "");
  EXPECT_EQ(targets[1].platform, "$P");
  EXPECT_TRUE(targets[1].is_default);
}

TEST(RequestsTest, TargetsOfABadFileAreItsError) {
  EXPECT_THROW((void)list_targets(parse("FRM x", "Dockerfile")), Error);
}

TEST(RequestsTest, OutlineHasTheArgumentsOfTheTargetAndOfWhatItNeeds) {  // F1.13.3, F1.13.8
  Outline const outline = outline_of(
      "FROM scratch AS one\n# A the first\nARG A=1\nFROM scratch AS unused\nARG X=1\n"
      "FROM one AS last\nARG B=$A\nFROM last\nARG C\n");
  EXPECT_THAT(names_of(outline.args), ElementsAre("A=1", "B=1", "C="));
  EXPECT_EQ(outline.args[0].description, "the first");
  EXPECT_EQ(outline.args[0].lines, (LineRange{3, 3}));
}

TEST(RequestsTest, OutlineNamesTheTarget) {
  ConvertOptions options = test_options();
  options.target = "one";
  Outline const outline = outline_of("# one does it\nFROM scratch AS one\nFROM scratch\n", options);
  EXPECT_EQ(outline.name, "one");
  EXPECT_EQ(outline.description, "does it");
}

TEST(RequestsTest, OutlineHasGlobalArgumentsThatAreUsed) {
  EXPECT_THAT(names_of(outline_of("ARG BASE=scratch\nARG NAME=$BASE\nARG OTHER=1\nFROM $NAME\n").args),
              ElementsAre("BASE=scratch", "NAME=scratch"));
  EXPECT_THAT(names_of(outline_of("ARG V=1\nFROM scratch\nARG V\n").args), ElementsAre("V=1"));
  EXPECT_THAT(names_of(outline_of("ARG V=1\nFROM scratch\nARG V=2\n").args), ElementsAre("V=2"));
}

TEST(RequestsTest, OutlineSaysWhatBuildArgumentsComeTo) {
  ConvertOptions options = test_options();
  options.build_args = {{"A", "given"}};
  EXPECT_THAT(names_of(outline_of("FROM scratch\nARG A=1\nARG B=$A\n", options).args),
              ElementsAre("A=given", "B=given"));
}

TEST(RequestsTest, OutlineHasTheSecretsAndAgentsThatStepsMount) {
  Outline const outline = outline_of(
      "FROM scratch AS one\nRUN --mount=type=secret,id=a,required=true --mount=type=ssh x\n"
      "FROM one\nRUN --mount=type=secret,target=/run/b --mount=type=secret,id=a y\n");
  ASSERT_EQ(outline.secrets.size(), 2U);
  EXPECT_EQ(outline.secrets[0].name, "b");
  EXPECT_FALSE(outline.secrets[0].required);
  EXPECT_EQ(outline.secrets[1].name, "a");
  EXPECT_EQ(outline.secrets[1].lines, (LineRange{4, 4}));
  ASSERT_EQ(outline.ssh.size(), 1U);
  EXPECT_EQ(outline.ssh[0].name, "default");
}

TEST(RequestsTest, LintLooksAtAllStagesUnlessThereIsATarget) {  // F1.13.5, F1.4.16
  std::string const text = "FROM scratch AS one\nMAINTAINER me\nENV a b\nFROM scratch AS two\nWORKDIR x\n";
  EXPECT_THAT(rules_of(lint_of(text)),
              ElementsAre("MaintainerDeprecated", "LegacyKeyValueFormat", "WorkdirRelativePath"));
  ConvertOptions options = test_options();
  options.target = "two";
  EXPECT_THAT(rules_of(lint_of(text, options)), ElementsAre("MaintainerDeprecated", "WorkdirRelativePath"));
}

TEST(RequestsTest, LintKeepsWhatItFoundBeforeAnError) {
  LintReport const report = lint_of("FROM scratch AS One\nENV a b\nCOPY --chmod=9 x /\nENV c d\n");
  EXPECT_THAT(rules_of(report), ElementsAre("StageNameCasing", "LegacyKeyValueFormat"));
  ASSERT_TRUE(report.error.has_value());
  EXPECT_THAT(report.error->what(), HasSubstr("invalid chmod parameter"));
}

TEST(RequestsTest, LintOfAFileThatCannotBeParsedHasTheFindingsAboveTheError) {
  LintReport const report = lint_of("FROM scratch AS One\nRUNN x\nMAINTAINER me\n");
  EXPECT_THAT(rules_of(report), ElementsAre("StageNameCasing"));
  ASSERT_TRUE(report.error.has_value());
  EXPECT_THAT(report.error->what(), HasSubstr("unknown instruction: RUNN"));
}

TEST(RequestsTest, LintReportsAnImageThatCouldNotBeResolved) {
  Error const unresolved(ErrorKind::kNotFound, "no such image");
  LintReport const report =
      lint(parse("FROM missing\nENV a b\n", "Dockerfile"), test_options(), {}, unresolved);
  ASSERT_TRUE(report.error.has_value());
  EXPECT_STREQ(report.error->what(), "no such image");
}

TEST(RequestsTest, LintFailsWhenWarningsAreErrors) {
  LintReport const report = lint_of("# check=error=true\nFROM scratch\nENV a b\nMAINTAINER me\n");
  ASSERT_TRUE(report.error.has_value());
  EXPECT_STREQ(report.error->what(),
               "lint violation found for rules: MaintainerDeprecated, LegacyKeyValueFormat");
  EXPECT_THAT(lint_of("FROM scratch\n").warnings, IsEmpty());
}

}  // namespace
}  // namespace cobuild::dockerfile
