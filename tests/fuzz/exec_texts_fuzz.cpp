// The texts that the executor reads and others write: subordinate ids, passwd, resolv.conf, and the
// runtime's log.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/assert.hpp"
#include "core/sys/user_namespace.hpp"
#include "ops/exec/bundle.hpp"
#include "ops/exec/network_files.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild;
  std::string_view const text(reinterpret_cast<const char*>(data), size);
  auto const ranges = parse_subids(text, "ann", 1000);
  COBUILD_ASSERT(ranges.size() <= kSubidRangesMax, "more ranges than a map takes");
  std::uint64_t next = 0;
  for (const IdMapping& mapping : map_ids(1000, ranges)) {
    COBUILD_ASSERT(mapping.inside == next && mapping.count > 0, "a map with holes");
    next += mapping.count;
  }
  static_cast<void>(user_name(text, 1000));
  static_cast<void>(ops::names_only_systemd_resolved(text));
  static_cast<void>(ops::last_logged_error(text));
  for (ops::NetworkMode mode : {ops::NetworkMode::kDefault, ops::NetworkMode::kHost}) {
    std::string const conf = ops::resolv_conf_file(text, {}, mode);
    COBUILD_ASSERT(ops::resolv_conf_file(conf, {}, mode) == conf, "not stable");
  }
  return 0;
}
