#include "oci/spec/json_members.hpp"

#include <utility>

#include "core/base/error.hpp"

namespace cobuild::oci {

namespace json = boost::json;

Members::Members(const json::value& value, std::string path)
    : object_(value.if_object()), path_(std::move(path)) {
  if (!object_) throw Error(ErrorKind::kCorrupt, path_ + " is not a JSON object");
}

const json::value* Members::find(std::string_view name) const {
  const json::value* value = object_->if_contains(name);
  return value && !value->is_null() ? value : nullptr;
}

std::string Members::path_of(std::string_view name) const {
  return path_ + "." + std::string(name);
}

void Members::throw_wrong(std::string_view name, std::string_view expected) const {
  throw Error(ErrorKind::kCorrupt, path_of(name) + " is not " + std::string(expected));
}

std::string Members::text(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return {};
  if (!value->is_string()) throw_wrong(name, "a string");
  return std::string(value->get_string());
}

bool Members::flag(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return false;
  if (!value->is_bool()) throw_wrong(name, "true or false");
  return value->get_bool();
}

std::int64_t Members::integer(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return 0;
  if (!value->is_int64()) throw_wrong(name, "an integer");
  return value->get_int64();
}

std::vector<std::string> Members::texts(std::string_view name) const {
  std::vector<std::string> found;
  for_each(name, [&](const json::value& item, const std::string& path) {
    if (!item.is_string()) throw Error(ErrorKind::kCorrupt, path + " is not a string");
    found.emplace_back(item.get_string());
  });
  return found;
}

std::map<std::string, std::string> Members::text_map(std::string_view name) const {
  std::map<std::string, std::string> found;
  const json::value* value = find(name);
  if (!value) return found;
  const json::object* object = value->if_object();
  if (!object) throw_wrong(name, "an object");
  for (const auto& member : *object) {
    if (!member.value().is_string()) throw_wrong(name, "an object of strings");
    found.emplace(member.key(), member.value().get_string());
  }
  return found;
}

std::vector<std::string> Members::keys(std::string_view name) const {
  std::vector<std::string> found;
  const json::value* value = find(name);
  if (!value) return found;
  const json::object* object = value->if_object();
  if (!object) throw_wrong(name, "an object");
  for (const auto& member : *object) found.emplace_back(member.key());
  return found;
}

Digest parse_digest_member(std::string_view text, std::string_view path) {
  if (auto digest = Digest::try_parse(text)) return *digest;
  auto colon = text.find(':');
  std::string_view const algorithm = text.substr(0, colon);
  if (colon != std::string_view::npos && (algorithm == "sha512" || algorithm == "sha384")) {
    throw Error(ErrorKind::kUnsupported, std::string(path) + " is a " + std::string(algorithm) +
                                             " digest: only sha256 is supported");
  }
  throw Error(ErrorKind::kCorrupt, std::string(path) + " is not a digest");
}

}  // namespace cobuild::oci
