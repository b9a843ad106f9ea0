#include "core/solve/file_list.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace cobuild::solve {
namespace {

ListedFile file(std::string path, std::uint32_t digest, std::uint16_t mode = 0100644,
                std::uint32_t size = 3, std::uint32_t time = 7) {
  return {std::move(path), mode, size, time, digest, false};
}
ListedFile directory(std::string path, std::uint16_t mode = 040755) {
  return {std::move(path), mode, 0, 0, 0, false};
}
ListedFile whole(std::string path, std::uint32_t digest) {
  return {std::move(path), 040755, 0, 0, digest, true};
}

/// "added a, content b"
std::string told(const FileList& before, const FileList& now) {
  static constexpr std::string_view kNames[] = {"added", "removed",       "content", "mode",
                                                "mode+", "type", "attributes", "below"};
  std::string out;
  for (const FileChange& change : compare(before, now)) {
    out += (out.empty() ? "" : ", ") + std::string(kNames[static_cast<std::size_t>(change.kind)]) +
           " " + change.path;
  }
  return out;
}

TEST(FileListTest, TellsWhatCameWentAndChanged) {
  FileList const before{{directory(""), file("a", 1), file("gone", 2), file("same", 3)}, true};
  FileList const now{{directory(""), file("a", 9, 0100644, 4), file("new", 5), file("same", 3)}, true};
  EXPECT_EQ(told(before, now), "content a, removed gone, added new");
}

TEST(FileListTest, TellsAModeFromAContent) {
  FileList const before{{file("a", 1), file("b", 2), file("c", 3), file("d", 4), directory("e")}, true};
  FileList const now{{file("a", 11, 0100755), file("b", 12, 0100600, 5), file("c", 13),
                      {"d", 0120777, 1, 1, 4, false}, directory("e", 040700)},
                     true};
  EXPECT_EQ(told(before, now), "mode a, mode+ b, attributes c, type d, mode e");
  FileChange const change = compare(before, now).front();
  EXPECT_EQ(change.mode_before, 0644);
  EXPECT_EQ(change.mode, 0755);
}

TEST(FileListTest, OfADirectoryThatCameOrWentOnlyItselfIsTold) {
  FileList const small{{directory(""), file("a", 1)}, true};
  FileList const large{{directory(""), file("a", 1), directory("d"), file("d-1", 2), file("d/x", 3),
                        directory("d/y"), file("d/y/z", 4)},
                       true};
  EXPECT_EQ(told(small, large), "added d, added d-1");
  EXPECT_EQ(told(large, small), "removed d, removed d-1");
}

TEST(FileListTest, WhatIsSummedUpIsToldAsOne) {
  FileList const before{{directory(""), whole("d", 1)}, true};
  EXPECT_EQ(told(before, {{directory(""), whole("d", 2)}, true}), "below d");
  // Only one of them lists it: the difference may be anywhere.
  EXPECT_EQ(told(before, {{directory(""), directory("d"), file("d/x", 3)}, true}), "");
}

TEST(FileListTest, OfWhatWasLeftOutNothingIsClaimed) {
  FileList const cut{{file("a", 1)}, false};
  FileList const full{{file("a", 1), file("b", 2)}, true};
  EXPECT_EQ(told(cut, full), "");
  EXPECT_EQ(told(full, cut), "");
}

TEST(FileListTest, EqualListsHaveNoDifferenceAndComeBackFromTheirText) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    FileList list;
    std::string path;
    std::size_t const count = random() % 40;
    for (std::size_t i = 0; i < count; ++i) {
      path += static_cast<char>(1 + random() % 255);
      ListedFile next = random() % 3 == 0 ? directory(path) : file(path, static_cast<std::uint32_t>(random()));
      next.mode = static_cast<std::uint16_t>((next.mode & 0170000) | (random() & 07777));
      if (next.mode >> 12 == 4 && random() % 2 == 0) next = whole(path, static_cast<std::uint32_t>(random()));
      list.files.push_back(next);
    }
    list.complete = random() % 2 == 0;
    auto const read = decode_file_list(encode(list));
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, list);
    EXPECT_TRUE(compare(list, *read).empty());
  }
}

TEST(FileListTest, TakesAFewBytesForEachFileAndIsBounded) {
  FileList list;
  for (int i = 0; i < 1000; ++i) {
    std::string number = std::to_string(i);
    number.insert(0, 6 - number.size(), '0');
    list.files.push_back(file("source/of/the/program/file" + number + ".cpp", 1));
  }
  EXPECT_LT(encode(list).size(), 30U * 1000);
  list.files.clear();
  for (int i = 10; i < 99; ++i) list.files.push_back(file(std::to_string(i) + std::string(5000, 'x'), 1));
  std::string const text = encode(list);
  EXPECT_LE(text.size(), kFileListBytesMax);
  auto const read = decode_file_list(text);
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->complete);
  EXPECT_EQ(read->files.front(), list.files.front());
}

TEST(FileListTest, DamagedTextIsNoList) {
  FileList const list{{directory(""), file("abc", 1), file("abd", 2), whole("b", 3)}, true};
  std::string const text = encode(list);
  EXPECT_FALSE(decode_file_list(""));
  EXPECT_FALSE(decode_file_list("x"));
  EXPECT_FALSE(decode_file_list("c\xFF\xFF\xFF\xFF\xFF"));
  for (std::size_t size = 0; size < text.size(); ++size) {
    auto const read = decode_file_list(text.substr(0, size));  // must not read beyond
    if (read) EXPECT_LT(read->files.size(), list.files.size());
  }
}

}  // namespace
}  // namespace cobuild::solve
