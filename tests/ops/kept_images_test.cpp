/// Images that a machine has by name.

#include "ops/kept_images.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <string>

#include "core/base/error.hpp"
#include "core/store/collect.hpp"
#include "ops/image_resolver.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

oci::ExportDocument document(std::string media_type, std::string text) {
  BlobDigest const digest(Digest::of(text));
  return {std::move(media_type), digest, std::move(text)};
}

const Digest kLayerTar = Digest::of(std::string_view("tar"));
const BlobDigest kLayerBlob(Digest::of(std::string_view("blob")));

/// One layer, for linux/amd64.
oci::ExportImage make_image() {
  oci::ExportDocument const config = document(
      "application/vnd.oci.image.config.v1+json",
      R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[")" +
          kLayerTar.to_string() + "\"]}}");
  oci::ExportDocument const manifest = document(
      "application/vnd.oci.image.manifest.v1+json",
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":")" +
          config.media_type + R"(","digest":")" + config.digest.to_string() + R"(","size":)" +
          std::to_string(config.text.size()) +
          R"(},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")" +
          kLayerBlob.to_string() + R"(","size":4}]})");
  oci::Descriptor layer{.media_type = "application/vnd.oci.image.layer.v1.tar+gzip",
                        .digest = kLayerBlob,
                        .size = 4,
                        .urls = {},
                        .annotations = {},
                        .platform = {},
                        .artifact_type = {},
                        .data = {}};
  return {.root = manifest,
          .documents = {config},
          .layers = {layer},
          .config = config.digest,
          .created = {},
          .names = {},
          .descriptor_annotations = {},
          .platform = {}};
}

class KeptImagesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "layers keep owners, which only root can set";
  }
  store::LayerId add_layer() {
    store::LayerAttributes attributes;
    attributes.diff_id = DiffId(kLayerTar);
    attributes.blob = store::LayerBlob{kLayerBlob, 4, "t", {"docker.io/library/base"}, false};
    return process.run(process.store().add_remote_layer(ChainId(kLayerTar), attributes));
  }
  std::optional<ops::KeptImage> find(const std::string& name) {
    return process.run(ops::find_kept_image(process.store(), oci::Reference::parse(name)));
  }

  TempDir directory = TempDir::create(std::filesystem::temp_directory_path(), "cobuild-kept-");
  StoreProcess process{directory.path() / "store"};
};

TEST_F(KeptImagesTest, ANameLeadsToTheWholeImage) {
  oci::ExportImage const image = make_image();
  store::LayerId const layer = add_layer();
  ASSERT_TRUE(ops::keep_image(process.store(), oci::Reference::parse("a:1"), image, {layer, layer}));
  for (bool const written : {false, true}) {
    if (written) process.run(process.store().publish());
    auto const kept = find("docker.io/library/a:1");
    ASSERT_TRUE(kept.has_value());
    EXPECT_EQ(kept->image.root.text, image.root.text);
    EXPECT_EQ(kept->image.root.digest, image.root.digest);
    EXPECT_EQ(kept->image.documents.at(0).text, image.documents.at(0).text);
    EXPECT_EQ(kept->image.layers, image.layers);
    EXPECT_THAT(kept->layers, ElementsAre(layer));
    EXPECT_TRUE(find("a:1@" + image.root.digest.to_string()).has_value());
  }
  EXPECT_FALSE(find("a:2").has_value());
  EXPECT_FALSE(find("a:1@" + kLayerBlob.to_string()).has_value()) << "another digest";
}

TEST_F(KeptImagesTest, ImagesWithoutATagAreFoundByDigest) {
  oci::ExportImage const image = make_image();
  auto const name = oci::Reference::parse("r/a@" + image.root.digest.to_string());
  ASSERT_TRUE(ops::keep_image(process.store(), name, image, {add_layer()}));
  EXPECT_TRUE(find(name.to_string()).has_value());
  EXPECT_EQ(ops::list_kept_images(process.store()).at(0).name, name);
}

TEST_F(KeptImagesTest, GoWithTheirLayers) {
  {
    StoreProcess other(directory.path() / "store");
    ops::keep_image(other.store(), oci::Reference::parse("a"), make_image(),
                    {store::LayerId{add_layer()}});
    other.run(other.store().publish());
  }
  EXPECT_EQ(ops::list_kept_images(process.store()).size(), 1U);
  process.close();
  process.open();
  store::PruneOptions all;
  all.all = true;
  process.run(store::prune(process.store(), all));
  EXPECT_FALSE(find("a").has_value());
  EXPECT_TRUE(ops::list_kept_images(process.store()).empty());
  EXPECT_TRUE(process.store().list_notes("kept-image").empty());
}

TEST_F(KeptImagesTest, DamagedNotesAreNone) {
  process.store().put_note("kept-image", "docker.io/library/a:1", R"({"keptAt":1,"root":7})");
  EXPECT_FALSE(find("a:1").has_value());
  EXPECT_TRUE(ops::list_kept_images(process.store()).empty());
}

TEST_F(KeptImagesTest, WhatIsTooLongIsNotKept) {
  oci::ExportImage image = make_image();
  image.documents.push_back(document("x", std::string(store::Store::kNoteBytesMax, 'x')));
  EXPECT_FALSE(ops::keep_image(process.store(), oci::Reference::parse("a"), image, {}));
  EXPECT_FALSE(find("a").has_value());
}

/// A registry that has nothing, or is not there.
class NoRegistry final : public oci::ContentSource {
 public:
  Task<std::optional<oci::ManifestContent>> fetch_manifest(oci::Reference) override {
    ++asked;
    throw Error(ErrorKind::kUnavailable, "nobody there");
    co_return std::nullopt;
  }
  Task<void> fetch_blob(oci::Reference, oci::Descriptor, oci::BlobSink&,
                        oci::ResumePoint) override {
    throw Error(ErrorKind::kUnavailable, "nobody there");
    co_return;
  }
  int asked = 0;
};

class KeptImagesResolveTest : public KeptImagesTest {
 protected:
  ops::ResolvedImage resolve(const std::string& reference, ops::ResolveMode mode) {
    pb::Platform platform;
    platform.set_os("linux");
    platform.set_architecture("amd64");
    return process.run(images.resolve(reference, platform, mode));
  }

  NoRegistry registry;
  ops::ContentSources sources{registry, describe(), {}};
  ops::ImageResolver images{process.loop().get_executor(), process.store(), sources};

 private:
  std::function<Task<std::optional<oci::Descriptor>>(oci::Reference)> describe() {
    return [this](oci::Reference reference) -> Task<std::optional<oci::Descriptor>> {
      auto content = co_await registry.fetch_manifest(reference);
      co_return content->descriptor;
    };
  }
};

TEST_F(KeptImagesResolveTest, TheRegistryComesFirstUnlessAskedOtherwise) {  // F1.11.15
  oci::ExportImage const image = make_image();
  ops::keep_image(process.store(), oci::Reference::parse("a:1"), image, {add_layer()});
  ops::ResolvedImage const found = resolve("docker.io/library/a:1", ops::ResolveMode::kDefault);
  EXPECT_EQ(registry.asked, 1);
  EXPECT_EQ(found.manifest_digest, image.root.digest.digest());
  EXPECT_EQ(found.reference, "docker.io/library/a");
  EXPECT_THAT(found.kept_reason, HasSubstr("nobody there"));
  ASSERT_EQ(found.layers.size(), 1U);
  EXPECT_EQ(found.layers[0].blob, kLayerBlob);
  EXPECT_THAT(found.layers[0].sources, ElementsAre("docker.io/library/base"));
  // The vertex asks for what the frontend was told.
  std::string const pinned = "docker.io/library/a@" + image.root.digest.to_string();
  EXPECT_EQ(resolve(pinned, ops::ResolveMode::kDefault).manifest_digest, found.manifest_digest);
  EXPECT_EQ(registry.asked, 1);

  EXPECT_EQ(resolve("docker.io/library/a:1", ops::ResolveMode::kLocal).manifest_digest,
            found.manifest_digest);
  EXPECT_EQ(registry.asked, 1);
  EXPECT_THROW(resolve("docker.io/library/a:1", ops::ResolveMode::kPull), Error);
  EXPECT_EQ(registry.asked, 2);
  EXPECT_THROW(resolve("docker.io/library/b:1", ops::ResolveMode::kDefault), Error);
}

}  // namespace
}  // namespace cobuild::test
