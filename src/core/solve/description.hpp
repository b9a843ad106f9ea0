#pragma once

/// What a step is, in words, kept with its record: so that a later build that does not find the
/// record can say what is different. Plain values; nothing here is part of a key.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/solve/file_list.hpp"
#include "core/store/types.hpp"

namespace cobuild::solve {

/// What an op is made of, as far as that decides its result. Never has a secret: of variables there
/// is a short digest of the value only, of what is lent to a step its name.
struct OpDescription {
  std::string kind;                              ///< "exec", "file", "image"; empty: not described.
  std::vector<std::string> arguments;            ///< The command, or one line for each file action.
  std::map<std::string, std::string> variables;  ///< Names, with digests of the values.
  std::map<std::string, std::string> mounts;     ///< Where, and "type=cache,sharing=locked".
  std::map<std::string, std::string> settings;   ///< "user", "network", "digest", ...
  friend bool operator==(const OpDescription&, const OpDescription&) = default;
};

/// What was read of an input that is known by its content.
struct ContentNote {
  Digest digest;
  std::optional<store::LayerId> list;  ///< The layer with the note file_list_note(digest).
  friend bool operator==(const ContentNote&, const ContentNote&) = default;
};

struct StepDescription {
  std::string name;    ///< As displays show it: "[build 3/5] RUN make".
  std::string origin;  ///< Tells Dockerfiles and targets apart; empty: not known.
  std::string cache;   ///< The imported cache that the result is from; empty: it was made here.
  OpDescription op;
  std::map<std::size_t, ContentNote> contents;  ///< By input.
  friend bool operator==(const StepDescription&, const StepDescription&) = default;
};

/// Of a text in a description; longer ones are cut, and end in a digest of the whole.
inline constexpr std::size_t kDescribedTextMax = 2000;

/// One object. Long texts are cut.
[[nodiscard]] std::string to_json(const StepDescription& step);
/// Nullopt for what is no such object: records of other versions have other texts.
[[nodiscard]] std::optional<StepDescription> parse_step_description(std::string_view text);

enum class DifferenceKind {
  kArguments,
  kVariable,
  kMount,
  kSetting,
  kFiles,        ///< Of an input that is known by its content.
  kInput,        ///< The step that an input is the result of.
  kForcedInput,  ///< The same: it ran because the cache was not to be used.
  kOther,        ///< The op, in a way that its description does not show.
};

enum class Change { kChanged, kAdded, kRemoved };

/// One thing that is not as it was.
struct Difference {
  DifferenceKind kind = DifferenceKind::kOther;
  Change change = Change::kChanged;
  std::string name;    ///< Of the variable, mount, setting or input.
  std::string before;  ///< Empty where it is not to be told: values of variables.
  std::string now;
  std::vector<FileChange> files;  ///< The first ones.
  std::size_t more_files = 0;
  friend bool operator==(const Difference&, const Difference&) = default;
};

/// What is different in `now`; empty for equal ones. Pure.
[[nodiscard]] std::vector<Difference> compare(const OpDescription& before, const OpDescription& now);

/// "[build 3/5] RUN make" in parts.
struct StepName {
  std::string place;    ///< "[build 3": without the number of steps; empty when it has none.
  std::string number;   ///< "3"; empty when it has none.
  std::string text;     ///< "RUN make".
  std::string keyword;  ///< "RUN".
};
[[nodiscard]] StepName split_step_name(std::string_view name);

}  // namespace cobuild::solve
