#pragma once

/// From text to instructions in their outer form: keyword, flags, arguments, heredocs.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/heredoc.hpp"
#include "dockerfile/warning.hpp"

namespace cobuild::dockerfile {

constexpr std::size_t kLineBytes_max = 65535;  ///< Of one physical line, as BuildKit has it.

struct Statement {
  std::string keyword;   ///< As written: "run", "RUN".
  std::string original;  ///< The whole instruction on one line, without heredocs.
  std::vector<std::string> flags;  ///< "--name=value", quotes and escapes resolved.
  /// The rest, as the instruction splits it: words, a JSON list, the whole text, or for ENV and LABEL
  /// key, value and separator ("=" or "") of each pair in turn. ONBUILD has its trigger's keyword.
  std::vector<std::string> args;
  bool json = false;  ///< The arguments were a JSON list.
  std::vector<Heredoc> heredocs;
  std::vector<std::string> comments;  ///< Right above it, without "#".
  LineRange lines;
};

/// Something wrong with the text.
struct Fault {
  std::string message;
  LineRange lines;
};

struct StatementList {
  std::vector<Statement> statements;
  std::vector<Fault> faults;           ///< In the order of lines.
  std::vector<int> empty_continuations;  ///< Last lines of instructions with an empty line inside.
  char escape = '\\';
};

/// Reads all instructions of a Dockerfile (F1.1, F1.2). Goes on after a fault. Takes time in
/// proportion to the text.
[[nodiscard]] StatementList read_statements(std::string_view text);

/// Reads one instruction that is on one line. \throws Error kInvalidInput with BuildKit's message.
[[nodiscard]] Statement parse_statement(std::string_view line, char escape);

/// Whether heredocs may follow the instruction.
[[nodiscard]] bool has_heredocs(const Statement& statement);

}  // namespace cobuild::dockerfile
