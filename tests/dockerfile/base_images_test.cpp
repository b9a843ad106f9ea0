#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert.hpp"

namespace cobuild::dockerfile {
namespace {

namespace json = boost::json;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> wanted(const std::string& text, const ConvertOptions& options = test_options(),
                                const ResolvedImages& images = {}) {
  std::vector<std::string> out;
  for (const ImageRequest& one : list_base_images(parse(text, "Dockerfile"), options, images)) {
    out.push_back(one.key.reference + " " + one.key.platform);
  }
  return out;
}

const std::string kAlpine = "docker.io/library/alpine:latest";
const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(BaseImages, OnlyReachableOnesAndEachOnce) {  // F1.4.16
  EXPECT_THAT(wanted("FROM unused\nFROM alpine AS a\nFROM alpine\nCOPY --from=a x y\nCOPY --from=busybox:1 x y"),
              ElementsAre(kAlpine + " linux/amd64", "docker.io/library/busybox:1 linux/amd64"));
  EXPECT_THAT(wanted("FROM scratch"), IsEmpty());
}

TEST(BaseImages, ArePerPlatform) {
  auto options = test_options();
  options.target_platform = test_platform();
  options.target_platform->set_architecture("arm64");
  EXPECT_THAT(wanted("FROM --platform=$BUILDPLATFORM alpine AS a\nFROM alpine\nCOPY --from=a x y", options),
              ElementsAre(kAlpine + " linux/amd64", kAlpine + " linux/arm64"));
}

TEST(BaseImages, RequestsSayWhatProgressAndErrorsNeed) {  // F1.4.7
  auto const requests = list_base_images(parse("# c\nFROM apline", "Dockerfile"), test_options(), {});
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].step_name, "[internal] load metadata for docker.io/library/apline:latest");
  EXPECT_EQ(requests[0].suggestion(), " (did you mean alpine?)");
  EXPECT_EQ(requests[0].written, "apline");
  EXPECT_EQ(requests[0].span.first_line, 2);
  EXPECT_EQ(ImageRequest().suggestion(), "") << "a context's, which is no word of the Dockerfile";
}

TEST(BaseImages, ConfigIsInherited) {  // F1.4.19
  ResolvedImages const images{
      {image_key(kAlpine), image(R"("Env":["A=1"],"User":"u","WorkingDir":"/w","Entrypoint":["e"],"Labels":{"l":"m"})",
                                 R"(,"author":"x","unknown":1)")}};
  auto const lowered = convert("FROM alpine\nRUN y\nCOPY a b", test_options(), images);
  auto const exec = last_exec(lowered);
  EXPECT_EQ(exec.meta().cwd(), "/w");
  EXPECT_EQ(exec.meta().user(), "u");
  EXPECT_EQ(exec.meta().env(0), "A=1");
  EXPECT_EQ(exec.meta().env(1).substr(0, 5), "PATH=");
  auto const ops = ops_of(lowered);
  EXPECT_EQ(ops[0].source().identifier(), "docker-image://" + kAlpine + "@" + kDigest);
  EXPECT_EQ(ops[0].platform().architecture(), "amd64");
  json::value const config = json::parse(lowered.image_config);
  EXPECT_EQ(config.at("author"), "x");
  EXPECT_FALSE(config.as_object().contains("unknown"));
  EXPECT_EQ(config.at("history").as_array().size(), 3U);
  EXPECT_EQ(config.at("config").at("Labels").at("l"), "m");
  EXPECT_EQ(lowered.base_image_config, images.begin()->second.config);
}

TEST(BaseImages, StepNamesCountTheImage) {  // F1.4.20
  ResolvedImages const images{{image_key(kAlpine), image("")}};
  auto const lowered = convert("FROM alpine\nRUN y", test_options(), images);
  std::vector<std::string> names;
  for (const auto& [digest, metadata] : lowered.definition.metadata()) {
    if (metadata.description().contains("llb.customname")) names.push_back(metadata.description().at("llb.customname"));
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("[1/2] FROM " + kAlpine + "@" + kDigest, "[2/2] RUN y"));
}

TEST(BaseImages, ImagesWithoutLayersAreScratch) {  // F1.4.5
  ResolvedImages images{{image_key(kAlpine), image("")}};
  images.begin()->second.config = R"({"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}})";
  EXPECT_EQ(ops_of(convert("FROM alpine\nRUN y", test_options(), images)).size(), 1U);
}

TEST(Onbuild, TriggersOfImagesRunFirstAndOnce) {  // F10.45
  ResolvedImages const images{{image_key(kAlpine), image(R"("OnBuild":["RUN a","ENV b=c"])")}};
  auto const lowered = convert("FROM alpine AS one\nRUN d\nFROM one\nRUN e", test_options(), images);
  std::vector<std::string> args;
  for (const pb::Op& op : ops_of(lowered)) {
    if (op.has_exec()) args.push_back(op.exec().meta().args(2));
  }
  EXPECT_THAT(args, ElementsAre("a", "d", "e"));
  EXPECT_FALSE(json::parse(lowered.image_config).at("config").as_object().contains("OnBuild"));
}

TEST(Onbuild, TriggersOfStagesAreForTheirChildren) {  // F1.2.13, F1.4.20
  auto const lowered = convert("FROM scratch AS one\nONBUILD RUN <<E\nx\nE\nFROM one AS two\nFROM two\nRUN y");
  std::vector<std::string> names;
  for (const auto& [digest, metadata] : lowered.definition.metadata()) {
    if (metadata.description().contains("llb.customname")) names.push_back(metadata.description().at("llb.customname"));
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("[two 1/1] ONBUILD RUN <<E (x)", "[stage-2 1/1] RUN y"));
}

TEST(Onbuild, TriggersMayNeedFurtherImages) {
  std::string const text = "FROM alpine\nRUN x";
  ResolvedImages images{{image_key(kAlpine), image(R"("OnBuild":["COPY --from=busybox /a /b"])")}};
  EXPECT_THAT(wanted(text, test_options(), images), ElementsAre("docker.io/library/busybox:latest linux/amd64"));
  images[image_key("docker.io/library/busybox:latest")] = image("");
  EXPECT_THAT(wanted(text, test_options(), images), IsEmpty());
  EXPECT_EQ(ops_of(convert(text, test_options(), images)).size(), 4U);
}

TEST(Onbuild, BadTriggersPointAtTheFrom) {  // F1.1.24
  ResolvedImages const images{{image_key(kAlpine), image(R"("OnBuild":["COPY x"])")}};
  try {
    (void)convert("\nFROM alpine", test_options(), images);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(line_of(error), 2);
  }
}

}  // namespace
}  // namespace cobuild::dockerfile
