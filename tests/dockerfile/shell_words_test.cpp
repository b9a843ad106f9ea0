#include "dockerfile/shell_words.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "dockerfile/shell_pattern.hpp"

namespace cobuild::dockerfile {
namespace {

using testing::ElementsAre;
using testing::EndsWith;

EnvList sample_env() {
  EnvList env;
  env.set("a", "one");
  env.set("empty", "");
  env.set("path", "/usr/local/lib/x.tar.gz");
  env.set("w", "x y");
  env.set("größe", "groß");
  env.set("dots", "a.b.c");
  return env;
}

struct Row {
  const char* word;
  const char* expected;
};

class ExpandTest : public testing::TestWithParam<Row> {};

TEST_P(ExpandTest, Gives) {
  EXPECT_EQ(expand_word(GetParam().word, sample_env(), {}).text, GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Plain, ExpandTest, testing::Values(
    Row{"", ""}, Row{"x", "x"}, Row{"$a", "one"}, Row{"${a}", "one"}, Row{"$a$a", "oneone"},
    Row{"$unset.", "."}, Row{"$", "$"}, Row{"$.", "$."}, Row{"a$", "a$"}, Row{"$größe", "groß"},
    Row{"$1x", "x"}, Row{"$12", ""}, Row{"$@x", "x"}, Row{"$$", ""}, Row{"\\$a", "$a"}, Row{"\\\\", "\\"},
    Row{"x\\", "x"}, Row{"'$a'", "$a"}, Row{"\"$a\"", "one"}, Row{"\"\\$a\"", "$a"},
    Row{"\"\\x\"", "\\x"}, Row{"'a\\'", "a\\"}, Row{"\"a 'b'\"", "a 'b'"}, Row{"a b", "a b"}));

// F1.3.2, F1.3.3
INSTANTIATE_TEST_SUITE_P(Modifiers, ExpandTest, testing::Values(
    Row{"${a:-x}", "one"}, Row{"${unset:-x}", "x"}, Row{"${empty:-x}", "x"}, Row{"${empty-x}", ""},
    Row{"${unset-x}", "x"}, Row{"${a:+x}", "x"}, Row{"${empty:+x}", ""}, Row{"${empty+x}", "x"},
    Row{"${unset+x}", ""}, Row{"${a:?x}", "one"}, Row{"${unset:-${a}}", "one"}, Row{"${unset:-\"$w\"}", "x y"},
    Row{"${unset:-'}'}", "}"}, Row{"${empty?x}", ""}));

INSTANTIATE_TEST_SUITE_P(Patterns, ExpandTest, testing::Values(
    Row{"${path#*/}", "usr/local/lib/x.tar.gz"}, Row{"${path##*/}", "x.tar.gz"},
    Row{"${path%.*}", "/usr/local/lib/x.tar"}, Row{"${path%%.*}", "/usr/local/lib/x"},
    Row{"${path#nope}", "/usr/local/lib/x.tar.gz"}, Row{"${a#o?}", "e"}, Row{"${a%?}", "on"},
    Row{"${dots/./-}", "a-b.c"}, Row{"${dots//./-}", "a-b-c"}, Row{"${a/*/x}", "x"},
    Row{"${a//?/<$0>}", "<><><>"}, Row{"${path//\\//_}", "_usr_local_lib_x.tar.gz"},
    Row{"${a/\\*/x}", "one"}, Row{"${unset#x}", ""}));

TEST(ShellWords, MissingSlashIsAnError) {
  EXPECT_THROW((void)expand_word("${a/n}", sample_env(), {}), Error);
}

struct ErrorRow {
  const char* word;
  const char* message;
};

class ExpandErrorTest : public testing::TestWithParam<ErrorRow> {};

TEST_P(ExpandErrorTest, Says) {
  try {
    (void)expand_word(GetParam().word, sample_env(), {});
    FAIL() << "no error for " << GetParam().word;
  } catch (const Error& error) {
    EXPECT_THAT(std::string(error.what()), testing::StartsWith("failed to process \""));
    EXPECT_THAT(std::string(error.what()), EndsWith(GetParam().message));
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExpandErrorTest, testing::Values(
    ErrorRow{"${", "syntax error: missing '}'"}, ErrorRow{"${a", "syntax error: missing '}'"},
    ErrorRow{"${}", "syntax error: bad substitution"}, ErrorRow{"${:x}", "syntax error: bad substitution"},
    ErrorRow{"${{x}}", "syntax error: bad substitution"}, ErrorRow{"${a:-x", "syntax error: missing '}'"},
    ErrorRow{"${a=x}", "unsupported modifier (=) in substitution"},
    ErrorRow{"${a:#x}", "unsupported modifier (:#) in substitution"},
    ErrorRow{"${a:x}", "unsupported modifier (:x) in substitution"},
    ErrorRow{"${a/x}", "syntax error: missing '/' in ${}"}, ErrorRow{"${a/x/y", "syntax error: missing '}'"},
    ErrorRow{"${unset?}", "unset: is not allowed to be unset"},
    ErrorRow{"${unset:?why}", "unset: why"}, ErrorRow{"${empty:?}", "empty: is not allowed to be empty"},
    ErrorRow{"${a#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"},
    ErrorRow{"'x", "unexpected end of statement while looking for matching single-quote"},
    ErrorRow{"\"x", "unexpected end of statement while looking for matching double-quote"}));

TEST(ShellWords, SplitsAfterExpansion) {
  EXPECT_THAT(expand_word("$w z", sample_env(), {}).words, ElementsAre("x", "y", "z"));
  EXPECT_THAT(expand_word("\"$w\" z", sample_env(), {}).words, ElementsAre("x y", "z"));
  EXPECT_THAT(expand_word("a${unset}b", sample_env(), {}).words, ElementsAre("ab"));
}

TEST(ShellWords, TellsWhichVariablesAreUsed) {
  auto const word = expand_word("$a$unset${w:-$other}", sample_env(), {});
  EXPECT_THAT(word.matched, ElementsAre("a", "w"));
  EXPECT_THAT(word.unmatched, ElementsAre("other", "unset"));
}

TEST(ShellWords, OptionsKeepWhatIsWritten) {
  EXPECT_EQ(expand_word("'$a' \"$a\" $u ${u:-x}", sample_env(), {.raw_quotes = true, .skip_unset = true}).text,
            "'$a' \"one\" $u ${u:-x}");
  EXPECT_EQ(expand_word("\"$a\" 'x", sample_env(), {.skip_quotes = true}).text, "\"one\" 'x");
  EXPECT_EQ(expand_word("`$a c:\\x", sample_env(), {.escape = '`'}).text, "$a c:\\x");
}

TEST(ShellWords, BombsAreBounded) {
  EnvList env;
  env.set("a", std::string(1 << 20, 'x'));
  EXPECT_THROW((void)expand_word("$a$a$a$a$a$a", env, {}), Error);
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "${u:-";
  EXPECT_THROW((void)expand_word(deep, env, {}), Error);
}

TEST(ShellPattern, TemplatesOfReplaceAll) {
  EXPECT_EQ(ShellPattern("b").replace_all("abc", "[$0|$$|${0}|$1|${x}|$-]"), "a[b|$|b|||$-]c");
  EXPECT_EQ(ShellPattern("").replace_all("ab", "-"), "-a-b-");
  EXPECT_EQ(ShellPattern("b*").replace_all("abcb\nb", "x"), "ax\nx");
}

}  // namespace
}  // namespace cobuild::dockerfile
