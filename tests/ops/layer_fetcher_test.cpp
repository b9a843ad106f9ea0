// Layers that are fetched: what came damaged is fetched once more, and from elsewhere.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "oci/layer_diff.hpp"
#include "ops/layer_fetcher.hpp"
#include "ops_fixture.hpp"

namespace cobuild::ops {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kOutOfReach = "out of reach";

/// Sends what it was told to for each repository, one after the other, the last of them for ever.
class ScriptedRegistry final : public oci::ContentSource {
 public:
  Task<std::optional<oci::ManifestContent>> fetch_manifest(oci::Reference) override {
    throw Error(ErrorKind::kInternal, "not asked for here");
    co_return std::nullopt;
  }

  Task<void> fetch_blob(oci::Reference repository, oci::Descriptor blob, oci::BlobSink& sink,
                        oci::ResumePoint resume) override {
    asked.push_back(repository.repository + " from " + std::to_string(resume.offset));
    std::deque<std::string>& script = scripts[repository.repository];
    for (std::uint64_t offset = resume.offset;; offset = 0) {
      std::string const bytes = script.front();
      if (bytes == kOutOfReach) {
        co_await sink.write(std::as_bytes(std::span("part", 4)));
        throw Error(ErrorKind::kUnavailable, "no way to " + repository.repository);
      }
      if (script.size() > 1) script.pop_front();
      DigestWriter hash = std::move(resume.hash);
      hash.write(bytes.substr(offset));
      bool is_readable = true;
      try {
        co_await sink.write(std::as_bytes(std::span(bytes).subspan(offset)));
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::kCorrupt) throw;
        is_readable = false;
      }
      if (is_readable && BlobDigest(hash.finish()) == blob.digest) co_return;
      if (restarts == 0) throw Error(ErrorKind::kCorrupt, "wrong bytes of " + repository.repository);
      --restarts;
      if (!co_await sink.restart()) throw Error(ErrorKind::kInternal, "it cannot restart");
      resume.hash = DigestWriter();
    }
  }

  std::map<std::string, std::deque<std::string>> scripts;
  int restarts = 0;  ///< Times that damage is mended by fetching anew.
  std::vector<std::string> asked;
};

class LoggedStep final : public solve::StepSink {
 public:
  void log(int, std::string_view text) override { logged += text; }
  void status(std::string_view, std::int64_t, std::int64_t, bool) override {}
  void warn(std::string_view) override {}
  std::string logged;
};

class LayerFetching : public test::OpsTest {
 protected:
  /// A layer with one file of `letter`, as a blob that the repositories `sources` have.
  store::LayerId remote_layer(std::vector<std::string> origins, char letter = 'x') {
    std::filesystem::path const made = directory.path() / "made";
    test::put_text(made / "file", std::string(300000, letter));
    UniqueFd const file = open_file(directory.path() / "blob", O_RDWR | O_CREAT | O_TRUNC, 0600);
    oci::SealedLayer const sealed = oci::seal_layer({made}, {}, {}, file.get());
    bytes = test::read_text(directory.path() / "blob");
    damaged = bytes;
    damaged[bytes.size() / 2] ^= 1;
    digest.emplace(sealed.blob_digest);
    store::LayerAttributes attributes;
    attributes.diff_id = sealed.diff_id;
    attributes.blob = store::LayerBlob{sealed.blob_digest, static_cast<std::int64_t>(bytes.size()),
                                       "application/vnd.oci.image.layer.v1.tar+gzip", std::move(origins), false};
    return process.run(process.store().add_remote_layer(
        ChainId(Digest::of(std::string_view(&letter, 1))), std::move(attributes)));
  }

  [[nodiscard]] std::size_t text_length(store::LayerId id) {
    auto const paths = process.run(fetcher.directories({id}, step_));
    return test::read_text(paths.at(0) / "file").size();
  }

  std::string error_of(store::LayerId id) {
    try {
      (void)process.run(fetcher.directories({id}, step_));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  /// Whether the next build would go on with what came.
  [[nodiscard]] bool has_rest() {
    return std::filesystem::exists(process.store().root() / "ingest" / digest->digest().hex());
  }

  ScriptedRegistry registry;
  ContentSources sources{registry, {}, {}};
  LayerFetcher fetcher{process.loop().get_executor(), pool, process.store(), sources};
  LoggedStep step_;
  std::string bytes;
  std::string damaged;
  std::optional<BlobDigest> digest;
};

TEST_F(LayerFetching, UnpacksAnewWhatIsBegunAnew) {
  store::LayerId const id = remote_layer({"registry.example/a"});
  registry.restarts = 1;
  registry.scripts["a"] = {damaged, bytes};
  EXPECT_EQ(text_length(id), 300000U);
  EXPECT_EQ(test::read_text(process.store().blob_path(*digest)), bytes);
  EXPECT_FALSE(has_rest());
}

TEST_F(LayerFetching, AnotherSourceIsAskedForWhatOneDamages) {
  store::LayerId const id = remote_layer({"registry.example/a", "registry.example/b"});
  registry.scripts["a"] = {damaged};
  registry.scripts["b"] = {bytes};
  EXPECT_EQ(text_length(id), 300000U);
  EXPECT_THAT(registry.asked, ElementsAre("a from 0", "b from 0"));
  EXPECT_THAT(step_.logged, HasSubstr("wrong bytes of a; fetching it from registry.example/b\n"));
}

TEST_F(LayerFetching, WhatAllDamageIsAnErrorAndNothingIsLeft) {
  store::LayerId const id = remote_layer({"registry.example/a", "registry.example/b"});
  registry.scripts["a"] = {damaged};
  registry.scripts["b"] = {damaged.substr(0, 1000)};
  EXPECT_EQ(error_of(id), "wrong bytes of b");
  EXPECT_FALSE(has_rest());
  EXPECT_FALSE(process.store().has_blob(*digest));
  EXPECT_FALSE(process.store().get_layer(id).has_snapshot);
}

TEST_F(LayerFetching, ADamagedRestOfAnEarlierBuildIsDropped) {
  store::LayerId const id = remote_layer({"registry.example/a"});
  {
    auto const rest = process.run(process.store().new_blob(*digest));
    ASSERT_EQ(::write(rest.fd(), damaged.data(), damaged.size() - 10), std::ssize(damaged) - 10);
  }
  registry.scripts["a"] = {bytes};
  EXPECT_EQ(text_length(id), 300000U);
  EXPECT_THAT(registry.asked.back(), "a from 0");
}

TEST_F(LayerFetching, AnotherSourceIsAskedWhenOneIsOutOfReach) {
  store::LayerId const id = remote_layer({"registry.example/a", "registry.example/b"});
  registry.scripts["a"] = {std::string(kOutOfReach)};
  registry.scripts["b"] = {bytes};
  EXPECT_EQ(text_length(id), 300000U);
  EXPECT_THAT(step_.logged, HasSubstr("no way to a; fetching it from registry.example/b\n"));
  EXPECT_FALSE(fetcher.is_lost(id));
}

TEST_F(LayerFetching, ALayerOutOfReachIsLostAndItsRestIsKept) {
  store::LayerId const id = remote_layer({"registry.example/a"});
  registry.scripts["a"] = {std::string(kOutOfReach)};
  EXPECT_EQ(error_of(id), "no way to a");
  EXPECT_TRUE(fetcher.is_lost(id));
  EXPECT_TRUE(has_rest());
}

TEST_F(LayerFetching, WhatIsOutOfReachIsNotWaitedForAgain) {
  store::LayerId const first = remote_layer({"registry.example/a"}, 'x');
  store::LayerId const second = remote_layer({"registry.example/a", "registry.example/b"}, 'y');
  registry.scripts["a"] = {std::string(kOutOfReach)};
  registry.scripts["b"] = {bytes};
  EXPECT_EQ(error_of(first), "no way to a");
  EXPECT_EQ(text_length(second), 300000U);
  EXPECT_THAT(registry.asked, ElementsAre("a from 0", "b from 0"));
}

TEST_F(LayerFetching, ABlobAloneIsFetchedAnewToo) {
  store::LayerId const id = remote_layer({"registry.example/a"});
  registry.restarts = 1;
  registry.scripts["a"] = {damaged, bytes};
  process.run(fetcher.fetch_blob(id, *digest, step_));
  EXPECT_EQ(test::read_text(process.store().blob_path(*digest)), bytes);
}

}  // namespace
}  // namespace cobuild::ops
