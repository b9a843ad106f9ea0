#include "oci/export_platform.hpp"

#include <algorithm>
#include <filesystem>

namespace cobuild::oci {

std::string platform_directory(std::string_view platform) {
  std::string name(platform);
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

std::string link_below(std::string_view prefix, std::string target) {
  if (prefix.empty() || !target.starts_with('/')) return target;
  std::filesystem::path const joined("/" + std::string(prefix) + target);
  std::string moved = joined.lexically_normal().string();
  if (moved.ends_with('/')) moved.pop_back();
  return moved;
}

}  // namespace cobuild::oci
