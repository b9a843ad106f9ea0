#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/async/concurrency.hpp"
#include "oci/spec/media_type.hpp"
#include "registry/world.hpp"

namespace cobuild::registry::test {
namespace {

using testing::HasSubstr;

const std::string kType(oci::kOciManifest);

/// `here` is the registry, `there` its token server.
void require_bearer(World& world, const std::string& scope = "repository:a:pull") {
  world.here.put_manifest("a", "1", kType, "{}");
  world.here.require("Bearer good", "Bearer realm=\"" + world.there.url("/token") +
                                        "\",service=\"svc\",scope=\"" + scope + "\"");
}

Task<void> anonymous(World& world) {
  require_bearer(world);
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"good"})", {}});
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_EQ(world.there.calls().size(), 1U) << "the token is kept";
  EXPECT_EQ(world.there.calls()[0].target, "/token?service=svc&scope=repository%3Aa%3Apull");
  EXPECT_EQ(world.there.calls()[0].header("authorization"), "");
  EXPECT_EQ(world.here.calls().size(), 3U) << "one 401, then none";
  EXPECT_EQ(world.notices.at(0), "[auth] a:pull token for " + world.here.authority());
}
TEST(Auth, AnonymousToken) {
  run_world(anonymous);
}

Task<void> expiry(World& world) {
  require_bearer(world);
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"good","expires_in":100})", {}}, 2);
  (void)co_await world.client().fetch_manifest(world.reference("a:1"));
  world.now += std::chrono::seconds(89);
  (void)co_await world.client().fetch_manifest(world.reference("a:1"));
  EXPECT_EQ(world.there.calls().size(), 1U);
  world.now += std::chrono::seconds(1);
  (void)co_await world.client().fetch_manifest(world.reference("a:1"));
  EXPECT_EQ(world.there.calls().size(), 2U);
}
TEST(Auth, TokenIsUsedForNineTenthsOfItsLife) {
  run_world(expiry);
}

Task<void> fetch_once(World& world) {
  (void)co_await world.client().fetch_manifest(world.reference("a:1"));
}

Task<void> single_flight(World& world) {
  require_bearer(world);
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"good"})", {}}, 100);
  std::vector<int> requests(8);
  auto fetch = [&](int&) { return fetch_once(world); };
  co_await for_each_bounded(std::move(requests), 8, fetch);
  EXPECT_EQ(world.there.calls().size(), 1U);
}
TEST(Auth, ManyRequestsShareOneToken) {
  run_world(single_flight);
}

Task<void> revoked(World& world) {
  require_bearer(world);
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"old"})", {}});
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"good"})", {}});
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_EQ(world.there.calls().size(), 2U);
}
TEST(Auth, RefusedTokenIsFetchedAnew) {
  run_world(revoked);
}

Task<void> oauth(World& world) {
  require_bearer(world);
  world.write_docker_config(R"({"auths":{")" + world.here.authority() +
                            R"(":{"auth":"dTpwICY="}}})");
  world.there.when("POST", "/token", Reply{200, {}, R"({"access_token":"good"})", {}});
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_EQ(
      world.there.calls()[0].body,
      "client_id=buildkit-client&grant_type=password&password=p%20%26&scope=repository%3Aa%3Apull"
      "&service=svc&username=u");
}
TEST(Auth, CredentialsGoByPost) {
  run_world(oauth);
}

Task<void> get_after_post(World& world) {
  require_bearer(world);
  world.write_docker_config(R"({"auths":{")" + world.here.authority() + R"(":{"auth":"dTpw"}}})");
  world.there.when("POST", "/token", Reply{405, {}, "", {}});
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"good"})", {}});
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_EQ(world.there.calls()[1].header("authorization"), "Basic dTpw");
}
TEST(Auth, GetWhereThereIsNoPost) {
  run_world(get_after_post);
}

Task<void> identity_token(World& world) {
  require_bearer(world);
  world.write_docker_config(R"({"auths":{")" + world.here.authority() +
                            R"(":{"auth":"dTo=","identitytoken":"refresh"}}})");
  world.there.when("POST", "/token", Reply{200, {}, R"({"access_token":"good"})", {}});
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_THAT(world.there.calls()[0].body,
              HasSubstr("grant_type=refresh_token&refresh_token=refresh&"));
}
TEST(Auth, IdentityTokenIsARefreshToken) {
  run_world(identity_token);
}

Task<void> registry_token(World& world) {
  require_bearer(world);
  world.write_docker_config(R"({"auths":{")" + world.here.authority() +
                            R"(":{"registrytoken":"good"}}})");
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_TRUE(world.there.calls().empty());
}
TEST(Auth, RegistryTokenIsUsedAsItIs) {
  run_world(registry_token);
}

Task<void> token_refused(World& world) {
  require_bearer(world);
  world.write_docker_config(R"({"auths":{")" + world.here.authority() + R"(":{"auth":"dTpw"}}})");
  world.there.when("POST", "/token", Reply{403, {}, R"({"details":"incorrect password"})", {}}, 9);
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_EQ(what(error),
            "failed to authorize: failed to fetch oauth token: unexpected status from POST "
            "request to " +
                world.there.url("/token") + ": 403 Forbidden: incorrect password");
  EXPECT_EQ(kind(error), ErrorKind::kDenied);
  EXPECT_EQ(world.there.calls().size(), 1U);
}
TEST(Auth, RefusedCredentialsAreNamed) {
  run_world(token_refused);
}

Task<void> token_server_down(World& world) {
  require_bearer(world);
  world.there.when("GET", "/token", Reply{503, {}, "", {}}, 2);
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"good"})", {}});
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_EQ(world.slept.size(), 2U);
}
TEST(Auth, TokenServerIsRetried) {
  run_world(token_server_down);
}

Task<void> insufficient(World& world) {
  world.here.when("GET", "/v2/",
                  Reply{401,
                        {{"WWW-Authenticate",
                          "Bearer realm=\"" + world.there.url("/token") +
                              "\",scope=\"repository:a:pull\",error=\"insufficient_scope\""}},
                        "",
                        {}},
                  100);
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"weak"})", {}}, 100);
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_EQ(kind(error), ErrorKind::kDenied);
  EXPECT_EQ(
      what(error),
      "pull access denied, repository does not exist or may require authorization: server message: "
      "insufficient_scope: authorization failed (" +
          world.here.authority() + "; no credentials for " + world.here.authority() + " in " +
          world.options.docker_config.string() + ": run 'docker login " + world.here.authority() +
          "' if the repository is private, or check its name)");
  EXPECT_EQ(world.there.calls().size(), 1U) << "the same question is not asked twice";
}
TEST(Auth, InsufficientScopeIsFinalAndSaysWhatToDo) {
  run_world(insufficient);
}

Task<void> basic(World& world) {
  world.here.put_manifest("a", "1", kType, "{}");
  world.here.require("Basic dTpw", "Basic realm=\"x\"");
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_EQ(kind(error), ErrorKind::kDenied);
  EXPECT_THAT(what(error), HasSubstr("401 Unauthorized"));
}
TEST(Auth, BasicWithoutCredentials) {
  run_world(basic);
}

Task<void> wrong_basic(World& world) {
  world.here.require("Basic dTpw", "Basic realm=\"x\"");
  world.write_docker_config(R"({"auths":{")" + world.here.authority() + R"(":{"auth":"dTp4"}}})");
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_THAT(what(error), HasSubstr("the credentials for " + world.here.authority() + " from " +
                                     world.options.docker_config.string() + " do not allow it"));
  EXPECT_EQ(world.here.calls().size(), 2U);
  EXPECT_THAT(what(error), testing::Not(HasSubstr("dTp4")));
}
TEST(Auth, WrongBasicIsAskedOnce) {
  run_world(wrong_basic);
}

Task<void> malformed_config(World& world) {
  require_bearer(world);
  world.write_docker_config("{");
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_THAT(what(error),
              testing::StartsWith(world.options.docker_config.string() + ": is not valid JSON"));
  EXPECT_EQ(kind(error), ErrorKind::kInvalidInput);
}
TEST(Auth, MalformedConfigIsNamed) {
  run_world(malformed_config);
}

/// Puts a helper on PATH for the life of this.
class Helper {
 public:
  Helper(const std::filesystem::path& directory, const std::string& script)
      : old_(std::getenv("PATH")) {
    auto const path = directory / "docker-credential-test";
    std::ofstream(path) << "#!/bin/sh\n" << script;
    ::chmod(path.c_str(), 0755);
    ::setenv("PATH", (directory.string() + ":" + old_).c_str(), 1);
  }
  ~Helper() { ::setenv("PATH", old_.c_str(), 1); }

 private:
  std::string old_;
};

Task<void> helper(World& world) {
  world.here.put_manifest("a", "1", kType, "{}");
  world.here.require("Basic dTpw", "Basic realm=\"x\"");
  world.write_docker_config(R"({"credsStore":"test"})");
  Helper const installed(
      world.home.path(),
      "read host; echo \"$1 $host\" >> \"$0.log\"; echo '{\"Username\":\"u\",\"Secret\":\"p\"}'\n");
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  std::ifstream log(world.home.path() / "docker-credential-test.log");
  std::string const asked((std::istreambuf_iterator<char>(log)), std::istreambuf_iterator<char>());
  EXPECT_EQ(asked, "get " + world.here.authority() + "\n") << "once";
}
TEST(Auth, CredentialHelper) {
  run_world(helper);
}

Task<void> helper_fails(World& world) {
  world.here.require("Basic dTpw", "Basic realm=\"x\"");
  world.write_docker_config(R"({"credHelpers":{")" + world.here.authority() + R"(":"test"}})");
  Helper const installed(world.home.path(), "echo key ring is locked; exit 3\n");
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_EQ(what(error),
            "credential helper docker-credential-test: exit code 3: key ring is locked");
}
TEST(Auth, FailingHelperIsNamed) {
  run_world(helper_fails);
}

Task<void> helper_hangs(World& world) {
  world.here.require("Basic dTpw", "Basic realm=\"x\"");
  world.write_docker_config(R"({"credsStore":"test"})");
  world.options.helper_timeout = std::chrono::milliseconds(50);
  Helper const installed(world.home.path(), "sleep 1000; echo never\n");
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_EQ(what(error),
            "credential helper docker-credential-test: no answer within 1 s (twice "
            "--registry-timeout), so it was killed; see what `echo " +
                world.here.authority() + " | docker-credential-test get` does, or remove it from " +
                world.options.docker_config.string());
  EXPECT_EQ(kind(error), ErrorKind::kDenied);
  EXPECT_EQ(world.slept.size(), 0U) << "it is not asked again";
  auto again = co_await error_of(world.client().fetch_manifest(world.reference("b:1")));
  EXPECT_EQ(what(again), what(error));
}
TEST(Auth, HangingHelperIsKilled) {
  run_world(helper_hangs);
}

Task<void> fails_with_helper(World& world, std::string script, std::string said) {
  world.here.require("Basic dTpw", "Basic realm=\"x\"");
  world.write_docker_config(R"({"credsStore":"test"})");
  Helper const installed(world.home.path(), script);
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_THAT(what(error), HasSubstr("credential helper docker-credential-test: " + said));
  EXPECT_THAT(what(error), testing::Not(testing::ContainsRegex("[[:cntrl:]]")));
  EXPECT_LT(what(error).size(), 1000U);
}
Task<void> helper_writes_too_much(World& world) {
  co_await fails_with_helper(world, "head -c 5000000 /dev/zero\n", "wrote more than 1 MiB; see what `");
}
Task<void> helper_writes_garbage(World& world) {
  co_await fails_with_helper(world, "printf '\\033[2J\\001\\377'\n", "is not valid JSON: ");
}
Task<void> helper_fails_with_garbage(World& world) {
  co_await fails_with_helper(world, "printf '\\033[2J\\001'; head -c 5000000 /dev/zero; exit 1\n",
                             "exit code 1: [2J");
}
Task<void> helper_dies(World& world) {
  co_await fails_with_helper(world, "kill -9 $$\n", "signal 9 (Killed)");
}
TEST(Auth, WhateverAHelperWritesIsBounded) {
  run_world(helper_writes_too_much);
  run_world(helper_writes_garbage);
  run_world(helper_fails_with_garbage);
  run_world(helper_dies);
}

Task<void> helper_missing(World& world) {
  world.here.require("Basic dTpw", "Basic realm=\"x\"");
  world.write_docker_config(R"({"credsStore":"no-such"})");
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_THAT(what(error),
              HasSubstr("docker-credential-no-such, which " + world.options.docker_config.string() +
                        " names, is not on PATH"));
}
TEST(Auth, MissingHelperIsNamed) {
  run_world(helper_missing);
}

}  // namespace
}  // namespace cobuild::registry::test
