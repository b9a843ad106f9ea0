#include "core/base/go_path.hpp"

#include <vector>

namespace cobuild::go_path {

bool is_absolute(std::string_view path) noexcept { return path.starts_with('/'); }

std::string clean(std::string_view path) {
  if (path.empty()) return ".";
  bool const absolute = is_absolute(path);
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin < path.size();) {
    std::size_t const slash = path.find('/', begin);
    std::size_t const end = slash == std::string_view::npos ? path.size() : slash;
    std::string_view const part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!absolute) {
      parts.push_back(part);
    }
  }
  std::string out = absolute ? "/" : "";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += '/';
    out += parts[i];
  }
  return out.empty() ? "." : out;
}

std::string join(std::string_view a, std::string_view b) {
  if (a.empty() && b.empty()) return "";
  if (a.empty()) return clean(b);
  if (b.empty()) return clean(a);
  return clean(std::string(a).append("/").append(b));
}

std::string base(std::string_view path) {
  if (path.empty()) return ".";
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path.empty()) return "/";
  std::size_t const slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string dir(std::string_view path) {
  std::size_t const slash = path.rfind('/');
  return clean(slash == std::string_view::npos ? std::string_view() : path.substr(0, slash + 1));
}

}  // namespace cobuild::go_path
