#include <algorithm>
#include <charconv>
#include <cstdint>

#include "core/base/error.hpp"
#include "dockerfile/step_builder.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

pb::UserOpt parse_user(const std::string& name) {
  pb::UserOpt user;
  auto const number = name == "root" ? std::optional<long long>(0) : try_parse_integer(name);
  if (number && *number >= INT32_MIN && *number <= INT32_MAX) {
    user.set_byid(static_cast<std::uint32_t>(*number));
  } else if (name.empty()) {
    user.set_byid(0);
  } else {
    user.mutable_byname()->set_name(name);
  }
  return user;
}

/// One of the comma-separated clauses of chmod(1): [ugoa]*([-+=]([rwxXst]*|[ugo]))+.
bool is_symbolic_clause(std::string_view clause) {
  std::size_t const who = clause.find_first_not_of("ugoa");
  if (who == std::string_view::npos) return false;
  clause.remove_prefix(who);
  while (!clause.empty()) {
    if (std::string_view("+-=").find(clause[0]) == std::string_view::npos) return false;
    clause.remove_prefix(1);
    std::size_t const end = std::min(clause.find_first_of("+-="), clause.size());
    if (clause.substr(0, end).find_first_not_of("rwxXstugo") != std::string_view::npos) return false;
    clause.remove_prefix(end);
  }
  return true;
}

}  // namespace

pb::ChownOpt parse_owner(const std::string& owner) {
  pb::ChownOpt out;
  auto const [user, group] = cut(owner, ':');
  *out.mutable_user() = parse_user(std::string(user));
  if (group) *out.mutable_group() = parse_user(std::string(*group));
  return out;
}

void set_mode(const std::string& chmod, pb::FileActionCopy& copy) {
  std::uint32_t mode = 0;
  const char* const last = chmod.data() + chmod.size();
  auto const [end, error] = std::from_chars(chmod.data(), last, mode, 8);
  if (error == std::errc() && end == last && mode <= 07777) {
    copy.set_mode(static_cast<std::int32_t>(mode));
    return;
  }
  if (chmod[0] >= '0' && chmod[0] <= '9') {
    throw Error(ErrorKind::kInvalidInput, "invalid chmod parameter: '" + chmod +
                                              "'. it should be octal string and between 0 and 07777");
  }
  if (!std::ranges::all_of(split(chmod, ','), is_symbolic_clause)) {
    throw Error(ErrorKind::kInvalidInput, "invalid chmod parameter: '" + chmod +
                                              "': neither octal nor symbolic, like u=rwX,go=rX");
  }
  copy.set_mode(0);
  copy.set_modestr(chmod);
}

}  // namespace cobuild::dockerfile
