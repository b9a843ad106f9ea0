#include "core/store/usage_filter.hpp"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::store {
namespace {

constexpr std::size_t kFilterBytesMax = 4096;

std::string join(const std::vector<std::string>& parts, char separator) {
  std::string out;
  for (const std::string& part : parts)
    out += (out.empty() ? "" : std::string(1, separator)) + part;
  return out;
}

/// A field's value; nullopt when the record does not have it. Flags have an empty value.
std::optional<std::string> field_of(const UsageRecord& record, const std::string& field) {
  auto const text = [](std::string value) {
    return value.empty() ? std::nullopt : std::optional(std::move(value));
  };
  auto const flag = [](bool set) { return set ? std::optional(std::string()) : std::nullopt; };
  if (field == "id") return text(record.id);
  if (field == "parents") return text(join(record.parents, ';'));
  if (field == "description") return text(record.description);
  if (field == "type") return text(std::string(to_string(record.kind)));
  if (field == "inuse") return flag(record.in_use);
  if (field == "mutable") return flag(record.mutable_);
  if (field == "immutable") return flag(!record.mutable_);
  if (field == "shared") return flag(record.shared);
  if (field == "private") return flag(!record.shared);
  return std::nullopt;
}

}  // namespace

class UsageFilter::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::vector<Selector> parse() {
    std::vector<Selector> selectors;
    if (text_.empty()) return selectors;  // matches all
    if (text_.size() > kFilterBytesMax) fail("too long");
    for (;;) {
      selectors.push_back(selector());
      if (at_ == text_.size()) return selectors;
      if (text_[at_] != ',') fail("expected a comma");
      ++at_;
    }
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw Error(ErrorKind::kInvalidInput,
                "filters: parse error: [" + std::string(text_.substr(0, at_)) + " >|" +
                    std::string(text_.substr(at_)) + "|< ]: " + std::string(what));
  }

  Selector selector() {
    Selector out;
    out.field = word("a field name");
    if (at_ == text_.size() || text_[at_] == ',') return out;
    std::string_view const op = text_.substr(at_, 2);
    if (op == "==") {
      out.op = Operator::kEqual;
    } else if (op == "!=") {
      out.op = Operator::kNotEqual;
    } else if (op == "~=") {
      out.op = Operator::kMatches;
    } else {
      fail("unsupported operator: expected ==, != or ~=");
    }
    at_ += 2;
    out.value = value(out.op);
    if (out.op == Operator::kMatches) {
      try {
        out.pattern = std::make_shared<const std::regex>(out.value);
      } catch (const std::regex_error& e) {
        fail(e.what());
      }
    }
    return out;
  }

  std::string word(std::string_view wanted) {
    if (at_ < text_.size() && text_[at_] == '"') return quoted('"');
    std::size_t const start = at_;
    auto const belongs = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-';
    };
    while (at_ < text_.size() && belongs(text_[at_])) ++at_;
    if (at_ == start) fail("expected " + std::string(wanted));
    return std::string(text_.substr(start, at_ - start));
  }

  std::string value(Operator op) {
    std::string_view const quotes = op == Operator::kMatches ? "\"/|" : "\"";
    if (at_ < text_.size() && quotes.find(text_[at_]) != std::string_view::npos) {
      return quoted(text_[at_]);
    }
    std::size_t const start = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != ' ') ++at_;
    if (at_ == start) fail("expected a value");
    return std::string(text_.substr(start, at_ - start));
  }

  /// Between slashes or bars a backslash escapes only those: others are the regular expression's.
  std::string quoted(char quote) {
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == quote) {
        ++at_;
        return out;
      }
      char const next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
      if (text_[at_] == '\\' && (quote == '"' || next == quote)) ++at_;
      if (at_ == text_.size()) break;
      out += text_[at_];
    }
    fail("a quote is not closed");
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

UsageFilter::UsageFilter(const std::vector<std::string>& filters, std::string_view what) {
  for (const std::string& filter : filters) {
    try {
      alternatives_.push_back(Parser(filter).parse());
    } catch (const Error& e) {
      throw e.with_context("failed to parse " + std::string(what) + " filters [" +
                           join(filters, ' ') + "]");
    }
  }
}

bool UsageFilter::matches(const Selector& selector, const UsageRecord& record) {
  auto const value = field_of(record, selector.field);
  switch (selector.op) {
    case Operator::kPresent: return value.has_value();
    case Operator::kEqual: return value == selector.value;
    case Operator::kNotEqual: return value.value_or("") != selector.value;
    case Operator::kMatches: return std::regex_search(value.value_or(""), *selector.pattern);
  }
  return false;
}

bool UsageFilter::may_match(RecordKind kind) const {
  if (alternatives_.empty()) return true;
  UsageRecord record;
  record.kind = kind;
  return std::any_of(alternatives_.begin(), alternatives_.end(), [&](const auto& selectors) {
    return std::all_of(selectors.begin(), selectors.end(), [&](const Selector& selector) {
      return selector.field != "type" || matches(selector, record);
    });
  });
}

bool UsageFilter::matches(const UsageRecord& record) const {
  if (alternatives_.empty()) return true;
  return std::any_of(alternatives_.begin(), alternatives_.end(), [&](const auto& selectors) {
    return std::all_of(selectors.begin(), selectors.end(),
                       [&](const Selector& selector) { return matches(selector, record); });
  });
}

}  // namespace cobuild::store
