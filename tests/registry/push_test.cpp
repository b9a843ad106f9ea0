/// Pushes to a registry that has bad days (F4.7, F7.4.4).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "oci/push_image.hpp"
#include "oci/spec/media_type.hpp"
#include "registry/push_world.hpp"

namespace cobuild::registry::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Task<void> in_order(World& world) {
  Layers layers;
  oci::ExportImage const first = image_of({layers.add("one")}, R"({"os":"linux"})");
  oci::ExportImage const second = image_of({layers.add("one"), layers.add("two")}, R"({"os":"l"})");
  oci::Platform const platform = oci::parse_platform("linux/amd64");
  oci::ExportImage const index = oci::index_of({{platform, &first}, {platform, &second}}, {}, {});
  oci::Reference name = world.reference("a:1");
  std::uint64_t sent = 0;
  bool layers_done = false;
  oci::PushProgress progress;
  progress.layer_bytes = [&](std::uint64_t bytes) { sent += bytes; };
  progress.layers_done = [&] { layers_done = world.here.count("PUT", "/v2/a/manifests/") == 0; };
  co_await oci::push_image(world.client(), std::move(name), index, layers, progress);
  EXPECT_TRUE(has_image(world, "a/manifests/1", index, layers));
  EXPECT_EQ(sent, 6U) << "what two images have in common is sent once";
  EXPECT_TRUE(layers_done);
  std::vector<std::string> manifests;
  for (const auto& call : world.here.calls()) {
    if (call.method == "PUT" && call.target.starts_with("/v2/a/manifests/")) {
      manifests.push_back(call.target.substr(std::string("/v2/a/manifests/").size()));
    }
  }
  EXPECT_THAT(manifests, ElementsAre(first.root.digest.to_string(), second.root.digest.to_string(),
                                     "1"));
}
/// F4.7.1.
TEST(Push, IndexLast) {
  run_world(in_order);
}

Task<void> by_digest(World& world) {
  Layers layers;
  oci::ExportImage const image = simple_image(layers);
  oci::Reference name = world.reference("a");
  name.tag.reset();
  oci::PushProgress progress;
  co_await oci::push_image(world.client(), std::move(name), image, layers, progress);
  EXPECT_TRUE(has_image(world, "a/manifests/" + image.root.digest.to_string(), image, layers));
  EXPECT_EQ(world.here.count("PUT", "/v2/a/manifests/"), 1U);
}
TEST(Push, ByDigest) {
  run_world(by_digest);
}

Task<void> twice(World& world) {
  Layers layers;
  oci::ExportImage const image = simple_image(layers);
  co_await push(world, "a:1", image, layers);
  std::size_t const uploads = world.here.count("POST", "");
  co_await push(world, "a:2", image, layers);
  EXPECT_EQ(world.here.count("POST", ""), uploads);
  EXPECT_EQ(layers.opened, 2);
  EXPECT_TRUE(has_image(world, "a/manifests/2", image, layers));
}
/// F4.7.2.
TEST(Push, SecondMovesNoLayers) {
  run_world(twice);
}

Task<void> mounted(World& world) {
  Layers layers;
  layers.sources = {"library/base"};
  layers.unreadable = true;  // Nobody should want to read them.
  oci::ExportImage const image = simple_image(layers);
  for (const auto& [digest, text] : layers.texts) world.here.put_blob(text);
  // They are in the other repository only.
  for (const auto& [digest, text] : layers.texts) {
    world.here.when("HEAD", "/v2/a/blobs/" + digest, Reply{404, {}, "", {}});
  }
  co_await push(world, "a:1", image, layers);
  EXPECT_EQ(layers.opened, 0);
  for (const auto& [digest, text] : layers.texts) {
    EXPECT_EQ(world.here.count("POST", "/v2/a/blobs/uploads/?mount=sha256%3A" + digest.substr(7) +
                                           "&from=library%2Fbase"),
              1U);
  }
}
/// F4.7.2.
TEST(Push, LayersAreMounted) {
  run_world(mounted);
}

Task<void> mount_refused(World& world) {
  Layers layers;
  layers.sources = {"gone"};
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(layers.opened, 1);
  EXPECT_EQ(world.here.count("POST", ""), 2U) << "the layer goes to the upload that was begun";
}
TEST(Push, RefusedMountIsAnUpload) {
  run_world(mount_refused);
}

Task<void> mount_denied(World& world) {
  Layers layers;
  layers.sources = {"secret"};
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.here.when("POST", "/v2/a/blobs/uploads/?mount=", Reply{403, {}, "", {}});
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
}
TEST(Push, DeniedMountIsAnUpload) {
  run_world(mount_denied);
}

Task<void> token_scopes(World& world) {
  Layers layers;
  layers.sources = {"base"};
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.here.require("Bearer good",
                     "Bearer realm=\"" + world.there.url("/token") + "\",service=\"svc\"");
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"good"})", {}}, 9);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  std::vector<std::string> scopes;
  for (const auto& call : world.there.calls()) {
    scopes.push_back(call.target.substr(call.target.find("scope=")));
  }
  EXPECT_THAT(scopes, ElementsAre("scope=repository%3Aa%3Apull%2Cpush",
                                  "scope=repository%3Aa%3Apull%2Cpush&scope=repository%3Abase%3Apull"));
  EXPECT_EQ(world.notices.at(0), "[auth] a:pull,push token for " + world.here.authority());
}
/// F4.7.2, F4.7.6.
TEST(Push, MountAsksForItsScope) {
  run_world(token_scopes);
}

Task<void> token_ends(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  std::string const challenge = "Bearer realm=\"" + world.there.url("/token") +
                                "\",service=\"svc\",error=\"invalid_token\"";
  world.here.require("Bearer good", challenge);
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"good"})", {}}, 9);
  // Good when the upload begins, too old when its body has arrived.
  world.here.when("PUT", "/v2/a/blobs/uploads/",
                  Reply{401, {{"WWW-Authenticate", challenge}}, "", {}});
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(world.there.calls().size(), 2U);
  EXPECT_EQ(layers.opened, 2);
}
TEST(Push, TokenEndsDuringAnUpload) {
  run_world(token_ends);
}

Task<void> same_manifest(World& world) {
  Layers layers;
  oci::ExportImage const image = simple_image(layers);
  co_await push(world, "a:1", image, layers);
  co_await push(world, "a:1", image, layers);
  EXPECT_EQ(world.here.count("PUT", "/v2/a/manifests/"), 1U);
  oci::ExportImage const other = image_of({layers.add("three")}, "{}");
  co_await push(world, "a:1", other, layers);
  EXPECT_EQ(world.here.manifest("a/manifests/1"), other.root.text);
}
TEST(Push, TagThatIsThereIsLeftAlone) {
  run_world(same_manifest);
}

struct Fault {
  const char* name;
  const char* method;
  const char* prefix;
  Reply reply;
  std::vector<int> slept;
};

class PushFault : public testing::TestWithParam<Fault> {};

Task<void> survive_fault(World& world) {
  const Fault& fault = PushFault::GetParam();
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.here.when(fault.method, fault.prefix, fault.reply);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(world.slept, fault.slept);
}

TEST_P(PushFault, IsSurvived) {
  run_world(survive_fault);
}

const char* const kUpload = "/v2/a/blobs/uploads/";

INSTANTIATE_TEST_SUITE_P(
    Faults, PushFault,
    testing::Values(
        Fault{"BusyHead", "HEAD", "/v2/a/blobs/", Reply{429, {{"Retry-After", "7"}}, "", {}}, {7000}},
        Fault{"BusyStart", "POST", kUpload, Reply{429, {{"Retry-After", "7"}}, "", {}}, {7000}},
        Fault{"BusyUpload", "PUT", kUpload, Reply{429, {{"Retry-After", "7"}}, "", {}}, {7000}},
        Fault{"BusyManifest", "PUT", "/v2/a/manifests/", Reply{429, {{"Retry-After", "7"}}, "", {}},
              {7000}},
        Fault{"BrokenStart", "POST", kUpload, Reply{503, {}, "", {}}, {250}},
        Fault{"BrokenUpload", "PUT", kUpload, Reply{500, {}, "", {}}, {250}},
        Fault{"BrokenManifest", "PUT", "/v2/a/manifests/", Reply{502, {}, "", {}}, {250}},
        Fault{"ForgottenUpload", "PUT", kUpload, Reply{404, {}, "", {}}, {250}}),
    [](const auto& test) { return test.param.name; });

/// The connection ends instead of an answer; whether the registry has the blob is not known.
Task<void> cut(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.here.hang_up("PUT", kUpload);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(layers.opened, 2);
}
TEST(Push, CutUploadIsSentAgain) {
  run_world(cut);
}

Task<void> lost_answer(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.here.hang_up("PUT", kUpload, FakeRegistry::HangUp::kAfterDoingIt);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(layers.opened, 1) << "the registry had it";
}
TEST(Push, LostAnswerIsAskedFor) {
  run_world(lost_answer);
}

Task<void> given_up(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.here.when("PUT", kUpload, Reply{500, {}, R"({"errors":[{"message":"disk full"}]})", {}}, 99);
  auto const error = co_await error_of(push(world, "a:1", image, layers));
  EXPECT_THAT(what(error), testing::StartsWith("layer " + image.layers[0].digest.to_string() +
                                               ": tried 5 times: unexpected status from PUT "
                                               "request to http://" +
                                               world.here.authority()));
  EXPECT_THAT(what(error), HasSubstr("disk full"));
  EXPECT_EQ(world.here.manifest("a/manifests/1"), std::nullopt);
}
TEST(Push, GivesUpWithTheRegistrysWords) {
  run_world(given_up);
}

Task<void> denied(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.here.when("POST", kUpload, Reply{403, {}, R"({"errors":[{"code":"DENIED"}]})", {}}, 99);
  auto const error = co_await error_of(push(world, "a:1", image, layers));
  EXPECT_EQ(kind(error), ErrorKind::kDenied);
  EXPECT_THAT(what(error), HasSubstr("push access denied"));
  EXPECT_THAT(what(error), HasSubstr("docker login"));
  EXPECT_TRUE(world.slept.empty());
}
TEST(Push, DenialIsFinal) {
  run_world(denied);
}

Task<void> unreadable(World& world) {
  Layers layers;
  layers.unreadable = true;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  auto const error = co_await error_of(push(world, "a:1", image, layers));
  EXPECT_EQ(what(error),
            "layer " + image.layers[0].digest.to_string() + ": the source is gone");
  EXPECT_EQ(layers.opened, 1) << "asking the registry again does not help";
}
TEST(Push, OwnFailuresAreNotTriedAgain) {
  run_world(unreadable);
}

Task<void> foreign(World& world) {
  Layers layers;
  oci::Descriptor const foreign = describe(oci::kOciForeignLayer, "licensed");
  oci::ExportImage const image = image_of({foreign, layers.add("one")}, "{}");
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(world.here.count("HEAD", "/v2/a/blobs/" + foreign.digest.to_string()), 0U);
}
/// F4.7.5.
TEST(Push, ForeignLayersStayWhereTheyAre) {
  run_world(foreign);
}

}  // namespace
}  // namespace cobuild::registry::test
