#include "cli/terminal_screen.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace cobuild::cli {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

struct ScreenCase {
  const char* name;
  std::string bytes;
  std::vector<std::string> lines;
  friend void PrintTo(const ScreenCase& c, std::ostream* out) { *out << c.name; }
};

class ScreenShows : public testing::TestWithParam<ScreenCase> {};

TEST_P(ScreenShows, Lines) {
  TerminalScreen screen(3, 10);
  screen.write(GetParam().bytes);
  EXPECT_THAT(screen.lines(), ElementsAreArray(GetParam().lines));
}

TEST_P(ScreenShows, TheSameByteByByte) {
  TerminalScreen screen(3, 10);
  for (char const c : GetParam().bytes) screen.write(std::string_view(&c, 1));
  EXPECT_THAT(screen.lines(), ElementsAreArray(GetParam().lines));
}

INSTANTIATE_TEST_SUITE_P(
    Table, ScreenShows,
    testing::Values(ScreenCase{"Text", "one\ntwo\n", {"one", "two"}},
                    ScreenCase{"Scrolls", "1\n2\n3\n4", {"2", "3", "4"}},
                    ScreenCase{"Wraps", "0123456789ab", {"0123456789", "ab"}},
                    ScreenCase{"CarriageReturn", " 10%\r 20%\r100%\n", {"100%"}},
                    ScreenCase{"Backspace", "ab\b\bc", {"cb"}},
                    ScreenCase{"Tab", "a\tb", {"a       b"}},
                    ScreenCase{"Colors", "\x1b[1;31mred\x1b[0m", {"red"}},
                    ScreenCase{"Title", "\x1b]0;title\x07text", {"text"}},
                    ScreenCase{"TitleByTerminator", "\x1b]0;title\x1b\\text", {"text"}},
                    ScreenCase{"DeviceString", "\x1bPq#0\x1b\\text", {"text"}},
                    ScreenCase{"Charset", "\x1b(0ab", {"ab"}},
                    ScreenCase{"EraseLine", "abcdef\x1b[3D\x1b[K", {"abc"}},
                    ScreenCase{"EraseScreen", "a\nb\x1b[2J\x1b[Hc", {"c"}},
                    ScreenCase{"CursorUp", "one\ntwo\x1b[Axyz", {"onexyz", "two"}},
                    ScreenCase{"MoveBeyond", "\x1b[99;99Hx", {"         x"}},
                    ScreenCase{"Bell",
                               "a\a\x01\x7f"
                               "b",
                               {"ab"}},
                    ScreenCase{"Utf8", "grün €\n", {"grün €"}},
                    ScreenCase{"Wide", "日本語日本語", {"日本語日本", "語"}},
                    ScreenCase{"Combining", "e\xCC\x81t", {"et"}},
                    ScreenCase{"BadUtf8",
                               "a\xff"
                               "b\xc3",
                               {"a\xEF\xBF\xBD"
                                "b"}},
                    ScreenCase{"C1",
                               "a\xC2\x9B"
                               "2Jb",
                               {"a2Jb"}}),
    [](const auto& test) { return test.param.name; });

TEST(TerminalScreen, ShrinksTowardsTheCursor) {
  TerminalScreen screen(4, 10);
  screen.write("1\n2\n3\n4444444444");
  screen.resize(2, 5);
  EXPECT_THAT(screen.lines(), ElementsAre("3", "44444"));
  screen.resize(3, 8);
  screen.write("\n5");
  EXPECT_THAT(screen.lines(), ElementsAre("3", "44444", "5"));
}

TEST(TerminalScreen, AnyBytesGiveOnlyPrintableCharacters) {
  unsigned const seed = 20240501;
  std::mt19937 random(seed);
  const std::string alphabet =
      std::string("\x1b\x1b[];0123456789ABCDGHJKmPc\\\n\r\b\t\a\x7f", 33) + "日é\xff\xc2";
  for (int round = 0; round < 2000; ++round) {
    TerminalScreen screen(1 + random() % 5, 1 + random() % 12);
    for (int i = 0; i < 60; ++i) {
      screen.write(std::string_view(&alphabet[random() % alphabet.size()], 1));
      if (random() % 16 == 0) screen.resize(1 + random() % 6, 1 + random() % 12);
    }
    for (const std::string& line : screen.lines()) {
      for (char const c : line) {
        ASSERT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f)
            << "seed " << seed << " round " << round;
      }
    }
  }
}

}  // namespace
}  // namespace cobuild::cli
