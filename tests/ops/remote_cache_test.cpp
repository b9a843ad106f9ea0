/// Caches from elsewhere, and for elsewhere.

#include "ops/remote_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "core/base/error.hpp"
#include "oci/export_index.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/text_reader.hpp"
#include "ops/object_cache.hpp"
#include "registry/base64.hpp"
#include "support/memory_objects.hpp"
#include "support/run_task.hpp"

namespace cobuild::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

BlobDigest blob(const std::string& name) { return BlobDigest(Digest::of("blob " + name)); }
DiffId diff(const std::string& name) { return DiffId(Digest::of("diff " + name)); }

oci::Descriptor described(const std::string& name, bool with_diff_id = true) {
  oci::Descriptor descriptor = oci::describe("application/vnd.oci.image.layer.v1.tar+gzip", blob(name), 5);
  if (with_diff_id) descriptor.annotations["containerd.io/uncompressed"] = diff(name).to_string();
  return descriptor;
}

oci::CacheRecord record(const std::string& name, std::vector<std::size_t> results) {
  oci::CacheRecord made{Digest::of(name), {}, {}, {}};
  for (std::size_t const layer : results) made.results.push_back({layer, Timestamp()});
  return made;
}

TEST(RemoteCache, ResultsOfBlobsThatAreNotThereAreLeftOut) {
  oci::CacheConfig config;
  config.layers = {{blob("a"), std::nullopt, std::nullopt},
                   {blob("gone"), 0, std::nullopt},
                   {blob("b"), 1, std::nullopt},
                   {blob("nameless"), 0, std::nullopt}};
  config.records = {record("r0", {0}), record("r1", {1}), record("r2", {2, 0}), record("r3", {3})};
  auto const cache =
      ops::to_imported(config, {described("a"), described("b"), described("nameless", false)}, "here");
  ASSERT_EQ(cache.records.size(), 4U) << "they still lead on";
  EXPECT_EQ(cache.records[0].results.size(), 1U);
  EXPECT_TRUE(cache.records[1].results.empty());
  EXPECT_EQ(cache.records[2].results.size(), 1U);
  EXPECT_TRUE(cache.records[3].results.empty());
  EXPECT_EQ(cache.layers[0].diff_id, diff("a"));
  EXPECT_THAT(cache.layers[0].blob.sources, ElementsAre("here"));
}

TEST(RemoteCache, AnnotationsDoForADescriptor) {
  oci::CacheConfig config;
  config.layers = {{blob("a"), std::nullopt,
                    oci::CacheLayerAnnotations{std::string(oci::kOciLayerGzip), diff("a"), 7, std::nullopt}}};
  config.records = {record("r", {0})};
  auto const cache = ops::to_imported(config, {}, "here");
  EXPECT_EQ(cache.records[0].results.size(), 1U);
  EXPECT_EQ(cache.layers[0].blob.size, 7);
  EXPECT_EQ(cache.layers[0].blob.media_type, oci::kOciLayerGzip);
  config.layers[0].annotations->media_type = "application/vnd.oci.image.config.v1+json";
  EXPECT_TRUE(ops::to_imported(config, {}, "here").records[0].results.empty()) << "it is no layer";
}

/// A registry in memory.
class Documents final : public oci::ContentSource {
 public:
  Task<std::optional<oci::ManifestContent>> fetch_manifest(oci::Reference reference) override {
    std::string const key = reference.digest ? reference.digest->to_string() : *reference.tag;
    auto const found = manifests.find(key);
    if (found == manifests.end()) co_return std::nullopt;
    BlobDigest const digest(Digest::of(found->second));
    co_return oci::ManifestContent{oci::describe("x", digest, found->second.size()), found->second};
  }
  Task<void> fetch_blob(oci::Reference, oci::Descriptor wanted, oci::BlobSink& sink,
                        oci::ResumePoint) override {
    ++fetched;
    auto const found = blobs.find(wanted.digest);
    if (found == blobs.end()) throw Error(ErrorKind::kNotFound, "no blob " + wanted.digest.to_string());
    const std::string& text = found->second;
    co_await sink.write(std::as_bytes(std::span(text)));
  }
  std::map<std::string, std::string> manifests;
  std::map<BlobDigest, std::string> blobs;
  int fetched = 0;
};

class Quiet final : public solve::StepSink {
 public:
  void log(int, std::string_view) override {}
  void status(std::string_view id, std::int64_t, std::int64_t, bool) override { said += std::string(id) + "\n"; }
  void warn(std::string_view) override {}
  std::string said;
};

class ImportCacheTest : public testing::Test {
 protected:
  std::optional<solve::ImportedCache> import() {
    std::optional<solve::ImportedCache> cache;
    auto body = [&]() -> Task<void> {
      ops::CachePlace place{"r.io/c:1", oci::Reference::parse("r.io/c:1"), "r.io/c"};
      cache = co_await ops::import_cache(source, std::move(place), step);
    };
    test::run(body());
    return cache;
  }
  std::string complaint() {
    try {
      (void)import();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing is wrong";
  }
  /// A cache with one record and one layer, as `image_manifest` or as an index.
  void put_cache(bool image_manifest) {
    ops::CollectedCache cache;
    cache.config.layers = {{blob("a"), std::nullopt, std::nullopt}};
    cache.config.records = {record("r", {0})};
    cache.layers = {{.diff_id = diff("a"),
                     .blob_digest = blob("a"),
                     .blob_bytes = 5,
                     .media_type = "application/vnd.oci.image.layer.v1.tar+gzip",
                     .annotations = {},
                     .created_at = {},
                     .description = {}}};
    oci::ExportImage const image = ops::make_cache_image(cache, image_manifest, true);
    source.manifests["1"] = image.root.text;
    source.blobs[image.documents[0].digest] = image.documents[0].text;
  }

  Documents source;
  Quiet step;
};

TEST_F(ImportCacheTest, F5_3_9_BothShapesAreRead) {
  for (bool const image_manifest : {true, false}) {
    put_cache(image_manifest);
    source.fetched = 0;
    auto const cache = import();
    ASSERT_TRUE(cache.has_value());
    EXPECT_EQ(cache->name, "r.io/c:1");
    ASSERT_EQ(cache->records.size(), 1U);
    EXPECT_EQ(cache->records[0].results.size(), 1U);
    EXPECT_EQ(cache->layers.at(0).diff_id, diff("a"));
    EXPECT_EQ(source.fetched, 1) << "the config, and no layer";
  }
  EXPECT_THAT(step.said, HasSubstr("inferred cache manifest type: application/vnd.oci.image.index.v1+json"));
}

TEST_F(ImportCacheTest, NoneIsNoError) { EXPECT_FALSE(import().has_value()); }

TEST_F(ImportCacheTest, F5_3_12_WhatIsTooLongIsNotRead) {
  std::string const digest = Digest::of(std::string_view("x")).to_string();
  source.manifests["1"] =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":")" +
      digest + R"(","size":1048577},"layers":[]})";
  EXPECT_EQ(complaint(), "blob " + digest + " is too large (1048577 > 1048576)");
}

TEST_F(ImportCacheTest, GarbageIsRefused) {
  source.manifests["1"] = "{}";
  EXPECT_THAT(complaint(), HasSubstr("neither a cache nor an image"));
}

TEST_F(ImportCacheTest, F5_3_13_AnImageMayCarryOne) {
  std::string const records =
      R"([{"digest":")" + Digest::of(std::string_view("r")).to_string() +
      R"(","layers":[{"layer":1,"createdAt":"2020-01-02T03:04:05Z"}]}])";
  std::string const config =
      R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[")" +
      diff("a").to_string() + "\",\"" + diff("b").to_string() + R"("]},"moby.buildkit.cache.v0":")" +
      registry::base64_encode(records) + "\"}";
  BlobDigest const digest(Digest::of(config));
  source.blobs[digest] = config;
  auto const layer = [](const std::string& name) {
    return R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")" +
           blob(name).to_string() + R"(","size":5})";
  };
  source.manifests["1"] =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
      digest.to_string() + R"(","size":)" + std::to_string(config.size()) + R"(},"layers":[)" + layer("a") +
      "," + layer("b") + "]}";
  auto const cache = import();
  ASSERT_TRUE(cache.has_value());
  ASSERT_EQ(cache->records.size(), 1U);
  ASSERT_EQ(cache->records[0].results.size(), 1U);
  EXPECT_THAT(cache->records[0].results[0].layers, ElementsAre(1U));
  EXPECT_EQ(cache->layers[1].parent, 0U);
  EXPECT_EQ(cache->layers[1].diff_id, diff("b"));
}

/// What a solver takes for granted of a cache.
void expect_whole(const solve::ImportedCache& cache) {
  for (std::size_t i = 0; i < cache.records.size(); ++i) {
    for (const auto& links : cache.records[i].inputs) {
      EXPECT_FALSE(links.empty());
      for (const solve::CacheLink& link : links) EXPECT_LT(link.record, i);
    }
    for (const solve::ImportedResult& result : cache.records[i].results) {
      EXPECT_TRUE(!result.with_parents || result.layers.size() == 1);
      for (std::size_t const layer : result.layers) EXPECT_LT(layer, cache.layers.size());
    }
  }
  for (const solve::ImportedLayer& layer : cache.layers) {
    EXPECT_GE(layer.blob.size, 0);
    std::size_t depth = 0;
    for (auto at = layer.parent; at; at = cache.layers[*at].parent) {
      ASSERT_LT(*at, cache.layers.size());
      ASSERT_LE(++depth, cache.layers.size()) << "a loop";
    }
  }
}

/// Damage as transport does it, and as those do who mean it.
std::string damaged(std::string text, std::mt19937& random) {
  static const std::vector<std::string> kEvil = {
      "-1", "-2", "0", "1", "2", "3", "9223372036854775807", "18446744073709551616", "1e9", "0.5", "null", "true",
      "[]", "{}", "\"\"", "\"x\"", "[[]]", "[[{}]]", "[{}]", "sha256:", "sha512:", "..", "\\u0000"};
  for (std::size_t times = 1 + random() % 4; times > 0 && !text.empty(); --times) {
    std::size_t const at = random() % text.size();
    switch (random() % 6) {
      case 0: text[at] = static_cast<char>(text[at] ^ (1 << random() % 8)); break;
      case 1: text.resize(at); break;
      case 2: text.insert(at, text.substr(random() % text.size(), random() % 80)); break;
      case 3: text.erase(at, random() % 40); break;
      case 4: text.insert(at, kEvil[random() % kEvil.size()]); break;
      default: {  // a value becomes another one
        std::size_t const from = text.find(':', at);
        std::size_t const to = text.find_first_of(",]}", from);
        if (to != std::string::npos) text.replace(from + 1, to - from - 1, kEvil[random() % kEvil.size()]);
      }
    }
  }
  return text;
}

class DamagedCache : public ImportCacheTest, public testing::WithParamInterface<unsigned> {};

TEST_P(DamagedCache, IsRefusedOrHoldsTogether) {
  std::mt19937 random(GetParam());
  oci::CacheConfig config;
  config.layers = {{blob("a"), std::nullopt, std::nullopt}, {blob("b"), 0, std::nullopt}, {blob("c"), 1, std::nullopt}};
  config.records = {record("root", {}), record("one", {0}), record("two", {1, 2}), record("content", {})};
  config.records[1].inputs = {{{std::nullopt, 0}}};
  config.records[2].inputs = {{{std::nullopt, 1}}, {{Digest::of(std::string_view("selector")), 0}, {std::nullopt, 3}}};
  config.records[2].chains = {{{2, 0}, std::nullopt}};
  std::string const whole = oci::to_json(config);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << GetParam() << " round " << round);
    std::string const text = damaged(whole, random);
    auto const described_as = [](const std::string& type, BlobDigest digest, std::size_t size) {
      return R"({"mediaType":")" + type + R"(","digest":")" + digest.to_string() + R"(","size":)" +
             std::to_string(size) + "}";
    };
    BlobDigest const digest(Digest::of(text));
    source.blobs = {{digest, text}};
    std::string layers;
    for (const char* name : {"a", "b", "c"}) {
      std::string layer = described_as(std::string(oci::kOciLayerGzip), blob(name), 5);
      layer.insert(layer.size() - 1, R"(,"annotations":{"containerd.io/uncompressed":")" + diff(name).to_string() + R"("})");
      layers += (layers.empty() ? "" : ",") + layer;
    }
    std::string manifest =
        R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)" +
        described_as(std::string(oci::kCacheConfigType), digest, text.size()) + R"(,"layers":[)" + layers + "]}";
    if (round % 3 == 0) manifest = damaged(manifest, random);
    source.manifests["1"] = manifest;
    try {
      if (auto const cache = import()) expect_whole(*cache);
    } catch (const Error& error) {
      EXPECT_NE(error.kind(), ErrorKind::kInternal) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 30) << "most damage is noticed";
  EXPECT_LT(refused, 300) << "and some of it does not matter";
}

INSTANTIATE_TEST_SUITE_P(Seeds, DamagedCache, testing::Range(0U, 8U));

TEST_F(ImportCacheTest, AsManyRecordsAsFitAreNoProblem) {
  // Each of them an alternative of each, as far as the bytes go.
  std::string const name = Digest::of(std::string_view("r")).to_string();
  for (const std::string& record : {std::string("{}"), R"({"digest":")" + name + R"("})",
                                    R"({"digest":")" + name + R"(","inputs":[[{},{"link":0}]]})"}) {
    std::string text = R"({"records":[{"digest":")" + name + R"("})";
    while (text.size() + record.size() + 3 < ops::kCacheDocumentBytesMax) text += "," + record;
    text += "]}";
    BlobDigest const digest(Digest::of(text));
    source.blobs = {{digest, text}};
    source.manifests["1"] =
        R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":")" +
        digest.to_string() + R"(","size":)" + std::to_string(text.size()) + R"(},"layers":[]})";
    auto const cache = import();
    ASSERT_TRUE(cache.has_value());
    expect_whole(*cache);
  }
}

TEST(InlineCache, F10_77_OnlyWhatTheImageHas) {
  auto const layer = [](const std::string& name) {
    return oci::ImageLayer{.diff_id = diff(name),
                           .blob_digest = blob(name),
                           .blob_bytes = 1,
                           .media_type = {},
                           .annotations = {},
                           .created_at = {},
                           .description = {}};
  };
  ops::CollectedCache cache;
  cache.config.layers = {{blob("a"), std::nullopt, std::nullopt},
                         {blob("b"), 0, std::nullopt},
                         {blob("other"), 0, std::nullopt},
                         {blob("b"), std::nullopt, std::nullopt}};
  cache.config.records = {record("nowhere", {2}), record("in order", {1}), record("elsewhere", {2}),
                          record("alone", {3})};
  cache.config.records[3].inputs = {{{std::nullopt, 2}}};
  std::string const text = ops::make_inline_cache(cache, {layer("a"), layer("b")});
  auto const records = oci::parse_cache_records(text, 2);
  // What leads to no result would hide from BuildKit the one that another image of the index has.
  ASSERT_EQ(records.size(), 3U);
  ASSERT_EQ(records[0].results.size(), 1U);
  EXPECT_EQ(records[0].results[0].layer, 1U);
  EXPECT_EQ(records[1].digest, cache.config.records[2].digest);
  EXPECT_TRUE(records[1].results.empty() && records[1].chains.empty());
  ASSERT_EQ(records[2].chains.size(), 1U);
  EXPECT_THAT(records[2].chains[0].layers, ElementsAre(1U));
  ASSERT_EQ(records[2].inputs.size(), 1U);
  EXPECT_EQ(records[2].inputs[0].at(0).link, 1U);
  EXPECT_EQ(ops::make_inline_cache(cache, {layer("c")}), "");
}

// ---- caches as single objects

oci::ImageLayer image_layer(const std::string& name) {
  return {.diff_id = diff(name),
          .blob_digest = blob(name),
          .blob_bytes = static_cast<std::int64_t>(name.size()),
          .media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip",
          .annotations = {},
          .created_at = {},
          .description = {}};
}

/// Layers whose blobs are their names.
class NamedBlobs final : public oci::LayerBlobs {
 public:
  std::vector<std::string> repositories(const oci::Descriptor&, const std::string&) override {
    return {};
  }
  Task<std::unique_ptr<oci::BlobReader>> open(oci::Descriptor layer) override {
    for (const char* name : {"a", "bb"}) {
      if (layer.digest == blob(name)) co_return std::make_unique<oci::TextReader>(name);
    }
    throw Error(ErrorKind::kNotFound, "no such blob");
  }
};

ops::CollectedCache two_layers() {
  ops::CollectedCache cache;
  cache.config.layers = {{blob("a"), std::nullopt, std::nullopt}, {blob("bb"), 0, std::nullopt}};
  cache.config.records = {record("r", {1})};
  cache.layers = {image_layer("a"), image_layer("bb")};
  return cache;
}

void export_to(MemoryObjects& objects) {
  NamedBlobs blobs;
  Quiet step;
  ops::CollectedCache const cache = two_layers();
  run(ops::export_blobs(objects, "blobs/", 2, cache, blobs, step));
}

solve::ImportedCache import_from(MemoryObjects& objects, std::vector<ops::ConfigObject> configs,
                                 Quiet& step) {
  solve::ImportedCache cache;
  oci::PackedLayers packed;
  auto body = [&]() -> Task<void> {
    cache = co_await ops::import_objects(objects, std::move(configs), "here", packed, step);
  };
  run(body());
  return cache;
}

TEST(ObjectCache, F5_3_3_GoesOutAndComesIn) {
  MemoryObjects objects;
  export_to(objects);
  EXPECT_EQ(objects.objects.at("blobs/" + blob("bb").to_string()), "bb");
  objects.objects["m/x"] = ops::annotated_config(two_layers());
  objects.asked.clear();
  Quiet step;
  auto const cache = import_from(objects, {{"m/x"}}, step);
  EXPECT_THAT(objects.asked, ElementsAre("read m/x")) << "and no layer";
  EXPECT_THAT(step.said, HasSubstr("found 2 layers in cache"));
  ASSERT_EQ(cache.records.size(), 1U);
  EXPECT_EQ(cache.records[0].results.size(), 1U);
  EXPECT_EQ(cache.layers.at(1).diff_id, diff("bb"));
  EXPECT_EQ(cache.layers.at(1).blob.size, 2);
  EXPECT_EQ(cache.layers.at(1).blob.media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
  EXPECT_EQ(cache.layers.at(1).parent, 0U);
}

TEST(ObjectCache, WhatIsThereIsNotSentAndWhatIsOldIsTouched) {
  MemoryObjects objects;
  export_to(objects);
  objects.asked.clear();
  export_to(objects);
  EXPECT_THAT(objects.asked, testing::UnorderedElementsAre("find blobs/" + blob("a").to_string(),
                                                           "find blobs/" + blob("bb").to_string()));
  objects.old = true;
  objects.asked.clear();
  export_to(objects);
  EXPECT_THAT(objects.asked, testing::Contains("touch blobs/" + blob("a").to_string()));
}

TEST(ObjectCache, SeveralConfigsAreOneCache) {
  MemoryObjects objects;
  objects.objects["i#1"] = "{}";
  objects.objects["i#2"] = objects.objects["other"] = ops::annotated_config(two_layers());
  Quiet step;
  auto const cache = import_from(objects, {{"i#", true}, {"none"}, {"none#", true}, {"other"}}, step);
  EXPECT_EQ(cache.records.size(), 2U);
  EXPECT_EQ(cache.layers.size(), 4U);
  EXPECT_EQ(cache.layers.at(3).parent, 2U);
  EXPECT_EQ(import_from(objects, {{"none"}}, step).records.size(), 0U);
  EXPECT_THAT(step.said, HasSubstr("no cache is there yet"));
}

TEST(ObjectCache, GarbageAndTooMuchOfItIsRefused) {
  MemoryObjects objects;
  objects.objects["m"] = "no JSON";
  Quiet step;
  auto const complaint = [&] {
    try {
      (void)import_from(objects, {{"m"}}, step);
      return std::string("nothing is wrong");
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_THAT(complaint(), HasSubstr("cache config m"));
  objects.objects["m"] = std::string(ops::kCacheObjectBytesMax + 1, ' ');
  EXPECT_THAT(complaint(), HasSubstr("is too large"));
}

}  // namespace
}  // namespace cobuild::test
