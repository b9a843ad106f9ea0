// Git sources without a server: what is asked for, what the answers mean, what git is told, and what
// becomes of a working tree. tests/e2e/remote_sources.sh has the rest.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "ops/checkout_tree.hpp"
#include "ops/git_command.hpp"
#include "ops/git_request.hpp"
#include "ops/op_digest.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

GitRequest request_of(const std::string& identifier, std::map<std::string, std::string> attributes = {}) {
  pb::SourceOp source;
  source.set_identifier(identifier);
  for (auto& [key, value] : attributes) (*source.mutable_attrs())[key] = value;
  return parse_git_request(source);
}

std::string error_of(const std::string& identifier, std::map<std::string, std::string> attributes = {}) {
  try {
    (void)request_of(identifier, std::move(attributes));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

const std::string kA(40, 'a');
const std::string kB(40, 'b');
const std::string kC(40, 'c');

TEST(GitRequest, IsReadOfIdentifierAndAttributes) {
  auto const bare = request_of("git://github.com/o/r.git#v1:sub/dir");
  EXPECT_EQ(bare.remote, "https://github.com/o/r.git");
  EXPECT_EQ(bare.ref, "v1");
  EXPECT_EQ(bare.subdir, "sub/dir");
  EXPECT_EQ(bare.host, "github.com");
  auto const full = request_of("git://h/o/r.git", {{"git.fullurl", "git@h:o/r.git"}, {"git.keepgitdir", "true"},
                                                   {"git.skipsubmodules", "true"}, {"git.mtime", "commit"},
                                                   {"git.checksum", "ab"}, {"git.mountsshsock", "default"}});
  EXPECT_EQ(full.remote, "git@h:o/r.git");
  EXPECT_EQ(full.scheme, "ssh");
  EXPECT_TRUE(full.keep_git_dir && full.skip_submodules && full.mtime_of_commit);
  EXPECT_EQ(full.ssh_socket_id, "default");
}

TEST(GitRequest, PasswordsAreTakenOutOfTheRemote) {
  auto const http = request_of("git://h/r.git", {{"git.fullurl", "https://me:p%40ss@h:8443/r.git"}});
  EXPECT_EQ(http.remote, "https://h:8443/r.git");
  EXPECT_EQ(http.authorization.reveal(), "Basic bWU6cEBzcw==");
  EXPECT_EQ(request_of("git://h/r", {{"git.fullurl", "ssh://me:pw@h/r"}}).remote, "ssh://me@h/r");
  EXPECT_EQ(request_of("git://h/r", {{"git.fullurl", "ssh://me@h/r"}}).remote, "ssh://me@h/r");
}

TEST(GitRequest, RefusesWhatWouldBeAnOptionOrALocalFile) {
  EXPECT_THAT(error_of("git://h/r#--upload-pack=x"), HasSubstr("invalid git ref"));
  for (const char* url : {"file:///etc", "ext::sh -c x", "-oProxyCommand=x@h:r", "--upload-pack=x", "/etc",
                          "https://h/\nx", "ssh://-oProxyCommand=x/r"}) {
    EXPECT_NE(error_of("git://h/r", {{"git.fullurl", url}}), "") << url;
  }
  EXPECT_THAT(error_of("git://h/r", {{"git.bundle", "x"}}), HasSubstr("not supported yet"));
  EXPECT_THAT(error_of("git://h/r", {{"git.sig.pubkey", "x"}}), HasSubstr("not supported yet"));
}

TEST(GitRevision, IsChosenAmongRefs) {  // F1.10.4, F10.103
  struct Row {
    const char* ref;
    std::string output;
    std::string full;
    std::string object;
    std::string commit;
  };
  std::string const branch = kA + "\trefs/heads/x\n";
  std::string const tag = kB + "\trefs/tags/x\n" + kC + "\trefs/tags/x^{}\n";
  for (const Row& row : {Row{"x", branch + tag, "refs/heads/x", kA, ""}, Row{"x", tag, "refs/tags/x", kB, kC},
                         Row{"refs/tags/x", tag, "refs/tags/x", kB, ""},
                         Row{"refs/pull/1/head", kA + "\trefs/pull/1/head\n", "refs/pull/1/head", kA, ""},
                         Row{"heads/x", branch, "refs/heads/x", kA, ""},
                         Row{"x", kB + "\trefs/heads/a/x\n" + branch, "refs/heads/x", kA, ""}}) {
    auto const revision = find_revision(request_of("git://h/r"), row.ref, row.output);
    EXPECT_EQ(revision.ref, row.full) << row.output;
    EXPECT_EQ(revision.checksum, row.object);
    if (row.ref[0] != 'r') EXPECT_EQ(revision.commit, row.commit);
  }
}

TEST(GitRevision, BadAnswersAreRefused) {
  auto const says = [](const std::string& output, const std::string& checksum = "") {
    try {
      (void)find_revision(request_of("git://h/r", {{"git.checksum", checksum}}), "x", output);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(says(""), "repository does not contain ref x, output: \"\"");
  EXPECT_THAT(says("--evil\trefs/heads/x\n"), HasSubstr("invalid commit sha"));
  EXPECT_THAT(says("\t\t\n\n\n"), HasSubstr("does not contain ref"));
  std::string const tag = kB + "\trefs/tags/x\n" + kC + "\trefs/tags/x^{}\n";
  EXPECT_EQ(says(tag, "aaaa"), "expected checksum to match aaaa, got " + kB + " or " + kC);
  EXPECT_EQ(says(tag, "cccc"), "");
  EXPECT_EQ(says(tag, "bbbb"), "");
}

TEST(GitRevision, OfACommitNobodyIsAsked) {
  GitRevision revision;
  EXPECT_TRUE(names_commit(request_of("git://h/r#" + kA), revision));
  EXPECT_EQ(revision.checksum, kA);
  EXPECT_FALSE(names_commit(request_of("git://h/r#main"), revision));
  EXPECT_TRUE(names_commit(
      request_of("git://h/r#main", {{"git.fetchbycommit", "true"}, {"git.checksum", kA}}), revision));
  EXPECT_EQ(revision.ref, "refs/heads/main");
  auto const says = [](const GitRequest& request) {
    try {
      GitRevision unused;
      (void)names_commit(request, unused);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(says(request_of("git://h/r", {{"git.checksum", "xyz"}})),
            "invalid checksum xyz for Git URL, expected hex commit hash");
  EXPECT_THAT(says(request_of("git://h/r#" + kA, {{"git.checksum", "bb"}})),
              HasSubstr("expected checksum to match bb, got " + kA));
  EXPECT_EQ(says(request_of("git://h/r", {{"git.fetchbycommit", "true"}})),
            "fetch-by-commit requires a checksum or a commit SHA ref");
  EXPECT_THAT(says(request_of("git://h/r", {{"git.fetchbycommit", "true"}, {"git.checksum", "ab"}})),
              HasSubstr("requires a full commit SHA checksum"));
}

TEST(GitRevision, DefaultBranch) {
  EXPECT_EQ(default_branch("ref: refs/heads/main\tHEAD\n" + kA + "\tHEAD\n"), "main");
  EXPECT_EQ(default_branch("ref: refs/heads/a/b\tHEAD\n"), "a/b");
  EXPECT_EQ(default_branch(kA + "\tHEAD\n"), "");
  EXPECT_THROW((void)default_branch("ref: refs/heads/--evil\tHEAD\n"), Error);
}

/// The second is what BuildKit's exported cache says of the same source.
TEST(GitKey, SaysAllThatDecidesTheFiles) {
  GitRevision const tag{"refs/tags/v1", kB, kC};
  EXPECT_EQ(git_key(request_of("git://h/r"), tag), kC);
  auto const kept = request_of("git://h/r", {{"git.keepgitdir", "true"}, {"git.skipsubmodules", "true"}});
  GitRevision const made{"refs/tags/v1", "af3c20620a10bcfb13d322ecc83ba9268793760d", kC};
  EXPECT_EQ(root_key(source_digest(git_key(kept, made)), 0).to_string(),
            "sha256:82ade64e8e7b03e9e823cf6f52660364c9d30601dff176b1c361d2e1ea645bfb");
  EXPECT_EQ(git_key(request_of("git://h/r#x:d", {{"git.mtime", "commit"}}), {"refs/heads/x", kA, ""}),
            kA + ":d(mtime=commit)");
}

TEST(GitCommand, SeesNobodysConfigurationAndNoSecretsAreArguments) {
  GitSurroundings git;
  git.program = "/usr/bin/git";
  git.environment = {"PATH=/bin"};
  git.secret_config.emplace_back("http.https://h/.extraheader", Secret("Authorization: s3cret"));
  GitCommand const command{{"fetch", "--", "https://h/r.git"}, "/g", "/w", GitTransports::kNetwork};
  auto const args = git_arguments(command);
  for (const std::string& word : args) EXPECT_THAT(word, Not(HasSubstr("s3cret")));
  for (const char* word : {"core.hooksPath=/dev/null", "credential.helper=", "gc.auto=0", "--git-dir=/g",
                           "--work-tree=/w"}) {
    EXPECT_THAT(args, Contains(word));
  }
  EXPECT_THAT(git_arguments({{"ls-remote"}, {}, {}, GitTransports::kNetwork}), Contains("--git-dir=/dev/null"));
  auto const env = git_environment(git, command);
  for (const char* variable :
       {"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/dev/null", "GIT_TERMINAL_PROMPT=0",
        "GIT_ALLOW_PROTOCOL=http:https:ssh:git", "GIT_CONFIG_VALUE_0=Authorization: s3cret", "PATH=/bin"}) {
    EXPECT_THAT(env, Contains(variable));
  }
  GitCommand local = command;
  local.transports = GitTransports::kLocalOnly;
  EXPECT_THAT(git_environment(git, local), Contains("GIT_ALLOW_PROTOCOL=file"));
  EXPECT_THAT(git_environment(git, local), Not(Contains(HasSubstr("s3cret"))));
  local.transports = GitTransports::kNone;
  EXPECT_THAT(git_environment(git, local), Contains("GIT_ALLOW_PROTOCOL=none"));
}

/// What git is told to run for ssh.
std::string ssh_command_of(const GitSurroundings& git) {
  for (const std::string& variable : git_environment(git, {{"fetch"}, {}, {}, GitTransports::kNetwork})) {
    if (variable.starts_with("GIT_SSH_COMMAND=")) return variable;
  }
  return "";
}

TEST(GitCommand, HostsThatTheUserKnowsMustHaveTheirKeys) {
  GitSurroundings git;
  git.directory = "/scratch";
  EXPECT_THAT(ssh_command_of(git), HasSubstr("-o StrictHostKeyChecking=accept-new "
                                             "-o UserKnownHostsFile='\"/scratch/new_hosts\"'"));
  git.ssh_user_hosts = "/home/it's me/.ssh/known_hosts";
  EXPECT_THAT(ssh_command_of(git), HasSubstr("'\"/scratch/new_hosts\"'' ''\"/home/it'\\''s me/.ssh/known_hosts\"'"));
  git.ssh_known_hosts = "/scratch/known_hosts";
  EXPECT_THAT(ssh_command_of(git), HasSubstr("-o UserKnownHostsFile='\"/scratch/known_hosts\"'"));
  EXPECT_THAT(ssh_command_of(git), Not(HasSubstr("accept-new")));
  EXPECT_THAT(ssh_command_of(git), Not(HasSubstr("/home")));
}

TEST(GitCommand, WordsOfGitHaveAKind) {
  EXPECT_EQ(git_failure_kind("fatal: Authentication failed for 'x'"), ErrorKind::kDenied);
  EXPECT_EQ(git_failure_kind("fatal: could not read Username for 'x': terminal prompts disabled"), ErrorKind::kDenied);
  EXPECT_EQ(git_failure_kind("fatal: repository 'x' not found"), ErrorKind::kNotFound);
  EXPECT_EQ(git_failure_kind("fatal: unable to access 'x': Could not resolve host: h"), ErrorKind::kUnavailable);
}

TEST(GitCommand, TokensGoToTheRepositoryOnly) {
  EXPECT_EQ(token_scope("https://github.com/o/r.git"), "https://github.com/");
  EXPECT_EQ(token_scope("https://github.com.evil/o/r.git"), "https://github.com.evil/o/r.git");
  EXPECT_EQ(token_scope("https://h/o/r.git"), "https://h/o/r.git");
}

class CheckoutTree : public testing::Test {
 protected:
  TempDir directory = TempDir::create(fs::temp_directory_path(), "cobuild-checkout-");
  fs::path root = directory.path() / "tree";
  fs::path target = directory.path() / "target";

  void SetUp() override {
    fs::create_directories(root / "sub/dir");
    fs::create_directories(target);
    test::write_text(root / "plain", "x");
    test::write_text(root / "sub/dir/run", "x");
    fs::permissions(root / "plain", fs::perms(0600));
    fs::permissions(root / "sub/dir/run", fs::perms(0711));
    fs::permissions(root / "sub/dir", fs::perms(0700));
    fs::create_symlink("/etc/passwd", root / "link");
    test::write_text(root / "sub/.git", "gitdir: /somewhere");
  }
  static struct stat status_of(const fs::path& path) {
    struct stat status = {};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status;
  }
};

TEST_F(CheckoutTree, ModesDoNotDependOnTheUmask) {
  normalise_checkout(root, {});
  EXPECT_EQ(status_of(root / "plain").st_mode & 07777U, 0644U);
  EXPECT_EQ(status_of(root / "sub/dir/run").st_mode & 07777U, 0755U);
  EXPECT_EQ(status_of(root / "sub/dir").st_mode & 07777U, 0755U);
  EXPECT_EQ(fs::read_symlink(root / "link"), "/etc/passwd");
  EXPECT_FALSE(fs::exists(root / "sub/.git"));
}

TEST_F(CheckoutTree, TimesAreTheCommits) {
  normalise_checkout(root, {.keep_git_files = true, .mtime = Timestamp(std::chrono::seconds(77))});
  for (const char* name : {"", "plain", "link", "sub", "sub/dir", "sub/dir/run"}) {
    EXPECT_EQ(status_of(root / name).st_mtim.tv_sec, 77) << name;
  }
  EXPECT_TRUE(fs::exists(root / "sub/.git"));
}

TEST_F(CheckoutTree, OfASubdirOnlyItsContentIsTaken) {
  move_subdir(root, "sub/dir", target);
  EXPECT_TRUE(fs::exists(target / "run"));
}

TEST_F(CheckoutTree, TheWayToASubdirIsDirectories) {
  fs::create_directory_symlink("sub", root / "other");
  auto const says = [this](const std::string& subdir) {
    try {
      move_subdir(root, subdir, target);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(says("other/dir"),
            "invalid subdir other/dir: git subpath \"other/dir\" contains non-directory \"other\"");
  EXPECT_THAT(says("plain"), HasSubstr("contains non-directory \"plain\""));
  EXPECT_THAT(says("sub/nosuch"), HasSubstr("the repository has no directory \"sub/nosuch\""));
  EXPECT_THAT(says(".."), HasSubstr("no directory"));
  EXPECT_TRUE(fs::is_empty(target));
}

}  // namespace
}  // namespace cobuild::ops
