#include "core/base/error.hpp"
#include "dockerfile/conversion.hpp"
#include "dockerfile/named_contexts.hpp"
#include "dockerfile/source_nodes.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr const char* kKey = "SOURCE_DATE_EPOCH";
/// Some 285 years: what a Timestamp can hold.
constexpr long long kSeconds_max = 9'000'000'000;

[[noreturn]] void fail(const std::string& message) {
  throw Error(ErrorKind::kInvalidInput, message);
}

/// A stage that says nothing but what to download (F1.5.27).
class SourceStage {
 public:
  explicit SourceStage(const Conversion& conversion)
      : conversion_(conversion), args_(conversion.global_args) {
    args_.erase(kKey);
  }

  Node read(const Stage& stage) {
    if (expand(stage.base) != kScratchName) fail("SOURCE_DATE_EPOCH stage must use FROM scratch");
    std::optional<Node> source;
    for (const Instruction& instruction : stage.instructions) {
      const auto* const add = std::get_if<CopyCommand>(&instruction.command);
      if (const auto* const arg = std::get_if<ArgCommand>(&instruction.command)) {
        declare(*arg);
      } else if (add == nullptr || !add->is_add) {
        fail("SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported " +
             instruction.keyword + " instruction");
      } else if (source) {
        fail("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD");
      } else {
        source = source_of(*add);
      }
    }
    if (!source) fail("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD");
    return *std::move(source);
  }

 private:
  [[nodiscard]] std::string expand(const std::string& word) const {
    return expand_word(word, args_, conversion_.words).text;
  }

  void declare(const ArgCommand& command) {
    for (const ArgCommand::Arg& arg : command.args) {
      auto const given = conversion_.build_args.find(arg.key);
      if (given != conversion_.build_args.end()) {
        args_.set(arg.key, given->second);
      } else if (arg.value) {
        args_.set(arg.key, expand(*arg.value));
      }
    }
  }

  [[nodiscard]] Node source_of(const CopyCommand& add) const {
    if (!add.documents.empty() || add.sources.size() != 1) {
      fail("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source");
    }
    std::string const source = expand(add.sources[0]);
    std::string const checksum = expand(add.checksum);
    if (auto reference = git_reference_of(source)) {
      if (!checksum.empty()) reference->checksum = checksum;
      return git_source(*reference);
    }
    if (!is_http_source(source)) {
      fail("SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD");
    }
    return download_source(source, checksum);
  }

  const Conversion& conversion_;
  EnvList args_;
};

/// Of what is neither in git nor a download there is no time.
std::optional<EpochSource> to_epoch_source(const Node& node, std::string step_name) {
  const auto* const source = std::get_if<SourceNode>(&node.op);
  if (source == nullptr) return std::nullopt;
  const std::string& identifier = source->op.identifier();
  if (!identifier.starts_with("git://") && !is_http_source(identifier)) return std::nullopt;
  return EpochSource{source->op, std::move(step_name)};
}

std::optional<EpochSource> main_context_source(const ConvertOptions& options) {
  if (!options.remote_context) return std::nullopt;
  return to_epoch_source(remote_context_source(options),
                         "[internal] resolve main build context metadata");
}

std::optional<EpochSource> named_context_source(Conversion& conversion,
                                                const NamedContext& context) {
  StageState const nobody;
  std::vector<ImageRequest> unanswered;
  auto const loaded = load_named_context(conversion, context, nobody, nullptr, {}, unanswered);
  if (!loaded || loaded->tree == nullptr) return std::nullopt;
  return to_epoch_source(*loaded->tree,
                         "[internal] resolve SOURCE_DATE_EPOCH named context " + context.name);
}

std::optional<EpochSource> find_source(Conversion& conversion, const std::string& value) {
  if (value == "context") return main_context_source(conversion.options);
  if (auto const context = find_named_context(conversion, value, nullptr)) {
    return named_context_source(conversion, *context);
  }
  for (const Stage& stage : conversion.file.stages) {
    if (!equals_ignoring_case(stage.name, value)) continue;
    try {
      return to_epoch_source(SourceStage(conversion).read(stage),
                             "[internal] resolve SOURCE_DATE_EPOCH source stage " + stage.name);
    } catch (const Error& error) {
      throw error.with_span(conversion.span(stage.lines));
    }
  }
  fail("invalid SOURCE_DATE_EPOCH: " + value +
       ": give seconds since 1970, \"context\", a named context or a stage");
}

}  // namespace

std::optional<EpochSource> find_epoch_source(const Parsed& parsed, const ConvertOptions& options) {
  parsed.throw_if_bad();
  std::vector<Warning> warnings;  // The conversion itself reports them.
  Conversion conversion(*parsed.file, options, warnings);
  read_global_args(conversion);
  auto const value = written_epoch(conversion);
  if (!value || value->empty() || try_parse_integer(*value)) return std::nullopt;
  return find_source(conversion, *value);
}

std::optional<std::string> written_epoch(const Conversion& conversion) {
  auto const given = conversion.build_args.find(kKey);
  if (given != conversion.build_args.end()) return given->second;
  const std::string* const global = conversion.global_args.find(kKey);
  return global == nullptr || global->empty() ? std::nullopt : std::optional(*global);
}

void set_epoch(Conversion& conversion) {
  auto const written = written_epoch(conversion);
  if (!written) return;
  std::string seconds;
  bool const is_named = !written->empty() && !try_parse_integer(*written);
  if (auto const number = try_parse_integer(
          is_named ? conversion.options.source_date_epoch.value_or("") : *written)) {
    if (*number < -kSeconds_max || *number > kSeconds_max)
      fail("invalid SOURCE_DATE_EPOCH: " + *written);
    conversion.epoch = Timestamp(std::chrono::seconds(*number));
    seconds = std::to_string(*number);
  }
  if (auto const given = conversion.build_args.find(kKey); given != conversion.build_args.end()) {
    if (seconds.empty()) {
      conversion.build_args.erase(given);
    } else {
      given->second = seconds;
    }
  }
  if (conversion.global_args.find(kKey) == nullptr) return;
  if (seconds.empty()) {
    conversion.global_args.erase(kKey);
  } else {
    conversion.global_args.set(kKey, seconds);
  }
}

}  // namespace cobuild::dockerfile
