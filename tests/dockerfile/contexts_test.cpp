/// Remote and named contexts, and ADD of what is not in a context.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert.hpp"
#include "dockerfile/git_reference.hpp"

namespace cobuild::dockerfile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ConvertOptions with_contexts(std::map<std::string, std::string> contexts) {
  auto options = test_options();
  options.named_contexts = std::move(contexts);
  return options;
}

ConvertOptions read_options(const std::map<std::string, std::string>& options) {
  return parse_frontend_options(options, test_platform()).convert;
}

std::vector<std::string> identifiers(const Lowered& lowered) {
  std::vector<std::string> out;
  for (const pb::Op& op : ops_of(lowered)) {
    if (op.has_source()) out.push_back(op.source().identifier());
  }
  return out;
}

/// The attribute of the only source.
std::string attribute(const Lowered& lowered, const std::string& name) {
  for (const pb::Op& op : ops_of(lowered)) {
    if (op.has_source() && op.source().attrs().contains(name)) return op.source().attrs().at(name);
  }
  return "";
}

// ---- git references

TEST(GitReference, IsReadOfAllForms) {  // F1.10.3, F1.10.4, F10.104
  struct Row {
    const char* text;
    const char* remote;
    const char* ref;
    const char* subdir;
  };
  for (const Row& row : {
           Row{"https://github.com/o/r.git", "https://github.com/o/r.git", "", ""},
           Row{"https://github.com/o/r.git#v1", "https://github.com/o/r.git", "v1", ""},
           Row{"https://github.com/o/r.git#v1:a/../b/", "https://github.com/o/r.git", "v1", "b"},
           Row{"https://github.com/o/r.git#:a", "https://github.com/o/r.git", "", "a"},
           Row{"http://h:8080/r.git?ref=x&subdir=d", "http://h:8080/r.git", "x", "d"},
           Row{"HTTPS://H/r.git", "https://H/r.git", "", ""},
           Row{"https://u:p%40@h/a%20b.git", "https://u:p%40@h/a%20b.git", "", ""},
           Row{"https://h/r.git?tag=v1", "https://h/r.git", "refs/tags/v1", ""},
           Row{"https://h/r.git?branch=refs/heads/b", "https://h/r.git", "refs/heads/b", ""},
           Row{"git://h/r", "git://h/r", "", ""},
           Row{"ssh://git@h:22/r#x", "ssh://git@h:22/r", "x", ""},
           Row{"git@h:o/r.git#x:y", "git@h:o/r.git", "x", "y"},
           Row{"git@h:o/r?ref=x", "git@h:o/r", "x", ""},
           Row{"github.com/o/r#b", "github.com/o/r", "b", ""},
       }) {
    auto const reference = try_parse_git_reference(row.text);
    ASSERT_TRUE(reference) << row.text;
    EXPECT_EQ(reference->remote, row.remote) << row.text;
    EXPECT_EQ(reference->ref, row.ref) << row.text;
    EXPECT_EQ(reference->subdir, row.subdir) << row.text;
  }
}

TEST(GitReference, QueryFlags) {  // F1.10.5
  auto const bare = try_parse_git_reference("https://h/r.git?keep-git-dir&submodules&fetch-by-commit");
  EXPECT_EQ(bare->keep_git_dir, true);
  EXPECT_EQ(bare->submodules, true);
  EXPECT_TRUE(bare->fetch_by_commit);
  auto const off = try_parse_git_reference("https://h/r.git?keep-git-dir=0&submodules=false&mtime=commit&commit=ab");
  EXPECT_EQ(off->keep_git_dir, false);
  EXPECT_EQ(off->submodules, false);
  EXPECT_EQ(off->mtime, "commit");
  EXPECT_EQ(off->checksum, "ab");
}

TEST(GitReference, IsNotWhatIsNone) {
  for (const char* text : {"", ".", "/x.git", "./x.git", "../x.git", "x.git", "https://h/r", "https://h/r.git/",
                           "https://h/r?x=.git", "file:///r.git", "ext::sh -c x", "ftp://h/r.git", "a b@h:x",
                           "user@host", "https://h/r.git#%zz", "https://[::1/r.git", "https://h:x/r.git",
                           "https://a b/r.git", "git://h\n/r", "--upload-pack@h:r", "git@-oProxyCommand:r"}) {
    EXPECT_FALSE(try_parse_git_reference(text)) << text;
  }
}

TEST(GitReference, BadQueriesAreRefusedInBuildKitsWords) {  // F1.10.5
  struct Row {
    const char* query;
    const char* message;
  };
  for (const Row& row : {Row{"x=1", "unexpected query \"x\""},
                         Row{"ref=a&ref=b", "query \"ref\" has multiple values"},
                         Row{"ref=", "query \"ref\" has no value"},
                         Row{"submodules=x", "invalid submodules value: \"x\""},
                         Row{"keep-git-dir=x", "invalid keep-git-dir value: \"x\""},
                         Row{"fetch-by-commit=x", "invalid fetch-by-commit value: \"x\""},
                         Row{"mtime=x", "invalid mtime value: \"x\" (must be \"checkout\" or \"commit\")"},
                         Row{"tag=a&branch=b", "branch conflicts with tag"},
                         Row{"ref=a#b", "ref conflicts: \"b\" vs \"a\""},
                         Row{"tag=a#b", "ref conflicts: \"b\" vs \"refs/tags/a\""},
                         Row{"subdir=a#b:c", "subdir conflicts: \"c\" vs \"a\""}}) {
    try {
      (void)try_parse_git_reference(std::string("https://h/r.git?") + row.query);
      ADD_FAILURE() << row.query;
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), row.message);
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput);
    }
  }
}

// ---- ADD

TEST(AddRemote, RefusesWhatDoesNotFit) {  // F1.7.21, F1.7.22
  struct Row {
    const char* instruction;
    const char* message;
  };
  std::string const sum(64, 'a');
  for (const Row& row :
       {Row{"ADD --keep-git-dir=true https://h/r.git?keep-git-dir=false /", "inconsistent keep-git-dir configuration"},
        Row{"ADD --checksum=aa https://h/r.git?checksum=bb /", "checksum mismatch \"aa\" != \"bb\""},
        Row{"ADD --checksum=sha256:aa https://h/x https://h/y /", "checksum can't be specified for multiple sources"},
        Row{"ADD --checksum=sha256:aa x /", "checksum requires HTTP(S) or Git sources"},
        Row{"ADD --checksum=aa https://h/x /", "invalid checksum digest format"},
        Row{"ADD --checksum=sha256:aa https://h/x /", "invalid checksum digest length"},
        Row{"ADD --checksum=md5:aa https://h/x /", "unsupported digest algorithm"},
        Row{"ADD https://h/r.git?y=1 /", "unexpected query \"y\""}}) {
    EXPECT_THAT(error_of(std::string("FROM scratch\n") + row.instruction), HasSubstr(row.message))
        << row.instruction;
  }
}

TEST(AddRemote, FilesAreNamedByTheUrl) {  // F1.7.18
  struct Row {
    const char* url;
    const char* name;
  };
  for (const Row& row : {Row{"https://h/a/b.tar?c=d", "b.tar"}, Row{"https://h", "__unnamed__"},
                         Row{"https://h/", "__unnamed__"}, Row{"https://h/a%20b", "a b"},
                         Row{"https://h/dir/", "dir"}}) {
    auto const lowered = convert(std::string("FROM scratch\nADD ") + row.url + " /x/");
    EXPECT_EQ(attribute(lowered, "http.filename"), row.name) << row.url;
  }
}

TEST(AddRemote, GithubPathsAreLocal) {
  EXPECT_THAT(identifiers(convert("FROM scratch\nADD github.com/o/r /x")), ElementsAre("local://context"));
}

// ---- the main context

TEST(MainContext, SessionsAndKeysOfDirectories) {  // F1.11.12, F1.11.13, F1.10.1
  auto options = read_options({{"local-sessionid:context", "other"}, {"sharedkey:localdir:src", "key"}});
  options.build_platform = test_platform();
  options.session_id = "own";
  auto const lowered = convert("FROM scratch\nCOPY a /", options);
  EXPECT_EQ(attribute(lowered, "local.session"), "other");
  options.named_contexts = {{"src", "local:src"}};
  std::string const text = "FROM scratch\nCOPY --from=src a /";
  ResolvedImages known;
  known[list_base_images(parse(text, "Dockerfile"), options, {}).at(0).key].config = "";
  auto const named = convert(text, options, known);
  EXPECT_EQ(attribute(named, "local.session"), "own");
  EXPECT_EQ(attribute(named, "local.sharedkeyhint"), "context:src-key");
}

// F1.11.7, F1.11.10, F1.5.20
TEST(MainContext, OptionsTellWhatItIs) {
  EXPECT_FALSE(read_options({{"context", "https://h/x.git"}}).remote_context->keep_git_dir);
  EXPECT_TRUE(read_options({{"context", "https://h/x.git"}, {"build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR", "1"}})
                  .remote_context->keep_git_dir);
  EXPECT_FALSE(read_options({{"context", "./dir"}}).remote_context);
  auto const git = read_options({{"context", "github.com/o/r"}, {"contextsubdir", "d"}}).remote_context;
  EXPECT_EQ(git->kind, RemoteContext::Kind::kGit);
  EXPECT_EQ(git->subdir, "d");
  auto const http = read_options({{"context", "https://h/x.tar"}}).remote_context;
  EXPECT_EQ(http->kind, RemoteContext::Kind::kArchive);
  auto const renamed = read_options({{"contextkey", "other"}, {"other", "https://h/x.git"}, {"context", "a"}});
  EXPECT_EQ(renamed.remote_context->url, "https://h/x.git");
  EXPECT_TRUE(read_options({{"dockerfilekey", "df"}}).local_dockerfile);
  EXPECT_THROW((void)read_options({{"context", "https://h/x.git?a=b"}}), Error);
}

TEST(MainContext, GitReplacesTheDirectory) {  // F1.10.2
  auto options = read_options({{"context", "https://h/o/r.git#main"}});
  options.build_platform = test_platform();
  auto const lowered = convert("FROM scratch\nCOPY a /", options);
  EXPECT_THAT(identifiers(lowered), ElementsAre("git://h/o/r.git#main"));
  EXPECT_EQ(attribute(lowered, "git.mtime"), "");
  options.build_args["SOURCE_DATE_EPOCH"] = "1";
  options.remote_context->keep_git_dir = true;
  auto const dated = convert("FROM scratch\nCOPY a /", options);
  EXPECT_EQ(attribute(dated, "git.mtime"), "commit");
  EXPECT_EQ(attribute(dated, "git.keepgitdir"), "true");
}

TEST(MainContext, ArchivesAreUnpackedAndSubdirsTaken) {  // F1.10.7, F1.10.11, F1.11.11
  auto options = read_options({{"context", "https://h/x.tar.gz"}, {"contextsubdir", "in/side"}});
  options.build_platform = test_platform();
  auto const ops = ops_of(convert("FROM scratch\nCOPY a /", options));
  ASSERT_EQ(ops.size(), 4U);
  EXPECT_EQ(ops[0].source().attrs().at("http.filename"), "context");
  EXPECT_TRUE(ops[1].file().actions(0).copy().attemptunpackdockercompatibility());
  EXPECT_EQ(ops[2].file().actions(0).copy().src(), "/in/side");
  EXPECT_TRUE(ops[2].file().actions(0).copy().dircopycontents());
  EXPECT_EQ(context_download_definition(options).def_size(), 2);
  EXPECT_EQ(remote_context_definition(options).def_size(), 3) << "the Dockerfile is not in the part";
}

TEST(MainContext, ArchivesAreKnownByTheirHead) {  // F1.10.7
  EXPECT_TRUE(is_context_archive("BZh91AY"));
  EXPECT_TRUE(is_context_archive("\x1f\x8b\x08"));
  EXPECT_TRUE(is_context_archive("\xfd" "7zXZ"));
  EXPECT_FALSE(is_context_archive("FROM scratch\n"));
  EXPECT_FALSE(is_context_archive(""));
  EXPECT_FALSE(is_context_archive(std::string(1024, '\0')));
  std::string header(512, '\0');
  header.replace(0, 1, "a");
  unsigned sum = 'a' + 8 * ' ';  // the checksum's own bytes count as blanks
  std::string octal = "000000";
  for (std::size_t i = octal.size(); i-- > 0; sum /= 8) octal[i] = static_cast<char>('0' + sum % 8);
  header.replace(148, 6, octal);
  header[155] = ' ';
  EXPECT_TRUE(is_context_archive(header));
  header[0] = 'b';
  EXPECT_FALSE(is_context_archive(header));
}

// ---- named contexts

TEST(NamedContexts, AreFoundAsPeopleSayTheName) {  // F1.10.12, F1.11.8
  for (const char* from : {"alpine", "alpine:latest", "docker.io/library/alpine", "library/alpine:latest"}) {
    auto const options = with_contexts({{"alpine", "docker-image://scratch"}});
    EXPECT_EQ(error_of(std::string("FROM ") + from + "\nCOPY a /", options), "") << from;
  }
  EXPECT_NE(error_of("FROM alpine:3", with_contexts({{"alpine", "docker-image://scratch"}})), "");
}

TEST(NamedContexts, ThoseForThePlatformComeFirst) {  // F1.10.12, F1.11.8
  auto options = with_contexts({{"a", "https://h/1.git"}, {"a::linux/amd64", "https://h/2.git"},
                                {"a::linux/arm64", "https://h/3.git"}});
  EXPECT_THAT(identifiers(convert("FROM a\nRUN x", options)), ElementsAre("git://h/2.git"));
  options.target_platform = test_platform();
  options.target_platform->set_architecture("arm64");
  EXPECT_THAT(identifiers(convert("FROM a\nRUN x", options)), ElementsAre("git://h/3.git"));
  options.target_platform->set_architecture("s390x");
  EXPECT_THAT(identifiers(convert("FROM a\nRUN x", options)), ElementsAre("git://h/1.git"));
}

TEST(NamedContexts, ImagesAreResolvedAndTheirConfigCounts) {  // F1.10.13
  auto const options = with_contexts({{"base", "docker-image://alpine:3"}});
  std::string const text = "FROM base\nRUN x";
  auto const requests = list_base_images(parse(text, "Dockerfile"), options, {});
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].key.reference, "docker.io/library/alpine:3");
  EXPECT_EQ(requests[0].step_name, "[context base] load metadata for alpine:3");
  ResolvedImages const images{{image_key("docker.io/library/alpine:3"), image(R"("Env":["A=1"],"WorkingDir":"/w")")}};
  auto const exec = last_exec(convert(text, options, images));
  EXPECT_EQ(exec.meta().env(0), "A=1");
  EXPECT_EQ(exec.meta().cwd(), "/w");
}

TEST(NamedContexts, StagesAreReplacedWithoutLookingAtTheirInstructions) {  // F1.10.18
  auto const options = with_contexts({{"build", "https://h/r.git"}});
  std::string const text =
      "FROM nowhere/at:all AS build\nCOPY --from=not/there x y\nFROM scratch\nCOPY --from=build /a /b";
  EXPECT_THAT(list_base_images(parse(text, "Dockerfile"), options, {}), IsEmpty());
  EXPECT_THAT(identifiers(convert(text, options)), ElementsAre("git://h/r.git"));
  auto target = options;
  target.target = "build";
  EXPECT_THAT(identifiers(convert(text, target)), ElementsAre("git://h/r.git"));
}

TEST(NamedContexts, LocalOnesHaveTheirOwnIgnoreFileAndOnlyUsedPaths) {  // F1.10.15, F1.9.2
  auto const options = with_contexts({{"src", "local:dir"}});
  std::string const text = "FROM scratch\nCOPY --from=src a b/*.c /x/";
  auto const requests = list_base_images(parse(text, "Dockerfile"), options, {});
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].kind, ImageRequest::Kind::kIgnoreFile);
  EXPECT_EQ(requests[0].store, "dir");
  EXPECT_EQ(requests[0].step_name, "[context src] load .dockerignore");
  ResolvedImages const known{{requests[0].key, {.digest = "", .config = "# no\n*.o\n"}}};
  auto const lowered = convert(text, options, known);
  EXPECT_EQ(attribute(lowered, "local.excludepatterns"), R"(["*.o"])");
  EXPECT_EQ(attribute(lowered, "local.followpaths"), R"(["a","b/*.c"])");
  auto const all = convert("FROM src\nRUN x", options, known);
  EXPECT_EQ(attribute(all, "local.followpaths"), "");
}

TEST(NamedContexts, TargetsAreStagesOfTheFile) {
  std::string const text =
      "FROM scratch AS one\nCOPY a /a\nFROM two\nCOPY --from=two /a /b\nRUN x";
  auto const lowered = convert(text, with_contexts({{"two", "target:one"}}));
  EXPECT_THAT(identifiers(lowered), ElementsAre("local://context"));
  EXPECT_THAT(error_of(text, with_contexts({{"two", "target:onee"}})),
              HasSubstr("invalid target \"onee\" for context two"));
  EXPECT_THAT(error_of(text, with_contexts({{"two", "target:onee"}})), HasSubstr("did you mean one?"));
  // A stage of the file may be replaced by another one.
  auto const replaced = convert("FROM scratch AS one\nCOPY a /\nFROM nowhere AS two\nRUN x\nFROM two\nRUN y",
                                with_contexts({{"two", "target:one"}}));
  EXPECT_THAT(identifiers(replaced), ElementsAre("local://context"));
}

TEST(NamedContexts, BadOnesAreRefusedInBuildKitsWords) {  // F1.10.14, F1.10.17, F1.10.19
  struct Row {
    const char* spec;
    const char* message;
  };
  std::string const digest = "sha256:" + std::string(64, 'a');
  for (const Row& row : {Row{"nonsense", "invalid context specifier nonsense for a"},
                         Row{"ftp://x", "unsupported context source ftp for a"},
                         Row{"input:x", "invalid input x for a"},
                         Row{"git:x", "invalid git context git:x"},
                         Row{"https://h/r.git?x=y", "unexpected query \"x\""},
                         Row{"docker-image://A B", "invalid reference format"},
                         Row{"oci-layout://store:tag", "oci-layout reference \"store:tag\" has no digest"},
                         Row{"oci-layout://store@sha256:aa", "could not parse oci-layout reference"}}) {
    auto const options = with_contexts({{"a", row.spec}});
    EXPECT_THAT(error_of("FROM a", options), HasSubstr(row.message)) << row.spec;
    try {
      (void)convert("\nFROM a", options);
    } catch (const Error& error) {
      EXPECT_EQ(line_of(error), 2) << row.spec;
    }
  }
}

TEST(NamedContexts, NeverStandForScratchOrTheContext) {  // F1.10.12
  auto const options = with_contexts({{"scratch", "nonsense"}, {"context", "nonsense"}});
  EXPECT_EQ(error_of("FROM scratch\nCOPY a /", options), "");
}

TEST(NamedContexts, UnusedOnesAreNotLookedAt) {
  EXPECT_EQ(error_of("FROM scratch\nCOPY a /", with_contexts({{"b", "nonsense"}})), "");
}

}  // namespace
}  // namespace cobuild::dockerfile
