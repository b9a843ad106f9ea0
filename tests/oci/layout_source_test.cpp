#include "oci/layout_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "oci/resolve.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"
#include "support/run_task.hpp"

namespace cobuild::oci {
namespace {

using testing::HasSubstr;

/// An OCI layout on disk with one image, named as the annotations say.
class Layout {
 public:
  explicit Layout(std::map<std::string, std::string> annotations)
      : directory_(TempDir::create(std::filesystem::temp_directory_path(), "cobuild-layout-")) {
    std::filesystem::create_directories(directory_.path() / "blobs" / "sha256");
    Manifest manifest;
    manifest.media_type = kOciManifest;
    manifest.config = put(kOciConfig, R"({"os":"linux","architecture":"amd64"})");
    manifest.layers = {put(kOciLayer, std::string(3 * 1024 * 1024 + 5, 'x'))};
    layer_ = manifest.layers;
    Index index;
    index.manifests = {put(kOciManifest, to_json(manifest))};
    index.manifests[0].annotations = std::move(annotations);
    std::ofstream(directory_.path() / "index.json") << to_json(index);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return directory_.path(); }
  [[nodiscard]] const Descriptor& layer() const { return layer_.front(); }
  [[nodiscard]] std::filesystem::path blob(const Descriptor& descriptor) const {
    return path() / "blobs" / "sha256" / descriptor.digest.digest().hex();
  }

 private:
  Descriptor put(std::string_view type, const std::string& bytes) const {
    Descriptor descriptor{.media_type = std::string(type),
                          .digest = BlobDigest(Digest::of(bytes)),
                          .size = bytes.size(),
                          .urls = {},
                          .annotations = {},
                          .platform = {},
                          .artifact_type = {},
                          .data = {}};
    std::ofstream(blob(descriptor), std::ios::binary) << bytes;
    return descriptor;
  }

  TempDir directory_;
  std::vector<Descriptor> layer_;
};

Task<void> resolve(std::filesystem::path directory, std::string name, bool found) {
  asio::thread_pool pool(1);
  LayoutSource source(std::move(directory), pool);
  auto const content = co_await source.fetch_manifest(Reference::parse(name));
  EXPECT_EQ(content.has_value(), found) << name;
}

TEST(LayoutSource, FindsByRefNameAndImageName) {
  Layout const by_tag({{"org.opencontainers.image.ref.name", "v1"}});
  test::run(resolve(by_tag.path(), "any.io/thing:v1", true));
  test::run(resolve(by_tag.path(), "any.io/thing:v2", false));
  test::run(resolve(by_tag.path(), "any.io/thing", false));
  Layout const by_name({{"io.containerd.image.name", "docker.io/library/x:v1"}});
  test::run(resolve(by_name.path(), "x:v1", true));
  test::run(resolve(by_name.path(), "y:v1", false));
  Layout const unnamed({});
  test::run(resolve(unnamed.path(), "anything", true));
  test::run(resolve(unnamed.path(), "anything:v1", false));
}

Task<void> fetch(std::filesystem::path directory, Descriptor layer) {
  asio::thread_pool pool(1);
  LayoutSource source(std::move(directory), pool);
  auto const image =
      co_await resolve_image(source, Reference::parse("x"), parse_platform("linux/amd64"));
  EXPECT_EQ(image.manifest.layers.front(), layer);
  auto const bytes =
      co_await fetch_small_blob(source, Reference::parse("x"), layer, std::size_t{1} << 24);
  EXPECT_EQ(bytes.size(), layer.size);
}

TEST(LayoutSource, ResolvesAndStreams) {
  Layout const layout({});
  test::run(fetch(layout.path(), layout.layer()));
}

TEST(LayoutSource, NoticesAFlippedByteAndAMissingFile) {
  Layout const layout({});
  {
    std::fstream file(layout.blob(layout.layer()), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(2000000);
    file.put('y');
  }
  try {
    test::run(fetch(layout.path(), layout.layer()));
    ADD_FAILURE() << "not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(error.what(), HasSubstr(layout.blob(layout.layer()).string()));
  }
  std::filesystem::remove(layout.blob(layout.layer()));
  EXPECT_THROW(test::run(fetch(layout.path(), layout.layer())), Error);
}

TEST(LayoutSource, SaysThatADirectoryIsNoLayout) {
  try {
    test::run(resolve("/proc/self", "x", false));
    ADD_FAILURE() << "not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "/proc/self is not an OCI layout: it has no index.json");
    EXPECT_EQ(error.kind(), ErrorKind::kNotFound);
  }
}

}  // namespace
}  // namespace cobuild::oci
