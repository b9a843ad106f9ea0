#include "cli/usage_table.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <utility>

#include "cli/text_table.hpp"
#include "core/base/units.hpp"
#include "core/base/utf8.hpp"

namespace cobuild::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kIdWidth = 71;
constexpr std::size_t kReclaimableWidth = 11;

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text;
}

std::string to_word(bool value) {
  return value ? "true" : "false";
}

/// As Go prints a time.Time: "2006-01-02 15:04:05.999999999 +0000 UTC".
std::string go_time(Timestamp time) {
  std::string text = format_rfc3339(time);
  if (std::size_t const t = text.find('T'); t != std::string::npos) text[t] = ' ';
  if (text.ends_with('Z')) text.pop_back();
  return text + " +0000 UTC";
}

json::object to_json(const store::UsageRecord& record) {
  json::object object;
  object["id"] = record.id;
  object["mutable"] = record.mutable_;
  object["inUse"] = record.in_use;
  object["size"] = record.size;
  object["createdAt"] = format_rfc3339(record.created_at);
  object["lastUsedAt"] = record.last_used_at ? json::value(format_rfc3339(*record.last_used_at))
                                             : json::value(nullptr);
  object["usageCount"] = record.usage_count;
  json::array parents;
  for (const std::string& parent : record.parents) parents.emplace_back(parent);
  object["parents"] =
      record.parents.empty() ? json::value(nullptr) : json::value(std::move(parents));
  object["description"] = to_valid_utf8(record.description);
  object["recordType"] = store::to_string(record.kind);
  object["shared"] = record.shared;
  return object;
}

void add_block(std::string& out, const store::UsageRecord& record) {
  auto const add = [&](std::string_view key, const std::string& value) {
    out += std::string(key) + ":\t" + value + "\n";
  };
  add("ID", record.id);
  std::string parents;
  for (const std::string& parent : record.parents) parents += (parents.empty() ? "" : ";") + parent;
  if (!parents.empty()) add("Parents", parents);
  add("Created at", go_time(record.created_at));
  add("Mutable", to_word(record.mutable_));
  add("Reclaimable", to_word(!record.in_use));
  add("Shared", to_word(record.shared));
  add("Size", format_bytes(record.size));
  if (!record.description.empty()) add("Description", one_line(record.description));
  add("Usage count", std::to_string(record.usage_count));
  if (record.last_used_at) add("Last used", go_time(*record.last_used_at));
  add("Type", std::string(store::to_string(record.kind)));
  out += "\n";
}

}  // namespace

std::string render_usage_table(const UsageRecords& records) {
  std::string out = "ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n";
  for (const store::UsageRecord& record : records) {
    out += padded(record.id + (record.mutable_ ? "*" : ""), kIdWidth) + "\t" +
           padded(to_word(!record.in_use), kReclaimableWidth) + "\t" + format_bytes(record.size) +
           (record.shared ? "*" : "") + "\t\n";
  }
  return align_tabs(out);
}

std::string render_usage_verbose(const UsageRecords& records) {
  std::string out;
  for (const store::UsageRecord& record : records) add_block(out, record);
  return align_tabs(out);
}

std::string render_usage_summary(const UsageRecords& records) {
  std::int64_t total = 0;
  std::int64_t reclaimable = 0;
  std::int64_t shared = 0;
  for (const store::UsageRecord& record : records) {
    if (record.size > 0) {
      total += record.size;
      if (!record.in_use) reclaimable += record.size;
    }
    if (record.shared) shared += record.size;
  }
  std::string out;
  if (shared > 0) {
    out +=
        "Shared:\t" + format_bytes(shared) + "\nPrivate:\t" + format_bytes(total - shared) + "\n";
  }
  out += "Reclaimable:\t" + format_bytes(reclaimable) + "\nTotal:\t" + format_bytes(total) + "\n";
  return align_tabs(out);
}

std::string render_total(const UsageRecords& records) {
  std::int64_t total = 0;
  for (const store::UsageRecord& record : records) total += record.size;
  return align_tabs("Total:\t" + format_bytes(total) + "\n");
}

std::string render_usage_json(const UsageRecords& records) {
  json::array list;
  for (const store::UsageRecord& record : records) list.push_back(to_json(record));
  return json::serialize(list) + "\n";
}

std::string render_usage_json_lines(const UsageRecords& records) {
  std::string out;
  for (const store::UsageRecord& record : records) out += json::serialize(to_json(record)) + "\n";
  return out;
}

}  // namespace cobuild::cli
