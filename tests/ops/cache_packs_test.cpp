/// Small layers of a cache that lie together in packs.

#include "ops/cache_packs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "oci/text_reader.hpp"
#include "ops/object_cache.hpp"
#include "support/memory_objects.hpp"
#include "support/run_task.hpp"

namespace cobuild::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr std::uint64_t kMega = std::uint64_t{1} << 20;

class Quiet final : public solve::StepSink {
 public:
  void log(int, std::string_view) override {}
  void status(std::string_view id, std::int64_t, std::int64_t, bool) override { said.emplace(id); }
  void warn(std::string_view) override {}
  std::set<std::string> said;
};

BlobDigest digest_of(const std::string& bytes) { return BlobDigest(Digest::of(bytes)); }

oci::ImageLayer layer_of(const std::string& bytes, std::uint64_t size) {
  return {.diff_id = DiffId(Digest::of("diff " + bytes)),
          .blob_digest = digest_of(bytes),
          .blob_bytes = static_cast<std::int64_t>(size),
          .media_type = "application/vnd.oci.image.layer.v1.tar+gzip",
          .annotations = {},
          .created_at = {},
          .description = {}};
}

/// A chain of layers with these bytes, in the order in which they lie on each other. Their digests
/// are in any order.
ops::CollectedCache chain(const std::vector<std::string>& blobs) {
  ops::CollectedCache cache;
  for (const std::string& bytes : blobs) {
    std::size_t const below = cache.config.layers.size();
    cache.config.layers.push_back({digest_of(bytes),
                                   below == 0 ? std::nullopt : std::optional(below - 1), std::nullopt});
    cache.layers.push_back(layer_of(bytes, bytes.size()));
  }
  oci::CacheRecord record{Digest::of(std::string_view("record")), {}, {}, {}};
  record.results.push_back({blobs.size() - 1, Timestamp()});
  cache.config.records.push_back(std::move(record));
  oci::sort_cache_config(cache.config);
  return cache;
}

/// Layers of so many bytes each, for what only looks at sizes.
std::vector<oci::Descriptor> sized(const std::vector<std::uint64_t>& sizes) {
  std::vector<oci::Descriptor> layers;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    layers.push_back({.media_type = "x",
                      .digest = digest_of(std::to_string(i)),
                      .size = sizes[i],
                      .urls = {},
                      .annotations = {},
                      .platform = {},
                      .artifact_type = {},
                      .data = {}});
  }
  return layers;
}

/// How many of `layers` are kept when they are at these places.
std::size_t kept(const std::vector<oci::Descriptor>& layers, const std::vector<oci::PackedLayer>& places) {
  oci::PackedLayers known;
  for (std::size_t i = 0; i < places.size(); ++i) known.emplace(layers[i].digest, places[i]);
  return ops::keep_packed(layers, known).size();
}

oci::PackedLayer place(const std::string& pack, std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
  return {{digest_of(pack), size, offset, length}};
}

TEST(CachePacks, AreFilledInOrderWithWhatIsSmall) {
  auto const layers = sized({7 * kMega, 8 * kMega, 1, 7 * kMega, 7 * kMega, 7 * kMega, 7 * kMega, 9 * kMega});
  std::vector<std::vector<std::uint64_t>> sizes;
  for (const ops::LayerGroup& group : ops::group_layers(layers, {})) {
    auto& own = sizes.emplace_back();
    for (const oci::Descriptor& layer : group) own.push_back(layer.size / kMega);
  }
  EXPECT_THAT(sizes, ElementsAre(ElementsAre(8), ElementsAre(7, 0, 7, 7, 7), ElementsAre(9), ElementsAre(7)));
  EXPECT_EQ(ops::group_layers(sized(std::vector<std::uint64_t>(300, 1000)), {}).size(), 1U);
  EXPECT_EQ(ops::group_layers(sized(std::vector<std::uint64_t>(300, kMega)), {}).size(), 10U);
}

TEST(CachePacks, StayWhileHalfOfThemIsOfUse) {
  auto const layers = sized({10, 20});
  EXPECT_EQ(kept(layers, {place("p", 60, 0, 10), place("p", 60, 10, 20)}), 2U);
  EXPECT_EQ(kept(layers, {place("p", 62, 0, 10), place("p", 62, 10, 20)}), 0U);
  EXPECT_EQ(kept(layers, {place("p", 20, 0, 10), place("q", 100, 0, 20)}), 1U);
  EXPECT_EQ(kept(layers, {place("p", 11, 0, 11)}), 0U) << "another size";
  oci::PackedLayer suspect = place("p", 10, 0, 10);
  suspect.is_suspect = true;
  EXPECT_EQ(kept(layers, {suspect}), 0U);
}

TEST(CachePacks, TooManySmallOnesAreMadeAnew) {
  auto const kept_of = [](std::size_t small) {
    std::vector<std::uint64_t> sizes(small, 5);
    for (int i = 0; i < 4; ++i) sizes.push_back(5 * kMega);
    auto const layers = sized(sizes);
    std::vector<oci::PackedLayer> places;
    for (std::size_t i = 0; i < small; ++i) places.push_back(place(std::to_string(i), 5, 0, 5));
    for (std::uint64_t i = 0; i < 4; ++i) places.push_back(place("full", 20 * kMega, i * 5 * kMega, 5 * kMega));
    return kept(layers, places);
  };
  EXPECT_EQ(kept_of(ops::kSmallPacksMax), ops::kSmallPacksMax + 4);
  EXPECT_EQ(kept_of(ops::kSmallPacksMax + 1), 4U) << "what is half full stays";
}

TEST(CachePacks, LayersOfAChainAreNeighbours) {
  // 0 - 1 - 2, 1 - 3; 4 - 5; and 2 once more, on 5.
  std::vector<std::string> const names{"0", "1", "2", "3", "4", "5"};
  ops::CollectedCache cache;
  for (const std::string& name : names) cache.layers.push_back(layer_of(name, 1));
  auto const add = [&](const std::string& name, std::optional<std::size_t> parent) {
    cache.config.layers.push_back({digest_of(name), parent, std::nullopt});
  };
  add("4", std::nullopt);
  add("0", std::nullopt);
  add("2", 3);
  add("1", 1);
  add("3", 3);
  add("5", 0);
  add("2", 5);
  std::string order;
  for (const oci::Descriptor& layer : ops::layers_in_chain_order(cache)) {
    for (const std::string& name : names) {
      if (layer.digest == digest_of(name)) order += name;
    }
  }
  EXPECT_EQ(order, "452013");
}

/// A place with exports to it, whose blobs are here.
class PackedExport : public testing::Test, public oci::LayerBlobs {
 protected:
  std::vector<std::string> repositories(const oci::Descriptor&, const std::string&) override { return {}; }
  Task<std::unique_ptr<oci::BlobReader>> open(oci::Descriptor layer) override {
    auto const found = here.find(layer.digest);
    if (found == here.end()) throw Error(ErrorKind::kNotFound, "no such blob");
    opened.push_back(found->second);
    co_return std::make_unique<oci::TextReader>(found->second);
  }

  /// Exports a chain of these layers, as a cache that was said to be at `imported`, too.
  void export_chain(const std::vector<std::string>& blobs, oci::PackedLayers imported = {}) {
    for (const std::string& bytes : blobs) here.emplace(digest_of(bytes), bytes);
    ops::CollectedCache const cache = chain(blobs);
    step.said.clear();
    objects.asked.clear();
    opened.clear();
    auto body = [&]() -> Task<void> {
      packed = std::move(imported);
      std::vector<ops::ConfigObject> configs{{"m"}};
      co_await ops::read_packed(objects, std::move(configs), packed);
      packed = co_await ops::export_packed(objects, "b/", 3, cache, std::move(packed), *this, step);
    };
    run(body());
    objects.objects["m"] = ops::annotated_config(cache, packed);
  }

  /// What an import finds of these layers, each read alone; "?" for what is not right.
  std::string read_back(const std::vector<std::string>& blobs) {
    auto store = std::make_shared<MemoryObjects>();
    store->objects = objects.objects;
    oci::ObjectSource source(store, "b/");
    auto load = [&]() -> Task<void> {
      std::vector<ops::ConfigObject> configs{{"m"}};
      (void)co_await ops::import_objects(*store, std::move(configs), "here", source.packed(), step);
    };
    run(load());
    std::string all;
    for (const std::string& bytes : blobs) {
      Text text;
      oci::Descriptor layer = sized({bytes.size()}).front();
      layer.digest = digest_of(bytes);
      try {
        run(source.fetch_blob(oci::Reference::parse("x"), layer, text));
        all += text.text;
      } catch (const Error& error) {
        EXPECT_TRUE(error.kind() == ErrorKind::kCorrupt || error.kind() == ErrorKind::kNotFound);
        all += "?";
      }
    }
    return all;
  }

  /// The packs and layers that were written by the last export.
  std::vector<std::string> written() {
    std::vector<std::string> names;
    for (const std::string& asked : objects.asked) {
      if (asked.starts_with("write b/")) names.push_back(objects.objects.at(asked.substr(6)));
    }
    return names;
  }

  struct Text final : oci::BlobSink {
    Task<void> write(std::span<const std::byte> chunk) override {
      text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
      co_return;
    }
    std::string text;
  };

  MemoryObjects objects;
  std::map<BlobDigest, std::string> here;
  std::vector<std::string> opened;
  oci::PackedLayers packed;
  Quiet step;
};

TEST_F(PackedExport, ManyLayersAreOneObject) {
  std::vector<std::string> blobs;
  std::string all;
  for (int i = 0; i < 120; ++i) all += blobs.emplace_back("layer " + std::to_string(i) + " ");
  export_chain(blobs);
  EXPECT_THAT(written(), ElementsAre(all)) << "in the order of the chain";
  EXPECT_THAT(step.said, Contains(testing::EndsWith(" of 120 layers")));
  EXPECT_EQ(read_back(blobs), all);
  EXPECT_TRUE(objects.objects.contains("b/" + digest_of(all).to_string()));
}

TEST_F(PackedExport, OnlyWhatIsNewIsSent) {
  export_chain({"aa", "bb", "cc"});
  export_chain({"aa", "bb", "dd"});
  EXPECT_THAT(written(), ElementsAre("dd")) << "a pack of one is the layer";
  EXPECT_THAT(opened, ElementsAre("dd"));
  export_chain({"aa", "bb", "dd", "ee", "ff"});
  EXPECT_THAT(written(), ElementsAre("eeff"));
  EXPECT_EQ(read_back({"aa", "bb", "dd", "ee", "ff"}), "aabbddeeff");
  export_chain({"aa", "bb", "dd", "ee", "ff"});
  EXPECT_THAT(written(), IsEmpty());
  EXPECT_THAT(opened, IsEmpty());
}

TEST_F(PackedExport, WhatAnImportKnewIsReused) {
  export_chain({"aa", "bb"});
  oci::PackedLayers const known = packed;
  objects.objects.erase("m");
  here.clear();
  export_chain({"aa", "bb"}, known);
  EXPECT_THAT(written(), IsEmpty());
  EXPECT_EQ(read_back({"aa", "bb"}), "aabb");
}

TEST_F(PackedExport, WhatIsLargeStaysAlone) {
  std::string const large(ops::kPackedLayerBytesMax, 'x');
  export_chain({"aa", large, "bb"});
  EXPECT_THAT(written(), testing::UnorderedElementsAre(large, "aabb"));
  EXPECT_EQ(packed.size(), 2U);
  EXPECT_EQ(read_back({"aa", large, "bb"}), "aa" + large + "bb");
}

TEST_F(PackedExport, AnOldPackIsTouched) {
  export_chain({"aa", "bb"});
  objects.old = true;
  export_chain({"aa", "bb"});
  EXPECT_THAT(objects.asked, Contains("touch b/" + digest_of("aabb").to_string()));
  EXPECT_THAT(written(), IsEmpty());
}

TEST_F(PackedExport, APackThatIsGoneOrCutIsMadeAgain) {
  export_chain({"aa", "bb"});
  objects.objects.erase("b/" + digest_of("aabb").to_string());
  EXPECT_EQ(read_back({"aa", "bb"}), "??");
  export_chain({"aa", "bb"});
  EXPECT_THAT(written(), ElementsAre("aabb"));
  objects.objects["b/" + digest_of("aabb").to_string()] = "aab";
  EXPECT_EQ(read_back({"aa", "bb"}), "aa?");
  export_chain({"aa", "bb"});
  EXPECT_THAT(written(), ElementsAre("aabb"));
  EXPECT_EQ(read_back({"aa", "bb"}), "aabb");
}

TEST_F(PackedExport, APackThatIsMostlyUnusedIsMadeAnew) {
  export_chain({"aa", "bb", "cc", "dd"});
  export_chain({"aa", "bb", "ee"});
  EXPECT_THAT(written(), ElementsAre("ee")) << "half of it is of use";
  export_chain({"aa", "ee"});
  EXPECT_THAT(written(), ElementsAre("aa"));
  EXPECT_EQ(read_back({"aa", "ee"}), "aaee");
}

TEST_F(PackedExport, ABuildADayLeavesFewPacks) {
  std::vector<std::string> blobs;
  std::string all;
  for (int i = 0; i < 100; ++i) {
    all += blobs.emplace_back("layer " + std::to_string(i) + " ");
    export_chain(blobs);
    std::set<BlobDigest> packs;
    for (const auto& [layer, at] : packed) packs.insert(at.pack.digest);
    ASSERT_LE(packs.size(), ops::kSmallPacksMax + 1);
  }
  EXPECT_EQ(read_back(blobs), all);
}

TEST_F(PackedExport, LiesOfAnEarlierIndexAreFoundAndRepaired) {
  export_chain({"aa", "bb"});
  oci::PackedLayers lies = packed;
  lies.at(digest_of("bb")).pack.offset = 1;
  objects.objects["m"] = ops::annotated_config(chain({"aa", "bb"}), lies);
  EXPECT_EQ(read_back({"aa", "bb"}), "aa?") << "never what lies there";
  lies.at(digest_of("bb")).is_suspect = true;
  export_chain({"aa", "bb"}, lies);
  EXPECT_THAT(written(), ElementsAre("bb"));
  EXPECT_EQ(read_back({"aa", "bb"}), "aabb");
}

TEST_F(PackedExport, AnIndexThatIsNoneIsReplaced) {
  objects.objects["m"] = "garbage";
  export_chain({"aa", "bb"});
  EXPECT_EQ(read_back({"aa", "bb"}), "aabb");
}

TEST_F(PackedExport, ABlobThatIsTooShortMovesNoOther) {
  here.emplace(digest_of("bb"), "b");
  try {
    export_chain({"aa", "bb", "cc"});
    ADD_FAILURE() << "nothing is wrong";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(error.what(), HasSubstr("is too short here"));
  }
  EXPECT_THAT(objects.asked, Not(Contains(StartsWith("write"))));
}

TEST_F(PackedExport, BuildKitFindsNoAnnotationsAndTakesNoSuchCache) {
  export_chain({"aa", "bb"});
  EXPECT_THAT(objects.objects.at("m"), Not(HasSubstr(R"(},"annotations")")));
  EXPECT_THAT(objects.objects.at("m"), HasSubstr(R"("length":2,"annotations":{)"));
}

TEST_F(PackedExport, WithoutPacksAllIsAsBefore) {
  ops::CollectedCache const cache = chain({"aa", "bb"});
  EXPECT_THAT(ops::annotated_config(cache), Not(HasSubstr("pack")));
}

}  // namespace
}  // namespace cobuild::test
