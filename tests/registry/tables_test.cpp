#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "registry/auth_challenge.hpp"
#include "registry/base64.hpp"
#include "registry/credentials.hpp"
#include "registry/hosts.hpp"
#include "registry/options.hpp"
#include "registry/proxy.hpp"
#include "registry/registry_error.hpp"
#include "registry/retry.hpp"
#include "registry/token_source.hpp"
#include "registry/upload.hpp"
#include "registry/url.hpp"

namespace cobuild::registry {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

// ---- challenges

struct ChallengeCase {
  const char* name;
  std::vector<std::string> headers;
  std::vector<AuthChallenge> challenges;

  friend void PrintTo(const ChallengeCase& c, std::ostream* out) { *out << c.name; }
};

class Challenge : public testing::TestWithParam<ChallengeCase> {};

TEST_P(Challenge, IsParsed) {
  EXPECT_EQ(parse_challenges(GetParam().headers), GetParam().challenges);
}

AuthChallenge bearer(std::map<std::string, std::string> parameters) {
  return {AuthScheme::kBearer, std::move(parameters)};
}
AuthChallenge basic(std::map<std::string, std::string> parameters) {
  return {AuthScheme::kBasic, std::move(parameters)};
}

INSTANTIATE_TEST_SUITE_P(
    Table, Challenge,
    testing::Values(
        ChallengeCase{
            "DockerHub",
            {R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",)"
             R"(scope="repository:library/alpine:pull")"},
            {bearer({{"realm", "https://auth.docker.io/token"},
                     {"service", "registry.docker.io"},
                     {"scope", "repository:library/alpine:pull"}})}},
        ChallengeCase{"CommaInQuotes",
                      {R"(bearer SCOPE="repository:a:pull,push", error = x)"},
                      {bearer({{"scope", "repository:a:pull,push"}})}},
        ChallengeCase{"Basic", {"Basic realm=\"r\""}, {basic({{"realm", "r"}})}},
        ChallengeCase{"TokenValue", {"Basic realm=r"}, {basic({{"realm", "r"}})}},
        ChallengeCase{"Escapes", {R"(Basic realm="a\"b\\c")"}, {basic({{"realm", "a\"b\\c"}})}},
        ChallengeCase{"BearerFirst",
                      {"Basic realm=a", "Digest x=y", "Bearer realm=b"},
                      {bearer({{"realm", "b"}}), basic({{"realm", "a"}})}},
        ChallengeCase{"TwoInOneHeader",
                      {"Basic realm=a, Bearer realm=b, service=c"},
                      {bearer({{"realm", "b"}, {"service", "c"}}), basic({{"realm", "a"}})}},
        ChallengeCase{"UnknownScheme", {"Negotiate"}, {}},
        ChallengeCase{"NeverEnds", {"Bearer realm=\"x"}, {bearer({})}},
        ChallengeCase{"Garbage", {"\x01\xff,,=", ""}, {}}),
    [](const auto& test) { return test.param.name; });

TEST(Scopes, AreMerged) {
  EXPECT_THAT(
      merge_scopes({"repository:b:pull", "repository:a:pull,push", "repository:a:pull",
                    "registry:catalog:*", "odd", ""}),
      ElementsAre("odd", "registry:catalog:*", "repository:a:pull,push", "repository:b:pull"));
  EXPECT_THAT(merge_scopes({"repository:host:5000/a:pull"}),
              ElementsAre("repository:host:5000/a:pull"));
}

// ---- retries

struct DelayCase {
  const char* name;
  std::size_t attempt;
  std::optional<milliseconds> retry_after;
  double random;
  std::optional<milliseconds> delay;

  friend void PrintTo(const DelayCase& c, std::ostream* out) { *out << c.name; }
};

class RetryDelay : public testing::TestWithParam<DelayCase> {};

TEST_P(RetryDelay, IsComputed) {
  RetryPolicy policy;
  policy.attempts_max = 9;
  const DelayCase& c = GetParam();
  EXPECT_EQ(retry_delay(policy, c.attempt, c.retry_after, c.random), c.delay);
}

INSTANTIATE_TEST_SUITE_P(
    Table, RetryDelay,
    testing::Values(DelayCase{"First", 1, {}, 0, milliseconds(250)},
                    DelayCase{"Second", 2, {}, 0, milliseconds(500)},
                    DelayCase{"Sixth", 6, {}, 0, milliseconds(8000)},
                    DelayCase{"Capped", 8, {}, 0, milliseconds(8000)},
                    DelayCase{"Jitter", 1, {}, 0.5, milliseconds(188)},
                    DelayCase{"MostJitter", 2, {}, 1.0, milliseconds(250)},
                    DelayCase{"Last", 9, {}, 0, std::nullopt},
                    DelayCase{"After", 1, milliseconds(3000), 0.9, milliseconds(3000)},
                    DelayCase{"AfterZero", 3, milliseconds(0), 0.9, milliseconds(0)},
                    DelayCase{"AfterTooLong", 1, milliseconds(60001), 0, std::nullopt},
                    DelayCase{"AfterButLast", 9, milliseconds(1), 0, std::nullopt}),
    [](const auto& test) { return test.param.name; });

TEST(RetryAfter, IsSecondsOrADate) {
  // 784111777 is the date in HTTP's own examples.
  std::chrono::system_clock::time_point const now{std::chrono::seconds(784111777 - 10)};
  EXPECT_EQ(parse_retry_after("120", now), milliseconds(120000));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), milliseconds(10000));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1993 08:49:37 GMT", now), milliseconds(0));
  for (const char* bad : {"", "-1", "soon", "1.5", "Sun, 06 Xxx 1994 08:49:37 GMT",
                          "Sun, 31 Feb 1994 08:49:37 GMT", "99999999999999999999"}) {
    EXPECT_EQ(parse_retry_after(bad, now), std::nullopt) << bad;
  }
}

TEST(RetryableStatus, IsATable) {
  for (int status : {408, 429, 500, 502, 503, 504})
    EXPECT_TRUE(is_retryable_status(status)) << status;
  for (int status : {200, 206, 301, 400, 401, 403, 404, 405, 416, 501}) {
    EXPECT_FALSE(is_retryable_status(status)) << status;
  }
}

// ---- URLs

TEST(UrlParse, SplitsAndPrints) {
  Url const url = Url::parse("HTTPS://u:p@Reg.Example:8443/v2/x?a=b#f");
  EXPECT_EQ(url, (Url{"https", "reg.example", "8443", "/v2/x?a=b"}));
  EXPECT_EQ(url.to_string(), "https://reg.example:8443/v2/x?a=b");
  EXPECT_EQ(url.to_display(), "https://reg.example:8443/v2/x") << "queries hold signatures";
  EXPECT_EQ(Url::parse("http://[::1]:5000").to_string(), "http://[::1]:5000/");
  EXPECT_EQ(Url::parse("http://h:80/").authority(), "h");
}

TEST(UrlParse, RefusesWhatWouldSplitARequest) {
  for (const char* bad : {"ftp://x/", "x", "http://", "http://h:0/", "http://h:x/", "http://h/a b",
                          "http://h/a\r\nX: y", "http://h\n/", "http://[::1/", "http://h:99999/"}) {
    EXPECT_THROW((void)Url::parse(bad), Error) << bad;
  }
}

struct ResolveCase {
  const char* name;
  std::string location;
  std::string url;
};

class UrlResolve : public testing::TestWithParam<ResolveCase> {};

TEST_P(UrlResolve, LeadsThere) {
  EXPECT_EQ(Url::parse("https://h/a/b?q").resolve(GetParam().location).to_string(), GetParam().url);
}

INSTANTIATE_TEST_SUITE_P(Table, UrlResolve,
                         testing::Values(ResolveCase{"Absolute", "http://x:1/y", "http://x:1/y"},
                                         ResolveCase{"SchemeRelative", "//x/y", "https://x/y"},
                                         ResolveCase{"Path", "/y?z=http://k",
                                                     "https://h/y?z=http://k"},
                                         ResolveCase{"Relative", "c", "https://h/a/c"},
                                         ResolveCase{"Dots", "../../c/./d", "https://h/c/d"},
                                         ResolveCase{"Query", "?z", "https://h/a/b?z"},
                                         ResolveCase{"TrailingSlash", "/x/y/", "https://h/x/y/"},
                                         ResolveCase{"Fragment", "/x#f", "https://h/x"}),
                         [](const auto& test) { return test.param.name; });

TEST(Localhost, IsLoopbackOnly) {
  for (const char* yes :
       {"localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]:5000"}) {
    EXPECT_TRUE(is_localhost(yes)) << yes;
  }
  for (const char* no : {"localhost.evil.com", "127.0.0.1.evil.com", "128.0.0.1", "[::2]:1", ""}) {
    EXPECT_FALSE(is_localhost(no)) << no;
  }
}

TEST(Percent, RoundTripsAllBytes) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_encode("a b&c"), "a%20b%26c");
  EXPECT_EQ(percent_decode("%4%zz%41"), "%4%zzA");
}

TEST(UploadedBytes, AsTheRangeOfAnUploadSays) {
  auto const bytes = [](const std::string& range) {
    Headers headers;
    headers.add("Range", range);
    return uploaded_bytes(headers);
  };
  EXPECT_EQ(bytes("0-99"), 100U);
  EXPECT_EQ(bytes("bytes=0-99"), 100U);
  EXPECT_EQ(bytes("0-0"), 0U) << "nothing, as registries have it";
  for (const char* text : {"", "1-99", "0-", "0-x", "0-9/20", "0-18446744073709551615", "0--1"}) {
    EXPECT_EQ(bytes(text), std::nullopt) << text;
  }
}

TEST(Base64, RoundTripsAndRefuses) {
  std::string text;
  for (int c = 0; c < 300; ++c) {
    EXPECT_EQ(base64_decode(base64_encode(text)), text);
    text += static_cast<char>(c * 7);
  }
  EXPECT_EQ(base64_encode("u:p"), "dTpw");
  EXPECT_EQ(base64_decode("YQ"), "a");
  EXPECT_EQ(base64_decode("Y"), std::nullopt);
  EXPECT_EQ(base64_decode("Y*=="), std::nullopt);
}

// ---- proxies

struct ProxyCase {
  const char* name;
  std::string url;
  std::map<std::string, std::string> variables;
  std::string proxy;  ///< "" for none.
};

class ChooseProxy : public testing::TestWithParam<ProxyCase> {};

TEST_P(ChooseProxy, AsGoDoes) {
  auto const variables = GetParam().variables;
  auto look = [&](const std::string& name) -> std::optional<std::string> {
    auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  auto const proxy = choose_proxy(Url::parse(GetParam().url), look);
  EXPECT_EQ(proxy ? proxy->host + ":" + proxy->port + " " + proxy->authorization.reveal() : "",
            GetParam().proxy);
}

INSTANTIATE_TEST_SUITE_P(
    Table, ChooseProxy,
    testing::Values(
        ProxyCase{"None", "https://x.io/", {}, ""},
        ProxyCase{"Https", "https://x.io/", {{"HTTPS_PROXY", "http://p:3128"}}, "p:3128 "},
        ProxyCase{"LowerCase", "http://x.io/", {{"http_proxy", "p:3128"}}, "p:3128 "},
        ProxyCase{"All", "https://x.io/", {{"ALL_PROXY", "http://p:3128"}}, "p:3128 "},
        ProxyCase{"AllIsLast", "http://x.io/", {{"all_proxy", "a"}, {"http_proxy", "p:3128"}}, "p:3128 "},
        ProxyCase{"AllExcluded", "http://x.io/", {{"ALL_PROXY", "p"}, {"no_proxy", "x.io"}}, ""},
        ProxyCase{"AllOfAnotherKind", "http://x.io/", {{"ALL_PROXY", "socks5://p:1"}}, ""},
        ProxyCase{"OtherScheme", "http://x.io/", {{"HTTPS_PROXY", "p"}}, ""},
        ProxyCase{
            "Credentials", "http://x.io/", {{"HTTP_PROXY", "http://u:%70@p"}}, "p:80 Basic dTpw"},
        ProxyCase{"Localhost", "http://localhost:5000/", {{"HTTP_PROXY", "p"}}, ""},
        ProxyCase{"Star", "http://x.io/", {{"HTTP_PROXY", "p"}, {"NO_PROXY", "*"}}, ""},
        ProxyCase{"Domain", "http://a.x.io/", {{"HTTP_PROXY", "p"}, {"NO_PROXY", "y, x.io"}}, ""},
        ProxyCase{"DotDomainIsNotItself",
                  "http://x.io/",
                  {{"HTTP_PROXY", "p"}, {"NO_PROXY", ".x.io"}},
                  "p:80 "},
        ProxyCase{
            "NotASuffix", "http://ax.io/", {{"HTTP_PROXY", "p"}, {"no_proxy", "x.io"}}, "p:80 "},
        ProxyCase{
            "Port", "http://x.io:81/", {{"HTTP_PROXY", "p"}, {"NO_PROXY", "x.io:80"}}, "p:80 "},
        ProxyCase{
            "Network", "http://10.1.2.3/", {{"HTTP_PROXY", "p"}, {"NO_PROXY", "10.0.0.0/8"}}, ""},
        ProxyCase{"OutsideNetwork",
                  "http://11.1.2.3/",
                  {{"HTTP_PROXY", "p"}, {"NO_PROXY", "10.0.0.0/8"}},
                  "p:80 "},
        ProxyCase{"Ipv6Network",
                  "http://[fd00::1]/",
                  {{"HTTP_PROXY", "p"}, {"NO_PROXY", "fd00::/8"}},
                  ""},
        ProxyCase{
            "Address", "http://10.1.2.3/", {{"HTTP_PROXY", "p"}, {"NO_PROXY", "10.1.2.3"}}, ""}),
    [](const auto& test) { return test.param.name; });

TEST(ChooseProxy, RefusesOtherKinds) {
  auto look = [](const std::string& name) -> std::optional<std::string> {
    if (name != "HTTPS_PROXY") return std::nullopt;
    return "socks5://p";
  };
  EXPECT_THROW((void)choose_proxy(Url::parse("https://x.io/"), look), Error);
}

// ---- hosts

std::vector<std::string> bases(std::string_view registry, const Options& options) {
  std::vector<std::string> urls;
  oci::Reference const name = oci::Reference::parse(std::string(registry) + "/a:1");
  for (const Endpoint& endpoint : pull_endpoints(name, options)) {
    urls.push_back(endpoint.base.to_string());
  }
  return urls;
}

/// Where a push to `registry` goes.
Endpoint push_to(const std::string& registry, const Options& options) {
  return push_endpoint(oci::Reference::parse(registry + "/a"), options);
}

TEST(Hosts, SchemesAndMirrors) {
  Options options;
  EXPECT_THAT(bases("docker.io", options), ElementsAre("https://registry-1.docker.io/v2"));
  EXPECT_THAT(bases("localhost:5000", options), ElementsAre("http://localhost:5000/v2"));
  EXPECT_THAT(bases("ghcr.io", options), ElementsAre("https://ghcr.io/v2"));
  add_mirror("m.example/hub/", options);
  add_mirror("docker.io=http://n.example:5000", options);
  EXPECT_THAT(bases("docker.io", options),
              ElementsAre("https://m.example/v2/hub", "http://n.example:5000/v2",
                          "https://registry-1.docker.io/v2"));
  add_registry_ca("localhost:5000=/ca.pem", options);
  EXPECT_THAT(bases("localhost:5000", options), ElementsAre("https://localhost:5000/v2"));
  options.hosts["ghcr.io"].plain_http = true;
  EXPECT_THAT(bases("ghcr.io", options), ElementsAre("http://ghcr.io/v2"));
  add_insecure_registry("x.io", options);
  EXPECT_TRUE(push_to("x.io", options).insecure);
}

TEST(Hosts, LocalhostSpeaksTlsWhereItMight) {
  Options for_all;
  add_registry_ca("/ca.pem", for_all);
  Endpoint const maybe = push_to("localhost:5000", for_all);
  EXPECT_EQ(maybe.base.to_string(), "https://localhost:5000/v2");
  EXPECT_TRUE(maybe.insecure) << "the certificate may be meant for another host";
  EXPECT_FALSE(push_to("x.io", for_all).insecure);

  Options any;
  add_insecure_registry("localhost:5000", any);
  Endpoint const lenient = push_to("localhost:5000", any);
  EXPECT_EQ(lenient.base.to_string(), "https://localhost:5000/v2");
  EXPECT_TRUE(lenient.insecure);

  Options own;
  add_registry_ca("localhost:5000=/ca.pem", own);
  EXPECT_FALSE(push_to("localhost:5000", own).insecure);
}

TEST(Hosts, InsecureRegistriesAreHosts) {
  Options options;
  add_insecure_registry("http://x.io:5000/", options);
  EXPECT_TRUE(push_to("x.io:5000", options).insecure);
  EXPECT_THROW(add_insecure_registry("x.io/a", options), Error);
  EXPECT_THROW(add_insecure_registry("https://", options), Error);
}

TEST(Hosts, OneEntryForAllNamesOfAHost) {
  Options options;
  options.hosts["docker.io"].ca_files = {"/hub.pem"};
  options.hosts["a.io:443"].insecure = true;
  options.hosts["*.b.io"].insecure = true;
  options.hosts["x.b.io"].insecure = false;
  EXPECT_EQ(find_host("registry-1.docker.io", options), &options.hosts["docker.io"]);
  EXPECT_EQ(find_host("a.io", options), &options.hosts["a.io:443"]);
  EXPECT_EQ(find_host("a.io:8443", options), nullptr);
  EXPECT_EQ(find_host("c.d.b.io:5000", options), &options.hosts["*.b.io"]);
  EXPECT_EQ(find_host("x.b.io", options), &options.hosts["x.b.io"]);
  EXPECT_EQ(find_host("b.io", options), nullptr);
}

// ---- configuration files

TEST(DockerConfig, ReadsEveryKindOfEntry) {
  DockerConfig const config = parse_docker_config(
      R"({"auths":{"https://index.docker.io/v1/":{"auth":"dTpwOnE="},"x.io":{"identitytoken":"t","auth":"dTo="},)"
      R"("https://y.io/v2/":{"username":"u","password":"p"},"z.io":{"registrytoken":"r"},"h.io":{}},)"
      R"("credHelpers":{"gcr.io":"gcloud"},"credsStore":"pass","other":1})",
      "/c");
  EXPECT_EQ(config.auths.at(config_key("docker.io")).username, "u");
  EXPECT_EQ(config.auths.at(config_key("registry-1.docker.io")).password, Secret("p:q"));
  EXPECT_EQ(config.auths.at("x.io").identity_token, Secret("t"));
  EXPECT_EQ(config.auths.at("y.io").password, Secret("p"));
  EXPECT_EQ(config.auths.at("z.io").registry_token, Secret("r"));
  EXPECT_EQ(config.helpers.at("gcr.io"), "gcloud");
  EXPECT_EQ(config.default_helper, "pass");
}

TEST(DockerConfig, SaysWhatIsWrong) {
  for (const char* bad : {"[]", "{", R"({"auths":1})", R"({"auths":{"x":1}})",
                          R"({"auths":{"x":{"auth":"**"}}})", R"({"credHelpers":{"x":1}})"}) {
    try {
      (void)parse_docker_config(bad, "/home/u/.docker/config.json");
      FAIL() << bad;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalidInput);
      EXPECT_THAT(e.what(), testing::StartsWith("/home/u/.docker/config.json: ")) << bad;
    }
  }
}

TEST(HelperOutput, NamesAndTokens) {
  EXPECT_EQ(parse_helper_output(R"({"ServerURL":"x","Username":"u","Secret":"s"})", "h").password,
            Secret("s"));
  EXPECT_EQ(parse_helper_output(R"({"Username":"<token>","Secret":"s"})", "h").identity_token,
            Secret("s"));
  EXPECT_THROW((void)parse_helper_output("nope", "h"), Error);
}

TEST(BuildkitdConfig, ReadsRegistryTables) {  // F4.7.4
  TempDir const directory =
      TempDir::create(std::filesystem::temp_directory_path(), "cobuild-toml-");
  auto const file = directory.path() / "buildkitd.toml";
  std::ofstream(file)
      << "debug = true\n[worker.oci]\nenabled = true\n"
         "[registry.\"docker.io\"]\nmirrors = [\"m.io\", \"n.io/p\"]\n"
         "[registry.\"x.io:5000\"]\nhttp = true\ninsecure = true\nca = [\"/a.pem\"]\n"
         "tlsconfigdir = [\"/d\"]\n[[registry.\"x.io:5000\".keypair]]\nkey=\"/k\"\n"
         "cert=\"/c\"\n";
  Options options;
  load_buildkitd_config(file, options);
  EXPECT_THAT(options.hosts.at("docker.io").mirrors, ElementsAre("m.io", "n.io/p"));
  const HostOptions& host = options.hosts.at("x.io:5000");
  EXPECT_EQ(host.plain_http, true);
  EXPECT_TRUE(host.insecure);
  EXPECT_EQ(host.ca_files.front(), "/a.pem");
  EXPECT_EQ(host.tls_dirs.front(), "/d");
  EXPECT_EQ(host.key_pairs.front().certificate, "/c");

  std::ofstream(file) << "[system]\nmaxRegistryConcurrency = 7\n";
  load_buildkitd_config(file, options);
  EXPECT_EQ(options.transfers_per_host_max, 7U);
  std::ofstream(file) << "[system]\nmaxRegistryConcurrency = 0\n";
  EXPECT_THROW(load_buildkitd_config(file, options), Error);

  std::ofstream(file) << "\n[registry.\"x\"]\nmirrors = 3\n";
  try {
    load_buildkitd_config(file, options);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()),
              file.string() + ":3: registry.\"x\".mirrors must be a list of strings");
  }
  std::ofstream(file) << "a = [\n";
  EXPECT_THROW(load_buildkitd_config(file, options), Error);
  EXPECT_THROW(load_buildkitd_config(directory.path() / "none.toml", options), Error);
}

// ---- answers

TEST(Token, LivesForNineTenths) {
  std::chrono::system_clock::time_point const now{std::chrono::seconds(1700000000)};
  auto life = [&](const std::string& json) {
    return (parse_token(json, now).expires - now) / std::chrono::seconds(1);
  };
  EXPECT_EQ(life(R"({"token":"t"})"), 54);
  EXPECT_EQ(life(R"({"token":"t","expires_in":300})"), 270);
  EXPECT_EQ(life(R"({"token":"t","expires_in":300,"issued_at":"2023-11-14T22:11:40Z"})"), 170);
  EXPECT_EQ(life(R"({"token":"t","expires_in":300,"issued_at":"2001-01-01T00:00:00Z"})"), 270);
  EXPECT_EQ(life(R"({"token":"t","expires_in":99999999999})"), 24 * 3600 * 9 / 10);
  EXPECT_EQ(parse_token(R"({"token":"a","access_token":"b"})", now).value, Secret("b"));
  EXPECT_THROW((void)parse_token("{}", now), Error);
  EXPECT_THROW((void)parse_token("no json", now), Error);
}

TEST(RegistryMessage, IsTheRegistrysOwn) {
  EXPECT_EQ(registry_message(R"({"errors":[{"code":"A","message":"b"},{"code":"C"},7]})"),
            "A: b; C");
  EXPECT_EQ(registry_message(R"({"details":"incorrect username or password"})"),
            "incorrect username or password");
  EXPECT_EQ(registry_message("  plain words\nmore"), "plain words");
  EXPECT_EQ(registry_message("<html>…"), "");
  EXPECT_EQ(registry_message(R"({"errors":[]})"), "");
  EXPECT_EQ(registry_message("a\x1b]0;b\x07"), "a ]0;b");
  EXPECT_LT(registry_message(std::string(5000, 'x')).size(), 400U);
}

}  // namespace
}  // namespace cobuild::registry
