#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <string>

#include "core/base/error.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/json_text.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"

#include <boost/json/value.hpp>

namespace cobuild::oci {
namespace {

const std::string kDigest =
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

Descriptor descriptor(std::string_view type, std::uint64_t size) {
  return Descriptor{.media_type = std::string(type),
                    .digest = BlobDigest(Digest::parse(kDigest)),
                    .size = size,
                    .urls = {},
                    .annotations = {},
                    .platform = {},
                    .artifact_type = {},
                    .data = {}};
}

TEST(JsonText, EscapesAsGoDoes) {
  EXPECT_EQ(
      to_compact_text(
          parse_json(R"({"b":"<a>&\u2028\u0007\u0008\u007f","a":[1,-2,true,null,0.5,{}]})", "x")),
      "{\"b\":\"\\u003ca\\u003e\\u0026\\u2028\\u0007\\b\x7f\",\"a\":[1,-2,true,null,0.5,{}]}");
}

TEST(JsonText, IndentsByTwo) {  // F4.5.3
  EXPECT_EQ(to_indented_text(parse_json(R"({"a":[],"b":{"c":[1,2]}})", "x")),
            "{\n  \"a\": [],\n  \"b\": {\n    \"c\": [\n      1,\n      2\n    ]\n  }\n}");
}

TEST(JsonText, RefusesDeepNesting) {
  EXPECT_THROW((void)parse_json(std::string(100000, '['), "x"), Error);
}

TEST(Manifest, WritesWhatBuildKitWrites) {
  Manifest manifest;
  manifest.media_type = kOciManifest;
  manifest.config = descriptor(kOciConfig, 2);
  manifest.layers = {descriptor(kOciLayerGzip, 100)};
  std::string const text = to_json(manifest);
  EXPECT_EQ(text, R"({
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": ")" + kDigest +
                      R"(",
    "size": 2
  },
  "layers": [
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": ")" + kDigest +
                      R"(",
      "size": 100
    }
  ]
})");
  EXPECT_EQ(parse_manifest(text), manifest);
}

TEST(Manifest, NoLayersAreNull) {
  Manifest manifest;
  manifest.config = descriptor(kOciConfig, 2);
  EXPECT_NE(to_json(manifest).find("\"layers\": null"), std::string::npos);
  EXPECT_EQ(parse_manifest(to_json(manifest)), manifest);
}

TEST(Index, RoundTripsWithPlatforms) {
  Index index;
  index.media_type = kOciIndex;
  index.manifests = {descriptor(kOciManifest, 5)};
  index.manifests[0].platform = Platform{"linux", "arm", "v7", "1.2", {"f"}};
  index.manifests[0].annotations = {{"k", "v"}};
  index.annotations = {{"z", "<"}};
  EXPECT_EQ(parse_index(to_json(index)), index);
}

struct BadCase {
  const char* name;
  std::function<void()> read;
  std::string why;
  ErrorKind kind = ErrorKind::kCorrupt;

  friend void PrintTo(const BadCase& c, std::ostream* out) { *out << c.name; }
};

class BadDocument : public testing::TestWithParam<BadCase> {};

TEST_P(BadDocument, NamesTheWrongMember) {
  try {
    GetParam().read();
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()), GetParam().why);
    EXPECT_EQ(e.kind(), GetParam().kind);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadDocument,
    testing::Values(
        BadCase{"NoObject", [] { (void)parse_manifest("[]"); }, "manifest is not a JSON object"},
        BadCase{"NoJson", [] { (void)parse_manifest("{"); },
                "image manifest is not valid JSON: incomplete JSON"},
        BadCase{"BadDigest",
                [] { (void)parse_manifest(R"({"layers":[{"digest":"x","size":1}]})"); },
                "manifest.layers[0].digest is not a digest"},
        BadCase{"Sha512",
                [] {
                  (void)parse_manifest(R"({"config":{"digest":"sha512:)" + std::string(128, 'a') +
                                       "\",\"size\":1}}");
                },
                "manifest.config.digest is a sha512 digest: only sha256 is supported",
                ErrorKind::kUnsupported},
        BadCase{
            "NegativeSize",
            [] { (void)parse_manifest(R"({"config":{"digest":")" + kDigest + R"(","size":-1}})"); },
            "manifest.config.size is not a size"},
        BadCase{"Confused", [] { (void)parse_manifest(R"({"manifests":[]})"); },
                "image manifest has a member \"manifests\", which it must not have"},
        BadCase{"ConfusedIndex", [] { (void)parse_index(R"({"manifests":[],"layers":[]})"); },
                "image index has a member \"layers\", which it must not have"},
        BadCase{
            "Schema1", [] { (void)parse_manifest(R"({"schemaVersion":1})"); },
            "image manifest has Docker's schema version 1, which is no longer supported: rebuild "
            "and push the image with a current tool",
            ErrorKind::kUnsupported},
        BadCase{"EnvText", [] { (void)parse_image_config(R"({"config":{"Env":"A=b"}})"); },
                "image config.config.Env is not a list"},
        BadCase{"BadTime",
                [] { (void)parse_image_config(R"({"created":"2024-99-01T00:00:00Z"})"); },
                "image config.created is not an RFC 3339 time"},
        BadCase{"MissingOs", [] { (void)patch_image_config(R"({"architecture":"x"})", {}); },
                "invalid image config for export: missing os", ErrorKind::kInvalidInput}),
    [](const auto& test) { return test.param.name; });

TEST(ManifestType, IsDetectedFromTheBytes) {
  EXPECT_EQ(detect_manifest_type(R"({"manifests":[]})"), std::string(kOciIndex));
  EXPECT_EQ(detect_manifest_type(R"({"config":{}})"), std::string(kOciManifest));
  EXPECT_EQ(detect_manifest_type(R"({"mediaType":"x/y"})"), "x/y");
  EXPECT_EQ(detect_manifest_type("{}"), std::nullopt);
}

/// F4.5.1, F4.5.2.
TEST(MediaType, NamesCompressionAndConverts) {
  EXPECT_EQ(compression_of(kOciLayerZstd), Compression::kZstd);
  EXPECT_EQ(compression_of(kDockerLayerGzip), Compression::kGzip);
  EXPECT_EQ(compression_of(kOciLayer), Compression::kNone);
  EXPECT_EQ(compression_of("gzip"), Compression::kNone);
  EXPECT_EQ(convert_type(kOciLayerGzip, TypeFamily::kDocker), kDockerLayerGzip);
  EXPECT_EQ(convert_type("x/y", TypeFamily::kOci), "x/y");
  EXPECT_TRUE(is_foreign_layer_type("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
}

/// A config with every member, in the order in which the frontend writes them.
const std::string kWholeConfig =
    R"({"created":"2024-01-02T03:04:05.5Z","author":"m","architecture":"arm","os":"linux",)"
    R"("os.version":"1","os.features":["f"],"variant":"v7","rootfs":{"type":"layers","diff_ids":[")" +
    kDigest +
    R"("]},"history":[{"created":"0001-01-01T00:00:00Z","created_by":"x \u0026\u0026 y","author":"a",)"
    R"("comment":"c","empty_layer":true},{}],"config":{"User":"1:2","ExposedPorts":{"53/udp":{},"80/tcp":{}},)"
    R"("Env":["A=b"],"Entrypoint":["/x"],"Cmd":["y"],"Volumes":{"/v":{}},"WorkingDir":"/","Labels":{"a":"b"},)"
    R"("StopSignal":"9","ArgsEscaped":true,"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,)"
    R"("Timeout":1,"StartPeriod":2,"StartInterval":3,"Retries":4},"OnBuild":["RUN z"],"Shell":["/s","-c"]}})";

TEST(ImageConfig, RoundTripsEveryMember) {
  EXPECT_EQ(to_json(parse_image_config(kWholeConfig)), kWholeConfig);
}

TEST(ImageConfig, DropsWhatBuildKitDropsAndTakesNullAsAbsent) {
  ImageConfig const config = parse_image_config(
      R"({"os":"linux","docker_version":"1","created":null,"config":{"Env":null,"Hostname":"h"},)"
      R"("rootfs":{"diff_ids":null},"history":null})");
  EXPECT_EQ(
      to_json(config),
      R"({"architecture":"","os":"linux","rootfs":{"type":"layers","diff_ids":null},"config":{}})");
}

TEST(ImageConfig, TimesGetOneSpelling) {
  auto created = [](const std::string& time) {
    return *parse_image_config(R"({"created":")" + time + "\"}").created;
  };
  EXPECT_EQ(created("2024-01-01T00:00:00.100Z"), "2024-01-01T00:00:00.1Z");
  EXPECT_EQ(created("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00Z");
}

TEST(PatchImageConfig, SortsReplacesAndKeepsTheUnknown) {  // F4.5.7
  ImageConfigPatch patch;
  patch.diff_ids = {DiffId(Digest::parse(kDigest))};
  patch.history = {
      {.created = "2024-01-01T00:00:00Z", .created_by = "x", .author = {}, .comment = {}}};
  patch.members = {{"moby.buildkit.cache.v0", "\"abc\""}};
  EXPECT_EQ(
      patch_image_config(
          R"({"os":"linux","zzz":{"b":1,"a":2},"architecture":"amd64","config":{"User":"1","New":[]}})",
          patch),
      R"({"architecture":"amd64","config":{"User":"1","New":[]},"created":"2024-01-01T00:00:00Z",)"
      R"("history":[{"created":"2024-01-01T00:00:00Z","created_by":"x"}],"moby.buildkit.cache.v0":"abc",)"
      R"("os":"linux","rootfs":{"type":"layers","diff_ids":[")" +
          kDigest + R"("]},"zzz":{"b":1,"a":2}})");
}

TEST(PatchImageConfig, NothingInNothingIsNull) {
  EXPECT_EQ(patch_image_config(R"({"os":"linux","architecture":"a"})", {}),
            R"({"architecture":"a","created":null,"history":null,"os":"linux",)"
            R"("rootfs":{"type":"layers","diff_ids":null}})");
}

}  // namespace
}  // namespace cobuild::oci
