#pragma once

/// Variables and quotes in the words of instructions (F1.3): the Dockerfile's own small language,
/// which looks like a shell's.

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/env_list.hpp"

namespace cobuild::dockerfile {

constexpr std::size_t kExpandedBytes_max = 4U << 20U;  ///< Of one word; ENV a=$a$a doubles each time.
constexpr int kSubstitutionDepth_max = 200;            ///< ${a:-${b:-…}}

struct WordOptions {
  char escape = '\\';         ///< Backslash or backtick.
  bool raw_quotes = false;    ///< Quotes stay in the result.
  bool raw_escapes = false;   ///< Escapes stay in the result.
  bool skip_quotes = false;   ///< Quotes are characters like others.
  bool skip_unset = false;    ///< Variables that are not set stay as they are written.
};

struct ExpandedWord {
  std::string text;
  std::vector<std::string> words;  ///< `text`, split at blanks that are not quoted.
  std::set<std::string> matched;   ///< Variables used that are set.
  std::set<std::string> unmatched; ///< And those that are not.
};

/// \throws Error kInvalidInput `failed to process "word": …` with BuildKit's message.
[[nodiscard]] ExpandedWord expand_word(std::string_view word, const EnvList& env,
                                       const WordOptions& options);

}  // namespace cobuild::dockerfile
