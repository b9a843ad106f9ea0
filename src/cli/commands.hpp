#pragma once

/// The commands beside build: each does its work, prints on stdout, and returns the exit status.
/// \throws Error for main to report.

#include "cli/options.hpp"
#include "ops/exec/sandbox.hpp"

namespace cobuild::cli {

int run_disk_usage(const DiskUsageOptions& options);
int run_prune(const PruneCommandOptions& options);
/// Status 1 when something was damaged.
int run_cache_verify(const CacheVerifyOptions& options);
int run_why(const WhyOptions& options);
/// Status 1 when RUN steps cannot be run on this machine.
int run_doctor(const DoctorOptions& options);
int run_dump_llb(const DumpLlbOptions& options);
int run_version();

/// What doctor prints.
[[nodiscard]] std::string render_machine_report(const ops::MachineReport& report);

/// Writes all of `text` to standard output. \throws Error when that fails (a full disk, a closed
/// pipe).
void write_stdout(std::string_view text);

}  // namespace cobuild::cli
