#include "core/store/verify.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "core/base/error.hpp"
#include "core/store/collect.hpp"
#include "core/store/database.hpp"
#include "core/store/key_index.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::store {
namespace {

using test::add_layer;
using test::chain_id;
using test::StoreProcess;
using test::StoreTest;
using test::write_blob;
using test::write_text;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

BlobDigest digest_of(const std::string& text) {
  return BlobDigest(Digest::of(text));
}

std::filesystem::path blob_file(const std::filesystem::path& root, const std::string& text) {
  return root / "blobs" / "sha256" / Digest::of(text).hex();
}

std::vector<std::string> lines(const VerifyReport& report) {
  std::vector<std::string> out;
  for (const Damage& damage : report.damages)
    out.push_back(std::string(to_string(damage.kind)) + " " + damage.name + ": " + damage.problem);
  return out;
}

TEST_F(StoreTest, VerifyFindsNothingInAStoreThatIsWhole) {
  StoreProcess process(root);
  add_layer(process, "x");
  write_blob(process, "blob");
  VerifyReport const report = process.run(verify_store(process.store()));
  EXPECT_THAT(lines(report), IsEmpty());
  EXPECT_THAT(report.strays, IsEmpty());
  EXPECT_EQ(report.layers, 1);
  EXPECT_EQ(report.blobs, 1);
  EXPECT_EQ(report.bytes, 4);
}

TEST_F(StoreTest, VerifyDropsDamagedBlobs) {
  StoreProcess process(root);
  for (const char* text : {"whole", "missing", "longer", "other bytes"}) write_blob(process, text);
  std::filesystem::remove(blob_file(root, "missing"));
  write_text(blob_file(root, "longer"), "longer than it was");
  write_text(blob_file(root, "other bytes"), "bytes other");
  VerifyReport const report = process.run(verify_store(process.store()));
  EXPECT_THAT(
      lines(report),
      UnorderedElementsAre("blob " + digest_of("missing").to_string() + ": its file is missing",
                           "blob " + digest_of("longer").to_string() + ": has 18 bytes, not 6",
                           "blob " + digest_of("other bytes").to_string() + ": has the digest " +
                               digest_of("bytes other").to_string()));
  EXPECT_TRUE(process.store().has_blob(digest_of("whole")));
  EXPECT_FALSE(process.store().has_blob(digest_of("other bytes")));
  EXPECT_FALSE(std::filesystem::exists(blob_file(root, "longer")));
  write_blob(process, "longer");  // can be had again
  EXPECT_THAT(lines(process.run(verify_store(process.store()))), IsEmpty());
}

TEST_F(StoreTest, VerifyForgetsALayerWhoseOnlyBlobIsDamaged) {
  StoreProcess process(root);
  LayerAttributes lost;
  lost.blob = LayerBlob{digest_of("lost"), 4, "m", {}, true};
  LayerAttributes pulled;
  pulled.blob = LayerBlob{digest_of("pulled"), 6, "m", {"example.com/a"}, true};
  LayerId const made = process.run(process.store().add_remote_layer(chain_id("made"), lost));
  LayerId const known = process.run(process.store().add_remote_layer(chain_id("known"), pulled));
  for (const char* text : {"lost", "pulled"}) {
    write_blob(process, text);
    std::filesystem::remove(blob_file(root, text));
  }
  EXPECT_EQ(process.run(verify_store(process.store())).damages.size(), 2U);
  EXPECT_THROW((void)process.store().get_layer(made), Error);
  ASSERT_EQ(process.store().get_layer(known).blobs.size(), 1U);
  EXPECT_FALSE(process.store().get_layer(known).blobs[0].present) << "it can be pulled again";
}

TEST_F(StoreTest, VerifyForgetsLayersWithoutFiles) {
  StoreProcess process(root);
  LayerId const gone = add_layer(process, "gone", {.description = "RUN make"});
  LayerId const kept = add_layer(process, "kept");
  KeyIndex index(process.store());
  KeyId const key = index.add_root(Digest::of("key"));
  index.add_result(key, {{kept, gone}, now(), ""});
  std::filesystem::remove_all(process.store().snapshot_path(gone));
  EXPECT_THAT(
      lines(process.run(verify_store(process.store()))),
      ElementsAre("layer " + std::to_string(gone.value) + " (RUN make): its files are missing"));
  EXPECT_THROW((void)process.store().get_layer(gone), Error);
  EXPECT_THAT(index.results(key), IsEmpty());
  EXPECT_TRUE(process.store().get_layer(kept).has_snapshot);
}

TEST_F(StoreTest, VerifyReadsLayersThatHaveAChecksum) {
  StoreProcess process(root);
  LayerId const layer = add_layer(process, "x");
  {
    Database database(root / "store.db", std::chrono::seconds(1));
    database.run("UPDATE layers SET checksum = 'of other files' WHERE id = ?", {layer.value});
  }
  EXPECT_THAT(
      lines(process.run(verify_store(process.store()))),
      ElementsAre("layer " + std::to_string(layer.value) + ": its files are not what was written"));
}

TEST_F(StoreTest, VerifyRemovesWhatBelongsToNothing) {
  StoreProcess process(root);
  LayerId const layer = add_layer(process, "x");
  std::filesystem::create_directories(root / "snapshots" / "999" / "fs");
  std::filesystem::create_directories(root / "caches" / "0123");
  write_text(blob_file(root, "x"), "torn");
  {
    Database database(root / "store.db", std::chrono::seconds(1));
    database.run(
        "INSERT INTO results(id, key, chain, created_at, ingredients) "
        "VALUES(77, 1, '12345', 0, '')");
    database.run("INSERT INTO result_layers(layer, result) VALUES(12345, 77)");
  }
  VerifyReport const report = process.run(verify_store(process.store()));
  EXPECT_THAT(report.strays, UnorderedElementsAre("snapshots/999", "caches/0123",
                                                  "blobs/sha256/" + Digest::of("x").hex()));
  EXPECT_THAT(lines(report), ElementsAre("result 1: their layers are missing"));
  EXPECT_TRUE(process.store().get_layer(layer).has_snapshot);
  EXPECT_FALSE(std::filesystem::exists(root / "snapshots" / "999"));
}

}  // namespace
}  // namespace cobuild::store
