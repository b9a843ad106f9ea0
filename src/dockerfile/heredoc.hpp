#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild::dockerfile {

/// A document that follows its instruction (F1.2).
struct Heredoc {
  std::string name;     ///< The terminator, quotes removed.
  bool expand = true;   ///< The name was not quoted: COPY and ADD expand variables in the content.
  bool chomp = false;   ///< `<<-`: leading tabs do not count.
  std::string content;  ///< As written, with its newlines.
};

/// Reads "<<NAME", "3<<-'NAME'"; nullopt for any other word. The content is left empty.
/// \throws Error kInvalidInput for quotes that do not end.
[[nodiscard]] std::optional<Heredoc> parse_heredoc_marker(std::string_view word);

/// As that; nullopt for bad quotes too.
[[nodiscard]] std::optional<Heredoc> try_parse_heredoc_marker(std::string_view word);

/// All markers of an instruction, in order.
[[nodiscard]] std::vector<Heredoc> heredoc_markers(std::string_view line);

/// `content` without the tabs at the start of its lines.
[[nodiscard]] std::string chomp_tabs(std::string_view content);

}  // namespace cobuild::dockerfile
