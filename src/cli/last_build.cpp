#include "cli/last_build.hpp"

#include <filesystem>
#include <system_error>
#include <utility>

#include "cli/why_report.hpp"
#include "core/base/git_url.hpp"

namespace cobuild::cli {
namespace {

constexpr int kStandardError = 2;
constexpr std::string_view kTable = "build";
constexpr std::string_view kLast = "last";
/// Of what is kept. A build of hundreds of steps with hundreds of files each tells less of them.
constexpr std::size_t kReportBytesMax = 256 << 10;

std::string option(const BuildOptions& options, const std::string& name) {
  auto const found = options.frontend_options.find(name);
  return found == options.frontend_options.end() ? std::string() : found->second;
}

std::string full_path(const std::filesystem::path& path) {
  std::error_code error;
  auto const full = std::filesystem::absolute(path, error).lexically_normal();
  std::string text = error ? path.string() : full.string();
  if (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

std::string context_of(const BuildOptions& options) {
  if (std::string const remote = option(options, "context"); !remote.empty()) {
    return redact_credentials(remote);
  }
  auto const local = options.locals.find("context");
  if (local != options.locals.end()) return full_path(local->second);
  return options.frontend.empty() ? "LLB on stdin" : "context on stdin";
}

}  // namespace

std::string build_origin(const BuildOptions& options) {
  std::string text = context_of(options) + '\n' + option(options, "filename") + '\n' +
                     option(options, "target") + '\n' + options.dockerfile_url;
  auto const directory = options.locals.find("dockerfile");
  if (directory != options.locals.end()) text += '\n' + full_path(directory->second);
  return Digest::of(text).hex().substr(0, 16);
}

std::string describe_build(const BuildOptions& options) {
  std::string text = context_of(options);
  if (std::string const file = option(options, "filename"); !file.empty()) text += ", " + file;
  if (std::string const target = option(options, "target"); !target.empty()) {
    text += ", target " + target;
  }
  return text;
}

void log_explanation(const solve::Explanation& explanation, solve::StepSink& step) {
  std::string text;
  for (const std::string& line : explain(explanation)) text += "why: " + line + "\n";
  step.log(kStandardError, text);
}

Task<void> report_steps(solve::Solver& solver, std::string what,
                        std::optional<solve::BuildReport>& report) {
  solve::BuildReport made;
  made.time = now();
  made.what = std::move(what);
  made.steps = co_await solver.outcomes();
  report = std::move(made);
}

void keep_last_build(store::Store& store, solve::BuildReport report) {
  std::string text = to_json(report);
  if (text.size() > kReportBytesMax) {
    for (solve::StepOutcome& step : report.steps) {
      if (!step.explanation) continue;
      step.explanation->causes.clear();
      for (solve::Difference& difference : step.explanation->differences) {
        difference.more_files += difference.files.size();
        difference.files.clear();
      }
    }
    text = to_json(report);
  }
  if (text.size() <= store::Store::kNoteBytesMax) store.put_note(kTable, kLast, text);
}

std::optional<solve::BuildReport> read_last_build(store::Store& store) {
  auto const text = store.get_note(kTable, kLast);
  return text ? solve::parse_build_report(*text) : std::nullopt;
}

}  // namespace cobuild::cli
