#include <map>
#include <set>

#include "dockerfile/lowering.hpp"
#include "dockerfile/requests.hpp"

namespace cobuild::dockerfile {
namespace {

/// Collects the parameters of stages; the first stage that has one of a name says what it is.
class OutlineCollector {
 public:
  explicit OutlineCollector(const Conversion& conversion) : conversion_(conversion) {}

  /// The target first, then what it starts from, then what it copies from.
  void add_with_needed(const StageState& target) {
    std::set<const StageState*> seen;
    std::vector<const StageState*> waiting{&target};
    while (!waiting.empty()) {
      const StageState* const stage = waiting.back();
      waiting.pop_back();
      if (stage == nullptr || !seen.insert(stage).second) continue;
      add(*stage);
      for (auto one = stage->dependencies.rbegin(); one != stage->dependencies.rend(); ++one) {
        waiting.push_back(one->first);
      }
      waiting.push_back(stage->base);
    }
  }

  Outline take() {
    Outline outline;
    for (auto& entry : args_) outline.args.push_back(std::move(entry.second));
    for (auto& entry : secrets_) outline.secrets.push_back(std::move(entry.second));
    for (auto& entry : ssh_) outline.ssh.push_back(std::move(entry.second));
    return outline;
  }

 private:
  void add(const StageState& stage) {
    std::vector<std::string> used = names_in_from(stage);
    std::map<std::string, OutlineArg> own;
    for (const DeclaredArg& arg : stage.declared_args) {
      used.push_back(arg.outline.name);
      if (!arg.is_global_default) own[arg.outline.name] = arg.outline;
    }
    std::set<std::string> visited;
    for (std::size_t i = 0; i < used.size(); ++i) {
      std::string const name = used[i];
      if (!visited.insert(name).second) continue;
      if (auto const found = own.find(name); found != own.end()) {
        add_new(found->second, known_args_, args_);
      } else if (auto const global = conversion_.global_arg_infos.find(name);
                 global != conversion_.global_arg_infos.end()) {
        used.insert(used.end(), global->second.needs.begin(), global->second.needs.end());
        add_new(global->second.outline, known_args_, args_);
      }
    }
    for (const OutlineMount& secret : stage.secrets) add_new(secret, known_secrets_, secrets_);
    for (const OutlineMount& ssh : stage.ssh) add_new(ssh, known_ssh_, ssh_);
  }

  /// Global arguments that the FROM makes use of.
  [[nodiscard]] std::vector<std::string> names_in_from(const StageState& stage) const {
    std::vector<std::string> names;
    if (stage.parsed == nullptr) return names;
    for (const std::string* word : {&stage.parsed->base, &stage.parsed->platform}) {
      auto const matched = expand_word(*word, conversion_.global_args, conversion_.words).matched;
      names.insert(names.end(), matched.begin(), matched.end());
    }
    return names;
  }

  template <class T>
  using ByLine = std::multimap<int, T>;

  template <class T>
  static void add_new(const T& one, std::set<std::string>& known, ByLine<T>& list) {
    if (known.insert(one.name).second) list.emplace(one.lines.first, one);
  }

  const Conversion& conversion_;
  std::set<std::string> known_args_;
  std::set<std::string> known_secrets_;
  std::set<std::string> known_ssh_;
  ByLine<OutlineArg> args_;
  ByLine<OutlineMount> secrets_;
  ByLine<OutlineMount> ssh_;
};

}  // namespace

std::vector<TargetInfo> list_targets(const Parsed& parsed) {
  parsed.throw_if_bad();
  std::vector<TargetInfo> targets;
  for (const Stage& stage : parsed.file->stages) {
    targets.push_back({.name = stage.name,
                       .description = description_in(stage.comments, stage.name),
                       .base = stage.base,
                       .platform = stage.platform,
                       .is_default = &stage == &parsed.file->stages.back(),
                       .lines = stage.lines});
  }
  return targets;
}

Outline make_outline(const Parsed& parsed, const ConvertOptions& options, const ResolvedImages& resolved) {
  std::vector<Warning> warnings;
  Lowering lowering(parsed, options, warnings);
  lowering.resolve_all(resolved);
  lowering.apply();
  OutlineCollector collector(lowering.conversion());
  collector.add_with_needed(lowering.target());
  Outline outline = collector.take();
  const Stage& stage = *lowering.target().parsed;
  outline.name = stage.name;
  outline.description = description_in(stage.comments, stage.name);
  return outline;
}

}  // namespace cobuild::dockerfile
