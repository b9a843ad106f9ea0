#include "cli/cache_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "cli/object_places.hpp"
#include "core/base/error.hpp"
#include "registry/base64.hpp"

namespace cobuild::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Variables = std::map<std::string, std::string>;
using Fields = std::map<std::string, std::string>;

ObjectPlace place(const std::string& type, Fields attributes, Variables variables = {}) {
  auto const find = [&](const std::string& name) -> std::optional<std::string> {
    auto const found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  return parse_object_place({type, std::move(attributes)}, find);
}

std::string refused(const std::string& type, Fields attributes, Variables variables = {}) {
  try {
    (void)place(type, std::move(attributes), std::move(variables));
    return "nothing is wrong";
  } catch (const Error& error) {
    return error.what();
  }
}

std::vector<std::string> read_names(const ObjectPlace& place) {
  std::vector<std::string> names;
  for (const auto& config : place.read) names.push_back(config.name);
  return names;
}

TEST(S3Place, HasBuildKitsDefaults) {
  auto const s3 = place("s3", {{"bucket", "b"}, {"region", "r"}});
  auto const& settings = std::get<registry::S3Settings>(s3.settings);
  EXPECT_EQ(s3.name, "s3:b/");
  EXPECT_EQ(s3.blobs_prefix, "blobs/");
  EXPECT_THAT(s3.written, ElementsAre("manifests/buildkit"));
  EXPECT_EQ(s3.parallel, 4U);
  EXPECT_FALSE(s3.budget);
  EXPECT_EQ(settings.touch_refresh, std::chrono::hours(24));
  EXPECT_FALSE(settings.keys);
  EXPECT_FALSE(settings.path_style);
}

TEST(S3Place, TakesAllKeys) {
  auto const s3 = place(
      "s3", {{"prefix", "p-"}, {"manifests_prefix", "m/"}, {"blobs_prefix", "l/"}, {"name", "a;b"},
             {"touch_refresh", "1h30m"}, {"endpoint_url", "http://x"}, {"use_path_style", "true"},
             {"access_key_id", "id"}, {"secret_access_key", "key"}, {"session_token", "t"},
             {"upload_parallelism", "9"}, {"disable_accept_encoding", "true"},
             {"retry_mode", "adaptive"}, {"retry_max_attempts", "2"}, {"timeout", "5m"}},
      {{"AWS_BUCKET", "env"}, {"AWS_REGION", "eu"}});
  auto const& settings = std::get<registry::S3Settings>(s3.settings);
  EXPECT_EQ(settings.bucket + " " + settings.region + " " + settings.prefix, "env eu p-");
  EXPECT_THAT(s3.written, ElementsAre("m/a", "m/b"));
  EXPECT_THAT(read_names(s3), ElementsAre("m/a"));  // F10.79
  EXPECT_EQ(s3.blobs_prefix, "l/");
  EXPECT_EQ(settings.touch_refresh, std::chrono::minutes(90));
  EXPECT_EQ(settings.keys->session_token.reveal(), "t");
  EXPECT_TRUE(settings.path_style);
  EXPECT_EQ(settings.parallel, 9U);
  EXPECT_EQ(settings.attempts_max, 2U);
  EXPECT_EQ(s3.budget, std::chrono::minutes(5));
}

TEST(S3Place, SaysWhatIsMissingOrWrong) {
  EXPECT_EQ(refused("s3", {}), "bucket ($AWS_BUCKET) not set for s3 cache");
  EXPECT_EQ(refused("s3", {{"bucket", "b"}}), "region ($AWS_REGION) not set for s3 cache");
  Fields const base{{"bucket", "b"}, {"region", "r"}};
  auto const with = [&base](const std::string& key, const std::string& value) {
    Fields fields = base;
    fields[key] = value;
    return refused("s3", std::move(fields));
  };
  EXPECT_EQ(with("upload_parallelism", "0"), "upload_parallelism must be a positive integer");
  EXPECT_EQ(with("upload_parallelism", "4x"), "upload_parallelism must be a positive integer");
  EXPECT_EQ(with("retry_max_attempts", "-1"), "retry_max_attempts must be a positive integer");
  EXPECT_EQ(with("retry_mode", "x"), "retry_mode must be \"standard\" or \"adaptive\"");
  EXPECT_THAT(with("touch_refresh", "soon"), HasSubstr("touch_refresh of s3 cache"));
  EXPECT_THAT(with("secret_access_key", "hush"), HasSubstr("go together"));
  EXPECT_THAT(with("secret_access_key", "hush"), Not(HasSubstr("hush")));
}

TEST(AzblobPlace, HasBuildKitsDefaults) {
  auto const azure = place("azblob", {{"account_url", "https://me.blob.core.windows.net"}});
  auto const& settings = std::get<registry::AzblobSettings>(azure.settings);
  EXPECT_EQ(azure.name, "azblob:me/buildkit-cache/");
  EXPECT_EQ(settings.account_name, "me");
  EXPECT_EQ(azure.blobs_prefix, "blobs/");
  EXPECT_THAT(azure.written, ElementsAre("manifests/buildkit"));
}

TEST(AzblobPlace, TakesKeysAndVariables) {
  auto const azure = place("azblob",
                           {{"name", "a;b"}, {"manifests_prefix", "m//"}, {"secret_access_key", "k"}},
                           {{"BUILDKIT_AZURE_STORAGE_ACCOUNT_URL", "http://127.0.0.1:1/acct?sig=s"},
                            {"BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME", "acct"},
                            {"BUILDKIT_AZURE_STORAGE_CONTAINER", "box"},
                            {"BUILDKIT_AZURE_STORAGE_PREFIX", "p/q/"}});
  auto const& settings = std::get<registry::AzblobSettings>(azure.settings);
  EXPECT_EQ(azure.name, "azblob:acct/box/p/q/");
  EXPECT_EQ(settings.prefix, "p/q/");
  EXPECT_THAT(azure.written, ElementsAre("m/a", "m/b"));
  EXPECT_THAT(read_names(azure), ElementsAre("m/a", "m/b"));
  EXPECT_EQ(refused("azblob", {}),
            "either ${BUILDKIT_AZURE_STORAGE_ACCOUNT_URL} or account_url attribute is required for "
            "azblob cache");
  EXPECT_THAT(refused("azblob", {{"account_url", "sig=secret"}}), HasSubstr("not a valid url"));
  EXPECT_THAT(refused("azblob", {{"account_url", "sig=secret"}}), Not(HasSubstr("secret")));
}

std::string token() {
  return "e30." +
         registry::base64_encode(R"({"ac":"[{\"Scope\":\"refs/heads/x\",\"Permission\":3},)"
                                 R"({\"Scope\":\"refs/heads/main\",\"Permission\":1}]",)"
                                 R"("exp":9000000000,"nbf":1})") +
         ".c2ln";
}

TEST(GithubPlace, HasAnIndexForEachBranch) {
  auto const gha = place("gha", {{"url_v2", "https://r"}, {"token", token()}, {"scope", "s"}});
  auto const& settings = std::get<registry::GithubSettings>(gha.settings);
  EXPECT_EQ(gha.name, "gha:s");
  EXPECT_EQ(gha.blobs_prefix, "buildkit-blob-1-");
  std::string const x = "index-s-1-" + Digest::of(std::string_view("refs/heads/x")).hex().substr(0, 8);
  std::string const main =
      "index-s-1-" + Digest::of(std::string_view("refs/heads/main")).hex().substr(0, 8);
  EXPECT_THAT(gha.written, ElementsAre(x));
  EXPECT_THAT(read_names(gha), ElementsAre(x + "#", main + "#"));
  EXPECT_TRUE(gha.read.at(0).newest);
  EXPECT_EQ(gha.budget, std::chrono::minutes(10));
  EXPECT_TRUE(settings.v2);
}

TEST(GithubPlace, ChoosesTheProtocol) {
  auto const chosen = [](Fields attributes, Variables variables) {
    attributes["token"] = token();
    auto const gha = place("gha", std::move(attributes), std::move(variables));
    auto const& settings = std::get<registry::GithubSettings>(gha.settings);
    return settings.url + (settings.v2 ? " v2" : " v1");
  };
  Variables const both{{"ACTIONS_CACHE_URL", "http://one"}, {"ACTIONS_RESULTS_URL", "http://two"}};
  Variables with_service = both;
  with_service["ACTIONS_CACHE_SERVICE_V2"] = "True";
  EXPECT_EQ(chosen({}, both), "http://one v1");
  EXPECT_EQ(chosen({}, with_service), "http://two v2");
  EXPECT_EQ(chosen({{"version", "1"}}, with_service), "http://one v1");
  EXPECT_EQ(chosen({{"version", "2"}}, both), "http://two v2");
  EXPECT_EQ(chosen({{"version", "2"}, {"url", "http://x"}}, {}), "http://x v2");
  EXPECT_EQ(chosen({{"url", "http://x"}}, {}), "http://x v1");
  EXPECT_EQ(chosen({{"url_v2", "http://x"}, {"url", "http://y"}}, {}), "http://x v2");
  EXPECT_EQ(chosen({{"url", "https://results-receiver.actions.githubusercontent.com/"}}, {}),
            "https://results-receiver.actions.githubusercontent.com/ v2");
}

TEST(GithubPlace, SaysWhatIsMissingOrWrong) {
  EXPECT_THAT(refused("gha", {}), HasSubstr("cache with type gha requires url parameter to be set"));
  EXPECT_EQ(refused("gha", {{"url", "http://x"}}),
            "cache with type gha requires token parameter or $ACTIONS_RUNTIME_TOKEN");
  EXPECT_THAT(refused("gha", {{"url", "http://x"}, {"version", "x"}}),
              HasSubstr("failed to parse api version \"x\""));
  EXPECT_THAT(refused("gha", {{"url", "http://x"}, {"token", "hush"}}), HasSubstr("no JWT"));
  EXPECT_THAT(refused("gha", {{"url", "http://x"}, {"token", "hush"}}), Not(HasSubstr("hush")));
  EXPECT_THAT(refused("gha", {{"url", "http://x"}, {"token", token()}, {"timeout", "x"}}),
              HasSubstr("timeout of gha cache"));
}

TEST(CachePlan, KnowsItsTypesAndSteps) {
  auto const refused_plan = [](const std::string& type, CacheUse use) {
    try {
      (void)parse_cache_plan({type, {}}, use);
      return std::string("nothing is wrong");
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_THAT(refused_plan("x", CacheUse::kExport), HasSubstr("unknown cache exporter: \"x\""));
  EXPECT_THAT(refused_plan("x", CacheUse::kImport), HasSubstr("unknown cache importer: x"));
  EXPECT_THAT(refused_plan("inline", CacheUse::kImport), HasSubstr("type=registry,ref=NAME"));
  EXPECT_THAT(refused_plan("local", CacheUse::kImport), HasSubstr("requires src"));
  EXPECT_THAT(refused_plan("registry", CacheUse::kExport), HasSubstr("ref is required"));
  EXPECT_EQ(export_name("gha"), "exporting to GitHub Actions Cache");
  EXPECT_EQ(export_name("s3"), "exporting cache to Amazon S3");
  EXPECT_EQ(export_name("azblob"), "exporting cache to Azure Blob Storage");
  EXPECT_TRUE(ignores_errors({"s3", {{"ignore-error", "true"}}}));
  EXPECT_FALSE(ignores_errors({"s3", {}}));
}

TEST(CachePlan, PacksAreForExportsOfObjects) {
  auto const refused_plan = [](const CacheOptions& cache, CacheUse use) {
    try {
      return parse_cache_plan(cache, use).pack ? std::string("packs") : std::string("no packs");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput);
      return std::string(error.what());
    }
  };
  Fields const box{{"bucket", "b"}, {"region", "r"}};
  auto const s3 = [&](const std::string& value) {
    Fields fields = box;
    fields["pack"] = value;
    return CacheOptions{"s3", fields};
  };
  EXPECT_EQ(refused_plan({"s3", box}, CacheUse::kExport), "no packs");
  EXPECT_EQ(refused_plan(s3("true"), CacheUse::kExport), "packs");
  EXPECT_EQ(refused_plan(s3("false"), CacheUse::kExport), "no packs");
  EXPECT_EQ(refused_plan({"gha", {{"url", "http://x"}, {"token", token()}, {"pack", "1"}}},
                         CacheUse::kExport),
            "packs");
  EXPECT_EQ(refused_plan({"azblob", {{"account_url", "https://me.blob.core.windows.net"}, {"pack", "true"}}},
                         CacheUse::kExport),
            "packs");
  EXPECT_THAT(refused_plan(s3("much"), CacheUse::kExport), HasSubstr("pack"));
  EXPECT_THAT(refused_plan(s3("true"), CacheUse::kImport), HasSubstr("imports find out by themselves"));
  for (const char* type : {"registry", "local", "inline"}) {
    EXPECT_THAT(refused_plan({type, {{"ref", "r.io/x"}, {"dest", "d"}, {"pack", "true"}}}, CacheUse::kExport),
                HasSubstr(std::string("the layers of ") + type + " caches are not packed"));
  }
}

}  // namespace
}  // namespace cobuild::cli
