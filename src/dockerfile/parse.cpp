#include <map>

#include "core/base/utf8.hpp"
#include "dockerfile/directives.hpp"
#include "dockerfile/parsed_file.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

/// LLB's texts are UTF-8. Files that COPY and ADD make may have any bytes.
bool is_text(const Statement& statement) {
  bool valid = to_valid_utf8(statement.original) == statement.original;
  bool const is_copy = equals_ignoring_case(statement.keyword, "copy") ||
                       equals_ignoring_case(statement.keyword, "add");
  for (const Heredoc& heredoc : statement.heredocs) {
    if (is_copy && !heredoc.expand) continue;
    valid = valid && to_valid_utf8(heredoc.content) == heredoc.content;
  }
  return valid;
}

void add_statement(const Statement& statement, ParsedFile& file) {
  if (!is_text(statement)) {
    throw Error(ErrorKind::kInvalidInput,
                "the instruction is not valid UTF-8: convert the file with iconv -t UTF-8");
  }
  if (equals_ignoring_case(statement.keyword, "from")) {
    file.stages.push_back(parse_from(statement, file.findings));
    return;
  }
  Instruction instruction = parse_instruction(statement, &file.findings);
  if (!file.stages.empty()) {
    file.stages.back().instructions.push_back(std::move(instruction));
  } else if (std::holds_alternative<ArgCommand>(instruction.command)) {
    file.global_args.push_back(std::move(instruction));
  } else {
    throw Error(ErrorKind::kInvalidInput, "no build stage in current context");
  }
}

/// BuildKit says where for all faults of an instruction but this one.
Error locate(const Error& error, const Statement& statement, const ParsedFile& file) {
  std::string message = error.what();
  if (message != "no build stage in current context") {
    message = "dockerfile parse error on line " + std::to_string(statement.lines.first) + ": " + message;
  }
  return Error(ErrorKind::kInvalidInput, message).with_span(file.span(statement.lines));
}

/// Reads everything; errors by their line.
std::multimap<int, Error> read_file(ParsedFile& file) {
  std::multimap<int, Error> errors;
  StatementList const list = read_statements(*file.text);
  file.escape = list.escape;
  file.check = find_directive(*file.text, "check");
  for (const Fault& fault : list.faults) {
    errors.emplace(fault.lines.first, Error(ErrorKind::kInvalidInput, fault.message)
                                          .with_span(file.span(fault.lines)));
  }
  for (int const line : list.empty_continuations) {
    file.findings.push_back(
        {Rule::kNoEmptyContinuation, "Empty continuation line", {line, line}, {}});
  }
  for (const Statement& statement : list.statements) {
    try {
      add_statement(statement, file);
    } catch (const Error& error) {
      Error located = locate(error, statement, file);
      // Of a file in another encoding, or of a program, nothing else is worth saying.
      if (!is_text(statement)) return {{statement.lines.first, std::move(located)}};
      errors.emplace(statement.lines.first, std::move(located));
      // What follows is judged as if there were a stage: one mistake, one error.
      if (file.stages.empty()) file.stages.emplace_back();
    }
  }
  if (file.stages.empty() && errors.empty()) {
    errors.emplace(0, Error(ErrorKind::kInvalidInput, "dockerfile contains no stages to build"));
  }
  return errors;
}

}  // namespace

void Parsed::throw_if_bad() const {
  if (!errors.empty()) throw errors.front();
}

Parsed parse(std::string text, std::string filename) {
  auto file = std::make_shared<ParsedFile>();
  file->text = std::make_shared<const std::string>(std::move(text));
  file->filename = std::move(filename);
  Parsed parsed;
  if (file->text->empty()) {
    parsed.errors.emplace_back(ErrorKind::kInvalidInput, "the Dockerfile cannot be empty");
  } else if (file->text->size() > kDockerfileBytes_max) {
    parsed.errors.emplace_back(ErrorKind::kInvalidInput,
                               "the Dockerfile is larger than " + std::to_string(kDockerfileBytes_max) +
                                   " bytes");
  } else {
    for (const auto& [line, error] : read_file(*file)) parsed.errors.push_back(error);
  }
  parsed.file = std::move(file);
  return parsed;
}

}  // namespace cobuild::dockerfile
