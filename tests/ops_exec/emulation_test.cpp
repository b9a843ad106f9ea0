#include "ops/exec/emulation.hpp"

#include <gtest/gtest.h>

#include <string>

namespace cobuild::ops {
namespace {

TEST(Emulation, RegistrationsNameTheHeaderOfAnExecutable) {
  const ForeignFormat* const arm64 = find_foreign_format("arm64");
  ASSERT_NE(arm64, nullptr);
  EXPECT_EQ(
      binfmt_registration(*arm64, "/usr/bin/qemu-aarch64-static"),
      R"(:cobuild-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:)"
      R"(\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff:)"
      R"(/usr/bin/qemu-aarch64-static:POCF)");
  const ForeignFormat* const s390x = find_foreign_format("s390x");
  ASSERT_NE(s390x, nullptr);
  EXPECT_EQ(
      binfmt_registration(*s390x, "/q"),
      R"(:cobuild-s390x:M::\x7f\x45\x4c\x46\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16:)"
      R"(\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xfe\xff\xff:/q:POCF)");
}

TEST(Emulation, KnowsWhatTheMachineRunsByItself) {
  EXPECT_TRUE(runs_natively("amd64", "amd64"));
  EXPECT_TRUE(runs_natively("386", "amd64"));
  EXPECT_TRUE(runs_natively("arm", "arm64"));
  EXPECT_TRUE(runs_natively("", "amd64"));
  EXPECT_FALSE(runs_natively("amd64", "386"));
  EXPECT_FALSE(runs_natively("arm64", "amd64"));
  EXPECT_EQ(find_foreign_format("pdp11"), nullptr);
}

}  // namespace
}  // namespace cobuild::ops
