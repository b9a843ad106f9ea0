#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "core/async/concurrency.hpp"
#include "oci/resolve.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/text_reader.hpp"
#include "registry/world.hpp"

namespace cobuild::registry::test {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kType(oci::kOciManifest);

std::string big_blob(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 12345;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

// ---- manifests

Task<void> manifest_by_tag_and_digest(World& world) {
  auto const stored = world.here.put_manifest("a/b", "1", kType, R"({"config":null})");
  auto by_tag = co_await world.client().fetch_manifest(world.reference("a/b:1"));
  auto by_digest =
      co_await world.client().fetch_manifest(world.reference("a/b@" + stored.digest.to_string()));
  if (!by_tag || !by_digest) throw Error(ErrorKind::kInternal, "not found");
  EXPECT_EQ(by_tag->bytes, R"({"config":null})");
  EXPECT_EQ(by_tag->descriptor, stored);
  EXPECT_EQ(by_digest->descriptor, stored);
  auto head = co_await world.client().describe_manifest(world.reference("a/b:1"));
  EXPECT_EQ(head, std::optional(stored));
  EXPECT_EQ(world.here.count("GET", ""), 2U) << "HEAD was enough";
  EXPECT_EQ(world.here.connections(), 1U) << "kept alive";
}
TEST(ClientManifest, ByTagAndDigest) {
  run_world(manifest_by_tag_and_digest);
}

Task<void> manifest_absent(World& world) {
  EXPECT_FALSE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_FALSE((co_await world.client().describe_manifest(world.reference("a:1"))).has_value());
  EXPECT_TRUE(world.slept.empty());
}
TEST(ClientManifest, AbsentIsAnAnswer) {
  run_world(manifest_absent);
}

Task<void> manifest_wrong_digest(World& world) {
  auto const stored = world.here.put_manifest("a", "1", kType, R"({"config":null})");
  world.here.when("GET", "/v2/a/manifests/", Reply{200, {{"Content-Type", kType}}, "{}", {}}, 2);
  auto error = co_await error_of(
      world.client().fetch_manifest(world.reference("a@" + stored.digest.to_string())));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
  EXPECT_THAT(what(error), StartsWith("tried 2 times: manifest from "));
  EXPECT_THAT(what(error), HasSubstr("was asked for as " + stored.digest.to_string()));
  world.here.when("GET", "/v2/a/manifests/",
                  Reply{200, {{"Docker-Content-Digest", stored.digest.to_string()}}, "{}", {}}, 2);
  error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
  EXPECT_THAT(what(error), HasSubstr("the registry says " + stored.digest.to_string()));
}
TEST(ClientManifest, WrongDigestIsCorrupt) {
  run_world(manifest_wrong_digest);
}

Task<void> manifest_damaged_once(World& world) {
  auto const stored = world.here.put_manifest("a", "1", kType, R"({"config":null})");
  world.here.when("GET", "/v2/a/manifests/", Reply{200, {{"Content-Type", kType}}, "{}", {}});
  auto const got = co_await world.client().fetch_manifest(
      world.reference("a@" + stored.digest.to_string()));
  EXPECT_TRUE(got && got->descriptor == stored);
  EXPECT_THAT(world.slept, ElementsAre(250));
  world.here.when("GET", "/v2/a/manifests/", Reply{200, {}, "<html>", {}});
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
}
TEST(ClientManifest, DamagedOnItsWayIsAskedForOnceMore) {
  run_world(manifest_damaged_once);
}

Task<void> manifest_too_long(World& world) {
  world.here.put_manifest("a", "1", kType, std::string(4 * 1024 * 1024 + 1, ' '));
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
}
TEST(ClientManifest, TooLongIsRefused) {
  run_world(manifest_too_long);
}

Task<void> manifest_announced_too_long(World& world) {
  world.here.when("GET", "/v2/a/", Reply{200, {}, "{}", {}, 1'000'000'000'000});
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
  EXPECT_THAT(what(error), HasSubstr("response body has 1000000000000 bytes; no more than "));
  EXPECT_EQ(world.here.calls().size(), 1U);
}
TEST(ClientManifest, TooLongIsRefusedByItsHead) {
  run_world(manifest_announced_too_long);
}

// ---- retries

Task<void> retries_then_succeeds(World& world) {
  world.here.put_manifest("a", "1", kType, "{}");
  world.here.when("GET", "/v2/a/", Reply{503, {}, "", {}});
  world.here.when("GET", "/v2/a/", Reply{429, {{"Retry-After", "7"}}, "", {}});
  world.here.when("GET", "/v2/a/", Reply{500, {}, "", {}});
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_THAT(world.slept, ElementsAre(250, 7000, 1000));
}
TEST(ClientRetry, BacksOffAndHonoursRetryAfter) {
  run_world(retries_then_succeeds);
}

Task<void> retries_end(World& world) {
  world.here.when("GET", "/v2/a/",
                  Reply{500, {}, R"({"errors":[{"code":"UNKNOWN","message":"disk"}]})", {}}, 100);
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_EQ(what(error), "tried 5 times: unexpected status from GET request to " +
                             world.here.url("/v2/a/manifests/1") +
                             ": 500 Internal Server Error: UNKNOWN: disk");
  EXPECT_EQ(kind(error), ErrorKind::kUnavailable);
  EXPECT_THAT(world.slept, ElementsAre(250, 500, 1000, 2000));
  EXPECT_EQ(world.here.calls().size(), 5U);
}
TEST(ClientRetry, EndsWithTheRegistrysWords) {
  run_world(retries_end);
}

Task<void> retry_after_too_long(World& world) {
  world.here.when("GET", "/v2/a/", Reply{429, {{"Retry-After", "3600"}}, "", {}});
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_THAT(what(error), HasSubstr("the registry asks to try again in 3600 s: "));
  EXPECT_TRUE(world.slept.empty());
}
TEST(ClientRetry, SaysHowLongItWouldHaveToWait) {
  run_world(retry_after_too_long);
}

Task<void> refusals_are_final(World& world) {
  world.here.when("GET", "/v2/a/", Reply{400, {}, "bad \x1b[31m words\nmore", {}});
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_THAT(what(error), testing::EndsWith("400 Bad Request: bad  [31m words"));
  EXPECT_EQ(world.here.calls().size(), 1U);
}
TEST(ClientRetry, RefusalsAreFinal) {
  run_world(refusals_are_final);
}

Task<void> nobody_listens(World& world) {
  auto reference = oci::Reference::parse("127.0.0.1:1/a:1");
  auto error = co_await error_of(world.client().fetch_manifest(std::move(reference)));
  EXPECT_EQ(what(error), "tried 5 times: connect to 127.0.0.1:1 (127.0.0.1): Connection refused");
  EXPECT_EQ(world.slept.size(), 4U);
}
TEST(ClientRetry, NobodyListens) {
  run_world(nobody_listens);
}

// ---- blobs

Task<void> blob_whole(World& world) {
  std::string const bytes = big_blob(3 * 1024 * 1024 + 17);
  auto const blob = world.here.put_blob(bytes);
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_TRUE(sink.text == bytes);
}
TEST(ClientBlob, Whole) {
  run_world(blob_whole);
}

Task<void> blob_empty(World& world) {
  auto const blob = world.here.put_blob("");
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_TRUE(sink.text.empty());
}
TEST(ClientBlob, Empty) {
  run_world(blob_empty);
}

Task<void> blob_cut(World& world) {
  std::string const bytes = big_blob(1000000);
  auto const blob = world.here.put_blob(bytes);
  world.here.when("GET", "/v2/a/blobs/", Reply{200, {}, bytes, 400000});
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_TRUE(sink.text == bytes);
  EXPECT_EQ(world.here.calls().size(), 2U);
  EXPECT_EQ(world.here.calls().back().header("range"), "bytes=400000-");
}
TEST(ClientBlob, GoesOnWhereItBroke) {
  run_world(blob_cut);
}

Task<void> blob_cut_without_ranges(World& world) {
  std::string const bytes = big_blob(1000000);
  auto const blob = world.here.put_blob(bytes);
  world.here.when("GET", "/v2/a/blobs/", Reply{200, {}, bytes, 400000});
  world.here.ignore_ranges();
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_TRUE(sink.text == bytes) << "nothing was handed over twice";
}
TEST(ClientBlob, RangeIgnored) {
  run_world(blob_cut_without_ranges);
}

/// A download that broke after 400000 of its bytes; then the registry answers the range with
/// `reply`.
Task<void> expect_whole_after(World& world, std::string bytes, Reply reply, std::size_t calls) {
  auto const blob = world.here.put_blob(bytes);
  world.here.when("GET", "/v2/a/blobs/", Reply{200, {}, bytes, 400000});
  world.here.when("GET", "/v2/a/blobs/", std::move(reply));
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_TRUE(sink.text == bytes);
  EXPECT_EQ(world.here.calls().size(), calls);
}

Task<void> blob_range_not_satisfiable(World& world) {
  co_await expect_whole_after(world, big_blob(1000000), Reply{416, {}, "no", {}}, 3);
  EXPECT_EQ(world.here.calls().back().header("range"), "");
}
TEST(ClientBlob, RefusedRangesAreDoneWithout) {
  run_world(blob_range_not_satisfiable);
}

Task<void> blob_other_ranges(World& world) {
  std::string const bytes = big_blob(1000000);
  co_await expect_whole_after(
      world, bytes,
      Reply{206, {{"Content-Range", "bytes 500000-999999/1000000"}}, bytes.substr(500000), {}}, 3);
}
TEST(ClientBlob, ARangeThatIsNotTheOneAskedForIsDoneWithout) {
  run_world(blob_other_ranges);
}

Task<void> blob_short_ranges(World& world) {
  std::string const bytes = big_blob(1000000);
  co_await expect_whole_after(
      world, bytes,
      Reply{206,
            {{"Content-Range", "bytes 400000-499999/1000000"}},
            bytes.substr(400000, 100000),
            {}},
      3);
  EXPECT_EQ(world.here.calls().back().header("range"), "bytes=500000-");
}
TEST(ClientBlob, AShorterRangeIsGoneOnFrom) {
  run_world(blob_short_ranges);
}

Task<void> blob_range_never_fits(World& world) {
  auto const blob = world.here.put_blob("0123456789");
  world.here.when("GET", "/v2/a/blobs/",
                  Reply{206, {{"Content-Range", "bytes 5-9/10"}}, "56789", {}}, 3);
  Collector sink;
  auto error = co_await error_of(world.client().fetch_blob(world.reference("a"), blob, sink));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
  EXPECT_THAT(what(error), HasSubstr("unhandled content range in response: bytes 5-9/10"));
  EXPECT_THAT(what(error), HasSubstr(" from http://" + world.here.authority() + "/v2/a/blobs/"));
}
TEST(ClientBlob, ARangeThatNobodyAskedForIsAnError) {
  run_world(blob_range_never_fits);
}

Task<void> blob_progress_resets_attempts(World& world) {
  std::string const bytes = big_blob(9 * 1024 * 1024);
  auto const blob = world.here.put_blob(bytes);
  // Eight cuts, each after more than a MiB: more than attempts_max, but every time it got further.
  for (std::size_t i = 0; i < 8; ++i) {
    std::size_t const start = i * 1100000;
    world.here.when("GET", "/v2/a/blobs/",
                    Reply{206,
                          {{"Content-Range", "bytes " + std::to_string(start) + "-"}},
                          bytes.substr(start),
                          1100000});
  }
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_TRUE(sink.text == bytes);
  EXPECT_EQ(world.here.calls().size(), 9U);
}
TEST(ClientBlob, ProgressStartsTheCountAnew) {
  run_world(blob_progress_resets_attempts);
}

Task<void> blob_never_whole(World& world) {
  auto const blob = world.here.put_blob("0123456789");
  world.here.when("GET", "/v2/a/blobs/", Reply{200, {}, "0123456789", 0}, 100);
  Collector sink;
  auto error = co_await error_of(world.client().fetch_blob(world.reference("a"), blob, sink));
  EXPECT_EQ(what(error), "tried 5 times: blob " + blob.digest.to_string() +
                             ": received 0 of 10 bytes: read from http://" +
                             world.here.authority() + ": connection closed early");
  EXPECT_EQ(world.here.calls().size(), 5U);
}
TEST(ClientBlob, CutEveryTimeEnds) {
  run_world(blob_never_whole);
}

Task<void> blob_wrong_bytes(World& world) {
  auto const blob = world.here.put_blob("right");
  world.here.when("GET", "/v2/a/blobs/", Reply{200, {}, "wrong", {}}, 2);
  Collector sink;
  auto error = co_await error_of(world.client().fetch_blob(world.reference("a"), blob, sink));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
  EXPECT_THAT(what(error), StartsWith("tried 2 times: blob " + blob.digest.to_string() + " of "));
  EXPECT_THAT(what(error), HasSubstr("has digest " + Digest::of("wrong").to_string()));
  world.here.when("GET", "/v2/a/blobs/", Reply{200, {}, "longer", {}}, 2);
  error = co_await error_of(world.client().fetch_blob(world.reference("a"), blob, sink));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
  EXPECT_THAT(what(error), HasSubstr("the registry announces 6 bytes, the manifest 5"));
  EXPECT_EQ(sink.text, "") << "nothing of what was wrong";
  EXPECT_EQ(world.here.calls().size(), 4U);
}
TEST(ClientBlob, WrongBytesAreCorrupt) {
  run_world(blob_wrong_bytes);
}

Task<void> blob_damaged_once(World& world) {
  std::string const bytes = big_blob(500000);
  std::string damaged = bytes;
  damaged[400000] ^= 1;
  auto const blob = world.here.put_blob(bytes);
  world.here.when("GET", "/v2/a/blobs/", Reply{200, {}, damaged, {}});
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_TRUE(sink.text == bytes);
  EXPECT_THAT(world.slept, ElementsAre(250));
  EXPECT_THAT(world.notices, ElementsAre(HasSubstr("the content received has digest ")));

  // What was here before may be what is wrong; and a sink may see it before the digest is known.
  oci::ResumePoint resume;
  resume.offset = 450000;
  resume.hash.write(damaged.substr(0, 450000));
  Collector resumed;
  co_await world.client().fetch_blob(world.reference("a"), blob, resumed, std::move(resume));
  EXPECT_TRUE(resumed.text == bytes);
  EXPECT_EQ(world.here.calls().back().header("range"), "") << "from its beginning";
  world.here.when("GET", "/v2/a/blobs/", Reply{200, {}, "?" + bytes.substr(1), {}});
  Collector picky;
  picky.unreadable = "?" + bytes.substr(1, 3);
  co_await world.client().fetch_blob(world.reference("a"), blob, picky);
  EXPECT_TRUE(picky.text == bytes);
}
TEST(ClientBlob, DamagedOnItsWayIsFetchedOnceMore) {
  run_world(blob_damaged_once);
}

Task<void> blob_of_nothing(World& world) {
  auto blob = world.here.put_blob("something");
  blob.size = 0;
  Collector sink;
  auto error = co_await error_of(world.client().fetch_blob(world.reference("a"), blob, sink));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
  EXPECT_THAT(what(error), HasSubstr("has digest " + Digest::of("").to_string()));
}
TEST(ClientBlob, NothingHasADigestToo) {
  run_world(blob_of_nothing);
}

Task<void> blob_unreadable(World& world) {
  auto const blob = world.here.put_blob("nonsense");
  Collector sink;
  sink.unreadable = "nonsense";
  auto error = co_await error_of(world.client().fetch_blob(world.reference("a"), blob, sink));
  EXPECT_EQ(kind(error), ErrorKind::kCorrupt);
  EXPECT_EQ(what(error),
            "tried 2 times: blob " + blob.digest.to_string() + ": cannot be unpacked");
  sink.can_restart = false;
  error = co_await error_of(world.client().fetch_blob(world.reference("a"), blob, sink));
  EXPECT_EQ(what(error), "blob " + blob.digest.to_string() + ": cannot be unpacked");
  EXPECT_EQ(world.here.calls().size(), 3U);
}
TEST(ClientBlob, WhatNobodyCanReadIsTriedTwice) {
  run_world(blob_unreadable);
}

Task<void> blob_resumed_by_caller(World& world) {
  std::string const bytes = big_blob(5000);
  auto const blob = world.here.put_blob(bytes);
  oci::ResumePoint resume;
  resume.offset = 2000;
  resume.hash.write(bytes.substr(0, 2000));
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink, std::move(resume));
  EXPECT_TRUE(sink.text == bytes.substr(2000));
  oci::ResumePoint all;
  all.offset = bytes.size();
  all.hash.write(bytes);
  std::size_t const before = world.here.calls().size();
  co_await world.client().fetch_blob(world.reference("a"), blob, sink, std::move(all));
  EXPECT_EQ(world.here.calls().size(), before) << "nothing was left to ask for";
}
TEST(ClientBlob, ResumedByTheCaller) {
  run_world(blob_resumed_by_caller);
}

Task<void> sink_failure_passes(World& world) {
  auto const blob = world.here.put_blob("bytes");
  Collector sink;
  sink.fails = true;
  auto error = co_await error_of(world.client().fetch_blob(world.reference("a"), blob, sink));
  EXPECT_EQ(what(error), "no space left on device");
  EXPECT_EQ(world.here.calls().size(), 1U) << "a full disk is not the registry's fault";
}
TEST(ClientBlob, SinkFailureIsNotRetried) {
  run_world(sink_failure_passes);
}

Task<void> blob_absent(World& world) {
  auto const blob = world.there.put_blob("elsewhere");
  Collector sink;
  auto error = co_await error_of(world.client().fetch_blob(world.reference("a"), blob, sink));
  EXPECT_EQ(kind(error), ErrorKind::kNotFound);
  auto foreign = blob;
  foreign.urls = {world.there.url("/v2/x/blobs/" + blob.digest.to_string())};
  co_await world.client().fetch_blob(world.reference("a"), foreign, sink);
  EXPECT_EQ(sink.text, "elsewhere");
}
TEST(ClientBlob, ForeignLayersComeFromTheirUrls) {
  run_world(blob_absent);
}

// ---- redirects

Task<void> redirect_without_token(World& world) {
  world.write_docker_config(R"({"auths":{")" + world.here.authority() + R"(":{"auth":"dTpw"}}})");
  auto const blob = world.there.put_blob("on a CDN");
  world.here.when("GET", "/v2/a/blobs/",
                  Reply{401, {{"WWW-Authenticate", "Basic realm=x"}}, "", {}});
  world.here.when(
      "GET", "/v2/a/blobs/",
      Reply{
          307, {{"Location", world.there.url("/v2/x/blobs/" + blob.digest.to_string())}}, "", {}});
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_EQ(sink.text, "on a CDN");
  EXPECT_EQ(world.here.calls().back().header("authorization"), "Basic dTpw");
  EXPECT_EQ(world.there.calls().size(), 1U);
  EXPECT_EQ(world.there.calls().front().header("authorization"), "") << "the token leaked";
}
TEST(ClientRedirect, LeavesTheTokenBehind) {
  run_world(redirect_without_token);
}

Task<void> redirect_loop(World& world) {
  world.here.when("GET", "/v2/a/", Reply{302, {{"Location", "/v2/a/manifests/1"}}, "", {}}, 100);
  auto error = co_await error_of(world.client().fetch_manifest(world.reference("a:1")));
  EXPECT_THAT(what(error), HasSubstr("more than 10 redirects"));
  EXPECT_EQ(world.here.calls().size(), 11U);
}
TEST(ClientRedirect, LoopsEnd) {
  run_world(redirect_loop);
}

// ---- mirrors

Task<void> mirrors_first(World& world) {
  world.options.hosts[world.here.authority()].mirrors = {"127.0.0.1:1",
                                                         world.there.authority() + "/proxy"};
  world.there.put_manifest("proxy/a", "1", kType, "{}");
  EXPECT_TRUE((co_await world.client().fetch_manifest(world.reference("a:1"))).has_value());
  EXPECT_EQ(world.there.calls().front().target,
            "/v2/proxy/a/manifests/1?ns=127.0.0.1%3A" + world.here.authority().substr(10));
  EXPECT_TRUE(world.here.calls().empty());
  EXPECT_TRUE(world.slept.empty()) << "a dead mirror is not waited for";
}
TEST(ClientMirror, AskedFirst) {
  run_world(mirrors_first);
}

Task<void> mirror_broken(World& world) {
  world.options.hosts[world.here.authority()].mirrors = {world.there.authority()};
  std::string const bytes = big_blob(500000);
  auto const blob = world.here.put_blob(bytes);
  world.there.when("GET", "/v2/a/blobs/", Reply{200, {}, bytes, 300000});
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_TRUE(sink.text == bytes);
  EXPECT_EQ(world.here.calls().front().header("range"), "bytes=300000-");
  EXPECT_EQ(world.notices.size(), 1U);
}
TEST(ClientMirror, UpstreamGoesOnWhereAMirrorBroke) {
  run_world(mirror_broken);
}

Task<void> mirror_damaged(World& world) {
  world.options.hosts[world.here.authority()].mirrors = {world.there.authority()};
  std::string const bytes = big_blob(500000);
  auto const blob = world.here.put_blob(bytes);
  auto const stored = world.here.put_manifest("a", "1", kType, "{}");
  world.there.when("GET", "/v2/a/blobs/", Reply{200, {}, big_blob(499999) + "?", {}}, 9);
  world.there.when("GET", "/v2/a/manifests/", Reply{200, {}, "[]", {}}, 9);
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), blob, sink);
  EXPECT_TRUE(sink.text == bytes);
  auto const got = co_await world.client().fetch_manifest(
      world.reference("a@" + stored.digest.to_string()));
  EXPECT_TRUE(got.has_value());
  EXPECT_EQ(world.there.calls().size(), 2U) << "one chance each";
  EXPECT_THAT(world.notices, testing::SizeIs(2));

  // The beginning of one thing and the end of another: what is whole is the registry's own.
  world.there.when("GET", "/v2/b/blobs/", Reply{200, {}, "?" + bytes.substr(1), 300000});
  Collector mixed;
  co_await world.client().fetch_blob(world.reference("b"), blob, mixed);
  EXPECT_TRUE(mixed.text == bytes);
  EXPECT_EQ(world.here.count("GET", "/v2/b/"), 2U);
}
TEST(ClientMirror, TheNextHostIsAskedForWhatItDamages) {
  run_world(mirror_damaged);
}

Task<void> mirror_refuses(World& world) {
  world.options.hosts[world.here.authority()].mirrors = {world.there.authority()};
  auto const stored = world.here.put_manifest("a", "1", kType, "{}");
  world.there.when("HEAD", "/v2/a/", Reply{503, {}, "", {}});
  EXPECT_EQ(co_await world.client().describe_manifest(world.reference("a:1")), stored);
  EXPECT_EQ(world.notices.size(), 1U);
  EXPECT_TRUE(world.slept.empty());
}
TEST(ClientMirror, PassedOverByHead) {
  run_world(mirror_refuses);
}

// ---- proxies

Task<void> plain_proxy(World& world) {
  world.options.hosts["reg.test"].plain_http = true;
  world.variables["HTTP_PROXY"] = "http://u:p@" + world.there.authority();
  // The proxy is on localhost; what is reached through it is not.
  world.there.when("GET", "http://reg.test/v2/a/manifests/1",
                   Reply{200, {{"Content-Type", kType}}, "{}", {}});
  auto found = co_await world.client().fetch_manifest(oci::Reference::parse("reg.test/a:1"));
  EXPECT_TRUE(found.has_value());
  EXPECT_EQ(world.there.calls()[0].header("proxy-authorization"), "Basic dTpw");
  EXPECT_EQ(world.there.calls()[0].header("host"), "reg.test");
}
TEST(ClientProxy, PlainRequestsNameTheWholeUrl) {
  run_world(plain_proxy);
}

Task<void> proxy_refuses(World& world) {
  world.variables["HTTPS_PROXY"] = world.there.authority();
  world.there.when("CONNECT", "reg.test:443", Reply{403, {}, "", {}});
  auto error =
      co_await error_of(world.client().fetch_manifest(oci::Reference::parse("reg.test/a:1")));
  EXPECT_EQ(what(error), "proxy 127.0.0.1:" + world.there.authority().substr(10) +
                             ": CONNECT reg.test:443: 403 Status");
  EXPECT_EQ(kind(error), ErrorKind::kDenied);
}
TEST(ClientProxy, RefusedTunnelIsNamed) {
  run_world(proxy_refuses);
}

// ---- cancellation and limits

Task<void> fetch_100000(World& world, oci::Descriptor blob) {
  Collector sink;
  co_await world.client().fetch_blob(world.reference("a"), std::move(blob), sink);
  EXPECT_EQ(sink.text.size(), 100000U);
}

Task<void> connection_limit(World& world) {
  world.options.transfers_per_host_max = 2;
  auto const blob = world.here.put_blob(big_blob(100000));
  std::vector<int> tasks(10);
  auto fetch = [&](int&) { return fetch_100000(world, blob); };
  co_await for_each_bounded(std::move(tasks), 10, fetch);
  EXPECT_LE(world.here.connections(), 2U);
  EXPECT_EQ(world.here.calls().size(), 10U);
}
/// F4.7.4.
TEST(ClientLimit, ConnectionsPerHost) {
  run_world(connection_limit);
}

Task<void> cancelled_while_stalled(World& world) {
  auto const blob = world.here.put_blob("0123456789");
  auto executor = co_await asio::this_coro::executor;
  // A listener that never answers.
  asio::ip::tcp::acceptor silent(executor, {asio::ip::address_v4::loopback(), 0});
  auto reference =
      oci::Reference::parse("127.0.0.1:" + std::to_string(silent.local_endpoint().port()) + "/a:1");
  TaskGroup group(executor);
  auto fetch = [](World& w, oci::Reference r) -> Task<void> {
    (void)co_await w.client().fetch_manifest(std::move(r));
  };
  group.spawn(fetch(world, std::move(reference)));
  auto peer = co_await silent.async_accept(asio::use_awaitable);
  group.cancel();
  co_await group.join();
  // The connection is closed, not left to its timeout.
  std::array<char, 4096> bytes{};
  boost::system::error_code error;
  while (!error) {
    auto [read_error, count] =
        co_await peer.async_read_some(asio::buffer(bytes), asio::as_tuple(asio::use_awaitable));
    error = read_error;
  }
  EXPECT_TRUE(error == asio::error::eof || error == asio::error::connection_reset)
      << error.message();
}
TEST(ClientCancel, ClosesTheConnection) {
  run_world(cancelled_while_stalled);
}

Task<void> stalled(World& world) {
  world.options.idle_timeout = std::chrono::milliseconds(50);
  world.options.retry.attempts_max = 1;
  auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::acceptor silent(executor, {asio::ip::address_v4::loopback(), 0});
  auto reference =
      oci::Reference::parse("127.0.0.1:" + std::to_string(silent.local_endpoint().port()) + "/a:1");
  auto error = co_await error_of(world.client().fetch_manifest(std::move(reference)));
  EXPECT_THAT(what(error), testing::EndsWith("timed out"));
  EXPECT_EQ(kind(error), ErrorKind::kUnavailable);
}
TEST(ClientTimeout, IdleConnectionEnds) {
  run_world(stalled);
}

// ---- push, and resolving what was pushed

Task<std::unique_ptr<oci::BlobReader>> open_text(std::string text) {
  co_return std::make_unique<oci::TextReader>(std::move(text));
}

Task<void> push_then_resolve(World& world) {
  auto push = [](World& w, std::string text) -> Task<oci::Descriptor> {
    oci::Descriptor blob{.media_type = std::string(oci::kOciConfig),
                         .digest = BlobDigest(Digest::of(text)),
                         .size = text.size(),
                         .urls = {},
                         .annotations = {},
                         .platform = {},
                         .artifact_type = {},
                         .data = {}};
    oci::OpenBlob open = [text] { return open_text(text); };
    std::vector<std::string> from = {"other"};
    co_await w.client().push_blob(w.reference("a"), blob, std::move(open), std::move(from));
    co_return blob;
  };
  auto const config = co_await push(world, R"({"os":"linux","architecture":"amd64"})");
  auto const layer = co_await push(world, big_blob(700000));
  EXPECT_EQ(world.here.blobs().size(), 2U);
  std::size_t const puts = world.here.count("PUT", "");
  (void)co_await push(world, big_blob(700000));
  EXPECT_EQ(world.here.count("PUT", ""), puts) << "it was there already";

  oci::Manifest manifest;
  manifest.media_type = kType;
  manifest.config = config;
  manifest.layers = {layer};
  std::string const bytes = oci::to_json(manifest);
  oci::Descriptor described = config;
  described.media_type = kType;
  described.digest = BlobDigest(Digest::of(bytes));
  described.size = bytes.size();
  oci::ManifestContent content{described, bytes};
  co_await world.client().push_manifest(world.reference("a:1"), std::move(content));
  auto image = co_await oci::resolve_image(world.client(), world.reference("a:1"),
                                           oci::parse_platform("linux/amd64"));
  EXPECT_EQ(image.manifest, manifest);
  EXPECT_EQ(image.root.digest, described.digest);
  EXPECT_EQ(image.config_bytes, R"({"os":"linux","architecture":"amd64"})");
}
TEST(ClientPush, BlobsAndManifestComeBack) {
  run_world(push_then_resolve);
}

Task<void> resolve_picks_the_platform(World& world) {
  auto config = world.here.put_blob(R"({"os":"linux","architecture":"arm64"})");
  oci::Manifest manifest;
  manifest.media_type = kType;
  manifest.config = config;
  auto arm = world.here.put_manifest("a", "arm", kType, oci::to_json(manifest));
  arm.platform = oci::parse_platform("linux/arm64");
  auto attestation = arm;
  attestation.platform = oci::Platform{"unknown", "unknown", "", "", {}};
  oci::Index index;
  index.media_type = oci::kOciIndex;
  index.manifests = {attestation, arm};
  auto const root = world.here.put_manifest("a", "1", index.media_type, oci::to_json(index));
  auto image = co_await oci::resolve_image(world.client(), world.reference("a:1"),
                                           oci::parse_platform("linux/arm64"));
  EXPECT_EQ(image.root.digest, root.digest);
  EXPECT_EQ(image.manifest_descriptor.digest, arm.digest);
  auto error = co_await error_of(oci::resolve_image(world.client(), world.reference("a:1"),
                                                    oci::parse_platform("linux/s390x")));
  EXPECT_EQ(what(error), "no match for platform in manifest " + root.digest.to_string() +
                             ": not found: it has no linux/s390x, but linux/arm64");
  EXPECT_EQ(kind(error), ErrorKind::kNotFound);
}
TEST(ClientResolve, PicksThePlatform) {
  run_world(resolve_picks_the_platform);
}

Task<void> config_damaged_once(World& world) {
  oci::Manifest manifest;
  manifest.media_type = kType;
  manifest.config = world.here.put_blob(R"({"os":"linux","architecture":"arm64"})");
  world.here.put_manifest("a", "1", kType, oci::to_json(manifest));
  world.here.when("GET", "/v2/a/blobs/", Reply{200, {}, R"({"os":"Linux","architecture":"arm64"})", {}});
  auto image = co_await oci::resolve_image(world.client(), world.reference("a:1"),
                                           oci::parse_platform("linux/arm64"));
  EXPECT_EQ(image.config_bytes, R"({"os":"linux","architecture":"arm64"})");
}
TEST(ClientResolve, AConfigThatCameDamagedIsFetchedOnceMore) {
  run_world(config_damaged_once);
}

}  // namespace
}  // namespace cobuild::registry::test
