#include "cli/why_report.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "cli/text_table.hpp"
#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

using solve::Change;
using solve::Difference;
using solve::DifferenceKind;
using solve::FileChange;
using solve::FileChangeKind;
using Lines = std::vector<std::string>;

constexpr std::size_t kNameMax = 100;  ///< Characters of a step's name, or of one side of a change.
constexpr std::size_t kPathMax = 200;
constexpr std::size_t kSharedMax =
    30;  ///< Of what two long texts have in common before they differ.

std::string step_text(const std::string& name) {
  return printable(name, kNameMax);
}

std::string octal(std::uint16_t mode) {
  std::string digits;
  for (int shift = 9; shift >= 0; shift -= 3)
    digits += static_cast<char>('0' + (mode >> shift & 7));
  return digits;
}

/// Both texts from shortly before the first difference on.
std::pair<std::string, std::string> differing_parts(const std::string& before,
                                                    const std::string& now) {
  std::size_t shared = 0;
  std::size_t const shorter = std::min(before.size(), now.size());
  while (shared < shorter && before[shared] == now[shared]) ++shared;
  std::size_t begin = shared > kSharedMax ? shared - kSharedMax : 0;
  while (begin > 0 && (static_cast<unsigned char>(before[begin]) & 0xC0) == 0x80) --begin;
  std::string const dots = begin > 0 ? "..." : "";
  return {dots + printable(std::string_view(before).substr(begin), kNameMax),
          dots + printable(std::string_view(now).substr(begin), kNameMax)};
}

std::string describe_file(const FileChange& change) {
  static constexpr std::array<std::pair<FileChangeKind, std::string_view>, 8> kWords = {{
      {FileChangeKind::kAdded, "added    "},
      {FileChangeKind::kRemoved, "removed  "},
      {FileChangeKind::kContent, "changed  "},
      {FileChangeKind::kMode, "mode     "},
      {FileChangeKind::kModeAndMore, "mode     "},
      {FileChangeKind::kType, "changed  "},
      {FileChangeKind::kAttributes, "changed  "},
      {FileChangeKind::kBelow, "changed  "},
  }};
  std::string text;
  for (const auto& [kind, word] : kWords) {
    if (kind == change.kind) text = word;
  }
  text += change.path.empty() ? "/" : printable(change.path, kPathMax);
  switch (change.kind) {
    case FileChangeKind::kMode:
    case FileChangeKind::kModeAndMore:
      text += "  " + octal(change.mode) + ", was " + octal(change.mode_before);
      if (change.kind == FileChangeKind::kModeAndMore) text += "; it was written anew, too";
      break;
    case FileChangeKind::kType: text += "  is of another type"; break;
    case FileChangeKind::kAttributes: text += "  owner or extended attributes"; break;
    case FileChangeKind::kBelow: text += "/  something below it"; break;
    default: break;
  }
  return text;
}

void tell_files(const Difference& difference, Lines& out) {
  std::string const what = "it reads other files of " + step_text(difference.name);
  if (difference.files.empty() && difference.more_files == 0) {
    out.push_back(what + "; which ones is not known");
    return;
  }
  out.push_back(what + ":");
  for (const FileChange& change : difference.files) out.push_back("  " + describe_file(change));
  if (difference.more_files > 0) {
    out.push_back("  and " + std::to_string(difference.more_files) + " more");
  }
}

/// "the user is another: app, was root"
std::string describe_named(const std::string& what, const Difference& difference) {
  switch (difference.change) {
    case Change::kAdded:
      return what + " is new" +
             (difference.now.empty() ? "" : ": " + printable(difference.now, kNameMax));
    case Change::kRemoved:
      return what + " is gone" +
             (difference.before.empty() ? ""
                                        : ": it was " + printable(difference.before, kNameMax));
    case Change::kChanged: break;
  }
  auto const [before, now] = differing_parts(difference.before, difference.now);
  return what + " is another: " + now + ", was " + before;
}

std::string describe_variable(const Difference& difference) {
  std::string const what = "the variable " + printable(difference.name, kNameMax);
  if (difference.change == Change::kChanged) return what + " has another value";
  return describe_named(what, difference);
}

void tell(const Difference& difference, Lines& out) {
  switch (difference.kind) {
    case DifferenceKind::kArguments: {
      auto const [before, now] = differing_parts(difference.before, difference.now);
      out.push_back("what it does is another:");
      out.push_back("  was  " + before);
      out.push_back("  now  " + now);
      break;
    }
    case DifferenceKind::kVariable: out.push_back(describe_variable(difference)); break;
    case DifferenceKind::kMount:
      out.push_back(
          describe_named("the mount " + printable(difference.name, kNameMax), difference));
      break;
    case DifferenceKind::kSetting:
      out.push_back(describe_named("the " + printable(difference.name, kNameMax), difference));
      break;
    case DifferenceKind::kFiles: tell_files(difference, out); break;
    case DifferenceKind::kInput:
      out.push_back("it comes after another " + step_text(difference.name));
      break;
    case DifferenceKind::kForcedInput:
      out.push_back("it comes after " + step_text(difference.name) +
                    ", for which the cache was not to be used");
      break;
    case DifferenceKind::kOther: out.push_back("it differs in what is not told here"); break;
  }
}

void tell_causes(const solve::Explanation& explanation, Lines& out) {
  for (const solve::Cause& cause : explanation.causes) {
    out.push_back("before it, " + step_text(cause.step) + " differs:");
    Lines below;
    for (const Difference& difference : cause.differences) tell(difference, below);
    for (const std::string& line : below) out.push_back("  " + line);
  }
}

void tell_import(const solve::NearestImport& import, Lines& out) {
  std::string const what = "the imported cache " + printable(import.cache, kPathMax);
  if (import.other_op && import.inputs.empty()) {
    out.push_back(what + " has another step here: another command, variable or mount");
    return;
  }
  out.push_back(what + (import.other_op ? " has another step here, and:" : " has this step, but:"));
  for (const Difference& difference : import.inputs) {
    bool const files = difference.kind == DifferenceKind::kFiles;
    out.push_back((files ? "  with other files of " : "  after another ") +
                  step_text(difference.name));
  }
}

void tell_record(const solve::NearestRecord& record, Lines& out) {
  std::string text = "compared with " + step_text(record.name) + " of " +
                     format_rfc3339(record.created_at).substr(0, 19) + "Z";
  if (!record.cache.empty())
    text += ", from the imported cache " + printable(record.cache, kPathMax);
  out.push_back("(" + text + ")");
}

std::string in_lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string render_step(const solve::StepOutcome& step) {
  std::string out = step_text(step.name);
  if (step.outcome == solve::Outcome::kCached) return out + " was in the cache\n";
  if (!step.explanation) return out + " ran\n";
  out += step.outcome == solve::Outcome::kFailed ? " failed; it ran because\n" : " ran because\n";
  for (const std::string& line : explain(*step.explanation)) out += "  " + line + "\n";
  return out;
}

}  // namespace

Lines explain(const solve::Explanation& explanation) {
  Lines out;
  switch (explanation.reason) {
    case solve::Reason::kNoCache: out.emplace_back("the cache was not to be used for it"); break;
    case solve::Reason::kNoRecord:
      out.emplace_back("nothing like it was built in this store before");
      break;
    case solve::Reason::kLost:
      out.emplace_back("its earlier result is not in the store any more");
      break;
    case solve::Reason::kDiffers: break;
  }
  for (const Difference& difference : explanation.differences) {
    // Then what makes that input another follows.
    bool const is_explained =
        difference.kind == DifferenceKind::kInput && !explanation.causes.empty();
    if (!is_explained) tell(difference, out);
  }
  tell_causes(explanation, out);
  if (explanation.import) tell_import(*explanation.import, out);
  if (explanation.record) tell_record(*explanation.record, out);
  return out;
}

void select_steps(solve::BuildReport& report, std::string_view step) {
  std::string_view number = step;
  if (number.starts_with('#')) number.remove_prefix(1);
  bool const is_number = !number.empty() && number.find_first_not_of("0123456789") == number.npos;
  auto const keep = [&](auto matches) {
    bool const any = std::any_of(report.steps.begin(), report.steps.end(), matches);
    if (any) std::erase_if(report.steps, [&](const auto& one) { return !matches(one); });
    return any;
  };
  if (is_number) {
    if (keep([&](const auto& one) { return solve::split_step_name(one.name).number == number; }))
      return;
  } else {
    if (keep([&](const auto& one) { return one.name.find(step) != std::string::npos; })) return;
    std::string const wanted = in_lower_case(step);
    if (keep([&](const auto& one) {
          return in_lower_case(one.name).find(wanted) != std::string::npos;
        })) {
      return;
    }
  }
  std::string known;
  for (const solve::StepOutcome& one : report.steps) {
    known += (known.empty() ? "" : "; ") + step_text(one.name);
  }
  throw Error(ErrorKind::kNotFound, "no step of the last build is called \"" +
                                        printable(step, kNameMax) + "\"; it had " +
                                        (known.empty() ? "none" : known));
}

std::string render_report(const solve::BuildReport& report, bool with_cached) {
  std::string out;
  std::size_t ran = 0;
  for (const solve::StepOutcome& step : report.steps) {
    if (step.outcome == solve::Outcome::kCached && !with_cached) continue;
    if (step.outcome != solve::Outcome::kCached) ++ran;
    out += render_step(step);
  }
  if (with_cached) return out;
  std::string const all = std::to_string(report.steps.size());
  std::string const count = ran == 0 ? "no step ran, " + all + " were in the cache"
                                     : std::to_string(ran) + " of " + all + " steps ran";
  return "build of " + printable(report.what, kPathMax) + " at " +
         format_rfc3339(report.time).substr(0, 19) + "Z" +
         (report.succeeded ? ": " : ", failed: ") + count + "\n" + out;
}

}  // namespace cobuild::cli
