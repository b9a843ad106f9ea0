#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/base/secret.hpp"

namespace cobuild::ops {

/// Finds a secret that the user gave (--secret id=ID) for servers that ask who we are; nullopt when
/// there is none of that name. An empty function: no secrets at all. Called on the loop, and must
/// not block for long. \throws Error when it is there but cannot be read.
using FindSecret = std::function<std::optional<Secret>(const std::string& id)>;

}  // namespace cobuild::ops
