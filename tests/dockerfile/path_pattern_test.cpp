#include "core/base/path_pattern.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "dockerfile/ignore_file.hpp"

namespace cobuild {
namespace {

struct MatchRow {
  const char* pattern;
  const char* name;
  bool matches;
};

class MatchPathTest : public testing::TestWithParam<MatchRow> {};

TEST_P(MatchPathTest, IsGos) {
  EXPECT_EQ(match_path(GetParam().pattern, GetParam().name), GetParam().matches)
      << GetParam().pattern << " " << GetParam().name;
}

INSTANTIATE_TEST_SUITE_P(All, MatchPathTest, testing::Values(
    MatchRow{"abc", "abc", true}, MatchRow{"*", "abc", true}, MatchRow{"*c", "abc", true},
    MatchRow{"a*", "a", true}, MatchRow{"a*", "ab/c", false}, MatchRow{"a*/b", "abc/b", true},
    MatchRow{"a*/b", "a/c/b", false}, MatchRow{"a*b*c*d*e*/f", "axbxcxdxe/f", true},
    MatchRow{"a*b?c*x", "abxbbxdbxebxczzx", true}, MatchRow{"a*b?c*x", "abxbbxdbxebxczzy", false},
    MatchRow{"ab[c]", "abc", true}, MatchRow{"ab[b-d]", "abc", true}, MatchRow{"ab[e-g]", "abc", false},
    MatchRow{"ab[^c]", "abc", false}, MatchRow{"a\\*b", "a*b", true}, MatchRow{"a\\*b", "ab", false},
    MatchRow{"a?b", "a☺b", true}, MatchRow{"a[^a]b", "a☺b", true}, MatchRow{"a???b", "a☺b", false},
    MatchRow{"a?b", "a/b", false}, MatchRow{"a*b", "a/b", false}, MatchRow{"[\\]a]", "]", true},
    MatchRow{"[\\-x]", "-", true}, MatchRow{"*x", "xxx", true},
    MatchRow{"arr[[]0].txt", "arr[0].txt", true}, MatchRow{"a**b", "a/b", false}));

TEST(MatchPath, MalformedPatternsAreErrors) {
  for (const char* pattern : {"[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "a[b", "\\", "[a-", "[a-b-d]"}) {
    EXPECT_FALSE(is_path_pattern(pattern)) << pattern;
    EXPECT_THROW((void)match_path(pattern, "a"), Error) << pattern;
  }
}

TEST(MatchPath, NoPatternIsSlow) {
  std::string pattern;
  for (int i = 0; i < 50; ++i) pattern += "a*";
  EXPECT_FALSE(match_path(pattern + "b", std::string(2000, 'a')));
}

struct SetRow {
  std::vector<std::string> patterns;
  const char* path;
  bool matches;
};

class PatternSetTest : public testing::TestWithParam<SetRow> {};

/// What the walk of a tree would find, directory by directory.
bool match_by_walking(const PatternSet& set, const std::string& path) {
  PatternSet::ParentState parent;
  for (std::size_t slash = path.find('/');; slash = path.find('/', slash + 1)) {
    PatternSet::ParentState own;
    auto const match = set.match(path.substr(0, slash), parent, &own);
    if (slash == std::string::npos) return match.matched;
    parent = own;
  }
}

TEST_P(PatternSetTest, IsDockers) {
  PatternSet const set(GetParam().patterns);
  EXPECT_EQ(set.match(GetParam().path).matched, GetParam().matches);
  EXPECT_EQ(match_by_walking(set, GetParam().path), GetParam().matches);
}

INSTANTIATE_TEST_SUITE_P(All, PatternSetTest, testing::Values(
    // F1.9.7: what is in an excluded directory is excluded.
    SetRow{{"a"}, "a", true}, SetRow{{"a"}, "a/b", true}, SetRow{{"a"}, "ab", false},
    SetRow{{"a/"}, "a", true}, SetRow{{" a "}, "a", true}, SetRow{{""}, "a", false},
    SetRow{{"*"}, "a/b", true}, SetRow{{"*.md"}, "x/y.md", false}, SetRow{{"**/*.md"}, "y.md", true},
    SetRow{{"**/*.md"}, "x/z/y.md", true}, SetRow{{"**/foo"}, "foo", true}, SetRow{{"**/foo"}, "x/foo", true},
    SetRow{{"**/foo"}, "xfoo", false}, SetRow{{"**foo"}, "xfoo", true}, SetRow{{"foo/**"}, "foo/x/y", true},
    SetRow{{"foo/**"}, "foo", false}, SetRow{{"a/**/b"}, "a/b", true}, SetRow{{"a/**/b"}, "a/x/y/b", true},
    SetRow{{"a/**/b"}, "a/xb", false}, SetRow{{"**"}, "x/y", true}, SetRow{{"a**b"}, "ab", true},
    SetRow{{"a**b"}, "axb", false}, SetRow{{"a?c"}, "abc", true}, SetRow{{"a[b-d]c"}, "acc", true},
    SetRow{{"a.b"}, "axb", false}, SetRow{{"\\*"}, "*", true}, SetRow{{"\\*"}, "x", false},
    // F10.100: the last one that matches decides.
    SetRow{{"!a/x", "a"}, "a/x", true}, SetRow{{"a", "!a/x"}, "a/x", false}, SetRow{{"a", "!a/x"}, "a/y", true},
    SetRow{{"*", "!b", "b/x.md"}, "b/y", false}, SetRow{{"*", "!b", "b/x.md"}, "b/x.md", true},
    SetRow{{"*", "!b"}, "b/c/d", false}, SetRow{{"**", "!**/*.go"}, "a/b.go", false},
    SetRow{{"docs/*", "!docs/README.md"}, "docs/README.md", false}));

TEST(PatternSet, SaysWhichPatternDecided) {
  PatternSet const set({"x", "", "a", "!a/b"});
  EXPECT_EQ(set.match("a/c").pattern, 2U);
  EXPECT_EQ(set.match("a/b").pattern, 3U);
  EXPECT_EQ(set.match("z").pattern, std::nullopt);
  EXPECT_TRUE(set.has_negations());
}

TEST(PatternSet, RefusesWhatIsNoPattern) {
  EXPECT_THROW(PatternSet({"!"}), Error);
  EXPECT_THROW(PatternSet({"a[b"}), Error);
}

TEST(PatternSet, KnowsWhatAWalkMaySkip) {
  PatternSet const set({"**", "!a/b/*.go"});
  EXPECT_TRUE(set.may_match_negation_below("a"));
  EXPECT_TRUE(set.may_match_negation_below("a/b"));
  EXPECT_FALSE(set.may_match_negation_below("a/c"));
  PatternSet const include({"d/e/f", "x*/y"});
  EXPECT_TRUE(include.may_match_below("d"));
  EXPECT_TRUE(include.may_match_below("d/e/f"));
  EXPECT_FALSE(include.may_match_below("d/x"));
  EXPECT_TRUE(include.may_match_below("xx"));
  EXPECT_FALSE(include.may_match_below("q"));
}

TEST(GoPath, IsGos) {
  struct Row {
    const char* path;
    const char* clean;
    const char* base;
    const char* dir;
  };
  for (const Row& row : {Row{"", ".", ".", "."}, Row{"a", "a", "a", "."}, Row{"/", "/", "/", "/"},
                         Row{"a//b/./../c/", "a/c", "c", "a/c"}, Row{"/..", "/", "..", "/"},
                         Row{"../a", "../a", "a", ".."}, Row{"a/../..", "..", "..", "."},
                         Row{"/a/b", "/a/b", "b", "/a"}, Row{"//", "/", "/", "/"}}) {
    EXPECT_EQ(go_path::clean(row.path), row.clean) << row.path;
    EXPECT_EQ(go_path::base(row.path), row.base) << row.path;
    EXPECT_EQ(go_path::dir(row.path), row.dir) << row.path;
  }
  EXPECT_EQ(go_path::join("/", "a/../../b"), "/b");
  EXPECT_EQ(go_path::join("", ""), "");
}

TEST(IgnoreFile, ReadsDockersFormat) {
  auto const file = dockerfile::parse_ignore_file(
      "\xEF\xBB\xBF# comment\n\n /a/b/ \r\n # x\n\\#y\n!  /c\n.\n", ".dockerignore");
  EXPECT_THAT(file.patterns, testing::ElementsAre("a/b", "# x", "\\#y", "!c", "."));
  EXPECT_THAT(file.lines, testing::ElementsAre(3, 4, 5, 6, 7));
}

TEST(IgnoreFile, NamesTheLineOfABadPattern) {
  try {
    (void)dockerfile::parse_ignore_file("a\n!\n", "d/.dockerignore");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "d/.dockerignore:2: illegal exclusion pattern: \"!\"");
  }
}

TEST(IgnoreFile, ExplainsAMissingSource) {
  auto const file = dockerfile::parse_ignore_file("# c\nnode_modules\n*.log\n!keep.log\n", ".dockerignore");
  EXPECT_EQ(dockerfile::explain_missing_source("/x/../a.log", file, {}),
            "excluded by .dockerignore:3 pattern '*.log'");
  EXPECT_EQ(dockerfile::explain_missing_source("node_modules/x", file, {}),
            "excluded by .dockerignore:2 pattern 'node_modules'");
  EXPECT_EQ(dockerfile::explain_missing_source("keep.log", file, {}), "");
  std::vector<std::string> const siblings{"main.c", "Makefile"};
  EXPECT_EQ(dockerfile::explain_missing_source("Makefle", file, siblings), "did you mean 'Makefile'?");
}

}  // namespace
}  // namespace cobuild
