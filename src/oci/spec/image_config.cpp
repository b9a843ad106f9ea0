#include "oci/spec/image_config.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/error.hpp"
#include "oci/spec/descriptor_json.hpp"
#include "oci/spec/json_members.hpp"
#include "oci/spec/json_text.hpp"

namespace cobuild::oci {
namespace {

namespace json = boost::json;

json::value parse_bounded(std::string_view text) {
  if (text.size() > kImageConfigBytesMax) {
    throw Error(ErrorKind::kCorrupt,
                "image config is longer than " + std::to_string(kImageConfigBytesMax) + " bytes");
  }
  return parse_json(text, "image config");
}

/// One spelling for a time in UTC. Other offsets, and years that nanoseconds cannot hold, stay as
/// they are written: they are passed on, never computed with.
std::optional<std::string> read_time(const Members& members) {
  if (!members.find("created")) return std::nullopt;
  std::string text = members.text("created");
  auto const time = try_parse_rfc3339(text);
  bool const in_range =
      text.size() > 4 && text.substr(0, 4) >= "1700" && text.substr(0, 4) < "2262";
  if (!time && in_range) members.throw_wrong("created", "an RFC 3339 time");
  if (time && in_range && text.ends_with('Z')) return format_rfc3339(*time);
  return text;
}

std::set<std::string> read_set(const Members& members, std::string_view name) {
  auto keys = members.keys(name);
  return {keys.begin(), keys.end()};
}

HealthCheck read_healthcheck(const Members& members) {
  auto duration = [&](std::string_view name) {
    return std::chrono::nanoseconds(members.integer(name));
  };
  std::int64_t const retries = members.integer("Retries");
  if (retries < 0 || retries > std::numeric_limits<int>::max()) {
    members.throw_wrong("Retries", "a count");
  }
  HealthCheck check;
  check.test = members.texts("Test");
  check.interval = duration("Interval");
  check.timeout = duration("Timeout");
  check.start_period = duration("StartPeriod");
  check.start_interval = duration("StartInterval");
  check.retries = static_cast<int>(retries);
  return check;
}

ContainerConfig read_container_config(const Members& members) {
  ContainerConfig config;
  config.user = members.text("User");
  config.exposed_ports = read_set(members, "ExposedPorts");
  config.env = members.texts("Env");
  config.entrypoint = members.texts("Entrypoint");
  config.cmd = members.texts("Cmd");
  config.volumes = read_set(members, "Volumes");
  config.working_dir = members.text("WorkingDir");
  config.labels = members.text_map("Labels");
  config.stop_signal = members.text("StopSignal");
  config.args_escaped = members.flag("ArgsEscaped");
  if (const json::value* check = members.find("Healthcheck")) {
    config.healthcheck = read_healthcheck(Members(*check, members.path_of("Healthcheck")));
  }
  config.on_build = members.texts("OnBuild");
  config.shell = members.texts("Shell");
  return config;
}

History read_history(const json::value& value, const std::string& path) {
  Members const members(value, path);
  History history;
  history.created = read_time(members);
  history.created_by = members.text("created_by");
  history.author = members.text("author");
  history.comment = members.text("comment");
  history.empty_layer = members.flag("empty_layer");
  return history;
}

void write_text(std::string_view name, const std::string& text, json::object& object) {
  if (!text.empty()) object[name] = text;
}

void write_list(std::string_view name, const std::vector<std::string>& texts,
                json::object& object) {
  if (!texts.empty()) object[name] = write_texts(texts);
}

void write_set(std::string_view name, const std::set<std::string>& keys, json::object& object) {
  if (keys.empty()) return;
  json::object members;
  for (const std::string& key : keys) members[key] = json::object();
  object[name] = std::move(members);
}

json::object write_healthcheck(const HealthCheck& check) {
  json::object object;
  auto duration = [&](std::string_view name, std::chrono::nanoseconds value) {
    if (value.count() != 0) object[name] = std::int64_t{value.count()};
  };
  write_list("Test", check.test, object);
  duration("Interval", check.interval);
  duration("Timeout", check.timeout);
  duration("StartPeriod", check.start_period);
  duration("StartInterval", check.start_interval);
  if (check.retries != 0) object["Retries"] = check.retries;
  return object;
}

json::object write_container_config(const ContainerConfig& config) {
  json::object object;
  write_text("User", config.user, object);
  write_set("ExposedPorts", config.exposed_ports, object);
  write_list("Env", config.env, object);
  write_list("Entrypoint", config.entrypoint, object);
  write_list("Cmd", config.cmd, object);
  write_set("Volumes", config.volumes, object);
  write_text("WorkingDir", config.working_dir, object);
  if (!config.labels.empty()) object["Labels"] = write_text_map(config.labels);
  write_text("StopSignal", config.stop_signal, object);
  if (config.args_escaped) object["ArgsEscaped"] = true;
  if (config.healthcheck) object["Healthcheck"] = write_healthcheck(*config.healthcheck);
  write_list("OnBuild", config.on_build, object);
  write_list("Shell", config.shell, object);
  return object;
}

json::value write_history(const std::vector<History>& history) {
  if (history.empty()) return nullptr;
  json::array items;
  for (const History& entry : history) {
    json::object object;
    if (entry.created) object["created"] = *entry.created;
    write_text("created_by", entry.created_by, object);
    write_text("author", entry.author, object);
    write_text("comment", entry.comment, object);
    if (entry.empty_layer) object["empty_layer"] = true;
    items.push_back(std::move(object));
  }
  return items;
}

json::object write_rootfs(const std::vector<DiffId>& diff_ids) {
  json::object rootfs;
  rootfs["type"] = "layers";
  rootfs["diff_ids"] = nullptr;
  if (!diff_ids.empty()) {
    json::array items;
    for (const DiffId& id : diff_ids) items.emplace_back(id.to_string());
    rootfs["diff_ids"] = std::move(items);
  }
  return rootfs;
}

json::value created_from(const std::vector<History>& history) {
  auto last = std::find_if(history.rbegin(), history.rend(),
                           [](const History& entry) { return entry.created.has_value(); });
  if (last == history.rend()) return nullptr;
  return json::value(*last->created);
}

}  // namespace

ImageConfig parse_image_config(std::string_view text) {
  json::value const value = parse_bounded(text);
  Members const members(value, "image config");
  ImageConfig image;
  image.created = read_time(members);
  image.author = members.text("author");
  image.platform = read_platform(members);
  if (const json::value* config = members.find("config")) {
    image.config = read_container_config(Members(*config, members.path_of("config")));
  }
  if (const json::value* rootfs = members.find("rootfs")) {
    Members const root(*rootfs, members.path_of("rootfs"));
    for (const std::string& id : root.texts("diff_ids")) {
      image.diff_ids.emplace_back(parse_digest_member(id, root.path_of("diff_ids")));
    }
  }
  members.for_each("history", [&](const json::value& item, const std::string& path) {
    image.history.push_back(read_history(item, path));
  });
  return image;
}

std::string to_json(const ImageConfig& image) {
  json::object object;
  if (image.created) object["created"] = *image.created;
  write_text("author", image.author, object);
  write_platform(image.platform, object);
  object["rootfs"] = write_rootfs(image.diff_ids);
  if (!image.history.empty()) object["history"] = write_history(image.history);
  object["config"] = write_container_config(image.config);
  return to_compact_text(std::move(object));
}

std::string patch_image_config(std::string_view text, const ImageConfigPatch& patch) {
  json::value const value = parse_bounded(text);
  Members const members(value, "image config");
  for (std::string_view required : {"os", "architecture"}) {
    if (members.text(required).empty()) {
      throw Error(ErrorKind::kInvalidInput,
                  "invalid image config for export: missing " + std::string(required));
    }
  }
  std::map<std::string, json::value> sorted;
  for (const auto& member : value.get_object()) sorted[member.key()] = member.value();
  sorted["rootfs"] = write_rootfs(patch.diff_ids);
  sorted["history"] = write_history(patch.history);
  if (patch.created) {
    sorted["created"] = *patch.created;
  } else if (!sorted.contains("created")) {
    sorted["created"] = created_from(patch.history);
  }
  for (const auto& [name, member] : patch.members) sorted[name] = parse_json(member, name);
  json::object object;
  for (auto& [name, member] : sorted) object[name] = std::move(member);
  return to_compact_text(std::move(object));
}

}  // namespace cobuild::oci
