#include "cli/progress_plain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/progress_events.hpp"

namespace cobuild::cli {
namespace {

using namespace test;

/// A plain display whose clock the test moves.
class PlainProgress : public testing::Test {
 protected:
  /// What is printed for everything since the last call, at `seconds`.
  std::string print(double seconds) {
    now_ = at(seconds);
    return printer_.print(state_, now_);
  }
  void move_to(double seconds) { now_ = at(seconds); }

  Timestamp now_ = at(0);
  ProgressState state_{[this] { return now_; }};
  PlainPrinter printer_{PlainPrinter::Options{}};
};

TEST_F(PlainProgress, OneStepFromStartToEnd) {
  state_.on_vertex(vertex("a"));
  EXPECT_EQ(print(0), "");
  state_.on_vertex(started("a", 0));
  EXPECT_EQ(print(0), "#1 a\n");
  state_.on_log(log("a", 0.1234, "one\ntwo"));
  EXPECT_EQ(print(0.2), "#1 0.123 one\n#1 0.123 two");
  state_.on_log(log("a", 12.345, " more\nthree\n"));
  EXPECT_EQ(print(12.4), " more\n#1 12.35 three\n");
  state_.on_log(log("a", 123.456, "last"));
  state_.on_vertex(ended("a", 0, 125));
  EXPECT_EQ(print(125), "#1 123.5 last\n#1 DONE 125.0s\n");
  EXPECT_EQ(print(126), "");
}

TEST_F(PlainProgress, WaysToEnd) {
  state_.on_vertex(cached("hit", 0));
  state_.on_vertex(ended("bad", 0, 1, "exit code: 1"));
  state_.on_vertex(ended("stopped", 0, 2, "solving: context canceled"));
  EXPECT_EQ(print(3),
            "#1 hit\n#1 CACHED\n\n"
            "#2 bad\n#2 ERROR: exit code: 1\n\n"
            "#3 stopped\n#3 CANCELED\n");
}

TEST_F(PlainProgress, StatusesAreThinnedOut) {
  state_.on_vertex(started("pull", 0));
  state_.on_status(status("pull", "layer", 0, 0.1, 0, 100'000'000));
  EXPECT_EQ(print(0.1), "#1 pull\n#1 layer 0B / 100.00MB 0.1s\n");
  state_.on_status(status("pull", "layer", 0, 0.2, 1'000'000, 100'000'000));
  EXPECT_EQ(print(0.2), "");
  state_.on_status(status("pull", "layer", 0, 0.3, 6'000'000, 100'000'000));
  EXPECT_EQ(print(0.3), "#1 layer 6.00MB / 100.00MB 0.3s\n");
  state_.on_status(status("pull", "layer", 0, 6, 6'100'000, 100'000'000));
  EXPECT_EQ(print(6), "#1 layer 6.10MB / 100.00MB 6.0s\n");
  state_.on_status(status("pull", "layer", 0, 6.1, 100'000'000, 100'000'000, true));
  state_.on_vertex(ended("pull", 0, 6.2));
  EXPECT_EQ(print(6.2), "#1 layer 100.00MB / 100.00MB 6.1s done\n#1 DONE 6.2s\n");
}

TEST_F(PlainProgress, WarningsComeOnce) {
  state_.on_vertex(started("a", 0));
  state_.on_warning(warning("a", "Rule: text (line 2)"));
  EXPECT_EQ(print(0), "#1 a\n#1 WARN: Rule: text (line 2)\n");
  state_.on_log(log("a", 1, "x\n"));
  EXPECT_EQ(print(1), "#1 1.000 x\n");
}

TEST_F(PlainProgress, StaysOnOneStepUntilThatIsUnfair) {
  state_.on_vertex(started("a", 0));
  EXPECT_EQ(print(0), "#1 a\n");
  state_.on_vertex(started("b", 0.1));
  state_.on_log(log("b", 0.2, "from b\n"));
  state_.on_log(log("a", 0.3, "from a\n"));
  EXPECT_EQ(print(0.3), "#1 0.300 from a\n");
  EXPECT_EQ(print(5), "");
  // b has waited for more than ten seconds.
  EXPECT_EQ(print(10.5), "#1 ...\n\n#2 b\n#2 0.100 from b\n");
  state_.on_vertex(ended("b", 0.1, 11));
  EXPECT_EQ(print(11), "#2 DONE 10.9s\n\n#1 a\n");
}

TEST_F(PlainProgress, AnUnfinishedLineIsPrintedAgainOnReturn) {
  state_.on_vertex(started("a", 0));
  state_.on_log(log("a", 0, "half"));
  EXPECT_EQ(print(0), "#1 a\n#1 0.000 half");
  state_.on_vertex(cached("b", 1));
  EXPECT_EQ(print(1), "\n#1 ...\n\n#2 b\n#2 CACHED\n\n#1 a\n#1 0.000 half");
  state_.on_log(log("a", 2, " done\n"));
  EXPECT_EQ(print(2), " done\n");
}

TEST_F(PlainProgress, GroupsAreOneStep) {
  auto const member = [](progress::Vertex event, bool weak) {
    event.group = progress::Group{"g", "the group", weak};
    return event;
  };
  state_.on_vertex(member(started("weak", 0), true));
  EXPECT_EQ(print(0), "");
  EXPECT_EQ(state_.counts().total, 0U);
  state_.on_vertex(member(cached("one", 1), false));
  state_.on_vertex(member(ended("weak", 0, 2), true));
  EXPECT_EQ(print(2), "#1 the group\n#1 DONE 2.0s\n");
  EXPECT_EQ(state_.counts().total, 1U);
}

TEST_F(PlainProgress, AGroupIsCachedIfAllOfItIs) {  // F10.74
  for (const char* name : {"one", "two"}) {
    auto event = cached(name, 1);
    event.group = progress::Group{"g", "the group", false};
    state_.on_vertex(event);
  }
  EXPECT_EQ(print(1), "#1 the group\n#1 CACHED\n");
}

TEST_F(PlainProgress, ErrorSummaryHasTheLastTenLines) {
  state_.on_vertex(started("a", 0));
  for (int i = 1; i <= 12; ++i) state_.on_log(log("a", i, "line " + std::to_string(i) + "\n"));
  state_.on_log(log("a", 13, "end"));
  state_.on_vertex(ended("a", 0, 13, "exit code: 2"));
  state_.on_vertex(ended("b", 0, 13, "context canceled"));
  (void)print(13);
  std::string expected = "------\n > a:\n";
  for (int i = 4; i <= 9; ++i)
    expected += std::to_string(i) + ".000 line " + std::to_string(i) + "\n";
  for (int i = 10; i <= 12; ++i)
    expected += std::to_string(i) + ".00 line " + std::to_string(i) + "\n";
  expected += "13.00 end\n------\n";
  EXPECT_EQ(render_error_logs(state_, [&](const Step& step) { return printer_.last_lines(step); }),
            expected);
}

TEST_F(PlainProgress, NamesMayBeTruncated) {
  PlainPrinter printer(PlainPrinter::Options{true});
  state_.on_vertex(cached(std::string(80, 'x'), 0));
  EXPECT_EQ(printer.print(state_, at(0)), "#1 " + std::string(72, 'x') + "...\n#1 CACHED\n");
}

TEST_F(PlainProgress, EventsOfUnknownStepsAreIgnored) {
  state_.on_log(log("nobody", 0, "x"));
  state_.on_status(status("nobody", "s", 0, 0, 1, 2));
  state_.on_warning(warning("nobody", "w"));
  EXPECT_EQ(print(0), "");
}

TEST_F(PlainProgress, EverythingIsShownHoweverItIsInterleaved) {
  // A property: with many steps and prints in between, no line is lost and every step ends once.
  constexpr int kSteps = 20;
  std::string out;
  for (int i = 0; i < kSteps; ++i) {
    state_.on_vertex(started("s" + std::to_string(i), i));
    for (int j = 0; j <= i; ++j) {
      state_.on_log(log("s" + std::to_string(j), i,
                        "<" + std::to_string(j) + ":" + std::to_string(i) + ">\n"));
      if ((i + j) % 3 == 0) out += print(i);
    }
  }
  for (int i = 0; i < kSteps; ++i) state_.on_vertex(ended("s" + std::to_string(i), i, 100 + i));
  out += print(200);
  for (int i = 0; i < kSteps; ++i) {
    for (int j = 0; j <= i; ++j) {
      std::string const mark = "<" + std::to_string(j) + ":" + std::to_string(i) + ">";
      EXPECT_NE(out.find(mark), std::string::npos) << mark;
      EXPECT_EQ(out.find(mark), out.rfind(mark)) << mark;
    }
  }
  std::size_t done = 0;
  for (std::size_t p = out.find("DONE"); p != std::string::npos; p = out.find("DONE", p + 1))
    ++done;
  EXPECT_EQ(done, std::size_t{kSteps});
}

TEST(LogLines, AnEndlessLineIsBroken) {
  LogLines lines;
  for (int i = 0; i < 100; ++i) lines.append(std::string(10'000, 'x'), 0);
  EXPECT_GE(lines.lines().size(), 15U);
  for (const std::string& line : lines.lines()) EXPECT_LE(line.size(), LogLines::kLineBytesMax);
  lines.keep_last(200'000);
  std::size_t bytes = 0;
  for (const std::string& line : lines.lines()) bytes += line.size();
  EXPECT_LE(bytes, 200'000U);
  EXPECT_TRUE(lines.was_clipped());
}

TEST(MergeRuns, OverlapsBecomeOne) {
  std::map<Timestamp, std::optional<Timestamp>> runs = {
      {at(0), at(2)}, {at(1), at(3)}, {at(5), at(6)}, {at(8), std::nullopt}, {at(9), at(10)}};
  auto const merged = merge_runs(runs);
  ASSERT_EQ(merged.size(), 3U);
  EXPECT_DOUBLE_EQ(total_seconds(merged, at(20)), 3 + 1 + 12);
}

}  // namespace
}  // namespace cobuild::cli
