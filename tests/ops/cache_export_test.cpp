// What goes into a cache for elsewhere.

#include <gmock/gmock.h>

#include "ops/layer_fetcher.hpp"
#include "ops/remote_cache.hpp"
#include "ops/sealer.hpp"
#include "no_registry.hpp"
#include "ops_fixture.hpp"

namespace cobuild::ops {
namespace {

using testing::SizeIs;

using CacheExport = test::OpsTest;

/// One whose first input is the record at `input`.
solve::KeyRecord record(const std::string& name, std::size_t input, solve::Result result) {
  return {Digest::of(name), {{{std::nullopt, input}}}, std::move(result), now()};
}

TEST_F(CacheExport, ResultsThatAreGoneAreLeftOut) {
  // With mode=max, those of steps that this build did not look at: nothing keeps a prune from them.
  solve::Result const here =
      layer([](const std::filesystem::path& fs) { test::put_text(fs / "file", "here"); });
  solve::Result gone;
  gone.layers = {here.layers[0], store::LayerId{12345}};
  std::vector<solve::KeyRecord> records{{Digest::of("source"), {}, std::nullopt, {}},
                                        record("gone", 0, gone), record("here", 1, here)};
  test::NoRegistry registry;
  ContentSources sources{registry, {}, {}};
  LayerFetcher fetcher(process.loop().get_executor(), pool, process.store(), sources);
  Sealer sealer(pool, process.store(), fetcher);
  CollectedCache const cache = process.run(
      collect_cache(records, {{}, true}, SealRequest(), process.store(), sealer, step));
  EXPECT_THAT(cache.config.records, SizeIs(3)) << "all lead on";
  EXPECT_THAT(cache.layers, SizeIs(1));
  for (const oci::CacheRecord& made : cache.config.records) {
    bool const is_here = made.digest == Digest::of("here");
    EXPECT_THAT(made.results, SizeIs(is_here ? 1 : 0));
  }
}

}  // namespace
}  // namespace cobuild::ops
