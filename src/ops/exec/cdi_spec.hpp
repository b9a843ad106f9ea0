#pragma once

/// Files of the Container Device Interface: devices of this machine by name, and what a container
/// needs to have them (F1.6.22). Pure.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/exec/container.hpp"

namespace cobuild::ops {

inline constexpr std::size_t kCdiSpecBytes_max = 4 << 20;

/// What a container gets with a device.
struct CdiEdits {
  std::vector<std::string> env;
  std::vector<ContainerDevice> nodes;
  std::vector<ContainerMount> mounts;
  std::vector<ContainerHook> hooks;
  std::vector<std::uint32_t> additional_gids;
  std::string unsupported;  ///< What else it would need; empty: nothing.
};

struct CdiDevice {
  std::string name;                                ///< With its kind: "vendor.com/class=name".
  std::map<std::string, std::string> annotations;  ///< The file's, too; its own ones win.
  CdiEdits edits;
};

/// One file.
struct CdiSpec {
  std::string kind;  ///< "vendor.com/class".
  CdiEdits edits;    ///< For any of its devices, once.
  std::vector<CdiDevice> devices;
};

enum class CdiFormat { kJson, kYaml };

/// \throws Error kInvalidInput for what is no such file.
[[nodiscard]] CdiSpec parse_cdi_spec(std::string_view text, CdiFormat format);

}  // namespace cobuild::ops
