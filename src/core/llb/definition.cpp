#include "core/llb/definition.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::llb {
namespace {

constexpr std::size_t kOpsMax = 1'000'000;  ///< More is an attack, not a build.
constexpr std::string_view kCustomName = "llb.customname";

/// An op as it came, before its inputs are known to exist.
struct RawOp {
  VertexDigest digest;
  pb::Op op;
};

using OpTable = std::unordered_map<std::string, RawOp>;  // by "sha256:<hex>"
using VertexTable = std::unordered_map<std::string, std::shared_ptr<const Vertex>>;

[[noreturn]] void refuse(std::string what) {
  throw Error(ErrorKind::kInvalidInput, std::move(what));
}

std::string join(const google::protobuf::RepeatedPtrField<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

std::string file_name(const pb::FileOp& file) {
  std::string out;
  for (const pb::FileAction& action : file.actions()) {
    if (!out.empty()) out += ", ";
    switch (action.action_case()) {
      case pb::FileAction::kMkdir: out += "mkdir " + action.mkdir().path(); break;
      case pb::FileAction::kMkfile: out += "mkfile " + action.mkfile().path(); break;
      case pb::FileAction::kRm: out += "rm " + action.rm().path(); break;
      case pb::FileAction::kSymlink:
        out += "symlink " + action.symlink().newpath() + " -> " + action.symlink().oldpath();
        break;
      case pb::FileAction::kCopy:
        out += "copy " + action.copy().src() + " " + action.copy().dest();
        break;
      case pb::FileAction::ACTION_NOT_SET: break;
    }
  }
  return out;
}

std::string diff_side(const std::vector<Edge>& inputs, std::int64_t input) {
  if (input == -1) return "scratch";
  if (input < 0 || static_cast<std::size_t>(input) >= inputs.size()) {
    refuse("invalid diff input index " + std::to_string(input));
  }
  return "(" + inputs[static_cast<std::size_t>(input)].vertex->name + ")";
}

/// F2.1.12.
std::string default_name(const pb::Op& op, const std::vector<Edge>& inputs) {
  switch (op.op_case()) {
    case pb::Op::kSource: return op.source().identifier();
    case pb::Op::kExec: return join(op.exec().meta().args());
    case pb::Op::kFile: return file_name(op.file());
    case pb::Op::kBuild: return "build";
    case pb::Op::kMerge: {
      std::string names;
      for (const Edge& input : inputs) {
        if (!names.empty()) names += ", ";
        names += input.vertex->name;
      }
      return "merge (" + names + ")";
    }
    case pb::Op::kDiff:
      return "diff " + diff_side(inputs, op.diff().lower().input()) + " -> " +
             diff_side(inputs, op.diff().upper().input());
    case pb::Op::kPassthrough: return "passthrough " + op.passthrough().id();
    case pb::Op::OP_NOT_SET: break;
  }
  return "unknown";
}

std::vector<std::shared_ptr<const std::string>> source_texts(const pb::Definition& definition) {
  std::vector<std::shared_ptr<const std::string>> texts;
  for (const pb::SourceInfo& info : definition.source().infos()) {
    texts.push_back(std::make_shared<const std::string>(info.data()));
  }
  return texts;
}

/// The places of one op, each location's ranges joined to one span.
std::vector<SourceSpan> spans_of(const pb::Definition& definition, const std::string& digest,
                                 const std::vector<std::shared_ptr<const std::string>>& texts) {
  std::vector<SourceSpan> spans;
  auto found = definition.source().locations().find(digest);
  if (found == definition.source().locations().end()) return spans;
  for (const pb::Location& location : found->second.locations()) {
    auto const index = static_cast<std::size_t>(location.sourceindex());
    if (location.sourceindex() < 0 || index >= texts.size() || location.ranges().empty()) continue;
    SourceSpan span;
    span.filename = definition.source().infos(location.sourceindex()).filename();
    span.text = texts[index];
    span.first_line = location.ranges(0).start().line();
    span.last_line = span.first_line;
    for (const pb::Range& range : location.ranges()) {
      span.first_line = std::min(span.first_line, range.start().line());
      span.last_line = std::max(span.last_line, range.end().line());
    }
    spans.push_back(std::move(span));
  }
  return spans;
}

/// Turns ops into vertices, inputs first, with a stack of its own: a chain may be 10,000 deep.
class Loader {
 public:
  Loader(const pb::Definition& definition, const LoadOptions& options, OpTable ops)
      : definition_(definition),
        options_(options),
        ops_(std::move(ops)),
        texts_(source_texts(definition)) {}

  Graph load(const pb::Input& result) {
    std::vector<std::string> stack{result.digest()};
    while (!stack.empty()) {
      std::string const digest = stack.back();
      if (vertices_.contains(digest)) {
        stack.pop_back();
        continue;
      }
      if (push_missing_inputs(digest, stack)) continue;
      vertices_.emplace(digest, make_vertex(digest));
      stack.pop_back();
    }
    graph_.result = Edge{vertices_.at(result.digest()), static_cast<int>(result.index())};
    return std::move(graph_);
  }

 private:
  /// A digest names bytes that contain their inputs' digests, so a cycle would be a sha256
  /// collision: none needs to be looked for.
  bool push_missing_inputs(const std::string& digest, std::vector<std::string>& stack) {
    auto found = ops_.find(digest);
    if (found == ops_.end()) refuse("invalid missing input digest " + digest);
    validate(found->second.op);
    bool pushed = false;
    for (const pb::Input& input : found->second.op.inputs()) {
      if (vertices_.contains(input.digest())) continue;
      stack.push_back(input.digest());
      pushed = true;
    }
    return pushed;
  }

  std::shared_ptr<const Vertex> make_vertex(const std::string& digest) {
    RawOp& raw = ops_.at(digest);
    std::vector<Edge> inputs;
    for (const pb::Input& input : raw.op.inputs()) {
      inputs.push_back(Edge{vertices_.at(input.digest()), static_cast<int>(input.index())});
    }
    pb::OpMetadata metadata;
    if (auto found = definition_.metadata().find(digest); found != definition_.metadata().end()) {
      metadata = found->second;
    }
    *raw.op.mutable_platform() =
        normalize(raw.op.has_platform() ? raw.op.platform() : options_.default_platform);
    auto vertex = std::make_shared<Vertex>(raw.digest, std::move(raw.op), std::move(metadata),
                                           std::move(inputs));
    auto custom = vertex->metadata.description().find(std::string(kCustomName));
    vertex->name = custom != vertex->metadata.description().end()
                       ? custom->second
                       : default_name(vertex->op, vertex->inputs);
    vertex->spans = spans_of(definition_, digest, texts_);
    place_inputs(*vertex);
    bool const is_remote =
        vertex->op.has_source() && !vertex->op.source().identifier().starts_with("local://");
    if (is_remote && vertex->spans.empty()) unplaced_.emplace(digest, vertex.get());
    graph_.vertices.push_back(vertex);
    return vertex;
  }

  /// What has to be fetched for a step, and has no place of its own, has that of the first such step:
  /// its failure is to point at the line that asks for it.
  void place_inputs(const Vertex& user) {
    if (user.spans.empty()) return;
    for (const pb::Input& input : user.op.inputs()) {
      auto const found = unplaced_.find(input.digest());
      if (found == unplaced_.end()) continue;
      found->second->spans = user.spans;
      unplaced_.erase(found);
    }
  }

  const pb::Definition& definition_;
  const LoadOptions& options_;
  OpTable ops_;
  std::vector<std::shared_ptr<const std::string>> texts_;
  VertexTable vertices_;
  std::unordered_map<std::string, Vertex*> unplaced_;  ///< Owned by vertices_.
  Graph graph_;
};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

}  // namespace

Vertex::Vertex(VertexDigest digest_, pb::Op op_, pb::OpMetadata metadata_,
               std::vector<Edge> inputs_)
    : digest(digest_),
      op(std::move(op_)),
      metadata(std::move(metadata_)),
      inputs(std::move(inputs_)) {}

Vertex::~Vertex() {
  // A long chain of vertices must not be destroyed by recursion: take the inputs that only we own
  // apart one by one.
  std::vector<Edge> pending = std::move(inputs);
  while (!pending.empty()) {
    std::shared_ptr<const Vertex> vertex = std::move(pending.back().vertex);
    pending.pop_back();
    if (!vertex || vertex.use_count() > 1) continue;
    auto& owned = const_cast<Vertex&>(*vertex);  // Ours alone, and about to go.
    std::move(owned.inputs.begin(), owned.inputs.end(), std::back_inserter(pending));
    owned.inputs.clear();
  }
}

Graph load(const pb::Definition& definition, const LoadOptions& options) {
  if (definition.def().empty()) refuse("invalid empty definition");
  if (static_cast<std::size_t>(definition.def_size()) > kOpsMax) {
    refuse("the LLB definition has " + std::to_string(definition.def_size()) +
           " operations; at most " + std::to_string(kOpsMax) + " are accepted");
  }
  OpTable ops;
  std::string last;
  for (const std::string& bytes : definition.def()) {
    pb::Op op;
    if (!op.ParseFromString(bytes)) refuse("failed to parse llb proto op");
    for (int i = 0; i < op.inputs_size(); ++i) {
      if (op.inputs(i).index() < 0 || op.inputs(i).index() > INT32_MAX) {
        refuse("invalid input " + std::to_string(i) + " output index " +
               std::to_string(op.inputs(i).index()));
      }
    }
    VertexDigest const digest{Digest::of(std::string_view(bytes))};
    last = digest.to_string();
    ops.insert_or_assign(last, RawOp{digest, std::move(op)});
  }
  if (ops.size() < 2) refuse("invalid LLB with " + std::to_string(ops.size()) + " vertexes");
  const pb::Op& terminal = ops.at(last).op;
  if (terminal.inputs().empty()) refuse("invalid LLB with no inputs on last vertex");
  pb::Input const result = terminal.inputs(0);
  return Loader(definition, options, std::move(ops)).load(result);
}

pb::Definition parse_definition(std::string_view bytes) {
  pb::Definition definition;
  if (!definition.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    refuse("the input is not an LLB definition (a serialized pb.Definition): pipe what "
           "`buildctl debug` or a client's Marshal wrote, or name a --frontend");
  }
  return definition;
}

pb::Platform normalize(pb::Platform platform) {
  std::string os = lower(platform.os());
  std::string arch = lower(platform.architecture());
  std::string variant = lower(platform.variant());
  if (os.empty()) os = "linux";
  if (os == "macos") os = "darwin";
  if (arch == "i386") {
    arch = "386";
    variant.clear();
  } else if (arch == "x86_64" || arch == "x86-64" || arch == "amd64") {
    arch = "amd64";
    if (variant == "v1") variant.clear();
  } else if (arch == "aarch64" || arch == "arm64") {
    arch = "arm64";
    if (variant == "8" || variant == "v8" || variant == "v8.0") variant.clear();
    if (variant == "9" || variant == "9.0" || variant == "v9.0") variant = "v9";
  } else if (arch == "armhf") {
    arch = "arm";
    variant = "v7";
  } else if (arch == "armel") {
    arch = "arm";
    variant = "v6";
  } else if (arch == "arm") {
    if (variant.empty() || variant == "7") variant = "v7";
    if (variant == "5" || variant == "6" || variant == "8") variant = "v" + variant;
  }
  platform.set_os(os);
  platform.set_architecture(arch);
  platform.set_variant(variant);
  return platform;
}

pb::Platform host_platform() {
  utsname name{};
  ::uname(&name);
  pb::Platform platform;
  platform.set_os("linux");
  std::string machine = name.machine;
  if (machine.starts_with("armv7")) machine = "armhf";
  if (machine.starts_with("armv6")) machine = "armel";
  if (machine == "i686" || machine == "i586") machine = "i386";
  platform.set_architecture(machine);
  return normalize(std::move(platform));
}

}  // namespace cobuild::llb
