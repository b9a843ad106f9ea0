#include "core/store/key_index.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "support/store_fixture.hpp"

namespace cobuild::store {
namespace {

using test::add_layer;
using test::StoreProcess;
using test::StoreTest;

Digest op(std::string_view name) {
  return Digest::of(name);
}

KeyResult result(LayerChain chain, int seconds = 0) {
  return {std::move(chain), Timestamp(std::chrono::seconds(seconds)), "{}"};
}

TEST_F(StoreTest, KeysAreSeenBeforeAndAfterTheyAreWritten) {
  StoreProcess process(root);
  KeyIndex index(process.store());
  LayerId const layer = add_layer(process, "x");
  EXPECT_EQ(index.find_root(op("root")), std::nullopt);
  KeyId const parent = index.add_root(op("root"));
  EXPECT_EQ(index.add_root(op("root")), parent);
  KeyId const child = index.add_key(op("child"));
  KeyLink const link{0, op("child"), std::nullopt};
  KeyLink const selected{0, op("child"), op("selector")};
  index.add_link(parent, link, child);
  index.add_result(child, result({layer}));
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(index.find_root(op("root")).has_value());
    EXPECT_EQ(index.current(*index.find_root(op("root"))), index.current(parent));
    auto const found = index.follow(parent, link);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(index.current(found[0]), index.current(child));
    EXPECT_TRUE(index.follow(parent, selected).empty());
    EXPECT_TRUE(index.follow(child, link).empty());
    ASSERT_EQ(index.results(child).size(), 1U);
    EXPECT_EQ(index.results(child)[0].chain, LayerChain{layer});
    process.run(process.store().publish());
  }
  KeyId const grandchild = index.add_key(op("grandchild"));
  index.add_link(child, {1, op("grandchild"), op("s")}, grandchild);
  index.add_link(child, {1, op("grandchild"), op("s")}, grandchild);
  EXPECT_EQ(index.follow(child, {1, op("grandchild"), op("s")}).size(), 1U)
      << "a key that was written meanwhile is reached by its old id";
}

TEST_F(StoreTest, KeysAreSeenByOtherProcesses) {
  StoreProcess one(root);
  StoreProcess other(root);
  KeyIndex index(one.store());
  LayerId const layer = add_layer(one, "x");
  KeyId const key = index.add_root(op("root"));
  index.add_result(key, result({layer}, 1));
  index.add_result(key, result({}, 2));
  KeyIndex view(other.store());
  KeyId const theirs = view.add_root(op("root"));  // both make the same one at the same time
  one.run(one.store().publish());
  other.run(other.store().publish());
  EXPECT_EQ(view.current(theirs), index.current(key));
  auto const results = view.results(theirs);
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].chain, LayerChain{}) << "the newest first";
  EXPECT_EQ(results[1].chain, LayerChain{layer});
}

TEST_F(StoreTest, DroppedResultsAreGone) {
  StoreProcess process(root);
  KeyIndex index(process.store());
  LayerId const layer = add_layer(process, "x");
  KeyId const key = index.add_root(op("root"));
  index.add_result(key, result({layer}));
  process.run(process.store().publish());
  ASSERT_EQ(index.results(key).size(), 1U);
  index.drop_results(key);
  EXPECT_TRUE(index.results(key).empty());
  index.add_result(key, {{}, now(), ""});
  EXPECT_EQ(index.results(key).size(), 1U);
  process.run(process.store().publish());
  EXPECT_EQ(index.results(key).size(), 1U);
  index.drop_results(key);
  process.run(process.store().publish());
  EXPECT_TRUE(index.results(key).empty());
}

TEST_F(StoreTest, AResultWithoutItsLayersIsNotWritten) {
  StoreProcess process(root);
  KeyIndex index(process.store());
  KeyId const key = index.add_root(op("root"));
  index.add_result(key, result({LayerId{404}}));
  process.run(process.store().publish());
  EXPECT_TRUE(index.results(key).empty());
}

}  // namespace
}  // namespace cobuild::store
