// Blobs that are read while they are written.

#include <gtest/gtest.h>

#include <string>

#include <boost/asio/post.hpp>

#include "core/async/task_group.hpp"
#include "ops/growing_blob.hpp"
#include "ops_fixture.hpp"

namespace cobuild::ops {
namespace {

class GrowingBlobs : public test::OpsTest {
 protected:
  GrowingBlobs()
      : file_(open_file(directory.path() / "blob", O_RDWR | O_CREAT | O_APPEND, 0600)),
        blob_(process.loop().get_executor(), open_file(directory.path() / "blob", O_RDONLY), "RUN x") {}

  void grow(std::string_view text) {
    ASSERT_EQ(::write(file_.get(), text.data(), text.size()), std::ssize(text));
  }

  static Task<std::string> read(const GrowingBlob& blob, std::uint64_t offset) {
    auto const reader = blob.read_from(offset);
    std::string text(100, ' ');
    text.resize(co_await reader->read(std::as_writable_bytes(std::span(text))));
    co_return text;
  }
  std::string text_from(std::uint64_t offset) { return process.run(read(blob_, offset)); }

  Task<void> wait(std::uint64_t bytes) { ready_ = co_await blob_.wait_for(bytes); }
  Task<void> write_later(std::string text) {
    co_await asio::post(process.loop().get_executor(), asio::use_awaitable);
    EXPECT_EQ(ready_, 0U);
    grow(text);
  }
  Task<void> both() {
    TaskGroup group(process.loop().get_executor());
    group.spawn(wait(6));
    group.spawn(write_later("012345"));
    co_await group.join();
  }

  UniqueFd file_;
  GrowingBlob blob_;
  std::uint64_t ready_ = 0;
};

TEST_F(GrowingBlobs, AreThereAsFarAsTheyAreWritten) {
  grow("0123");
  EXPECT_EQ(process.run(blob_.wait_for(4)), 4U);
  EXPECT_EQ(process.run(blob_.wait_for(0)), 4U);
  EXPECT_EQ(text_from(1), "123");
  grow("4567");
  EXPECT_EQ(process.run(blob_.wait_for(5)), 8U);
  EXPECT_EQ(text_from(4), "4567");
}

TEST_F(GrowingBlobs, MoreIsWaitedFor) {
  process.run(both());
  EXPECT_EQ(ready_, 6U);
}

TEST_F(GrowingBlobs, TheEndIsAsMuchAsThereIs) {
  grow("0123");
  BlobDigest const digest(Digest::of(std::string_view("0123")));
  EXPECT_FALSE(blob_.is_over());
  blob_.end(digest);
  EXPECT_TRUE(blob_.is_over());
  EXPECT_EQ(blob_.digest(), digest);
  EXPECT_EQ(process.run(blob_.wait_for(1000)), 4U);
}

TEST_F(GrowingBlobs, WhatFailedHasNoDigest) {
  blob_.end(std::nullopt);
  EXPECT_EQ(process.run(blob_.wait_for(1)), 0U);
  EXPECT_FALSE(blob_.digest());
}

}  // namespace
}  // namespace cobuild::ops
