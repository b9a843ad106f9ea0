// Files of the user's that change while they are being built from: never a result under the key of
// what was there before.

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>

#include "ops/content_hash.hpp"
#include "ops/file_op.hpp"
#include "ops/local_source.hpp"
#include "ops_fixture.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using test::put_text;

constexpr const char* kChanged = "changed while it was being read";

std::string failure_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable) << error.what();
    return error.what();
  }
  return "none";
}

std::int64_t change_time(const fs::path& path) {
  struct stat status{};
  ::lstat(path.c_str(), &status);
  return nanoseconds(status.st_ctim);
}

class ChangedSource : public test::OpsTest {
 protected:
  void SetUp() override {
    OpsTest::SetUp();
    if (IsSkipped()) return;
    put_text(file(), "text");
    test::set_time(file(), 1000);
    // The kernel's clock for files goes in steps: what changes from here on has another time.
    fs::path const clock = directory.path() / "clock";
    do {
      put_text(clock, "");
    } while (change_time(clock) == change_time(file()));
  }

  [[nodiscard]] fs::path file() const { return context() / "d/file"; }

  Digest hash(const solve::Result& source) {
    ContentSelector all;
    all.path = "/";
    return process.run(content_digest(services, {all}, source, step));
  }

  solve::Result copy(const solve::Result& source, bool unpack = false) {
    pb::Op op;
    pb::FileAction* const action = op.mutable_file()->add_actions();
    action->set_input(-1);
    action->set_output(0);
    auto& copy = *action->mutable_copy();
    copy.set_src(unpack ? "/d/file" : "/");
    copy.set_dest("/to/");
    copy.set_mode(-1);
    copy.set_timestamp(-1);
    copy.set_dircopycontents(true);
    copy.set_createdestpath(true);
    copy.set_attemptunpackdockercompatibility(unpack);
    auto const file_op = make_file_op(services, vertex(op));
    return process.run(file_op->run({source}, step)).at(0);
  }
};

struct Change {
  const char* name;
  void (*make)(const fs::path& file);
};

constexpr Change kChanges[] = {
    {"Shorter", [](const fs::path& file) { put_text(file, "t"); }},
    {"SameSizeAndTime",
     [](const fs::path& file) {
       put_text(file, "TEXT");
       test::set_time(file, 1000);
     }},
    {"Replaced",
     [](const fs::path& file) {
       put_text(file.string() + "~", "TEXT");
       test::set_time(file.string() + "~", 1000);
       fs::rename(file.string() + "~", file);
     }},
    {"Mode", [](const fs::path& file) { ::chmod(file.c_str(), 0700); }},
    {"Link",
     [](const fs::path& file) {
       fs::remove(file);
       fs::create_symlink("elsewhere", file);
     }},
    {"Pipe",
     [](const fs::path& file) {
       fs::remove(file);
       ::mkfifo(file.c_str(), 0644);
     }},
    {"DirectoryIsALink",
     [](const fs::path& file) {
       fs::rename(file.parent_path(), file.parent_path().string() + "2");
       fs::create_symlink("d2", file.parent_path());
     }},
};

class ChangedSourceBy : public ChangedSource, public testing::WithParamInterface<Change> {};

TEST_P(ChangedSourceBy, AfterItWasListedIsNotHashed) {
  solve::Result const source = local();
  GetParam().make(file());
  EXPECT_THAT(failure_of([&] { hash(source); }), testing::HasSubstr(kChanged));
}

TEST_P(ChangedSourceBy, AfterItWasHashedIsNotCopied) {
  solve::Result const source = local();
  hash(source);
  GetParam().make(file());
  EXPECT_THAT(failure_of([&] { copy(source); }), testing::HasSubstr(kChanged));
}

TEST_P(ChangedSourceBy, AfterItWasHashedIsNotUnpacked) {
  if (std::string_view(GetParam().name) == "DirectoryIsALink") GTEST_SKIP() << "the same file";
  put_text(file(), std::string(10240, '\0'));
  solve::Result const source = local();
  hash(source);
  GetParam().make(file());
  EXPECT_THAT(failure_of([&] { copy(source, true); }), testing::HasSubstr(kChanged));
}

INSTANTIATE_TEST_SUITE_P(All, ChangedSourceBy, testing::ValuesIn(kChanges),
                         [](const auto& info) { return info.param.name; });

TEST_F(ChangedSource, WhileItIsBeingReadIsFoundAtTheEnd) {
  std::unique_ptr<FileTree> const tree = FileTree::scan(context(), {});
  const FileTree::Entry& entry = *tree->find("/d/file", false);
  UniqueFd const fd = tree->open_file(entry);
  EXPECT_NO_THROW(tree->check_unchanged(entry, fd.get()));
  EXPECT_FALSE(tree->has_grown(entry, fd.get()));
  put_text(file(), "longer text");
  EXPECT_TRUE(tree->has_grown(entry, fd.get()));
  EXPECT_THAT(failure_of([&] { tree->check_unchanged(entry, fd.get()); }),
              testing::AllOf(testing::StartsWith("/d/file changed"),
                             testing::HasSubstr(".dockerignore")));
}

TEST_F(ChangedSource, ALinkThatBecameAFileIsNotCopied) {
  fs::create_symlink("target", context() / "link");
  solve::Result const source = local();
  hash(source);
  fs::remove(context() / "link");
  put_text(context() / "link", "a file");
  EXPECT_THAT(failure_of([&] { copy(source); }), testing::HasSubstr(kChanged));
}

TEST_F(ChangedSource, WhatComesIntoADirectoryIsNoChange) {
  solve::Result const source = local();
  hash(source);
  put_text(context() / "d/output-of-ours", "not listed, not copied");
  put_text(context() / "output-of-ours", "not listed, not copied");
  EXPECT_NO_THROW(copy(source));
}

/// Logs in a context are written to all the time.
class GrowingSource : public ChangedSource {
 protected:
  /// What the copies of d/file have, in the newest layer.
  std::string copied(const solve::Result& result) {
    return test::text_of(process.store().snapshot_path(result.layers.back()) / "to/d/file");
  }
  void append(const std::string& text) const {
    std::ofstream(file(), std::ios::app) << text;
  }
};

TEST_F(GrowingSource, AfterItWasListedIsTakenAsItIs) {
  solve::Result const source = local();
  append(" and more");
  Digest const digest = hash(source);
  EXPECT_EQ(digest, hash(local()));
  EXPECT_EQ(copied(copy(source)), "text and more");
}

TEST_F(GrowingSource, AfterItWasHashedIsTakenAsItWasHashed) {
  solve::Result const source = local();
  hash(source);
  append(" and more");
  EXPECT_EQ(copied(copy(source)), "text");
}

TEST_F(GrowingSource, WithoutAHashIsTakenAsItIs) {
  solve::Result const source = local();
  append(" and more");
  EXPECT_EQ(copied(copy(source)), "text and more");
  EXPECT_EQ(hash(source), hash(local()));
}

TEST_F(GrowingSource, IsNotTakenWhenWhatWasHashedIsGone) {
  solve::Result const source = local();
  hash(source);
  put_text(file(), "longer text");
  EXPECT_THAT(failure_of([&] { copy(source); }), testing::HasSubstr(kChanged));
}

TEST_F(GrowingSource, IsNotUnpacked) {
  archive* const out = archive_write_new();
  archive_write_set_format_ustar(out);
  archive_write_open_filename(out, file().c_str());
  archive_entry* const entry = archive_entry_new();
  archive_entry_set_pathname(entry, "f");
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_size(entry, 0);
  archive_write_header(out, entry);
  archive_entry_free(entry);
  ASSERT_EQ(archive_write_free(out), ARCHIVE_OK);
  solve::Result const source = local();
  hash(source);
  append("more");
  EXPECT_THAT(failure_of([&] { copy(source, true); }), testing::HasSubstr(kChanged));
}

TEST_F(GrowingSource, NamesOfOneFileThatWereListedApartAreNotLinked) {
  fs::create_hard_link(file(), context() / "d/other");
  solve::Result const source = local();
  auto& listed = dynamic_cast<const LocalTree&>(*source.unstored).tree();
  append(" and more");
  listed.find("/d/file", false)->header_digest = hash_entry(listed, *listed.find("/d/file", false));
  EXPECT_THAT(failure_of([&] { copy(source); }), testing::HasSubstr(kChanged));
}

}  // namespace
}  // namespace cobuild::ops
