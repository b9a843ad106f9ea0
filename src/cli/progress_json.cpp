#include "cli/progress_json.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <cstdint>
#include <utility>

#include "core/base/utf8.hpp"

namespace cobuild::cli {
namespace {

namespace json = boost::json;

/// {"<list>":[entry]}
std::string in_status(std::string_view list, json::object entry) {
  json::object status;
  status[list] = json::array({std::move(entry)});
  return json::serialize(status);
}

/// Go leaves out empty strings marked omitempty.
void put(json::object& object, std::string_view key, std::string_view value) {
  if (!value.empty()) object[key] = to_valid_utf8(value);
}

void put(json::object& object, std::string_view key, const std::optional<Timestamp>& time) {
  if (time) object[key] = format_rfc3339(*time);
}

}  // namespace

std::string to_base64(std::string_view bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::size_t const count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += j <= count ? kAlphabet[group >> (18 - 6 * j) & 0x3F] : '=';
    }
  }
  return out;
}

std::string to_json_line(const progress::Vertex& vertex) {
  json::object entry;
  entry["digest"] = vertex.digest.to_string();
  if (!vertex.inputs.empty()) {
    json::array inputs;
    for (const Digest& input : vertex.inputs) inputs.emplace_back(input.to_string());
    entry["inputs"] = std::move(inputs);
  }
  put(entry, "name", vertex.name);
  put(entry, "started", vertex.started);
  put(entry, "completed", vertex.completed);
  if (vertex.cached) entry["cached"] = true;
  put(entry, "error", vertex.error);
  if (vertex.group) {
    json::object group;
    put(group, "id", vertex.group->id);
    put(group, "name", vertex.group->name);
    if (vertex.group->weak) group["weak"] = true;
    entry["progressGroup"] = std::move(group);
  }
  return in_status("vertexes", std::move(entry));
}

std::string to_json_line(const progress::Status& status) {
  json::object entry;
  entry["id"] = to_valid_utf8(status.id);
  entry["vertex"] = status.vertex.to_string();
  put(entry, "name", status.name);
  if (status.total != 0) entry["total"] = status.total;
  entry["current"] = status.current;
  entry["timestamp"] = format_rfc3339(status.timestamp);
  put(entry, "started", status.started);
  put(entry, "completed", status.completed);
  return in_status("statuses", std::move(entry));
}

std::string to_json_line(const progress::Log& log) {
  json::object entry;
  entry["vertex"] = log.vertex.to_string();
  entry["stream"] = log.stream;
  entry["data"] = to_base64(log.data);
  entry["timestamp"] = format_rfc3339(log.timestamp);
  return in_status("logs", std::move(entry));
}

std::string to_json_line(const progress::Warning& warning) {
  json::object entry;
  entry["vertex"] = warning.vertex.to_string();
  if (warning.level != 0) entry["level"] = warning.level;
  if (!warning.summary.empty()) entry["short"] = to_base64(warning.summary);
  if (!warning.detail.empty()) {
    json::array detail;
    for (const std::string& line : warning.detail) detail.emplace_back(to_base64(line));
    entry["detail"] = std::move(detail);
  }
  put(entry, "url", warning.url);
  bool const has_text = warning.text && !warning.text->empty();
  if (!warning.filename.empty() || has_text) {
    json::object source;
    put(source, "filename", warning.filename);
    if (has_text) source["data"] = to_base64(*warning.text);
    entry["sourceInfo"] = std::move(source);
  }
  if (!warning.ranges.empty()) {
    json::array ranges;
    for (const progress::Range& range : warning.ranges) {
      json::object lines;
      lines["start"] = json::object{{"line", range.first_line}};
      lines["end"] = json::object{{"line", range.last_line}};
      ranges.push_back(std::move(lines));
    }
    entry["range"] = std::move(ranges);
  }
  return in_status("warnings", std::move(entry));
}

}  // namespace cobuild::cli
