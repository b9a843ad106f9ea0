#include "ops/exec/ulimits.hpp"

#include <sys/resource.h>

#include <array>
#include <cctype>
#include <string>
#include <string_view>

#include "core/base/error.hpp"

namespace cobuild::ops {
namespace {

struct Resource {
  std::string_view name;
  int number;
};
constexpr std::array<Resource, 15> kResources{{{"core", RLIMIT_CORE},
                                               {"cpu", RLIMIT_CPU},
                                               {"data", RLIMIT_DATA},
                                               {"fsize", RLIMIT_FSIZE},
                                               {"locks", RLIMIT_LOCKS},
                                               {"memlock", RLIMIT_MEMLOCK},
                                               {"msgqueue", RLIMIT_MSGQUEUE},
                                               {"nice", RLIMIT_NICE},
                                               {"nofile", RLIMIT_NOFILE},
                                               {"nproc", RLIMIT_NPROC},
                                               {"rss", RLIMIT_RSS},
                                               {"rtprio", RLIMIT_RTPRIO},
                                               {"rttime", RLIMIT_RTTIME},
                                               {"sigpending", RLIMIT_SIGPENDING},
                                               {"stack", RLIMIT_STACK}}};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

void check_ulimits(const std::vector<Ulimit>& limits) {
  for (const Ulimit& limit : limits) {
    std::string const name = lower(limit.name);
    for (const Resource& resource : kResources) {
      rlimit own = {};
      if (resource.name != name || ::getrlimit(static_cast<__rlimit_resource>(resource.number), &own) != 0) {
        continue;
      }
      // -1 is the largest number there.
      if (static_cast<rlim_t>(limit.hard) <= own.rlim_max) continue;
      throw Error(ErrorKind::kUnsupported,
                  "ulimit " + name + "=" + std::to_string(limit.soft) + ":" + std::to_string(limit.hard) +
                      " is above the hard limit of this process, " + std::to_string(own.rlim_max) +
                      ", which an ordinary user may not raise: ask for less, or raise it for the user in "
                      "/etc/security/limits.conf");
    }
  }
}

}  // namespace cobuild::ops
