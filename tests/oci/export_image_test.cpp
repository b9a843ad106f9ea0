#include "oci/export_image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "oci/layer_tree.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/tar_builder.hpp"
#include "oci/tar_reader.hpp"

namespace cobuild::oci {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::Scratch;
using test::TarBuilder;
using testing::HasSubstr;

/// An image of one gzip layer with one file, and where its blob is.
struct Sample {
  Scratch scratch;
  ExportImage image;
  fs::path blob;

  [[nodiscard]] BlobOpener opener() const {
    return [path = blob](const BlobDigest&) { return open_file(path, O_RDONLY); };
  }
};

ExportImage image_of(const ImageLayer& layer) {
  return export_of(build_image(default_image_config("linux", "amd64", ""), {layer}), {layer},
                   Timestamp(std::chrono::seconds(1'700'000'000)));
}

Sample make_sample() {
  Scratch scratch;
  fs::path const layer = scratch.make("layer");
  test::write_text(layer / "hello", "hello\n");
  EXPECT_EQ(::chmod((layer / "hello").c_str(), 0644), 0);
  test::set_time(layer / "hello", 1'600'000'000);
  fs::path const blob = scratch.path() / "blob";
  UniqueFd fd(::open(blob.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  SealedLayer const sealed = seal_layer({layer}, {}, {.diff = {}, .level = {}}, fd.get());
  fd.close();
  ExportImage image = image_of({.diff_id = sealed.diff_id,
                                .blob_digest = sealed.blob_digest,
                                .blob_bytes = sealed.blob_bytes,
                                .media_type = std::string(kOciLayerGzip),
                                .annotations = {},
                                .created_at = Timestamp(std::chrono::seconds(1'600'000'000)),
                                .description = "test"});
  return {std::move(scratch), std::move(image), blob};
}

struct Member {
  std::uint32_t mode;
  std::int64_t mtime;
  std::string text;
};

/// The members of an archive, in order.
std::vector<std::pair<std::string, Member>> members_of(const fs::path& archive) {
  std::string const tar = read_text(archive);
  bool done = false;
  TarReader reader([&]() -> std::span<const std::byte> {
    if (std::exchange(done, true)) return {};
    return std::as_bytes(std::span(tar));
  });
  std::vector<std::pair<std::string, Member>> members;
  TarEntry entry;
  while (reader.next(entry)) {
    std::string text;
    for (TarData data = reader.read(); !data.bytes.empty(); data = reader.read()) {
      text.append(reinterpret_cast<const char*>(data.bytes.data()), data.bytes.size());
    }
    members.emplace_back(entry.name, Member{entry.mode, entry.mtime, text});
  }
  return members;
}

std::size_t files_in(const fs::path& directory) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

/// F4.3.2, F4.3.5.
TEST(ImageArchive, HasTheLayoutOfContainerd) {
  Sample sample = make_sample();
  sample.image.names = {"docker.io/library/demo:1", "example.com/x/demo:two"};
  fs::path const path = sample.scratch.path() / "out.tar";
  write_image_archive(sample.image, ArchiveFormat::kDocker, sample.opener(), path);
  auto const members = members_of(path);
  std::vector<std::string> names;
  std::vector<std::string> blobs;
  for (const auto& [name, member] : members) {
    names.push_back(name);
    if (name.size() > 14 && name.starts_with("blobs/sha256/")) {
      blobs.push_back(name);
      EXPECT_EQ(Digest::of(member.text).hex(), name.substr(13));
      EXPECT_EQ(member.mode, 0444U);
    }
    EXPECT_EQ(member.mtime, 0);
  }
  ASSERT_EQ(names.size(), 8U);
  EXPECT_EQ(names[0], "blobs/");
  EXPECT_EQ(names[1], "blobs/sha256/");
  EXPECT_EQ(names[5], "index.json");
  EXPECT_EQ(names[6], "manifest.json");
  EXPECT_EQ(names[7], "oci-layout");
  EXPECT_TRUE(std::is_sorted(blobs.begin(), blobs.end()));
  EXPECT_EQ(blobs.size(), 3U);
  EXPECT_EQ(members[0].second.mode, 0755U);
  EXPECT_EQ(members[5].second.mode, 0644U);
  EXPECT_EQ(members[7].second.mode, 0444U);
  EXPECT_EQ(members[7].second.text, R"({"imageLayoutVersion":"1.0.0"})");
  std::string const digest = sample.image.root.digest.to_string();
  std::string const start =
      R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")" + digest +
      R"(","size":)" + std::to_string(sample.image.root.text.size()) +
      R"(,"annotations":{"io.containerd.image.name":")";
  std::string const created =
      R"(","org.opencontainers.image.created":"2023-11-14T22:13:20Z","org.opencontainers.image.ref.name":")";
  EXPECT_EQ(
      members[5].second.text,
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)" +
          start + "docker.io/library/demo:1" + created + R"(1"}},)" + start +
          "example.com/x/demo:two" + created + R"(two"}}]})");
  EXPECT_EQ(members[6].second.text,
            R"([{"Config":"blobs/sha256/)" + sample.image.config->digest().hex() +
                R"(","RepoTags":["demo:1","example.com/x/demo:two"],"Layers":["blobs/sha256/)" +
                sample.image.layers[0].digest.digest().hex() + R"("]}])");
}

TEST(ImageArchive, OciHasNoDockerManifest) {  // F4.3.1
  Sample const sample = make_sample();
  fs::path const path = sample.scratch.path() / "out.tar";
  write_image_archive(sample.image, ArchiveFormat::kOci, sample.opener(), path);
  auto const members = members_of(path);
  ASSERT_EQ(members.size(), 7U);
  EXPECT_THAT(members[5].second.text, Not(HasSubstr("ref.name")));
}

TEST(ImageArchive, GoesThroughPipesAsToFiles) {
  Sample const sample = make_sample();
  fs::path const file = sample.scratch.path() / "file.tar";
  fs::path const piped = sample.scratch.path() / "piped.tar";
  write_image_archive(sample.image, ArchiveFormat::kOci, sample.opener(), file);
  std::string const command = "cat > " + piped.string();
  FILE* pipe = ::popen(command.c_str(), "w");
  write_image_archive(sample.image, ArchiveFormat::kOci, sample.opener(), ::fileno(pipe));
  ASSERT_EQ(::pclose(pipe), 0);
  EXPECT_TRUE(read_text(file) == read_text(piped));
}

TEST(ImageArchive, LeavesNothingBehindWhenItFails) {
  Sample const sample = make_sample();
  fs::path const out = sample.scratch.make("out");
  test::write_text(out / "there.tar", "old");
  BlobOpener const missing = [](const BlobDigest&) -> UniqueFd {
    throw Error(ErrorKind::kNotFound, "gone");
  };
  EXPECT_THROW(write_image_archive(sample.image, ArchiveFormat::kOci, missing, out / "new.tar"),
               Error);
  EXPECT_THROW(write_image_archive(sample.image, ArchiveFormat::kOci, missing, out / "there.tar"),
               Error);
  EXPECT_EQ(files_in(out), 1U);
  EXPECT_EQ(read_text(out / "there.tar"), "old");
}

TEST(ImageArchive, NoticesBlobsThatChanged) {
  Sample const sample = make_sample();
  fs::path const out = sample.scratch.make("out");
  std::string blob = read_text(sample.blob);
  blob.back() = static_cast<char>(~blob.back());
  test::write_text(sample.blob, blob);
  FILE* null = ::popen("cat > /dev/null", "w");
  EXPECT_THROW(
      write_image_archive(sample.image, ArchiveFormat::kOci, sample.opener(), ::fileno(null)),
      Error);
  ::pclose(null);
  test::write_text(sample.blob, "short");
  EXPECT_THROW(
      write_image_archive(sample.image, ArchiveFormat::kOci, sample.opener(), out / "x.tar"),
      Error);
  EXPECT_EQ(files_in(out), 0U);
}

TEST(ImageArchive, SaysThatTheDiskIsFull) {
  Sample const sample = make_sample();
  try {
    write_image_archive(sample.image, ArchiveFormat::kOci, sample.opener(), fs::path("/dev/full"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("/dev/full: no space left on device"));
  }
}

TEST(ImageArchive, RefusesDirectories) {
  Sample const sample = make_sample();
  try {
    write_image_archive(sample.image, ArchiveFormat::kOci, sample.opener(), sample.scratch.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("destination file is a directory"));
  }
}

TEST(ImageArchive, ReplacesTheFileBehindALink) {
  Sample const sample = make_sample();
  fs::path const out = sample.scratch.make("out");
  test::write_text(out / "real.tar", "old");
  fs::create_symlink("real.tar", out / "link.tar");
  write_image_archive(sample.image, ArchiveFormat::kOci, sample.opener(), out / "link.tar");
  EXPECT_TRUE(fs::is_symlink(out / "link.tar"));
  EXPECT_GT(fs::file_size(out / "real.tar"), 1000U);
}

/// F4.3.6.
TEST(ImageLayout, ReplacesTheSameNameAndKeepsOthers) {
  Sample sample = make_sample();
  fs::path const out = sample.scratch.path() / "layout";
  auto names = [&] {
    std::vector<std::string> found;
    for (const Descriptor& manifest : parse_index(read_text(out / "index.json")).manifests) {
      auto const name = manifest.annotations.find("io.containerd.image.name");
      found.push_back((name == manifest.annotations.end() ? "" : name->second) + " " +
                      manifest.annotations.at("org.opencontainers.image.ref.name"));
    }
    return found;
  };
  write_image_layout(sample.image, sample.opener(), out);
  EXPECT_THAT(names(), testing::ElementsAre(" latest"));
  sample.image.names = {"docker.io/library/a:1", "docker.io/library/b:1"};
  write_image_layout(sample.image, sample.opener(), out);
  write_image_layout(sample.image, sample.opener(), out);
  EXPECT_THAT(names(), testing::ElementsAre(" latest", "docker.io/library/a:1 1",
                                            "docker.io/library/b:1 1"));
  EXPECT_EQ(files_in(out / "blobs/sha256"), 3U);
  EXPECT_FALSE(fs::exists(out / "index.json.lock"));
  EXPECT_EQ(read_text(out / "oci-layout"), R"({"imageLayoutVersion":"1.0.0"})");
}

TEST(ImageLayout, WritesNothingToABrokenIndex) {
  Sample const sample = make_sample();
  fs::path const out = sample.scratch.make("layout");
  test::write_text(out / "index.json", "{broken");
  EXPECT_THROW(write_image_layout(sample.image, sample.opener(), out), Error);
  EXPECT_EQ(read_text(out / "index.json"), "{broken");
  EXPECT_FALSE(fs::exists(out / "index.json.lock"));
}

TEST(ImageLayout, WhatFailsLeavesNothing) {
  Sample const sample = make_sample();
  auto const breaks = [](const BlobDigest&) -> UniqueFd {
    throw Error(ErrorKind::kUnavailable, "no space left on device");
  };
  EXPECT_THROW(write_image_layout(sample.image, breaks, sample.scratch.path() / "new/below"),
               Error);
  EXPECT_FALSE(fs::exists(sample.scratch.path() / "new"));

  // With the index, which comes last.
  fs::path const out = sample.scratch.make("mine");
  fs::create_directories(out / "blobs/sha256");
  test::write_text(out / "blobs/sha256/other", "mine");
  test::write_text(out / "index.json", "{broken");
  EXPECT_THROW(write_image_layout(sample.image, sample.opener(), out), Error);
  EXPECT_EQ(files_in(out / "blobs/sha256"), 1U);
  EXPECT_EQ(files_in(out), 2U);
}

TEST(ImageLayout, RespectsTheLock) {
  Sample const sample = make_sample();
  fs::path const out = sample.scratch.make("layout");
  UniqueFd const lock(
      ::open((out / "index.json.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
  try {
    write_image_layout(sample.image, sample.opener(), out);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("could not lock"));
  }
  EXPECT_FALSE(fs::exists(out / "index.json"));
  EXPECT_TRUE(fs::exists(out / "index.json.lock")) << "it belongs to the other one";
}

TEST(OciReferenceName, Table) {
  EXPECT_EQ(oci_reference_name("docker.io/library/alpine:3.19"), "3.19");
  EXPECT_EQ(oci_reference_name("localhost:5000/a/b:c"), "c");
  EXPECT_EQ(oci_reference_name("localhost:5000/a/b"), "localhost:5000/a/b");
  EXPECT_EQ(oci_reference_name("docker.io/a/b@sha256:00"), "docker.io/a/b@sha256:00");
  EXPECT_EQ(oci_reference_name("docker.io/a/b:1@sha256:00"), "1@sha256:00");
}

/// F4.1.9, F4.1.10.
TEST(Metadata, InlinesEmbeddedJson) {
  EXPECT_EQ(
      metadata_json({{"a", "text"},
                     {"b", "eyJ4IjpbMSwiPCJdfQ=="},
                     {"empty.object", "e30="},
                     {"not.json", "dGV4dA=="},
                     {"list", "WzFd"}}),
      "{\n  \"a\": \"text\",\n  \"b\": {\n    \"x\": [\n      1,\n      \"\\u003c\"\n    ]\n  },\n"
      "  \"empty.object\": \"e30=\",\n  \"list\": \"WzFd\",\n  \"not.json\": \"dGV4dA==\"\n}");
}

TEST(Metadata, DescribesTheImage) {
  Sample sample = make_sample();
  sample.image.names = {"docker.io/library/a:1", "docker.io/library/b:1"};
  sample.image.platform = parse_platform("linux/arm/v7");
  std::map<std::string, std::string> const response = export_response(sample.image, true);
  EXPECT_EQ(response.at("containerimage.digest"), sample.image.root.digest.to_string());
  EXPECT_EQ(response.at("containerimage.config.digest"), sample.image.config->to_string());
  EXPECT_EQ(response.at("image.name"), "docker.io/library/a:1,docker.io/library/b:1");
  fs::path const path = sample.scratch.path() / "metadata.json";
  write_metadata_file(path, response);
  std::string const text = read_text(path);
  EXPECT_THAT(text, HasSubstr("\"containerimage.descriptor\": {\n    \"mediaType\": "));
  EXPECT_THAT(text, HasSubstr("\"org.opencontainers.image.created\": \"2023-11-14T22:13:20Z\""));
  EXPECT_THAT(text, HasSubstr("\"variant\": \"v7\""));
}

bool has_program(const std::string& name) {
  return std::system(("command -v " + name + " > /dev/null 2>&1").c_str()) == 0;
}

std::string output_of(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string text;
  char buffer[4096];
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    text.append(buffer, n);
  int const status = ::pclose(pipe);
  return std::to_string(status) + "\n" + text;
}

TEST(ExportIntegration, SkopeoReadsAllForms) {
  if (!has_program("skopeo")) GTEST_SKIP() << "skopeo is not installed";
  Sample sample = make_sample();
  sample.image.names = {"docker.io/library/demo:1"};
  fs::path const dir = sample.scratch.path();
  write_image_archive(sample.image, ArchiveFormat::kOci, sample.opener(), dir / "oci.tar");
  write_image_archive(sample.image, ArchiveFormat::kDocker, sample.opener(), dir / "docker.tar");
  write_image_layout(sample.image, sample.opener(), dir / "layout");
  for (const std::string& name : {"oci-archive:" + (dir / "oci.tar").string(),
                                  "docker-archive:" + (dir / "docker.tar").string(),
                                  "oci:" + (dir / "layout").string() + ":1"}) {
    std::string const output = output_of("skopeo inspect " + name);
    EXPECT_TRUE(output.starts_with("0\n")) << name << ": " << output;
    EXPECT_THAT(output, HasSubstr("\"Architecture\": \"amd64\"")) << name;
  }
}

TEST(ExportIntegration, UmociUnpacksTheLayout) {
  if (!has_program("umoci")) GTEST_SKIP() << "umoci is not installed";
  if (::geteuid() != 0) GTEST_SKIP() << "umoci unpacks as root";
  Sample const sample = make_sample();
  fs::path const dir = sample.scratch.path();
  write_image_layout(sample.image, sample.opener(), dir / "layout");
  std::string const output = output_of("umoci unpack --image " + (dir / "layout").string() +
                                       ":latest " + (dir / "bundle").string());
  EXPECT_TRUE(output.starts_with("0\n")) << output;
  EXPECT_EQ(read_text(dir / "bundle/rootfs/hello"), "hello\n");
}

}  // namespace
}  // namespace cobuild::oci
