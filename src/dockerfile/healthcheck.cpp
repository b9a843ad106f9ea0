#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "dockerfile/duration.hpp"
#include "dockerfile/instruction.hpp"
#include "dockerfile/instruction_flags.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

std::chrono::nanoseconds interval(const InstructionFlags& flags, const std::string& name) {
  std::string const text = flags.value(name);
  if (text.empty()) return {};
  auto const duration = parse_duration(text);
  if (duration.count() != 0 && duration < std::chrono::milliseconds(1)) {
    fail("Interval " + go_quote(name) + " cannot be less than 1ms");
  }
  return duration;
}

int retries(const InstructionFlags& flags) {
  std::string const text = flags.value("retries");
  if (text.empty()) return 0;
  auto const number = try_parse_integer(text);
  if (!number) fail("strconv.ParseInt: parsing " + go_quote(text) + ": invalid syntax");
  if (*number > INT32_MAX || *number < INT32_MIN) {
    fail("strconv.ParseInt: parsing " + go_quote(text) + ": value out of range");
  }
  if (*number < 0) fail("--retries cannot be negative (" + std::to_string(*number) + ")");
  return static_cast<int>(*number);
}

}  // namespace

HealthcheckCommand parse_healthcheck(const Statement& statement) {
  if (statement.args.empty()) fail("HEALTHCHECK requires at least one argument");
  HealthcheckCommand command;
  std::string type = to_upper(statement.args[0]);
  if (type == "NONE") {
    if (statement.args.size() != 1) fail("HEALTHCHECK NONE takes no arguments");
    command.check.test = {type};
    return command;
  }
  InstructionFlags flags;
  for (const char* name : {"interval", "timeout", "start-period", "start-interval", "retries"}) {
    flags.add(name, InstructionFlags::Kind::kValue);
  }
  flags.parse(statement.flags);
  if (type != "CMD") fail("Unknown type " + go_quote(type) + " in HEALTHCHECK (try CMD)");
  if (statement.args.size() == 1) fail("Missing command after HEALTHCHECK CMD");
  command.check.test = statement.args;
  command.check.test[0] = statement.json ? "CMD" : "CMD-SHELL";
  command.check.interval = interval(flags, "interval");
  command.check.timeout = interval(flags, "timeout");
  command.check.start_period = interval(flags, "start-period");
  command.check.start_interval = interval(flags, "start-interval");
  command.check.retries = retries(flags);
  return command;
}

}  // namespace cobuild::dockerfile
