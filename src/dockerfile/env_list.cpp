#include "dockerfile/env_list.hpp"

#include <algorithm>

namespace cobuild::dockerfile {

EnvList::Table& EnvList::own() {
  if (!table_) {
    table_ = std::make_shared<Table>();
  } else if (table_.use_count() > 1) {
    table_ = std::make_shared<Table>(*table_);
  }
  return *table_;
}

void EnvList::set(const std::string& key, std::string value) {
  Table& table = own();
  table.entries[key] = {table.next_order++, std::move(value)};
}

void EnvList::erase(const std::string& key) {
  if (find(key) != nullptr) own().entries.erase(key);
}

const std::string* EnvList::find(const std::string& key) const {
  if (!table_) return nullptr;
  auto const found = table_->entries.find(key);
  return found == table_->entries.end() ? nullptr : &found->second.value;
}

std::vector<const std::pair<const std::string, EnvList::Entry>*> EnvList::sorted() const {
  std::vector<const std::pair<const std::string, Entry>*> out;
  if (!table_) return out;
  for (const auto& entry : table_->entries) out.push_back(&entry);
  std::ranges::sort(out, {}, [](const auto* entry) { return entry->second.order; });
  return out;
}

std::vector<std::string> EnvList::keys() const {
  std::vector<std::string> out;
  for (const auto* entry : sorted()) out.push_back(entry->first);
  return out;
}

std::vector<std::string> EnvList::to_strings() const {
  std::vector<std::string> out;
  for (const auto* entry : sorted()) out.push_back(entry->first + "=" + entry->second.value);
  return out;
}

std::pair<std::string, std::string> split_variable(std::string_view text) {
  std::size_t const at = text.find('=');
  if (at == std::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

}  // namespace cobuild::dockerfile
