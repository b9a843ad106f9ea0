#include "ops/copy_ledger.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace cobuild::ops {

namespace {

static_assert(std::is_trivially_copyable_v<LedgerRecord>);
static_assert(sizeof(LedgerRecord) == 64, "no padding: it would be uninitialised in the text");

/// Below, a copy takes no longer than the bookkeeping.
constexpr std::size_t kEntriesMin = 256;
/// Beyond, the text itself would be a burden: about half a million files.
constexpr std::size_t kTextBytesMax = 64 << 20;
/// One in so many entries may change before a new copy is worth more than a layer that amends.
constexpr std::size_t kChangedShare = 4;

}  // namespace

LedgerRecord::LedgerRecord(const FileTree::Entry& entry)
    : modified_ns(nanoseconds(entry.modified)),
      changed_ns(nanoseconds(entry.changed)),
      size(entry.is_directory() ? 0 : entry.size),
      mode(entry.mode),
      special(static_cast<std::uint32_t>(entry.special)),
      digest(entry.header_digest ? entry.header_digest->bytes() : Digest::Bytes{}) {}

CopyLedger::CopyLedger(std::string former) : former_(std::move(former)) {
  std::string_view rest = former_;
  while (!rest.empty()) {
    std::size_t const end = rest.find('\0');
    if (end == std::string_view::npos || rest.size() - end - 1 < sizeof(LedgerRecord)) {
      throw CannotAmend();
    }
    LedgerRecord record;
    std::memcpy(static_cast<void*>(&record), rest.data() + end + 1, sizeof record);
    if (!records_.emplace(rest.substr(0, end), record).second) throw CannotAmend();
    rest.remove_prefix(end + 1 + sizeof record);
  }
  if (records_.empty()) throw CannotAmend();
}

bool CopyLedger::is_unchanged(const std::string& path, const FileTree::Entry& entry) {
  if (has_given_up_) return false;
  if (!paths_.insert(path).second) {
    give_up();
    return false;
  }
  LedgerRecord const record(entry);
  if (!is_amending()) {
    text_.append(path).push_back('\0');
    text_.append(reinterpret_cast<const char*>(&record), sizeof record);
    if (text_.size() > kTextBytesMax) give_up();
    return false;
  }
  auto const found = records_.find(path);
  if (found != records_.end()) ++found_;
  bool const is_regular_known = !entry.is_regular() || entry.header_digest.has_value();
  if (found != records_.end() && is_regular_known && found->second == record) return true;
  if (found != records_.end() && ((found->second.mode ^ record.mode) & S_IFMT) != 0) {
    throw CannotAmend();
  }
  if (++changed_ > records_.size() / kChangedShare) throw CannotAmend();
  return false;
}

void CopyLedger::give_up() {
  if (is_amending()) throw CannotAmend();
  has_given_up_ = true;
  text_.clear();
  paths_.clear();
}

void CopyLedger::check_complete() const {
  if (found_ != records_.size()) throw CannotAmend();
}

std::optional<std::string> CopyLedger::take_text() {
  if (has_given_up_ || is_amending() || paths_.size() < kEntriesMin) return std::nullopt;
  return std::move(text_);
}

}  // namespace cobuild::ops
