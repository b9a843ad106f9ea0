#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert.hpp"

namespace cobuild::dockerfile {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> summaries(const std::string& text, const ConvertOptions& options = test_options()) {
  std::vector<std::string> out;
  for (const Warning& warning : convert(text, options).warnings) out.push_back(warning.summary);
  return out;
}

TEST(LintTest, ErrorNamesTheRulesInTheOrderInWhichTheyWereBroken) {
  EXPECT_EQ(error_of("# check=error=true\nFROM scratch AS A\nWORKDIR x\nENV a b\nLABEL c d\n"),
            "lint violation found for rules: StageNameCasing, WorkdirRelativePath, LegacyKeyValueFormat");
}

TEST(LintTest, SuggestsVariablesInTheirCase) {  // F1.3.21
  EXPECT_THAT(summaries("FROM scratch\nENV foo=1\nLABEL x=$FOO"),
              ElementsAre("UndefinedVar: Usage of undefined variable '$FOO' (line 3)"));
}

TEST(LintTest, SuggestsNoVariablesAmongVeryMany) {
  std::string text = "FROM scratch\n";
  for (int i = 0; i < 400; ++i) text += "ENV VARIABLE" + std::to_string(i) + "=1\n";
  EXPECT_THAT(summaries(text + "LABEL x=$VARIABLEX"),
              ElementsAre("UndefinedVar: Usage of undefined variable '$VARIABLEX' (line 402)"));
}

TEST(LintTest, NamesComeBeforeGlobalArguments) {
  ConvertOptions options = test_options();
  options.build_args = {{"B", "scratch"}};
  EXPECT_THAT(summaries("ARG B\nFROM $B AS a\nFROM scratch AS a", options),
              ElementsAre(testing::StartsWith("DuplicateStageName:"),
                          testing::StartsWith("InvalidDefaultArgInFrom:")));
}

struct Row {
  const char* text;
  const char* summary;
};

class LintTest : public testing::TestWithParam<Row> {};

TEST_P(LintTest, Finds) { EXPECT_THAT(summaries(GetParam().text), ElementsAre(GetParam().summary)); }

INSTANTIATE_TEST_SUITE_P(All, LintTest, testing::Values(
    Row{"FROM scratch AS Foo", "StageNameCasing: Stage name 'Foo' should be lowercase (line 1)"},  // F1.12.1
    Row{"FROM scratch as foo", "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"},  // F1.12.2
    Row{"FROM scratch\nRUN x \\\n\n y", "NoEmptyContinuation: Empty continuation line (line 4)"},  // F1.12.3
    Row{"FROM scratch\nRUN x\nrun y",
        "ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase) (line 3)"},  // F1.12.4
    Row{"FROM scratch\nlabel a=b",
        "ConsistentInstructionCasing: Command 'label' should match the case of the command majority (uppercase) (line 2)"},
    Row{"FROM scratch AS a\nFROM scratch AS a",
        "DuplicateStageName: Duplicate stage name \"a\", stage names should be unique (line 2)"},  // F1.12.5
    Row{"FROM scratch AS context",
        "ReservedStageName: Stage name should not use the same name as reserved stage \"context\" (line 1)"},  // F1.12.6
    Row{"FROM scratch\nCMD x",
        "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS "
        "signals (line 2)"},  // F1.12.7
    Row{"FROM scratch\nMAINTAINER x",
        "MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)"},  // F1.12.8
    Row{"FROM scratch\nWORKDIR x",
        "WorkdirRelativePath: Relative workdir \"x\" can have unexpected results if the base image changes (line 2)"},  // F1.12.10
    Row{"FROM scratch\nENV foo=1\nLABEL x=$fooo",
        "UndefinedVar: Usage of undefined variable '$fooo' (did you mean $foo?) (line 3)"},  // F1.12.11, F1.3.20
    Row{"FROM scratch\nENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]",
        "MultipleInstructionsDisallowed: Multiple ENTRYPOINT instructions should not be used in the same stage "
        "because only the last one will be used (line 2)"},  // F1.12.12
    Row{"FROM scratch\nENV a b",
        "LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 2)"},  // F1.12.13
    Row{"FROM --platform=$TARGETPLATFORM scratch",
        "RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is "
        "the default behavior (line 1)"},  // F1.12.15
    Row{"FROM --platform=linux/amd64 scratch",
        "FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/amd64\" (line 1)"},  // F1.12.18
    Row{"FROM scratch\nENV MY_TOKEN=x",
        "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"MY_TOKEN\") (line 2)"},  // F1.12.16
    Row{"FROM scratch\nEXPOSE 80/TCP",
        "ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 2)"},  // F1.12.21
    Row{"FROM scratch\nEXPOSE 1:80",
        "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found "
        "'1:80' (line 2)"}));  // F1.12.22

TEST(Lint, SecretsAreKnownByTheirWords) {  // F1.12.16
  for (const char* key : {"apikey", "MY_AUTH", "credential_x", "CREDENTIALS", "Key", "a_password_b", "pword", "PASSWD",
                          "secret", "token_"}) {
    EXPECT_EQ(summaries(std::string("FROM scratch\nENV ") + key + "=x").size(), 1U) << key;
    EXPECT_EQ(summaries(std::string("FROM scratch\nARG ") + key + "=x").size(), 1U) << key;
  }
  for (const char* key : {"KEYS", "TOKENX", "keyboard", "PUBLIC_KEY", "SECRET_FILE", "auth_version"}) {
    EXPECT_THAT(summaries(std::string("FROM scratch\nENV ") + key + "=x"), IsEmpty()) << key;
  }
}

TEST(Lint, PlatformOfTheImage) {  // F1.12.14, F1.4.10
  auto options = test_options();
  options.target_platform = test_platform();
  ResolvedImages images{{image_key("docker.io/library/x:latest"), image("")}};
  auto& config = images.begin()->second.config;
  config.replace(config.find("amd64"), 5, "arm64");
  auto const warnings = convert("FROM x\nENV a=b", options, images).warnings;
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0].summary, "InvalidBaseImagePlatform: Base image x was pulled with platform \"linux/arm64\", "
                                 "expected \"linux/amd64\" for current build (line 1)");
  EXPECT_EQ(warnings[0].url, "");
}

TEST(Lint, CleanFilesHaveNone) {
  EXPECT_THAT(summaries("ARG V=scratch\nFROM $V AS a\n# x\nARG A\nENV b=$A TOKEN_FILE=x\nRUN \\\n# c\n x"), IsEmpty());
}

TEST(Lint, IgnoredSources) {  // F1.12.19
  auto options = test_options();
  options.ignore = parse_ignore_file("*.log\n", ".dockerignore");
  EXPECT_THAT(summaries("FROM scratch\nCOPY a.log b /", options),
              ElementsAre("CopyIgnoredFile: Attempting to Copy file \"a.log\" that is excluded by .dockerignore (line 2)"));
  EXPECT_THAT(summaries("FROM scratch\nCOPY . /", options), IsEmpty());
  options.ignore = parse_ignore_file("*.log\n!a.log\n", ".dockerignore");
  EXPECT_THAT(summaries("FROM scratch\nCOPY b.log /", options), IsEmpty());
}

TEST(Lint, ArgsInFrom) {  // F1.12.9, F1.12.17
  auto options = test_options();
  options.build_args["B"] = "scratch";
  EXPECT_THAT(summaries("ARG B\nFROM $B", options),
              ElementsAre("InvalidDefaultArgInFrom: Default value for ARG $B results in empty or invalid base image "
                          "name (line 2)"));
  EXPECT_THAT(summaries("ARG Base=scratch\nFROM ${Bas:-scratch}"),
              ElementsAre("UndefinedArgInFrom: FROM argument 'Bas' is not declared (did you mean Base?) (line 2)"));
}

TEST(Lint, IsConfiguredByTheFile) {  // F1.1.6, F1.12.24
  std::string const body = "FROM scratch as a\nWORKDIR x";
  EXPECT_EQ(summaries(body).size(), 2U);
  EXPECT_EQ(summaries("# check=skip=FromAsCasing\n" + body).size(), 1U);
  EXPECT_THAT(summaries("# check=skip=all\n" + body), IsEmpty());
  EXPECT_EQ(error_of("# check=error=true\n" + body),
            "lint violation found for rules: FromAsCasing, WorkdirRelativePath");
  EXPECT_EQ(error_of("# check=error=true;skip=all\n" + body), "");
  EXPECT_EQ(error_of("# check=foo\n" + body), "failed to parse check options: invalid check option \"foo\"");
  auto options = test_options();
  options.check = "skip=WorkdirRelativePath";
  EXPECT_EQ(summaries("# check=error=true\n" + body, options).size(), 1U);
}

TEST(Lint, IsConfiguredByInstructions) {  // F1.12.23
  EXPECT_EQ(summaries("FROM scratch\n\n# check=skip=StageNameCasing\nFROM scratch AS A\nWORKDIR x").size(), 1U);
  EXPECT_THAT(summaries("FROM scratch\n# check=skip=WorkdirRelativePath\nWORKDIR x"), IsEmpty());
}

TEST(Lint, ExperimentalRulesMustBeAskedFor) {  // F1.12.20
  std::string const body = "# something\nFROM scratch AS a";
  EXPECT_THAT(summaries("\n" + body), IsEmpty());
  EXPECT_EQ(summaries("# check=experimental=all\n" + body).size(), 1U);
}

TEST(Lint, WarningsSayWhereToReadOn) {  // F1.12.25
  auto const warnings = convert("FROM scratch AS A").warnings;
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0].rule, "StageNameCasing");
  EXPECT_EQ(warnings[0].url, "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/");
  EXPECT_EQ(warnings[0].description, "Stage names should be lowercase");
  EXPECT_THAT(warnings[0].ranges, ElementsAre(LineRange{1, 1}));
}

}  // namespace
}  // namespace cobuild::dockerfile
