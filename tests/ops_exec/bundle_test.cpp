#include "ops/exec/bundle.hpp"

#include <gtest/gtest.h>

#include <set>

namespace cobuild::ops {
namespace {

TEST(RuntimeLog, TheLastErrorCounts) {
  EXPECT_EQ(last_logged_error(""), std::nullopt);
  EXPECT_EQ(last_logged_error("not json\n{\"level\":\"warning\",\"msg\":\"w\"}\n"), std::nullopt);
  EXPECT_EQ(last_logged_error("{\"msg\":\"first\",\"level\":\"error\"}\n"
                              "{\"msg\":\"second\",\"level\":\"error\"}\n{\"cut"),
            "second");
}

TEST(RuntimeLog, TellsTheProgramFromTheRuntime) {
  for (const char* message :
       {"executable file `nosuch` not found in $PATH: No such file or directory",
        "open executable: Permission denied",
        "runc run failed: unable to start container process: exec: \"x\": executable file not "
        "found",
        "exec /bin/x: exec format error", "exec container process `/x`: Exec format error"}) {
    EXPECT_TRUE(is_program_failure(message)) << message;
  }
  for (const char* message : {"mount `proc` to `proc`: Operation not permitted",
                              "pivot_root: Invalid argument", "writing file `cpu.max`: denied"}) {
    EXPECT_FALSE(is_program_failure(message)) << message;
  }
}

TEST(ContainerId, IsFresh) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(make_container_id("x-"));
  EXPECT_EQ(ids.size(), 1000U);
}

}  // namespace
}  // namespace cobuild::ops
