#include "ops/op_description.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <fstream>

#include "core/solve/explanation.hpp"
#include "core/solve/file_list.hpp"
#include "core/sys/fs.hpp"
#include "ops/content_hash.hpp"
#include "ops/file_tree.hpp"
#include "ops/op_digest.hpp"

namespace cobuild::ops {
namespace {

using solve::Difference;
using solve::DifferenceKind;

llb::Vertex vertex(pb::Op op) {
  return llb::Vertex(VertexDigest(Digest::of("x")), std::move(op), {}, {});
}

pb::Op run_op() {
  pb::Op op;
  op.mutable_platform()->set_os("linux");
  op.mutable_platform()->set_architecture("amd64");
  pb::ExecOp& exec = *op.mutable_exec();
  for (const char* word : {"/bin/sh", "-c", "make"}) exec.mutable_meta()->add_args(word);
  exec.mutable_meta()->add_env("PATH=/bin");
  exec.mutable_meta()->add_env("TOKEN=hunter2");
  exec.mutable_meta()->set_cwd("/src");
  exec.add_mounts()->set_dest("/");
  return op;
}

pb::Mount& add_mount(pb::Op& op, const std::string& dest, pb::MountType type) {
  pb::Mount& mount = *op.mutable_exec()->add_mounts();
  mount.set_dest(dest);
  mount.set_mounttype(type);
  mount.set_input(-1);
  mount.set_output(-1);
  return mount;
}

TEST(OpDescriptionTest, OfARun) {
  solve::OpDescription const what = describe(vertex(run_op()));
  EXPECT_EQ(what.kind, "exec");
  EXPECT_EQ(what.arguments, (std::vector<std::string>{"/bin/sh", "-c", "make"}));
  EXPECT_EQ(what.variables.size(), 2U);
  EXPECT_TRUE(what.mounts.empty()) << "its root is no mount of the user's";
  EXPECT_EQ(what.settings.at("working directory"), "/src");
  EXPECT_EQ(what.settings.at("platform"), "linux/amd64");
  EXPECT_EQ(what.settings.size(), 2U) << "what is not set is not told";
}

TEST(OpDescriptionTest, SecretsNeverAppear) {
  pb::Op op = run_op();
  add_mount(op, "/run/secrets/npm", pb::SECRET).mutable_secretopt()->set_id("npm");
  pb::SecretEnv& secret = *op.mutable_exec()->add_secretenv();
  secret.set_id("token");
  secret.set_name("API_TOKEN");
  op.mutable_exec()->mutable_meta()->mutable_proxy_env()->set_http_proxy(
      "http://user:hunter2@proxy");
  pb::HostIP& host = *op.mutable_exec()->mutable_meta()->add_extrahosts();
  host.set_host("db");
  host.set_ip("10.1.2.3");
  solve::StepDescription step;
  step.op = describe(vertex(op));
  std::string const text = to_json(step);
  EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
  EXPECT_EQ(text.find("10.1.2.3"), std::string::npos) << text;
  EXPECT_EQ(step.op.mounts.at("/run/secrets/npm"), "type=secret,id=npm,mode=0,required");
  EXPECT_EQ(step.op.mounts.at("$API_TOKEN"), "type=secret,id=token,required");
  // The value of a variable is not told when it differs, either.
  pb::Op other = op;
  other.mutable_exec()->mutable_meta()->set_env(1, "TOKEN=hunter3");
  solve::Explanation why;
  why.differences = compare(step.op, describe(vertex(other)));
  ASSERT_EQ(why.differences.size(), 1U);
  EXPECT_EQ(why.differences[0].name, "TOKEN");
  EXPECT_EQ(why.differences[0].before + why.differences[0].now, "");
}

TEST(OpDescriptionTest, WhatDoesNotCountIsNotTold) {
  pb::Op op = run_op();
  pb::Mount& mount = add_mount(op, "/cache", pb::CACHE);
  mount.mutable_cacheopt()->set_id("mine");
  mount.mutable_cacheopt()->set_sharing(pb::LOCKED);
  EXPECT_EQ(describe(vertex(op)).mounts.at("/cache"), "type=cache")
      << "its id is not part of the key";
  mount.mutable_cacheopt()->set_id("/cache");
  mount.mutable_cacheopt()->set_sharing(pb::SHARED);
  EXPECT_EQ(describe(vertex(op)).mounts.at("/cache"), "type=cache,id=/cache");
}

TEST(OpDescriptionTest, OfFileActions) {
  pb::Op op;
  pb::FileActionCopy& copy = *op.mutable_file()->add_actions()->mutable_copy();
  copy.set_src("/src/*");
  copy.set_dest("/app/");
  copy.set_mode(-1);
  copy.set_modestr("u+x");
  copy.set_timestamp(-1);
  copy.mutable_owner()->mutable_user()->mutable_byname()->set_name("app");
  copy.add_exclude_patterns("*.o");
  pb::FileActionMkFile& file = *op.mutable_file()->add_actions()->mutable_mkfile();
  file.set_path("/etc/token");
  file.set_data("hunter2");
  file.set_mode(0600);
  file.set_timestamp(-1);
  solve::OpDescription const what = describe(vertex(op));
  EXPECT_EQ(what.kind, "file");
  ASSERT_EQ(what.arguments.size(), 2U);
  EXPECT_EQ(what.arguments[0], "copy /src/* /app/ --chown=app: --chmod=u+x --exclude=*.o");
  EXPECT_EQ(what.arguments[1].find("hunter2"), std::string::npos);
  EXPECT_TRUE(what.arguments[1].starts_with("write /etc/token 0600 content "));
}

ContentSelector selector(const std::string& path) {
  ContentSelector made;
  made.path = path;
  made.wildcard = contains_wildcards(path);
  return made;
}

/// The list of what one selector takes of a directory, after its digest was computed.
solve::FileList list(const std::filesystem::path& root, const ContentSelector& wanted) {
  auto const tree = FileTree::open(root, FileTree::Kind::kLocal);
  ContentHash hash(*tree);
  (void)hash.digest_of(wanted);
  for (FileTree::Entry* const entry : hash.missing())
    entry->header_digest = hash_entry(*tree, *entry);
  hash.forget_missing();
  (void)hash.digest_of(wanted);
  return ContentHash(*tree).list({wanted});
}

class ContentListTest : public testing::Test {
 protected:
  ContentListTest() {
    std::filesystem::create_directories(root / "d/e");
    for (const char* name : {"a.c", "b.txt", "d/c.c", "d/e/f"}) std::ofstream(root / name) << name;
  }
  static std::string paths(const solve::FileList& list) {
    std::string out;
    for (const solve::ListedFile& file : list.files) out += "/" + file.path + " ";
    return out;
  }
  TempDir directory = TempDir::create(std::filesystem::temp_directory_path(), "cobuild-list-");
  std::filesystem::path root = directory.path() / "root";
};

TEST_F(ContentListTest, HasWhatIsSelected) {
  EXPECT_EQ(paths(list(root, selector("/"))), "/ /a.c /b.txt /d /d/c.c /d/e /d/e/f ");
  EXPECT_EQ(paths(list(root, selector("/d/e"))), "/d/e /d/e/f ");
  EXPECT_EQ(paths(list(root, selector("/*.c"))), "/a.c ");
}

TEST_F(ContentListTest, TellsWhatChanged) {
  auto const before = list(root, selector("/"));
  std::ofstream(root / "a.c") << "longer than before";
  std::ofstream(root / "new") << "new";
  std::filesystem::remove(root / "b.txt");
  ::chmod((root / "d/c.c").c_str(), 0755);
  auto const changes = solve::compare(before, list(root, selector("/")));
  ASSERT_EQ(changes.size(), 4U);
  EXPECT_EQ(changes[0].path, "a.c");
  EXPECT_EQ(changes[0].kind, solve::FileChangeKind::kContent);
  EXPECT_EQ(changes[1].path, "b.txt");
  EXPECT_EQ(changes[1].kind, solve::FileChangeKind::kRemoved);
  EXPECT_EQ(changes[2].path, "d/c.c");
  EXPECT_EQ(changes[2].kind, solve::FileChangeKind::kMode);
  EXPECT_EQ(changes[3].path, "new");
  EXPECT_EQ(changes[3].kind, solve::FileChangeKind::kAdded);
}

TEST_F(ContentListTest, HugeDirectoriesAreSummedUp) {
  std::filesystem::create_directories(root / "huge");
  for (std::size_t i = 0; i <= solve::kListedFilesMax; ++i) {
    std::ofstream(root / "huge" / std::to_string(i)) << i;
  }
  auto const before = list(root, selector("/"));
  EXPECT_LT(before.files.size(), 20U);
  std::ofstream(root / "huge/7") << "other";
  auto const changes = solve::compare(before, list(root, selector("/")));
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].path, "huge");
  EXPECT_EQ(changes[0].kind, solve::FileChangeKind::kBelow);
}

}  // namespace
}  // namespace cobuild::ops
