#include "dockerfile/run_flags.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/go_csv.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/suggest.hpp"
#include "core/base/units.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr int kOctal = 8;
constexpr int kDecimal = 10;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

std::vector<std::string> fields_of(const std::string& text, const std::string& what) {
  try {
    return go_csv_fields(text);
  } catch (const Error& error) {
    throw error.with_context("failed to parse csv " + what);
  }
}

std::string type_name(pb::MountType type) { return to_lower(pb::MountType_Name(type)); }

[[noreturn]] void fail_unknown(const std::string& message, const std::string& word,
                               const std::vector<std::string>& options) {
  fail(message + did_you_mean(word, options));
}

pb::MountType parse_type(const std::string& value) {
  static const std::vector<std::string> kNames{"bind", "cache", "tmpfs", "secret", "ssh"};
  std::string const name = to_lower(value);
  pb::MountType type = pb::BIND;
  if (std::ranges::find(kNames, name) == kNames.end() || !pb::MountType_Parse(to_upper(name), &type)) {
    fail_unknown("unsupported mount type " + go_quote(value), value, kNames);
  }
  return type;
}

pb::CacheSharingOpt parse_sharing(const std::string& value) {
  static const std::vector<std::string> kNames{"shared", "private", "locked"};
  std::string const name = to_lower(value);
  pb::CacheSharingOpt sharing = pb::SHARED;
  if (std::ranges::find(kNames, name) == kNames.end() || !pb::CacheSharingOpt_Parse(to_upper(name), &sharing)) {
    fail_unknown("unsupported sharing value " + go_quote(value), value, kNames);
  }
  return sharing;
}

std::uint32_t parse_number(const std::string& key, const std::string& value, int base) {
  std::uint32_t number = 0;
  const char* const end = value.data() + value.size();
  auto const parsed = std::from_chars(value.data(), end, number, base);
  if (parsed.ec != std::errc() || parsed.ptr != end) fail("invalid value " + value + " for " + key);
  return number;
}

bool parse_flag(const std::string& key, const std::string& value) {
  auto const flag = try_parse_bool(value);
  if (!flag) fail("invalid value for " + key + ": " + value);
  return *flag;
}

/// Reads the fields of one mount, one after another.
class MountReader {
 public:
  explicit MountReader(const WordExpander& expand) : expand_(expand) {}

  void read(const std::string& field) {
    auto const [name, text] = cut(field, '=');
    std::string const key = to_lower(name);
    if (!text) {
      if (!read_switch(key)) fail("invalid field '" + field + "' must be a key=value pair");
      return;
    }
    std::string const value = expand_(std::string(*text));
    bool const known = read_place(key, value) || read_access(key, value) || read_detail(key, value);
    if (known) return;
    static const std::vector<std::string> kKeys{
        "type", "from", "source", "target", "readonly", "id",  "sharing",     "required", "size", "mode",
        "uid",  "gid",  "src",    "dst",    "destination", "ro", "rw", "readwrite", "env"};
    fail_unknown("unexpected key '" + key + "' in '" + field + "'", key, kKeys);
  }

  RunMount finish() {
    check_owner();
    if (!access_given_) mount_.read_only = mount_.type != pb::CACHE && mount_.type != pb::TMPFS;
    if (mount_.type == pb::SECRET) check_secret();
    if (mount_.sharing && mount_.type != pb::CACHE) {
      fail("invalid cache sharing set for " + type_name(mount_.type) + " mount");
    }
    return std::move(mount_);
  }

 private:
  bool read_switch(const std::string& key) {
    if (key == "readonly" || key == "ro") {
      set_read_only(true);
    } else if (key == "readwrite" || key == "rw") {
      set_read_only(false);
    } else if (key == "required") {
      require_type(key, lendable());
      mount_.required = true;
    } else {
      return false;
    }
    return true;
  }

  bool read_place(const std::string& key, const std::string& value) {
    if (key == "type") {
      mount_.type = parse_type(value);
    } else if (key == "from") {
      mount_.from = value;
    } else if (key == "source" || key == "src") {
      mount_.source = value;
    } else if (key == "target" || key == "dst" || key == "destination") {
      mount_.target = value;
    } else {
      return false;
    }
    return true;
  }

  bool read_access(const std::string& key, const std::string& value) {
    if (key == "readonly" || key == "ro") {
      set_read_only(parse_flag(key, value));
    } else if (key == "readwrite" || key == "rw") {
      set_read_only(!parse_flag(key, value));
    } else if (key == "required") {
      require_type(key, lendable());
      mount_.required = parse_flag(key, value);
    } else {
      return false;
    }
    return true;
  }

  bool read_detail(const std::string& key, const std::string& value) {
    if (key == "size") {
      require_type(key, mount_.type == pb::TMPFS);
      auto const bytes = try_parse_bytes(value, SizeUnits::kBinary);
      if (!bytes) fail("invalid value for " + key + ": " + value);
      mount_.size_bytes = *bytes;
    } else if (key == "id") {
      mount_.id = value;
    } else if (key == "sharing") {
      mount_.sharing = parse_sharing(value);
    } else if (key == "mode") {
      mount_.mode = parse_number(key, value, kOctal);
    } else if (key == "uid") {
      mount_.uid = parse_number(key, value, kDecimal);
    } else if (key == "gid") {
      mount_.gid = parse_number(key, value, kDecimal);
    } else if (key == "env") {
      mount_.env = value;
    } else {
      return false;
    }
    return true;
  }

  [[nodiscard]] bool lendable() const { return mount_.type == pb::SECRET || mount_.type == pb::SSH; }

  void require_type(const std::string& key, bool fits) const {
    if (!fits) fail("unexpected key '" + key + "' for mount type '" + type_name(mount_.type) + "'");
  }

  void set_read_only(bool read_only) {
    mount_.read_only = read_only;
    access_given_ = true;
  }

  void check_owner() const {
    if (lendable() || mount_.type == pb::CACHE) return;
    const char* const key = mount_.mode ? "mode" : mount_.uid ? "uid" : mount_.gid ? "gid" : nullptr;
    if (key == nullptr) return;
    fail(std::string(key) + " not allowed for " + go_quote(type_name(mount_.type)) + " type mounts");
  }

  void check_secret() const {
    if (!mount_.from.empty()) fail("secret mount should not have a from");
    if (mount_.sharing) fail("secret mount should not define sharing");
    if (mount_.source.empty() && mount_.target.empty() && mount_.id.empty()) {
      fail("invalid secret mount. one of source, target required");
    }
    if (!mount_.source.empty() && !mount_.id.empty()) fail("both source and id can't be set");
  }

  const WordExpander& expand_;
  RunMount mount_;
  bool access_given_ = false;
};

}  // namespace

std::string parse_mount_from(const std::string& text) {
  std::string from;
  for (const std::string& field : fields_of(text, "mounts")) {
    auto const [key, value] = cut(field, '=');
    if (!value || to_lower(key) != "from") continue;
    std::size_t const dollar = value->find('$');
    if (dollar != std::string_view::npos && dollar + 1 != value->size()) {
      fail("'from' doesn't support variable expansion, define alias stage instead");
    }
    from = *value;
  }
  return from;
}

RunMount parse_run_mount(const std::string& text, const WordExpander& expand) {
  MountReader reader(expand);
  for (const std::string& field : fields_of(text, "mounts")) reader.read(field);
  return reader.finish();
}

RunDevice parse_run_device(const std::string& text) {
  RunDevice device;
  for (const std::string& field : fields_of(text, "devices")) {
    auto const [word, value] = cut(field, '=');
    std::string const key = to_lower(word);
    if (key == "required") {
      device.required = !value || parse_flag(key, std::string(*value));
    } else if (value && key == "name") {
      if (!device.name.empty()) fail("device name already set to " + device.name);
      device.name = *value;
    } else if (device.name.empty()) {
      device.name = field;
    } else if (value) {
      fail_unknown("unexpected key '" + key + "' in '" + field + "'", key, {"name", "required"});
    } else {
      fail("invalid field '" + field + "' must be a key=value pair");
    }
  }
  return device;
}

}  // namespace cobuild::dockerfile
