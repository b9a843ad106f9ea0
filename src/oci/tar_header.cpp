#include "oci/tar_header.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

namespace cobuild::oci {

namespace {

/// Where a field is in a header block.
struct Field {
  std::size_t offset;
  std::size_t size;
};
constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUid{108, 8};
constexpr Field kGid{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kMtime{136, 12};
constexpr Field kChecksum{148, 8};
constexpr std::size_t kTypeOffset = 156;
constexpr Field kLinkName{157, 100};
constexpr std::size_t kMagicOffset = 257;
constexpr Field kUserName{265, 32};
constexpr Field kGroupName{297, 32};
constexpr Field kDeviceMajor{329, 8};
constexpr Field kDeviceMinor{337, 8};
constexpr Field kPrefix{345, 155};

constexpr char kPaxType = 'x';

bool is_ascii(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0; });
}

std::string only_ascii(std::string_view text) {
  std::string out;
  std::copy_if(text.begin(), text.end(), std::back_inserter(out), [](char c) { return c > 0; });
  return out;
}

std::string to_octal(std::uint64_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), static_cast<char>('0' + (value & 7)));
    value >>= 3;
  } while (value != 0);
  return digits;
}

bool fits_in_octal(std::size_t field_size, std::int64_t value) noexcept {
  std::size_t const bits = 3 * (field_size - 1);
  return value >= 0 && (bits >= 63 || (value >> bits) == 0);
}

class HeaderBlock {
 public:
  HeaderBlock() : bytes_(kTarBlockBytes, '\0') {}

  void set_text(Field field, std::string_view text) {
    std::size_t const size = std::min(text.size(), field.size);
    std::copy_n(text.begin(), size, bytes_.begin() + static_cast<std::ptrdiff_t>(field.offset));
    // A cut name that ends in '/' makes some readers see a directory.
    if (text.size() > field.size && text[field.size - 1] == '/') {
      std::size_t end = field.size - 1;
      while (end > 0 && text[end - 1] == '/') --end;
      bytes_[field.offset + end] = '\0';
    }
  }

  /// What does not fit becomes 0: the extended header has it.
  void set_number(Field field, std::int64_t value) {
    std::string digits =
        to_octal(fits_in_octal(field.size, value) ? static_cast<std::uint64_t>(value) : 0);
    if (digits.size() + 1 < field.size) digits.insert(0, field.size - 1 - digits.size(), '0');
    set_text(field, digits);
  }

  void set_type(char type) { bytes_[kTypeOffset] = type; }

  std::string finish() {
    constexpr std::string_view kMagic("ustar\00000", 8);
    std::copy(kMagic.begin(), kMagic.end(), bytes_.begin() + kMagicOffset);
    std::fill_n(bytes_.begin() + kChecksum.offset, kChecksum.size, ' ');
    std::int64_t sum = 0;
    for (char const c : bytes_) sum += static_cast<unsigned char>(c);
    bytes_[kChecksum.offset + 6] = '\0';
    set_number(Field{kChecksum.offset, kChecksum.size - 1}, sum);
    return std::move(bytes_);
  }

 private:
  std::string bytes_;
};

struct SplitName {
  std::string_view prefix;
  std::string_view name;
};

/// A name too long for its field, cut at a '/' so that the prefix field takes the rest.
std::optional<SplitName> split_name(std::string_view name) {
  if (name.size() <= kName.size || !is_ascii(name)) return std::nullopt;
  std::size_t length = name.size();
  if (length > kPrefix.size + 1) {
    length = kPrefix.size + 1;
  } else if (name.back() == '/') {
    --length;
  }
  std::size_t const slash = name.substr(0, length).rfind('/');
  if (slash == std::string_view::npos || slash == 0 || slash > kPrefix.size) return std::nullopt;
  std::size_t const rest = name.size() - slash - 1;
  if (rest == 0 || rest > kName.size) return std::nullopt;
  return SplitName{name.substr(0, slash), name.substr(slash + 1)};
}

/// "LENGTH KEY=VALUE\n", where LENGTH counts itself.
std::string format_record(std::string_view key, std::string_view value) {
  std::size_t const rest = key.size() + value.size() + 3;
  std::size_t size = rest + std::to_string(rest).size();
  if (std::to_string(size).size() != size - rest) size = rest + std::to_string(size).size();
  std::string record = std::to_string(size);
  record.append(" ").append(key).append("=").append(value).append("\n");
  return record;
}

void add_text_record(std::map<std::string, std::string>& records, const char* key,
                     std::string_view value, std::size_t size_max) {
  if (value.size() > size_max || !is_ascii(value)) records[key] = value;
}

void add_number_record(std::map<std::string, std::string>& records, const char* key,
                       std::int64_t value, Field field) {
  if (!fits_in_octal(field.size, value)) records[key] = std::to_string(value);
}

/// Go's path.Join(dir, "PaxHeaders.0", file): what readers without the extension unpack it as.
std::string extended_header_name(std::string_view name) {
  std::size_t const slash = name.rfind('/');
  std::string_view directory = slash == std::string_view::npos ? "" : name.substr(0, slash);
  std::string_view const file = slash == std::string_view::npos ? name : name.substr(slash + 1);
  std::string out(directory);
  if (slash != std::string_view::npos) out += '/';
  out += "PaxHeaders.0";
  if (!file.empty()) out.append("/").append(file);
  out = only_ascii(out);
  if (out.size() > kName.size) out.resize(kName.size);
  while (!out.empty() && out.back() == '/') out.pop_back();
  return out;
}

std::string format_extended_header(const TarHeader& header,
                                   const std::map<std::string, std::string>& records) {
  std::string data;
  for (const auto& [key, value] : records) data += format_record(key, value);
  HeaderBlock block;
  block.set_type(kPaxType);
  block.set_text(kName, extended_header_name(header.name));
  for (Field const field : {kMode, kUid, kGid, kMtime}) block.set_number(field, 0);
  block.set_number(kSize, static_cast<std::int64_t>(data.size()));
  std::size_t const padding = tar_padding(data.size());
  return block.finish() + data + std::string(padding, '\0');
}

}  // namespace

std::string format_tar_header(const TarHeader& header) {
  std::map<std::string, std::string> records = header.records;
  add_text_record(records, "path", header.name, kName.size);
  add_text_record(records, "linkpath", header.link_name, kLinkName.size);
  add_number_record(records, "uid", header.uid, kUid);
  add_number_record(records, "gid", header.gid, kGid);
  add_number_record(records, "size", header.size, kSize);
  add_number_record(records, "mtime", header.mtime, kMtime);

  std::optional<SplitName> split;
  if (records.size() == records.count("path")) {
    split = split_name(header.name);
    if (split) records.clear();
  }

  std::string out;
  if (!records.empty()) out = format_extended_header(header, records);
  HeaderBlock block;
  block.set_type(static_cast<char>(header.type));
  std::string const name = only_ascii(split ? split->name : std::string_view(header.name));
  block.set_text(kName, name);
  block.set_text(kLinkName, only_ascii(header.link_name));
  block.set_number(kMode, header.mode);
  block.set_number(kUid, header.uid);
  block.set_number(kGid, header.gid);
  block.set_number(kSize, header.size);
  block.set_number(kMtime, header.mtime);
  block.set_text(kUserName, "");
  block.set_text(kGroupName, "");
  block.set_number(kDeviceMajor, header.device_major);
  block.set_number(kDeviceMinor, header.device_minor);
  if (split) block.set_text(kPrefix, split->prefix);
  return out + block.finish();
}

std::string_view tar_end() noexcept {
  static constexpr std::array<char, 2 * kTarBlockBytes> kZeros{};
  return {kZeros.data(), kZeros.size()};
}

}  // namespace cobuild::oci
