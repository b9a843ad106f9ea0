#include "core/base/error.hpp"
#include "dockerfile/conversion.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

/// The platform that a cross build is for, as the TARGET* variables in a step's environment say.
std::optional<oci::Platform> target_in(const EnvList& env) {
  oci::Platform platform;
  bool any = false;
  for (const std::string& key : env.keys()) {
    const std::string& value = *env.find(key);
    if (key == "TARGETPLATFORM") {
      try {
        return oci::parse_platform(value);
      } catch (const Error&) {
        continue;  // A build arg may say anything.
      }
    }
    std::string* const field = key == "TARGETOS"        ? &platform.os
                               : key == "TARGETARCH"    ? &platform.architecture
                               : key == "TARGETVARIANT" ? &platform.variant
                                                        : nullptr;
    if (field == nullptr) continue;
    *field = value;
    any = true;
  }
  return any ? std::optional(platform) : std::nullopt;
}

/// "->arm64" after the platform that a step runs on.
std::string cross_mark(const oci::Platform& base, std::optional<oci::Platform> target) {
  if (!target) return "";
  if (target->os.empty()) target->os = base.os;
  if (target->architecture.empty()) target->architecture = base.architecture;
  oci::Platform const platform = oci::normalize_platform(*std::move(target));
  if (platform.os != base.os) return "->" + oci::format_platform_all(platform);
  if (platform.architecture == base.architecture) return "";
  return "->" + platform.architecture + (platform.variant.empty() ? "" : "/" + platform.variant);
}

}  // namespace

std::string step_name(const Conversion& conversion, StageState& stage, std::string text,
                      const oci::Platform* platform, const EnvList& env) {
  if (stage.step_count == 0) return text;
  std::string name = "[";
  if (conversion.options.multi_platform && platform != nullptr) {
    name += oci::format_platform_all(*platform) + cross_mark(*platform, target_in(env)) + " ";
  }
  if (!stage.display_name.empty()) name += stage.display_name + " ";
  std::string const count = std::to_string(stage.step_count);
  std::string const index = std::to_string(++stage.step_index);
  if (index.size() < count.size()) name.append(count.size() - index.size(), ' ');
  name += index + "/" + count + "] ";
  if (stage.in_trigger) name += "ONBUILD ";
  return name + text;
}

std::string describe(const std::string& code, const EnvList& env, const WordOptions& options) {
  std::string text = code;
  try {
    text = expand_word(code, env, options).text;
  } catch (const Error&) {
    text = code;  // A name need not be right: the step itself reports what is wrong.
  }
  std::size_t const end = std::min(text.find(' '), text.size());
  return to_upper(std::string_view(text).substr(0, end)) + text.substr(end);
}

}  // namespace cobuild::dockerfile
