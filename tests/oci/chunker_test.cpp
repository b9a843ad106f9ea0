/// Where contents are cut.

#include "oci/chunker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "layer_tree.hpp"

namespace cobuild::oci {
namespace {

std::string random_text(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::vector<std::string> cut(const std::string& text) {
  std::vector<std::string> chunks;
  UniqueFd const file = test::file_with(text);
  FileCutter().cut(file.get(), "file", [&](std::span<const std::byte> chunk) {
    chunks.emplace_back(reinterpret_cast<const char*>(chunk.data()), chunk.size());
  });
  return chunks;
}

/// How many of `changed` are not in `before`.
std::size_t count_new(const std::vector<std::string>& before, const std::vector<std::string>& changed) {
  std::set<std::string> const known(before.begin(), before.end());
  return static_cast<std::size_t>(
      std::ranges::count_if(changed, [&](const std::string& chunk) { return !known.contains(chunk); }));
}

TEST(Chunker, ChunksAreWithinBoundsAndAreTheWhole) {
  std::string const text = random_text(std::size_t{5} << 20, 1);
  auto const chunks = cut(text);
  std::string whole;
  for (const std::string& chunk : chunks) {
    if (&chunk != &chunks.back()) EXPECT_GE(chunk.size(), kCutBytesMin);
    EXPECT_LE(chunk.size(), kCutBytesMax);
    whole += chunk;
  }
  EXPECT_EQ(whole, text);
  std::size_t const mean = text.size() / chunks.size();
  EXPECT_GT(mean, kCutBytesNormal / 2);
  EXPECT_LT(mean, kCutBytesNormal * 2);
}

TEST(Chunker, SameContentsAreCutAlike) {
  std::string const text = random_text(std::size_t{3} << 20, 2);
  EXPECT_EQ(cut(text), cut(text));
  EXPECT_EQ(cut("short"), (std::vector<std::string>{"short"}));
  EXPECT_TRUE(cut("").empty());
}

/// What was stored is found again only as long as this holds.
TEST(Chunker, CutsStayWhereTheyAre) {
  std::vector<std::size_t> sizes;
  for (const std::string& chunk : cut(random_text(400'000, 3))) sizes.push_back(chunk.size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{67277, 65754, 92818, 70951, 76659, 26541}));
}

TEST(Chunker, AnInsertionAtTheFrontChangesFewChunks) {
  std::string const text = random_text(std::size_t{8} << 20, 4);
  auto const before = cut(text);
  EXPECT_LE(count_new(before, cut("inserted" + text)), 2U);
  std::string changed = text;
  changed[changed.size() / 2] = static_cast<char>(changed[changed.size() / 2] + 1);
  EXPECT_LE(count_new(before, cut(changed)), 2U);
}

TEST(Chunker, MonotonousContentsAreCutAtTheMaximum) {
  auto const chunks = cut(std::string(4 * kCutBytesMax, 'a'));
  EXPECT_EQ(chunks.size(), 4U);
}

}  // namespace
}  // namespace cobuild::oci
