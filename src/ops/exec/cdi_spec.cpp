#include "ops/exec/cdi_spec.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>
#include <limits>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "ops/exec/yaml.hpp"

namespace cobuild::ops {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 6> kHookStages = {
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"};

[[noreturn]] void fail(const std::string& message) {
  throw Error(ErrorKind::kInvalidInput, message);
}

/// A mapping, read with the names of what is wrong.
class Fields {
 public:
  Fields(const json::value& value, std::string where) : where_(std::move(where)) {
    if (!value.is_object()) fail(where_ + " is no mapping");
    object_ = &value.get_object();
  }

  [[nodiscard]] const json::value* find(std::string_view key) const {
    const json::value* const found = object_->if_contains(key);
    return found == nullptr || found->is_null() ? nullptr : found;
  }
  [[nodiscard]] std::string text(std::string_view key) const {
    const json::value* const found = find(key);
    if (found == nullptr) return {};
    if (!found->is_string()) fail(where_ + ": " + std::string(key) + " is no text");
    return std::string(found->get_string());
  }
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view key) const {
    const json::value* const found = find(key);
    if (found == nullptr) return std::nullopt;
    if (!found->is_int64()) fail(where_ + ": " + std::string(key) + " is no whole number");
    return found->get_int64();
  }
  [[nodiscard]] std::optional<std::uint32_t> id(std::string_view key) const {
    auto const value = number(key);
    if (!value) return std::nullopt;
    if (*value < 0 || *value > std::numeric_limits<std::uint32_t>::max())
      fail(where_ + ": bad " + std::string(key));
    return static_cast<std::uint32_t>(*value);
  }
  [[nodiscard]] const json::array& list(std::string_view key) const {
    static const json::array kNone;
    const json::value* const found = find(key);
    if (found == nullptr) return kNone;
    if (!found->is_array()) fail(where_ + ": " + std::string(key) + " is no list");
    return found->get_array();
  }
  [[nodiscard]] std::vector<std::string> texts(std::string_view key) const {
    std::vector<std::string> out;
    for (const json::value& item : list(key)) {
      if (!item.is_string())
        fail(where_ + ": " + std::string(key) + " has something that is no text");
      out.emplace_back(item.get_string());
    }
    return out;
  }

 private:
  const json::object* object_ = nullptr;
  std::string where_;
};

std::map<std::string, std::string> annotations_of(const Fields& fields,
                                                  std::map<std::string, std::string> out) {
  const json::value* const found = fields.find("annotations");
  if (found == nullptr) return out;
  if (!found->is_object()) fail("annotations are no mapping");
  for (const auto& [key, value] : found->get_object()) {
    if (!value.is_string()) fail("the annotation " + std::string(key) + " is no text");
    out[key] = value.get_string();
  }
  return out;
}

ContainerDevice node_of(const json::value& value) {
  Fields const fields(value, "a device node");
  ContainerDevice node;
  node.path = fields.text("path");
  if (!node.path.starts_with('/'))
    fail("invalid (empty or relative) device path " + go_quote(node.path));
  node.source = fields.text("hostPath");
  if (node.source.empty()) node.source = node.path;
  std::string const type = fields.text("type");
  if (!type.empty() && type != "b" && type != "c" && type != "u" && type != "p") {
    fail("device " + go_quote(node.path) + ": invalid type " + go_quote(type));
  }
  if (!type.empty()) node.type = type[0] == 'u' ? 'c' : type[0];
  node.major = fields.number("major").value_or(0);
  node.minor = fields.number("minor").value_or(0);
  node.permissions = fields.text("permissions");
  for (char const c : node.permissions) {
    if (c != 'r' && c != 'w' && c != 'm')
      fail("device " + go_quote(node.path) + ": invalid permissions");
  }
  node.mode = fields.id("fileMode");
  node.uid = fields.id("uid");
  node.gid = fields.id("gid");
  return node;
}

ContainerMount mount_of(const json::value& value) {
  Fields const fields(value, "a mount");
  ContainerMount mount;
  mount.source = fields.text("hostPath");
  mount.destination = fields.text("containerPath");
  if (mount.source.empty() || !mount.destination.starts_with('/')) {
    fail("invalid mount, empty host path or no absolute container path");
  }
  for (std::string& option : fields.texts("options")) {
    if (option == "ro") {
      mount.read_only = true;
    } else if (option != "bind" && option != "rbind" && option != "rw") {
      mount.options.push_back(std::move(option));
    }
  }
  return mount;
}

ContainerHook hook_of(const json::value& value) {
  Fields const fields(value, "a hook");
  ContainerHook hook;
  hook.stage = fields.text("hookName");
  if (std::ranges::find(kHookStages, hook.stage) == kHookStages.end()) {
    fail("invalid hook name " + go_quote(hook.stage));
  }
  hook.path = fields.text("path");
  if (!hook.path.starts_with('/'))
    fail("invalid hook " + go_quote(hook.stage) + " with empty or relative path");
  hook.args = fields.texts("args");
  hook.env = fields.texts("env");
  hook.timeout_s = fields.number("timeout");
  return hook;
}

CdiEdits edits_of(const json::value& value) {
  Fields const fields(value, "containerEdits");
  CdiEdits edits;
  edits.env = fields.texts("env");
  for (const std::string& variable : edits.env) {
    if (variable.find('=') == 0 || variable.find('=') == std::string::npos) {
      fail("invalid environment variable " + go_quote(variable));
    }
  }
  for (const json::value& node : fields.list("deviceNodes")) edits.nodes.push_back(node_of(node));
  for (const json::value& mount : fields.list("mounts")) edits.mounts.push_back(mount_of(mount));
  for (const json::value& hook : fields.list("hooks")) edits.hooks.push_back(hook_of(hook));
  for (const json::value& gid : fields.list("additionalGids")) {
    if (!gid.is_int64() || gid.get_int64() < 0 ||
        gid.get_int64() > std::numeric_limits<std::uint32_t>::max()) {
      fail("bad additionalGids");
    }
    if (gid.get_int64() != 0)
      edits.additional_gids.push_back(static_cast<std::uint32_t>(gid.get_int64()));
  }
  if (fields.find("intelRdt") != nullptr) edits.unsupported = "intelRdt";
  if (!fields.list("netDevices").empty()) edits.unsupported = "netDevices";
  return edits;
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_alphanumeric(char c) {
  return is_letter(c) || (c >= '0' && c <= '9');
}

/// Names of vendors and classes begin with a letter, those of devices may begin with a digit.
bool is_name(std::string_view name, std::string_view symbols, bool may_begin_with_digit) {
  if (name.empty() || !is_alphanumeric(name.back())) return false;
  if (!is_letter(name[0]) && !(may_begin_with_digit && is_alphanumeric(name[0]))) return false;
  return std::ranges::all_of(name, [symbols](char c) {
    return is_alphanumeric(c) || symbols.find(c) != std::string_view::npos;
  });
}

void check_kind(const std::string& kind) {
  std::size_t const slash = kind.find('/');
  bool const ok = slash != std::string::npos &&
                  is_name(std::string_view(kind).substr(0, slash), "_-.", false) &&
                  is_name(std::string_view(kind).substr(slash + 1), "_-", false);
  if (!ok) fail("invalid kind " + go_quote(kind) + ": it is VENDOR/CLASS");
}

json::value parse_value(std::string_view text, CdiFormat format) {
  if (format == CdiFormat::kYaml) return parse_yaml(text);
  try {
    return json::parse(text);
  } catch (const boost::system::system_error& error) {
    fail(std::string("no JSON: ") + error.what());
  }
}

}  // namespace

CdiSpec parse_cdi_spec(std::string_view text, CdiFormat format) {
  json::value const value = parse_value(text, format);
  Fields const fields(value, "the file");
  if (fields.text("cdiVersion").empty()) fail("cdiVersion is missing");
  CdiSpec spec;
  spec.kind = fields.text("kind");
  check_kind(spec.kind);
  if (const json::value* const edits = fields.find("containerEdits")) spec.edits = edits_of(*edits);
  auto const annotations = annotations_of(fields, {});
  for (const json::value& item : fields.list("devices")) {
    Fields const device(item, "a device");
    std::string const name = device.text("name");
    if (!is_name(name, "_-.:", true)) fail("invalid device name " + go_quote(name));
    CdiDevice& out = spec.devices.emplace_back();
    out.name = spec.kind + "=" + name;
    out.annotations = annotations_of(device, annotations);
    if (const json::value* const edits = device.find("containerEdits"))
      out.edits = edits_of(*edits);
  }
  if (spec.devices.empty()) fail("it has no devices");
  return spec;
}

}  // namespace cobuild::ops
