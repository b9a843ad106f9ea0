#include "oci/stargz_toc.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <map>

#include "core/base/go_time.hpp"
#include "oci/base64.hpp"
#include "oci/spec/json_text.hpp"
#include "oci/tar_header.hpp"

namespace cobuild::oci {
namespace {

std::string_view type_name(const StargzEntry& entry) {
  if (entry.is_chunk) return "chunk";
  switch (entry.entry.type) {
    case TarType::kRegular: return "reg";
    case TarType::kHardLink: return "hardlink";
    case TarType::kSymlink: return "symlink";
    case TarType::kCharDevice: return "char";
    case TarType::kBlockDevice: return "block";
    case TarType::kDirectory: return "dir";
    case TarType::kFifo: return "fifo";
  }
  return "reg";
}

/// Whole seconds, rounded; empty for 1970 and for times that the format cannot tell.
std::string time_text(const TarEntry& entry) {
  constexpr std::int64_t kSecondsMax = 253'402'300'800;  // The year 10000.
  std::int64_t const seconds = entry.mtime + (entry.mtime_ns >= 500'000'000 ? 1 : 0);
  if (seconds == 0 || seconds >= kSecondsMax || seconds <= -9'000'000'000) return {};
  return format_rfc3339(Timestamp(std::chrono::seconds(seconds)));
}

/// Members of the objects that make up the list, in the order and layout of those who wrote the
/// format.
class EntryText {
 public:
  explicit EntryText(std::string& out) : out_(out) { out_ += "\t\t{"; }
  EntryText(const EntryText&) = delete;
  EntryText& operator=(const EntryText&) = delete;
  ~EntryText() { out_ += "\n\t\t}"; }

  void text(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    key(name);
    append_json_string(value, out_);
  }

  void number(std::string_view name, std::uint64_t value) {
    if (value == 0) return;
    key(name);
    out_ += std::to_string(value);
  }

  void digest(std::string_view name, const std::optional<Digest>& value) {
    if (value) text(name, value->to_string());
  }

  void xattrs(const std::vector<std::pair<std::string, std::string>>& all) {
    if (all.empty()) return;
    key("xattrs");
    out_ += '{';
    const char* separator = "";
    for (const auto& [name, value] : std::map(all.begin(), all.end())) {
      out_ += separator;
      out_ += "\n\t\t\t\t";
      append_json_string(name, out_);
      out_ += ": \"" + to_base64(value) + '"';
      separator = ",";
    }
    out_ += "\n\t\t\t}";
  }

 private:
  void key(std::string_view name) {
    out_ += is_first_ ? "\n\t\t\t\"" : ",\n\t\t\t\"";
    out_ += name;
    out_ += "\": ";
    is_first_ = false;
  }

  std::string& out_;
  bool is_first_ = true;
};

void append_entry(const StargzEntry& item, const std::vector<std::uint64_t>& cuts,
                  std::string& out) {
  const TarEntry& entry = item.entry;
  EntryText text(out);
  text.text("name", entry.name);
  text.text("type", type_name(item));
  if (!item.is_chunk) {
    bool const is_link = entry.type == TarType::kSymlink || entry.type == TarType::kHardLink;
    text.number("size", entry.size);
    text.text("modtime", time_text(entry));
    if (is_link) text.text("linkName", entry.link_name);
    text.number("mode", entry.mode);
    text.number("uid", entry.uid);
    text.number("gid", entry.gid);
  }
  if (item.chunk_digest) text.number("offset", cuts.at(item.cut));
  text.number("devMajor", entry.device_major);
  text.number("devMinor", entry.device_minor);
  text.xattrs(entry.xattrs);
  text.digest("digest", item.digest);
  text.number("chunkOffset", item.chunk_offset);
  text.number("chunkSize", item.chunk_size);
  text.digest("chunkDigest", item.chunk_digest);
}

}  // namespace

StargzToc make_stargz_toc(const std::vector<StargzEntry>& entries,
                          const std::vector<std::uint64_t>& cuts) {
  std::string json = "{\n\t\"version\": 1,\n\t\"entries\": [\n";
  for (std::size_t i = 0; i < entries.size(); ++i) {
    append_entry(entries[i], cuts, json);
    json += i + 1 < entries.size() ? ",\n" : "\n";
  }
  json += "\t]\n}";
  Digest const digest = Digest::of(std::string_view(json));
  TarHeader header;
  header.name = kStargzTocName;
  header.size = static_cast<std::int64_t>(json.size());
  std::string tar = format_tar_header(header);
  tar += json;
  tar.append(tar_padding(json.size()), '\0');
  tar += tar_end();
  return {std::move(tar), digest};
}

std::string stargz_footer(std::uint64_t toc_offset) {
  // RFC 1952: an extra field of 26 bytes with one subfield, "SG", of 22; then one stored block of
  // no bytes, and their checksum and number.
  std::string footer("\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0", 16);
  std::array<char, 16> digits{};
  auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), toc_offset, 16).ptr;
  auto const count = static_cast<std::size_t>(end - digits.data());
  footer.append(digits.size() - count, '0').append(digits.data(), count);
  footer += "STARGZ";
  footer.append("\x01\0\0\xff\xff", 5).append(8, '\0');
  return footer;
}

}  // namespace cobuild::oci
