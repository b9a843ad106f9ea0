#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cobuild::dockerfile {

/// Environment variables in the order in which they were last set: setting one again moves it to the
/// end, which is the order that BuildKit's LLB has. A value; copies share until one is changed.
class EnvList {
 public:
  void set(const std::string& key, std::string value);
  void erase(const std::string& key);

  /// nullptr when it is not set. Valid until the list changes.
  [[nodiscard]] const std::string* find(const std::string& key) const;

  [[nodiscard]] std::vector<std::string> keys() const;
  [[nodiscard]] std::vector<std::string> to_strings() const;  ///< "KEY=VALUE".

 private:
  struct Entry {
    std::size_t order = 0;
    std::string value;
  };
  struct Table {
    std::size_t next_order = 0;
    std::map<std::string, Entry> entries;
  };
  Table& own();
  [[nodiscard]] std::vector<const std::pair<const std::string, Entry>*> sorted() const;

  std::shared_ptr<Table> table_;
};

/// "KEY=VALUE" into its parts; the value of "KEY" is empty.
[[nodiscard]] std::pair<std::string, std::string> split_variable(std::string_view text);

}  // namespace cobuild::dockerfile
