#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/rune.hpp"
#include "dockerfile/directives.hpp"
#include "dockerfile/statement.hpp"

namespace cobuild::dockerfile {
namespace {

std::string_view trim_newline(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_comment(std::string_view line) { return trim_space_left(line).starts_with('#'); }

class StatementReader {
 public:
  explicit StatementReader(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
  }

  StatementList read() {
    while (next_line()) {
      if (is_comment(raw_)) note_comment();
      std::string_view const line = trim_space_left(trim_newline(raw_));
      read_directive(line);
      if (!is_comment(line)) read_statement(line);
    }
    if (list_.statements.empty() && list_.faults.empty()) add_fault("file with no instructions", line_);
    list_.escape = escape_;
    return std::move(list_);
  }

 private:
  /// The next physical line into raw_, with its newline.
  bool next_line() {
    if (rest_.empty()) return false;
    std::size_t const newline = rest_.find('\n');
    std::size_t const content = newline == std::string_view::npos ? rest_.size() : newline;
    ++line_;
    if (content > kLineBytes_max) {
      add_fault("dockerfile line greater than max allowed size of " + std::to_string(kLineBytes_max),
                line_);
      rest_ = {};
      return false;
    }
    raw_ = rest_.substr(0, std::min(content + 1, rest_.size()));
    rest_.remove_prefix(raw_.size());
    return true;
  }

  void add_fault(std::string message, int first_line) {
    list_.faults.push_back({std::move(message), {std::min(first_line, line_), line_}});
  }

  void note_comment() {
    std::string_view const comment = trim_space(raw_.substr(1));
    if (comment.empty()) {
      comments_.clear();
    } else {
      comments_.emplace_back(comment);
    }
  }

  void read_directive(std::string_view line) {
    try {
      auto const directive = directives_.read(line);
      if (!directive) return;
      if (!comments_.empty()) comments_.pop_back();
      if (directive->name != "escape") return;
      if (directive->value != "\\" && directive->value != "`") {
        add_fault("invalid escape token '" + directive->value + "' does not match ` or \\", line_);
        return;
      }
      escape_ = directive->value[0];
    } catch (const Error& error) {
      add_fault(error.what(), line_);
    }
  }

  /// Takes the escape off the end of a line that goes on; false when it does not go on.
  bool take_continuation(std::string_view& line) const {
    std::string_view text = line;
    while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
    if (!text.ends_with(escape_)) return false;
    text.remove_suffix(1);
    if (text.ends_with(escape_)) return false;
    line = text;
    return true;
  }

  void read_statement(std::string_view line) {
    int const first_line = line_;
    bool goes_on = take_continuation(line);
    if (!goes_on && line.empty()) return;
    std::string text(line);
    bool has_empty_line = false;
    while (goes_on && next_line()) {
      std::string_view part = trim_newline(raw_);
      if (is_comment(part)) continue;
      if (trim_space_left(part).empty()) {
        has_empty_line = true;
        continue;
      }
      goes_on = take_continuation(part);
      text += part;
    }
    if (has_empty_line) list_.empty_continuations.push_back(line_);
    try {
      Statement statement = parse_statement(text, escape_);
      if (has_heredocs(statement)) read_heredocs(statement);
      statement.comments = std::move(comments_);
      statement.lines = {first_line, line_};
      list_.statements.push_back(std::move(statement));
    } catch (const Error& error) {
      add_fault(error.what(), first_line);
    }
    comments_.clear();
  }

  void read_heredocs(Statement& statement) {
    statement.heredocs = heredoc_markers(statement.original);
    for (Heredoc& heredoc : statement.heredocs) {
      bool terminated = false;
      while (!terminated && next_line()) {
        std::string_view line = trim_newline(raw_);
        if (heredoc.chomp) line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
        terminated = line == heredoc.name;
        if (!terminated) heredoc.content += raw_;
      }
      if (!terminated) throw Error(ErrorKind::kInvalidInput, "unterminated heredoc");
    }
  }

  std::string_view rest_;
  std::string_view raw_;
  int line_ = 0;
  char escape_ = '\\';
  DirectiveReader directives_;
  std::vector<std::string> comments_;
  StatementList list_;
};

}  // namespace

StatementList read_statements(std::string_view text) { return StatementReader(text).read(); }

}  // namespace cobuild::dockerfile
