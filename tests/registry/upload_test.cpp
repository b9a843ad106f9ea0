/// Uploads that break, are refused, or lead elsewhere (F4.7.3).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "registry/push_world.hpp"

namespace cobuild::registry::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string big_text() {
  std::string text(3 * 1024 * 1024, ' ');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  return text;
}

Task<void> resumed(World& world) {
  Layers layers;
  std::string const text = big_text();
  oci::ExportImage const image = image_of({layers.add(text)}, "{}");
  world.here.break_upload("PUT", 2'000'000);
  world.here.break_upload("PATCH", 500'000);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  std::vector<std::string> ranges;
  for (const auto& call : world.here.calls()) {
    if (call.method == "PATCH") ranges.push_back(call.header("content-range"));
  }
  std::string const end = std::to_string(text.size() - 1);
  EXPECT_THAT(ranges, ElementsAre("2000000-" + end, "2500000-" + end));
  EXPECT_EQ(world.here.count("POST", ""), 2U) << "one for the layer, one for the config";
}
TEST(Upload, GoesOnWhereItBroke) {
  run_world(resumed);
}

Task<void> progress_counts(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add(big_text())}, "{}");
  world.options.retry.attempts_max = 2;
  world.here.break_upload("PUT", 1'200'000);
  world.here.break_upload("PATCH", 1'200'000);
  world.here.break_upload("PATCH", 10);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
}
TEST(Upload, ProgressStartsTheCountAnew) {
  run_world(progress_counts);
}

Task<void> lost_session(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add(big_text())}, "{}");
  world.here.break_upload("PUT", 2'000'000);
  world.here.when("GET", "/v2/a/blobs/uploads/", Reply{404, {}, "", {}});
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(world.here.count("PATCH", ""), 0U);
  EXPECT_EQ(world.here.count("POST", ""), 3U) << "the layer's is begun anew";
}
TEST(Upload, ForgottenByTheRegistryBeginsAnew) {
  run_world(lost_session);
}

Task<void> token_ends_in_a_chunk(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add(big_text())}, "{}");
  std::string const challenge =
      "Bearer realm=\"" + world.there.url("/token") + "\",service=\"svc\",error=\"invalid_token\"";
  world.here.require("Bearer good", challenge);
  world.there.when("GET", "/token", Reply{200, {}, R"({"token":"good"})", {}}, 9);
  world.here.break_upload("PUT", 2'000'000);
  world.here.when("PATCH", "/v2/a/", Reply{401, {{"WWW-Authenticate", challenge}}, "", {}});
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(world.there.calls().size(), 2U);
  EXPECT_EQ(world.here.count("PATCH", ""), 2U);
}
TEST(Upload, TokenEndsInTheMiddle) {
  run_world(token_ends_in_a_chunk);
}

Task<void> chunked(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add(big_text())}, "{}");
  world.here.refuse_bodies_over(1'000'000);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(world.here.count("PATCH", ""), 4U) << "786432 bytes each";
  EXPECT_EQ(world.slept, std::vector<int>{0});
}
TEST(Upload, GoesInChunksWhereTheWholeIsRefused) {
  run_world(chunked);
}

Task<void> chunks_refused(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add(big_text())}, "{}");
  world.here.refuse_bodies_over(1'000'000);
  world.here.want_chunks_of(1'500'000);
  auto const error = co_await error_of(push(world, "a:1", image, layers));
  EXPECT_THAT(what(error), HasSubstr("413 Content Too Large: the registry, or a proxy before it, "
                                     "takes no request of that length: its limit must be raised"));
}
TEST(Upload, ChunksAreNoSmallerThanTheRegistryWants) {
  run_world(chunks_refused);
}

Task<void> damaged_once(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  Reply const invalid{400, {}, R"({"errors":[{"code":"DIGEST_INVALID","message":"no"}]})", {}};
  world.here.when("PUT", "/v2/a/blobs/uploads/", invalid);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  world.here.when("PUT", "/v2/b/blobs/uploads/", invalid, 9);
  for (const auto& [digest, text] : layers.texts) {
    world.here.when("HEAD", "/v2/b/blobs/" + digest, Reply{404, {}, "", {}}, 9);
  }
  auto const error = co_await error_of(push(world, "b:1", image, layers));
  EXPECT_THAT(what(error), HasSubstr("DIGEST_INVALID"));
  EXPECT_EQ(world.here.count("PUT", "/v2/b/blobs/"), 2U);
}
TEST(Upload, WhatArrivedDamagedIsSentOnceMore) {
  run_world(damaged_once);
}

Task<void> no_look(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.here.when("HEAD", "/v2/a/", Reply{403, {}, "", {}}, 99);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
}
TEST(Upload, WhoMayOnlyPushPushes) {
  run_world(no_look);
}

Task<void> no_repository(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.here.when("POST", "/v2/a/", Reply{404, {}, R"({"errors":[{"code":"NAME_UNKNOWN"}]})", {}},
                  9);
  auto const error = co_await error_of(push(world, "a:1", image, layers));
  EXPECT_THAT(what(error),
              HasSubstr("NAME_UNKNOWN: does the repository a have to be created first?"));
}
TEST(Upload, MissingRepositoryIsAskedFor) {
  run_world(no_repository);
}

Task<void> elsewhere(World& world) {
  Layers layers;
  oci::ExportImage const image = image_of({layers.add("one")}, "{}");
  world.write_docker_config(R"({"auths":{")" + world.here.authority() +
                            R"(":{"username":"u","password":"secret"}}})");
  world.here.require("Basic dTpzZWNyZXQ=", "Basic realm=\"x\"");
  world.here.when("POST", "/v2/a/",
                  Reply{202, {{"Location", world.there.url("/up?sig=1")}}, "", {}});
  world.there.when("PUT", "/up?sig=1&digest=", Reply{201, {}, "", {}});
  co_await push(world, "a:1", image, layers);
  EXPECT_EQ(world.there.calls().at(0).body, "one");
  for (const auto& call : world.there.calls()) EXPECT_EQ(call.header("authorization"), "");
}
TEST(Upload, OnAnotherServerGetsNoCredentials) {
  run_world(elsewhere);
}

Task<void> append(oci::BlobPush& blob, const std::string& text) {
  oci::TextReader reader(text);
  co_await blob.append(reader, text.size());
}

Task<void> begin(World& world, oci::Reference repository) {
  (void)co_await world.client().begin_blob(std::move(repository));
}

Task<void> grows(World& world) {
  Layers layers;
  std::string const text = big_text();
  oci::ExportImage const image = image_of({layers.add(text)}, "{}");
  auto const blob = co_await world.client().begin_blob(oci::Reference::parse(world.here.authority() + "/a"));
  co_await append(*blob, text.substr(0, 1'000'000));
  co_await append(*blob, text.substr(1'000'000));
  co_await blob->finish(image.layers.front().digest);
  co_await push(world, "a:1", image, layers);
  EXPECT_TRUE(has_image(world, "a/manifests/1", image, layers));
  EXPECT_EQ(layers.opened, 0) << "the push finds it there";
}
TEST(GrowingUpload, IsThereOnceItIsFinished) {
  run_world(grows);
}

Task<void> refused_growth(World& world) {
  auto const repository = oci::Reference::parse(world.here.authority() + "/a");
  world.here.when("PATCH", "/v2/a/", Reply{405, {}, "", {}});
  auto const blob = co_await world.client().begin_blob(repository);
  EXPECT_THAT(what(co_await error_of(append(*blob, "some"))), HasSubstr("405"));
  EXPECT_EQ(world.here.count("PATCH", ""), 1U) << "whoever sends it decides what then";

  auto const other = co_await world.client().begin_blob(repository);
  co_await append(*other, "some");
  EXPECT_THAT(what(co_await error_of(other->finish(BlobDigest(Digest::of(std::string_view("other")))))),
              HasSubstr("DIGEST_INVALID"));
  EXPECT_TRUE(world.here.blobs().empty());

  world.here.when("POST", "/v2/a/", Reply{403, {}, "", {}});
  EXPECT_THAT(what(co_await error_of(begin(world, repository))), HasSubstr("403"));
}
TEST(GrowingUpload, RefusalsAreFinal) {
  run_world(refused_growth);
}

Task<void> wants_long_chunks(World& world) {
  auto const repository = oci::Reference::parse(world.here.authority() + "/a");
  auto const any = co_await world.client().begin_blob(repository);
  EXPECT_EQ(any->length_min(), 0U);
  world.here.want_chunks_of(1'500'000);
  auto const some = co_await world.client().begin_blob(repository);
  EXPECT_EQ(some->length_min(), 1'500'000U);
}
TEST(GrowingUpload, TellsHowLongChunksMustBe) {
  run_world(wants_long_chunks);
}

Task<void> given_up(World& world) {
  auto const blob = co_await world.client().begin_blob(oci::Reference::parse(world.here.authority() + "/a"));
  co_await append(*blob, "some");
  co_await blob->cancel();
  EXPECT_EQ(world.here.count("DELETE", "/v2/a/blobs/uploads/"), 1U);
  EXPECT_TRUE(world.here.blobs().empty());
}
TEST(GrowingUpload, TheRegistryIsToldToForget) {
  run_world(given_up);
}

}  // namespace
}  // namespace cobuild::registry::test
