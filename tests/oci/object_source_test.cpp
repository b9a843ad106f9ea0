#include "oci/object_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
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

TEST(ObjectSource, HasNoManifests) {
  ObjectSource source(std::make_shared<MemoryObjects>(), "");
  auto body = [&]() -> Task<void> {
    EXPECT_FALSE(co_await source.fetch_manifest(Reference::parse("x")));
  };
  cobuild::test::run(body());
}

}  // namespace
}  // namespace cobuild::oci
