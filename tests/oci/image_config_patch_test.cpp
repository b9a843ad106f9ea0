#include "oci/image_config_patch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.hpp"

namespace cobuild::oci {
namespace {

using testing::HasSubstr;

Timestamp at(std::int64_t seconds) {
  return Timestamp(std::chrono::seconds(seconds));
}

ImageLayer layer(std::string_view name, std::optional<Timestamp> created = std::nullopt) {
  return {.diff_id = DiffId(Digest::of("diff " + std::string(name))),
          .blob_digest = BlobDigest(Digest::of("blob " + std::string(name))),
          .blob_bytes = 7,
          .media_type = "application/vnd.oci.image.layer.v1.tar+gzip",
          .annotations = {},
          .created_at = created,
          .description = "made " + std::string(name)};
}

std::string config_with(std::string_view history, std::string_view more = "") {
  return R"({"architecture":"amd64","os":"linux","config":{"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":null},)" +
         std::string(more) + R"("history":)" + std::string(history) + "}";
}

/// The history of the built image's config, as it is written.
std::string history_of(const BuiltImage& image) {
  std::size_t const start = image.config.find("\"history\":") + 10;
  return image.config.substr(start, image.config.find(",\"os\"") - start);
}

/// F4.5.3, F4.5.7.
TEST(BuildImage, SortsKeysAndKeepsWhatItDoesNotKnow) {
  BuiltImage const image = build_image(
      R"({"os":"linux","zz":{"b":1,"a":"<&>"},"architecture":"arm64","rootfs":{"type":"x"},"created":"2020-01-01T00:00:00Z"})",
      {layer("a", at(0))});
  EXPECT_EQ(
      image.config,
      R"({"architecture":"arm64","created":"2020-01-01T00:00:00Z","history":[{"created":"1970-01-01T00:00:00Z","created_by":"made a","comment":"buildkit.exporter.image.v0"}],"os":"linux","rootfs":{"type":"layers","diff_ids":[")" +
          layer("a").diff_id.to_string() + R"("]},"zz":{"b":1,"a":"\u003c\u0026\u003e"}})");
  EXPECT_EQ(image.config_digest, BlobDigest(Digest::of(image.config)));
  EXPECT_EQ(image.manifest_digest, BlobDigest(Digest::of(image.manifest)));
}

/// F4.5.1, F4.5.3, F4.5.6.
TEST(BuildImage, ManifestIsIndented) {
  ImageLayer one = layer("a");
  one.annotations = {{"containerd.io/uncompressed", "x"},
                     {"buildkit/createdat", "x"},
                     {"containerd.io/distribution.source.docker.io", "x"},
                     {"buildkit/rewritten-timestamp", "5"}};
  BuiltImage const image = build_image(config_with("[]"), {one});
  EXPECT_EQ(image.manifest, R"({
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": ")" + image.config_digest.to_string() +
                                R"(",
    "size": )" + std::to_string(image.config.size()) +
                                R"(
  },
  "layers": [
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": ")" + one.blob_digest.to_string() +
                                R"(",
      "size": 7,
      "annotations": {
        "buildkit/rewritten-timestamp": "5"
      }
    }
  ]
})");
}

/// F4.5.2, F4.5.6.
TEST(BuildImage, DockerTypesWhenAskedFor) {
  ImageLayer one = layer("a");
  one.annotations = {{"kept", "only in OCI manifests"}};
  BuiltImage const image = build_image(config_with("[]"), {one},
                                       {.oci_media_types = false,
                                        .epoch = {},
                                        .base_config = {},
                                        .inline_cache = {},
                                        .manifest_annotations = {},
                                        .squashed_above = {}});
  EXPECT_THAT(image.manifest, HasSubstr("application/vnd.docker.distribution.manifest.v2+json"));
  EXPECT_THAT(image.manifest, HasSubstr("application/vnd.docker.container.image.v1+json"));
  EXPECT_THAT(image.manifest, HasSubstr("application/vnd.docker.image.rootfs.diff.tar.gzip"));
  EXPECT_THAT(image.manifest, Not(HasSubstr("annotations")));
}

/// F10.85, F4.5.4, F4.5.11.
TEST(BuildImage, ScratchHasNoLayers) {
  BuiltImage const image = build_image(default_image_config("linux", "amd64", ""), {});
  EXPECT_EQ(
      image.config,
      R"({"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"created":null,"history":null,"os":"linux","rootfs":{"type":"layers","diff_ids":null}})");
  EXPECT_THAT(image.manifest, HasSubstr("\"layers\": null"));
}

/// F4.5.7.
TEST(BuildImage, SaysWhatIsMissing) {
  for (const auto& [config, message] :
       {std::pair(R"({"architecture":"amd64"})", "invalid image config for export: missing os"),
        std::pair(R"({"os":"linux"})", "invalid image config for export: missing architecture")}) {
    try {
      (void)build_image(config, {});
      FAIL();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  }
  EXPECT_THROW((void)build_image("null", {}), Error);
  EXPECT_THROW((void)build_image("{", {}), Error);
}

struct HistoryCase {
  const char* name;
  const char* history;
  std::vector<ImageLayer> layers;
  std::optional<Timestamp> epoch;
  std::string base_history;
  const char* expected;
};

class Histories : public testing::TestWithParam<HistoryCase> {};

TEST_P(Histories, AreFixedUp) {
  const HistoryCase& c = GetParam();
  ImageOptions options;
  options.epoch = c.epoch;
  if (!c.base_history.empty()) options.base_config = config_with(c.base_history);
  EXPECT_EQ(history_of(build_image(config_with(c.history), c.layers, options)), c.expected);
}

std::vector<HistoryCase> history_cases() {
  return {
      // F4.5.8
      {"TooFewEntries",
       R"([{"created_by":"a"}])",
       {layer("a", at(1)), layer("b", at(2))},
       {},
       "",
       R"([{"created":"1970-01-01T00:00:01Z","created_by":"a"},{"created":"1970-01-01T00:00:02Z","created_by":"made b","comment":"buildkit.exporter.image.v0"}])"},
      {"TooManyEntries",
       R"([{"created_by":"a"},{"created_by":"b"}])",
       {layer("a", at(1))},
       {},
       "",
       R"([{"created":"1970-01-01T00:00:01Z","created_by":"a"},{"created":"1970-01-01T00:00:01Z","created_by":"b","empty_layer":true}])"},
      // F10.87: next new layer, then the one before
      {"MetadataTakesTheNextLayersTime",
       R"([{"created":"1970-01-01T00:00:01Z","created_by":"base"},{"created_by":"ENV","empty_layer":true},{"created_by":"RUN"},{"created_by":"CMD","empty_layer":true}])",
       {layer("a", at(50)), layer("b", at(60))},
       {},
       "",
       R"([{"created":"1970-01-01T00:00:01Z","created_by":"base"},{"created":"1970-01-01T00:01:00Z","created_by":"ENV","empty_layer":true},{"created":"1970-01-01T00:01:00Z","created_by":"RUN"},{"created":"1970-01-01T00:01:00Z","created_by":"CMD","empty_layer":true}])"},
      {"MetadataAfterTheBaseOnly",
       R"([{"created":"1970-01-01T00:00:01Z","created_by":"base"},{"created_by":"ENV","empty_layer":true}])",
       {layer("a", at(50))},
       {},
       "",
       R"([{"created":"1970-01-01T00:00:01Z","created_by":"base"},{"created":"1970-01-01T00:00:01Z","created_by":"ENV","empty_layer":true}])"},
      {"MetadataOnly",
       R"([{"created_by":"ENV","empty_layer":true}])",
       {},
       {},
       "",
       R"([{"created_by":"ENV","empty_layer":true}])"},
      // F4.6.1
      {"EpochClampsLaterTimesOnly",
       R"([{"created":"1970-01-01T00:00:01Z","created_by":"old"},{"created_by":"new"}])",
       {layer("a", at(50)), layer("b", at(60))},
       at(30),
       "",
       R"([{"created":"1970-01-01T00:00:01Z","created_by":"old"},{"created":"1970-01-01T00:00:30Z","created_by":"new"}])"},
      {"EpochFillsMissingTimes",
       R"([{"created_by":"ENV","empty_layer":true}])",
       {},
       at(30),
       "",
       R"([{"created":"1970-01-01T00:00:30Z","created_by":"ENV","empty_layer":true}])"},
      // F10.96
      {"BaseHistoryIsKept",
       R"([{"created":"1970-01-01T00:01:00Z","created_by":"base"},{"created":"1970-01-01T00:02:00Z","created_by":"new"}])",
       {layer("a", at(60)), layer("b", at(120))},
       at(30),
       R"([{"created":"1970-01-01T00:01:00Z","created_by":"base"}])",
       R"([{"created":"1970-01-01T00:01:00Z","created_by":"base"},{"created":"1970-01-01T00:00:30Z","created_by":"new"}])"},
      {"BaseHistoryAfterADifferenceIsNot",
       R"([{"created":"1970-01-01T00:01:00Z","created_by":"other"},{"created":"1970-01-01T00:02:00Z","created_by":"base2"}])",
       {layer("a", at(60)), layer("b", at(120))},
       at(30),
       R"([{"created":"1970-01-01T00:01:00Z","created_by":"base"},{"created":"1970-01-01T00:02:00Z","created_by":"base2"}])",
       R"([{"created":"1970-01-01T00:00:30Z","created_by":"other"},{"created":"1970-01-01T00:00:30Z","created_by":"base2"}])"},
  };
}

INSTANTIATE_TEST_SUITE_P(Table, Histories, testing::ValuesIn(history_cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(BuildImage, SquashedLayersAreOneEntry) {
  ImageOptions options;
  options.squashed_above = 1;
  std::string const history =
      R"([{"created":"1970-01-01T00:00:01Z","created_by":"base"},{"created_by":"RUN 1"},)"
      R"({"created_by":"ENV","empty_layer":true},{"created_by":"RUN 2"}])";
  std::string const config =
      build_image(config_with(history), {layer("a", at(1)), layer("b", at(9))}, options).config;
  EXPECT_THAT(config,
              HasSubstr(R"([{"created":"1970-01-01T00:00:01Z","created_by":"base"},)"
                        R"({"created":"1970-01-01T00:00:09Z","created_by":"RUN 1","empty_layer":true},)"
                        R"({"created":"1970-01-01T00:00:09Z","created_by":"ENV","empty_layer":true},)"
                        R"({"created":"1970-01-01T00:00:09Z","created_by":"RUN 2","empty_layer":true},)"
                        R"({"created":"1970-01-01T00:00:09Z")"));
  EXPECT_THAT(config, HasSubstr(R"("comment":"cobuild.exporter.squash.v0"}])"));
  options.squashed_above = 2;
  EXPECT_THAT(build_image(config_with("[]"), {layer("a", at(1))}, options).config,
              testing::Not(HasSubstr("squash")));
}

TEST(BuildImage, UrlsAndAnnotationsOfLayers) {
  ImageLayer const plain = layer("a", at(1));
  ImageLayer told = plain;
  told.urls = {"https://example.com/a"};
  told.annotations = {{"containerd.io/snapshot/stargz/toc.digest", "sha256:0"},
                      {"buildkit/createdat", "x"}};
  std::string const manifest = build_image(config_with("[]"), {told}).manifest;
  EXPECT_THAT(manifest, HasSubstr("\"urls\": [\n        \"https://example.com/a\"\n"));
  EXPECT_THAT(manifest, HasSubstr("\"containerd.io/snapshot/stargz/toc.digest\": \"sha256:0\"\n"));
  EXPECT_THAT(manifest, testing::Not(HasSubstr("createdat")));
}

/// F4.5.9.
TEST(BuildImage, CreatedIsTheLastTimeUnlessGiven) {
  std::vector<ImageLayer> const layers{layer("a", at(1)), layer("b", at(5))};
  EXPECT_THAT(build_image(config_with("[]"), layers).config,
              HasSubstr(R"("created":"1970-01-01T00:00:05Z","history")"));
  std::string const given = config_with("[]", R"("created":"2021-01-01T00:00:00Z",)");
  EXPECT_THAT(build_image(given, layers).config,
              HasSubstr(R"("created":"2021-01-01T00:00:00Z","history")"));
  ImageOptions options;
  options.epoch = at(3);
  EXPECT_THAT(build_image(given, layers, options).config,
              HasSubstr(R"("created":"1970-01-01T00:00:03Z","history")"));
}

/// F4.5.10.
TEST(BuildImage, InlineCacheIsBase64) {
  ImageOptions options;
  options.inline_cache = R"([{"layers":1}])";
  EXPECT_THAT(build_image(config_with("[]"), {}, options).config,
              HasSubstr(R"("moby.buildkit.cache.v0":"W3sibGF5ZXJzIjoxfV0=")"));
}

}  // namespace
}  // namespace cobuild::oci
