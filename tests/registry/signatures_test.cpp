#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "registry/aws_credentials.hpp"
#include "registry/aws_signature.hpp"
#include "registry/azure_credentials.hpp"
#include "registry/base64.hpp"
#include "registry/github_token.hpp"
#include "registry/registry_error.hpp"
#include "registry/s3_store.hpp"
#include "registry/xml.hpp"

namespace cobuild::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

// ---- AWS: the examples of "Authenticating Requests (AWS Signature Version 4)" in S3's API reference.

std::chrono::system_clock::time_point example_time() {
  using namespace std::chrono;
  return sys_days(year(2013) / 5 / 24);
}

std::string signature_of(Method method, const std::string& target, Headers headers,
                         std::string_view body = {}) {
  Request request;
  request.method = method;
  request.url = Url::parse("https://examplebucket.s3.amazonaws.com" + target);
  request.headers = std::move(headers);
  sign_aws(request,
           {"AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), Secret()},
           {"us-east-1", "s3"}, Digest::of(body).hex(), example_time());
  std::string const text = request.headers.text("Authorization");
  EXPECT_THAT(text, HasSubstr("AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"));
  return text.substr(text.find("Signature=") + 10);
}

TEST(AwsSignature, OfAGetWithARange) {
  Headers headers;
  headers.add("Range", "bytes=0-9");
  EXPECT_EQ(signature_of(Method::kGet, "/test.txt", headers),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(AwsSignature, OfAPutWithABodyAndAPathToBeEncoded) {
  Headers headers;
  headers.add("Date", "Fri, 24 May 2013 00:00:00 GMT");
  headers.add("x-amz-storage-class", "REDUCED_REDUNDANCY");
  EXPECT_EQ(signature_of(Method::kPut, "/" + encode_path("test$file.text"), headers,
                         "Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(AwsSignature, OfQueries) {
  EXPECT_EQ(signature_of(Method::kGet, "/?lifecycle", {}),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(signature_of(Method::kGet, "/?prefix=J&max-keys=2", {}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(AwsSignature, SessionTokensAreSignedToo) {
  Request request;
  request.url = Url::parse("https://b.s3.amazonaws.com/");
  sign_aws(request, {"id", Secret("key"), Secret("session")}, {"us-east-1", "s3"}, "x",
           example_time());
  EXPECT_EQ(request.headers.text("x-amz-security-token"), "session");
  EXPECT_THAT(request.headers.text("Authorization"),
              HasSubstr("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
}

TEST(AwsProfile, IsFoundInBothKindsOfFiles) {
  std::string const text =
      "# keys\n[default]\naws_access_key_id = A\r\naws_secret_access_key=S\ns3 =\n  nested = 1\n"
      "[profile work]\nregion = eu-west-1\n[ work ]\nAWS_ACCESS_KEY_ID=W\n";
  EXPECT_THAT(find_aws_profile(text, "default", false),
              UnorderedElementsAre(Pair("aws_access_key_id", "A"),
                                   Pair("aws_secret_access_key", "S"), Pair("s3", "")));
  EXPECT_THAT(find_aws_profile(text, "work", true), ElementsAre(Pair("region", "eu-west-1")));
  EXPECT_THAT(find_aws_profile(text, "work", false), ElementsAre(Pair("aws_access_key_id", "W")));
  EXPECT_THAT(find_aws_profile("[broken\n=\n", "broken", false), IsEmpty());
}

// ---- where S3's objects are

TEST(S3Url, PutsTheBucketIntoTheHostWhereItFits) {
  auto const url = [](std::string bucket, std::string endpoint, bool path_style = false) {
    S3Settings settings;
    settings.bucket = std::move(bucket);
    settings.region = "eu-west-1";
    settings.endpoint_url = std::move(endpoint);
    settings.path_style = path_style;
    return s3_url(settings, "blobs/sha256:ab").to_string();
  };
  EXPECT_EQ(url("cache", ""), "https://cache.s3.eu-west-1.amazonaws.com/blobs/sha256%3Aab");
  EXPECT_EQ(url("cache", "https://s3.example.com/"),
            "https://cache.s3.example.com/blobs/sha256%3Aab");
  EXPECT_EQ(url("cache", "https://s3.example.com/x", true),
            "https://s3.example.com/x/cache/blobs/sha256%3Aab");
  EXPECT_EQ(url("cache", "http://127.0.0.1:9000"), "http://127.0.0.1:9000/cache/blobs/sha256%3Aab");
  // The certificate is for one level of names.
  EXPECT_EQ(url("my.cache", ""), "https://s3.eu-west-1.amazonaws.com/my.cache/blobs/sha256%3Aab");
  EXPECT_EQ(url("my.cache", "http://s3.local"), "http://my.cache.s3.local/blobs/sha256%3Aab");
  EXPECT_EQ(url("Cache_1", ""), "https://s3.eu-west-1.amazonaws.com/Cache_1/blobs/sha256%3Aab");
}

// ---- Azure: the string that "Authorize with Shared Key" describes

TEST(AzureSignature, HasHeadersAndQueryInOrder) {
  Request request;
  request.method = Method::kPut;
  request.url = Url::parse("http://127.0.0.1:10000/acct/box/a%3Ab?comp=block&BlockId=YQ%3D%3D");
  request.headers.add("x-ms-version", "2021-12-02");
  request.headers.add("x-ms-date", "Fri, 24 May 2013 00:00:00 GMT");
  request.headers.add("Range", "bytes=1-2");
  EXPECT_EQ(azure_string_to_sign(request, "acct", 12),
            "PUT\n\n\n12\n\n\n\n\n\n\n\nbytes=1-2\n"
            "x-ms-date:Fri, 24 May 2013 00:00:00 GMT\nx-ms-version:2021-12-02\n"
            "/acct/acct/box/a%3Ab\nblockid:YQ==\ncomp:block");
  request.method = Method::kGet;
  EXPECT_THAT(azure_string_to_sign(request, "acct", 0), testing::StartsWith("GET\n\n\n\n\n"));
  Secret const key(base64_encode("key"));
  sign_azure(request, "acct", key, 0);
  EXPECT_EQ(request.headers.text("Authorization"),
            "SharedKey acct:" +
                base64_encode(hmac_sha256("key", azure_string_to_sign(request, "acct", 0))));
}

TEST(AzureSignature, KeysThatAreNoneAreNotQuoted) {
  Request request;
  request.url = Url::parse("https://a.blob.core.windows.net/box");
  try {
    sign_azure(request, "a", Secret("not base64!"), 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput);
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("not base64!")));
  }
}

// ---- GitHub's tokens

std::string token_of(const std::string& claims) {
  return "e30." + base64_encode(claims) + ".c2lnbmF0dXJl";
}
constexpr std::chrono::system_clock::time_point kNow{std::chrono::seconds(1700000000)};

std::string refused(const std::string& token) {
  try {
    (void)parse_github_token(token, kNow);
    return "nothing is wrong";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(GithubToken, SaysWhichScopesThereAre) {
  auto const scopes = parse_github_token(
      token_of(R"({"ac":"[{\"Scope\":\"refs/heads/x\",\"Permission\":3},)"
               R"({\"Scope\":\"refs/heads/main\",\"Permission\":1},7]",)"
               R"("exp":1700000100,"nbf":1.6999e9})"),
      kNow);
  EXPECT_THAT(scopes, ElementsAre(GithubScope{"refs/heads/x", true},
                                  GithubScope{"refs/heads/main", false}));
}

TEST(GithubToken, ThatIsNoneIsNotQuoted) {
  EXPECT_THAT(refused("secret"), HasSubstr("it is no JWT"));
  EXPECT_THAT(refused("secret"), testing::Not(HasSubstr("secret")));
  EXPECT_THAT(refused("a.!.b"), HasSubstr("no base64"));
  EXPECT_THAT(refused(token_of("[")), HasSubstr("no JSON"));
  EXPECT_THAT(refused(token_of("[]")), HasSubstr("no access controls"));
  EXPECT_THAT(refused(token_of(R"({"ac":"[]"})")), HasSubstr("no time exp"));
  EXPECT_THAT(refused(token_of(R"({"ac":"{}","exp":1800000000,"nbf":1})")), HasSubstr("no list"));
  EXPECT_EQ(refused(token_of(R"({"ac":"[]","exp":1600000000,"nbf":1})")),
            "cache token expired at Sun, 13 Sep 2020 12:26:40 GMT");
  EXPECT_THAT(refused(token_of(R"({"ac":"[]","exp":1800000000,"nbf":1750000000})")),
              HasSubstr("future issue time"));
}

// ---- XML

TEST(Xml, IsATreeOfElementsAndText) {
  auto const root = try_parse_xml(
      "<?xml version=\"1.0\"?>\n<a:List xmlns:a=\"x\"><Key>a&amp;b</Key><!-- no -->"
      "<Key>c</Key><Deep><Er>1</Er>2<Er/>3</Deep></a:List>");
  ASSERT_TRUE(root);
  EXPECT_EQ(root->name, "List");
  EXPECT_EQ(root->text_of("Key"), "a&b");
  EXPECT_EQ(root->children.size(), 3U);
  EXPECT_EQ(root->find("Deep")->text, "23");
  EXPECT_EQ(root->text_of("None"), "");
}

TEST(Xml, ThatIsHostileOrBrokenIsNone) {
  EXPECT_FALSE(try_parse_xml(""));
  EXPECT_FALSE(try_parse_xml("<a><b></a>"));
  EXPECT_FALSE(try_parse_xml("<a/><b/>"));
  EXPECT_FALSE(try_parse_xml("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>"));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "<a>";
  EXPECT_FALSE(try_parse_xml(deep));
}

TEST(ServiceError, IsReadInAllItsForms) {
  std::string const s3 =
      "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>It is not\nthere.</Message></Error>";
  EXPECT_EQ(registry_message(s3), "NoSuchKey: It is not there.");
  EXPECT_EQ(service_error_code(s3), "NoSuchKey");
  std::string const azure = "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>"
                            "BlobNotFound</Code><Message>No.</Message></Error>";
  EXPECT_EQ(registry_message(azure), "BlobNotFound: No.");
  std::string const sts = "<ErrorResponse><Error><Code>Expired</Code></Error></ErrorResponse>";
  EXPECT_EQ(service_error_code(sts), "Expired");
  EXPECT_EQ(registry_message("<html><body>no</body></html>"), "");
  EXPECT_EQ(registry_message(R"({"code":"already_exists","msg":"taken"})"), "taken");
  EXPECT_EQ(service_error_code(R"({"code":"already_exists","msg":"taken"})"), "already_exists");
  EXPECT_EQ(service_error_code(R"({"typeKey":"ArtifactCacheItemAlreadyExistsException"})"),
            "ArtifactCacheItemAlreadyExistsException");
  EXPECT_EQ(service_error_code("what?"), "");
}

}  // namespace
}  // namespace cobuild::registry
