#pragma once

/// Descriptors and platforms as members of larger documents; for the .cpp files of this folder.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <map>
#include <string>
#include <vector>

#include "oci/spec/descriptor.hpp"
#include "oci/spec/json_members.hpp"
#include "oci/spec/platform.hpp"

namespace cobuild::oci {

[[nodiscard]] Descriptor read_descriptor(const boost::json::value& value, const std::string& path);
[[nodiscard]] boost::json::object write_descriptor(const Descriptor& descriptor);

/// From, and into, the object that has the platform's members among others.
[[nodiscard]] Platform read_platform(const Members& members);
void write_platform(const Platform& platform, boost::json::object& object);

[[nodiscard]] boost::json::array write_texts(const std::vector<std::string>& texts);
[[nodiscard]] boost::json::object write_text_map(const std::map<std::string, std::string>& map);

}  // namespace cobuild::oci
