#include "ops/copy_mode.hpp"

#include <sys/stat.h>

#include "core/base/error.hpp"

namespace cobuild::ops {

namespace {

constexpr mode_t kAllBits = 07777;
constexpr mode_t kStandardBits = 06777;  ///< All but sticky.
constexpr mode_t kExecuteBits = 0111;

[[nodiscard]] Error syntax_error() {
  return Error(ErrorKind::kInvalidInput, "invalid syntax");
}

}  // namespace

/// One pass over the text: WHO (OP PERM*)+ clauses between commas.
class ModeChange::Parser {
 public:
  Parser(std::string_view text, std::vector<Step>& steps) : rest_(text), steps_(steps) {}

  void run() {
    for (;;) {
      read_who();
      assigned_ = false;
      do {
        read_operation();
      } while (!rest_.empty() && rest_[0] != ',');
      if (rest_.empty()) return;
      rest_.remove_prefix(1);
    }
  }

 private:
  char take() {
    if (rest_.empty()) throw syntax_error();
    char const c = rest_[0];
    rest_.remove_prefix(1);
    return c;
  }

  void read_who() {
    who_ = 0;
    for (;;) {
      if (rest_.empty()) throw syntax_error();
      switch (rest_[0]) {
        case 'a': who_ |= kStandardBits; break;
        case 'u': who_ |= S_ISUID | S_IRWXU; break;
        case 'g': who_ |= S_ISGID | S_IRWXG; break;
        case 'o': who_ |= S_IRWXO; break;
        default: return;
      }
      rest_.remove_prefix(1);
    }
  }

  void read_operation() {
    char const op = take();
    if (op != '+' && op != '-' && op != '=') throw syntax_error();
    if (op == '=') assigned_ = false;
    who_ &= ~static_cast<mode_t>(S_ISVTX);
    mode_t permissions = 0;
    mode_t conditional = 0;
    for (;; rest_.remove_prefix(1)) {
      char const c = rest_.empty() ? '\0' : rest_[0];
      // Set-id and sticky bits are not for others alone.
      bool const special = who_ == 0 || (who_ & ~static_cast<mode_t>(S_IRWXO)) != 0;
      switch (c) {
        case 'r': permissions |= 0444; break;
        case 'w': permissions |= 0222; break;
        case 'x': permissions |= kExecuteBits; break;
        case 'X': (op == '-' ? permissions : conditional) |= kExecuteBits; break;
        case 's':
          if (special) permissions |= S_ISUID | S_ISGID;
          break;
        case 't':
          if (!special) break;
          who_ |= S_ISVTX;
          permissions |= S_ISVTX;
          break;
        case 'u':
        case 'g':
        case 'o':
          if (permissions != 0) add(op, permissions);
          permissions = 0;
          if (op == '=') assigned_ = true;
          if (conditional != 0) add_conditional(conditional);
          conditional = 0;
          add_copy(op, c);
          break;
        default:
          if (permissions != 0 || (op == '=' && !assigned_)) add(op, permissions);
          if (op == '=') assigned_ = true;
          if (conditional != 0) add_conditional(conditional);
          return;
      }
    }
  }

  [[nodiscard]] mode_t masked(mode_t bits) const { return who_ != 0 ? who_ & bits : bits; }

  void add(char op, mode_t bits) {
    if (op == '=') {
      steps_.push_back({.action = Action::kClear, .bits = who_ != 0 ? who_ : kStandardBits});
      op = '+';
    }
    Action const action = op == '-' ? Action::kClear : Action::kSet;
    steps_.push_back({.action = action, .bits = masked(bits)});
  }

  void add_conditional(mode_t bits) {
    steps_.push_back({.action = Action::kSetIfExecutable, .bits = masked(bits)});
  }

  void add_copy(char op, char from) {
    mode_t to = 0;
    if (who_ == 0 || (who_ & S_IRUSR) != 0) to |= S_IRWXU;
    if (who_ == 0 || (who_ & S_IRGRP) != 0) to |= S_IRWXG;
    if (who_ == 0 || (who_ & S_IROTH) != 0) to |= S_IRWXO;
    Action const action = op == '+'   ? Action::kCopySet
                          : op == '-' ? Action::kCopyClear
                                      : Action::kCopyAssign;
    steps_.push_back({.action = action,
                      .bits = to,
                      .source = from == 'u'   ? 6U
                                : from == 'g' ? 3U
                                              : 0U});
  }

  std::string_view rest_;
  std::vector<Step>& steps_;
  mode_t who_ = 0;
  bool assigned_ = false;  ///< This clause's "=" has cleared already.
};

ModeChange ModeChange::parse(std::string_view text) {
  if (text.empty()) throw syntax_error();
  ModeChange change;
  if (text[0] < '0' || text[0] > '9') {
    Parser(text, change.steps_).run();
    return change;
  }
  mode_t bits = 0;
  for (char c : text) {
    if (c < '0' || c > '7') throw syntax_error();
    bits = bits << 3 | static_cast<mode_t>(c - '0');
    if (bits > kAllBits) throw syntax_error();
  }
  change.steps_.push_back({.action = Action::kClear, .bits = kAllBits});
  change.steps_.push_back({.action = Action::kSet, .bits = bits});
  return change;
}

mode_t ModeChange::apply(mode_t mode) const {
  mode_t const before = mode & kAllBits;
  mode_t now = before;
  for (const Step& step : steps_) {
    mode_t const from = (now >> step.source) & S_IRWXO;
    mode_t const copied = (from << 6 | from << 3 | from) & step.bits;
    switch (step.action) {
      case Action::kSet: now |= step.bits; break;
      case Action::kClear: now &= ~step.bits; break;
      case Action::kSetIfExecutable:
        if ((before & kExecuteBits) != 0 || S_ISDIR(mode)) now |= step.bits;
        break;
      case Action::kCopySet: now |= copied; break;
      case Action::kCopyClear: now &= ~copied; break;
      case Action::kCopyAssign: now = (now & ~step.bits) | copied; break;
    }
  }
  return now;
}

}  // namespace cobuild::ops
