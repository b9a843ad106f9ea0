#include "core/solve/file_list.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <unordered_set>

namespace cobuild::solve {
namespace {

constexpr char kComplete = 'c';
constexpr char kIncomplete = 'i';
constexpr std::uint8_t kWholeFlag = 1;
/// A path and all numbers.
constexpr std::size_t kPathBytesMax = 1 << 16;

void put_number(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xFF);
}

void put_length(std::string& out, std::size_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  out += static_cast<char>(value);
}

[[nodiscard]] bool is_directory(const ListedFile& file) {
  return S_ISDIR(file.mode);
}

/// Takes an encoded list apart; `ok` is false from the first thing on that is wrong.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool done() const { return rest_.empty(); }
  [[nodiscard]] bool ok() const { return ok_; }

  std::uint8_t byte() {
    std::string_view const bytes = take(1);
    return bytes.empty() ? 0 : static_cast<std::uint8_t>(bytes[0]);
  }
  std::uint32_t number() {
    std::uint32_t value = 0;
    for (int shift = 0; shift < 32; shift += 8) value |= std::uint32_t{byte()} << shift;
    return value;
  }
  std::size_t length() {
    std::size_t value = 0;
    for (int shift = 0; shift < 21; shift += 7) {
      std::uint8_t const next = byte();
      value |= static_cast<std::size_t>(next & 0x7F) << shift;
      if ((next & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }
  std::string_view take(std::size_t count) {
    if (count > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    std::string_view const taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

[[nodiscard]] std::optional<FileChange> compare_one(const ListedFile& before, const ListedFile& now) {
  FileChange change;
  change.path = now.path;
  if ((before.mode & S_IFMT) != (now.mode & S_IFMT)) {
    change.kind = FileChangeKind::kType;
    return change;
  }
  if (before.mode != now.mode) {
    bool const rewritten = before.size != now.size || before.time != now.time;
    change.kind = rewritten ? FileChangeKind::kModeAndMore : FileChangeKind::kMode;
    change.mode_before = before.mode & 07777;
    change.mode = now.mode & 07777;
    return change;
  }
  if (before.whole != now.whole || before.digest == now.digest) return std::nullopt;
  change.kind = FileChangeKind::kContent;
  if (now.whole) {
    change.kind = FileChangeKind::kBelow;
  } else if (before.size == now.size && before.time == now.time) {
    change.kind = FileChangeKind::kAttributes;
  }
  return change;
}

/// Directories of whose entries nothing is to be told.
class Hidden {
 public:
  void add(const std::string& directory) { directories_.insert(directory); }
  [[nodiscard]] bool contains(const std::string& path) const {
    if (directories_.empty()) return false;
    if (!path.empty() && directories_.contains("")) return true;
    for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      if (directories_.contains(path.substr(0, slash))) return true;
    }
    return false;
  }

 private:
  std::unordered_set<std::string> directories_;
};

}  // namespace

std::string encode(const FileList& list) {
  std::string out(1, list.complete ? kComplete : kIncomplete);
  std::string_view former;
  for (const ListedFile& file : list.files) {
    std::size_t const before = out.size();
    std::size_t const limit = std::min(former.size(), file.path.size());
    std::size_t shared = 0;
    while (shared < limit && former[shared] == file.path[shared]) ++shared;
    put_length(out, shared);
    put_length(out, file.path.size() - shared);
    out.append(file.path, shared);
    out += static_cast<char>(file.mode & 0xFF);
    out += static_cast<char>(file.mode >> 8);
    out += static_cast<char>(file.whole ? kWholeFlag : 0);
    if (!is_directory(file) || file.whole) put_number(out, file.digest);
    if (!is_directory(file)) {
      put_number(out, file.size);
      put_number(out, file.time);
    }
    if (out.size() > kFileListBytesMax || file.path.size() >= kPathBytesMax) {
      out.resize(before);
      out[0] = kIncomplete;
      break;
    }
    former = file.path;
  }
  return out;
}

std::optional<FileList> decode_file_list(std::string_view text) {
  Reader reader(text);
  FileList list;
  std::uint8_t const first = reader.byte();
  if (first != kComplete && first != kIncomplete) return std::nullopt;
  list.complete = first == kComplete;
  std::string former;
  while (!reader.done()) {
    std::size_t const shared = reader.length();
    std::size_t const rest = reader.length();
    if (!reader.ok() || shared > former.size()) return std::nullopt;
    ListedFile file;
    file.path = former.substr(0, shared);
    file.path += reader.take(rest);
    file.mode = reader.byte();
    file.mode = static_cast<std::uint16_t>(file.mode | reader.byte() << 8);
    file.whole = (reader.byte() & kWholeFlag) != 0;
    if (!is_directory(file) || file.whole) file.digest = reader.number();
    if (!is_directory(file)) {
      file.size = reader.number();
      file.time = reader.number();
    }
    if (!reader.ok()) return std::nullopt;
    former = file.path;
    list.files.push_back(std::move(file));
  }
  return list;
}

std::string file_list_note(const Digest& content) {
  return "files " + content.hex();
}

std::vector<FileChange> compare(const FileList& before, const FileList& now) {
  std::vector<FileChange> changes;
  Hidden hidden;
  auto const tell = [&](const ListedFile& file, FileChangeKind kind) {
    if (hidden.contains(file.path)) return;
    changes.push_back({kind, file.path, 0, 0});
    if (is_directory(file)) hidden.add(file.path);
  };
  auto old = before.files.begin();
  auto own = now.files.begin();
  while (old != before.files.end() || own != now.files.end()) {
    bool const old_is_next =
        own == now.files.end() || (old != before.files.end() && old->path < own->path);
    if (old_is_next) {
      if (own == now.files.end() && !now.complete) break;  // nobody knows
      tell(*old++, FileChangeKind::kRemoved);
      continue;
    }
    if (old == before.files.end() || own->path < old->path) {
      if (old == before.files.end() && !before.complete) break;
      tell(*own++, FileChangeKind::kAdded);
      continue;
    }
    if (auto change = compare_one(*old, *own)) changes.push_back(std::move(*change));
    // Entries that only one of the lists has are no news where the other one sums up.
    if (old->whole != own->whole || (old->mode & S_IFMT) != (own->mode & S_IFMT)) hidden.add(own->path);
    ++old;
    ++own;
  }
  return changes;
}

}  // namespace cobuild::solve
