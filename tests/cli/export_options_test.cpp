/// The attributes of --output (F4.2 to F4.5).

#include "cli/export_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>

#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using Attributes = std::map<std::string, std::string>;

OutputOptions output(const std::string& type, Attributes attributes) {
  OutputOptions options;
  options.type = type;
  options.attributes = std::move(attributes);
  return options;
}

ExportOptions parse(Attributes attributes, const std::string& type = "oci") {
  return parse_export_options(output(type, std::move(attributes)));
}

/// What is said of the attributes; empty when all is well.
std::string complaint(Attributes attributes, const std::string& type = "oci") {
  try {
    check_outputs({output(type, std::move(attributes))});
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput);
    return error.what();
  }
  return {};
}

constexpr const char* kNotBool = ": strconv.ParseBool: parsing \"x\": invalid syntax";
constexpr const char* kEmptyBool = ": strconv.ParseBool: parsing \"\": invalid syntax";

TEST(ExportOptions, Defaults) {  // F4.2.12
  for (const char* type : {"oci", "docker", "image"}) {
    ExportOptions const options = parse({}, type);
    EXPECT_EQ(options.seal.compression, oci::Compression::kGzip) << type;
    EXPECT_TRUE(options.seal.oci_media_types) << type;
    EXPECT_FALSE(options.seal.force || options.rewrite_timestamp ||
                 options.prefer_nondistributable);
    EXPECT_FALSE(options.epoch || options.seal.level);
    EXPECT_THAT(options.annotations, IsEmpty());
  }
  EXPECT_FALSE(parse({}, "local").platform_split.has_value());
}

/// F4.3.1, F4.3.4.
TEST(ExportOptions, NamesOfArchivesAreNormalised) {
  EXPECT_THAT(parse({{"name", "a,localhost:5000/b:1"}}).names,
              ElementsAre("docker.io/library/a:latest", "localhost:5000/b:1"));
  EXPECT_THAT(parse({{"name", "*"}, {"image.name", "c"}}).names,
              ElementsAre("docker.io/library/c:latest"));
  EXPECT_THAT(complaint({{"name", "a,B"}}), HasSubstr("failed to parse B: "));
  EXPECT_THAT(complaint({{"name", "*"}}), HasSubstr("failed to parse *: "));
}

TEST(ExportOptions, Compression) {  // F4.2.14
  EXPECT_EQ(parse({{"compression", "zstd"}, {"compression-level", "22"}}).seal.level, 22);
  EXPECT_EQ(parse({{"compression", "uncompressed"}}).seal.compression, oci::Compression::kNone);
  EXPECT_TRUE(parse({{"force-compression", ""}}).seal.force);
  EXPECT_THAT(complaint({{"compression", "lzma"}}), HasSubstr("unsupported compression type lzma"));
  EXPECT_THAT(complaint({{"compression-level", "10"}}),
              HasSubstr("compression-level 10 for gzip: "));
  EXPECT_EQ(complaint({{"compression-level", "a"}}),
            "non-integer value a specified for compression-level: strconv.ParseInt: parsing \"a\": "
            "invalid syntax");
  EXPECT_EQ(complaint({{"force-compression", "x"}}),
            std::string("non-bool value x specified for force-compression") + kNotBool);
}

/// F4.2.19: only the keys of the image store, tar and force-compression may be without a value.
TEST(ExportOptions, BooleansWithoutAValue) {
  for (const char* key : {"oci-mediatypes", "oci-artifact", "rewrite-timestamp",
                          "attestation-inline", "prefer-nondist-layers"}) {
    std::string const said = std::string("non-bool value specified for ") + key;
    EXPECT_EQ(complaint({{key, ""}}), said + kEmptyBool);
    EXPECT_EQ(complaint({{key, "x"}}), said + kNotBool);
    EXPECT_EQ(complaint({{key, "true"}}), "");
  }
  EXPECT_EQ(complaint({{"tar", ""}}), "");
  EXPECT_EQ(complaint({{"tar", "x"}}), std::string("non-bool value specified for tar") + kNotBool);
}

/// F4.2.9, F4.2.10.
TEST(ExportOptions, TypesOfMedia) {
  EXPECT_FALSE(parse({{"oci-mediatypes", "false"}}).seal.oci_media_types);
  EXPECT_EQ(complaint({{"oci-mediatypes", "false"}, {"oci-artifact", "true"}}),
            "exporter option \"oci-artifact=true\" conflicts with \"oci-mediatypes=false\"");
  EXPECT_EQ(complaint({{"oci-mediatypes", "false"}, {"oci-artifact", "false"}}), "");
}

/// F4.1.11.
TEST(ExportOptions, OldVersions) {
  EXPECT_FALSE(parse({{"compatibility-version", "20"}}, "image").seal.oci_media_types);
  EXPECT_FALSE(parse({{"compatibility-version", "10"}}, "docker").seal.oci_media_types);
  EXPECT_TRUE(parse({{"compatibility-version", "10"}}).seal.oci_media_types);
  EXPECT_TRUE(parse({{"compatibility-version", "20"}, {"oci-mediatypes", "1"}}, "image")
                  .seal.oci_media_types);
  EXPECT_EQ(complaint({{"compatibility-version", "10"}, {"compression", "zstd"}}, "image"),
            "unsupported compatibility-version 10 feature image exporter compression=zstd");
  EXPECT_EQ(complaint({{"compatibility-version", "11"}}),
            "unsupported compatibility-version 11 (supported: [10 20 30])");
  EXPECT_EQ(complaint({{"compatibility-version", "40"}}),
            "unsupported compatibility-version 40: upgrade buildkit (max supported: 30)");
}

/// F4.1.6.
TEST(ExportOptions, Epoch) {
  Timestamp const of_build{std::chrono::seconds(7)};
  EXPECT_EQ(parse({}).epoch_or(of_build), of_build);
  EXPECT_EQ(parse({{"source-date-epoch", "5"}}).epoch_or(of_build),
            Timestamp(std::chrono::seconds(5)));
  EXPECT_EQ(parse({{"source-date-epoch", ""}}, "tar").epoch_or(of_build), std::nullopt);
  EXPECT_EQ(complaint({{"source-date-epoch", "x"}}, "local"),
            "invalid source-date-epoch: strconv.ParseInt: parsing \"x\": invalid syntax");
}

/// F4.4.1.
TEST(ExportOptions, Local) {
  EXPECT_TRUE(parse({{"mode", "Delete "}}, "local").delete_extra);
  EXPECT_FALSE(parse({{"mode", "copy"}}, "local").delete_extra);
  EXPECT_EQ(
      parse({{"platform-split", "false"}, {"attestation-prefix", "a"}}, "local").platform_split,
      false);
  EXPECT_THAT(complaint({{"mode", "move"}}, "local"),
              HasSubstr("invalid local exporter mode \"move\""));
  EXPECT_EQ(complaint({{"platform-split", "x"}}, "local"),
            std::string("non-bool value for platform-split: x") + kNotBool);
  EXPECT_EQ(complaint({{"compression", "what"}}, "local"), "");
}

/// F4.2.5, F4.2.8, F4.2.11, F4.2.18, F4.2.20.
TEST(ExportOptions, KeysOfAnImageStoreAndUnknownOnes) {  // F4.1.1
  EXPECT_EQ(complaint({{"store", "false"},
                       {"name-canonical", ""},
                       {"unsafe-internal-store-allow-incomplete", "true"},
                       {"nonsense", "x"}},
                      "image"),
            "");
  EXPECT_EQ(complaint({{"unpack", ""}, {"rewrite-timestamp", "true"}}, "image"),
            "exporter option \"rewrite-timestamp\" conflicts with \"unpack\"");
  EXPECT_THAT(complaint({}, "registry2"), HasSubstr("unknown exporter \"registry2\""));
}

/// F4.2.17.
TEST(ExportOptions, AnnotationsByPlace) {
  ExportOptions const options = parse({{"annotation.a", "1"},
                                       {"annotation-manifest.b.c", "2"},
                                       {"annotation-manifest[linux/arm64].a", "3"},
                                       {"annotation[linux/arm64/v8].d", "4"},
                                       {"annotation-manifest-descriptor.e", "5"},
                                       {"annotation-index.f", "6"},
                                       {"annotation-index-descriptor[linux/amd64].g", "7"},
                                       {"annotations.h", "8"},
                                       {"annotation.", "9"},
                                       {"annotation[].i", "10"}});
  Annotations const alone = annotations_of(options, std::nullopt);
  EXPECT_THAT(alone.manifest, ElementsAre(Pair("a", "1"), Pair("b.c", "2")));
  EXPECT_THAT(alone.manifest_descriptor, ElementsAre(Pair("e", "5")));
  EXPECT_THAT(alone.index, ElementsAre(Pair("f", "6")));
  EXPECT_THAT(alone.index_descriptor, ElementsAre(Pair("g", "7")));
  EXPECT_THAT(annotations_of(options, oci::parse_platform("linux/arm64")).manifest,
              ElementsAre(Pair("a", "3"), Pair("b.c", "2"), Pair("d", "4")));
  EXPECT_THAT(annotations_of(options, oci::parse_platform("linux/amd64")).manifest, alone.manifest);
  EXPECT_EQ(complaint({{"annotation-layer.a", "b"}}), "unrecognized annotation type layer");
  EXPECT_NE(complaint({{"annotation[a/b/c/d].a", "b"}}), "");
}

/// F4.5.12.
TEST(ExportOptions, AnnotationsThatDoNotFit) {
  auto const said = [](const Attributes& attributes, const std::vector<oci::Platform>& platforms,
                       bool is_index) {
    try {
      check_annotations(parse(attributes), platforms, is_index);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  std::vector<oci::Platform> const one = {oci::parse_platform("linux/amd64")};
  std::vector<oci::Platform> const two = {one[0], oci::parse_platform("linux/arm64")};
  EXPECT_EQ(said({{"annotation-index.a", "b"}}, one, false),
            "index annotations not supported for single platform export");
  EXPECT_EQ(said({{"annotation-index.a", "b"}}, two, true), "");
  EXPECT_EQ(said({{"annotation[linux/s390x].a", "b"}}, two, true),
            "invalid annotation: no platform linux/s390x found in source");
  EXPECT_EQ(said({{"annotation[linux/s390x].a", "b"}}, one, false), "");
  EXPECT_EQ(
      said({{"annotation-manifest-descriptor.a", "b"}, {"oci-mediatypes", "false"}}, one, false),
      "cannot export annotations with \"oci-mediatypes=false\"");
  EXPECT_EQ(said({{"annotation.a", "b"}, {"oci-mediatypes", "false"}}, one, false), "");
}

TEST(AnnotationFlag, PlacesAndPlatforms) {
  EXPECT_THAT(parse_annotation_flag("a.B=1=2"), ElementsAre(Pair("annotation.a.B", "1=2")));
  EXPECT_THAT(parse_annotation_flag("manifest[linux/arm/v7],index[linux/amd64]:k=v"),
              ElementsAre(Pair("annotation-index.k", "v"),
                          Pair("annotation-manifest[linux/arm/v7].k", "v")));
  EXPECT_THROW((void)parse_annotation_flag("x"), Error);
  EXPECT_THROW((void)parse_annotation_flag("Manifest:a=b"), Error);
  EXPECT_THROW((void)parse_annotation_flag("manifest[]:a=b"), Error);
  EXPECT_THROW((void)parse_annotation_flag("manifest[a/b/c/d]:a=b"), Error);
  EXPECT_THROW((void)parse_annotation_flag("manifest:=b"), Error);
}

}  // namespace
}  // namespace cobuild::cli
