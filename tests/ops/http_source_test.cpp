// Files by HTTP: their names and keys, what is asked of the server, and what becomes of the answers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <boost/asio/this_coro.hpp>

#include "core/async/task_group.hpp"
#include "core/base/error.hpp"
#include "oci/compression.hpp"
#include "ops/http_source.hpp"
#include "ops/op_digest.hpp"
#include "ops_fixture.hpp"
#include "registry/client.hpp"
#include "support/fake_registry.hpp"

namespace cobuild::ops {
namespace {

using test::FakeRegistry;
using test::Reply;
using testing::HasSubstr;

HttpRequest request_of(const std::string& url, std::map<std::string, std::string> attributes = {}) {
  pb::SourceOp source;
  source.set_identifier(url);
  for (auto& [key, value] : attributes) (*source.mutable_attrs())[key] = value;
  return parse_http_request(source);
}

TEST(HttpRequest, NamesAreOneComponent) {  // F10.22
  struct Row {
    const char* url;
    const char* filename;
    const char* disposition;
    const char* name;
  };
  for (const Row& row :
       {Row{"https://h/a/b.txt?x", "", "", "b.txt"}, Row{"https://h/", "", "", "download"},
        Row{"https://h/a%2Fb", "", "", "b"}, Row{"https://h/..", "", "", "download"},
        Row{"https://h/a", "given", "attachment; filename=told", "given"},
        Row{"https://h/a", "../../etc/passwd", "", "passwd"}, Row{"https://h/a", "x\ny", "", "download"},
        Row{"https://h/a", "", "attachment; filename=told", "told"},
        Row{"https://h/a", "", "attachment; filename=\"a \\\"b\\\" c\"; x=y", "a \"b\" c"},
        Row{"https://h/a", "", "attachment; filename=\"../../x\"", "x"},
        Row{"https://h/a", "", "attachment; filename=x; filename*=UTF-8''%e2%82%ac", "\xE2\x82\xAC"},
        Row{"https://h/a", "", "attachment; filename=\"dir/\"", "a"}, Row{"https://h/a", "", ";;=;", "a"}}) {
    auto const request = row.filename[0] == '\0' ? request_of(row.url)
                                                 : request_of(row.url, {{"http.filename", row.filename}});
    EXPECT_EQ(http_filename(request, row.disposition), row.name) << row.url << row.disposition;
  }
}

TEST(HttpRequest, AttributesAreRead) {
  auto const request =
      request_of("https://h/a", {{"http.perm", "0640"}, {"http.uid", "5"}, {"http.gid", "0x10"},
                                 {"http.header.user-agent", "u"}, {"http.header.accept", "a"},
                                 {"http.header.cookie", "never sent"}, {"unknown", "ignored"}});
  EXPECT_EQ(request.perm, 0640U);
  EXPECT_EQ(request.uid, 5U);
  EXPECT_EQ(request.gid, 16U);
  ASSERT_EQ(request.headers.size(), 2U);
  EXPECT_EQ(request.headers[0].name, "Accept");
  EXPECT_THROW((void)request_of("https://h/a", {{"http.perm", "rwx"}}), Error);
  EXPECT_THROW((void)request_of("https://h/a", {{"http.checksum", "md5:1"}}), Error);
  EXPECT_THROW((void)request_of("https://h/a", {{"http.sig.pubkey", "x"}}), Error);
}

/// What BuildKit's exported cache says of the same downloads (F1.7.24).
TEST(HttpRequest, KeysAreBuildKits) {
  auto const request = request_of("http://127.0.0.1:1/f.txt", {{"http.filename", "f.txt"}});
  Digest const content = Digest::of(std::string_view("file\n"));
  auto const root = [](const std::string& key) { return root_key(source_digest(key), 0).to_string(); };
  EXPECT_EQ(root(http_key(request, "f.txt", content, "Sun, 09 Sep 2001 01:46:40 GMT")),
            "sha256:824d4854097fc31c3f89fc778062f118c740ef28e7168115c545f2ccdc87e39f");
  EXPECT_EQ(root(http_key(request, "f.txt", content, "")),
            "sha256:3332a72fe1dd6c662a7cdbd53271a49fdf3389a55cb5ee24fd8776b2ec6b1fd4");
  auto const elsewhere = request_of("https://other/place", {{"http.filename", "f.txt"}});
  EXPECT_EQ(http_key(elsewhere, "f.txt", content, ""), http_key(request, "f.txt", content, ""));
  EXPECT_NE(http_key(request, "g.txt", content, ""), http_key(request, "f.txt", content, ""));
  auto const executable = request_of("http://127.0.0.1:1/f.txt", {{"http.filename", "f.txt"}, {"http.perm", "0755"}});
  EXPECT_NE(http_key(executable, "f.txt", content, ""), http_key(request, "f.txt", content, ""));
}

class HttpFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.environment.sleep = [](std::chrono::milliseconds) -> Task<void> { co_return; };
    options_.environment.variable = [](const std::string&) { return std::optional<std::string>(); };
  }
  ~HttpFilesTest() override { pool_.join(); }

  /// Fetches as a build of its own, in the same store.
  HttpFile fetch(HttpRequest request, FindSecret secrets = {}) {
    return process_.run(fetch_served(std::move(request), std::move(secrets)));
  }
  std::string error_of(HttpRequest request, FindSecret secrets = {}) {
    try {
      (void)fetch(std::move(request), std::move(secrets));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  [[nodiscard]] std::filesystem::path path_of(const HttpFile& file) {
    return process_.store().snapshot_path(file.layer) / file.filename;
  }
  [[nodiscard]] std::string content_of(const HttpFile& file) { return test::read_text(path_of(file)); }
  static Reply reply(std::string body, std::vector<std::pair<std::string, std::string>> headers = {}) {
    Reply out;
    out.body = std::move(body);
    out.headers = std::move(headers);
    return out;
  }

  TempDir directory_ = TempDir::create(std::filesystem::temp_directory_path(), "cobuild-http-");
  test::StoreProcess process_{directory_.path() / "store"};
  asio::thread_pool pool_{1};
  registry::Options options_;
  FakeRegistry server_{process_.loop().get_executor()};
  std::map<std::string, std::filesystem::path> uploads_;
  int at_once_ = 1;

 private:
  static Task<void> fetch_and_forget(HttpFiles& files, HttpRequest request, test::QuietStep& step) {
    co_await files.fetch(std::move(request), step);
  }

  Task<HttpFile> fetch_served(HttpRequest request, FindSecret secrets) {
    auto executor = co_await asio::this_coro::executor;
    TaskGroup servers(executor);
    servers.spawn(server_.serve());
    std::optional<HttpFile> file;
    std::exception_ptr failure;
    try {
      registry::Client client(executor, pool_, options_);
      HttpFiles files(executor, pool_, process_.store(), client.downloads());
      files.set_secrets(std::move(secrets));
      for (const auto& [url, path] : uploads_) files.add_upload(url, path);
      test::QuietStep step;
      TaskGroup others(executor);
      for (int i = 1; i < at_once_; ++i) others.spawn(fetch_and_forget(files, request, step));
      file = co_await files.fetch(request, step);
      co_await others.join();
    } catch (...) {
      failure = std::current_exception();
    }
    servers.cancel();
    co_await servers.join();
    if (failure) std::rethrow_exception(failure);
    co_return *std::move(file);
  }
};

TEST_F(HttpFilesTest, HaveTheMetadataAskedFor) {  // F1.7.18, F10.22
  server_.when("GET", "/f", reply("hello", {{"Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT"}}), 2);
  HttpFile const plain = fetch(request_of(server_.url("/f")));
  EXPECT_EQ(content_of(plain), "hello");
  EXPECT_EQ(plain.digest, Digest::of(std::string_view("hello")));
  struct stat status = {};
  ASSERT_EQ(::stat(path_of(plain).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  EXPECT_EQ(status.st_mtim.tv_sec, 1000000000);
  HttpFile const set = fetch(request_of(server_.url("/f"), {{"http.perm", "0755"}, {"http.filename", "g"}}));
  ASSERT_EQ(::stat(path_of(set).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0755U);
  EXPECT_EQ(set.filename, "g");
}

TEST_F(HttpFilesTest, WithoutADateAreOfTheEpoch) {
  server_.when("GET", "/f", reply("hello", {{"Last-Modified", "nonsense"}}));
  HttpFile const file = fetch(request_of(server_.url("/f")));
  struct stat status = {};
  ASSERT_EQ(::stat(path_of(file).c_str(), &status), 0);
  EXPECT_EQ(status.st_mtim.tv_sec, 0);
  EXPECT_EQ(file.last_modified, "");
}

TEST_F(HttpFilesTest, AreNotDownloadedWhileTheTagStands) {  // F1.7.24
  server_.when("GET", "/f", reply("hello", {{"ETag", "W/\"1\""}}));
  HttpFile const first = fetch(request_of(server_.url("/f")));
  server_.when("HEAD", "/f", reply("", {{"ETag", "\"1\""}}));
  HttpFile const second = fetch(request_of(server_.url("/f")));
  EXPECT_EQ(second.layer, first.layer);
  EXPECT_EQ(server_.count("GET", "/f"), 1U);
  // 304 to GET, from a server that has no HEAD.
  Reply none;
  none.status = 405;
  server_.when("HEAD", "/f", none);
  Reply same;
  same.status = 304;
  server_.when("GET", "/f", same);
  EXPECT_EQ(fetch(request_of(server_.url("/f"))).layer, first.layer);
  EXPECT_EQ(server_.calls().back().header("if-none-match"), "\"1\"");
  // And it changes.
  server_.when("HEAD", "/f", reply("", {{"ETag", "\"2\""}}));
  server_.when("GET", "/f", reply("other", {{"ETag", "\"2\""}}));
  EXPECT_EQ(content_of(fetch(request_of(server_.url("/f")))), "other");
}

TEST_F(HttpFilesTest, AreAskedForOnceInABuild) {
  at_once_ = 5;
  server_.when("GET", "/f", reply("hello"), 5);
  (void)fetch(request_of(server_.url("/f")));
  EXPECT_EQ(server_.count("GET", "/f"), 1U);
}

TEST_F(HttpFilesTest, WrongOnesAreNotKept) {
  server_.when("GET", "/f", reply("hello", {{"ETag", "\"1\""}}), 2);
  auto const request =
      request_of(server_.url("/f"), {{"http.checksum", "sha256:" + std::string(64, 'a')}});
  EXPECT_EQ(error_of(request), "digest mismatch for " + server_.url("/f") + ": " +
                                   Digest::of(std::string_view("hello")).to_string() +
                                   " (expected: sha256:" + std::string(64, 'a') + ")");
  EXPECT_TRUE(std::filesystem::is_empty(process_.store().root() / "snapshots"));
  EXPECT_NE(error_of(request), "");
  EXPECT_EQ(server_.count("HEAD", "/f"), 0U) << "it was not remembered";
}

TEST_F(HttpFilesTest, StatusesAreTold) {
  EXPECT_EQ(error_of(request_of(server_.url("/gone?token=x"))),
            "GET " + server_.url("/gone") + ": invalid response status 404");
  Reply refused;
  refused.status = 401;
  server_.when("GET", "/f", refused, 2);
  std::string const said = "GET " + server_.url("/f") + ": invalid response status 401: ";
  EXPECT_EQ(error_of(request_of(server_.url("/f"))),
            said + "if it wants a token, give it with --secret id=HTTP_AUTH_TOKEN_127.0.0.1,src=FILE");
  auto const secrets = [](const std::string& id) -> std::optional<Secret> {
    if (id == "HTTP_AUTH_TOKEN_127.0.0.1") return Secret("t");
    return std::nullopt;
  };
  EXPECT_EQ(error_of(request_of(server_.url("/f")), secrets),
            said + "what the secret for 127.0.0.1 says is refused");
}

TEST_F(HttpFilesTest, CompressionOfTheConnectionIsUndone) {
  std::string packed;
  oci::DeflateStream deflate({.compression = oci::Compression::kGzip, .level = {}, .pool = nullptr},
                             [&packed](std::span<const std::byte> bytes) {
                               packed.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                             });
  std::string const text = "hello hello hello";
  deflate.write(std::as_bytes(std::span(text)));
  deflate.finish();
  server_.when("GET", "/f", reply(packed, {{"Content-Encoding", "gzip"}}));
  EXPECT_EQ(content_of(fetch(request_of(server_.url("/f")))), text);
  server_.when("GET", "/f", reply(packed.substr(0, packed.size() / 2), {{"Content-Encoding", "gzip"}}));
  EXPECT_NE(error_of(request_of(server_.url("/f"))), "");
}

TEST_F(HttpFilesTest, SecretsBecomeTheAuthorization) {
  auto const only = [](const std::string& name) {
    return [name](const std::string& id) { return id == name ? std::optional(Secret("s")) : std::nullopt; };
  };
  server_.when("GET", "/f", reply("hello"), 9);
  (void)fetch(request_of(server_.url("/f")), only("HTTP_AUTH_TOKEN_127.0.0.1"));
  EXPECT_EQ(server_.calls().back().header("authorization"), "Bearer s");
  (void)fetch(request_of(server_.url("/f")), only("HTTP_AUTH_HEADER_127.0.0.1"));
  EXPECT_EQ(server_.calls().back().header("authorization"), "s");
  (void)fetch(request_of(server_.url("/f"), {{"http.authheadersecret", "mine"}}), only("mine"));
  EXPECT_EQ(server_.calls().back().header("authorization"), "s");
  EXPECT_EQ(error_of(request_of(server_.url("/f"), {{"http.authheadersecret", "mine"}})),
            "failed to retrieve HTTP auth secret mine: not found");
  (void)fetch(request_of("http://user:p%20w@" + server_.authority() + "/f"));
  EXPECT_EQ(server_.calls().back().header("authorization"), "Basic dXNlcjpwIHc=");
}

TEST_F(HttpFilesTest, UploadsAreTakenFromTheirFile) {
  auto const file = directory_.path() / "upload";
  test::write_text(file, "piped in");
  uploads_["http://stdin.invalid/context"] = file;
  HttpFile const got = fetch(request_of("http://stdin.invalid/context", {{"http.filename", "context"}}));
  EXPECT_EQ(content_of(got), "piped in");
  EXPECT_EQ(got.filename, "context");
}

TEST_F(HttpFilesTest, OfACheckedSourceNobodyIsAskedForTheKey) {
  registry::Client client(process_.loop().get_executor(), pool_, options_);
  HttpFiles files(process_.loop().get_executor(), pool_, process_.store(), client.downloads());
  pb::Op op;
  op.mutable_source()->set_identifier("http://127.0.0.1:1/f.txt");
  (*op.mutable_source()->mutable_attrs())["http.checksum"] =
      Digest::of(std::string_view("file\n")).to_string();
  auto const vertex = std::make_shared<llb::Vertex>(llb::digest_of(op), op, pb::OpMetadata(),
                                                    std::vector<llb::Edge>());
  test::QuietStep step;
  auto const source = make_http_source(files, vertex);
  auto const maps = process_.run(source->cache_maps(step));
  ASSERT_EQ(maps.size(), 1U);
  EXPECT_EQ(root_key(maps[0].op, 0).to_string(),
            "sha256:3332a72fe1dd6c662a7cdbd53271a49fdf3389a55cb5ee24fd8776b2ec6b1fd4");
}

}  // namespace
}  // namespace cobuild::ops
