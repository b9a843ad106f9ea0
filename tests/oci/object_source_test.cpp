#include "oci/object_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/base/error.hpp"
#include "support/memory_objects.hpp"
#include "support/run_task.hpp"

namespace cobuild::oci {
namespace {

using cobuild::test::MemoryObjects;
using testing::HasSubstr;

class Collector final : public BlobSink {
 public:
  Task<void> write(std::span<const std::byte> chunk) override {
    text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    co_return;
  }
  std::string text;
};

Descriptor describe(const std::string& bytes, std::uint64_t size) {
  return {.media_type = "x",
          .digest = BlobDigest(Digest::of(bytes)),
          .size = size,
          .urls = {},
          .annotations = {},
          .platform = {},
          .artifact_type = {},
          .data = {}};
}

/// What `stored` gives for a blob that should be `wanted`: its bytes, or what is wrong.
std::string fetch(const std::string& stored, const std::string& wanted, std::uint64_t size,
                  std::uint64_t offset = 0) {
  auto objects = std::make_shared<MemoryObjects>();
  Descriptor const blob = describe(wanted, size);
  objects->objects["blobs/" + blob.digest.to_string()] = stored;
  ObjectSource source(objects, "blobs/");
  Collector sink;
  ResumePoint resume;
  resume.offset = offset;
  resume.hash.write(std::string_view(wanted).substr(0, offset));
  try {
    cobuild::test::run(source.fetch_blob(Reference::parse("x"), blob, sink, std::move(resume)));
  } catch (const Error& error) {
    return std::string("error: ") + error.what();
  }
  return sink.text;
}

TEST(ObjectSource, ChecksWhatItGives) {
  EXPECT_EQ(fetch("hello", "hello", 5), "hello");
  EXPECT_EQ(fetch("hello", "hello", 5, 2), "llo");
  EXPECT_THAT(fetch("hellx", "hello", 5), HasSubstr("its object has the digest sha256:"));
  EXPECT_THAT(fetch("hell", "hello", 5), HasSubstr("has 4 bytes, and the cache says 5"));
  EXPECT_THAT(fetch("hello", "hello", 3, 5), HasSubstr("more bytes are here than it has"));
}

/// A source whose blob "hello" is said to be at `offset` of a pack that is `stored`.
class PackedSource : public testing::Test {
 protected:
  std::string fetch(std::optional<std::string> stored, std::uint64_t offset,
                    std::uint64_t done = 0) {
    BlobDigest const pack(Digest::of(std::string_view("pack")));
    if (stored) objects->objects["blobs/" + pack.to_string()] = *stored;
    source.packed().insert_or_assign(blob.digest, PackedLayer{{pack, 20, offset, 5}});
    return again(done);
  }

  std::string again(std::uint64_t done = 0) {
    Collector sink;
    ResumePoint resume;
    resume.offset = done;
    resume.hash.write(std::string_view("hello").substr(0, done));
    try {
      cobuild::test::run(source.fetch_blob(Reference::parse("x"), blob, sink, std::move(resume)));
    } catch (const Error& error) {
      kind = error.kind();
      return std::string("error: ") + error.what();
    }
    return sink.text;
  }

  bool is_suspect() { return source.packed().at(blob.digest).is_suspect; }

  std::shared_ptr<MemoryObjects> objects = std::make_shared<MemoryObjects>();
  ObjectSource source{objects, "blobs/"};
  Descriptor blob = describe("hello", 5);
  ErrorKind kind = ErrorKind::kInternal;
};

TEST_F(PackedSource, ReadsNothingButTheBlob) {
  EXPECT_EQ(fetch("before hello after", 7), "hello");
  EXPECT_EQ(objects->bytes_read, 5U);
  EXPECT_EQ(again(3), "lo");
  EXPECT_EQ(objects->bytes_read, 7U);
  EXPECT_FALSE(is_suspect());
}

TEST_F(PackedSource, WhatLiesElsewhereIsCorruptAndSuspect) {
  EXPECT_THAT(fetch("before hello after", 6), HasSubstr("its part of the pack sha256:"));
  EXPECT_EQ(kind, ErrorKind::kCorrupt);
  EXPECT_TRUE(is_suspect());
  EXPECT_THAT(fetch("before hell", 7), HasSubstr("has 4 bytes, and the cache says 5"));
  EXPECT_THAT(fetch("before", 1'000'000), HasSubstr("has 0 bytes, and the cache says 5"));
  EXPECT_EQ(kind, ErrorKind::kCorrupt);
  // It may be a copy that was damaged on its way.
  objects->objects.begin()->second = std::string(1'000'000, ' ') + "hello";
  EXPECT_EQ(again(), "hello");
  EXPECT_FALSE(is_suspect());
}

TEST_F(PackedSource, APackThatIsGoneIsNotFound) {
  EXPECT_THAT(fetch(std::nullopt, 7), HasSubstr("no such object"));
  EXPECT_EQ(kind, ErrorKind::kNotFound);
  EXPECT_TRUE(is_suspect());
}

TEST(ObjectSource, HasNoManifests) {
  ObjectSource source(std::make_shared<MemoryObjects>(), "");
  auto body = [&]() -> Task<void> {
    EXPECT_FALSE(co_await source.fetch_manifest(Reference::parse("x")));
  };
  cobuild::test::run(body());
}

}  // namespace
}  // namespace cobuild::oci
