// A COPY after some files changed: only those are copied, and nobody sees the difference.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/xattr.h>

#include <atomic>
#include <random>

#include "ops/content_hash.hpp"
#include "ops/copy_history.hpp"
#include "ops/file_actions.hpp"
#include "ops/worker_threads.hpp"
#include "ops/file_op.hpp"
#include "ops_fixture.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using test::put_text;

/// More than a ledger is worth keeping for.
constexpr int kFiles = 260;

class CopyAgain : public test::OpsTest {
 protected:
  void SetUp() override {
    OpsTest::SetUp();
    if (IsSkipped()) return;
    if (snapshotter->name() != "overlayfs") GTEST_SKIP() << "needs overlayfs";
    for (int i = 0; i < kFiles; ++i) put_text(file(i), "content " + std::to_string(i));
  }

  [[nodiscard]] fs::path file(int i) const {
    return context() / ("d" + std::to_string(i % 7)) / ("f" + std::to_string(i));
  }

  static pb::Op copy_op(const std::string& to = "/") {
    pb::Op op;
    pb::FileAction* const action = op.mutable_file()->add_actions();
    action->set_input(-1);
    action->set_output(0);
    auto& copy = *action->mutable_copy();
    copy.set_src("/");
    copy.set_dest(to);
    copy.set_mode(-1);
    copy.set_timestamp(-1);
    copy.set_dircopycontents(true);
    copy.set_createdestpath(true);
    return op;
  }

  /// Copies the context as a build does: after its content was hashed.
  solve::Result copy(const pb::Op& op = copy_op(), bool hashed = true) {
    solve::Result const source = local();
    if (hashed) {
      ContentSelector all;
      all.path = "/";
      static_cast<void>(process.run(content_digest(services, {all}, source, step)));
    }
    auto const file_op = make_file_op(services, vertex(op));
    return process.run(file_op->run({source}, step)).at(0);
  }

  /// The same by an op that knows nothing of former copies.
  std::string copied_clean(pb::Op op) {
    std::string const nothing = "nothing-" + std::to_string(++clean_copies_);
    op.mutable_file()->mutable_actions(0)->mutable_copy()->add_exclude_patterns(nothing);
    solve::Result const result = copy(op);
    EXPECT_EQ(result.layers.size(), 1U);
    return details(result, Times::kOfFiles);
  }

  /// Checks that a copy by `op` onto what is there is a clean one; whether it amended.
  bool check_again(const pb::Op& op) {
    solve::Result const result = copy(op);
    EXPECT_EQ(details(result, Times::kOfFiles), copied_clean(op));
    return result.layers.size() == 2;
  }

  /// The context copied by an op that knows nothing of former copies.
  std::string copied_anew() {
    solve::Result result;
    result.layers = process.run(materialise(services, local(), step));
    return details(result);
  }

  /// Directories that are only made for what is in them have the time of the copy.
  enum class Times { kOfFiles, kOfAll };

  /// Everything that a step could see of the files.
  std::string details(const solve::Result& result, Times times = Times::kOfAll) {
    std::vector<fs::path> paths;
    for (const auto& id : result.layers) paths.push_back(process.store().snapshot_path(id));
    auto const view = snapshotter->view(std::move(paths));
    std::vector<std::string> lines;
    for (const auto& entry : fs::recursive_directory_iterator(view->path())) {
      struct stat status{};
      ::lstat(entry.path().c_str(), &status);
      std::ostringstream line;
      line << entry.path().lexically_relative(view->path()).string() << ' ' << std::oct
           << status.st_mode << std::dec << ' ' << status.st_uid;
      if (!S_ISDIR(status.st_mode) || times == Times::kOfAll) {
        line << ' ' << status.st_mtim.tv_sec << '.' << status.st_mtim.tv_nsec;
      }
      if (!S_ISDIR(status.st_mode)) line << ' ' << status.st_nlink << ' ' << status.st_size;
      if (S_ISREG(status.st_mode)) line << ' ' << test::text_of(entry.path());
      if (S_ISLNK(status.st_mode)) line << ' ' << fs::read_symlink(entry.path()).string();
      char value[64];
      ssize_t const n = ::lgetxattr(entry.path().c_str(), "user.note", value, sizeof value);
      if (n > 0) line << ' ' << std::string_view(value, static_cast<std::size_t>(n));
      lines.push_back(line.str());
    }
    std::sort(lines.begin(), lines.end());
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    return text;
  }

  std::vector<std::string> files_in(store::LayerId layer) {
    std::vector<std::string> names;
    for (const auto& entry :
         fs::recursive_directory_iterator(process.store().snapshot_path(layer))) {
      if (!entry.is_directory()) names.push_back(entry.path().filename());
    }
    return names;
  }

 private:
  int clean_copies_ = 0;
};

TEST_F(CopyAgain, AChangedFileIsALayerThatAmends) {
  solve::Result const first = copy();
  ASSERT_EQ(first.layers.size(), 1U);
  EXPECT_EQ(process.store().get_layer(first.layers[0]).amends, std::nullopt);
  put_text(file(5), "changed");
  put_text(context() / "d1/new", "new");
  solve::Result const second = copy();
  ASSERT_EQ(second.layers.size(), 2U);
  EXPECT_EQ(second.layers[0], first.layers[0]);
  EXPECT_EQ(process.store().get_layer(second.layers[1]).amends, first.layers[0]);
  EXPECT_THAT(files_in(second.layers[1]), testing::UnorderedElementsAre("f5", "new"));
  EXPECT_EQ(details(second), copied_anew());
}

TEST_F(CopyAgain, TheFirstLayerIsAmendedAgainAndAgain) {
  store::LayerId const first = copy().layers.at(0);
  for (int round = 0; round < 3; ++round) {
    put_text(file(round), "changed");
    solve::Result const again = copy();
    ASSERT_EQ(again.layers.size(), 2U) << "layers on layers on layers";
    EXPECT_EQ(again.layers[0], first);
    EXPECT_EQ(details(again), copied_anew());
  }
}

TEST_F(CopyAgain, WhatIsGoneOrOfAnotherTypeIsCopiedAnew) {
  static_cast<void>(copy());
  fs::remove(file(3));
  solve::Result result = copy();
  EXPECT_EQ(result.layers.size(), 1U);
  EXPECT_EQ(details(result), copied_anew());

  fs::remove(file(4));
  put_text(file(4) / "inside", "a directory now");
  result = copy();
  EXPECT_EQ(result.layers.size(), 1U);
  EXPECT_EQ(details(result), copied_anew());
}

TEST_F(CopyAgain, ManyChangesAreCopiedAnew) {
  static_cast<void>(copy());
  for (int i = 0; i < kFiles / 2; ++i) put_text(file(i), "changed");
  solve::Result const result = copy();
  EXPECT_EQ(result.layers.size(), 1U);
  EXPECT_EQ(details(result), copied_anew());
  put_text(file(0), "changed again");
  EXPECT_EQ(copy().layers.at(0), result.layers[0]) << "the newer copy is the one to amend";
}

TEST_F(CopyAgain, WithoutDigestsNothingIsTakenForUnchanged) {
  static_cast<void>(copy());
  EXPECT_EQ(copy(copy_op(), false).layers.size(), 1U);
}

TEST_F(CopyAgain, AnotherOpHasAnotherHistory) {
  static_cast<void>(copy());
  put_text(file(5), "changed");
  EXPECT_EQ(copy(copy_op("/elsewhere")).layers.size(), 1U);
}

TEST_F(CopyAgain, OnABaseWithTheSameNames) {
  solve::Result const base = layer([](const fs::path& root) {
    put_text(root / "d1/f1", "the base's");
    put_text(root / "d1/own", "the base's own");
  });
  pb::Op op = copy_op();
  op.mutable_file()->mutable_actions(0)->set_input(0);
  op.mutable_file()->mutable_actions(0)->set_secondaryinput(1);
  auto copy_onto = [&] {
    solve::Result const source = local();
    ContentSelector all;
    all.path = "/";
    static_cast<void>(process.run(content_digest(services, {all}, source, step)));
    auto const file_op = make_file_op(services, vertex(op));
    return process.run(file_op->run({base, source}, step)).at(0);
  };
  EXPECT_EQ(copy_onto().layers.size(), 2U);
  put_text(context() / "d1/f1", "changed");
  solve::Result result = copy_onto();
  ASSERT_EQ(result.layers.size(), 3U);
  EXPECT_THAT(files_of(result), testing::HasSubstr("d1/f1 0644 changed\n"));
  EXPECT_THAT(files_of(result), testing::HasSubstr("d1/own 0644 the base's own\n"));
  fs::remove(context() / "d1/f1");
  result = copy_onto();
  ASSERT_EQ(result.layers.size(), 2U);
  EXPECT_THAT(files_of(result), testing::HasSubstr("d1/f1 0644 the base's\n"));
}

/// `COPY --parents d*/f* /`, as it is lowered.
pb::Op with_patterns(pb::Op op, const std::vector<std::string>& include,
                     const std::vector<std::string>& exclude) {
  auto& copy = *op.mutable_file()->mutable_actions(0)->mutable_copy();
  copy.mutable_include_patterns()->Assign(include.begin(), include.end());
  copy.mutable_exclude_patterns()->Assign(exclude.begin(), exclude.end());
  return op;
}

TEST_F(CopyAgain, DirectoriesThatAreOnlyOnTheWayAreCompared) {
  fs::create_directories(context() / "d2/deep/deeper");
  for (int i = 0; i < kFiles; ++i) {
    put_text(context() / "d2/deep/deeper" / ("f" + std::to_string(i)), "deep");
  }
  for (const pb::Op& op : {with_patterns(copy_op("/app"), {"d*/f*", "d*/deep/*/f*"}, {}),
                           with_patterns(copy_op("/app"), {}, {"d2", "!d2/deep/deeper/f*"})}) {
    fs::permissions(context() / "d2", fs::perms(0755));
    EXPECT_FALSE(check_again(op)) << "the first copy";
    put_text(context() / "d2/deep/deeper/f1", "changed" + std::to_string(op.ByteSizeLong()));
    EXPECT_TRUE(check_again(op));
    fs::permissions(context() / "d2", fs::perms(0700));
    EXPECT_FALSE(check_again(op));
    ASSERT_EQ(::setxattr((context() / "d2/deep").c_str(), "user.note", "note", 4, 0), 0);
    EXPECT_FALSE(check_again(op));
    ASSERT_EQ(::removexattr((context() / "d2/deep").c_str(), "user.note"), 0);
    EXPECT_FALSE(check_again(op));
    put_text(context() / "d2/deep/deeper/fnew" / std::to_string(op.ByteSizeLong()), "new");
    check_again(op);
    put_text(context() / "d2/other/not-copied", "comes into a directory on the way");
    EXPECT_TRUE(check_again(op));
    fs::remove_all(context() / "d2/other");
    fs::remove_all(context() / "d2/deep/deeper/fnew");
  }
}

TEST_F(CopyAgain, AnAttributeThatIsGoneFromADirectoryIsGone) {
  ASSERT_EQ(::setxattr((context() / "d1").c_str(), "user.note", "note", 4, 0), 0);
  static_cast<void>(copy());
  ASSERT_EQ(::removexattr((context() / "d1").c_str(), "user.note"), 0);
  EXPECT_EQ(details(copy()), copied_anew());
}

TEST_F(CopyAgain, ADirectoryThatIsCopiedItself) {
  pb::Op op = copy_op("/to");
  op.mutable_file()->mutable_actions(0)->mutable_copy()->set_dircopycontents(false);
  op.mutable_file()->mutable_actions(0)->mutable_copy()->set_src("/all");
  for (int i = 0; i < kFiles; ++i) put_text(context() / "all" / std::to_string(i), "text");
  check_again(op);
  fs::permissions(context() / "all", fs::perms(0700));
  check_again(op);
}

TEST_F(CopyAgain, TwoCheckoutsHaveTheirOwnHistories) {
  fs::path const other = directory.path() / "other";
  fs::copy(context(), other, fs::copy_options::recursive);
  store::LayerId const first = copy().layers.at(0);
  contexts.directories["context"] = other;
  store::LayerId const second = copy().layers.at(0);
  EXPECT_NE(first, second);
  put_text(other / "new", "new");
  EXPECT_EQ(copy().layers.at(0), second);
  contexts.directories["context"] = context();
  put_text(file(1), "changed");
  EXPECT_EQ(copy().layers.at(0), first) << "not evicted by the other one";
}

TEST_F(CopyAgain, TheLedgerOfTheCopyBeforeGoes) {
  store::LayerId const first = copy().layers.at(0);
  EXPECT_TRUE(process.store().get_layer_note(first, "copy-ledger#0"));
  fs::remove(file(3));
  store::LayerId const second = copy().layers.at(0);
  ASSERT_NE(first, second);
  EXPECT_FALSE(process.store().get_layer_note(first, "copy-ledger#0"));
  EXPECT_TRUE(process.store().get_layer_note(second, "copy-ledger#0"));
}

TEST_F(CopyAgain, NothingIsCopiedWhenItCannotBeAmended) {
  pb::FileAction const action = copy_op().file().actions(0);
  fs::path const to = directory.path() / "to";
  fs::create_directory(to);
  TargetRoot const target(open_file(to, O_RDONLY | O_DIRECTORY));
  auto const perform_with = [&](CopyLedger& ledger) {
    std::unique_ptr<FileTree> const source = FileTree::scan(context(), {});
    perform(action, {.target = target, .source = source.get(), .owner = {}, .ledger = &ledger});
  };
  CopyLedger first;
  perform_with(first);
  put_text(context() / "d0/changed-first", "new");
  fs::remove(file(6));
  CopyLedger second(first.take_text().value());
  EXPECT_THROW(perform_with(second), CannotAmend);
  EXPECT_FALSE(fs::exists(to / "d0/changed-first"));
}

/// One change to the context.
void change_something(const fs::path& root, std::minstd_rand& random) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  fs::path const some = files[random() % files.size()];
  fs::path const fresh = some.parent_path() / ("n" + std::to_string(random()));
  switch (random() % 14) {
    case 0: put_text(some, "changed " + std::to_string(random())); break;
    case 1: put_text(fresh, "new"); break;
    case 2: test::set_time(some, static_cast<time_t>(random() % 1'000'000'000)); break;
    case 3: fs::permissions(some, fs::perms(random() % 0777U)); break;
    case 4: fs::create_symlink("target" + std::to_string(random()), fresh); break;
    case 5: fs::create_hard_link(some, fresh); break;
    case 6: fs::create_directory(fresh); break;
    case 7:
      test::set_time(some.parent_path(), static_cast<time_t>(random() % 1'000'000'000));
      break;
    case 8: ::setxattr(some.c_str(), "user.note", "note", 4, 0); break;
    case 9: put_text(fresh / "deeper/still", "new"); break;
    case 10: ::setxattr(some.parent_path().c_str(), "user.note", "note", 4, 0); break;
    case 11: ::removexattr(some.parent_path().c_str(), "user.note"); break;
    case 12: fs::permissions(some.parent_path(), fs::perms(0700 + random() % 0100U)); break;
    default: fs::remove(some); break;
  }
}

TEST_F(CopyAgain, PropertyNobodySeesWhetherItWasAmended) {
  std::minstd_rand random(7);
  int amended = 0;
  for (int round = 0; round < 25; ++round) {
    for (unsigned i = random() % 4; i > 0; --i) change_something(context(), random);
    solve::Result const result = copy();
    amended += result.layers.size() == 2 ? 1 : 0;
    ASSERT_EQ(details(result), copied_anew()) << "round " << round;
  }
  EXPECT_GT(amended, 8);
}

TEST_F(CopyAgain, PropertyNorWithPatterns) {
  std::minstd_rand random(11);
  pb::Op const included = with_patterns(copy_op("/app"), {"d*/f*", "**/deeper/*"}, {});
  pb::Op const excluded = with_patterns(copy_op("/app"), {}, {"d2", "!d2/f*", "d3/f?", "**/still"});
  int amended = 0;
  for (int round = 0; round < 15; ++round) {
    for (unsigned i = random() % 4; i > 0; --i) change_something(context(), random);
    for (const pb::Op& op : {included, excluded}) amended += check_again(op) ? 1 : 0;
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
  EXPECT_GT(amended, 8);
}

TEST(CopyLedger, DamagedTextsAreNoLedgers) {
  EXPECT_THROW(CopyLedger{std::string{}}, CannotAmend);
  EXPECT_THROW(CopyLedger{"/a"}, CannotAmend);
  std::string const cut("/a\0short", 8);
  EXPECT_THROW(CopyLedger{cut}, CannotAmend);
  std::string whole("/a\0", 3);
  whole.append(sizeof(LedgerRecord), 'x');
  EXPECT_NO_THROW(CopyLedger{whole});
  EXPECT_THROW(CopyLedger{whole + whole}, CannotAmend) << "a path twice";
}

TEST(WorkerThreads, DoAllJobsAndReportTheFirstFailure) {
  for (unsigned threads : {1U, 2U, 8U}) {
    WorkerThreads workers(threads);
    std::atomic<int> done = 0;
    for (int i = 0; i < 1000; ++i) workers.submit([&done] { ++done; });
    workers.finish();
    EXPECT_EQ(done, 1000);
    auto fail = [&] {
      for (int i = 0; i < 1000; ++i) workers.submit([] { throw std::runtime_error("no"); });
      workers.finish();
    };
    EXPECT_THROW(fail(), std::runtime_error);
  }
  WorkerThreads(3).finish();
}

}  // namespace
}  // namespace cobuild::ops
