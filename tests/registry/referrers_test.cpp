/// What refers to an image: the referrers API, and the tag that stands in for it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"
#include "registry/push_world.hpp"
#include "registry/referrers.hpp"

namespace cobuild::registry::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kSignature = "application/vnd.example.signature";
const std::string kIndexType(oci::kOciIndex);

/// The image that all the others refer to.
oci::Descriptor subject() {
  return describe(oci::kOciManifest, "the image");
}
std::string api_path() {
  return "/v2/a/referrers/" + subject().digest.to_string();
}
std::string fallback_path() {
  return "a/manifests/sha256-" + subject().digest.to_string().substr(7);
}

oci::Descriptor entry(const std::string& text, const std::string& type = kSignature) {
  oci::Descriptor descriptor = describe(oci::kOciManifest, text);
  descriptor.artifact_type = type;
  return descriptor;
}

std::string index_of_entries(std::vector<oci::Descriptor> entries) {
  oci::Index index;
  index.media_type = kIndexType;
  index.manifests = std::move(entries);
  return oci::to_json(index);
}

Reply page(std::vector<oci::Descriptor> entries, const std::string& link = "") {
  Reply reply{200, {{"Content-Type", kIndexType}}, index_of_entries(std::move(entries)), {}};
  if (!link.empty()) reply.headers.emplace_back("Link", link);
  return reply;
}

Task<std::vector<oci::Descriptor>> list(World& world, std::string artifact_type = {}) {
  co_return co_await world.client().list_referrers(world.reference("a"), subject().digest,
                                                   std::move(artifact_type));
}

// ---- listing

Task<void> by_pages(World& world) {
  world.here.when("GET", api_path() + "?last=2", page({entry("three")}));
  world.here.when("GET", api_path(),
                  page({entry("one"), entry("two")}, "<" + api_path() + "?last=2>; rel=\"next\""));
  EXPECT_THAT(co_await list(world), ElementsAre(entry("one"), entry("two"), entry("three")));
  EXPECT_EQ(world.here.calls().size(), 2U);
  EXPECT_EQ(world.here.calls()[0].header("accept"), kIndexType);
}
TEST(Referrers, AllPages) {
  run_world(by_pages);
}

Task<void> filtered(World& world) {
  // Says that it filters, and does not; registries that do not say so do not either.
  Reply reply = page({entry("one"), entry("two", "other/type")});
  reply.headers.emplace_back("OCI-Filters-Applied", "artifactType");
  world.here.when("GET", api_path(), reply);
  EXPECT_THAT(co_await list(world, kSignature), ElementsAre(entry("one")));
  EXPECT_EQ(world.here.calls()[0].target,
            api_path() + "?artifactType=application%2Fvnd.example.signature");
}
TEST(Referrers, OnlyOfOneType) {
  run_world(filtered);
}

Task<void> by_tag(World& world) {
  world.here.put_manifest("a", fallback_path().substr(12), kIndexType,
                          index_of_entries({entry("one"), entry("two", "other/type")}));
  EXPECT_THAT(co_await list(world, kSignature), ElementsAre(entry("one")));
  EXPECT_EQ(world.here.count("GET", "/v2/" + fallback_path()), 1U);
}
TEST(Referrers, OfTheTagWithoutTheApi) {
  run_world(by_tag);
}

Task<void> none(World& world) {
  EXPECT_THAT(co_await list(world), IsEmpty());
}
TEST(Referrers, NeitherApiNorTag) {
  run_world(none);
}

Task<void> busy(World& world) {
  world.here.when("GET", api_path(), Reply{503, {}, "", {}});
  world.here.when("GET", api_path(), page({entry("one")}));
  EXPECT_THAT(co_await list(world), ElementsAre(entry("one")));
  EXPECT_EQ(world.slept.size(), 1U);
}
TEST(Referrers, AreAskedForAgain) {
  run_world(busy);
}

Task<void> expect_refusal(World& world, std::string text) {
  auto error = co_await error_of(list(world));
  EXPECT_THAT(what(error), HasSubstr(text));
  EXPECT_THAT(what(error), HasSubstr("referrers of " + world.here.authority() + "/a@sha256:"));
}

Task<void> wrong_type(World& world) {
  world.here.when("GET", api_path(), Reply{200, {{"Content-Type", "text/html"}}, "<html>", {}});
  co_await expect_refusal(world, "\"text/html\" came where an index of referrers should be");
}
Task<void> wrong_index(World& world) {
  Reply reply = page({});
  reply.body = R"({"manifests":[{"mediaType":"x","digest":"nonsense","size":1}]})";
  world.here.when("GET", api_path(), reply);
  co_await expect_refusal(world, "manifests[0].digest");
}
Task<void> too_long(World& world) {
  Reply reply = page({});
  reply.body.append(oci::kManifestBytesMax, ' ');
  world.here.when("GET", api_path(), reply);
  co_await expect_refusal(world, "no more than");
}
Task<void> endless(World& world) {
  world.here.when("GET", api_path(), page({entry("x")}, "<?again>; rel=next"), 1000);
  co_await expect_refusal(world, "the list does not end");
  EXPECT_EQ(world.here.calls().size(), 2U);
}
Task<void> very_long(World& world) {
  for (int i = 0; i < 200; ++i) {
    world.here.when("GET", api_path(), page({}, "<?page=" + std::to_string(i) + ">; rel=next"));
  }
  co_await expect_refusal(world, "the list does not end");
  EXPECT_LE(world.here.calls().size(), 100U);
}
Task<void> elsewhere(World& world) {
  world.here.when("GET", api_path(), page({}, "<" + world.there.url("/v2/x") + ">; rel=next"));
  co_await expect_refusal(world, "the next page is elsewhere, at " + world.there.url("/v2/x"));
  EXPECT_EQ(world.there.calls().size(), 0U);
}
Task<void> missing_page(World& world) {
  world.here.when("GET", api_path(), page({entry("x")}, "</v2/a/referrers/gone>; rel=next"));
  co_await expect_refusal(world, "this page is missing");
}
Task<void> denied(World& world) {
  world.here.when("GET", api_path(), Reply{403, {}, "", {}});
  co_await expect_refusal(world, "pull access denied");
}
TEST(Referrers, WhatIsNoListIsRefused) {
  for (Body const body : {wrong_type, wrong_index, too_long, endless, very_long, elsewhere,
                          missing_page, denied}) {
    run_world(body);
  }
}

TEST(NextPage, OfLinkHeaders) {
  auto const next = [](const std::string& value) {
    Headers headers;
    headers.add("link", value);
    return next_page(headers).value_or("-");
  };
  EXPECT_EQ(next("</a?n=1>; rel=\"next\""), "/a?n=1");
  EXPECT_EQ(next("</a>;rel=next"), "/a");
  EXPECT_EQ(next("</p>; rel=\"prev\", </n>; title=\"x\"; rel=\"last next\""), "/n");
  EXPECT_EQ(next("</p>; rel=\"prev\""), "-");
  EXPECT_EQ(next("</p>; rel=\"nextish\""), "-");
  EXPECT_EQ(next("/p; rel=\"next\""), "-");
  EXPECT_EQ(next("</p; rel=\"next\""), "-");
  EXPECT_EQ(next(">< ; rel=next"), "-");
  EXPECT_EQ(next(""), "-");
}

// ---- pushing

oci::ManifestContent referrer(const std::string& name) {
  oci::Manifest manifest;
  manifest.media_type = oci::kOciManifest;
  manifest.config = describe(kSignature, "{}");  // Its type is the artifact's.
  manifest.subject = subject();
  manifest.annotations = {{"name", name}};
  std::string text = oci::to_json(manifest);
  return {describe(oci::kOciManifest, text), text};
}

oci::Descriptor listed(const oci::ManifestContent& content, const std::string& name) {
  oci::Descriptor descriptor = content.descriptor;
  descriptor.artifact_type = kSignature;
  descriptor.annotations = {{"name", name}};
  return descriptor;
}

Task<void> put(World& world, std::string name) {
  co_await world.client().push_manifest(world.reference("a:" + name), referrer(name));
}

std::vector<oci::Descriptor> in_fallback(const World& world) {
  return oci::parse_index(world.here.manifest(fallback_path()).value_or("{}")).manifests;
}

Task<void> added(World& world) {
  co_await put(world, "one");
  EXPECT_THAT(in_fallback(world), ElementsAre(listed(referrer("one"), "one")));
  co_await put(world, "two");
  co_await put(world, "one");
  EXPECT_THAT(in_fallback(world),
              ElementsAre(listed(referrer("one"), "one"), listed(referrer("two"), "two")));
  EXPECT_THAT(co_await list(world), testing::SizeIs(2));
}
TEST(ReferrerPush, IsAddedToTheTagOnce) {
  run_world(added);
}

Task<void> of_an_index(World& world) {
  oci::Index index;
  index.media_type = kIndexType;
  index.artifact_type = "of/an-index";
  index.manifests = {entry("x")};
  index.subject = subject();
  std::string const text = oci::to_json(index);
  oci::ManifestContent content{describe(oci::kOciIndex, text), text};
  co_await world.client().push_manifest(world.reference("a:1"), std::move(content));
  EXPECT_EQ(in_fallback(world).at(0).artifact_type, "of/an-index");
}
TEST(ReferrerPush, MayBeAnIndex) {
  run_world(of_an_index);
}

Task<void> listed_by_api(World& world) {
  world.here.when("PUT", "/v2/a/manifests/one",
                  Reply{201, {{"OCI-Subject", subject().digest.to_string()}}, "", {}});
  co_await put(world, "one");
  EXPECT_EQ(world.here.calls().size(), 1U) << "nothing more";
}
TEST(ReferrerPush, IsAllWhereTheRegistryListsIt) {
  run_world(listed_by_api);
}

Task<void> changed_meanwhile(World& world) {
  // The index is another's by the time that ours comes, and the registry can tell.
  Reply old = page({entry("first")});
  old.headers.emplace_back("ETag", "\"v1\"");
  world.here.when("GET", "/v2/" + fallback_path(), old);
  world.here.when("PUT", "/v2/" + fallback_path(), Reply{412, {}, "", {}});
  world.here.put_manifest("a", fallback_path().substr(12), kIndexType,
                          index_of_entries({entry("first"), entry("second")}));
  co_await put(world, "one");
  EXPECT_THAT(in_fallback(world), ElementsAre(entry("first"), entry("second"),
                                              listed(referrer("one"), "one")));
  std::vector<std::string> conditions;
  for (const auto& call : world.here.calls()) {
    if (call.method == "PUT" && call.target == "/v2/" + fallback_path()) {
      conditions.push_back(call.header("if-match"));
    }
  }
  EXPECT_THAT(conditions, ElementsAre("\"v1\"", ""));
}
TEST(ReferrerPush, WaitsForNobodyButKeepsTheirs) {
  run_world(changed_meanwhile);
}

Task<void> overwritten(World& world) {
  // Somebody who knew nothing of ours has written theirs over it, and the registry cannot tell.
  world.here.when("GET", "/v2/" + fallback_path(), Reply{404, {}, "", {}});
  world.here.when("GET", "/v2/" + fallback_path(), page({entry("theirs")}));
  co_await put(world, "one");
  EXPECT_THAT(in_fallback(world), ElementsAre(entry("theirs"), listed(referrer("one"), "one")));
}
TEST(ReferrerPush, IsThereAfterwards) {
  run_world(overwritten);
}

Task<void> changed_always(World& world) {
  world.here.when("GET", "/v2/" + fallback_path(), page({entry("theirs")}), 1000);
  auto error = co_await error_of(put(world, "one"));
  EXPECT_THAT(what(error), HasSubstr("is changed by others all the time: push again later"));
  EXPECT_LT(world.here.calls().size(), 100U);
}
Task<void> not_an_index(World& world) {
  world.here.put_manifest("a", fallback_path().substr(12), std::string(oci::kOciManifest), "{}");
  auto error = co_await error_of(put(world, "one"));
  EXPECT_THAT(what(error), HasSubstr("came where an index of referrers should be"));
  EXPECT_EQ(world.here.manifest(fallback_path()), "{}") << "it stays as it was";
}
TEST(ReferrerPush, GivesUp) {
  run_world(changed_always);
  run_world(not_an_index);
}

Task<void> without_subject(World& world) {
  Layers layers;
  oci::ExportImage const image = simple_image(layers);
  co_await push(world, "a:1", image, layers);
  EXPECT_EQ(world.here.count("GET", ""), 0U);
  EXPECT_EQ(world.here.count("PUT", "/v2/a/manifests/"), 1U);
}
TEST(ReferrerPush, OfOtherImagesAsksNothing) {
  run_world(without_subject);
}

}  // namespace
}  // namespace cobuild::registry::test
