// Ops as the solver runs them: local sources, file, merge and diff ops over a real store.

#include <gmock/gmock.h>

#include <sys/xattr.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "ops/content_hash.hpp"
#include "ops/diff_op.hpp"
#include "ops/file_op.hpp"
#include "ops/merge_op.hpp"
#include "ops_fixture.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using test::put_text;

class OpsRun : public test::OpsTest {
 protected:
  static pb::FileAction* add(pb::Op& op, std::int64_t input, std::int64_t secondary,
                             std::int64_t output) {
    pb::FileAction* action = op.mutable_file()->add_actions();
    action->set_input(input);
    action->set_secondaryinput(secondary);
    action->set_output(output);
    return action;
  }

  static void set_copy(pb::FileAction* action, const std::string& from, const std::string& to) {
    auto& copy = *action->mutable_copy();
    copy.set_src(from);
    copy.set_dest(to);
    copy.set_mode(-1);
    copy.set_timestamp(-1);
    copy.set_followsymlink(true);
    copy.set_dircopycontents(true);
    copy.set_createdestpath(true);
    copy.set_allowwildcard(true);
    copy.set_allowemptywildcard(true);
  }

  static void set_mkfile(pb::FileAction* action, const std::string& path, const std::string& data) {
    action->mutable_mkfile()->set_path(path);
    action->mutable_mkfile()->set_mode(0644);
    action->mutable_mkfile()->set_data(data);
    action->mutable_mkfile()->set_timestamp(-1);
  }

  std::vector<solve::Result> run_file(const pb::Op& op, std::vector<solve::Result> inputs) {
    auto const file_op = make_file_op(services, vertex(op));
    return process.run(file_op->run(std::move(inputs), step));
  }

  Digest content(const solve::Result& input, const std::string& path) {
    ContentSelector selector;
    selector.path = path;
    selector.follow_links = true;
    return process.run(content_digest(services, {selector}, input, step));
  }

  /// Entries of the store that a failure could have left behind.
  std::size_t leftovers() {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(process.store().root() / "snapshots")) {
      count += entry.is_directory() ? 1 : 0;
    }
    return count;
  }
};

TEST_F(OpsRun, CopiesFromTheUsersDirectoryIntoOneLayer) {
  put_text(context() / "a", "A");
  put_text(context() / "d/e", "E");
  pb::Op op;
  set_copy(add(op, -1, 0, -1), "/a", "/x/a");
  set_copy(add(op, 1, 0, 0), "/d", "/x/d/");
  auto const results = run_file(op, {local()});
  ASSERT_EQ(results.size(), 1U);
  EXPECT_EQ(results[0].layers.size(), 1U) << "a chain of actions is one layer";
  EXPECT_EQ(files_of(results[0]), "x/ 0755\nx/a 0644 A\nx/d/ 0755\nx/d/e 0644 E\n");
  EXPECT_EQ(process.store().get_layer(results[0].layers[0]).description, "a step");
  EXPECT_EQ(files.asked, 0) << "nothing had to be mounted";
}

TEST_F(OpsRun, ChangesABaseInANewLayer) {
  solve::Result const base = layer([](const fs::path& root) {
    put_text(root / "etc/passwd", "bob:x:77:78::/:\n");
    put_text(root / "old", "old");
  });
  pb::Op op;
  set_mkfile(add(op, 0, -1, -1), "/new", "new");
  auto* owner = op.mutable_file()->mutable_actions(0)->mutable_mkfile()->mutable_owner();
  owner->mutable_user()->mutable_byname()->set_name("bob");
  owner->mutable_user()->mutable_byname()->set_input(0);
  add(op, 1, -1, 0)->mutable_rm()->set_path("/old");
  auto const results = run_file(op, {base});
  ASSERT_EQ(results[0].layers.size(), 2U);
  EXPECT_EQ(results[0].layers[0], base.layers[0]);
  EXPECT_EQ(files_of(results[0]),
            "etc/ 0755\netc/passwd 0644 bob:x:77:78::/:\n\nnew 0644 new 77:78\n");
  EXPECT_EQ(files_of(base), "etc/ 0755\netc/passwd 0644 bob:x:77:78::/:\n\nold 0644 old\n");
}

TEST_F(OpsRun, AStateThatIsUsedTwiceIsALayerOfItsOwn) {
  pb::Op op;
  set_mkfile(add(op, -1, -1, -1), "/a", "A");
  set_mkfile(add(op, 0, -1, 0), "/b", "B");
  set_copy(add(op, 0, 1, 1), "/b", "/c");
  auto const results = run_file(op, {});
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(files_of(results[0]), "a 0644 A\nb 0644 B\n");
  EXPECT_EQ(files_of(results[1]), "a 0644 A\nc 0644 B\n");
  EXPECT_EQ(results[0].layers[0], results[1].layers[0]);
}

TEST_F(OpsRun, CopiesFromAnotherStage) {
  solve::Result const stage = layer([](const fs::path& root) {
    put_text(root / "bin/tool", "T", 0755);
    fs::create_symlink("/bin/tool", root / "link");
  });
  pb::Op op;
  set_copy(add(op, -1, 0, 0), "/link", "/tool");
  EXPECT_EQ(files_of(run_file(op, {stage})[0]), "tool 0755 T\n");
}

TEST_F(OpsRun, F10_13_ANameOnScratchFails) {
  pb::Op op;
  set_mkfile(add(op, -1, -1, 0), "/a", "A");
  auto* user =
      op.mutable_file()->mutable_actions(0)->mutable_mkfile()->mutable_owner()->mutable_user();
  user->mutable_byname()->set_name("bob");
  user->mutable_byname()->set_input(-1);
  std::size_t const before = leftovers();
  try {
    run_file(op, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "invalid user index: -1");
  }
  EXPECT_EQ(leftovers(), before) << "nothing half-written stays";
}

TEST_F(OpsRun, RefusesGraphsThatAreNone) {
  auto error_of = [&](const pb::Op& op) {
    try {
      run_file(op, {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  pb::Op loop;
  set_mkfile(add(loop, 1, -1, -1), "/a", "");
  set_mkfile(add(loop, 0, -1, 0), "/b", "");
  EXPECT_THAT(error_of(loop), testing::StartsWith("loop from index"));
  pb::Op none;
  set_mkfile(add(none, -1, -1, -1), "/a", "");
  EXPECT_EQ(error_of(none), "no outputs specified");
  pb::Op twice;
  set_mkfile(add(twice, -1, -1, 0), "/a", "");
  set_mkfile(add(twice, -1, -1, 0), "/a", "");
  EXPECT_EQ(error_of(twice), "duplicate output 0");
  pb::Op gap;
  set_mkfile(add(gap, -1, -1, 1), "/a", "");
  EXPECT_EQ(error_of(gap), "missing output index 0");
  pb::Op beyond;
  set_mkfile(add(beyond, 7, -1, 0), "/a", "");
  EXPECT_EQ(error_of(beyond), "invalid input index 7, 1 provided");
}

TEST_F(OpsRun, ACancelledCopyLeavesNothing) {
  for (int i = 0; i < 500; ++i) put_text(context() / ("f" + std::to_string(i)), "x");
  pb::Op op;
  set_copy(add(op, -1, 0, 0), "/", "/");
  solve::Result const input = local();
  std::size_t const before = leftovers();
  auto const file_op = make_file_op(services, vertex(op));
  asio::cancellation_signal signal;
  std::exception_ptr outcome;
  asio::io_context& io = process.loop();
  asio::co_spawn(
      io, file_op->run({input}, step),
      asio::bind_cancellation_slot(
          signal.slot(), [&](std::exception_ptr error, const auto&) { outcome = error; }));
  io.restart();
  asio::post(io, [&] { signal.emit(asio::cancellation_type::all); });
  io.run();
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(is_cancellation(outcome));
  EXPECT_EQ(leftovers(), before);
}

// ---- contents

TEST_F(OpsRun, ContentIsWhatTheFilesAre) {  // F1.7.23
  put_text(context() / "d/a", "A");
  put_text(context() / "other", "1");
  Digest const first = content(local(), "/d");
  put_text(context() / "other", "2");
  EXPECT_EQ(content(local(), "/d"), first) << "what is not selected does not count";
  test::set_time(context() / "d/a", 12345);
  EXPECT_EQ(content(local(), "/d"), first) << "times do not count";
  ::chmod((context() / "d/a").c_str(), 0600);
  EXPECT_NE(content(local(), "/d"), first) << "modes do";
  ::chmod((context() / "d/a").c_str(), 0644);
  std::string const capability("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  ASSERT_EQ(::setxattr((context() / "d/a").c_str(), "security.capability", capability.data(), capability.size(), 0), 0);
  EXPECT_NE(content(local(), "/d"), first) << "attributes do";
  ASSERT_EQ(::removexattr((context() / "d/a").c_str(), "security.capability"), 0);
  EXPECT_EQ(content(local(), "/d"), first);
  put_text(context() / "d/a", "B");
  EXPECT_NE(content(local(), "/d"), first);
}

TEST_F(OpsRun, ARefHasTheContentOfTheSameFiles) {
  put_text(context() / "d/a", "A");
  fs::create_symlink("a", context() / "d/l");
  solve::Result const made = layer([](const fs::path& root) {
    put_text(root / "d/a", "A");
    fs::create_symlink("a", root / "d/l");
  });
  EXPECT_EQ(content(local(), "/d"), content(made, "/d"));
  int const asked = files.asked;
  EXPECT_EQ(content(made, "/d"), content(local(), "/d"));
  EXPECT_EQ(files.asked, asked) << "remembered: nothing was mounted again";
}

TEST_F(OpsRun, F9_1_4_AMissingPath) {
  put_text(context() / "a", "A");
  solve::Result const made = layer([](const fs::path& root) { put_text(root / "a", "A"); });
  for (const solve::Result& input : {local(), made}) {
    try {
      content(input, "/x");
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kNotFound);
      EXPECT_THAT(
          error.what(),
          testing::MatchesRegex("failed to calculate checksum of ref [^:]+: \"/x\": not found"));
    }
  }
}

TEST_F(OpsRun, FilesAreHashedOnce) {
  put_text(context() / "d/a", "A");
  put_text(context() / "d/b", "B");
  // Long ago by every clock but the kernel's: wait for that one by the time of a file of ours.
  struct stat old{};
  ::stat((context() / "d/b").c_str(), &old);
  for (struct stat now{}; now.st_ctim.tv_sec * 1000 + now.st_ctim.tv_nsec / 1000000 <
                          old.st_ctim.tv_sec * 1000 + old.st_ctim.tv_nsec / 1000000 + 60;) {
    put_text(directory.path() / "clock", "");
    ::stat((directory.path() / "clock").c_str(), &now);
  }
  Digest const first = content(local(), "/d");
  // With no permission to read them, only what is remembered can answer: but root may always read.
  // So the bytes are changed behind the file system's back, as far as its times tell.
  struct stat status{};
  ::stat((context() / "d").c_str(), &status);
  std::string const key = std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
  auto note = process.store().get_note("file-digest", key);
  ASSERT_TRUE(note) << "what was hashed is remembered under its directory";
  ASSERT_EQ(note->size(), 2U * 64U);
  note->at(63) = static_cast<char>(note->at(63) + 1);
  process.store().put_note("file-digest", key, *note);
  EXPECT_NE(content(local(), "/d"), first) << "the note was believed, the file not read";
  put_text(context() / "d/a", "A");
  put_text(context() / "d/b", "B");
  EXPECT_EQ(content(local(), "/d"), first) << "times have changed: hashed anew";
}

// ---- local sources

TEST_F(OpsRun, LocalSourcesAreFiltered) {
  put_text(context() / "a.txt", "1");
  put_text(context() / "b.md", "2");
  put_text(context() / "d/c.txt", "3");
  put_text(context() / "d/e.md", "4");
  pb::Op op = local_op();
  (*op.mutable_source()->mutable_attrs())["local.includepattern"] = R"(["*.txt","d"])";
  (*op.mutable_source()->mutable_attrs())["local.excludepatterns"] = R"(["**/*.md"])";
  store::LayerChain const chain = process.run(materialise(services, local(op), step));
  solve::Result result;
  result.layers = chain;
  EXPECT_EQ(files_of(result), "a.txt 0644 1\nd/ 0755\nd/c.txt 0644 3\n");
  EXPECT_THAT(step.statuses, testing::Contains("transferring context: 2"));
}

TEST_F(OpsRun, FollowPathsTakeLinkTargetsAlong) {  // F1.7.26
  put_text(context() / "real/f", "F");
  put_text(context() / "unused", "U");
  fs::create_symlink("real/f", context() / "l1");
  fs::create_symlink("/l1", context() / "l2");
  pb::Op op = local_op();
  (*op.mutable_source()->mutable_attrs())["local.followpaths"] = R"(["l2","none"])";
  solve::Result result;
  result.layers = process.run(materialise(services, local(op), step));
  EXPECT_EQ(files_of(result), "l1 -> real/f\nl2 -> /l1\nreal/ 0755\nreal/f 0644 F\n");
  (*op.mutable_source()->mutable_attrs())["local.followpaths"] = R"(["l*"])";
  result.layers = process.run(materialise(services, local(op), step));
  EXPECT_EQ(files_of(result), "l1 -> real/f\nl2 -> /l1\nreal/ 0755\nreal/f 0644 F\n");
}

TEST_F(OpsRun, ALocalSourceThatIsNotThere) {
  pb::Op op;
  op.mutable_source()->set_identifier("local://other");
  auto error_of = [&](const pb::Op& source) {
    try {
      local(source);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error_of(op), "no access allowed to dir \"other\": give it with --local other=DIR");
  contexts.directories["other"] = "/nonexistent/dir";
  EXPECT_THAT(error_of(op), testing::HasSubstr("/nonexistent/dir"));
}

TEST_F(OpsRun, MaterialisingTwiceIsOneLayer) {
  put_text(context() / "a", "A");
  solve::Result const input = local();
  EXPECT_EQ(process.run(materialise(services, input, step)),
            process.run(materialise(services, input, step)));
}

// ---- merge and diff

TEST_F(OpsRun, MergeIsConcatenation) {
  solve::Result const a = layer([](const fs::path& root) { put_text(root / "a", "A"); });
  solve::Result const b = layer([](const fs::path& root) { put_text(root / "b", "B"); });
  pb::Op op;
  for (int i = 0; i < 3; ++i) op.mutable_merge()->add_inputs()->set_input(i);
  auto const merge = make_merge_op(services, vertex(op));
  auto const results = process.run(merge->run({a, solve::Result(), b}, step));
  EXPECT_EQ(results[0].layers, (store::LayerChain{a.layers[0], b.layers[0]}));
  EXPECT_FALSE(merge->takes_slot());
}

class DiffRun : public OpsRun {
 protected:
  solve::Result diff(const solve::Result& lower, const solve::Result& upper) {
    pb::Op op;
    op.mutable_diff()->mutable_lower()->set_input(0);
    op.mutable_diff()->mutable_upper()->set_input(1);
    auto const diff_op = make_diff_op(services, vertex(op));
    return process.run(diff_op->run({lower, upper}, step)).at(0);
  }
  solve::Result on(const solve::Result& base, const solve::Result& top) {
    solve::Result both = base;
    both.layers.insert(both.layers.end(), top.layers.begin(), top.layers.end());
    return both;
  }
};

TEST_F(DiffRun, F2_5_3_LayersThatCameOnTopAreReused) {
  solve::Result const base = layer([](const fs::path& root) { put_text(root / "a", "A"); });
  solve::Result const more =
      layer([](const fs::path& root) { put_text(root / "b", "B"); }, base.layers);
  EXPECT_EQ(diff(base, more).layers, (store::LayerChain{more.layers[1]}));
  EXPECT_TRUE(diff(more, more).layers.empty()) << "equal sides are scratch";
  EXPECT_EQ(diff(solve::Result(), more).layers, more.layers);
  EXPECT_EQ(files.asked, 0) << "nothing is looked at";
}

TEST_F(DiffRun, F2_5_4_OtherwiseTheTreesAreCompared) {
  auto fill = [](const fs::path& root) {
    put_text(root / "same", "S");
    put_text(root / "changed", "1");
    put_text(root / "gone/x", "X");
    put_text(root / "d/deep/f", "F");
    put_text(root / "d/deep/same", "S");
    put_text(root / "file", "f");
    put_text(root / "dir/inner", "i");
    for (const char* path : {"same", "d/deep/same"}) test::set_time(root / path, 1000);
  };
  solve::Result const lower = layer(fill);
  solve::Result const upper = layer([&](const fs::path& root) {
    fill(root);
    put_text(root / "changed", "22");
    fs::remove_all(root / "gone");
    put_text(root / "d/deep/f", "FF", 0600);
    fs::remove(root / "file");
    put_text(root / "file/now/dir", "D");
    fs::remove_all(root / "dir");
    put_text(root / "dir", "now a file");
    put_text(root / "h1", "H");
    fs::create_hard_link(root / "h1", root / "h2");
    fs::create_symlink("h1", root / "l");
  });
  solve::Result const difference = diff(lower, upper);
  ASSERT_EQ(difference.layers.size(), 1U);
  fs::path const made = process.store().snapshot_path(difference.layers[0]);
  EXPECT_FALSE(fs::exists(made / "same"));
  EXPECT_FALSE(fs::exists(made / "d/deep/same"));
  EXPECT_TRUE(fs::is_character_file(made / "gone"));
  EXPECT_EQ(fs::hard_link_count(made / "h1"), 2U);
  EXPECT_EQ(files_of(on(lower, difference)), files_of(upper));
  solve::Result const back = diff(upper, lower);
  EXPECT_EQ(files_of(on(upper, back)), files_of(lower));
}

TEST_F(DiffRun, ToScratchIsRemovalOfEverything) {
  solve::Result const lower = layer([](const fs::path& root) { put_text(root / "d/a", "A"); });
  solve::Result const nothing = diff(lower, solve::Result());
  EXPECT_EQ(files_of(on(lower, nothing)), "");
}

}  // namespace
}  // namespace cobuild::ops
