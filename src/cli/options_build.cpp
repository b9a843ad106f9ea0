#include <algorithm>
#include <array>
#include <utility>

#include "cli/export_options.hpp"
#include "cli/option_tables.hpp"
#include "cli/request_answers.hpp"
#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "core/base/units.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::cli {
namespace {

constexpr std::string_view kNotYet = "is not supported yet";

constexpr std::array kBuildFlags = {
    Flag{"tag", 't', FlagKind::kValue, "NAME", "name of the image; may be repeated"},
    Flag{"file", 'f', FlagKind::kValue, "FILE",
         "the Dockerfile: a path (default: CONTEXT/Dockerfile), a URL; - is stdin"},
    Flag{"target", 0, FlagKind::kValue, "STAGE", "build this stage"},
    Flag{"build-arg", 0, FlagKind::kValue, "K[=V]",
         "value of an ARG; from the environment without =V"},
    Flag{"build-context", 0, FlagKind::kValue, "NAME=DIR|URL",
         "a further context, or what replaces an image or a stage"},
    Flag{"platform", 0, FlagKind::kValue, "OS/ARCH", "platform to build for"},
    Flag{"label", 0, FlagKind::kValue, "K=V", "label of the image"},
    Flag{"annotation", 0, FlagKind::kValue, "[TYPE:]K=V",
         "annotation of the manifest, or of manifest-descriptor, index, index-descriptor"},
    Flag{"no-cache", 0, FlagKind::kSwitch, "", "run everything"},
    Flag{"no-cache-filter", 0, FlagKind::kValue, "STAGE", "run everything in these stages"},
    Flag{"pull", 0, FlagKind::kSwitch, "", "ask the registry for newer base images"},
    Flag{"check", 0, FlagKind::kSwitch, "", "lint the Dockerfile and build nothing (--call=check)"},
    Flag{"call", 0, FlagKind::kValue, "NAME", "check, outline or targets[,format=json]; or build"},
    Flag{"print", 0, FlagKind::kValue, "", ""},  // What --call was called.
    Flag{"output", 'o', FlagKind::kValue, "SPEC", "type=image|registry|oci|docker|tar|local[,dest=PATH]; DIR; -"},
    Flag{"push", 0, FlagKind::kSwitch, "", "push the image to its names: --output type=registry"},
    Flag{"load", 0, FlagKind::kSwitch, "", "give the image to docker load or podman load"},
    Flag{"squash", 0, FlagKind::kSwitch, "", "make one layer of all above the base image"},
    Flag{"progress", 0, FlagKind::kValue, "MODE", "auto, tty, plain, rawjson or quiet"},
    Flag{"quiet", 'q', FlagKind::kSwitch, "", "print the image's digest and nothing else"},
    Flag{"metadata-file", 0, FlagKind::kValue, "FILE", "write digests and names as JSON"},
    Flag{"iidfile", 0, FlagKind::kValue, "FILE", "write the image's ID"},
    Flag{"ref-file", 0, FlagKind::kValue, "FILE", "write the build's ID, also when it fails"},
    Flag{"trace", 0, FlagKind::kValue, "FILE", "append all progress events as JSON"},
    Flag{"explain", 0, FlagKind::kSwitch, "", "each step that runs says why it was not in the cache"},
    Flag{"timings", 0, FlagKind::kSwitch, "", "tell at the end where the time went"},
    Flag{"network", 0, FlagKind::kValue, "MODE", "network of RUN: default, none or host"},
    Flag{"add-host", 0, FlagKind::kValue, "HOST:IP", "line for /etc/hosts in RUN"},
    Flag{"shm-size", 0, FlagKind::kValue, "BYTES", "size of /dev/shm in RUN"},
    Flag{"ulimit", 0, FlagKind::kValue, "NAME=N[:M]", "limit of RUN"},
    Flag{"cgroup-parent", 0, FlagKind::kValue, "PATH", "parent cgroup of RUN"},
    Flag{"memory", 'm', FlagKind::kValue, "BYTES", "memory limit of RUN"},
    Flag{"memory-swap", 0, FlagKind::kValue, "BYTES", "memory and swap limit of RUN; -1 is none"},
    Flag{"cpu-shares", 'c', FlagKind::kValue, "N", "CPU weight of RUN"},
    Flag{"cpu-period", 0, FlagKind::kValue, "USEC", "period of the CPU quota of RUN"},
    Flag{"cpu-quota", 0, FlagKind::kValue, "USEC", "CPU quota of RUN"},
    Flag{"cpuset-cpus", 0, FlagKind::kValue, "LIST", "CPUs for RUN: 0-3, 0,1"},
    Flag{"cpuset-mems", 0, FlagKind::kValue, "LIST", "memory nodes for RUN"},
    Flag{"secret", 0, FlagKind::kValue, "SPEC", "for RUN --mount=type=secret: id=ID[,src=FILE|,env=NAME]"},
    Flag{"ssh", 0, FlagKind::kValue, "ID[=PATH]", "for RUN --mount=type=ssh: default, or a socket or key files"},
    Flag{"frontend", 0, FlagKind::kValue, "NAME",
         "buildctl style: dockerfile.v0; LLB on stdin without"},
    Flag{"local", 0, FlagKind::kValue, "NAME=DIR", "buildctl style: context=DIR, dockerfile=DIR"},
    Flag{"opt", 0, FlagKind::kValue, "K=V", "buildctl style: an option of the frontend"},
    Flag{"oci-layout", 0, FlagKind::kValue, "NAME=DIR", "an OCI layout to take images from"},
    Flag{"allow", 0, FlagKind::kValue, "NAME", "network.host or security.insecure"},
    Flag{"rm", 0, FlagKind::kSwitch, "", ""},  // Of docker build: there are no containers to keep.
    Flag{"force-rm", 0, FlagKind::kSwitch, "", ""},
    Flag{"compress", 0, FlagKind::kSwitch, "", ""},
    Flag{"provenance", 0, FlagKind::kValue, "", ""},  // Only "false" is accepted.
    Flag{"sbom", 0, FlagKind::kValue, "", ""},
    Flag{"cache-from", 0, FlagKind::kValue, "SPEC", "take steps from a cache: NAME, type=registry,ref=NAME, type=local,src=DIR; gha, s3, azblob"},
    Flag{"cache-to", 0, FlagKind::kValue, "SPEC", "export the cache: type=registry,ref=NAME,mode=max, type=local,dest=DIR, type=inline; gha, s3, azblob"},
    Flag{"cache-mounts-from", 0, FlagKind::kValue, "SPEC", "fill RUN --mount=type=cache from: type=registry,ref=NAME[,key=KEY], type=local,src=DIR, type=gha"},
    Flag{"cache-mounts-to", 0, FlagKind::kValue, "SPEC", "save RUN --mount=type=cache to: type=registry,ref=NAME[,key=KEY], type=local,dest=DIR, type=gha"},
    Flag{"import-cache", 0, FlagKind::kValue, "SPEC", "buildctl's --cache-from"},
    Flag{"export-cache", 0, FlagKind::kValue, "SPEC", "buildctl's --cache-to"},
    Flag{"attest", 0, FlagKind::kRefused, "", kNotYet},
    Flag{"policy", 0, FlagKind::kRefused, "", kNotYet},
    Flag{"source-policy-file", 0, FlagKind::kRefused, "", kNotYet},
    Flag{"proxy-network", 0, FlagKind::kRefused, "", kNotYet},
    Flag{"registry-auth-tlscontext", 0, FlagKind::kRefused, "", kNotYet},
    Flag{"debug-json-cache-metrics", 0, FlagKind::kRefused, "", kNotYet},
    Flag{"isolation", 0, FlagKind::kRefused, "", kNotYet},
    Flag{"security-opt", 0, FlagKind::kRefused, "", kNotYet},
};

Error invalid(const std::string& what) {
  return Error(ErrorKind::kInvalidInput, what);
}

/// Splits "key=value". \throws Error naming `flag`.
std::pair<std::string, std::string> split_pair(const std::string& text, std::string_view flag) {
  std::size_t const equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw invalid("invalid " + std::string(flag) + ": invalid value \"" + text +
                  "\", expected key=value");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string join(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) {
    if (!joined.empty()) joined += ',';
    joined += word;
  }
  return joined;
}

/// Whether a context is to be fetched: what git or HTTP can get at.
bool is_remote(const std::string& context) {
  return is_git_transport(context);
}

/// A context's name as the name of a layout: with nothing that references give a meaning to.
std::string layout_name(const std::string& context) {
  std::string name = context;
  for (char& c : name) {
    bool const is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!is_plain) c = '-';
  }
  return name;
}

/// Translates one command line; the members are what it has and what it makes.
class BuildReader {
 public:
  BuildReader(const ParsedFlags& flags, GlobalOptions global, const Surroundings& surroundings)
      : flags_(flags), surroundings_(surroundings) {
    build_.global = std::move(global);
  }

  BuildOptions read() {
    read_defaults();
    read_context();
    read_dockerfile_options();
    read_resource_limits();
    read_call();
    read_buildctl_options();
    read_lent();
    read_outputs();
    read_cache_options(flags_, build_);
    read_files_and_progress();
    refuse_attestations();
    return std::move(build_);
  }

 private:
  using Options = std::map<std::string, std::string>;

  void read_defaults() {
    if (auto const epoch = surroundings_.environment("SOURCE_DATE_EPOCH")) {
      options()["build-arg:SOURCE_DATE_EPOCH"] = *epoch;
    }
  }

  /// CONTEXT and --file, or --frontend and --local, or neither: LLB on stdin.
  void read_context() {
    build_.frontend = flags_.last("frontend");
    const auto& positionals = flags_.positionals;
    if (positionals.size() > 1) {
      throw invalid("build takes one CONTEXT directory, but " + std::to_string(positionals.size()) +
                    " were given: " + positionals[0] + " " + positionals[1]);
    }
    if (positionals.empty()) {
      for (std::string_view flag : {"file", "tag", "build-arg", "target"}) {
        if (build_.frontend.empty() && flags_.has(flag)) {
          throw invalid(
              flags_.has("local")
                  ? "--" + std::string(flag) +
                        " is for Dockerfiles: give a CONTEXT directory, or --frontend "
                        "dockerfile.v0 with the --local directories; for LLB from stdin "
                        "leave it out"
                  : "build needs a CONTEXT directory, for example: cobuild build -t NAME .");
        }
      }
      if (build_.frontend.empty() && surroundings_.stdin_is_terminal) {
        throw invalid("please specify --frontend or pipe LLB definition to stdin");
      }
      if (flags_.has("file")) options()["filename"] = flags_.last("file");
      return;
    }
    if (build_.frontend.empty()) build_.frontend = "dockerfile.v0";
    const std::string& context = positionals[0];
    build_.context_from_stdin = context == "-";
    if (is_remote(context)) {
      options()["context"] = context;
    } else if (!build_.context_from_stdin) {
      build_.locals["context"] = context;
      build_.locals["dockerfile"] = context;
    }
    if (!flags_.has("file")) return;
    if (build_.context_from_stdin || is_remote(context)) {
      read_path_in_context(flags_.last("file"));
    } else {
      read_dockerfile_path(flags_.last("file"));
    }
  }

  /// A path below a context that is not here, but for an absolute one.
  void read_path_in_context(const std::string& file) {
    if (file.empty() || file == "-" || file.starts_with('/') || file.find("://") != std::string::npos) {
      if (file == "-" && build_.context_from_stdin) {
        throw invalid("invalid argument: can't use stdin for both build context and dockerfile");
      }
      read_dockerfile_path(file);
      options()["dockerfilekey"] = "dockerfile";
      return;
    }
    options()["filename"] = file;
  }

  void read_dockerfile_path(const std::string& file) {
    if (file.empty()) throw invalid("--file needs the path of a Dockerfile");
    build_.locals.erase("dockerfile");
    if (file == "-") {
      build_.dockerfile_from_stdin = true;
      return;
    }
    if (file.starts_with("http://") || file.starts_with("https://")) {
      build_.dockerfile_url = file;
      return;
    }
    if (file.find("://") != std::string::npos) {
      throw invalid("--file " + file + ": of URLs only those of http and https can be Dockerfiles");
    }
    std::filesystem::path const path(file);
    build_.locals["dockerfile"] =
        path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    options()["filename"] = path.filename().string();
  }

  void read_dockerfile_options() {
    if (flags_.has("target")) options()["target"] = flags_.last("target");
    if (flags_.has("platform")) options()["platform"] = join(flags_.all("platform"));
    if (flags_.is_on("pull")) options()["image-resolve-mode"] = "pull";
    for (const std::string& text : flags_.all("build-arg")) add_build_arg(text);
    for (const std::string& text : flags_.all("label")) {
      std::size_t const equals = text.find('=');
      options()["label:" + text.substr(0, equals)] =
          equals == std::string::npos ? "" : text.substr(equals + 1);
    }
    for (const std::string& text : flags_.all("build-context")) add_build_context(text);
    build_.no_cache = flags_.is_on("no-cache");
    if (flags_.has("no-cache-filter")) {
      if (build_.no_cache)
        throw invalid("--no-cache and --no-cache-filter cannot be used together");
      options()["no-cache"] = join(flags_.all("no-cache-filter"));
    }
    if (build_.no_cache) options()["no-cache"] = "";
    read_network();
  }

  void add_build_arg(const std::string& text) {
    std::size_t const equals = text.find('=');
    std::string const name = "build-arg:" + text.substr(0, equals);
    if (equals != std::string::npos) {
      options()[name] = text.substr(equals + 1);
    } else if (auto const value = surroundings_.environment(text)) {
      options()[name] = *value;  // Not set at all: the Dockerfile's default stays.
    }
  }

  void add_build_context(const std::string& text) {
    auto const [name, value] = split_pair(text, "--build-context");
    if (value.starts_with("oci-layout://")) {
      add_layout_context(name, value.substr(std::string_view("oci-layout://").size()));
    } else if (value.find("://") != std::string::npos || is_remote(value) ||
               value.starts_with("target:") || value.starts_with("input:")) {
      options()["context:" + name] = value;
    } else {
      // The main context's directories have these names.
      bool const is_taken = name == "context" || name == "dockerfile";
      std::string const directory = (is_taken ? "_" : "") + name;
      build_.locals[directory] = value;
      options()["context:" + name] = "local:" + directory;
    }
  }

  void read_call() {
    for (std::string_view flag : {"print", "call"}) {
      if (flags_.has(flag)) build_.call = parse_call(flags_.last(flag));
    }
    if (flags_.is_on("check")) build_.call = parse_call("check");
    if (build_.call) options()["requestid"] = "frontend." + build_.call->name;
  }

  /// DIR, DIR:TAG or DIR@DIGEST.
  void add_layout_context(const std::string& name, const std::string& value) {
    std::size_t const at = std::min(value.find('@'), value.size());
    std::string const path = value.substr(0, at);
    std::size_t const colon = path.rfind(':');
    bool const has_tag = colon != std::string::npos && path.find('/', colon) == std::string::npos;
    std::string const store = layout_name(name);
    build_.oci_layouts[store] = path.substr(0, has_tag ? colon : std::string::npos);
    std::string const key = "context:" + name;
    options()[key] = "oci-layout://" + store + (has_tag ? path.substr(colon) : "") + value.substr(at);
    if (at == value.size()) build_.layout_contexts.push_back(key);
  }

  void read_network() {
    std::string const mode = flags_.last("network", "default");
    if (mode == "host") build_.entitlements.emplace_back("network.host");
    if (mode == "host" || mode == "none") {
      options()["force-network-mode"] = mode;
    } else if (mode != "default" && !mode.empty()) {
      throw invalid("invalid --network " + mode + ": use default, none or host");
    }
  }

  void read_resource_limits() {
    std::vector<std::string> hosts;
    for (const std::string& text : flags_.all("add-host")) {
      std::size_t const separator = text.find_first_of("=:");
      if (separator == std::string::npos || separator == 0) {
        throw invalid("invalid --add-host " + text + ": use HOST:IP");
      }
      std::string address = text.substr(separator + 1);
      if (address.starts_with('[') && address.ends_with(']')) {  // as docker takes IPv6
        address = address.substr(1, address.size() - 2);
      }
      hosts.push_back(text.substr(0, separator) + "=" + address);
    }
    if (!hosts.empty()) options()["add-hosts"] = join(hosts);
    if (flags_.has("ulimit")) options()["ulimit"] = join(flags_.all("ulimit"));
    set_bytes("shm-size", "shm-size");
    set_bytes("memory", "memory");
    if (flags_.last("memory-swap") == "-1") {
      options()["memswap"] = "-1";
    } else {
      set_bytes("memory-swap", "memswap");
    }
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kSame = {{
        {"cgroup-parent", "cgroup-parent"},
        {"cpu-shares", "cpushares"},
        {"cpu-period", "cpuperiod"},
        {"cpu-quota", "cpuquota"},
        {"cpuset-cpus", "cpusetcpus"},
        {"cpuset-mems", "cpusetmems"},
    }};
    for (auto const& [flag, key] : kSame) {
      if (flags_.has(flag)) options()[std::string(key)] = flags_.last(flag);
    }
  }

  void set_bytes(std::string_view flag, const std::string& key) {
    if (!flags_.has(flag)) return;
    std::string const text = flags_.last(flag);
    auto const bytes = try_parse_bytes(text, SizeUnits::kBinary);
    if (!bytes) {
      throw invalid("invalid --" + std::string(flag) + " " + text +
                    ": use a size such as 64m or 1g");
    }
    options()[key] = std::to_string(*bytes);
  }

  void read_buildctl_options() {
    for (const std::string& text : flags_.all("opt")) {
      constexpr std::string_view kPrefix = "build-arg:";
      bool const bare = text.find('=') == std::string::npos;
      if (bare && text.starts_with(kPrefix) && text.size() > kPrefix.size()) {
        add_build_arg(text.substr(kPrefix.size()));
        continue;
      }
      auto [key, value] = split_pair(text, "opt");
      options()[std::move(key)] = std::move(value);
    }
    for (const std::string& text : flags_.all("local")) {
      auto [name, directory] = split_pair(text, "local");
      build_.locals[std::move(name)] = std::move(directory);
    }
    for (const std::string& text : flags_.all("oci-layout")) {
      std::size_t const equals = text.find('=');
      if (equals == std::string::npos) {
        throw invalid(
            "invalid oci-layout: oci-layout option must be 'id=path/to/layout', "
            "instead had invalid " +
            text);
      }
      build_.oci_layouts[text.substr(0, equals)] = text.substr(equals + 1);
    }
    for (const std::string& name : flags_.all("allow")) {
      if (name != "network.host" && name != "security.insecure" && name != "device" &&
          !name.starts_with("device=")) {
        throw invalid("unknown entitlement " + name);
      }
      build_.entitlements.push_back(name);
    }
  }

  void read_lent() {
    for (const std::string& text : flags_.all("secret")) {
      build_.secrets.push_back(parse_secret(text, surroundings_));
    }
    for (const std::string& text : flags_.all("ssh")) build_.ssh.push_back(parse_ssh(text, surroundings_));
  }

  void read_tags() {
    build_.tags = flags_.all("tag");
    for (const std::string& tag : build_.tags) {
      if (tag.empty()) throw invalid("--tag needs a name");
      try {
        (void)oci::Reference::parse(tag);
      } catch (const Error& error) {
        throw error.with_context("invalid tag \"" + tag + "\"");
      }
    }
  }

  void read_outputs() {
    read_tags();
    for (const std::string& text : flags_.all("output")) {
      OutputOptions output = parse_output(text, surroundings_);
      if (output.type != "cacheonly") build_.outputs.push_back(std::move(output));
    }
    if (flags_.is_on("push")) ask_for_push(build_.outputs);
    if (flags_.is_on("load")) ask_for_load(build_.outputs);
    auto const annotations = read_annotations();
    std::size_t to_stdout = 0;
    for (OutputOptions& output : build_.outputs) {
      bool const named = output.type == "oci" || output.type == "docker" || output.type == "image";
      if (named && flags_.is_on("squash")) output.attributes.emplace("squash", "new");
      if (named && !build_.tags.empty()) output.attributes["name"] = join(build_.tags);
      for (const auto& [key, value] : annotations) {
        if (named) output.attributes[key] = value;
      }
      if (output.to_stdout()) ++to_stdout;
    }
    if (to_stdout > 1) throw invalid("only one --output can go to standard output");
  }

  [[nodiscard]] std::map<std::string, std::string> read_annotations() const {
    std::map<std::string, std::string> attributes;
    for (const std::string& text : flags_.all("annotation")) {
      for (auto& [key, value] : parse_annotation_flag(text)) attributes[key] = value;
    }
    return attributes;
  }

  void read_files_and_progress() {
    build_.trace_file = flags_.last("trace");
    build_.explain = flags_.is_on("explain");
    build_.timings = flags_.is_on("timings");
    build_.metadata_file = flags_.last("metadata-file");
    build_.iid_file = flags_.last("iidfile");
    build_.ref_file = flags_.last("ref-file");
    build_.progress = read_progress_mode(flags_, surroundings_);
  }

  /// Scripts turn them off for docker; asking for what happens anyway is fine.
  void refuse_attestations() const {
    for (std::string_view flag : {"provenance", "sbom"}) {
      if (flags_.has(flag) && flags_.last(flag) != "false") {
        throw Error(ErrorKind::kUnsupported, "--" + std::string(flag) + " is not supported yet");
      }
    }
  }

  Options& options() { return build_.frontend_options; }

  const ParsedFlags& flags_;
  const Surroundings& surroundings_;
  BuildOptions build_;
};

}  // namespace

std::span<const Flag> build_flags() {
  return kBuildFlags;
}

BuildOptions read_build_options(const ParsedFlags& flags, GlobalOptions global,
                                const Surroundings& surroundings) {
  BuildReader reader(flags, std::move(global), surroundings);
  return reader.read();
}

}  // namespace cobuild::cli
