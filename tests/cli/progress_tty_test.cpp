#include "cli/progress_tty.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/progress_events.hpp"

namespace cobuild::cli {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;

Environment no_environment() {
  return [](std::string_view) -> std::optional<std::string> { return std::nullopt; };
}

/// A painter on a terminal that is played in memory: what counts is what the user sees.
class TtyProgress : public testing::Test {
 protected:
  std::vector<std::string> paint(double seconds,
                                 TtyPainter::Frame frame = TtyPainter::Frame::kFitting) {
    now_ = at(seconds);
    last_ = painter_.paint(state_, size_, now_, frame);
    terminal_.write(last_);
    return terminal_.lines();
  }
  void log_to(const std::string& name, double seconds, const std::string& data) {
    state_.on_log(log(name, seconds, data));
    painter_.on_log(state_.find(digest_of(name)), data, size_);
  }

  Timestamp now_ = at(0);
  TtyPainter::Size size_{50, 24};
  ProgressState state_{[this] { return now_; }};
  TtyPainter painter_{TtyPainter::Options{}};
  TerminalScreen terminal_{60, 50};
  std::string last_;
};

TEST_F(TtyProgress, RedrawsInPlace) {
  state_.on_vertex(vertex("later"));
  state_.on_vertex(started("[1/2] FROM debian", 0));
  EXPECT_THAT(paint(0.04), ElementsAre("[+] Building 0.0s (0/2)",
                                       " => [1/2] FROM debian                        0.0s"));
  state_.on_status(status("[1/2] FROM debian", "sha256:abc", 0, 1, 1'000'000, 2'000'000));
  EXPECT_THAT(paint(1), ElementsAre("[+] Building 1.0s (0/2)",
                                    " => [1/2] FROM debian                        1.0s",
                                    " => => sha256:abc 1.00MB / 2.00MB            1.0s"));
  state_.on_status(status("[1/2] FROM debian", "sha256:abc", 0, 2, 2'000'000, 2'000'000, true));
  state_.on_vertex(ended("[1/2] FROM debian", 0, 2));
  state_.on_vertex(cached("later", 2));
  EXPECT_THAT(paint(3, TtyPainter::Frame::kWhole),
              ElementsAre("[+] Building 3.0s (2/2) FINISHED",
                          " => [1/2] FROM debian                        2.0s",
                          " => => sha256:abc 2.00MB / 2.00MB            2.0s",
                          " => CACHED later                             0.0s"));
}

TEST_F(TtyProgress, ShowsOutputInAWindowWhileTheStepRuns) {
  state_.on_vertex(started("RUN make", 0));
  log_to("RUN make", 0.1, "gcc a.c\n\x1b[31mwarning\x1b[0m\n 50%\r100%\n");
  EXPECT_THAT(paint(1), ElementsAre("[+] Building 1.0s (0/1)",
                                    " => RUN make                                 1.0s",
                                    " => => # gcc a.c", " => => # warning", " => => # 100%"));
  EXPECT_THAT(last_, testing::Not(HasSubstr("\x1b[31m")));
  state_.on_vertex(ended("RUN make", 0, 2));
  EXPECT_THAT(paint(2), ElementsAre("[+] Building 2.0s (1/1)",
                                    " => RUN make                                 2.0s"));
}

TEST_F(TtyProgress, ShowsHowStepsEnded) {
  state_.on_vertex(ended("a", 0, 1, "exit code: 1"));
  state_.on_vertex(ended("b", 0, 1, "context canceled"));
  state_.on_vertex(started("c", 0));
  state_.on_warning(warning("c", "Rule: careful"));
  EXPECT_THAT(paint(1), ElementsAre("[+] Building 1.0s (2/3)",
                                    " => ERROR a                                  1.0s",
                                    " => CANCELED b                               1.0s",
                                    " => c                                        1.0s",
                                    " => WARN: Rule: careful                      1.0s"));
}

TEST_F(TtyProgress, LongAndWideNamesAreCutToTheTerminal) {
  state_.on_vertex(started(std::string(200, 'x'), 0));
  state_.on_vertex(started("RUN echo 日本語日本語日本語日本語日本語日本語\n<<EOF", 0));
  auto const lines = paint(1);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1], " => " + std::string(40, 'x') + " 1.0s");
  EXPECT_THAT(lines[2], testing::EndsWith("1.0s"));
}

TEST_F(TtyProgress, SurvivesTinyTerminals) {
  state_.on_vertex(started("RUN make", 0));
  log_to("RUN make", 0, "x\ny\n");
  for (std::size_t columns = 0; columns < 30; ++columns) {
    for (std::size_t rows = 0; rows < 20; ++rows) {
      size_ = TtyPainter::Size{columns, rows};
      EXPECT_FALSE(painter_.paint(state_, size_, at(1), TtyPainter::Frame::kFitting).empty());
    }
  }
}

TEST_F(TtyProgress, KeepsRunningStepsInSightWhenThereAreTooMany) {
  size_.rows = 8;
  state_.on_vertex(started("runs long", 0));
  for (int i = 0; i < 20; ++i) state_.on_vertex(ended("done " + std::to_string(i), 1, 2));
  auto const lines = paint(3);
  EXPECT_LE(lines.size(), 8U);
  EXPECT_THAT(lines, testing::Contains(HasSubstr("runs long")));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("done 19")));
}

TEST_F(TtyProgress, FindsItsTopAfterTheTerminalBecameNarrower) {
  state_.on_vertex(started("a", 0));
  (void)paint(1);
  size_.columns = 30;  // The terminal wraps the old row of 49 columns into two.
  (void)paint(2);
  EXPECT_THAT(last_, HasSubstr("\x1b[3A"));
}

TEST(FitRows, RunningRowsReplaceCompletedOnes) {
  EXPECT_THAT(fit_rows({true, true, true}, 5), ElementsAre(0, 1, 2));
  EXPECT_THAT(fit_rows({true, true, true}, 2), ElementsAre(1, 2));
  EXPECT_THAT(fit_rows({false, true, true}, 2), ElementsAre(0, 2));
  EXPECT_THAT(fit_rows({false, false, false}, 2), ElementsAre(1, 2));
  EXPECT_THAT(fit_rows({true}, 0), ElementsAre());
}

TEST(ProgressColors, Defaults) {
  std::vector<std::string> complaints;
  auto const colors = progress_colors(no_environment(), complaints);
  EXPECT_EQ(colors.run, "\x1b[34m");
  EXPECT_EQ(colors.cancel, "\x1b[33m");
  EXPECT_EQ(colors.warning, "\x1b[33m");
  EXPECT_EQ(colors.error, "\x1b[31m");
  EXPECT_TRUE(complaints.empty());
}

TEST(ProgressColors, FromTheEnvironment) {
  std::vector<std::string> complaints;
  auto const colors = progress_colors(
      [](std::string_view name) -> std::optional<std::string> {
        if (name == "BUILDKIT_COLORS")
          return "run=GREEN:\"error=255,0,7\":warning=light-cyan:x=red:cancel=300,1,1:=:a";
        return std::nullopt;
      },
      complaints);
  EXPECT_EQ(colors.run, "\x1b[32m");
  EXPECT_EQ(colors.error, "\x1b[38;2;255;0;7m");
  EXPECT_EQ(colors.warning, "\x1b[96m");
  EXPECT_EQ(colors.cancel, "\x1b[33m");
  EXPECT_EQ(complaints.size(), 4U);
}

TEST(ProgressColors, NoColorWins) {
  std::vector<std::string> complaints;
  auto const colors =
      progress_colors([](std::string_view) { return std::optional<std::string>("1"); }, complaints);
  EXPECT_EQ(colors.run + colors.error + colors.faint + colors.reset, "");
}

}  // namespace
}  // namespace cobuild::cli
