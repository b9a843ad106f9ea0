#include "cli/build.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/cache_transfer.hpp"
#include "cli/commands.hpp"
#include "cli/dockerfile_frontend.hpp"
#include "cli/early_export.hpp"
#include "cli/export_options.hpp"
#include "cli/exporting.hpp"
#include "cli/gc_config.hpp"
#include "cli/image_loader.hpp"
#include "cli/internal_step.hpp"
#include "cli/last_build.hpp"
#include "cli/missing_source.hpp"
#include "cli/mount_transfer.hpp"
#include "cli/platform_check.hpp"
#include "cli/preflight.hpp"
#include "cli/progress_display.hpp"
#include "cli/remedies.hpp"
#include "cli/report_error.hpp"
#include "cli/settle.hpp"
#include "cli/solving.hpp"
#include "cli/stdin_context.hpp"
#include "cli/timings_report.hpp"
#include "cli/workspace.hpp"
#include "core/async/cleanup.hpp"
#include "core/async/concurrency.hpp"
#include "core/async/context.hpp"
#include "core/async/runtime.hpp"
#include "core/async/task_group.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/llb/marshal.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/write_rights.hpp"
#include "oci/export_image.hpp"
#include "oci/output_file.hpp"
#include "ops/exec/sandbox.hpp"
#include "ops/exec_op.hpp"

namespace cobuild::cli {
namespace {

constexpr std::size_t kDefinitionBytesMax = std::size_t{256} << 20;
constexpr std::string_view kDockerfileFrontend = "dockerfile.v0";
constexpr int kBuiltNotPushed = 3;  ///< The exit status of a build whose push failed.

/// What to build, and what is known of the result before it is built.
struct Plan {
  std::vector<pb::Definition> definitions;  ///< One for each target of the result.
  BuiltResult result;
};

/// F7.1.8.
Plan read_llb_from_stdin(const BuildOptions& options) {
  Timings::Span const span(Phase::kParse);
  std::string const bytes = read_all(STDIN_FILENO, kDefinitionBytesMax, "the LLB on standard input");
  if (bytes.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "empty definition sent to build. Specify --frontend instead?");
  }
  pb::Definition definition = llb::parse_definition(bytes);
  if (options.no_cache) {
    for (const std::string& op : definition.def()) {
      std::string const digest = Digest::of(std::string_view(op)).to_string();
      (*definition.mutable_metadata())[digest].set_ignore_cache(true);
    }
  }
  Plan plan;
  plan.definitions.push_back(std::move(definition));
  plan.result.targets.emplace_back().platform = llb::host_platform();
  return plan;
}

Plan make_plan(FrontendResult frontend) {
  Plan plan;
  plan.result.is_multi_platform = frontend.is_multi_platform;
  for (dockerfile::Lowered& lowered : frontend.targets) {
    plan.definitions.push_back(std::move(lowered.definition));
    BuiltTarget& target = plan.result.targets.emplace_back();
    target.image_config = std::move(lowered.image_config);
    target.base_image_config = std::move(lowered.base_image_config);
    target.platform = lowered.platform;
    target.epoch = lowered.epoch;
  }
  return plan;
}

Task<Plan> plan_build(const BuildOptions& options, Workspace& workspace,
                                       progress::Sink& progress, dockerfile::IgnoreFile& ignore) {
  if (options.frontend.empty()) co_return read_llb_from_stdin(options);
  FrontendResult frontend =
      co_await run_dockerfile_frontend(options, llb::host_platform(), workspace, progress);
  ignore = frontend.ignore;
  Plan plan = make_plan(std::move(frontend));
  auto const platform = options.frontend_options.find("platform");
  plan.result.warnings = platform_warnings(
      platform == options.frontend_options.end() ? "" : platform->second, platforms_of(plan.result),
      plan.result.is_multi_platform);
  co_return plan;
}

template <class T>
Task<void> store_value(T& place, Task<T> task) {
  place = co_await std::move(task);
}

/// All outputs at once.
Task<void> export_all(BuiltResult& result, const BuildOptions& options, Workspace& workspace,
                      progress::Sink& progress) {
  auto write = [&](const OutputOptions& output) {
    return export_result(output, result, workspace, progress);
  };
  std::vector<OutputOptions> outputs = options.outputs;
  std::size_t const count = std::max<std::size_t>(1, outputs.size());
  co_await for_each_bounded(std::move(outputs), count, write);
  if (wants_image_id(options) && !result.response.contains("containerimage.digest")) {
    co_await identify_image(result, workspace, progress);
  }
  co_await export_caches(options, result.keys, workspace, progress, result.response);
  co_await save_cache_mounts(workspace, progress);
}

Task<void> solve_and_export(Plan& plan, const dockerfile::IgnoreFile& ignore,
                            std::vector<solve::ImportedCache> imports,
                            const BuildOptions& options, Workspace& workspace,
                            progress::Sink& progress) {
  Solving solving(plan.definitions, std::move(imports), options, workspace, progress);
  co_await solving.clear_cache_mounts();
  std::exception_ptr export_failure;
  for (;;) {
    // SOLVE. Runs what the cache does not have. Finished layers are on their way to the outputs.
    std::exception_ptr failure;
    bool is_other = false;
    try {
      is_other = co_await solving.solve(plan.result);
    } catch (const Error& e) {
      failure = std::make_exception_ptr(explain_missing_source(e, options, ignore));
    }
    if (failure) std::rethrow_exception(failure);

    // EXPORT. Once more when layers that were found in a cache could not be had, and are made now.
    if (export_failure && !is_other) std::rethrow_exception(export_failure);
    try {
      co_await export_all(plan.result, options, workspace, progress);
      co_return;
    } catch (const Error& e) {
      if (!solving.has_lost(plan.result)) throw;
      export_failure = std::current_exception();
      InternalStep step(progress, "[internal] making again what caches have lost");
      step.warn(std::string(e.what()) + ": it was found in a cache, and is made again");
      step.done();
    }
  }
}

/// THE BUILD: what to build, build it, write it. Returns what became of it.
Task<BuiltResult> build(const BuildOptions& options, Workspace& workspace, progress::Sink& progress) {
  // FRONTEND. A Dockerfile, or LLB as it is; either ends as LLB.
  // Caches are asked for what they have meanwhile.
  dockerfile::IgnoreFile ignore;
  Plan plan;
  std::vector<solve::ImportedCache> imports;
  TaskGroup group(workspace.runtime.loop().get_executor());
  group.spawn(store_value(plan, plan_build(options, workspace, progress, ignore)));
  group.spawn(store_value(imports, import_caches(options, workspace, progress)));
  co_await group.join();
  plan.result.inline_cache = wants_inline_cache(options);
  check_outputs(options.outputs, plan.result);

  auto const early = EarlyExport::make(options, workspace, progress);
  workspace.early = early.get();
  Task<void> work =
      solve_and_export(plan, ignore, std::move(imports), options, workspace, progress);
  if (early) {
    co_await with_cleanup(std::move(work), early->stop());
  } else {
    co_await std::move(work);
  }
  workspace.early = nullptr;
  co_return std::move(plan.result);
}

/// 25 characters of base 36, as BuildKit's references are.
std::string make_build_id() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 25; ++i) id += "0123456789abcdefghijklmnopqrstuvwxyz"[random() % 36];
  return id;
}

/// A device or a pipe ("/dev/stdout") is written to; a file is replaced.
void write_id(const std::filesystem::path& path, const std::string& text) {
  std::error_code error;
  if (!std::filesystem::is_other(path, error)) return replace_file(path, text);
  oci::write_fully(open_file(path, O_WRONLY).get(), text, path.string());
}

void write_results(const BuildOptions& options, WriteRights rights,
                   const std::map<std::string, std::string>& response) {
  auto const write = [rights](const std::filesystem::path& path, auto writing) {
    LimitedWriting const limited(rights);
    try {
      writing();
    } catch (const Error& error) {
      throw explain_full_destination(error, path);
    }
  };
  if (!options.metadata_file.empty()) {
    write(options.metadata_file, [&] { oci::write_metadata_file(options.metadata_file, response); });
  }
  // What identifies several images is their index.
  auto id = response.find("containerimage.config.digest");
  if (id == response.end()) id = response.find("containerimage.digest");
  if (id == response.end()) return;
  if (!options.iid_file.empty()) {
    write(options.iid_file, [&] { write_id(options.iid_file, id->second); });
  }
  bool const stdout_taken = std::any_of(options.outputs.begin(), options.outputs.end(),
                                        [](const OutputOptions& output) { return output.to_stdout(); });
  if (options.progress == ProgressMode::kQuiet && !stdout_taken) write_stdout(id->second + "\n");
}

/// After everything has been put away, so that it counts: to where the progress went.
void write_timings(const BuildOptions& options, const ProgressState& progress) {
  Timings::Report report = process_timings().report(Timings::Clock::now());
  report.used = report.used + resources_used();
  std::vector<StepTime> const steps = slowest_steps(progress);
  std::string const line = to_json_line(report, steps) + "\n";
  bool const as_json = options.progress == ProgressMode::kRawJson;
  write_all(STDERR_FILENO, as_json ? line : render_timings(report, steps));
  if (!options.trace_file.empty()) write_all(open_trace(options.trace_file).get(), line);
}

/// Tokens are vertices, as BuildKit's are (F7.4.5); so is what makes a build wait.
void show_registry_notice(progress::Sink& progress, std::string_view text) {
  constexpr std::string_view kToken = "[auth] ";
  InternalStep(progress, (text.starts_with(kToken) ? "" : "[registry] ") + std::string(text)).done();
}

/// Answers a question about the Dockerfile. Returns the exit status: with --call it is the answer's.
Task<int> answer_request(const BuildOptions& options, Workspace& workspace, ProgressDisplay& display) {
  RequestResult result =
      co_await run_dockerfile_request(options, llb::host_platform(), workspace, display);
  display.finish();
  if (!options.call) {
    write_stdout(render_answer(result.answer));
    co_return 0;
  }
  write_stdout(render_call(*options.call, result.answer, result.warnings, result.error.has_value()));
  if (result.error && !options.call->json) throw *result.error;
  auto const status = result.answer.find("result.statuscode");
  bool const bad = status != result.answer.end() && status->second != "0";
  co_return bad && !options.call->ignore_status ? 1 : 0;
}

Task<int> build_and_report(Runtime& runtime, BuildOptions options, ops::Sandbox sandbox,
                           ProgressState& steps, std::optional<ImageLoader>& loader,
                           std::optional<Error>& not_pushed) {
  std::optional<Timings::Span> closing;  // Goes after the workspace.
  store::GcConfig const gc = read_gc_config(options.global.config);
  Workspace workspace(runtime, options, sandbox);
  if (loader) workspace.loader = &*loader;
  std::string const id = make_build_id();
  if (!options.ref_file.empty()) {
    LimitedWriting const limited(workspace.output_rights);
    write_id(options.ref_file, id);
  }
  ProgressDisplay display(runtime.loop(), {.mode = options.progress,
                                           .environment = process_environment(),
                                           .trace_file = options.trace_file,
                                           .logs_directory = workspace.store->logs_path() / id});
  workspace.on_registry_notice = [&display](std::string_view text) {
    show_registry_notice(display, text);
  };
  std::exception_ptr failure;
  int status = 0;
  try {
    co_await take_stdin_context(options, workspace);
    if (options.frontend_options.contains("requestid")) {
      status = co_await answer_request(options, workspace, display);
      co_await settle(*workspace.store, gc, nullptr, display);
      co_return status;
    }
    StepTimes timed(display, steps);
    progress::Sink& progress = options.timings ? static_cast<progress::Sink&>(timed) : display;
    BuiltResult const result = co_await build(options, workspace, progress);
    not_pushed = result.push_failure;
    if (!not_pushed) write_results(options, workspace.output_rights, result.response);
  } catch (const Error& e) {
    failure = std::make_exception_ptr(e.with_context("failed to solve"));
  } catch (const boost::system::system_error& e) {
    failure = is_cancelled(e) ? std::make_exception_ptr(Error(ErrorKind::kCancelled,
                                                              "failed to solve: context canceled"))
                              : std::current_exception();
  }
  co_await settle(*workspace.store, gc, failure, display);
  if (workspace.report) {
    workspace.report->succeeded = !failure;
    keep_last_build(*workspace.store, *std::move(workspace.report));
  }
  display.finish();
  closing.emplace(Phase::kClose);
  if (failure) std::rethrow_exception(failure);
  co_return 0;
}

Task<int> lower_and_write(Runtime& runtime, BuildOptions options, ops::Sandbox sandbox) {
  Workspace workspace(runtime, options, sandbox);
  ProgressDisplay::Options display_options;
  display_options.mode = options.progress;
  display_options.environment = process_environment();
  ProgressDisplay display(runtime.loop(), std::move(display_options));
  co_await take_stdin_context(options, workspace);
  FrontendResult result =
      co_await run_dockerfile_frontend(options, llb::host_platform(), workspace, display);
  co_await workspace.store->flush();
  display.finish();
  write_stdout(llb::marshal(result.targets.front().definition));
  co_return 0;
}

ops::Sandbox enter_sandbox(const BuildOptions& options) {
  Timings::Span const span(Phase::kNamespace);
  ops::SandboxOptions sandbox_options;
  sandbox_options.oci_runtime = options.global.oci_runtime;
  return ops::enter_sandbox(sandbox_options);
}

/// Says that all that is missing is the push, and returns the status for that.
int report_not_pushed(const Error& error, const GlobalOptions& global) {
  Error const whole(error.kind(), "failed to solve: " + std::string(error.what()));
  write_all(STDERR_FILENO,
            render_error(std::make_exception_ptr(whole), {.debug = global.debug}));
  return kBuiltNotPushed;
}

}  // namespace

int run_build(BuildOptions options) {
  if (!options.frontend.empty() && options.frontend != kDockerfileFrontend) {
    throw Error(ErrorKind::kInvalidInput, "invalid frontend: " + options.frontend +
                                              ": only dockerfile.v0 is built in");
  }
  check_outputs(options.outputs);
  check_caches(options);
  check_cache_mounts(options);
  if (options.timings) {
    auto const at = Timings::Clock::now();
    process_timings().enable(estimate_process_start(at), at);
  }
  std::optional<ImageLoader> loader;
  if (std::ranges::any_of(options.outputs, &OutputOptions::load)) loader = ImageLoader::start();
  ops::Sandbox sandbox = enter_sandbox(options);
  check_local_directories(options);
  check_destinations(options, write_rights(sandbox));
  ProgressState steps(now);
  int status = 1;
  std::optional<Error> not_pushed;
  std::exception_ptr failure;
  try {
    Runtime runtime;
    status = runtime.run(
        build_and_report(runtime, options, std::move(sandbox), steps, loader, not_pushed));
  } catch (const Error& e) {
    failure = std::make_exception_ptr(explain_denied(explain_full_store(e, options.global.root), options));
  } catch (...) {
    failure = std::current_exception();
  }
  if (options.timings) write_timings(options, steps);
  if (failure) std::rethrow_exception(failure);
  if (not_pushed) return report_not_pushed(*not_pushed, options.global);
  return status;
}

int run_dockerfile_to_llb(DockerfileToLlbOptions options) {
  if (::isatty(STDOUT_FILENO) == 1) {
    throw Error(
        ErrorKind::kInvalidInput,
        "LLB is binary: refusing to write it to the console. Redirect it to a file, or pipe "
        "it to `cobuild debug dump-llb` or `cobuild build`");
  }
  check_local_directories(options.build);
  ops::Sandbox sandbox = ops::enter_sandbox({});
  Runtime runtime;
  return runtime.run(lower_and_write(runtime, std::move(options.build), std::move(sandbox)));
}

}  // namespace cobuild::cli
