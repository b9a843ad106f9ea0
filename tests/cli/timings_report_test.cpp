#include "cli/timings_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/progress_events.hpp"

namespace cobuild::cli {
namespace {

using namespace std::chrono_literals;
using namespace test;

Timings::Report report() {
  Timings::Report report;
  report.rows = {{Phase::kStart, 1, 2345us, 2345us}, {Phase::kRuntime, 12, 61'234ms, 40'100ms}};
  report.covered = 40'102'345us;
  report.whole = 41'000ms;
  report.used = {.user = 30'500ms, .system = 1'250us, .peak_bytes = 25'600'000};
  return report;
}

TEST(TimingsReport, Table) {
  EXPECT_EQ(render_timings(report(), {{"[2/3] RUN make", 40'000ms}, {"export", 1500us}}),
            "phase       count    total ms     wall ms\n"
            "start           1        2.35        2.35\n"
            "runtime        12    61234.00    40100.00\n"
            "other                              897.65\n"
            "whole: 41000.00 ms, CPU 30501.25 ms (user 30500.00, system 1.25), peak RSS 25.60MB\n"
            "slowest steps, ms:\n"
            "    40000.00  [2/3] RUN make\n"
            "        1.50  export\n");
}

TEST(TimingsReport, WithoutStepsNoneAreTold) {
  EXPECT_THAT(render_timings(report(), {}), testing::Not(testing::HasSubstr("steps")));
}

TEST(TimingsReport, NamesAreOneShortLineThatTheTerminalDoesNotObey) {
  std::string const text =
      render_timings({}, {{"RUN <<E\n\x1b[2J\u009b\xff", 1ms}, {std::string(80, 'x'), 1ms}});
  EXPECT_THAT(text, testing::HasSubstr("  RUN <<E [2J\uFFFD\n"));
  EXPECT_THAT(text, testing::HasSubstr("  " + std::string(72, 'x') + "...\n"));
}

TEST(TimingsReport, Json) {
  EXPECT_EQ(to_json_line(report(), {{"a\xff", 1500us}}),
            R"({"timings":{"phases":[{"name":"start","count":1,"total":2345000,"wall":2345000},)"
            R"({"name":"runtime","count":12,"total":61234000000,"wall":40100000000}],)"
            R"("other":897655000,"whole":41000000000,"user":30500000000,"system":1250000,)"
            R"("peakBytes":25600000,"slowestSteps":[{"name":"a)"
            "\uFFFD"
            R"(","time":1500000}]}})");
}

class NoSink final : public progress::Sink {
 public:
  void on_vertex(const progress::Vertex&) override { ++events; }
  void on_status(const progress::Status&) override { ++events; }
  void on_log(const progress::Log&) override { ++events; }
  void on_warning(const progress::Warning&) override { ++events; }
  int events = 0;
};

TEST(StepTimes, TheSlowestStepsComeFirstAndCachedOnesNotAtAll) {
  NoSink next;
  ProgressState state([] { return at(0); });
  StepTimes times(next, state);
  for (int i = 1; i <= 7; ++i) times.on_vertex(ended("step " + std::to_string(i), 0, i));
  auto found = ended("cached", 0, 20);
  found.cached = true;
  times.on_vertex(found);
  times.on_vertex(started("never ended", 1));
  // A source asks for its key first, and is then loaded.
  times.on_vertex(ended("source", 1, 5));
  times.on_vertex(ended("source", 10, 15));
  times.on_log(log("source", 1, "x"));
  EXPECT_EQ(next.events, 12);

  std::vector<StepTime> const steps = slowest_steps(state);
  std::vector<std::string> names;
  for (const StepTime& step : steps) names.push_back(step.name);
  EXPECT_THAT(names, testing::ElementsAre("source", "step 7", "step 6", "step 5", "step 4"));
  EXPECT_EQ(steps[0].time, 9s);
}

}  // namespace
}  // namespace cobuild::cli
