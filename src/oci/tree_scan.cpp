#include "oci/tree_scan.hpp"

#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <unordered_map>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/units.hpp"
#include "oci/chunker.hpp"
#include "oci/output_file.hpp"
#include "oci/tar_stream.hpp"
#include "oci/tree_walk.hpp"

namespace cobuild::oci {
namespace {

/// The host's labels mean nothing elsewhere.
constexpr const char* kLabel = "SCHILY.xattr.security.selinux";

class TreeScan {
 public:
  TreeScan(const TreeScanOptions& options, int index_fd)
      : options_(options),
        deflate_({.compression = Compression::kZstd, .level = {}},
                 [index_fd](std::span<const std::byte> data) { write_fully(index_fd, data, "an index"); }),
        tar_([this](std::span<const std::byte> data) {
          hash_.write(data);
          deflate_.write(data);
        }) {}

  ScannedTree run(const std::filesystem::path& directory) {
    auto const visit = [this](TarHeader header, const TreeFile& file) { add(std::move(header), file); };
    visit_tree_root(directory, visit);
    walk_tree(directory, visit);
    tar_.write(tar_end());
    tar_.flush();
    deflate_.finish();
    for (const TreeChunk& chunk : tree_.chunks) hash_.write(std::as_bytes(std::span(chunk.digest.bytes())));
    tree_.digest = hash_.finish();
    return std::move(tree_);
  }

 private:
  void add(TarHeader header, const TreeFile& file) {
    if (++entries_ > kTreeEntriesMax) {
      throw Error(ErrorKind::kUnsupported,
                  "more than " + std::to_string(kTreeEntriesMax) + " files are too many");
    }
    header.records.erase(kLabel);
    if (header.mtime >= 0 && file.status.st_mtim.tv_nsec != 0) {
      std::array<char, 16> fraction{};
      std::snprintf(fraction.data(), fraction.size(), ".%09ld", file.status.st_mtim.tv_nsec);
      header.records["mtime"] = std::to_string(header.mtime) + fraction.data();
    }
    std::string numbers;
    if (header.type == TarType::kRegular && header.size > 0) numbers = cut(file);
    header.size = static_cast<std::int64_t>(numbers.size());
    tar_.write(format_tar_header(header));
    tar_.write(numbers);
    tar_.write(std::string(tar_padding(numbers.size()), '\0'));
    if (options_.after_file) options_.after_file();
  }

  /// The numbers of the file's chunks.
  std::string cut(const TreeFile& file) {
    std::string numbers;
    std::uint64_t offset = 0;
    bool has_new = false;
    UniqueFd const contents = file.open();
    cutter_.cut(contents.get(), file.path, [&](std::span<const std::byte> chunk) {
      Digest const digest = Digest::of(chunk);
      auto const number = static_cast<std::uint32_t>(tree_.chunks.size());
      auto const [known, is_new] = numbers_.emplace(digest, number);
      if (is_new) {
        tree_.chunks.push_back({digest, static_cast<std::uint32_t>(chunk.size())});
        tree_.places.push_back({static_cast<std::uint32_t>(tree_.files.size()), offset});
        has_new = true;
      }
      append_number(numbers, known->second);
      offset += chunk.size();
      count(chunk.size());
    });
    if (has_new) tree_.files.push_back(file.path);
    return numbers;
  }

  void count(std::uint64_t bytes) {
    tree_.bytes += bytes;
    if (tree_.bytes > options_.bytes_max) {
      throw Error(ErrorKind::kUnsupported,
                  "its files have more than " +
                      format_bytes(static_cast<std::int64_t>(options_.bytes_max)) +
                      ": raise it with max-size=SIZE");
    }
    if (tree_.chunks.size() > kTreeChunksMax) {
      throw Error(ErrorKind::kUnsupported,
                  "more than " + std::to_string(kTreeChunksMax) + " different chunks are too many");
    }
  }

  const TreeScanOptions& options_;
  ScannedTree tree_{.digest = Digest(Digest::Bytes{}), .chunks = {}, .places = {}, .files = {}};
  std::unordered_map<Digest, std::uint32_t> numbers_;
  std::uint64_t entries_ = 0;
  FileCutter cutter_;
  DigestWriter hash_;
  DeflateStream deflate_;
  TarStream tar_;
};

}  // namespace

ScannedTree scan_tree(const std::filesystem::path& directory, const TreeScanOptions& options,
                      int index_fd) {
  return TreeScan(options, index_fd).run(directory);
}

}  // namespace cobuild::oci
