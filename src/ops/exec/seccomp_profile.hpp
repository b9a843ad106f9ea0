#pragma once

/// Which system calls a step may make (F8.1.9).

#include <boost/json/fwd.hpp>

#include <set>
#include <string>

namespace cobuild::ops {

/// The "seccomp" object of a runtime spec: the default profile that container engines share, for a
/// process with `capabilities` ("CAP_CHOWN", …). What is not allowed fails with EPERM. Pure; for
/// the architecture that cobuild was built for.
[[nodiscard]] boost::json::object seccomp_profile(const std::set<std::string>& capabilities);

}  // namespace cobuild::ops
