#include "cli/dockerfile_frontend.hpp"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cli/internal_step.hpp"
#include "cli/remote_context.hpp"
#include "cli/source_epoch.hpp"
#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/base/units.hpp"
#include "core/sys/file_io.hpp"
#include "dockerfile/requests.hpp"
#include "dockerfile/syntax.hpp"
#include "oci/spec/reference.hpp"
#include "ops/images.hpp"

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
  if (options.dockerfile_text) return *options.dockerfile_text;
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

/// F1.9.1. Remote contexts have none (F1.9.2).
dockerfile::IgnoreFile load_ignore_file(const BuildOptions& options,
                                        const dockerfile::ConvertOptions& convert) {
  if (convert.remote_context) return {};
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

/// Says which frontend serves a file that asks for one.
/// \throws Error kUnsupported, with the place, for image frontends that are not built in.
void check_syntax(const std::shared_ptr<const std::string>& text, const BuildOptions& options,
                  const dockerfile::ConvertOptions& convert, progress::Sink& progress) {
  if (options.frontend_options.contains("cmdline")) return;  // It was asked for by such a file.
  auto const syntax = dockerfile::wanted_frontend(*text, convert.build_args);
  if (!syntax) return;
  if (dockerfile::is_built_in(syntax->image)) {
    InternalStep(progress, "[internal] the built-in Dockerfile frontend stands in for " + syntax->image).done();
    return;
  }
  Error error(ErrorKind::kUnsupported, dockerfile::refusal_of(*syntax));
  if (syntax->lines.first == 0) throw error;
  throw error.with_span({.filename = convert.filename,
                         .text = text,
                         .first_line = syntax->lines.first,
                         .last_line = syntax->lines.last});
}

void report_warnings(const std::vector<dockerfile::Warning>& warnings, const std::string& filename,
                     const std::shared_ptr<const std::string>& text, const Digest& step,
                     progress::Sink& progress) {
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

/// The .dockerignore of a named context (F1.10.15).
std::string read_ignore_file(const std::string& name, const BuildOptions& options) {
  auto const directory = local(options, name);
  if (!directory) {
    throw Error(ErrorKind::kInvalidInput, "no access allowed to dir \"" + name +
                                              "\": give it with --local " + name + "=DIR");
  }
  return read_if_exists(*directory / ".dockerignore").value_or("");
}

/// Reading is short enough for the loop; a coroutine so that it can be a step.
Task<dockerfile::ResolvedImage> look_up(const dockerfile::ImageRequest& request,
                                        const BuildOptions& options, ops::Images& images,
                                        solve::StepSink& step) {
  using Kind = dockerfile::ImageRequest::Kind;
  if (request.kind == Kind::kIgnoreFile) {
    co_return dockerfile::ResolvedImage{"", read_ignore_file(request.store, options)};
  }
  ops::ResolvedImage image =
      request.kind == Kind::kLayoutImage
          ? co_await images.resolve_layout(request.store, request.reference, request.platform)
          : co_await images.resolve(request.key.reference, request.platform,
                                    resolve_mode(request.resolve_mode));
  if (!image.kept_reason.empty()) {
    step.log(2, "taken from this machine's images: " + image.kept_reason + "\n");
  }
  co_return dockerfile::ResolvedImage{image.named_digest.to_string(), std::move(image.config)};
}

Task<void> resolve_one(const dockerfile::ImageRequest& request, const BuildOptions& options,
                       ops::Images& images, dockerfile::ResolvedImages& resolved,
                       progress::Sink& progress) {
  auto work = [&](InternalStep& step) { return look_up(request, options, images, step); };
  try {
    dockerfile::ResolvedImage found =
        co_await in_step<dockerfile::ResolvedImage>(progress, request.step_name, work);
    resolved.emplace(request.key, std::move(found));
  } catch (const Error& e) {
    std::string what = request.written;
    if (request.kind != dockerfile::ImageRequest::Kind::kIgnoreFile) {
      what += ": failed to resolve source metadata for " +
              (request.reference.empty() ? request.key.reference : request.reference);
    }
    if (e.kind() != ErrorKind::kNotFound) throw e.with_context(what).with_span(request.span);
    throw Error(e.kind(), what + ": " + e.what() + request.suggestion()).with_span(request.span);
  }
}

/// Asks for base images until the Dockerfile needs no more: an ONBUILD trigger may name further ones.
Task<dockerfile::ResolvedImages> resolve_bases(const dockerfile::Parsed& parsed,
                                               const dockerfile::ConvertOptions& convert,
                                               const BuildOptions& options, Workspace& workspace,
                                               progress::Sink& progress) {
  dockerfile::ResolvedImages resolved;
  auto list = [&] {
    Timings::Span const span(Phase::kParse);
    return dockerfile::list_base_images(parsed, convert, resolved);
  };
  for (int round = 0; round < dockerfile::kImageRounds_max; ++round) {
    auto missing = co_await offload(workspace.runtime.pool(), list);
    if (missing.empty()) break;
    auto resolve = [&](const dockerfile::ImageRequest& request) {
      return resolve_one(request, options, workspace.images, resolved, progress);
    };
    co_await for_each_bounded(std::move(missing), kImageResolvesMax, resolve);
  }
  co_return resolved;
}

/// On the pool: for a very long file the loop would be deaf to signals meanwhile.
Task<dockerfile::Lowered> lower(const dockerfile::Parsed& parsed,
                                const dockerfile::ConvertOptions& convert,
                                const dockerfile::ResolvedImages& resolved, asio::thread_pool& pool) {
  auto work = [&] {
    Timings::Span const span(Phase::kParse);
    return dockerfile::lower(parsed, convert, resolved);
  };
  co_return co_await offload(pool, work);
}

/// The frontend options, where images of OCI layouts that were named by tag are named by digest.
Task<std::map<std::string, std::string>> with_layout_digests(const BuildOptions& options,
                                                             Workspace& workspace) {
  auto out = options.frontend_options;
  for (const std::string& key : options.layout_contexts) {
    std::string& value = out.at(key);
    std::string const named = value.substr(std::string_view("oci-layout://").size());
    std::string const store = named.substr(0, named.find(':'));
    std::string const tag = named.size() > store.size() ? named.substr(store.size() + 1) : "latest";
    auto const layout = workspace.sources.layouts.at(store);
    oci::Reference reference = oci::Reference::parse("layout:" + tag);
    auto const manifest = co_await layout->fetch_manifest(std::move(reference));
    if (!manifest) {
      throw Error(ErrorKind::kNotFound, "--build-context " + key.substr(key.find(':') + 1) + ": " +
                                            options.oci_layouts.at(store).string() +
                                            " has no image with the tag " + tag);
    }
    value = "oci-layout://" + store + "@" + manifest->descriptor.digest.to_string();
  }
  co_return out;
}

constexpr std::size_t kParseErrorsShownMax = 20;

/// Every parse error with its place: the first as the error, the others one per line.
void throw_parse_errors(const dockerfile::Parsed& parsed) {
  const std::vector<Error>& errors = parsed.errors;
  if (errors.size() <= 1) return parsed.throw_if_bad();
  std::size_t const shown = std::min(errors.size(), kParseErrorsShownMax);
  std::string others;
  for (std::size_t i = 1; i < shown; ++i) others.append("\n  also: ").append(errors[i].what());
  if (shown < errors.size()) {
    others.append("\n  and ").append(std::to_string(errors.size() - shown)).append(" more");
  }
  Error all(errors[0].kind(), errors[0].what() + others);
  for (std::size_t i = shown; i-- > 0;) {  // The place that is added last is shown first.
    for (const Error::Frame& frame : errors[i].frames()) {
      if (frame.span) all = all.with_span(*frame.span);
    }
  }
  throw all;
}

/// A Dockerfile that was read, with what else the frontend needs.
struct LoadedDockerfile {
  dockerfile::ConvertOptions convert;
  std::vector<pb::Platform> platforms;
  std::shared_ptr<const std::string> text;
  dockerfile::Parsed parsed;
  Digest step;  ///< Of the progress step: warnings go there.
};

/// `on_errors` says what to do about a file that cannot be parsed.
enum class ParseErrors { kThrow, kKeep };

/// From stdin, a URL, a directory or a remote context.
Task<std::string> read_dockerfile(const BuildOptions& options, const dockerfile::ConvertOptions& convert,
                                  Workspace& workspace, progress::Sink& progress, InternalStep& step) {
  if (!options.dockerfile_url.empty()) {
    co_return co_await download_dockerfile(options.dockerfile_url, workspace, progress);
  }
  if (convert.remote_context && !convert.local_dockerfile) {
    co_return co_await read_remote_dockerfile(convert, workspace, progress, step);
  }
  Timings::Span const span(Phase::kParse);
  co_return load_dockerfile(options, convert);
}

Task<void> read_and_parse(LoadedDockerfile& loaded, const BuildOptions& options, ParseErrors on_errors,
                          Workspace& workspace, progress::Sink& progress, InternalStep& step) {
  const dockerfile::ConvertOptions& convert = loaded.convert;
  loaded.text = std::make_shared<const std::string>(
      co_await read_dockerfile(options, convert, workspace, progress, step));
  auto const size = static_cast<std::int64_t>(loaded.text->size());
  step.status("transferring dockerfile: " + format_bytes(size), 0, 0, true);
  check_syntax(loaded.text, options, convert, progress);
  auto parse = [&loaded] {
    Timings::Span const span(Phase::kParse);
    return dockerfile::parse(*loaded.text, loaded.convert.filename);
  };
  loaded.parsed = co_await offload(workspace.runtime.pool(), parse);
  if (on_errors == ParseErrors::kThrow) throw_parse_errors(loaded.parsed);
}

Task<LoadedDockerfile> load(const BuildOptions& options, pb::Platform build_platform,
                            ParseErrors on_errors, Workspace& workspace, progress::Sink& progress) {
  auto frontend_options = co_await with_layout_digests(options, workspace);
  dockerfile::FrontendOptions frontend =
      dockerfile::parse_frontend_options(frontend_options, build_platform);
  if (frontend.convert.session_id.empty()) frontend.convert.session_id = "cobuild";
  co_await settle_remote_context(frontend.convert, workspace, progress);
  InternalStep step(progress, dockerfile::load_dockerfile_step_name(frontend.convert));
  LoadedDockerfile loaded{.convert = std::move(frontend.convert),
                          .platforms = std::move(frontend.target_platforms),
                          .text = nullptr,
                          .parsed = {},
                          .step = step.digest()};
  dockerfile::ConvertOptions& convert = loaded.convert;
  std::exception_ptr failure;
  try {
    co_await read_and_parse(loaded, options, on_errors, workspace, progress, step);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    step.failed(step_error(failure));
    std::rethrow_exception(failure);
  }
  step.done();

  auto load_ignore = [&](InternalStep& ignore) { return load_ignore_step(options, convert, ignore); };
  convert.ignore = co_await in_step<dockerfile::IgnoreFile>(
      progress, dockerfile::load_ignore_file_step_name(), load_ignore);
  co_return loaded;
}

}  // namespace

Task<FrontendResult> run_dockerfile_frontend(const BuildOptions& options, pb::Platform build_platform,
                                             Workspace& workspace, progress::Sink& progress) {
  LoadedDockerfile const loaded =
      co_await load(options, std::move(build_platform), ParseErrors::kThrow, workspace, progress);
  FrontendResult result;
  result.is_multi_platform = loaded.convert.multi_platform;
  result.ignore = loaded.convert.ignore;
  bool const one_default = loaded.platforms.empty();
  std::size_t const count = one_default ? 1 : loaded.platforms.size();
  for (std::size_t i = 0; i < count; ++i) {
    dockerfile::ConvertOptions one = loaded.convert;
    if (!one_default) one.target_platform = loaded.platforms[i];
    co_await settle_epoch(loaded.parsed, one, workspace, progress);
    auto const resolved = co_await resolve_bases(loaded.parsed, one, options, workspace, progress);
    result.targets.push_back(co_await lower(loaded.parsed, one, resolved, workspace.runtime.pool()));
    // Warnings of a multi-platform build are those of the first platform (F1.12.25).
    if (i == 0) {
      report_warnings(result.targets.back().warnings, loaded.convert.filename, loaded.text, loaded.step,
                      progress);
    }
  }
  co_return result;
}

namespace {

/// The linter reports what keeps the file from being built, images that cannot be resolved included.
Task<dockerfile::LintReport> run_lint(const LoadedDockerfile& loaded,
                                      dockerfile::ConvertOptions convert, const BuildOptions& options,
                                      Workspace& workspace, progress::Sink& progress) {
  dockerfile::ResolvedImages resolved;
  std::optional<Error> unresolved;
  if (loaded.parsed.errors.empty()) {
    try {
      co_await settle_epoch(loaded.parsed, convert, workspace, progress);
      dockerfile::ConvertOptions all = convert;
      all.all_stages = convert.target.empty();
      resolved = co_await resolve_bases(loaded.parsed, all, options, workspace, progress);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kCancelled) throw;
      unresolved = error;
    }
  }
  co_return dockerfile::lint(loaded.parsed, convert, resolved, unresolved);
}

}  // namespace

Task<RequestResult> run_dockerfile_request(const BuildOptions& options, pb::Platform build_platform,
                                           Workspace& workspace, progress::Sink& progress) {
  Request const request = parse_request(options.frontend_options.at("requestid"));
  RequestResult result;
  if (request == Request::kDescribe) {
    result.answer = answer_describe();
    co_return result;
  }
  ParseErrors const on_errors = request == Request::kLint ? ParseErrors::kKeep : ParseErrors::kThrow;
  LoadedDockerfile const loaded =
      co_await load(options, std::move(build_platform), on_errors, workspace, progress);
  dockerfile::ConvertOptions convert = loaded.convert;
  if (!loaded.platforms.empty()) convert.target_platform = loaded.platforms[0];
  RequestSource const source{.filename = convert.filename, .text = *loaded.text};
  if (request == Request::kTargets) {
    result.answer = answer_targets(dockerfile::list_targets(loaded.parsed), source);
    co_return result;
  }
  if (request == Request::kLint) {
    dockerfile::LintReport const report = co_await run_lint(loaded, convert, options, workspace, progress);
    result.answer = answer_lint(report, source);
    result.warnings = report.warnings.size();
    result.error = report.error;
    co_return result;
  }
  co_await settle_epoch(loaded.parsed, convert, workspace, progress);
  auto const resolved = co_await resolve_bases(loaded.parsed, convert, options, workspace, progress);
  if (request == Request::kOutline) {
    result.answer = answer_outline(dockerfile::make_outline(loaded.parsed, convert, resolved), source);
    co_return result;
  }
  auto const lowered = co_await lower(loaded.parsed, convert, resolved, workspace.runtime.pool());
  result.answer = answer_convert_llb(lowered.definition);
  co_return result;
}

}  // namespace cobuild::cli
