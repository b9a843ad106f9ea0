#include "oci/tree_pack.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/base/error.hpp"
#include "core/sys/tree.hpp"
#include "oci/output_file.hpp"

namespace cobuild::oci {
namespace {

/// Of chunks, before packing. Services take objects of this size in one piece, and a pack that broke
/// off costs little.
constexpr std::uint64_t kPackBytes = std::uint64_t{64} << 20;
/// A tree that needs more packs than this gets larger ones.
constexpr std::uint64_t kNewPacksMax = 32;
/// With more packs than the first, the smallest go until the second is reached.
constexpr std::size_t kPacksMax = 48;
constexpr std::size_t kPacksGoal = 24;
constexpr std::size_t kReadBytes = std::size_t{1} << 20;

/// The base's packs as the tree sees them.
std::vector<TreePack> find_packs(const ScannedTree& tree, const TreeHead& base,
                                 const std::set<Digest>& missing) {
  std::unordered_map<Digest, std::uint32_t> numbers;
  for (std::uint32_t i = 0; i < tree.chunks.size(); ++i) numbers.emplace(tree.chunks[i].digest, i);
  std::vector<TreePack> packs;
  std::vector<bool> seen_before(tree.chunks.size());  // Bases come from elsewhere.
  for (const TreePack& pack : base.packs) {
    if (missing.contains(pack.digest)) continue;
    TreePack& seen = packs.emplace_back(pack);
    for (TreePack::Record& record : seen.records) {
      if (record.chunk == kDeadChunk) continue;
      auto const number = numbers.find(base.chunks.at(record.chunk).digest);
      bool const is_live = number != numbers.end() && !seen_before[number->second] &&
                           tree.chunks[number->second].size == record.size;
      record.chunk = is_live ? number->second : kDeadChunk;
      if (is_live) seen_before[number->second] = true;
    }
  }
  return packs;
}

void give_up_packs(std::vector<TreePack>& packs) {
  std::erase_if(packs, [](const TreePack& pack) {
    std::uint64_t const live = pack.live_bytes();
    return live == 0 || live * 2 < pack.raw_bytes();
  });
  if (packs.size() <= kPacksMax) return;
  std::ranges::sort(packs, std::ranges::greater(), &TreePack::live_bytes);
  packs.erase(packs.begin() + kPacksGoal, packs.end());
}

/// Files of a tree, the one that was read last being open.
class ChunkReader {
 public:
  ChunkReader(const std::filesystem::path& directory, const ScannedTree& tree)
      : root_(open_file(directory, O_PATH | O_DIRECTORY)), tree_(tree) {}

  /// Valid until the next call.
  std::span<const std::byte> read(std::uint32_t number) {
    ScannedTree::Place const place = tree_.places[number];
    std::string const& path = tree_.files[place.file];
    if (opened_ != place.file) {
      file_ = open_in_root(root_.get(), path, O_RDONLY | O_NOFOLLOW);
      opened_ = place.file;
    }
    buffer_.resize(tree_.chunks[number].size);
    std::size_t done = 0;
    while (done < buffer_.size()) {
      ssize_t const count = ::pread(file_.get(), buffer_.data() + done, buffer_.size() - done,
                                    static_cast<off_t>(place.offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw Error::from_errno(errno, "read /" + path);
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    buffer_.resize(done);
    if (Digest::of(std::span<const std::byte>(buffer_)) != tree_.chunks[number].digest) {
      throw Error(ErrorKind::kInternal, "/" + path + " changed while it was read");
    }
    return buffer_;
  }

 private:
  UniqueFd root_;
  const ScannedTree& tree_;
  UniqueFd file_;
  std::optional<std::uint32_t> opened_;
  std::vector<std::byte> buffer_;
};

/// Counts and hashes what goes to a file.
class HashedOutput {
 public:
  HashedOutput(int fd, std::string_view what) : fd_(fd), what_(what) {}

  void write(std::span<const std::byte> data) {
    hash_.write(data);
    bytes_ += data.size();
    write_fully(fd_, data, what_);
  }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] Digest finish() { return hash_.finish(); }

 private:
  int fd_;
  std::string_view what_;
  DigestWriter hash_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::uint64_t PackPlan::fresh_bytes(const ScannedTree& tree) const {
  std::uint64_t bytes = 0;
  for (const auto& chunks : fresh) {
    for (std::uint32_t const number : chunks) bytes += tree.chunks[number].size;
  }
  return bytes;
}

PackPlan plan_packs(const ScannedTree& tree, const TreeHead* base,
                    const std::set<Digest>& missing_packs) {
  PackPlan plan;
  if (base != nullptr) plan.kept = find_packs(tree, *base, missing_packs);
  give_up_packs(plan.kept);
  std::vector<bool> placed(tree.chunks.size());
  for (const TreePack& pack : plan.kept) {
    for (const TreePack::Record& record : pack.records) {
      if (record.chunk != kDeadChunk) placed[record.chunk] = true;
    }
  }
  std::uint64_t const pack_bytes = std::max(kPackBytes, tree.bytes / kNewPacksMax);
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < tree.chunks.size(); ++i) {
    if (placed[i]) continue;
    if (plan.fresh.empty() || bytes + tree.chunks[i].size > pack_bytes) {
      plan.fresh.emplace_back();
      bytes = 0;
    }
    plan.fresh.back().push_back(i);
    bytes += tree.chunks[i].size;
  }
  return plan;
}

TreePack write_pack(const std::filesystem::path& directory, const ScannedTree& tree,
                    const std::vector<std::uint32_t>& chunks, const PackOptions& options, int out_fd) {
  HashedOutput out(out_fd, "a pack");
  DeflateStream deflate({.compression = Compression::kZstd, .level = {}, .pool = options.pool},
                        [&out](std::span<const std::byte> data) { out.write(data); });
  ChunkReader reader(directory, tree);
  TreePack pack{.digest = Digest(Digest::Bytes{}), .records = {}};
  for (std::uint32_t const number : chunks) {
    deflate.write(reader.read(number));
    pack.records.push_back({number, tree.chunks[number].size});
    if (options.after_chunk) options.after_chunk();
  }
  deflate.finish();
  pack.bytes = out.bytes();
  pack.digest = out.finish();
  return pack;
}

WrittenIndex write_index(const TreeHead& head, int tree_fd, int out_fd) {
  HashedOutput out(out_fd, "an index");
  DeflateStream deflate({.compression = Compression::kZstd, .level = {}},
                        [&out](std::span<const std::byte> data) { out.write(data); });
  std::string const text = format_tree_head(head);
  deflate.write(std::as_bytes(std::span(text)));
  deflate.finish();
  std::vector<std::byte> buffer(kReadBytes);
  for (off_t offset = 0;;) {
    ssize_t const count = ::pread(tree_fd, buffer.data(), buffer.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error::from_errno(errno, "read an index");
    if (count == 0) break;
    out.write(std::span(buffer).first(static_cast<std::size_t>(count)));
    offset += count;
  }
  std::uint64_t const bytes = out.bytes();
  return {out.finish(), bytes};
}

}  // namespace cobuild::oci
