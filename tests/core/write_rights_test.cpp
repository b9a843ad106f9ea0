#include "core/sys/write_rights.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "core/sys/fs.hpp"

namespace cobuild {
namespace {

/// A directory that may not be written to, and a file in it that may not even be read.
class WriteRightsTest : public testing::Test {
 protected:
  void SetUp() override {
    UniqueFd const file(::open(path("file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0000));
    ASSERT_EQ(::chmod(directory_.path().c_str(), 0500), 0);
    if (!can_write()) GTEST_SKIP() << "needs root";
  }
  void TearDown() override { ::chmod(directory_.path().c_str(), 0700); }

  [[nodiscard]] std::string path(const std::string& name) const { return directory_.path() / name; }
  [[nodiscard]] bool can_write() const {
    bool const made = ::mkdir(path("new").c_str(), 0700) == 0;
    ::rmdir(path("new").c_str());
    int const flags = AT_EACCESS;
    EXPECT_EQ(::faccessat(AT_FDCWD, directory_.path().c_str(), W_OK, flags) == 0, made);
    return made;
  }
  [[nodiscard]] bool can_read() const {
    return static_cast<bool>(UniqueFd(::open(path("file").c_str(), O_RDONLY | O_CLOEXEC)));
  }

 private:
  TempDir directory_ = TempDir::create(std::filesystem::temp_directory_path(), "write-rights-");
};

TEST_F(WriteRightsTest, OfAUserAreWhatModesSay) {
  {
    LimitedWriting const limited(WriteRights::kUsers);
    EXPECT_FALSE(can_write());
    EXPECT_TRUE(can_read());
    {
      LimitedWriting const again(WriteRights::kUsers);
      EXPECT_FALSE(can_write());
    }
    EXPECT_FALSE(can_write()) << "the inner one gives back only what it took";
  }
  EXPECT_TRUE(can_write());
}

TEST_F(WriteRightsTest, AreOtherwiseAll) {
  LimitedWriting const limited(WriteRights::kAll);
  EXPECT_TRUE(can_write());
}

}  // namespace
}  // namespace cobuild
