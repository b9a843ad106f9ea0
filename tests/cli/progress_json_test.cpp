#include "cli/progress_json.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <unistd.h>
#include <boost/asio/io_context.hpp>

#include <fstream>
#include <sstream>

#include "cli/progress_display.hpp"
#include "cli/progress_events.hpp"
#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::cli {
namespace {

using namespace test;

const std::string kDigest = digest_of("a").to_string();

TEST(ProgressJson, Vertex) {
  auto event = ended("a", 0, 1.5, "exit code: 1");
  event.inputs = {digest_of("b")};
  event.group = progress::Group{"id", "group", true};
  EXPECT_EQ(
      to_json_line(event),
      R"({"vertexes":[{"digest":")" + kDigest + R"(","inputs":[")" + digest_of("b").to_string() +
          R"("],"name":"a","started":"1970-01-12T13:46:40Z","completed":"1970-01-12T13:46:41.5Z",)"
          R"("error":"exit code: 1","progressGroup":{"id":"id","name":"group","weak":true}}]})");
  EXPECT_EQ(to_json_line(vertex("a")),
            R"({"vertexes":[{"digest":")" + kDigest + R"(","name":"a"}]})");
}

TEST(ProgressJson, Status) {
  EXPECT_EQ(
      to_json_line(status("a", "s", 0, 1, 0, 0)),
      R"({"statuses":[{"id":"s","vertex":")" + kDigest +
          R"(","current":0,"timestamp":"1970-01-12T13:46:41Z","started":"1970-01-12T13:46:40Z"}]})");
}

TEST(ProgressJson, LogDataIsBase64) {
  EXPECT_EQ(to_json_line(log("a", 0, "\xff\n")),
            R"({"logs":[{"vertex":")" + kDigest +
                R"(","stream":1,"data":"/wo=","timestamp":"1970-01-12T13:46:40Z"}]})");
}

TEST(ProgressJson, Warning) {
  auto const text = std::make_shared<const std::string>("FROM x");
  progress::Warning event{digest_of("a"), 1, "short", {"d"}, "http://u", "Dockerfile", text, {{2, 3}}};
  EXPECT_EQ(to_json_line(event),
            R"({"warnings":[{"vertex":")" + kDigest +
                R"(","level":1,"short":"c2hvcnQ=","detail":["ZA=="],"url":"http://u",)"
                R"("sourceInfo":{"filename":"Dockerfile","data":"RlJPTSB4"},)"
                R"("range":[{"start":{"line":2},"end":{"line":3}}]}]})");
}

TEST(ProgressJson, NamesAreAlwaysValidUtf8) {
  auto event = vertex("a");
  event.name = "x\xff\"\n";
  EXPECT_THAT(to_json_line(event), testing::HasSubstr("\"name\":\"x\xEF\xBF\xBD\\\"\\n\""));
}

TEST(Base64, Padding) {
  EXPECT_EQ(to_base64(""), "");
  EXPECT_EQ(to_base64("f"), "Zg==");
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
}

class Display : public testing::Test {
 protected:
  static std::string read(const std::filesystem::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  ProgressDisplay::Options options(ProgressMode mode) {
    ProgressDisplay::Options options;
    options.mode = mode;
    options.fd = screen_.get();
    options.environment = [](std::string_view) { return std::optional<std::string>(); };
    return options;
  }

  TempDir directory_ = TempDir::create(std::filesystem::temp_directory_path(), "display-");
  UniqueFd screen_ = open_file(directory_.path() / "screen", O_RDWR | O_CREAT | O_APPEND, 0600);
};

TEST_F(Display, GivesEverythingToAllOutputs) {
  boost::asio::io_context loop;
  {
    auto wanted = options(ProgressMode::kAuto);  // A file is no terminal: plain.
    wanted.trace_file = directory_.path() / "trace";
    wanted.logs_directory = directory_.path() / "logs" / "build1";
    ProgressDisplay display(loop, wanted);
    display.on_vertex(started("RUN make all", 0));
    display.on_log(log("RUN make all", 0, "whole\nlog"));
    display.on_vertex(ended("RUN make all", 0, 1, "exit code: 1"));
    display.finish();
    display.on_vertex(cached("too late", 2));
  }
  loop.run();  // Ends: nothing of the display is left on the loop.
  EXPECT_EQ(read(directory_.path() / "screen"),
            "#1 RUN make all\n#1 0.000 whole\n#1 0.000 log\n#1 ERROR: exit code: 1\n"
            "------\n > RUN make all:\n0.000 whole\n0.000 log\n------\n");
  EXPECT_EQ(read(directory_.path() / "logs/build1/1-RUN-make-all.log"), "whole\nlog");
  std::istringstream trace(read(directory_.path() / "trace"));
  int lines = 0;
  for (std::string line; std::getline(trace, line); ++lines) EXPECT_EQ(line.front(), '{');
  EXPECT_EQ(lines, 3);
}

TEST_F(Display, TtyNeedsATerminal) {
  boost::asio::io_context loop;
  try {
    ProgressDisplay display(loop, options(ProgressMode::kTty));
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("failed to get console: "));
  }
}

TEST_F(Display, QuietPrintsNothing) {
  boost::asio::io_context loop;
  ProgressDisplay display(loop, options(ProgressMode::kQuiet));
  display.on_vertex(ended("a", 0, 1, "bad"));
  display.finish();
  EXPECT_EQ(read(directory_.path() / "screen"), "");
}

TEST_F(Display, KeepsTheLogsOfTheLastBuildsOnly) {
  for (std::size_t i = 0; i < kBuildLogsMax + 5; ++i) {
    auto output = make_log_files_output(directory_.path() / "logs" / std::to_string(i));
    output->on_vertex(started("a", 0));
    output->on_log(log("a", 0, "x"));
  }
  std::size_t left = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(directory_.path() / "logs"))
    ++left;
  EXPECT_EQ(left, kBuildLogsMax);
}

}  // namespace
}  // namespace cobuild::cli
