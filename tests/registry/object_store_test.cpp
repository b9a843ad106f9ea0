#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "oci/object_store.hpp"
#include "oci/text_reader.hpp"
#include "registry/azblob_store.hpp"
#include "registry/base64.hpp"
#include "registry/github_cache.hpp"
#include "registry/s3_store.hpp"
#include "registry/world.hpp"

namespace cobuild::registry::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

using Fields = std::vector<std::pair<std::string, std::string>>;

Reply reply(int status, std::string body = {}, Fields headers = {}) {
  Reply made;
  made.status = status;
  made.headers = std::move(headers);
  made.body = std::move(body);
  return made;
}

std::vector<std::string> asked(const World& world) {
  std::vector<std::string> lines;
  for (const auto& call : world.here.calls()) lines.push_back(call.method + " " + call.target);
  return lines;
}

constexpr std::size_t kBig = (std::size_t{8} << 20) + 10;  ///< More than one part.

// ---- S3

std::unique_ptr<oci::ObjectStore> s3(World& world, bool with_keys = true) {
  S3Settings settings;
  settings.bucket = "box";
  settings.region = "eu-west-1";
  settings.prefix = "p/";
  settings.endpoint_url = "http://" + world.here.authority();
  if (with_keys) settings.keys = AwsKeys{"ID", Secret("KEY"), Secret()};
  return make_s3_store(world.executor(), world.pool, world.options, settings);
}

Task<void> s3_finds(World& world) {
  Reply large = reply(200, "", {{"Last-Modified", "Tue, 14 Nov 2023 00:00:00 GMT"}});
  large.announced = 20'000'000;
  world.here.when("HEAD", "/box/p/a%3Ab", large);
  world.here.when("HEAD", "/box/p/old",
                  reply(200, "", {{"Last-Modified", "Sun, 12 Nov 2023 00:00:00 GMT"}}));
  world.here.when("HEAD", "/box/p/none", reply(404));
  auto const store = s3(world);
  auto const found = co_await store->find("a:b");
  EXPECT_TRUE(found && found->name == "a:b" && found->size == 20'000'000 && !found->is_old);
  auto const old = co_await store->find("old");
  EXPECT_TRUE(old && old->is_old);
  EXPECT_FALSE(co_await store->find("none"));
  EXPECT_THAT(world.here.calls().at(0).header("authorization"),
              StartsWith("AWS4-HMAC-SHA256 Credential=ID/20231114/eu-west-1/s3/aws4_request"));
}
TEST(S3Store, FindsObjectsAndTellsWhichAreOld) { run_world(s3_finds); }

Task<void> s3_refused(World& world) {
  world.here.when("HEAD", "/", reply(403));
  world.here.when("HEAD", "/", reply(301, "", {{"x-amz-bucket-region", "us-east-2"}}));
  world.here.when("GET", "/",
                  reply(403, "<Error><Code>SignatureDoesNotMatch</Code><Message>Wrong.</Message>"
                             "<StringToSign>KEY</StringToSign></Error>"));
  world.here.when("GET", "/", reply(404, "<Error><Code>NoSuchKey</Code></Error>"));
  auto const store = s3(world);
  auto const denied = co_await error_of(store->find("x"));
  EXPECT_EQ(kind(denied), ErrorKind::kDenied);
  EXPECT_THAT(what(denied), HasSubstr("s3:ListBucket"));
  EXPECT_THAT(what(co_await error_of(store->find("x"))), HasSubstr("use region=us-east-2"));
  Collector sink;
  auto const signature = co_await error_of(store->read("x", 0, 10, sink));
  EXPECT_THAT(what(signature), HasSubstr("SignatureDoesNotMatch: Wrong."));
  EXPECT_THAT(what(signature), Not(HasSubstr("KEY")));
  EXPECT_EQ(kind(co_await error_of(store->read("x", 0, 10, sink))), ErrorKind::kNotFound);
}
TEST(S3Store, SaysWhyItIsRefusedWithoutTheKey) { run_world(s3_refused); }

Task<void> s3_reads(World& world) {
  Reply broken = reply(206, "cdefgh", {{"Content-Range", "bytes 2-7/10"}});
  broken.cut_after = 3;
  world.here.when("GET", "/box/p/x", broken);
  world.here.when("GET", "/box/p/x", reply(206, "fgh", {{"Content-Range", "bytes 5-7/10"}}));
  world.here.when("GET", "/box/p/x", reply(200, "abcdefghij"));
  world.here.when("GET", "/box/p/x", reply(416));
  auto const store = s3(world);
  Collector sink;
  co_await store->read("x", 2, 6, sink);
  EXPECT_EQ(sink.text, "cdefgh");
  EXPECT_EQ(world.here.calls().at(0).header("range"), "bytes=2-7");
  EXPECT_EQ(world.here.calls().at(1).header("range"), "bytes=5-7");
  Collector whole;  // from a server that knows no ranges
  co_await store->read("x", 2, 6, whole);
  EXPECT_EQ(whole.text, "cdefgh");
  Collector nothing;
  co_await store->read("x", 10, UINT64_MAX, nothing);
  EXPECT_EQ(nothing.text, "");
}
TEST(S3Store, ReadsPiecesAndGoesOnWhereItBroke) { run_world(s3_reads); }

Task<void> s3_writes(World& world) {
  world.here.when("PUT", "/box/p/x", reply(503, "<Error><Code>SlowDown</Code></Error>"));
  world.here.when("PUT", "/box/p/x", reply(200));
  world.here.when("PUT", "/box/p/empty", reply(200));
  auto const store = s3(world);
  co_await store->write("x", 5, oci::open_text("hello"));
  EXPECT_EQ(world.here.calls().at(1).body, "hello");
  EXPECT_EQ(world.here.calls().at(1).header("x-amz-content-sha256"),
            Digest::of(std::string_view("hello")).hex());
  EXPECT_EQ(world.slept.size(), 1U);
  co_await store->write("empty", 0, oci::open_text(""));
  EXPECT_EQ(world.here.calls().at(2).header("content-length"), "0");
  EXPECT_THAT(what(co_await error_of(store->write("x", 9, oci::open_text("hello")))),
              HasSubstr("shorter than announced"));
}
TEST(S3Store, WritesSmallObjectsAtOnce) { run_world(s3_writes); }

Task<void> s3_writes_parts(World& world) {
  world.here.when("POST", "/box/p/x?uploads=",
                  reply(200, "<R><UploadId>u/1</UploadId></R>"));
  world.here.when("PUT", "/box/p/x?partNumber=1", reply(200, "", {{"ETag", "\"one\""}}));
  world.here.when("PUT", "/box/p/x?partNumber=2", reply(200, "", {{"ETag", "\"t&o\""}}));
  world.here.when("POST", "/box/p/x?uploadId=u%2F1", reply(200, "<Done/>"));
  auto const store = s3(world);
  co_await store->write("x", kBig, oci::open_text(std::string(kBig, 'x')));
  std::string end;
  std::size_t bytes = 0;
  for (const auto& call : world.here.calls()) {
    if (call.method == "PUT") bytes += call.body.size();
    if (call.target == "/box/p/x?uploadId=u%2F1") end = call.body;
  }
  EXPECT_EQ(bytes, kBig);
  EXPECT_EQ(end,
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"one\"</ETag></Part>"
            "<Part><PartNumber>2</PartNumber><ETag>\"t&amp;o\"</ETag></Part>"
            "</CompleteMultipartUpload>");
}
TEST(S3Store, WritesLargeObjectsInParts) { run_world(s3_writes_parts); }

Task<void> s3_aborts(World& world) {
  world.here.when("POST", "/box/p/x?uploads=", reply(200, "<R><UploadId>u</UploadId></R>"));
  world.here.when("PUT", "/box/p/x?partNumber=1", reply(200, "", {{"ETag", "1"}}));
  world.here.when("PUT", "/box/p/x?partNumber=2", reply(400, "<Error><Code>No</Code></Error>"));
  world.here.when("DELETE", "/box/p/x?uploadId=u", reply(204));
  auto const store = s3(world);
  auto const error = co_await error_of(store->write("x", kBig, oci::open_text(std::string(kBig, 'x'))));
  EXPECT_THAT(what(error), HasSubstr("400 Bad Request: No"));
  EXPECT_EQ(world.here.count("DELETE", "/box/p/x?uploadId=u"), 1U);
}
TEST(S3Store, LeavesNoPartsBehind) { run_world(s3_aborts); }

Task<void> s3_fails_late(World& world) {
  world.here.when("POST", "/box/p/x?uploads=", reply(200, "<R><UploadId>u</UploadId></R>"));
  world.here.when("PUT", "/box/p/x?partNumber", reply(200, "", {{"ETag", "1"}}), 2);
  // It says 200 before it knows.
  world.here.when("POST", "/box/p/x?uploadId=u",
                  reply(200, "<Error><Code>InternalError</Code></Error>"));
  world.here.when("POST", "/box/p/x?uploadId=u",
                  reply(200, "<Error><Code>InvalidPart</Code></Error>"));
  world.here.when("DELETE", "/", reply(204));
  auto const store = s3(world);
  auto const error = co_await error_of(store->write("x", kBig, oci::open_text(std::string(kBig, 'x'))));
  EXPECT_THAT(what(error), HasSubstr("InvalidPart"));
  EXPECT_EQ(world.here.count("POST", "/box/p/x?uploadId=u"), 2U);
}
TEST(S3Store, LooksForErrorsInAnswersThatSaySuccess) { run_world(s3_fails_late); }

Task<void> s3_touches(World& world) {
  world.here.when("PUT", "/box/p/a%3Ab", reply(200, "<CopyObjectResult/>"));
  auto const store = s3(world);
  co_await store->touch({.name = "a:b", .size = 5, .is_old = true});
  EXPECT_EQ(world.here.calls().at(0).header("x-amz-copy-source"), "box/p/a:b");
  EXPECT_EQ(world.here.calls().at(0).header("x-amz-metadata-directive"), "REPLACE");
}
TEST(S3Store, TouchesByACopy) { run_world(s3_touches); }

Task<void> s3_lists(World& world) {
  auto const entry = [](const std::string& key, const std::string& day) {
    return "<Contents><Key>" + key + "</Key><LastModified>2023-11-" + day +
           "T00:00:00.000Z</LastModified></Contents>";
  };
  world.here.when("GET", "/box/?list-type=2&prefix=p%2Fm-",
                  reply(200, "<ListBucketResult>" + entry("p/m-1", "03") + entry("p/m-2", "09") +
                                 "<IsTruncated>true</IsTruncated><NextContinuationToken>a b"
                                 "</NextContinuationToken></ListBucketResult>"));
  world.here.when("GET", "/box/?list-type=2&prefix=p%2Fm-&continuation-token=a%20b",
                  reply(200, "<ListBucketResult>" + entry("p/m-3", "05") + "</ListBucketResult>"));
  world.here.when("HEAD", "/box/p/m-2", reply(200));
  world.here.when("GET", "/box/?list-type=2", reply(200, "<ListBucketResult/>"));
  world.here.when("GET", "/box/?list-type=2", reply(200, "<Other/>"));
  auto const store = s3(world);
  auto const newest = co_await store->find_newest("m-");
  EXPECT_TRUE(newest && newest->name == "m-2");
  EXPECT_FALSE(co_await store->find_newest("n"));
  EXPECT_EQ(kind(co_await error_of(store->find_newest("n"))), ErrorKind::kCorrupt);
}
TEST(S3Store, FindsTheNewestOfAllPages) { run_world(s3_lists); }

Task<void> s3_keys(World& world) {
  world.here.when("HEAD", "/", reply(404), 9);
  world.variables["AWS_EC2_METADATA_DISABLED"] = "true";
  world.variables["HOME"] = world.home.path();
  auto const bare = s3(world, false);
  EXPECT_THAT(what(co_await error_of(bare->find("x"))), HasSubstr("no AWS credentials"));
  EXPECT_THAT(asked(world), IsEmpty());
  std::filesystem::create_directory(world.home.path() / ".aws");
  std::ofstream(world.home.path() / ".aws/credentials")
      << "[w]\naws_access_key_id=FILE\naws_secret_access_key=s\n[sso]\nsso_session=x\n";
  world.variables["AWS_PROFILE"] = "w";
  (void)co_await bare->find("x");
  EXPECT_THAT(world.here.calls().at(0).header("authorization"), HasSubstr("Credential=FILE/"));
  world.variables["AWS_PROFILE"] = "sso";
  auto const other = s3(world, false);
  EXPECT_THAT(what(co_await error_of(other->find("x"))), HasSubstr("export-credentials"));
  world.variables["AWS_ACCESS_KEY_ID"] = "ENV";
  world.variables["AWS_SECRET_ACCESS_KEY"] = "s";
  (void)co_await other->find("x");
  EXPECT_THAT(world.here.calls().at(1).header("authorization"), HasSubstr("Credential=ENV/"));
}
TEST(S3Store, TakesKeysFromTheEnvironmentAndFromProfiles) { run_world(s3_keys); }

Task<void> s3_role(World& world) {
  std::ofstream(world.home.path() / "token") << "jwt\n";
  world.variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = world.home.path() / "token";
  world.variables["AWS_ROLE_ARN"] = "arn:x";
  world.variables["AWS_ENDPOINT_URL_STS"] = "http://" + world.there.authority();
  Reply const role =
      reply(200, "<R><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ROLE</AccessKeyId>"
                 "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>"
                 "2023-11-14T23:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></R>");
  world.there.when("POST", "/", role, 2);
  world.here.when("HEAD", "/", reply(404), 3);
  auto const store = s3(world, false);
  (void)co_await store->find("x");
  (void)co_await store->find("x");
  EXPECT_EQ(world.there.calls().size(), 1U);
  EXPECT_THAT(world.there.calls().at(0).body, HasSubstr("RoleArn=arn%3Ax&"));
  EXPECT_THAT(world.there.calls().at(0).body, HasSubstr("WebIdentityToken=jwt"));
  EXPECT_THAT(world.here.calls().at(0).header("authorization"), HasSubstr("Credential=ROLE/"));
  EXPECT_EQ(world.here.calls().at(0).header("x-amz-security-token"), "t");
  world.now += std::chrono::hours(1);  // they end at 23:00, and it is 23:13
  (void)co_await store->find("x");
  EXPECT_EQ(world.there.calls().size(), 2U);
}
TEST(S3Store, TakesARoleAndTakesItAgainWhenItEnds) { run_world(s3_role); }

// ---- Azure

std::unique_ptr<oci::ObjectStore> azblob(World& world, const std::string& signature = "") {
  AzblobSettings settings;
  settings.account_url = Secret("http://" + world.here.authority() + "/acct" + signature);
  settings.account_name = "acct";
  settings.container = "box";
  settings.prefix = "p/";
  if (signature.empty()) settings.account_key = Secret(base64_encode("key"));
  return make_azblob_store(world.executor(), world.pool, world.options, settings);
}

Task<void> azblob_writes(World& world) {
  world.here.when("HEAD", "/acct/box?restype=container", reply(404));
  world.here.when("PUT", "/acct/box?restype=container",
                  reply(409, "<Error><Code>ContainerAlreadyExists</Code></Error>"));
  world.here.when("PUT", "/acct/box/p/a%3Ab", reply(201), 4);
  auto const store = azblob(world);
  co_await store->write("a:b", 5, oci::open_text("hello"));
  EXPECT_THAT(asked(world), ElementsAre("HEAD /acct/box?restype=container",
                                        "PUT /acct/box?restype=container", "PUT /acct/box/p/a%3Ab"));
  EXPECT_EQ(world.here.calls().at(2).header("x-ms-blob-type"), "BlockBlob");
  EXPECT_THAT(world.here.calls().at(2).header("authorization"), StartsWith("SharedKey acct:"));
  co_await store->write("a:b", kBig, oci::open_text(std::string(kBig, 'x')));
  EXPECT_EQ(world.here.count("PUT", "/acct/box/p/a%3Ab?comp=block&blockid=YmxvY2st"), 2U);
  EXPECT_EQ(world.here.count("PUT", "/acct/box?restype=container"), 1U);
  EXPECT_THAT(world.here.calls().back().body,
              HasSubstr("<BlockList><Latest>YmxvY2stMDAwMDAwMDA=</Latest><Latest>"));
}
TEST(AzblobStore, MakesItsContainerAndWritesBlocks) { run_world(azblob_writes); }

Task<void> azblob_finds(World& world) {
  world.here.when("HEAD", "/acct/box/p/x?sv=1&sig=SIG", reply(200));
  world.here.when("HEAD", "/acct/box/p/y", reply(404));
  world.here.when("HEAD", "/acct/box/p/z", reply(403, "", {{"x-ms-error-code", "AuthorizationFailure"}}));
  world.here.when("GET", "/acct/box?restype=container&comp=list&prefix=p%2Fm",
                  reply(200, "<EnumerationResults><Blobs><Blob><Name>p/m1</Name><Properties>"
                             "<Last-Modified>Tue, 14 Nov 2023 00:00:00 GMT</Last-Modified></Properties>"
                             "</Blob><Blob><Name>p/m2</Name><Properties><Last-Modified>Mon, 13 Nov 2023 "
                             "00:00:00 GMT</Last-Modified></Properties></Blob></Blobs><NextMarker/>"
                             "</EnumerationResults>"));
  world.here.when("HEAD", "/acct/box/p/m1", reply(200));
  auto const store = azblob(world, "?sv=1&sig=SIG");
  EXPECT_TRUE(co_await store->find("x"));
  EXPECT_FALSE(co_await store->find("y"));
  auto const error = co_await error_of(store->find("z"));
  EXPECT_THAT(what(error), HasSubstr("AuthorizationFailure"));
  EXPECT_THAT(what(error), Not(HasSubstr("SIG")));
  auto const newest = co_await store->find_newest("m");
  EXPECT_TRUE(newest && newest->name == "m1");
}
TEST(AzblobStore, UsesASignatureAndDoesNotShowIt) { run_world(azblob_finds); }

Task<void> azblob_token(World& world) {
  AzblobSettings settings;
  settings.account_url = Secret("http://" + world.here.authority());
  settings.container = "box";
  world.variables = {{"AZURE_TENANT_ID", "T"},
                     {"AZURE_CLIENT_ID", "C"},
                     {"AZURE_CLIENT_SECRET", "S&"},
                     {"AZURE_AUTHORITY_HOST", "http://" + world.there.authority()}};
  world.there.when("POST", "/T/oauth2/v2.0/token",
                   reply(200, R"({"access_token":"TOKEN","expires_in":3600})"));
  world.here.when("HEAD", "/box/x", reply(200), 2);
  auto const store = make_azblob_store(world.executor(), world.pool, world.options, settings);
  (void)co_await store->find("x");
  (void)co_await store->find("x");
  EXPECT_EQ(world.there.calls().size(), 1U);
  EXPECT_THAT(world.there.calls().at(0).body, HasSubstr("client_secret=S%26&"));
  EXPECT_EQ(world.here.calls().at(1).header("authorization"), "Bearer TOKEN");
}
TEST(AzblobStore, AsksForATokenOnce) { run_world(azblob_token); }

// ---- GitHub

constexpr const char* kTwirp = "/twirp/github.actions.results.api.v1.CacheService/";

std::unique_ptr<GithubCache> github(World& world, bool v2 = true) {
  GithubSettings settings;
  settings.url = "http://" + world.here.authority() + "/";
  settings.v2 = v2;
  settings.token = Secret("e30." + base64_encode(R"({"ac":"[{\"Scope\":\"main\",\"Permission\":3}]",)"
                                                 R"("exp":1800000000,"nbf":1})") +
                          ".c2ln");
  return make_github_cache(world.executor(), world.pool, world.options, settings);
}

std::string entry(World& world, const std::string& key) {
  return R"({"ok":true,"matched_key":")" + key + R"(","signed_download_url":")" +
         world.there.url("/blob?sig=SECRET") + "\"}";
}

Task<void> github_reads(World& world) {
  std::string const look = std::string(kTwirp) + "GetCacheEntryDownloadURL";
  world.here.when("POST", look, reply(200, entry(world, "index#7")));
  world.there.when("GET", "/blob", reply(403));  // its time is over
  world.here.when("POST", look, reply(200, entry(world, "index#7")));
  world.there.when("GET", "/blob", reply(206, "hello", {{"Content-Range", "bytes 0-4/5"}}));
  world.here.when("POST", look, reply(200, R"({"ok":false})"));
  world.here.when("POST", look, reply(200, entry(world, "index#77")));
  auto const cache = github(world);
  auto const newest = co_await cache->find_newest("index#");
  EXPECT_TRUE(newest && newest->name == "index#7");
  Collector sink;
  co_await cache->read("index#7", 0, 100, sink);
  EXPECT_EQ(sink.text, "hello");
  EXPECT_THAT(world.here.calls().at(0).body, HasSubstr(R"("restore_keys":["index#"])"));
  EXPECT_THAT(world.here.calls().at(0).header("authorization"), StartsWith("Bearer e30."));
  EXPECT_EQ(world.there.calls().at(1).header("authorization"), "");
  EXPECT_FALSE(co_await cache->find("index#7"));
  EXPECT_FALSE(co_await cache->find("index#7"));  // only one that begins so
}
TEST(GithubCache, FindsTheNewestAndAsksAnewForAUrlThatHasExpired) { run_world(github_reads); }

Task<void> github_writes(World& world) {
  std::string const reserve = std::string(kTwirp) + "CreateCacheEntry";
  std::string const finish = std::string(kTwirp) + "FinalizeCacheEntryUpload";
  std::string const place =
      R"({"ok":true,"signed_upload_url":")" + world.there.url("/up?sig=SECRET") + "\"}";
  world.here.when("POST", reserve, reply(200, place));
  world.there.when("PUT", "/up?sig=SECRET", reply(201));
  world.here.when("POST", finish, reply(200, R"({"ok":true,"entry_id":"1"})"));
  world.here.when("POST", reserve, reply(409, R"({"code":"already_exists","msg":"taken"})"));
  world.here.when("POST", reserve, reply(200, place));
  world.there.when("PUT", "/up?sig=SECRET", reply(403, "<Error><Code>No</Code></Error>"));
  auto const cache = github(world);
  co_await cache->write("blob", 5, oci::open_text("hello"));
  EXPECT_EQ(world.there.calls().at(0).body, "hello");
  EXPECT_EQ(world.there.calls().at(0).header("x-ms-blob-type"), "BlockBlob");
  EXPECT_THAT(world.here.calls().at(1).body, HasSubstr(R"("key":"blob","size_bytes":5)"));
  co_await cache->write("blob", 5, oci::open_text("hello"));  // somebody's already: fine
  EXPECT_EQ(world.there.calls().size(), 1U);
  auto const error = co_await error_of(cache->write("blob", 5, oci::open_text("hello")));
  EXPECT_THAT(what(error), HasSubstr("403 Forbidden: No"));
  EXPECT_THAT(what(error), Not(HasSubstr("SECRET")));
}
TEST(GithubCache, WritesToTheUrlThatItIsGiven) { run_world(github_writes); }

Task<void> github_conflict(World& world) {
  std::string const look = std::string(kTwirp) + "GetCacheEntryDownloadURL";
  std::string const reserve = std::string(kTwirp) + "CreateCacheEntry";
  std::string const place = R"({"ok":true,"signed_upload_url":")" + world.there.url("/up") + "\"}";
  world.here.when("POST", look, reply(200, entry(world, "index#4")), 20);
  world.here.when("POST", reserve, reply(409, R"({"code":"already_exists"})"), 9);
  world.here.when("POST", reserve, reply(200, place));
  world.there.when("PUT", "/up", reply(201));
  world.here.when("POST", kTwirp, reply(200, R"({"ok":true})"));
  auto const cache = github(world);
  co_await cache->write_next("index", "{}");
  // Number 5 is waited for, and then passed over.
  EXPECT_THAT(world.here.calls().at(1).body, HasSubstr("index#5"));
  EXPECT_THAT(world.here.calls().back().body, HasSubstr("index#6"));
  EXPECT_EQ(world.slept, std::vector<int>(8, 2000));
}
TEST(GithubCache, WaitsForOthersAndPassesOverTheDead) { run_world(github_conflict); }

Task<void> github_limits(World& world) {
  std::string const look = std::string(kTwirp) + "GetCacheEntryDownloadURL";
  world.here.when("POST", look, reply(429, "", {{"Retry-After", "17"}}));
  world.here.when("POST", look, reply(429), 2);
  world.here.when("POST", look, reply(200, R"({"ok":false})"));
  world.here.when("POST", look, reply(429, "", {{"Retry-After", "3600"}}));
  auto const cache = github(world);
  EXPECT_FALSE(co_await cache->find("x"));
  EXPECT_EQ(world.slept, (std::vector<int>{17000, 1000, 2000}));
  auto const error = co_await error_of(cache->find("x"));
  EXPECT_EQ(kind(error), ErrorKind::kUnavailable);
  EXPECT_THAT(what(error), HasSubstr("try again in 3600 s"));
  EXPECT_EQ(world.slept.size(), 3U);
}
TEST(GithubCache, IsPatientWithLimitsAndNotForEver) { run_world(github_limits); }

Task<void> github_v1(World& world) {
  std::string const base = "/_apis/artifactcache/";
  world.here.when("GET", base + "cache?keys=x&version=", reply(204));
  world.here.when("POST", base + "caches", reply(200, R"({"cacheId":42})"));
  world.here.when("PATCH", base + "caches/42", reply(204), 2);
  world.here.when("POST", base + "caches/42", reply(204));
  world.here.when("GET", base + "cache?keys=y",
                  reply(200, R"({"cacheKey":"y","archiveLocation":")" + world.there.url("/blob") +
                                 "\"}"));
  world.there.when("GET", "/blob", reply(200, "hello"));
  world.here.when("POST", base + "caches",
                  reply(409, R"({"typeKey":"ArtifactCacheItemAlreadyExistsException"})"));
  auto const cache = github(world, false);
  EXPECT_FALSE(co_await cache->find("x"));
  co_await cache->write("x", kBig, oci::open_text(std::string(kBig, 'x')));
  std::vector<std::string> ranges;
  for (const auto& call : world.here.calls()) {
    if (call.method == "PATCH") ranges.push_back(call.header("content-range"));
  }
  EXPECT_THAT(ranges, testing::UnorderedElementsAre("bytes 0-8388607/*", "bytes 8388608-8388617/*"));
  EXPECT_EQ(world.here.calls().back().body, R"({"size":8388618})");
  Collector sink;
  co_await cache->read("y", 0, 10, sink);
  EXPECT_EQ(sink.text, "hello");
  co_await cache->write("x", 1, oci::open_text("x"));
}
TEST(GithubCache, SpeaksTheFirstProtocolToo) { run_world(github_v1); }

Task<void> github_lists(World& world) {
  GithubSettings settings;
  settings.url = world.here.url("");
  settings.token = Secret("e30." + base64_encode(R"({"ac":"[{\"Scope\":\"refs/heads/m\"}]",)"
                                                 R"("exp":1800000000,"nbf":1})") +
                          ".c2ln");
  settings.repository = "me/it";
  settings.api_token = Secret("API");
  settings.api_url = world.there.url("");
  world.there.when("GET", "/repos/me/it/actions/caches?per_page=100&page=1&key=buildkit-blob-1-"
                          "&ref=refs%2Fheads%2Fm",
                   reply(200, R"({"total_count":1,"actions_caches":[{"key":"buildkit-blob-1-a"}]})"));
  auto const cache = make_github_cache(world.executor(), world.pool, world.options, settings);
  EXPECT_TRUE(co_await cache->find("buildkit-blob-1-a"));
  EXPECT_FALSE(co_await cache->find("buildkit-blob-1-b"));
  EXPECT_THAT(asked(world), IsEmpty());
  EXPECT_EQ(world.there.calls().size(), 1U);
  EXPECT_EQ(world.there.calls().at(0).header("authorization"), "Bearer API");
}
TEST(GithubCache, ListsOnceWhereItMay) { run_world(github_lists); }

}  // namespace
}  // namespace cobuild::registry::test
