#include "cli/platform_check.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> words;
  for (std::size_t start = 0; start <= list.size();) {
    std::size_t const end = std::min(list.find(',', start), list.size());
    words.push_back(list.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

std::string spelling(const oci::Platform& platform) {
  return oci::format_platform_all(oci::normalize_platform(platform));
}

std::string join(const std::multiset<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : ",") + word;
  return joined;
}

/// Whether the only platform that was asked for is that of `built`, a version of the system aside
/// that nobody asked for.
bool is_for(oci::Platform built, const oci::Platform& wanted) {
  if (wanted.os_version.empty()) built.os_version.clear();
  return spelling(built) == spelling(wanted);
}

}  // namespace

std::vector<std::string> platform_warnings(const std::string& requested,
                                           const std::vector<oci::Platform>& built, bool is_index) {
  std::vector<std::string> warnings;
  std::multiset<std::string> wanted;
  std::optional<oci::Platform> only;
  std::string first;
  for (const std::string& word :
       split(requested.empty() ? oci::format_platform(oci::host_platform()) : requested)) {
    try {
      only = oci::parse_platform(word);
    } catch (const Error& error) {
      warnings.push_back("Invalid platform result requested \"" + word + "\": " + error.what());
      continue;
    }
    if (first.empty()) first = word;
    if (wanted.contains(spelling(*only))) {
      warnings.push_back("Duplicate platform result requested \"" + word + "\"");
    }
    wanted.insert(spelling(*only));
  }
  if (!warnings.empty()) return warnings;
  if (wanted.size() == 1 && built.size() == 1) {
    if (is_for(built.front(), *only)) return {};
    return {"Requested platform \"" + first + "\" does not match result platform \"" +
            spelling(built.front()) + "\""};
  }
  if (!is_index && wanted.size() > 1) {
    return {"Multiple platforms requested but result is not multi-platform"};
  }
  std::multiset<std::string> results;
  for (const oci::Platform& platform : built) results.insert(spelling(platform));
  if (wanted == results) return {};
  return {"Requested platforms " + join(wanted) + " do not match result platforms " +
          join(results)};
}

}  // namespace cobuild::cli
