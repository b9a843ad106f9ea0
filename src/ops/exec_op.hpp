#pragma once

/// RUN: one vertex of type exec, run in a container.

#include <memory>
#include <string>
#include <vector>

#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"
#include "ops/services.hpp"

namespace cobuild::ops {

/// An op for `vertex`, which must be an exec. `services` is copied; what it refers to must outlive
/// the op.
[[nodiscard]] std::unique_ptr<solve::Op> make_exec_op(const Services& services,
                                                      std::shared_ptr<const llb::Vertex> vertex);

/// The words of a failed step (F1.6.24): `process "/bin/sh -c false" did not complete successfully:
/// exit code: 1`.
[[nodiscard]] std::string describe_failure(const pb::Meta& meta, const ExitStatus& status);

/// The process's environment: the op's own, the proxy variables in both cases, and a default PATH
/// (F1.6.3, F2.3.2).
[[nodiscard]] std::vector<std::string> process_environment(const pb::Meta& meta,
                                                           const pb::Platform& platform);

/// What it says with --device.
[[nodiscard]] std::vector<DeviceRequest> device_requests(const pb::ExecOp& exec);

}  // namespace cobuild::ops
