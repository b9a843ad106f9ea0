#include "core/base/suggest.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace cobuild {
namespace {

constexpr std::size_t kTooFar = 3;
constexpr std::size_t kWordMax =
    256;  // Longer words are no typing mistakes, and the cost is quadratic.

/// Levenshtein's distance, one row at a time.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t const substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<std::string> closest_match(std::string_view word,
                                         std::span<const std::string> options) {
  if (word.size() > kWordMax) return std::nullopt;
  std::optional<std::string> match;
  std::size_t smallest = kTooFar;
  for (const std::string& option : options) {
    std::size_t const longer = std::max(word.size(), option.size());
    if (longer - std::min(word.size(), option.size()) >= smallest || longer > kWordMax) continue;
    std::size_t const distance = edit_distance(word, option);
    if (distance == 0) return std::nullopt;
    if (distance < smallest) {
      smallest = distance;
      match = option;
    }
  }
  return match;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> options) {
  auto const match = closest_match(word, options);
  return match ? " (did you mean " + *match + "?)" : std::string();
}

}  // namespace cobuild
