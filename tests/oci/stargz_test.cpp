/// Layers that can be read file by file (F4.2.13, F4.5.14).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/thread_pool.hpp>
#include <boost/json.hpp>

#include <optional>
#include <random>
#include <string>

#include "core/base/error.hpp"
#include "oci/layer_diff.hpp"
#include "oci/layer_tree.hpp"
#include "oci/stargz_toc.hpp"
#include "oci/stargz_writer.hpp"
#include "oci/tar_builder.hpp"
#include "oci/tar_reader.hpp"

namespace cobuild::oci {
namespace {

namespace json = boost::json;
using test::TarBuilder;
using testing::HasSubstr;

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::string inflate(std::string_view packed) {
  std::string out;
  InflateStream stream({}, [&](std::span<const std::byte> data) {
    out.append(reinterpret_cast<const char*>(data.data()), data.size());
  });
  stream.write(std::as_bytes(std::span(packed)));
  stream.finish();
  return out;
}

std::string noise(std::size_t size) {
  std::mt19937 random(7);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>('a' + random() % 20);
  return text;
}

struct Stargz {
  std::string blob;
  SealedLayer sealed;
  std::uint64_t toc_offset = 0;
  json::value toc;

  /// The contents from the offset of `entry` to the end, as a reader that has only the table gets
  /// them.
  [[nodiscard]] std::string from(const json::value& entry) const {
    auto const offset = entry.at("offset").to_number<std::size_t>();
    return inflate(std::string_view(blob).substr(offset, toc_offset - offset));
  }
  [[nodiscard]] const json::array& entries() const { return toc.at("entries").as_array(); }
};

std::uint64_t toc_offset_of(const std::string& blob) {
  std::string const footer = blob.substr(blob.size() - 51);
  EXPECT_EQ(inflate(footer), "");
  EXPECT_EQ(footer.substr(12, 4), std::string("SG\x16\0", 4));
  EXPECT_EQ(footer.substr(32, 6), "STARGZ");
  return std::stoull(footer.substr(16, 16), nullptr, 16);
}

/// Repacks a tar, and reads what there is to read about the result.
Stargz make(const std::string& tar, unsigned threads = 0) {
  std::optional<asio::thread_pool> pool;
  if (threads > 0) pool.emplace(threads);
  UniqueFd const from = test::file_with(tar);
  UniqueFd const to = test::file_with("");
  SealOptions options;
  options.stargz = true;
  options.pool = pool ? &*pool : nullptr;
  SealedLayer sealed = repack_layer(from.get(), options, to.get());
  std::string blob(static_cast<std::size_t>(sealed.blob_bytes), '\0');
  EXPECT_EQ(::pread(to.get(), blob.data(), blob.size(), 0), sealed.blob_bytes);
  Stargz out{std::move(blob), std::move(sealed), 0, {}};
  out.toc_offset = toc_offset_of(out.blob);
  std::string const toc_tar = inflate(std::string_view(out.blob).substr(out.toc_offset));
  TarReader reader(
      [rest = std::as_bytes(std::span(toc_tar))]() mutable { return std::exchange(rest, {}); });
  TarEntry entry;
  EXPECT_TRUE(reader.next(entry));
  EXPECT_EQ(entry.name, "stargz.index.json");
  std::string const text = toc_tar.substr(512, entry.size);
  EXPECT_FALSE(reader.next(entry));
  EXPECT_EQ(out.sealed.annotations.at("containerd.io/snapshot/stargz/toc.digest"),
            Digest::of(std::string_view(text)).to_string());
  out.toc = json::parse(text);
  return out;
}

TEST(Stargz, DigestsAreThoseOfTheWholeTar) {
  std::string const tar = TarBuilder().directory("d").file("d/f", "hello").finish();
  Stargz const stargz = make(tar);
  std::string const whole = inflate(stargz.blob);
  EXPECT_EQ(stargz.sealed.diff_id, DiffId(Digest::of(std::string_view(whole))));
  EXPECT_EQ(stargz.sealed.source_diff_id, DiffId(Digest::of(std::string_view(tar))));
  EXPECT_EQ(stargz.sealed.blob_digest, BlobDigest(Digest::of(std::string_view(stargz.blob))));
  EXPECT_EQ(stargz.sealed.annotations.at("io.containers.estargz.uncompressed-size"),
            std::to_string(whole.size()));
}

TEST(Stargz, AnOrdinaryReaderSeesTheFilesAndTheLandmarkOnly) {
  Stargz const stargz = make(TarBuilder().directory("d").file("d/f", "hello").finish());
  std::string const whole = inflate(stargz.blob);
  TarReader reader(
      [rest = std::as_bytes(std::span(whole))]() mutable { return std::exchange(rest, {}); });
  std::vector<std::string> names;
  TarEntry entry;
  while (reader.next(entry)) names.push_back(entry.name);
  EXPECT_THAT(names, testing::ElementsAre(".no.prefetch.landmark", "d/", "d/f"));
}

TEST(Stargz, TheTableHasEveryKindOfEntry) {
  TarHeader capable{
      .name = "capable", .mode = 0755, .uid = 7, .gid = 8, .mtime = TarBuilder::kTime};
  capable.records["SCHILY.xattr.security.capability"] = std::string("\x01\0\x02", 3);
  TarHeader const device{.name = "null",
                         .type = TarType::kCharDevice,
                         .mode = 0666,
                         .device_major = 1,
                         .device_minor = 3};
  Stargz const stargz = make(TarBuilder()
                                 .directory("d")
                                 .file("d/empty")
                                 .file("d/\"quoted\" & \xff", "x")
                                 .symlink("s", "d/empty")
                                 .link("l", "d/empty")
                                 .add(capable, "c")
                                 .add(device)
                                 .finish());
  std::string const text = json::serialize(stargz.toc);
  EXPECT_THAT(
      text,
      HasSubstr(
          R"("version":1,"entries":[{"name":".no.prefetch.landmark","type":"reg","size":1,"offset":)"));
  EXPECT_THAT(
      text, HasSubstr(R"({"name":"d/","type":"dir","modtime":"2020-09-13T12:26:40Z","mode":493})"));
  EXPECT_THAT(
      text,
      HasSubstr(
          R"("name":"d/empty","type":"reg","modtime":"2020-09-13T12:26:40Z","mode":420,"digest":"sha256:e3b0c442)"));
  EXPECT_THAT(text, HasSubstr("\"d/\\\"quoted\\\" & \xef\xbf\xbd\""));
  EXPECT_THAT(
      text,
      HasSubstr(
          R"("type":"symlink","modtime":"2020-09-13T12:26:40Z","linkName":"d/empty","mode":511)"));
  EXPECT_THAT(
      text,
      HasSubstr(
          R"({"name":"l","type":"hardlink","modtime":"2020-09-13T12:26:40Z","linkName":"d/empty")"));
  EXPECT_THAT(text, HasSubstr(R"("uid":7,"gid":8,)"));
  EXPECT_THAT(text, HasSubstr(R"("xattrs":{"security.capability":"AQAC"})"));
  EXPECT_THAT(text,
              HasSubstr(R"({"name":"null","type":"char","mode":438,"devMajor":1,"devMinor":3})"));
}

TEST(Stargz, EachChunkCanBeReadByItself) {
  std::string const large = noise(5 * kMiB + 5);
  std::string const exact = noise(4 * kMiB);
  Stargz const stargz = make(TarBuilder()
                                 .file("a", "first")
                                 .file("large", large)
                                 .file("exact", exact)
                                 .file("z", "last")
                                 .finish());
  std::vector<std::string> chunks;
  for (const json::value& entry : stargz.entries()) {
    const json::object& members = entry.as_object();
    std::string const name(entry.at("name").as_string());
    std::size_t const begin =
        members.contains("chunkOffset") ? entry.at("chunkOffset").to_number<std::size_t>() : 0;
    std::string const whole = name == "large"   ? large
                              : name == "exact" ? exact
                              : name == "a"     ? "first"
                              : name == "z"     ? "last"
                                                : "\x0f";
    std::size_t const size = members.contains("chunkSize")
                                 ? entry.at("chunkSize").to_number<std::size_t>()
                                 : whole.size() - begin;
    std::string const contents = stargz.from(entry).substr(0, size);
    EXPECT_EQ(contents, whole.substr(begin, size)) << name;
    EXPECT_EQ(entry.at("chunkDigest").as_string(),
              Digest::of(std::string_view(contents)).to_string());
    if (entry.at("type").as_string() == "reg") {
      EXPECT_EQ(entry.at("digest").as_string(), Digest::of(std::string_view(whole)).to_string());
      EXPECT_EQ(entry.at("size").to_number<std::size_t>(), whole.size());
    }
    chunks.push_back(name + " " + std::string(entry.at("type").as_string()) + " " +
                     std::to_string(begin));
  }
  EXPECT_THAT(chunks, testing::ElementsAre(".no.prefetch.landmark reg 0", "a reg 0", "large reg 0",
                                           "large chunk 4194304", "exact reg 0", "z reg 0"));
}

TEST(Stargz, TheSameBytesWithAnyNumberOfThreadsAndInAnyPieces) {
  TarBuilder builder;
  for (int i = 0; i < 300; ++i) {
    builder.file("f" + std::to_string(i), noise(static_cast<std::size_t>(i) * 300));
  }
  std::string const tar = builder.file("large", noise(6 * kMiB)).finish();
  Stargz const alone = make(tar);
  for (unsigned const threads : {1U, 2U, 5U})
    EXPECT_EQ(make(tar, threads).blob, alone.blob) << threads;
  std::string pieces;
  StargzWriter writer(
      [&](std::span<const std::byte> data) {
        pieces.append(reinterpret_cast<const char*>(data.data()), data.size());
      },
      [] {});
  for (std::size_t at = 0; at < tar.size(); at += 777) {
    writer.write(
        std::as_bytes(std::span(tar).subspan(at, std::min<std::size_t>(777, tar.size() - at))));
  }
  writer.finish();
  EXPECT_EQ(pieces, inflate(alone.blob).substr(0, pieces.size()));
}

TEST(Stargz, SealingALayerDirectoryIsRepackingItsTar) {
  test::Scratch const scratch;
  std::filesystem::path const layer = scratch.make("layer");
  test::write_text(layer / "f", "text");
  test::set_time(layer / "f", TarBuilder::kTime);
  SealOptions options;
  options.stargz = true;
  UniqueFd const to = test::file_with("");
  SealedLayer const sealed = seal_layer({layer}, {}, options, to.get());
  EXPECT_EQ(sealed.blob_digest, make(test::tar_of(layer)).sealed.blob_digest);
}

TEST(Stargz, WhatIsOneAlreadyBecomesTheSame) {
  Stargz const once = make(TarBuilder().file("a", "1").directory("d").finish());
  EXPECT_EQ(make(once.blob).blob, once.blob);
  // Others have their table inside of what readers take for the archive.
  std::string const inside = TarBuilder()
                                 .file("a", "1")
                                 .file(".prefetch.landmark", "\xf")
                                 .directory("d")
                                 .file("./stargz.index.json", "{}")
                                 .finish();
  EXPECT_EQ(make(inside).blob, once.blob);
}

TEST(Stargz, AnEmptyLayer) {
  Stargz const stargz = make(TarBuilder().finish());
  EXPECT_EQ(stargz.entries().size(), 1U);
  EXPECT_EQ(stargz.from(stargz.entries()[0]).substr(0, 1), "\x0f");
}

TEST(Stargz, WhatIsRefused) {
  std::string const tar = TarBuilder().file("f", noise(2000)).finish();
  EXPECT_THROW((void)make(tar.substr(0, 1000)), Error);
  EXPECT_THROW((void)make(tar.substr(0, 100)), Error);
  EXPECT_THROW((void)make(TarBuilder().raw(std::string(512, 'x')).finish()), Error);
  EXPECT_THROW((void)make(TarBuilder().file("../f", "x").finish()), Error);
  std::string const longest = format_tar_header({.name = std::string(300, 'n')});
  EXPECT_THROW((void)make(longest.substr(0, longest.size() - 512) + std::string(1024, '\0')),
               Error);
}

}  // namespace
}  // namespace cobuild::oci
