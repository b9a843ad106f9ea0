#include "ops/exec/cdi_devices.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string_view>
#include <system_error>

#include "core/base/error.hpp"
#include "core/base/go_csv.hpp"
#include "core/base/go_quote.hpp"
#include "core/sys/file_io.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDevice = "device";
constexpr const char* kClass = "org.mobyproject.buildkit.device.class";
constexpr const char* kAutoAllow = "org.mobyproject.buildkit.device.autoallow";
constexpr std::size_t kSpecFiles_max = 1000;

/// As Go reads it.
bool is_true(std::string_view text) {
  constexpr std::string_view kTrue[] = {"1", "t", "T", "TRUE", "true", "True"};
  return std::ranges::find(kTrue, text) != std::end(kTrue);
}

/// What a file does not say is looked up.
void complete(ContainerDevice& node) {
  struct stat status{};
  if (::stat(node.source.c_str(), &status) != 0) {
    throw Error::from_errno(errno, "the device node " + node.source.string());
  }
  bool const is_device = S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode);
  if (!is_device && !S_ISFIFO(status.st_mode)) {
    throw Error(ErrorKind::kInvalidInput, node.source.string() + " is no device node");
  }
  char const type = S_ISBLK(status.st_mode) ? 'b' : S_ISCHR(status.st_mode) ? 'c' : 'p';
  if (node.type == '\0') node.type = type;
  if (node.type != type) {
    throw Error(ErrorKind::kInvalidInput, "CDI device (" + go_quote(node.path) + ", " +
                                              go_quote(node.source.string()) +
                                              "), host type mismatch");
  }
  if (is_device && node.major == 0 && node.minor == 0) {
    node.major = ::major(status.st_rdev);
    node.minor = ::minor(status.st_rdev);
  }
}

void apply(const std::string& device, CdiEdits edits, ContainerSpec& spec) {
  if (!edits.unsupported.empty()) {
    throw Error(ErrorKind::kUnsupported,
                "device " + device + " needs " + edits.unsupported + ", which is not supported");
  }
  for (std::string& variable : edits.env) {
    std::string const prefix = variable.substr(0, variable.find('=') + 1);
    std::erase_if(spec.env,
                  [&prefix](const std::string& other) { return other.starts_with(prefix); });
    spec.env.push_back(std::move(variable));
  }
  for (ContainerDevice& node : edits.nodes) {
    complete(node);
    if (!node.uid && spec.user.uid > 0) node.uid = spec.user.uid;
    if (!node.gid && spec.user.gid > 0) node.gid = spec.user.gid;
    std::erase_if(spec.devices,
                  [&node](const ContainerDevice& other) { return other.path == node.path; });
    spec.devices.push_back(std::move(node));
  }
  spec.mounts.insert(spec.mounts.end(), std::make_move_iterator(edits.mounts.begin()),
                     std::make_move_iterator(edits.mounts.end()));
  spec.hooks.insert(spec.hooks.end(), std::make_move_iterator(edits.hooks.begin()),
                    std::make_move_iterator(edits.hooks.end()));
  auto& gids = spec.user.additional_gids;
  for (std::uint32_t const gid : edits.additional_gids) {
    if (std::ranges::find(gids, gid) == gids.end()) gids.push_back(gid);
  }
}

}  // namespace

DeviceGrants DeviceGrants::parse(const std::vector<std::string>& entitlements) {
  DeviceGrants grants;
  for (const std::string& entitlement : entitlements) {
    if (entitlement == kDevice) grants.all = true;
    if (!entitlement.starts_with("device=")) continue;
    std::vector<std::string> const fields = go_csv_fields(entitlement.substr(kDevice.size() + 1));
    if (fields.empty() || fields[0].empty()) {
      grants.all = true;
      continue;
    }
    std::string alias;
    for (std::size_t i = 1; i < fields.size(); ++i) {
      std::size_t const equals = fields[i].find('=');
      if (equals == std::string::npos) {
        throw Error(ErrorKind::kInvalidInput, "invalid device config " + go_quote(fields[i]));
      }
      std::string const key = fields[i].substr(0, equals);
      if (key != "alias")
        throw Error(ErrorKind::kInvalidInput, "unknown device config key " + go_quote(key));
      alias = fields[i].substr(equals + 1);
    }
    if (alias.empty()) {
      grants.names[fields[0]] = "";
    } else {
      grants.names[alias] = fields[0];
    }
  }
  return grants;
}

std::vector<fs::path> CdiDevices::default_directories() {
  return {"/etc/cdi", "/var/run/cdi"};
}

void CdiDevices::load() {
  if (loaded_) return;
  loaded_ = true;
  for (std::size_t priority = 0; priority < directories_.size(); ++priority) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directories_[priority], error)) {
      bool const is_spec =
          entry.path().extension() == ".json" || entry.path().extension() == ".yaml";
      std::error_code ignored;
      if (is_spec && entry.is_regular_file(ignored)) files.push_back(entry.path());
      if (files.size() >= kSpecFiles_max) break;
    }
    std::ranges::sort(files);
    for (const fs::path& file : files) load_file(file, priority);
  }
  for (const auto& [name, priority] : conflicts_) {
    if (devices_.at(name).priority == priority) devices_.erase(name);
  }
}

void CdiDevices::load_file(const fs::path& file, std::size_t priority) {
  try {
    auto const text = read_file_if_exists(file, kCdiSpecBytes_max);
    CdiFormat const format = file.extension() == ".json" ? CdiFormat::kJson : CdiFormat::kYaml;
    if (text) add(std::make_shared<const CdiSpec>(parse_cdi_spec(*text, format)), file, priority);
  } catch (const Error& error) {
    problems_.push_back(file.string() + ": " + error.what());
  }
}

void CdiDevices::add(const std::shared_ptr<const CdiSpec>& spec, const fs::path& file,
                     std::size_t priority) {
  for (const CdiDevice& device : spec->devices) {
    Registered& known = devices_[device.name];
    if (known.device != nullptr && known.priority == priority) {
      conflicts_[device.name] = priority;
      problems_.push_back("conflicting device " + go_quote(device.name) + " in " +
                          known.file.string() + " and " + file.string());
      continue;
    }
    known = {spec, &device, priority, file};
  }
}

std::vector<std::string> CdiDevices::matches(const std::string& name) const {
  std::size_t const equals = name.find('=');
  std::string const kind = name.substr(0, equals);
  std::string const rest = equals == std::string::npos ? "" : name.substr(equals + 1);
  std::vector<std::string> out;
  std::size_t const slash = kind.find('/');
  bool const is_kind = slash != std::string::npos && slash > 0 && slash + 1 < kind.size();
  for (const auto& [device, registered] : devices_) {
    if (!is_kind || !device.starts_with(kind + "=")) continue;
    if (rest.empty() && !out.empty()) break;
    if (rest.empty() || rest == "*" || device == name) out.push_back(device);
  }
  if (!out.empty()) return out;
  for (const auto& [device, registered] : devices_) {
    auto const found = registered.device->annotations.find(kClass);
    if (found != registered.device->annotations.end() && found->second == name)
      out.push_back(device);
  }
  return out;
}

std::vector<std::string> CdiDevices::require(const DeviceRequest& request) const {
  auto out = matches(request.name);
  if (!out.empty() || request.is_optional) return out;
  std::string what = "required device " + go_quote(request.name) + " is not registered";
  std::string where;
  for (const fs::path& directory : directories_)
    where += (where.empty() ? "" : " and ") + directory.string();
  what += " in " + where;
  for (const std::string& problem : problems_) what += "\n  not used: " + problem;
  throw Error(ErrorKind::kNotFound, what);
}

bool CdiDevices::is_free(const std::string& device) const {
  const auto& annotations = devices_.at(device).device->annotations;
  auto const found = annotations.find(kAutoAllow);
  return found != annotations.end() && is_true(found->second);
}

std::vector<std::string> CdiDevices::find(const std::vector<DeviceRequest>& requests) {
  load();
  std::set<std::string> granted;
  for (const auto& [name, target] : grants_.names) {
    for (std::string& device : matches(target.empty() ? name : target))
      granted.insert(std::move(device));
  }
  std::vector<std::string> out;
  std::string forbidden;
  std::size_t refused = 0;
  for (const DeviceRequest& request : requests) {
    auto const alias = grants_.names.find(request.name);
    bool const is_alias = alias != grants_.names.end() && !alias->second.empty();
    DeviceRequest const meant =
        is_alias ? DeviceRequest{alias->second, request.is_optional} : request;
    for (std::string& device : require(meant)) {
      if (std::ranges::find(out, device) != out.end()) continue;
      if (!grants_.all && !granted.contains(device) && !is_free(device)) {
        forbidden += (refused++ == 0 ? "" : ", ") + device;
        continue;
      }
      out.push_back(std::move(device));
    }
  }
  if (refused == 0) return out;
  throw Error(ErrorKind::kDenied,
              (refused == 1 ? "device " + forbidden + " is" : "devices " + forbidden + " are") +
                  " requested by the build but not allowed: --allow device=NAME grants one, "
                  "--allow device all");
}

void CdiDevices::inject(const std::vector<DeviceRequest>& requests, ContainerSpec& spec) {
  std::set<const CdiSpec*> seen;
  for (const std::string& name : find(requests)) {
    const Registered& registered = devices_.at(name);
    if (seen.insert(registered.spec.get()).second) apply(name, registered.spec->edits, spec);
    apply(name, registered.device->edits, spec);
  }
}

}  // namespace cobuild::ops
