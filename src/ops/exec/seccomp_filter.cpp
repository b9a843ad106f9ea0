#include "ops/exec/seccomp_filter.hpp"

#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "core/base/assert.hpp"
#include "ops/exec/seccomp_profile.hpp"
#include "ops/exec/syscall_numbers.hpp"

namespace cobuild::ops {
namespace {

using Program = std::vector<sock_filter>;

constexpr std::uint32_t kDenied = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kNotThere = SECCOMP_RET_ERRNO | ENOSYS;
constexpr std::uint32_t kX32Bit = 0x40000000;
constexpr std::size_t kShortJumpMax = 255;
constexpr std::uint32_t kArgLow = offsetof(seccomp_data, args);
constexpr std::uint32_t kArgHigh = kArgLow + 4;  // little endian

sock_filter load(std::uint32_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset);
}
sock_filter give(std::uint32_t action) {
  return BPF_STMT(BPF_RET | BPF_K, action);
}
sock_filter jump(unsigned comparison, std::uint32_t value, std::size_t if_true,
                 std::size_t if_false) {
  COBUILD_ASSERT(if_true <= kShortJumpMax && if_false <= kShortJumpMax, "a jump too far");
  return BPF_JUMP(static_cast<unsigned short>(BPF_JMP | comparison | BPF_K), value,
                  static_cast<unsigned char>(if_true), static_cast<unsigned char>(if_false));
}

/// One condition of the profile on the first argument; a call is allowed when any of its is met.
struct Condition {
  std::string comparison;
  std::uint32_t value = 0;
};

/// What the profile says about one call.
struct Rule {
  std::uint32_t action = SECCOMP_RET_ALLOW;
  std::vector<Condition> conditions;  ///< Empty: always.
};

/// Rules by name. What is allowed without a condition stays so, whatever else is said.
std::map<std::string, Rule> read_profile(const std::set<std::string>& capabilities) {
  boost::json::object const profile = seccomp_profile(capabilities);
  std::map<std::string, Rule> rules;
  for (const auto& item : profile.at("syscalls").as_array()) {
    const boost::json::object& entry = item.as_object();
    for (const auto& name : entry.at("names").as_array()) {
      auto [rule, first] = rules.try_emplace(std::string(name.as_string()));
      bool const always = !first && rule->second.conditions.empty();
      if (always) continue;
      if (const auto* error = entry.if_contains("errnoRet")) {
        rule->second.action = SECCOMP_RET_ERRNO | error->to_number<std::uint32_t>();
      }
      const auto* args = entry.if_contains("args");
      if (args == nullptr) {
        rule->second.conditions.clear();
        continue;
      }
      const boost::json::object& arg = args->as_array().at(0).as_object();
      rule->second.conditions.push_back({.comparison = std::string(arg.at("op").as_string()),
                                         .value = arg.at("value").to_number<std::uint32_t>()});
    }
  }
  return rules;
}

/// Decides by the first argument, which is 64 bits wide. Ends with a verdict on every way.
Program check_argument(const std::vector<Condition>& conditions) {
  bool const masked = conditions.front().comparison == "SCMP_CMP_MASKED_EQ";
  bool const above = std::any_of(conditions.begin(), conditions.end(),
                                 [](const Condition& c) { return c.comparison == "SCMP_CMP_GT"; });
  Program program;
  if (!masked) {
    // A number beyond 32 bits is above every limit and equal to none.
    program.push_back(load(kArgHigh));
    program.push_back(jump(BPF_JEQ, 0, 1, 0));
    program.push_back(give(above ? SECCOMP_RET_ALLOW : kDenied));
  }
  program.push_back(load(kArgLow));
  for (const Condition& condition : conditions) {
    if (condition.comparison == "SCMP_CMP_EQ") {
      program.push_back(jump(BPF_JEQ, condition.value, 0, 1));
    } else if (condition.comparison == "SCMP_CMP_GT") {
      program.push_back(jump(BPF_JGT, condition.value, 0, 1));
    } else if (condition.comparison == "SCMP_CMP_LT") {
      program.push_back(jump(BPF_JGE, condition.value, 1, 0));
    } else {
      COBUILD_ASSERT(masked && conditions.size() == 1, "a condition of another kind");
      program.push_back(jump(BPF_JSET, condition.value, 1, 0));  // none of these bits
    }
    program.push_back(give(SECCOMP_RET_ALLOW));
  }
  program.push_back(give(kDenied));
  return program;
}

/// Calls from `first` up to the next segment's first.
struct Segment {
  std::uint32_t first = 0;
  Program verdict;
};

bool same(const Program& a, const Program& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const sock_filter& x, const sock_filter& y) {
                      return x.code == y.code && x.jt == y.jt && x.jf == y.jf && x.k == y.k;
                    });
}

std::optional<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t const base = text.find("X32") != std::string_view::npos ? kX32Bit : 0;
  while (!text.empty() && text.back() == ')') text.remove_suffix(1);
  std::size_t const start = text.find_last_not_of("0123456789") + 1;  // npos + 1 is 0
  if (start == text.size() || text.starts_with("__NR")) return std::nullopt;
  std::uint32_t number = 0;
  std::from_chars(text.data() + start, text.data() + text.size(), number);
  return base + number;
}

/// The calls of one ABI, cut where the verdict changes.
std::vector<Segment> cut(const SyscallNumberText* table, const std::map<std::string, Rule>& rules) {
  std::map<std::uint32_t, Program> verdicts;
  std::uint32_t last = 0;
  for (; table->name != nullptr; ++table) {
    auto const number = parse_number(table->number);
    if (!number) continue;
    last = std::max(last, *number);
    auto const rule = rules.find(table->name);
    if (rule == rules.end()) continue;
    verdicts[*number] = rule->second.conditions.empty() ? Program{give(rule->second.action)}
                                                        : check_argument(rule->second.conditions);
  }
  std::vector<Segment> segments{{.first = 0, .verdict = {give(kDenied)}}};
  auto add = [&](std::uint32_t first, const Program& verdict) {
    if (same(segments.back().verdict, verdict)) return;
    if (segments.back().first == first) segments.pop_back();
    segments.push_back({.first = first, .verdict = verdict});
  };
  std::uint32_t next = 0;
  for (const auto& [number, verdict] : verdicts) {
    if (number != next) add(next, {give(kDenied)});
    add(number, verdict);
    next = number + 1;
  }
  if (next <= last) add(next, {give(kDenied)});
  add(last + 1, {give(kNotThere)});
  return segments;
}

/// Jumps over `what`.
sock_filter skip(const Program& what) {
  return BPF_STMT(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(what.size()));
}

/// Finds the segment of the number in the accumulator by halving, and decides.
Program decide(const Segment* begin, const Segment* end) {
  if (end - begin == 1) return begin->verdict;
  const Segment* middle = begin + (end - begin) / 2;
  Program const left = decide(begin, middle);
  Program const right = decide(middle, end);
  Program program;
  if (left.size() <= kShortJumpMax) {
    program.push_back(jump(BPF_JGE, middle->first, left.size(), 0));
  } else {
    program.push_back(jump(BPF_JGE, middle->first, 0, 1));
    program.push_back(skip(left));
  }
  program.insert(program.end(), left.begin(), left.end());
  program.insert(program.end(), right.begin(), right.end());
  return program;
}

void append(Program& to, const Program& what) {
  to.insert(to.end(), what.begin(), what.end());
}

[[maybe_unused]] Program program_for(const SyscallNumberText* table,
                                     const std::map<std::string, Rule>& rules) {
  std::vector<Segment> const segments = cut(table, rules);
  return decide(segments.data(), segments.data() + segments.size());
}

}  // namespace

std::vector<sock_filter> seccomp_filter(const std::set<std::string>& capabilities) {
#if defined(__x86_64__)
  auto const rules = read_profile(capabilities);
  Program const native = program_for(kSyscallsX8664, rules);
  Program const x32 = program_for(kSyscallsX32, rules);
  Program const i386 = program_for(kSyscallsI386, rules);
  Program wide{load(offsetof(seccomp_data, nr)), jump(BPF_JGE, kX32Bit, 0, 1), skip(native)};
  append(wide, native);
  append(wide, x32);
  Program program{load(offsetof(seccomp_data, arch)), jump(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0),
                  skip(wide)};
  append(program, wide);
  program.push_back(jump(BPF_JEQ, AUDIT_ARCH_I386, 1, 0));
  program.push_back(give(SECCOMP_RET_KILL_PROCESS));
  program.push_back(load(offsetof(seccomp_data, nr)));
  append(program, i386);
  COBUILD_ASSERT(program.size() <= BPF_MAXINSNS, "more than the kernel takes");
  return program;
#else
  static_cast<void>(capabilities);
  return {};
#endif
}

std::string seccomp_filter_base64(const std::set<std::string>& capabilities) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<sock_filter> const program = seccomp_filter(capabilities);
  auto const* bytes = reinterpret_cast<const unsigned char*>(program.data());
  std::size_t const size = program.size() * sizeof(sock_filter);
  std::string text;
  for (std::size_t i = 0; i < size; i += 3) {
    std::size_t const count = std::min<std::size_t>(3, size - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k) {
      text += k <= count ? kDigits[group >> (18 - 6 * k) & 63U] : '=';
    }
  }
  return text;
}

}  // namespace cobuild::ops
