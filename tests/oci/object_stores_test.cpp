/// Objects in a folder and in a registry.

#include <gmock/gmock.h>

#include <map>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "layer_tree.hpp"
#include "oci/artifact_store.hpp"
#include "oci/export_index.hpp"
#include "oci/folder_store.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/text_reader.hpp"
#include "support/run_task.hpp"

namespace cobuild::oci {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class TextSink final : public BlobSink {
 public:
  Task<void> write(std::span<const std::byte> chunk) override {
    text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    co_return;
  }
  std::string text;
};

Task<void> put(ObjectStore& store, std::string name, std::string text) {
  std::uint64_t const size = text.size();
  co_await store.write(std::move(name), size, open_text(std::move(text)));
}

Task<std::string> get(ObjectStore& store, std::string name, std::uint64_t offset = 0,
                      std::uint64_t length = 1000) {
  TextSink sink;
  co_await store.read(std::move(name), offset, length, sink);
  co_return sink.text;
}

Task<std::string> newest(ObjectStore& store, std::string prefix) {
  auto const found = co_await store.find_newest(std::move(prefix));
  co_return found ? found->name : "none";
}

/// What both must do. The stores are told apart by nothing but their names.
Task<void> check_store(PrunableStore& store) {
  EXPECT_EQ(co_await newest(store, ""), "none");
  co_await put(store, "a/one", "first");
  co_await put(store, "a/two", "second");
  co_await put(store, "b:x-1", "");
  EXPECT_EQ(co_await get(store, "a/one"), "first");
  EXPECT_EQ(co_await get(store, "a/two", 2, 3), "con");
  EXPECT_EQ(co_await get(store, "b:x-1"), "");
  EXPECT_EQ(co_await newest(store, "a/"), "a/two");
  EXPECT_EQ(co_await newest(store, "b"), "b:x-1");
  EXPECT_EQ(co_await newest(store, "c"), "none");
  auto const found = co_await store.find("a/two");
  EXPECT_EQ(found.value().size, 6U);
  EXPECT_FALSE((co_await store.find("a")).has_value());
  auto const listed = co_await store.list("a/");
  EXPECT_EQ(listed.size(), 2U);
  EXPECT_GE(listed.front().written, listed.back().written);
  EXPECT_GT(listed.back().written, now() - std::chrono::minutes(10));
  std::vector<std::string> const gone{"a/two", "never was"};
  co_await store.remove(gone);
  EXPECT_EQ(co_await newest(store, "a/"), "a/one");
  std::exception_ptr failure;
  try {
    (void)co_await get(store, "a/two");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNotFound);
    failure = std::current_exception();
  }
  EXPECT_TRUE(failure != nullptr);
}

class FolderTest : public testing::Test {
 protected:
  ~FolderTest() override { pool.join(); }
  test::Scratch scratch;
  asio::thread_pool pool{2};
  FolderStore store{scratch.path() / "new" / "folder", pool};
};

TEST_F(FolderTest, KeepsObjects) { test::run(check_store(store)); }

TEST_F(FolderTest, UnfinishedFilesAreNoObjects) {
  test::write_text(scratch.make("new/folder") / "a%x.tmp-1-1", "half");
  fs::create_directory(scratch.path() / "new/folder/a%directory");
  auto look = [](ObjectStore& folder) -> Task<void> {
    EXPECT_EQ(co_await newest(folder, "a"), "none");
    EXPECT_FALSE((co_await folder.find("a/directory")).has_value());
  };
  test::run(look(store));
}

TEST_F(FolderTest, NamesDoNotLeadOut) {
  for (const char* name : {"..", ".", "", ".hidden", "x.tmp-1", "../../outside"}) {
    EXPECT_THROW(test::run(put(store, name, "x")), Error) << name;
  }
  test::run(put(store, "a/../../../outside", "x"));  // A file with an odd name.
  EXPECT_TRUE(fs::exists(scratch.path() / "new/folder/a%..%..%..%outside"));
}

/// A registry in memory with one repository.
class Memory final : public ContentSource, public ContentTarget {
 public:
  Task<std::optional<ManifestContent>> fetch_manifest(Reference) override {
    ++manifests_read;
    co_return manifest;
  }
  Task<void> fetch_blob(Reference, Descriptor blob, BlobSink& sink, ResumePoint) override {
    std::string const text = blobs.at(blob.digest);
    co_await sink.write(std::as_bytes(std::span(text)));
  }
  Task<bool> has_blob(Reference, BlobDigest digest) override { co_return blobs.contains(digest); }
  Task<void> push_blob(Reference, Descriptor blob, OpenBlob open, std::vector<std::string>) override {
    std::string text(static_cast<std::size_t>(blob.size), '\0');
    auto const reader = co_await open();
    (void)co_await reader->read(std::as_writable_bytes(std::span(text)));
    blobs[blob.digest] = text;
  }
  Task<std::unique_ptr<BlobPush>> begin_blob(Reference) override {
    throw Error(ErrorKind::kInternal, "not asked for here");
    co_return nullptr;
  }
  Task<void> push_manifest(Reference, ManifestContent content) override {
    Manifest const parsed = parse_manifest(content.bytes);
    EXPECT_TRUE(blobs.contains(parsed.config.value().digest));
    for (const Descriptor& layer : parsed.layers) EXPECT_TRUE(blobs.contains(layer.digest));
    manifest = std::move(content);
    co_return;
  }

  std::map<BlobDigest, std::string> blobs;
  std::optional<ManifestContent> manifest;
  int manifests_read = 0;
  int pauses = 0;
  std::function<void(int)> on_pause;
};

Task<void> pause(Memory& registry) {
  ++registry.pauses;
  if (registry.on_pause) registry.on_pause(registry.pauses);
  co_return;
}

/// `work` on a store in `memory`.
template <class Work>
void with_artifact(Memory& memory, Work work) {
  auto run = [](Memory& registry, Work then) -> Task<void> {
    ArtifactStore store(co_await asio::this_coro::executor, registry, registry,
                        Reference::parse("example.com/team/mounts"),
                        [&registry] { return pause(registry); });
    co_await then(store);
  };
  test::run(run(memory, work));
}

TEST(ArtifactStore, KeepsObjects) {
  Memory memory;
  with_artifact(memory, [](ArtifactStore& store) { return check_store(store); });
}

Task<void> put_many(ArtifactStore& store) {
  std::vector<int> numbers{1, 2, 3, 4, 5, 6, 7, 8};
  auto put_one = [&store](int number) { return put(store, std::to_string(number), "text"); };
  co_await for_each_bounded(std::move(numbers), 4, put_one);
}

TEST(ArtifactStore, SeveralAtOnceAndOthersMeanwhileAllStay) {
  Memory memory;
  with_artifact(memory, put_many);
  EXPECT_EQ(parse_manifest(memory.manifest.value().bytes).layers.size(), 8U);
  EXPECT_LE(memory.manifests_read, 9);
  auto both = [](ArtifactStore& store) -> Task<void> {
    EXPECT_EQ(co_await newest(store, "9"), "none");  // It knows the manifest now.
    co_await put(store, "9", "of the first");
  };
  with_artifact(memory, both);
  with_artifact(memory, [](ArtifactStore& store) { return put(store, "10", "of another"); });
  EXPECT_EQ(parse_manifest(memory.manifest.value().bytes).layers.size(), 10U);
}

Task<void> put_two_and_settle(ArtifactStore& store) {
  co_await put(store, "pack", "of this");
  co_await put(store, "index", "of this");
  co_await store.settle();
}

TEST(ArtifactStore, WhatOthersUndoAtTheSameMomentIsPutBack) {
  Memory memory;
  with_artifact(memory, [](ArtifactStore& store) { return put(store, "other", "text"); });
  auto const others = memory.manifest;
  EXPECT_EQ(memory.pauses, 0);
  memory.on_pause = [&](int pauses) {
    if (pauses <= 2) memory.manifest = others;
  };
  with_artifact(memory, put_two_and_settle);
  EXPECT_EQ(memory.pauses, 3);
  auto look = [](ArtifactStore& store) -> Task<void> {
    EXPECT_EQ(co_await get(store, "pack"), "of this");
    EXPECT_EQ(co_await get(store, "index"), "of this");
    EXPECT_EQ(co_await get(store, "other"), "text");
    EXPECT_EQ(co_await newest(store, ""), "index");
    co_await store.settle();  // It wrote nothing.
  };
  with_artifact(memory, look);
  EXPECT_EQ(memory.pauses, 3);
}

TEST(ArtifactStore, OthersWhoNeverStopAreToldOf) {
  Memory memory;
  with_artifact(memory, [](ArtifactStore& store) { return put(store, "other", "text"); });
  memory.on_pause = [&memory, others = memory.manifest](int) { memory.manifest = others; };
  try {
    with_artifact(memory, put_two_and_settle);
    FAIL() << "it settled";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("others keep changing"));
  }
}

TEST(ArtifactStore, ImagesAreNotTouched) {
  Memory memory;
  Manifest image;
  image.media_type = std::string(kOciManifest);
  image.config = describe(std::string(kOciConfig), BlobDigest(Digest::of("{}")), 2);
  std::string text = to_json(image);
  Descriptor const described = describe(image.media_type, BlobDigest(Digest::of(text)), text.size());
  memory.manifest = ManifestContent{described, text};
  try {
    with_artifact(memory, [](ArtifactStore& store) { return put(store, "a", "x"); });
    FAIL() << "it was replaced";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("is an image or something else"));
  }
  EXPECT_EQ(memory.manifest.value().bytes, text);
}

}  // namespace
}  // namespace cobuild::oci
