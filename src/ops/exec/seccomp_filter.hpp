#pragma once

/// The seccomp profile as a program for the kernel.
///
/// A runtime compiles the profile anew for every container: with libseccomp that is ten
/// milliseconds, more than all the rest. crun takes a finished program instead; this makes it.

#include <linux/filter.h>

#include <set>
#include <string>
#include <vector>

namespace cobuild::ops {

/// What seccomp_profile(capabilities) says, for all ABIs of this machine. Calls that are newer than
/// any that we know get ENOSYS, upon which programs fall back to older ones. Empty on architectures
/// for which it is not made: the runtime compiles there.
[[nodiscard]] std::vector<sock_filter> seccomp_filter(const std::set<std::string>& capabilities);

/// The same as crun wants it in the annotation run.oci.seccomp_bpf_data; empty when there is none.
[[nodiscard]] std::string seccomp_filter_base64(const std::set<std::string>& capabilities);

}  // namespace cobuild::ops
