#include "cli/image_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "oci/export_index.hpp"
#include "oci/image_config_patch.hpp"

namespace cobuild::cli {
namespace {

using testing::HasSubstr;

const BlobDigest kBlob(Digest::of(std::string_view("blob")));

oci::ExportImage image_for(std::string_view architecture) {
  std::vector<oci::ImageLayer> layers(
      1, {.diff_id = DiffId(Digest::of(std::string_view("tar"))),
          .blob_digest = kBlob,
          .blob_bytes = 1000,
          .media_type = "application/vnd.oci.image.layer.v1.tar+gzip",
          .annotations = {},
          .created_at = Timestamp(),
          .description = "COPY"});
  std::string const config = oci::default_image_config("linux", architecture, "");
  return oci::export_of(oci::build_image(config, layers), layers, Timestamp());
}

ops::KeptImage kept(oci::ExportImage image, std::string_view name = "a:1") {
  return {oci::Reference::parse(name), Timestamp(std::chrono::milliseconds(1500)),
          std::move(image), {}};
}

ops::KeptImage of_two_platforms() {
  oci::ExportImage const amd64 = image_for("amd64");
  oci::ExportImage const riscv = image_for("riscv64");
  oci::Platform first;
  first.os = "linux";
  first.architecture = "amd64";
  oci::Platform second = first;
  second.architecture = "riscv64";
  return kept(oci::index_of({{first, &amd64}, {second, &riscv}}, {}, Timestamp()), "r.io/b:2");
}

TEST(ImageTable, Rows) {
  std::string const table = render_images_table({kept(image_for("amd64")), of_two_platforms()});
  EXPECT_THAT(table, testing::StartsWith("NAME "));
  EXPECT_THAT(table, testing::ContainsRegex("\na:1 +sha256:[0-9a-f]{12} +linux/amd64 +1970-01-01T00:00:01Z +1\\.[0-9]+kB\n"));
  EXPECT_THAT(table, testing::ContainsRegex("\nr.io/b:2 +sha256:[0-9a-f]{12} +linux/amd64,linux/riscv64 "));
}

TEST(ImageTable, JsonLines) {
  std::string const text = render_images_json({kept(image_for("amd64"))});
  EXPECT_THAT(text, HasSubstr(R"("name":"docker.io/library/a:1")"));
  EXPECT_THAT(text, HasSubstr(R"("platforms":["linux/amd64"],"keptAt":"1970-01-01T00:00:01Z")"));
  EXPECT_EQ(render_images_json({}), "");
}

TEST(ImageTable, OneImageTellsWhatIsHere) {
  auto const here = [](const BlobDigest& digest) { return digest == kBlob; };
  std::string const text = render_image(of_two_platforms(), here);
  EXPECT_THAT(text, HasSubstr(R"("platform": "linux/riscv64")"));
  EXPECT_THAT(text, HasSubstr(R"("here": true)"));
  EXPECT_THAT(text, HasSubstr(R"("architecture": "riscv64")"));
  auto const nowhere = [](const BlobDigest&) { return false; };
  EXPECT_THAT(render_image(of_two_platforms(), nowhere), HasSubstr(R"("here": false)"));
}

TEST(ImageTable, RawDocuments) {
  ops::KeptImage const image = kept(image_for("amd64"));
  EXPECT_EQ(raw_manifest(image), image.image.root.text);
  EXPECT_EQ(raw_config(image), image.image.documents.at(0).text);
  ops::KeptImage empty = image;
  empty.image.documents.clear();
  EXPECT_THROW(static_cast<void>(raw_config(empty)), Error);
}

oci::Descriptor referrer(std::string artifact_type) {
  return {.media_type = "a/b",
          .digest = kBlob,
          .size = 1234,
          .urls = {},
          .annotations = {{"org.opencontainers.image.created", "2024-01-02T03:04:05Z"}},
          .platform = {},
          .artifact_type = std::move(artifact_type),
          .data = {}};
}

TEST(Referrers, Table) {
  oci::Descriptor const signature = referrer("evil\x1b[2J\ttype\n" + std::string(200, 'x'));
  std::string const table = render_referrers_table({signature});
  EXPECT_THAT(table, testing::StartsWith("DIGEST "));
  EXPECT_THAT(table, HasSubstr("\n" + kBlob.to_string() + "   evil[2J type xxx"));
  EXPECT_THAT(table, HasSubstr("x...   1.23kB   2024-01-02T03:04:05Z\n"));
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 2);
  EXPECT_EQ(render_referrers_table({}), "DIGEST   ARTIFACT TYPE   SIZE   CREATED\n");
}

TEST(Referrers, JsonLines) {
  std::string const text = render_referrers_json({referrer("x/\ny"), referrer("")});
  EXPECT_THAT(text, testing::StartsWith(R"({"mediaType":"a/b","digest":")" + kBlob.to_string()));
  EXPECT_THAT(text, HasSubstr(R"("artifactType":"x/\ny")"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_EQ(render_referrers_json({}), "");
}

}  // namespace
}  // namespace cobuild::cli
