#include "ops/exec_op.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/go_quote.hpp"
#include "core/base/chain_id.hpp"

namespace cobuild::ops {
namespace {

pb::Meta shell(const std::string& script) {
  pb::Meta meta;
  meta.add_args("/bin/sh");
  meta.add_args("-c");
  meta.add_args(script);
  return meta;
}

TEST(ExecFailure, HasBuildKitsWords) {
  EXPECT_EQ(describe_failure(shell("false"), {.code = 1, .signal = 0, .oom = false}),
            "process \"/bin/sh -c false\" did not complete successfully: exit code: 1");
  EXPECT_EQ(
      describe_failure(shell("echo \"a\"\n\tfalse"), {.code = 137, .signal = 9, .oom = false}),
      "process \"/bin/sh -c echo \\\"a\\\"\\n\\tfalse\" did not complete successfully: exit code: "
      "137");
}

TEST(ExecFailure, WantOfMemoryIsNotAnExitCode) {
  EXPECT_EQ(describe_failure(shell("x"), {.code = 137, .signal = 9, .oom = true}),
            "process \"/bin/sh -c x\" did not complete successfully: cannot allocate memory");
}

TEST(ExecEnvironment, GetsAPathOnlyWhenItHasNone) {
  pb::Platform linux;
  linux.set_os("linux");
  pb::Meta meta;
  EXPECT_EQ(process_environment(meta, linux),
            std::vector<std::string>{
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"});
  meta.add_env("PATH=/x");
  EXPECT_EQ(process_environment(meta, linux), std::vector<std::string>{"PATH=/x"});
}

TEST(ExecEnvironment, ProxiesComeInBothCases) {
  pb::Platform linux;
  linux.set_os("linux");
  pb::Meta meta;
  meta.add_env("PATH=/x");
  meta.mutable_proxy_env()->set_http_proxy("http://p:1");
  meta.mutable_proxy_env()->set_no_proxy("localhost");
  EXPECT_EQ(process_environment(meta, linux),
            (std::vector<std::string>{"PATH=/x", "HTTP_PROXY=http://p:1", "http_proxy=http://p:1",
                                      "NO_PROXY=localhost", "no_proxy=localhost"}));
}

TEST(ChainIds, FollowTheImageSpec) {
  DiffId const first(Digest::of(std::string_view("a")));
  DiffId const second(Digest::of(std::string_view("b")));
  ChainId const one = extend_chain(std::nullopt, first);
  EXPECT_EQ(one.digest(), first.digest());
  EXPECT_EQ(extend_chain(one, second).digest(),
            Digest::of(std::string_view(first.to_string() + " " + second.to_string())));
}

TEST(GoQuote, EscapesWhatGoEscapes) {
  EXPECT_EQ(go_quote("plain ünïcode"), "\"plain ünïcode\"");
  EXPECT_EQ(go_quote(std::string_view("\x01\x7f\xff\\", 4)), "\"\\x01\\x7f\\xff\\\\\"");
}

}  // namespace
}  // namespace cobuild::ops
