/// Trees of files as indexes and packs, and back.

#include <gmock/gmock.h>
#include <sys/xattr.h>

#include <random>
#include <set>

#include "core/base/error.hpp"
#include "layer_tree.hpp"
#include "oci/chunker.hpp"
#include "oci/tree_index.hpp"
#include "oci/tree_pack.hpp"
#include "oci/tree_scan.hpp"
#include "oci/tree_unpack.hpp"

namespace cobuild::oci {
namespace {

namespace fs = std::filesystem;
using test::file_with;
using test::read_text;
using test::Scratch;
using test::write_text;
using testing::HasSubstr;

constexpr std::uint64_t kLimit = std::uint64_t{1} << 30;

UniqueFd memory_file() { return file_with(""); }

std::string contents(int fd) {
  std::string text(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return text;
}

std::string random_text(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

/// What is kept of a tree: an index, and packs by digest.
struct Kept {
  TreeHead head{.tree = Digest(Digest::Bytes{}), .chunks = {}, .packs = {}};
  std::string index;
  std::map<Digest, std::string> packs;
  std::uint64_t sent = 0;  ///< Bytes of packs and of the index that this save made.
};

Kept keep(const fs::path& directory, const Kept* base = nullptr, std::set<Digest> missing = {}) {
  Kept kept;
  UniqueFd const tree_file = memory_file();
  ScannedTree const tree = scan_tree(directory, {.bytes_max = kLimit}, tree_file.get());
  PackPlan plan = plan_packs(tree, base != nullptr ? &base->head : nullptr, missing);
  if (base != nullptr) kept.packs = base->packs;
  kept.head = {tree.digest, tree.chunks, plan.kept};
  for (const auto& chunks : plan.fresh) {
    UniqueFd const file = memory_file();
    TreePack pack = write_pack(directory, tree, chunks, {}, file.get());
    kept.packs[pack.digest] = contents(file.get());
    EXPECT_EQ(Digest::of(kept.packs[pack.digest]), pack.digest);
    kept.sent += pack.bytes;
    kept.head.packs.push_back(std::move(pack));
  }
  UniqueFd const index = memory_file();
  WrittenIndex const written = write_index(kept.head, tree_file.get(), index.get());
  kept.index = contents(index.get());
  EXPECT_EQ(Digest::of(kept.index), written.digest);
  kept.sent += written.bytes;
  return kept;
}

void restore(const Kept& kept, const fs::path& directory, std::uint64_t bytes_max = kLimit) {
  UniqueFd const index = file_with(kept.index);
  TreeIndexReader reader(read_index_file(index.get()));
  ChunkFile const chunks(reader.head(), memory_file(), bytes_max);
  for (const TreePack& pack : reader.head().packs) {
    UniqueFd const file = file_with(kept.packs.at(pack.digest));
    chunks.add_pack(pack, file.get());
  }
  EXPECT_THAT(unpack_tree(reader, chunks, directory, {.bytes_max = bytes_max}), testing::IsEmpty());
}

/// What the tree in `directory` is, in all that is kept.
Digest state_of(const fs::path& directory) {
  UniqueFd const file = memory_file();
  return scan_tree(directory, {.bytes_max = kLimit}, file.get()).digest;
}

template <class Work>
std::string error_of(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TreeStore, AllOfATreeComesBack) {
  Scratch const scratch;
  fs::path const tree = scratch.make("tree");
  fs::create_directories(tree / "dir/deep");
  write_text(tree / "empty", "");
  write_text(tree / "dir/small", "small");
  write_text(tree / "dir/deep/large", random_text(1'000'000, 1));
  write_text(tree / ".wh.not-a-whiteout", "plain");
  write_text(tree / std::string(200, 'n'), "long name");
  write_text(tree / "b\xc3\xa4r", "utf-8");
  fs::create_symlink("../outside", tree / "link");
  fs::create_hard_link(tree / "dir/small", tree / "hard");
  ASSERT_EQ(::mkfifo((tree / "fifo").c_str(), 0640), 0);
  ASSERT_EQ(::chmod((tree / "dir/small").c_str(), 04751), 0);
  ASSERT_EQ(::chmod(tree.c_str(), 01777), 0);
  bool const has_attributes = ::setxattr((tree / "dir/small").c_str(), "user.kind", "x\0y", 3, 0) == 0;
  if (::geteuid() == 0) ASSERT_EQ(::lchown((tree / "link").c_str(), 1234, 4321), 0);
  timespec const times[2] = {{1'000'000'000, 123'456'789}, {1'000'000'000, 123'456'789}};
  for (const char* path : {"dir/small", "link", "dir/deep", "."}) {
    ASSERT_EQ(::utimensat(AT_FDCWD, (tree / path).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }
  Kept const kept = keep(tree);
  fs::path const back = scratch.make("back");
  restore(kept, back);
  EXPECT_EQ(state_of(back), kept.head.tree);
  EXPECT_EQ(read_text(back / "dir/deep/large"), random_text(1'000'000, 1));
  EXPECT_EQ(read_text(back / ".wh.not-a-whiteout"), "plain");
  EXPECT_EQ(fs::hard_link_count(back / "hard"), 2U);
  struct stat status{};
  ASSERT_EQ(::lstat((back / "link").c_str(), &status), 0);
  EXPECT_EQ(status.st_mtim.tv_nsec, 123'456'789);
  if (::geteuid() == 0) EXPECT_EQ(status.st_uid, 1234U);
  ASSERT_EQ(::stat(back.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 01777U);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'000'000'000);
  char value[8];
  if (has_attributes) EXPECT_EQ(::getxattr((back / "hard").c_str(), "user.kind", value, sizeof value), 3);
}

TEST(TreeStore, WhatDoesNotChangeIsNotSentAgain) {
  Scratch const scratch;
  fs::path const tree = scratch.make("tree");
  for (unsigned i = 0; i < 200; ++i) {
    write_text(tree / std::to_string(i), random_text(50'000 + 997 * i, i));
  }
  Kept const first = keep(tree);
  Kept const again = keep(tree, &first);
  EXPECT_EQ(again.head.tree, first.head.tree);
  EXPECT_EQ(again.packs.size(), first.packs.size());
  for (unsigned i = 0; i < 4; ++i) write_text(tree / std::to_string(i * 50), random_text(140'000, 1000 + i));
  Kept const changed = keep(tree, &first);
  EXPECT_LT(changed.sent, first.sent * 35 / 1000) << "2 % of the files have changed";
  fs::path const back = scratch.make("back");
  restore(changed, back);
  EXPECT_EQ(state_of(back), changed.head.tree);
}

TEST(TreeStore, SmallFilesThatChangeDoNotDragOthersAlong) {
  Scratch const scratch;
  fs::path const tree = scratch.make("tree");
  for (unsigned i = 0; i < 2000; ++i) write_text(tree / std::to_string(i), random_text(3000, i));
  Kept const first = keep(tree);
  for (unsigned i = 0; i < 40; ++i) write_text(tree / std::to_string(i * 50), random_text(3000, 5000 + i));
  Kept const changed = keep(tree, &first);
  EXPECT_LT(changed.sent, first.sent * 4 / 100);
}

TEST(TreeStore, GarbageStaysBounded) {
  Scratch const scratch;
  fs::path const tree = scratch.make("tree");
  for (unsigned i = 0; i < 20; ++i) write_text(tree / std::to_string(i), random_text(20'000, i));
  Kept kept = keep(tree);
  for (unsigned round = 0; round < 60; ++round) {
    write_text(tree / std::to_string(round % 20), random_text(20'000, 100 + round));
    kept = keep(tree, &kept);
    std::uint64_t live = 0;
    std::uint64_t all = 0;
    for (const TreePack& pack : kept.head.packs) {
      live += pack.live_bytes();
      all += pack.raw_bytes();
    }
    EXPECT_EQ(live, 400'000U);
    EXPECT_LE(all, 2 * live);
    EXPECT_LE(kept.head.packs.size(), 49U);
  }
  fs::path const back = scratch.make("back");
  restore(kept, back);
  EXPECT_EQ(state_of(back), kept.head.tree);
}

TEST(TreeStore, PacksThatAreGoneAreMadeAnew) {
  Scratch const scratch;
  fs::path const tree = scratch.make("tree");
  write_text(tree / "a", random_text(100'000, 1));
  Kept first = keep(tree);
  ASSERT_EQ(first.head.packs.size(), 1U);
  std::set<Digest> const missing{first.head.packs[0].digest};
  first.packs.clear();
  Kept const second = keep(tree, &first, missing);
  fs::path const back = scratch.make("back");
  restore(second, back);
  EXPECT_EQ(state_of(back), second.head.tree);
}

TEST(TreeStore, WhatIsTooLargeIsRefusedBothWays) {
  Scratch const scratch;
  fs::path const tree = scratch.make("tree");
  for (int i = 0; i < 10; ++i) write_text(tree / std::to_string(i), random_text(30'000, 1));
  UniqueFd const file = memory_file();
  EXPECT_THAT(error_of([&] { (void)scan_tree(tree, {.bytes_max = 100'000}, file.get()); }),
              HasSubstr("max-size"));
  Kept const kept = keep(tree);
  EXPECT_EQ(kept.head.chunks.size(), 1U) << "ten files of the same contents";
  EXPECT_THAT(error_of([&] { restore(kept, scratch.make("back"), 100'000); }), HasSubstr("max-size"));
  EXPECT_THAT(error_of([&] { restore(kept, scratch.make("back2"), 10'000); }), HasSubstr("max-size"));
}

TEST(TreeStore, DamageIsFound) {
  Scratch const scratch;
  fs::path const tree = scratch.make("tree");
  write_text(tree / "a", std::string(10'000, 'x') + random_text(300'000, 1));
  Kept const good = keep(tree);
  std::size_t found = 0;
  Digest const pack = good.head.packs.at(0).digest;
  std::string const& bytes = good.packs.at(pack);
  for (std::size_t at = 0; at < bytes.size(); at += bytes.size() / 20) {
    Kept bad = good;
    bad.packs[pack][at] = static_cast<char>(bad.packs[pack][at] ^ 4);
    if (error_of([&] { restore(bad, scratch.make("flipped" + std::to_string(at))); }) != "no error") ++found;
    bad = good;
    bad.packs[pack].resize(at);
    EXPECT_NE(error_of([&] { restore(bad, scratch.make("cut" + std::to_string(at))); }), "no error");
  }
  EXPECT_GE(found, 19U);
  for (std::size_t at = 0; at < good.index.size(); at += 7) {
    Kept bad = good;
    bad.index.resize(at);
    EXPECT_NE(error_of([&] { restore(bad, scratch.make("index" + std::to_string(at))); }), "no error");
  }
}

// ---- hostile indexes

TreeHead small_head() {
  TreeChunk const chunk{Digest::of("chunk"), 5};
  TreePack const pack{.digest = Digest::of("pack"), .bytes = 14, .records = {{0, 5}}};
  return {.tree = Digest::of("tree"), .chunks = {chunk}, .packs = {pack}};
}

/// The head's bytes, without the entry's header and padding.
std::string body_of(const TreeHead& head) {
  std::size_t const size = 32 + 8 + head.chunks.size() * 36;
  std::size_t packs = 0;
  for (const TreePack& pack : head.packs) packs += 44 + pack.records.size() * 8;
  return format_tree_head(head).substr(kTarBlockBytes, size + packs);
}

std::string refusal(const TreeHead& head) {
  return error_of([&] { (void)parse_tree_head(body_of(head)); });
}

TEST(TreeIndex, AHeadReadsAsItWasWritten) {
  TreeHead const head = parse_tree_head(body_of(small_head()));
  EXPECT_EQ(head.tree, Digest::of("tree"));
  ASSERT_EQ(head.chunks.size(), 1U);
  EXPECT_EQ(head.chunks[0].digest, Digest::of("chunk"));
  ASSERT_EQ(head.packs.size(), 1U);
  EXPECT_EQ(head.packs[0].bytes, 14U);
  EXPECT_EQ(head.packs[0].live_bytes(), 5U);
}

TEST(TreeIndex, ContradictionsAreRefused) {
  TreeHead head = small_head();
  head.packs[0].records[0].chunk = 1;
  EXPECT_THAT(refusal(head), HasSubstr("a chunk that there is not"));
  head = small_head();
  head.packs[0].records[0].size = 6;
  EXPECT_THAT(refusal(head), HasSubstr("two sizes"));
  head = small_head();
  head.packs[0].records.push_back({0, 5});
  EXPECT_THAT(refusal(head), HasSubstr("two places"));
  head = small_head();
  head.packs.clear();
  EXPECT_THAT(refusal(head), HasSubstr("in no pack"));
  for (std::uint32_t const size : {0U, std::uint32_t{kCutBytesMax} + 1}) {
    head = small_head();
    head.packs[0].records.push_back({kDeadChunk, size});
    EXPECT_THAT(refusal(head), HasSubstr("wrong size"));
  }
  std::string const body = body_of(small_head());
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_THAT(error_of([&] { (void)parse_tree_head(body.substr(0, size)); }), HasSubstr("bad index"));
  }
  EXPECT_THAT(error_of([&] { (void)parse_tree_head(body + "x"); }), HasSubstr("too long"));
}

/// An index with these entries after the head, and one chunk of "chunk".
Kept hostile(const std::vector<std::pair<TarHeader, std::string>>& entries) {
  Kept kept;
  std::string pack;
  DeflateStream deflate({.compression = Compression::kZstd, .level = {}}, [&](std::span<const std::byte> data) {
    pack.append(reinterpret_cast<const char*>(data.data()), data.size());
  });
  deflate.write(std::as_bytes(std::span(std::string_view("chunk"))));
  deflate.finish();
  TreeHead head = small_head();
  head.packs[0].digest = Digest::of(pack);
  head.packs[0].bytes = pack.size();
  kept.packs[Digest::of(pack)] = pack;
  kept.index = format_tree_head(head);
  for (auto [header, body] : entries) {
    header.size = static_cast<std::int64_t>(body.size());
    kept.index += format_tar_header(header) + body + std::string(tar_padding(body.size()), '\0');
  }
  kept.index += tar_end();
  return kept;
}

TEST(TreeIndex, NothingIsWrittenOutside) {
  Scratch const scratch;
  std::string const chunk(4, '\0');
  fs::path const outside = scratch.make("outside");
  auto const write = [&](std::vector<std::pair<TarHeader, std::string>> entries) {
    static int count = 0;
    fs::path const directory = scratch.make("in" + std::to_string(++count));
    return error_of([&] { restore(hostile(entries), directory); });
  };
  EXPECT_EQ(write({{{.name = "a", .mode = 0644}, chunk}}), "no error");
  EXPECT_EQ(read_text(scratch.path() / "in1/a"), "chunk");
  EXPECT_THAT(write({{{.name = "../outside/a"}, chunk}}), HasSubstr("leads out"));
  (void)write({{{.name = "link", .link_name = outside.string(), .type = TarType::kSymlink}, ""},
               {{.name = "link/a"}, chunk}});
  (void)write({{{.name = "link", .link_name = "../outside", .type = TarType::kSymlink}, ""},
               {{.name = "link/a"}, chunk}});
  EXPECT_NE(write({{{.name = "hard", .link_name = "../outside/x", .type = TarType::kHardLink}, ""}}), "no error");
  EXPECT_THAT(write({{{.name = "hard", .link_name = "x", .type = TarType::kHardLink}, ""}}),
              HasSubstr("not there"));
  EXPECT_THAT(write({{{.name = "./", .type = TarType::kSymlink, }, ""}}), HasSubstr("root"));
  EXPECT_TRUE(fs::is_empty(outside));
}

TEST(TreeIndex, ListsOfChunksAreChecked) {
  Scratch const scratch;
  auto const read = [&](const std::string& body) {
    static int count = 0;
    fs::path const directory = scratch.make("list" + std::to_string(++count));
    return error_of([&] { restore(hostile({{{.name = "a"}, body}}), directory); });
  };
  EXPECT_THAT(read(std::string("\1\0\0\0", 4)), HasSubstr("a chunk that there is not"));
  EXPECT_THAT(read(std::string("\xff\xff\xff\xff", 4)), HasSubstr("a chunk that there is not"));
  EXPECT_THAT(read("abc"), HasSubstr("no list of chunks"));
  Kept headless;
  headless.index = format_tar_header({.name = "a"}) + std::string(tar_end());
  EXPECT_THAT(error_of([&] { restore(headless, scratch.make("x")); }), HasSubstr("no head"));
  headless.index = "";
  EXPECT_THAT(error_of([&] { restore(headless, scratch.make("y")); }), HasSubstr("no head"));
}

}  // namespace
}  // namespace cobuild::oci
