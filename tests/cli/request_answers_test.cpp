#include "cli/request_answers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const RequestSource kSource{.filename = "Dockerfile", .text = "FROM scratch\nENV a b\n"};

dockerfile::Warning warning() {
  return {.rule = "SomeRule",
          .message = "Something <bad>",
          .summary = "SomeRule: Something <bad> (line 2)",
          .description = "Things should be good",
          .url = "https://example.com/some-rule/",
          .ranges = {{2, 2}}};
}

TEST(RequestAnswersTest, RequestsByName) {  // F1.11.27, F1.13.7, F10.107
  EXPECT_EQ(parse_request("frontend.lint"), Request::kLint);
  EXPECT_EQ(parse_request("frontend.subrequests.describe"), Request::kDescribe);
  try {
    (void)parse_request("frontend.outlin");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "unsupported request frontend.outlin (did you mean frontend.outline?)");
  }
}

TEST(RequestAnswersTest, Describe) {  // F1.13.1, F1.13.2
  Answer const answer = answer_describe();
  EXPECT_EQ(answer.at("result.txt"),
            "NAME                 VERSION DESCRIPTION\n"
            "outline              1.0.0   List all parameters current build target supports\n"
            "targets              1.0.0   List all targets current build supports\n"
            "subrequests.describe 1.0.0   List available subrequest types\n");
  EXPECT_EQ(answer.at("version"), "1.0.0");
  EXPECT_THAT(answer.at("result.json"),
              StartsWith("[\n  {\n    \"name\": \"frontend.outline\",\n    \"version\": \"1.0.0\",\n"));
}

TEST(RequestAnswersTest, Targets) {  // F1.13.4
  Answer const answer = answer_targets({{.name = "one", .description = "the first", .base = "alpine",
                                         .platform = "", .is_default = false, .lines = {2, 3}},
                                        {.name = "", .description = "", .base = "one",
                                         .platform = "linux/arm64", .is_default = true, .lines = {}}},
                                       kSource);
  EXPECT_EQ(answer.at("result.txt"), "TARGET    DESCRIPTION\none       the first\n(default) \n");
  EXPECT_EQ(answer.at("result.json"),
            R"({
  "targets": [
    {
      "name": "one",
      "description": "the first",
      "base": "alpine",
      "location": {
        "ranges": [
          {
            "start": {
              "line": 2
            },
            "end": {
              "line": 2
            }
          },
          {
            "start": {
              "line": 3
            },
            "end": {
              "line": 3
            }
          }
        ]
      }
    },
    {
      "default": true,
      "base": "one",
      "platform": "linux/arm64"
    }
  ],
  "sources": [
    "RlJPTSBzY3JhdGNoCkVOViBhIGIK"
  ]
})");
}

TEST(RequestAnswersTest, Outline) {  // F1.13.3
  dockerfile::Outline outline{.name = "t", .description = "does it", .args = {}, .secrets = {}, .ssh = {}};
  outline.args = {{.name = "A", .description = "the a", .value = "1", .lines = {5, 5}},
                  {.name = "LONGER", .description = "", .value = "", .lines = {6, 6}}};
  outline.secrets = {{.name = "s1", .required = false, .lines = {7, 7}},
                     {.name = "s2", .required = true, .lines = {8, 8}}};
  outline.ssh = {{.name = "default", .required = true, .lines = {7, 7}}};
  EXPECT_EQ(answer_outline(outline, kSource).at("result.txt"),
            "TARGET:      t\n"
            "DESCRIPTION: does it\n"
            "\n"
            "BUILD ARG   VALUE   DESCRIPTION\n"
            "A           1       the a\n"
            "LONGER              \n"
            "\n"
            "SECRET   REQUIRED\n"
            "s1       \n"
            "s2       true\n"
            "\n"
            "SSH       REQUIRED\n"
            "default   true\n"
            "\n");
  std::string const text = answer_outline(outline, kSource).at("result.json");
  EXPECT_THAT(text, StartsWith("{\n  \"name\": \"t\",\n  \"description\": \"does it\",\n  \"args\": [\n    {\n      "
                               "\"name\": \"A\",\n      \"description\": \"the a\",\n      \"value\": \"1\",\n      "
                               "\"location\": {"));
  EXPECT_THAT(text, HasSubstr("    {\n      \"name\": \"s2\",\n      \"required\": true,\n      \"location\": {"));
  EXPECT_THAT(text, HasSubstr("\"ssh\": ["));
  EXPECT_THAT(text, HasSubstr("\"sources\": ["));
  EXPECT_EQ(answer_outline({}, kSource).at("result.txt"), "");
}

TEST(RequestAnswersTest, Lint) {  // F1.13.5
  dockerfile::LintReport report;
  report.warnings = {warning()};
  Answer const answer = answer_lint(report, kSource);
  EXPECT_EQ(answer.at("result.txt"),
            "\nWARNING: SomeRule - https://example.com/some-rule/\nSomething <bad>\nDockerfile:2\n"
            "--------------------\n   1 |     FROM scratch\n   2 | >>> ENV a b\n   3 |     \n"
            "--------------------\n");
  EXPECT_EQ(answer.at("result.statuscode"), "1");
  EXPECT_THAT(answer.at("result.json"), HasSubstr(R"("detail": "Something \u003cbad\u003e")"));
}

TEST(RequestAnswersTest, LintWithoutFindings) {
  Answer const answer = answer_lint({}, kSource);
  EXPECT_EQ(answer.at("result.statuscode"), "0");
  EXPECT_THAT(answer.at("result.json"), StartsWith("{\n  \"warnings\": null,\n"));
}

TEST(RequestAnswersTest, LintWithAnError) {
  dockerfile::LintReport report;
  report.error = Error(ErrorKind::kInvalidInput, "no")
                     .with_span({.filename = "Dockerfile", .text = nullptr, .first_line = 1, .last_line = 1});
  Answer const answer = answer_lint(report, kSource);
  EXPECT_EQ(answer.at("result.statuscode"), "1");
  EXPECT_THAT(answer.at("result.json"),
              HasSubstr("\"buildError\": {\n    \"message\": \"no\",\n    \"location\": {\n      \"ranges\""));
}

TEST(RequestAnswersTest, Calls) {
  EXPECT_EQ(parse_call("build"), std::nullopt);
  EXPECT_EQ(parse_call(""), std::nullopt);
  EXPECT_EQ(parse_call("check"), (CallOptions{.name = "lint", .json = false, .ignore_status = false}));
  EXPECT_EQ(parse_call("outline,format=json"),
            (CallOptions{.name = "outline", .json = true, .ignore_status = false}));
  EXPECT_EQ(parse_call("lint,ignorestatus=true"),
            (CallOptions{.name = "lint", .json = false, .ignore_status = true}));
  for (const char* text : {"targetz", "check,format=xml", "check,outline", "check,x=y", "check,ignorestatus=2"}) {
    EXPECT_THROW((void)parse_call(text), Error) << text;
  }
}

TEST(RequestAnswersTest, CallsPrintWhatDockerPrints) {
  Answer const answer{{"result.json", "{}"}, {"result.txt", "text\n"}};
  CallOptions const lint{.name = "lint", .json = false, .ignore_status = false};
  EXPECT_EQ(render_call(lint, answer, 0, false), "Check complete, no warnings found.\n");
  EXPECT_EQ(render_call(lint, answer, 0, true), "");
  EXPECT_EQ(render_call(lint, answer, 1, false), "Check complete, 1 warning has been found!\ntext\n");
  EXPECT_EQ(render_call(lint, answer, 2, true), "Check complete, 2 warnings have been found!\ntext\n\n");
  EXPECT_EQ(render_call({.name = "lint", .json = true, .ignore_status = false}, answer, 2, true), "{}\n");
  EXPECT_EQ(render_call({.name = "outline", .json = false, .ignore_status = false}, answer, 0, false), "text\n");
}

TEST(RequestAnswersTest, AnswersWithoutTextArePrintedByTheirKeys) {  // F1.13.1
  EXPECT_EQ(render_answer({{"result.json", "{}"}, {"result.txt", "text"}, {"version", "1"}}), "text");
  EXPECT_EQ(render_answer({{"result.json", "{}"}, {"version", "1"}}), "result.json\n{}\n");
}

}  // namespace
}  // namespace cobuild::cli
