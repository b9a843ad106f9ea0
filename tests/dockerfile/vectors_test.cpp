/// What BuildKit made of small Dockerfiles must come out here byte for byte (tests/vectors).

#include <boost/json.hpp>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "core/base/digest.hpp"
#include "core/llb/marshal.hpp"
#include "dockerfile/frontend.hpp"

namespace cobuild::dockerfile {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

const fs::path kVectors = fs::path(COBUILD_TEST_DIR).parent_path() / "vectors";

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

pb::Platform amd64() {
  pb::Platform platform;
  platform.set_os("linux");
  platform.set_architecture("amd64");
  return platform;
}

template <class Message>
Message from_json(const json::value& value) {
  Message message;
  auto const status = google::protobuf::util::JsonStringToMessage(json::serialize(value), &message);
  EXPECT_TRUE(status.ok()) << status.ToString() << json::serialize(value);
  return message;
}

std::string text_of(const google::protobuf::Message& message) { return message.DebugString(); }

/// The session that BuildKit had: random, but part of digests. How the Dockerfile was loaded says it.
std::string session_in(const json::object& llb) {
  auto const* const infos = llb.at("source").as_object().if_contains("infos");
  if (infos == nullptr) return "";
  auto const info = from_json<pb::SourceInfo>(infos->as_array().at(0));
  pb::Op op;
  EXPECT_TRUE(op.ParseFromString(info.definition().def(0)));
  return op.source().attrs().at("local.session");
}

struct Case {
  std::string name;
  json::object llb;
  Lowered lowered;
};

Case load(const std::string& name) {
  fs::path const folder = kVectors / name;
  Case out{.name = name, .llb = json::parse(read(folder / "llb.json")).as_object(), .lowered = {}};
  std::map<std::string, std::string> options;
  if (fs::exists(folder / "opts.json")) {
    json::value const given = json::parse(read(folder / "opts.json"));
    for (const auto& entry : given.as_object()) {
      options[std::string(entry.key())] = std::string(entry.value().as_string());
    }
  }
  FrontendOptions frontend = parse_frontend_options(options, amd64());
  frontend.convert.session_id = session_in(out.llb);
  Parsed const parsed = parse(read(folder / "Dockerfile"), "Dockerfile");
  parsed.throw_if_bad();
  ResolvedImages known;
  for (const ImageRequest& request : list_base_images(parsed, frontend.convert, {})) {
    bool const is_ignore_file = request.kind == ImageRequest::Kind::kIgnoreFile;
    EXPECT_NE(request.kind, ImageRequest::Kind::kImage) << request.key.reference;
    known[request.key].config = read(folder / (is_ignore_file ? "dockerignore" : "layout-config.json"));
  }
  EXPECT_TRUE(list_base_images(parsed, frontend.convert, known).empty());
  out.lowered = lower(parsed, frontend.convert, known);
  return out;
}

/// Progress group ids are random in BuildKit.
pb::OpMetadata without_group_id(pb::OpMetadata metadata) {
  if (metadata.has_progress_group()) metadata.mutable_progress_group()->set_id("id");
  return metadata;
}

pb::OpMetadata metadata_from_json(json::object value) {
  return without_group_id(from_json<pb::OpMetadata>(value));
}

class VectorsTest : public testing::TestWithParam<std::string> {};

TEST_P(VectorsTest, OpsAreBuildKitsBytes) {
  Case const one = load(GetParam());
  std::map<std::string, std::string> expected;
  for (const auto& entry : one.llb.at("def").as_object()) {
    expected[entry.key()] = text_of(from_json<pb::Op>(entry.value()));
  }
  std::map<std::string, std::string> actual;
  for (const std::string& bytes : one.lowered.definition.def()) {
    pb::Op op;
    ASSERT_TRUE(op.ParseFromString(bytes));
    actual[Digest::of(bytes).to_string()] = text_of(op);
  }
  std::string all_expected;
  std::string all_actual;
  for (const auto& entry : expected) all_expected += entry.first + "\n" + entry.second;
  for (const auto& entry : actual) all_actual += entry.first + "\n" + entry.second;
  EXPECT_EQ(all_expected, all_actual);
}

TEST_P(VectorsTest, MetadataIsBuildKits) {
  Case const one = load(GetParam());
  std::map<std::string, std::string> expected;
  for (const auto& entry : one.llb.at("metadata").as_object()) {
    pb::OpMetadata const metadata = metadata_from_json(entry.value().as_object());
    expected[entry.key()] = llb::marshal(metadata);
  }
  std::map<std::string, std::string> actual;
  for (const auto& [digest, metadata] : one.lowered.definition.metadata()) {
    actual[digest] = llb::marshal(without_group_id(metadata));
  }
  EXPECT_EQ(expected, actual);
}

TEST_P(VectorsTest, SourceMapIsBuildKits) {
  Case const one = load(GetParam());
  pb::Source const expected = from_json<pb::Source>(one.llb.at("source"));
  google::protobuf::util::MessageDifferencer differencer;
  std::string report;
  differencer.ReportDifferencesToString(&report);
  EXPECT_TRUE(differencer.Compare(expected, one.lowered.definition.source())) << report;
}

/// The config without what an exporter adds: dates and layers.
json::value frontend_part(json::value value) {
  json::object& config = value.as_object();
  config.erase("created");
  config.at("rootfs").as_object()["diff_ids"] = nullptr;
  if (auto* const history = config.if_contains("history"); history != nullptr && history->is_array()) {
    for (auto& entry : history->as_array()) entry.as_object().erase("created");
  }
  return value;
}

TEST_P(VectorsTest, ImageConfigIsBuildKits) {
  fs::path const file = kVectors / GetParam() / "image-config.json";
  if (!fs::exists(file)) GTEST_SKIP() << "this one was lowered only";
  Case const one = load(GetParam());
  json::value const expected = frontend_part(json::parse(read(file)));
  json::value const actual = frontend_part(json::parse(one.lowered.image_config));
  EXPECT_EQ(expected, actual) << json::serialize(expected) << "\n" << json::serialize(actual);
}

TEST(VectorsTest, EpochDatesEveryStep) {
  Case const one = load("epoch");
  json::value const config = json::parse(one.lowered.image_config);
  json::value const expected = json::parse(read(kVectors / "epoch" / "image-config.json"));
  EXPECT_EQ(expected.at("history"), config.at("history"));
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kVectors)) {
    std::string const name = entry.path().filename().string();
    if (fs::exists(entry.path() / "llb.json")) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, VectorsTest, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

}  // namespace
}  // namespace cobuild::dockerfile
