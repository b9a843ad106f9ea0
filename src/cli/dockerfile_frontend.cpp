#include "cli/dockerfile_frontend.hpp"

#include <unistd.h>

#include <optional>
#include <string>
#include <utility>

#include "cli/internal_step.hpp"
#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/base/units.hpp"
#include "core/sys/file_io.hpp"

namespace cobuild::cli {
namespace {

constexpr std::size_t kImageResolvesMax = 16;

std::optional<std::string> read_if_exists(const std::filesystem::path& path) {
  return read_file_if_exists(path, dockerfile::kDockerfileBytes_max);
}

std::optional<std::filesystem::path> local(const BuildOptions& options, const std::string& name) {
  auto found = options.locals.find(name);
  if (found == options.locals.end()) return std::nullopt;
  return found->second;
}

/// F1.1.26: "dockerfile" stands in for a missing "Dockerfile".
std::string load_dockerfile(const BuildOptions& options, const dockerfile::ConvertOptions& convert) {
  if (options.dockerfile_from_stdin) {
    return read_all(STDIN_FILENO, dockerfile::kDockerfileBytes_max, "the Dockerfile on stdin");
  }
  auto const directory = local(options, convert.dockerfile_name);
  if (!directory) {
    throw Error(ErrorKind::kInvalidInput,
                "no directory for the Dockerfile: give a CONTEXT argument or --local " +
                    convert.dockerfile_name + "=DIR");
  }
  std::filesystem::path const path = *directory / convert.filename;
  if (auto text = read_if_exists(path)) return *std::move(text);
  if (path.filename() == "Dockerfile") {
    if (auto text = read_if_exists(path.parent_path() / "dockerfile")) return *std::move(text);
  }
  throw Error(ErrorKind::kNotFound, "failed to read dockerfile: open " + convert.filename +
                                        ": no such file or directory (looked in " +
                                        directory->string() + "; -f names another file)");
}

/// F1.9.1.
dockerfile::IgnoreFile load_ignore_file(const BuildOptions& options,
                                        const dockerfile::ConvertOptions& convert) {
  if (auto const directory = local(options, convert.dockerfile_name)) {
    std::string const name = dockerfile::ignore_filename_for(convert.filename);
    if (auto text = read_if_exists(*directory / name)) {
      return dockerfile::parse_ignore_file(*text, name);
    }
  }
  if (auto const directory = local(options, convert.context_name)) {
    if (auto text = read_if_exists(*directory / ".dockerignore")) {
      return dockerfile::parse_ignore_file(*text, ".dockerignore");
    }
  }
  return {};
}

/// Reading is short enough for the loop; a coroutine so that it can be a step.
Task<dockerfile::IgnoreFile> load_ignore_step(const BuildOptions& options,
                                              const dockerfile::ConvertOptions& convert,
                                              InternalStep& step) {
  Timings::Span const span(Phase::kParse);
  dockerfile::IgnoreFile ignore = load_ignore_file(options, convert);
  step.status("reading " + (ignore.filename.empty() ? ".dockerignore" : ignore.filename), 0, 0, true);
  co_return ignore;
}

/// Image frontends other than BuildKit's own Dockerfile frontend are not served.
void check_syntax(const std::string& text, const dockerfile::ConvertOptions& convert) {
  std::optional<std::string> syntax = dockerfile::detect_syntax(text);
  if (auto arg = convert.build_args.find("BUILDKIT_SYNTAX"); arg != convert.build_args.end()) {
    syntax = arg->second;
  }
  if (!syntax) return;
  std::string_view name = *syntax;
  if (name.starts_with("docker.io/")) name.remove_prefix(10);
  if (name.starts_with("docker/dockerfile")) return;
  throw Error(ErrorKind::kUnsupported,
              "the Dockerfile asks for the frontend image " + *syntax +
                  " (# syntax=); image frontends are not supported yet, only docker/dockerfile, "
                  "which is built in");
}

void report_warnings(const std::vector<dockerfile::Warning>& warnings, const std::string& filename,
                     const std::string& text, const Digest& step, progress::Sink& progress) {
  for (const dockerfile::Warning& warning : warnings) {
    progress::Warning event{.vertex = step, .level = 1, .summary = warning.summary,
                            .detail = {warning.description}, .url = warning.url,
                            .filename = filename, .text = text, .ranges = {}};
    for (const dockerfile::LineRange& range : warning.ranges) {
      event.ranges.push_back({range.first, range.last});
    }
    progress.on_warning(event);
  }
}

ops::ResolveMode resolve_mode(dockerfile::ImageResolveMode mode) {
  switch (mode) {
    case dockerfile::ImageResolveMode::kPull: return ops::ResolveMode::kPull;
    case dockerfile::ImageResolveMode::kLocal: return ops::ResolveMode::kLocal;
    case dockerfile::ImageResolveMode::kDefault: break;
  }
  return ops::ResolveMode::kDefault;
}

Task<void> resolve_one(const dockerfile::ImageRequest& request, ops::Images& images,
                       dockerfile::ResolvedImages& resolved, progress::Sink& progress) {
  auto work = [&](InternalStep&) {
    return images.resolve(request.key.reference, request.platform,
                          resolve_mode(request.resolve_mode));
  };
  try {
    ops::ResolvedImage image =
        co_await in_step<ops::ResolvedImage>(progress, request.step_name, work);
    resolved.emplace(request.key, dockerfile::ResolvedImage{image.named_digest.to_string(),
                                                            std::move(image.config)});
  } catch (const Error& e) {
    std::string what = request.written + ": failed to resolve source metadata for " +
                       request.key.reference;
    if (e.kind() != ErrorKind::kNotFound) throw e.with_context(what).with_span(request.span);
    throw Error(e.kind(), what + ": " + e.what() + request.suggestion).with_span(request.span);
  }
}

/// Asks for base images until the Dockerfile needs no more: an ONBUILD trigger may name further ones.
Task<dockerfile::ResolvedImages> resolve_bases(const dockerfile::Parsed& parsed,
                                               const dockerfile::ConvertOptions& convert,
                                               ops::Images& images, progress::Sink& progress) {
  dockerfile::ResolvedImages resolved;
  for (int round = 0; round < dockerfile::kImageRounds_max; ++round) {
    auto missing = dockerfile::list_base_images(parsed, convert, resolved);
    if (missing.empty()) break;
    auto resolve = [&](const dockerfile::ImageRequest& request) {
      return resolve_one(request, images, resolved, progress);
    };
    co_await for_each_bounded(std::move(missing), kImageResolvesMax, resolve);
  }
  co_return resolved;
}

/// Every parse error, one per line, the first one's place as the error's.
void throw_parse_errors(const dockerfile::Parsed& parsed) {
  if (parsed.errors.size() <= 1) return parsed.throw_if_bad();
  std::string others;
  for (std::size_t i = 1; i < parsed.errors.size(); ++i) {
    others += "\n  also: ";
    others += parsed.errors[i].what();
  }
  const Error& first = parsed.errors.front();
  Error all(first.kind(), first.what() + others);
  for (const Error::Frame& frame : first.frames()) {
    if (frame.span) all = all.with_span(*frame.span);
  }
  throw all;
}

}  // namespace

Task<FrontendResult> run_dockerfile_frontend(const BuildOptions& options, pb::Platform build_platform,
                                             ops::Images& images, progress::Sink& progress) {
  dockerfile::FrontendOptions frontend =
      dockerfile::parse_frontend_options(options.frontend_options, build_platform);
  dockerfile::ConvertOptions& convert = frontend.convert;
  convert.session_id = convert.session_id.empty() ? "cobuild" : convert.session_id;

  InternalStep load(progress, dockerfile::load_dockerfile_step_name(convert));
  std::string text;
  dockerfile::Parsed parsed;
  try {
    Timings::Span const span(Phase::kParse);
    text = load_dockerfile(options, convert);
    load.status("transferring dockerfile: " + format_bytes(static_cast<std::int64_t>(text.size())), 0, 0, true);
    check_syntax(text, convert);
    parsed = dockerfile::parse(text, convert.filename);
    throw_parse_errors(parsed);
  } catch (const Error& e) {
    load.failed(e.what());
    throw;
  }
  load.done();

  auto load_ignore = [&](InternalStep& step) { return load_ignore_step(options, convert, step); };
  FrontendResult result;
  result.is_multi_platform = convert.multi_platform;
  result.ignore = co_await in_step<dockerfile::IgnoreFile>(
      progress, dockerfile::load_ignore_file_step_name(), load_ignore);
  convert.ignore = result.ignore;

  auto platforms = frontend.target_platforms;
  bool const one_default = platforms.empty();
  std::size_t const count = one_default ? 1 : platforms.size();
  for (std::size_t i = 0; i < count; ++i) {
    dockerfile::ConvertOptions one = convert;
    if (!one_default) one.target_platform = platforms[i];
    auto resolved = co_await resolve_bases(parsed, one, images, progress);
    Timings::Span const span(Phase::kParse);
    result.targets.push_back(dockerfile::lower(parsed, one, resolved));
    // Warnings of a multi-platform build are those of the first platform (F1.12.25).
    if (i == 0) {
      report_warnings(result.targets.back().warnings, convert.filename, text, load.digest(), progress);
    }
  }
  co_return result;
}

}  // namespace cobuild::cli
