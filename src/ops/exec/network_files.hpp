#pragma once

/// The /etc/hosts and /etc/resolv.conf of a step, as text (F8.1.16, F8.1.17). Pure.

#include <string>
#include <string_view>
#include <vector>

#include "ops/exec/container.hpp"
#include "ops/exec/oci_runtime.hpp"

namespace cobuild::ops {

inline constexpr std::string_view kDefaultHostname = "buildkitsandbox";

/// `hostname` may be empty: kDefaultHostname.
[[nodiscard]] std::string hosts_file(std::string_view hostname,
                                     const std::vector<ExtraHost>& extra);

/// From the text of the machine's file. `network` kHost keeps its servers; otherwise those on
/// loopback are dropped, as nothing listens there in a container's network, and public ones are
/// taken when none is left. What `dns` sets replaces what the file says.
[[nodiscard]] std::string resolv_conf_file(std::string_view host_text, const DnsOptions& dns,
                                           NetworkMode network);

/// Whether `host_text` names systemd-resolved's own address and nothing else: then
/// /run/systemd/resolve/resolv.conf has the servers behind it.
[[nodiscard]] bool names_only_systemd_resolved(std::string_view host_text);

}  // namespace cobuild::ops
