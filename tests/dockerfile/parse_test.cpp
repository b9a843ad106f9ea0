#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "convert.hpp"
#include "dockerfile/duration.hpp"
#include "dockerfile/statement.hpp"

namespace cobuild::dockerfile {
namespace {

using testing::ElementsAre;

/// Keyword and arguments of each statement, for short comparisons.
std::vector<std::string> read(std::string_view text) {
  std::vector<std::string> out;
  for (const Statement& statement : read_statements(text).statements) {
    std::string line = statement.keyword;
    for (const std::string& flag : statement.flags) line += " {" + flag + "}";
    for (const std::string& arg : statement.args) line += " [" + arg + "]";
    out.push_back(line);
  }
  return out;
}

TEST(Statements, ContinuationsAndComments) {  // F1.1.10, F1.1.11
  EXPECT_THAT(read("FROM a\n  RUN x \\\n  # c\n    y \\  \n\n z\nCMD b"),
              ElementsAre("FROM [a]", "RUN [x     y  z]", "CMD [b]"));
  EXPECT_THAT(read("RUN a\\\\\nCMD b"), ElementsAre("RUN [a\\\\]", "CMD [b]"));
  EXPECT_THAT(read("# escape=`\nRUN a `\n b\\\nCMD c"), ElementsAre("RUN [a  b\\]", "CMD [c]"));
  EXPECT_THAT(read("\xEF\xBB\xBF" "FROM a\r\nRUN b\\\r\nc\r\n"), ElementsAre("FROM [a]", "RUN [bc]"));
}

TEST(Statements, LinesAreKnown) {  // F1.1.24
  auto const list = read_statements("\n# c\nFROM a\nRUN x \\\n\n y\nCOPY <<E /\nb\nE\n");
  ASSERT_EQ(list.statements.size(), 3U);
  EXPECT_EQ(list.statements[0].lines, (LineRange{3, 3}));
  EXPECT_EQ(list.statements[1].lines, (LineRange{4, 6}));
  EXPECT_EQ(list.statements[2].lines, (LineRange{7, 9}));
  EXPECT_THAT(list.empty_continuations, ElementsAre(6));
  EXPECT_THAT(list.statements[0].comments, ElementsAre("c"));
}

TEST(Statements, FormsOfArguments) {  // F1.1.22
  EXPECT_THAT(read("RUN [\"a\", \"b\"]"), ElementsAre("RUN [a] [b]"));
  EXPECT_THAT(read("CMD [\"a\", 'b']"), ElementsAre("CMD [[\"a\", 'b']]"));
  EXPECT_THAT(read("COPY a  b\t/c"), ElementsAre("COPY [a] [b] [/c]"));
  EXPECT_THAT(read("ENV a=b c=\"d e\" f=g\\ h"), ElementsAre("ENV [a] [b] [=] [c] [\"d e\"] [=] [f] [g\\ h] [=]"));
  EXPECT_THAT(read("ENV a b  c"), ElementsAre("ENV [a] [b  c] []"));
  EXPECT_THAT(read("HEALTHCHECK --interval=5s CMD x y"), ElementsAre("HEALTHCHECK {--interval=5s} [CMD] [x y]"));
  EXPECT_THAT(read("COPY --a=\"b c\" --d=\\e -- f g"), ElementsAre("COPY {--a=b c} {--d=e} [f] [g]"));
  EXPECT_THAT(read("RUN --mount=a  --x y"), ElementsAre("RUN {--mount=a} {--x} [y]"));
}

TEST(Statements, Heredocs) {  // F1.2.3, F1.2.4
  auto const list = read_statements(
      "RUN <<EOF\n a\nEOF\nCOPY <<-\"A\" 3<<B /x/\n\tone\n\tA\n\ttwo\nB\nENV x=<<C\nONBUILD RUN <<D\nd\nD\n");
  ASSERT_EQ(list.statements.size(), 4U);
  ASSERT_EQ(list.statements[0].heredocs.size(), 1U);
  EXPECT_EQ(list.statements[0].heredocs[0].content, " a\n");
  const auto& copies = list.statements[1].heredocs;
  ASSERT_EQ(copies.size(), 2U);
  EXPECT_EQ(copies[0].name, "A");
  EXPECT_TRUE(copies[0].chomp);
  EXPECT_FALSE(copies[0].expand);
  EXPECT_EQ(copies[1].content, "\ttwo\n");
  EXPECT_TRUE(copies[1].expand);
  EXPECT_TRUE(list.statements[2].heredocs.empty());
  EXPECT_EQ(list.statements[3].heredocs.size(), 1U);
  auto const partly = read_statements("COPY <<E\"O\"F <<'A'B /x/\n$v\nEOF\n$v\nAB\n").statements.at(0).heredocs;
  ASSERT_EQ(partly.size(), 2U);
  for (const Heredoc& heredoc : partly) EXPECT_FALSE(heredoc.expand) << heredoc.name;
}

struct Row {
  const char* text;
  const char* message;
  int line;
};

class ParseErrorTest : public testing::TestWithParam<Row> {};

TEST_P(ParseErrorTest, Says) {
  Parsed const parsed = parse(GetParam().text, "Dockerfile");
  ASSERT_EQ(parsed.errors.size(), 1U) << GetParam().text;
  EXPECT_STREQ(parsed.errors[0].what(), GetParam().message);
  EXPECT_EQ(line_of(parsed.errors[0]), GetParam().line);
}

INSTANTIATE_TEST_SUITE_P(Lines, ParseErrorTest, testing::Values(
    Row{"", "the Dockerfile cannot be empty", 0}, Row{"# c\n\n", "file with no instructions", 2},
    Row{"ARG a", "dockerfile contains no stages to build", 0},
    Row{"FROM a\n# x\nRUN <<E\nx", "unterminated heredoc", 3},
    Row{"# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\", 1},
    Row{"# escape=\\\n# Escape=\\\nFROM a", "only one escape parser directive can be used", 2},
    Row{"FROM a\nENV a", "ENV must have two arguments", 2},
    Row{"FROM a\nENV a=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value", 2},
    Row{"FROM a\nCMD [\"a\", 1]", "when using JSON array syntax, arrays must be comprised of strings only", 2},
    Row{"RUN a", "no build stage in current context", 1}));

#define ON_LINE_2 "dockerfile parse error on line 2: "

// F1.1.25, F9.1.6, F9.1.11
INSTANTIATE_TEST_SUITE_P(Instructions, ParseErrorTest, testing::Values(
    Row{"FROM a\nRUNN x", ON_LINE_2 "unknown instruction: RUNN (did you mean RUN?)", 2},
    Row{"FROM a\nrunn x", ON_LINE_2 "unknown instruction: runn (did you mean run?)", 2},
    Row{"FROM a\nFOOBAR x", ON_LINE_2 "unknown instruction: FOOBAR", 2},
    Row{"FROM a\nFROM a b", ON_LINE_2 "FROM requires either one or three arguments", 2},
    Row{"FROM a\nFROM a AS 1x",
        ON_LINE_2 "invalid name for build stage: \"1x\", name can't start with a number or contain symbols", 2},
    Row{"FROM a\nCOPY x", ON_LINE_2 "COPY requires at least two arguments, but only one was provided. "
                                    "Destination could not be determined", 2},
    Row{"FROM a\nCOPY --form=b x y", ON_LINE_2 "unknown flag: --form (did you mean from?)", 2},
    Row{"FROM a\nCOPY --link=maybe x y", ON_LINE_2 "expecting boolean value for flag --link, not: maybe", 2},
    Row{"FROM a\nCOPY --link= x y", ON_LINE_2 "missing a value on flag: --link", 2},
    Row{"FROM a\nCOPY --from x y", ON_LINE_2 "missing a value on flag: --from", 2},
    Row{"FROM a\nCOPY --from=a --from=b x y", ON_LINE_2 "duplicate flag specified: --from", 2},
    Row{"FROM a\nCOPY a <<x\nx", ON_LINE_2 "COPY cannot accept a heredoc as a destination", 2},
    Row{"FROM a\nARG =x", ON_LINE_2 "ARG names can not be blank", 2},
    Row{"FROM a\nSHELL sh -c", ON_LINE_2 "SHELL requires the arguments to be in JSON form", 2},
    Row{"FROM a\nSHELL []", ON_LINE_2 "SHELL requires at least one argument", 2},
    Row{"FROM a\nWORKDIR", ON_LINE_2 "WORKDIR requires exactly one argument", 2},
    Row{"FROM a\nONBUILD ONBUILD RUN x", ON_LINE_2 "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", 2},
    Row{"FROM a\nONBUILD FROM x", ON_LINE_2 "FROM isn't allowed as an ONBUILD trigger", 2},
    Row{"FROM a\nVOLUME [\"\"]", ON_LINE_2 "VOLUME specified can not be an empty string", 2},
    Row{"FROM a\nRUN --network=x y", ON_LINE_2 "invalid network mode \"x\"", 2},
    Row{"FROM a\nRUN --security=x y", ON_LINE_2 "security \"x\" is not valid", 2},
    Row{"FROM a\nHEALTHCHECK NONE x", ON_LINE_2 "HEALTHCHECK NONE takes no arguments", 2},
    Row{"FROM a\nHEALTHCHECK FOO x", ON_LINE_2 "Unknown type \"FOO\" in HEALTHCHECK (try CMD)", 2},
    Row{"FROM a\nHEALTHCHECK CMD", ON_LINE_2 "Missing command after HEALTHCHECK CMD", 2},
    Row{"FROM a\nHEALTHCHECK --interval=1us CMD x", ON_LINE_2 "Interval \"interval\" cannot be less than 1ms", 2},
    Row{"FROM a\nHEALTHCHECK --retries=-1 CMD x", ON_LINE_2 "--retries cannot be negative (-1)", 2}));

TEST(Parse, FindsAllErrorsInTheOrderOfLines) {
  Parsed const parsed = parse("FROM a\nRUNN x\nENV y\nCOPY z\n", "Dockerfile");
  std::vector<int> lines;
  for (const Error& error : parsed.errors) lines.push_back(line_of(error));
  EXPECT_THAT(lines, ElementsAre(2, 3, 4));
}

TEST(Parse, OnlyFilesMayHaveBytesThatAreNoUtf8) {
  EXPECT_TRUE(parse("# \xFF\nFROM a\nCOPY <<'E' /x\n\xFF\nE\n", "Dockerfile").errors.empty());
  for (const char* instruction : {"RUN \xFF", "RUN <<E\n\xFF\nE", "COPY <<E /x\n\xFF\nE"}) {
    Parsed const parsed = parse(std::string("FROM a\n") + instruction, "Dockerfile");
    ASSERT_EQ(parsed.errors.size(), 1U) << instruction;
    EXPECT_THAT(parsed.errors[0].what(), testing::HasSubstr("line 2: the instruction is not valid UTF-8"));
  }
}

TEST(Parse, AProgramIsOneError) {
  Parsed const parsed = parse("\x7F" "ELF\nNOPE\n\xFF\xFE\n\xFF\nNO\n", "Dockerfile");
  ASSERT_EQ(parsed.errors.size(), 1U);
  EXPECT_THAT(parsed.errors[0].what(), testing::HasSubstr("line 3: the instruction is not valid UTF-8"));
}

TEST(Parse, TextsOfTheConfigMayHaveBytesThatAreNoUtf8) {
  Parsed const parsed =
      parse("FROM a\nLABEL l=\xE9\nMAINTAINER \xE9 x\nCMD [\"\xE9\"]\nENV A=\xE9", "Dockerfile");
  EXPECT_TRUE(parsed.errors.empty());
}

TEST(Parse, LongLinesAreRefused) {
  std::string const prefix = "FROM a\nRUN ";
  EXPECT_TRUE(parse(prefix + std::string(65531, 'x'), "Dockerfile").errors.empty());
  Parsed const parsed = parse(prefix + std::string(65532, 'x') + "\nRUN y", "Dockerfile");
  ASSERT_EQ(parsed.errors.size(), 1U);
  EXPECT_STREQ(parsed.errors[0].what(), "dockerfile line greater than max allowed size of 65535");
}

TEST(Parse, SyntaxIsFoundInAnyCommentStyle) {  // F1.1.5
  EXPECT_EQ(detect_syntax("# syntax=docker/dockerfile:1 x\nFROM a"), "docker/dockerfile:1");
  EXPECT_EQ(detect_syntax("#!/usr/bin/x\n// syntax = a/b\n"), "a/b");
  EXPECT_EQ(detect_syntax("{\"syntax\": \"a/c\"}"), "a/c");
  EXPECT_EQ(detect_syntax("# comment\n# syntax=x"), std::nullopt);
  EXPECT_EQ(detect_syntax("#!"), std::nullopt);
}

TEST(Duration, IsGos) {
  using namespace std::chrono_literals;
  EXPECT_EQ(parse_duration("1h2m3.5s"), 1h + 2min + 3500ms);
  EXPECT_EQ(parse_duration("-1.5h"), -90min);
  for (const char* text : {"0s", "5s", "1m30s", "1h0m0s", "1.5s", "100ms", "1.001ms", "2µs", "7ns", "-3s"}) {
    EXPECT_EQ(format_duration(parse_duration(text)), text);
  }
  for (const char* text : {"", "5", "x", "1x", ".s", "1h-2m", "99999999999h"}) {
    EXPECT_THROW((void)parse_duration(text), Error) << text;
  }
}

}  // namespace
}  // namespace cobuild::dockerfile
