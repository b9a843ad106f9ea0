// Layers that are sealed before the export asks for them.

#include "ops/early_sealer.hpp"

#include <gmock/gmock.h>

#include <thread>

#include "oci/layer_diff.hpp"
#include "ops/file_op.hpp"
#include "ops/made_on_scratch.hpp"
#include "ops/result_chain.hpp"
#include "no_registry.hpp"
#include "ops_fixture.hpp"

namespace cobuild::ops {
namespace {

using namespace std::chrono_literals;
using test::put_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

// ---- which edges an image is made of

llb::Edge make_edge(const pb::Op& op, std::vector<llb::Edge> inputs, int output = 0) {
  return {
      std::make_shared<llb::Vertex>(llb::digest_of(op), op, pb::OpMetadata(), std::move(inputs)),
      output};
}

llb::Edge image(const std::string& name) {
  pb::Op op;
  op.mutable_source()->set_identifier("docker-image://" + name);
  return make_edge(op, {});
}

/// A step on its first input that also reads the second, and gives both back.
llb::Edge exec(const std::string& word, llb::Edge root, llb::Edge other, int output = 0) {
  pb::Op op;
  op.mutable_exec()->mutable_meta()->add_args(word);
  for (int i = 0; i < 2; ++i) {
    pb::Mount* const mount = op.mutable_exec()->add_mounts();
    mount->set_input(i);
    mount->set_output(i);
    mount->set_dest(i == 0 ? "/" : "/other");
  }
  return make_edge(op, {std::move(root), std::move(other)}, output);
}

/// Two actions: a directory on `base`, and a copy from `source` into it.
llb::Edge copy(llb::Edge base, llb::Edge source) {
  pb::Op op;
  pb::FileAction* const first = op.mutable_file()->add_actions();
  first->set_input(base.vertex ? 0 : -1);
  first->set_secondaryinput(-1);
  first->set_output(-1);
  first->mutable_mkdir()->set_path("/d");
  pb::FileAction* const second = op.mutable_file()->add_actions();
  second->set_input(2);
  second->set_secondaryinput(1);
  second->set_output(0);
  second->mutable_copy()->set_src("/");
  return make_edge(op, {std::move(base), std::move(source)});
}

llb::Edge merge(std::vector<llb::Edge> inputs) {
  pb::Op op;
  for (int i = 0; i < static_cast<int>(inputs.size()); ++i) {
    op.mutable_merge()->add_inputs()->set_input(i);
  }
  return make_edge(op, std::move(inputs));
}

std::vector<const llb::Vertex*> vertices(const std::vector<llb::Edge>& edges) {
  std::vector<const llb::Vertex*> found;
  for (const llb::Edge& edge : edges) found.push_back(edge.vertex.get());
  return found;
}

TEST(ResultChain, FollowsWhatAStepRanOnAndNotWhatItRead) {
  llb::Edge const base = image("base");
  llb::Edge const read = image("read");
  llb::Edge const run = exec("run", base, read);
  llb::Edge const top = copy(run, image("source"));
  EXPECT_THAT(vertices(result_chain(top)),
              ElementsAre(top.vertex.get(), run.vertex.get(), base.vertex.get()));
  llb::Edge const other{run.vertex, 1};
  EXPECT_THAT(vertices(result_chain(other)), ElementsAre(run.vertex.get(), read.vertex.get()))
      << "the other output began as the other input";
}

TEST(ResultChain, TakesAllThatIsMergedAndEachOnce) {
  llb::Edge const base = image("base");
  llb::Edge const linked = copy({}, image("source"));
  llb::Edge const top = merge({base, linked, base});
  EXPECT_THAT(vertices(result_chain(top)),
              UnorderedElementsAre(top.vertex.get(), base.vertex.get(), linked.vertex.get()));
}

TEST(ResultChain, StopsAtADifferenceAndAtScratch) {
  pb::Op op;
  op.mutable_diff()->mutable_upper()->set_input(0);
  llb::Edge const difference = make_edge(op, {image("upper")});
  EXPECT_THAT(result_chain(difference), SizeIs(1));
  EXPECT_THAT(result_chain({}), IsEmpty());
}

TEST(ResultChain, ForeignGraphsMayLeadNowhereOrRoundInACircle) {
  pb::Op op;
  for (int i = 0; i < 2; ++i) {
    pb::FileAction* const action = op.mutable_file()->add_actions();
    action->set_input(2 - i);  // The other action: there is one input.
    action->set_output(i);
  }
  EXPECT_THAT(result_chain(make_edge(op, {image("base")})), SizeIs(1));
  op.mutable_file()->mutable_actions(0)->set_input(77);
  EXPECT_THAT(result_chain(make_edge(op, {image("base")})), SizeIs(1));
}

// ---- how fast

TEST(Pace, NapsOnlyWhereSomebodyElseWantsTheProcessor) {
  struct Case {
    std::chrono::nanoseconds wall, cpu, nap;
  };
  for (const Case& c : {Case{20ms, 20ms, 0ms}, Case{23ms, 20ms, 0ms}, Case{30ms, 20ms, 780ms},
                        Case{500ms, 20ms, 780ms}, Case{900ms, 400ms, 2s}, Case{0ms, 0ms, 0ms}}) {
    EXPECT_EQ(nap_after(c.wall, c.cpu), c.nap) << c.wall.count() << " " << c.cpu.count();
  }
}

TEST(Pace, WhoIsWaitedForDoesNotNap) {
  BackgroundPace pace;
  std::thread sleeper([&pace] { pace.nap(24h); });
  pace.hurry();
  sleeper.join();
  pace.nap(24h);
}

// ---- sealing

/// Keeps what was logged.
class LoggingStep final : public solve::StepSink {
 public:
  void log(int, std::string_view data) override { text += data; }
  void status(std::string_view, std::int64_t, std::int64_t, bool) override {}
  void warn(std::string_view) override {}
  std::string text;
};

class EarlySealing : public test::OpsTest {
 protected:
  /// What was made by each step of an image: base, then `run`, then `top`.
  struct Steps {
    llb::Edge base = image("base");
    llb::Edge run = exec("run", base, image("read"));
    llb::Edge top = exec("top", run, image("read"));
  };

  std::unique_ptr<EarlySealer> make(std::vector<SealRequest> requests = {SealRequest()}) {
    auto sealed_one = [this](store::LayerId id, std::size_t request, oci::ImageLayer image_layer) {
      return on_sealed(id, request, std::move(image_layer));
    };
    return std::make_unique<EarlySealer>(process.loop().get_executor(), process.store(), fetcher,
                                         std::move(requests), sealed_one, log);
  }

  Task<void> on_sealed(store::LayerId id, std::size_t request, oci::ImageLayer image_layer) {
    if (fails) throw Error(ErrorKind::kUnavailable, "the disk is full");
    sealed.emplace_back(id, request);
    media_types.push_back(image_layer.media_type);
    co_return;
  }

  static Task<void> nothing() { co_return; }
  /// Lets the loop run until nothing is left to do, and then ends `early`.
  void finish(EarlySealer& early) {
    process.run(nothing());
    process.run(early.join());
  }

  solve::Result files_layer(const std::string& text, store::LayerChain base = {}) {
    return layer([&](const std::filesystem::path& fs) { put_text(fs / "file", text); },
                 std::move(base));
  }

  store::LayerId remote_layer() {
    store::LayerAttributes attributes;
    attributes.diff_id = DiffId(Digest::of(std::string_view("diff")));
    attributes.blob = store::LayerBlob{BlobDigest(Digest::of(std::string_view("blob"))),
                                       4,
                                       "application/vnd.oci.image.layer.v1.tar+gzip",
                                       {"docker.io/library/base"},
                                       false};
    return process.run(process.store().add_remote_layer(
        ChainId(Digest::of(std::string_view("chain"))), std::move(attributes)));
  }

  test::NoRegistry registry;
  ContentSources sources{registry, {}, {}};
  LayerFetcher fetcher{process.loop().get_executor(), pool, process.store(), sources};
  LoggingStep log;
  Steps steps;
  bool fails = false;
  std::vector<std::pair<store::LayerId, std::size_t>> sealed;
  std::vector<std::string> media_types;
};

TEST_F(EarlySealing, MakesTheSameBlobAsTheExport) {
  solve::Result const base = files_layer("base");
  solve::Result const run = files_layer("run", base.layers);
  auto const early = make();
  early->add_target(steps.top);
  early->add_result(steps.base, base);
  early->add_result(steps.run, run);
  finish(*early);
  ASSERT_THAT(sealed, ElementsAre(std::pair(base.layers[0], 0U), std::pair(run.layers[1], 0U)));

  TempDir const plain = TempDir::create(directory.path(), "blob-");
  UniqueFd const file = open_file(plain.path() / "blob", O_RDWR | O_CREAT, 0600);
  oci::SealedLayer const expected =
      oci::seal_layer({process.store().snapshot_path(run.layers[1])},
                      {process.store().snapshot_path(base.layers[0])}, {}, file.get());
  store::Layer const stored = process.store().get_layer(run.layers[1]);
  EXPECT_EQ(stored.diff_id, expected.diff_id);
  ASSERT_THAT(stored.blobs, SizeIs(1));
  EXPECT_EQ(stored.blobs[0].digest, expected.blob_digest);
  EXPECT_TRUE(process.store().has_blob(expected.blob_digest));
}

TEST_F(EarlySealing, EachLayerInEachOfTheFormsThatAreWanted) {
  SealRequest zstd;
  zstd.compression = oci::Compression::kZstd;
  solve::Result const base = files_layer("base");
  auto const early = make({SealRequest(), zstd});
  early->add_target(steps.top);
  early->add_result(steps.base, base);
  early->add_result(steps.base, base);
  finish(*early);
  EXPECT_THAT(media_types, ElementsAre(HasSubstr("gzip"), HasSubstr("zstd")));
}

TEST_F(EarlySealing, WhatNoImageHasIsLeftAlone) {
  auto const early = make();
  early->add_target(steps.top);
  early->add_result(image("read"), files_layer("only read"));
  finish(*early);
  EXPECT_THAT(sealed, IsEmpty());
}

TEST_F(EarlySealing, WithTheLastTargetTheExportBegins) {
  llb::Edge const other = exec("other", steps.run, image("read"));
  auto const early = make();
  early->add_target(steps.top);
  early->add_target(other);
  solve::Result const first = files_layer("first");
  early->add_result(steps.top, first);
  early->add_result(other, files_layer("last"));
  finish(*early);
  EXPECT_THAT(sealed, ElementsAre(std::pair(first.layers[0], 0U)));
}

TEST_F(EarlySealing, NothingIsBegunOnceItIsClosed) {
  auto const early = make();
  early->add_target(steps.top);
  solve::Result const base = files_layer("base");
  solve::Result const run = files_layer("run");
  early->add_result(steps.base, base);
  early->close();
  early->add_result(steps.run, run);
  process.run(early->join());
  EXPECT_THAT(sealed, IsEmpty());
}

TEST_F(EarlySealing, AFailureIsLeftToTheExport) {
  fails = true;
  auto const early = make();
  early->add_target(steps.top);
  early->add_result(steps.base, files_layer("base"));
  finish(*early);
  EXPECT_EQ(log.text, "left to the export: the disk is full\n");
}

TEST_F(EarlySealing, StoppingGivesUpWhatIsWaited) {
  auto const early = make();
  early->add_target(steps.top);
  early->add_result(steps.base, files_layer("base"));
  process.run(early->stop());
  EXPECT_THAT(sealed, IsEmpty());
  EXPECT_EQ(log.text, "");
}

TEST_F(EarlySealing, ARemoteLayerStaysWhereItIs) {
  solve::Result base;
  base.layers.push_back(remote_layer());
  SealRequest forced;
  forced.leave_remote = true;
  forced.force = true;
  forced.compression = oci::Compression::kZstd;
  auto const early = make({forced});
  early->add_target(steps.top);
  early->add_result(steps.base, base);
  finish(*early);
  EXPECT_THAT(sealed, IsEmpty());
  EXPECT_EQ(log.text, "");
}

TEST_F(EarlySealing, WhatWasMadeOnScratchNeedsNothingBelowIt) {
  solve::Result const linked = files_layer("linked");
  note_made_on_scratch(process.store(), linked.layers[0]);
  store::LayerChain const chain{remote_layer(), linked.layers[0]};
  Sealer sealer(pool, process.store(), fetcher);
  SealRequest request;
  request.leave_remote = true;
  EXPECT_THAT(process.run(sealer.seal(chain, request, step)), SizeIs(2));
  // Any other layer is compared with what is below.
  store::LayerChain const other{chain[0], files_layer("other").layers[0]};
  EXPECT_THROW(static_cast<void>(process.run(sealer.seal(other, request, step))), Error);
}

TEST_F(EarlySealing, ACopyOntoNothingIsNoted) {
  put_text(context() / "a", "a");
  pb::Op op;
  pb::FileAction* const action = op.mutable_file()->add_actions();
  action->set_input(-1);
  action->set_output(0);
  action->mutable_copy()->set_src("/");
  action->mutable_copy()->set_dest("/");
  action->mutable_copy()->set_mode(-1);
  action->mutable_copy()->set_timestamp(-1);
  action->mutable_copy()->set_dircopycontents(true);
  auto const run_on = [&](std::int64_t base, std::vector<solve::Result> inputs) {
    action->set_input(base);
    action->set_secondaryinput(0);
    auto const file_op = make_file_op(
        services, vertex(op, std::vector<llb::Edge>(inputs.size(), {vertex(local_op()), 0})));
    return process.run(file_op->run(std::move(inputs), step)).at(0).layers.back();
  };
  EXPECT_TRUE(is_made_on_scratch(process.store(), run_on(-1, {local()})));
  EXPECT_FALSE(is_made_on_scratch(process.store(), run_on(1, {local(), files_layer("base")})));
}

}  // namespace
}  // namespace cobuild::ops
