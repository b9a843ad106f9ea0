#include "cli/gc_config.hpp"

#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/units.hpp"
#include "core/store/usage_filter.hpp"
#include "dockerfile/duration.hpp"
#include "registry/toml_file.hpp"

namespace cobuild::cli {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// The value of a key that is written in lower case here and in any case there.
const toml::node* find(const toml::table& table, std::string_view key) {
  for (const auto& [name, node] : table) {
    if (lower(name.str()) == key) return &node;
  }
  return nullptr;
}

/// One table, and how to speak of it.
class Section {
 public:
  Section(const toml::table& table, std::string file, std::string name)
      : table_(table), file_(std::move(file)), name_(std::move(name)) {}

  [[noreturn]] void refuse(const toml::node& node, std::string_view key,
                           std::string_view expected) const {
    throw Error(ErrorKind::kInvalidInput,
                file_ + ":" + std::to_string(node.source().begin.line) + ": " + name_ +
                    (name_.empty() || key.empty() ? "" : ".") + std::string(key) + " must be " +
                    std::string(expected));
  }

  [[nodiscard]] const toml::node* find(std::string_view key) const {
    return cli::find(table_, lower(key));
  }

  [[nodiscard]] std::optional<Section> section(std::string_view key) const {
    const toml::node* const node = find(key);
    if (!node) return std::nullopt;
    if (!node->is_table()) refuse(*node, key, "a table");
    return Section(*node->as_table(), file_, name_ + (name_.empty() ? "" : ".") + std::string(key));
  }

  [[nodiscard]] bool flag(std::string_view key, bool fallback) const {
    const toml::node* const node = find(key);
    if (!node) return fallback;
    if (!node->is_boolean()) refuse(*node, key, "true or false");
    return node->as_boolean()->get();
  }

  /// A number, or a string, as text; empty when there is none.
  [[nodiscard]] std::string text(std::string_view key, std::string_view expected) const {
    const toml::node* const node = find(key);
    if (!node) return {};
    if (node->is_integer()) return std::to_string(node->as_integer()->get());
    if (!node->is_string()) refuse(*node, key, expected);
    return node->as_string()->get();
  }

  [[nodiscard]] store::DiskSpace space(std::string_view key) const {
    constexpr std::string_view kExpected = "a number of bytes, \"512MB\" or \"10%\"";
    std::string const said = text(key, kExpected);
    store::DiskSpace space;
    if (said.empty()) return space;
    if (said.ends_with('%')) {
      auto const [end, error] =
          std::from_chars(said.data(), said.data() + said.size() - 1, space.percent);
      bool const whole = error == std::errc() && end == said.data() + said.size() - 1;
      if (!whole || space.percent < 0 || space.percent > 100) refuse(*find(key), key, kExpected);
      return space;
    }
    auto const bytes = try_parse_bytes(said, SizeUnits::kBinary);
    if (!bytes) refuse(*find(key), key, kExpected);
    space.bytes = *bytes;
    return space;
  }

  [[nodiscard]] std::chrono::seconds duration(std::string_view key) const {
    constexpr std::string_view kExpected = "a duration such as \"48h\", or a number of seconds";
    std::string const said = text(key, kExpected);
    if (said.empty()) return {};
    std::int64_t seconds = 0;
    auto const [end, error] = std::from_chars(said.data(), said.data() + said.size(), seconds);
    if (error != std::errc() || end != said.data() + said.size()) {
      try {
        seconds = std::chrono::ceil<std::chrono::seconds>(dockerfile::parse_duration(said)).count();
      } catch (const Error&) {
        refuse(*find(key), key, kExpected);
      }
    }
    if (seconds < 0 || seconds > kSecondsMax) refuse(*find(key), key, kExpected);
    return std::chrono::seconds(seconds);
  }

  [[nodiscard]] std::vector<std::string> filters(std::string_view key) const {
    std::vector<std::string> out;
    const toml::node* const node = find(key);
    if (!node) return out;
    if (!node->is_array()) refuse(*node, key, "a list of strings");
    for (const toml::node& item : *node->as_array()) {
      if (!item.is_string()) refuse(item, key, "a list of strings");
      out.push_back(item.as_string()->get());
    }
    try {
      store::UsageFilter const check(out, "gc");
    } catch (const Error& e) {
      throw e.with_context(file_ + ":" + std::to_string(node->source().begin.line));
    }
    return out;
  }

  [[nodiscard]] std::vector<Section> list(std::string_view key) const {
    std::vector<Section> out;
    const toml::node* const node = find(key);
    if (!node) return out;
    constexpr std::string_view kExpected = "a list of tables";
    if (!node->is_array()) refuse(*node, key, kExpected);
    for (const toml::node& item : *node->as_array()) {
      if (!item.is_table()) refuse(item, key, kExpected);
      out.emplace_back(*item.as_table(), file_, name_ + "." + std::string(key));
    }
    return out;
  }

 private:
  static constexpr std::int64_t kSecondsMax = 3'200'000'000;  ///< A hundred years.

  const toml::table& table_;
  std::string file_;
  std::string name_;
};

store::GcRule read_rule(const Section& table) {
  store::GcRule rule;
  rule.all = table.flag("all", false);
  rule.filters = table.filters("filters");
  rule.keep_duration = table.duration("keepDuration");
  rule.reserved = table.space("reservedSpace");
  // The older word for it.
  if (store::DiskSpace const keep = table.space("keepBytes"); !rule.reserved.is_set())
    rule.reserved = keep;
  rule.max_used = table.space("maxUsedSpace");
  rule.min_free = table.space("minFreeSpace");
  return rule;
}

store::GcConfig read_worker(const Section& worker) {
  store::GcConfig config;
  config.enabled = worker.flag("gc", true);
  config.reserved = worker.space("reservedSpace");
  config.max_used = worker.space("maxUsedSpace");
  config.min_free = worker.space("minFreeSpace");
  store::DiskSpace const keep = worker.space("gckeepstorage");
  if (!config.reserved.is_set() && !config.max_used.is_set() && !config.min_free.is_set())
    config.reserved = keep;
  for (const Section& rule : worker.list("gcpolicy")) config.rules.push_back(read_rule(rule));
  return config;
}

}  // namespace

store::GcConfig read_gc_config(const std::optional<std::filesystem::path>& file) {
  if (!file) return {};
  toml::table const config = registry::parse_toml(registry::read_config_file(*file), *file);
  auto const workers = Section(config, file->string(), "").section("worker");
  auto const worker = workers ? workers->section("oci") : std::nullopt;
  return worker ? read_worker(*worker) : store::GcConfig{};
}

}  // namespace cobuild::cli
