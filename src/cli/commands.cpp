#include "cli/commands.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "cli/last_build.hpp"
#include "cli/llb_dump.hpp"
#include "cli/on_store.hpp"
#include "cli/usage_table.hpp"
#include "cli/verify_report.hpp"
#include "cli/why_report.hpp"
#include "core/base/error.hpp"
#include "core/llb/definition.hpp"
#include "core/store/collect.hpp"
#include "core/store/store.hpp"
#include "core/store/verify.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::cli {
namespace {

constexpr std::size_t kDefinitionBytesMax = std::size_t{256} << 20;

Task<int> disk_usage_body(Runtime& runtime, DiskUsageOptions options) {
  std::vector<store::UsageRecord> records;
  if (may_have_store(options.global)) {
    auto const store = open_store(runtime, options.global);
    records = co_await store::disk_usage(*store, options.filters);
  }
  if (options.json) {
    write_stdout(render_usage_json(records));
    co_return 0;
  }
  std::string out = options.verbose ? render_usage_verbose(records) : render_usage_table(records);
  if (options.filters.empty()) out += render_usage_summary(records);
  write_stdout(out);
  co_return 0;
}

Task<int> prune_body(Runtime& runtime, PruneCommandOptions options) {
  store::PruneOptions prune;
  prune.all = options.all;
  prune.filters = options.filters;
  prune.keep_duration = options.keep_duration;
  prune.reserved_bytes = options.reserved_bytes;
  prune.max_used_bytes = options.max_used_bytes;
  prune.min_free_bytes = options.min_free_bytes;
  std::vector<store::UsageRecord> removed;
  if (may_have_store(options.global)) {
    auto const store = open_store(runtime, options.global);
    removed = co_await store::prune(*store, std::move(prune));
  }
  if (options.json) {
    write_stdout(render_usage_json_lines(removed));
    co_return 0;
  }
  std::string out;
  if (!removed.empty()) {
    out = options.verbose ? render_usage_verbose(removed) : render_usage_table(removed);
  }
  write_stdout(out + render_total(removed));
  co_return 0;
}

Task<int> cache_verify_body(Runtime& runtime, CacheVerifyOptions options) {
  store::VerifyReport report;
  if (may_have_store(options.global)) {
    auto const store = open_store(runtime, options.global);
    report = co_await store::verify_store(*store);
  }
  write_stdout(options.json ? render_verify_json(report) : render_verify_text(report));
  co_return report.damages.empty() ? 0 : 1;
}

Task<int> why_body(Runtime& runtime, WhyOptions options) {
  std::optional<solve::BuildReport> report;
  if (may_have_store(options.global)) {
    auto const store = open_store(runtime, options.global);
    report = read_last_build(*store);
  }
  if (!report) {
    throw Error(ErrorKind::kNotFound, "nothing was built in " + options.global.root.string() +
                                          " yet: run cobuild build first, or name another store "
                                          "with --root");
  }
  if (!options.step.empty()) select_steps(*report, options.step);
  write_stdout(options.json ? solve::to_json(*report) + "\n"
                            : render_report(*report, !options.step.empty()));
  co_return 0;
}

}  // namespace

void write_stdout(std::string_view text) {
  while (!text.empty()) {
    ssize_t const count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw explain_full_destination(Error::from_errno(errno, "write to standard output"), "-");
    }
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

int run_disk_usage(const DiskUsageOptions& options) {
  return run_on_store(options, disk_usage_body);
}

int run_prune(const PruneCommandOptions& options) {
  return run_on_store(options, prune_body);
}

int run_cache_verify(const CacheVerifyOptions& options) {
  return run_on_store(options, cache_verify_body);
}

int run_why(const WhyOptions& options) {
  return run_on_store(options, why_body);
}

int run_doctor(const DoctorOptions& options) {
  ops::SandboxOptions sandbox;
  sandbox.oci_runtime = options.global.oci_runtime;
  ops::MachineReport const report = ops::probe_machine(sandbox, options.global.root);
  write_stdout(render_machine_report(report));
  bool const strong =
      report.kind == ops::SandboxKind::kRoot || report.kind == ops::SandboxKind::kUserNamespace;
  bool const has_runtime = std::none_of(
      report.checks.begin(), report.checks.end(),
      [](const ops::MachineCheck& check) { return check.name == "OCI runtime" && !check.ok; });
  return strong && has_runtime ? 0 : 1;
}

std::string render_machine_report(const ops::MachineReport& report) {
  std::string out =
      "Sandbox: " + std::to_string(static_cast<int>(report.kind)) + " of 5 (1 is best)\n";
  if (!report.explanation.empty()) out += report.explanation + "\n";
  out += "\n";
  std::size_t width = 0;
  for (const ops::MachineCheck& check : report.checks) width = std::max(width, check.name.size());
  for (const ops::MachineCheck& check : report.checks) {
    std::string name = check.name;
    name.resize(width, ' ');
    out += (check.ok ? "  ok       " : "  MISSING  ") + name + "  " + check.detail + "\n";
    if (!check.ok && !check.fix.empty()) out += "           to fix it: " + check.fix + "\n";
  }
  return out;
}

int run_dump_llb(const DumpLlbOptions& options) {
  bool const from_stdin = options.file.empty() || options.file == "-";
  UniqueFd file;
  if (!from_stdin) file = open_file(options.file, O_RDONLY);
  std::string const bytes = read_all(from_stdin ? STDIN_FILENO : file.get(), kDefinitionBytesMax,
                                     from_stdin ? "standard input" : options.file);
  pb::Definition const definition = llb::parse_definition(bytes);
  write_stdout(options.dot ? dump_llb_dot(definition) : dump_llb_json(definition));
  return 0;
}

int run_version() {
  write_stdout("cobuild " COBUILD_VERSION "\n");
  return 0;
}

}  // namespace cobuild::cli
