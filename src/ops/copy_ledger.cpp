#include "ops/copy_ledger.hpp"

#include <sys/stat.h>

#include <cstring>
#include <type_traits>
#include <utility>

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

LedgerRecord LedgerRecord::of_level(const FileTree::Entry& directory) {
  LedgerRecord record(directory);
  record.modified_ns = 0;
  // The digest knows of attributes, and nothing of what comes and goes in the directory.
  if (directory.header_digest) record.changed_ns = 0;
  return record;
}

CopyLedger::CopyLedger(std::string former) : former_(std::move(former)) {
  std::string_view rest = former_;
  while (!rest.empty()) {
    std::size_t const end = rest.find('\0');
    if (end == std::string_view::npos || rest.size() - end - 1 < sizeof(LedgerRecord)) {
      throw CannotAmend();
    }
    LedgerRecord record;
    std::memcpy(static_cast<void*>(&record), rest.data() + end + 1, sizeof record);
    bool const is_first = records_.try_emplace(rest.substr(0, end), Known{.record = record}).second;
    if (!is_first) throw CannotAmend();
    rest.remove_prefix(end + 1 + sizeof record);
  }
  if (records_.empty()) throw CannotAmend();
}

CopyLedger::Finding CopyLedger::look_up(const std::string& path, const LedgerRecord& record,
                                        bool is_whole) {
  auto const known = records_.find(path);
  bool const is_known = known != records_.end();
  bool const comes_twice =
      is_known ? std::exchange(known->second.found, true) : !paths_.insert(path).second;
  if (comes_twice) {
    give_up();
    return Finding::kNew;
  }
  if (!is_amending()) {
    text_.append(path).push_back('\0');
    text_.append(reinterpret_cast<const char*>(&record), sizeof record);
    if (text_.size() > kTextBytesMax) give_up();
    return Finding::kNew;
  }
  if (is_known) {
    ++found_;
    const LedgerRecord& former = known->second.record;
    if (is_whole && former == record) return Finding::kUnchanged;
    if (((former.mode ^ record.mode) & S_IFMT) != 0) throw CannotAmend();
  }
  if (++changed_ > records_.size() / kChangedShare) throw CannotAmend();
  return is_known ? Finding::kChanged : Finding::kNew;
}

bool CopyLedger::is_unchanged(const std::string& path, const FileTree::Entry& entry) {
  if (has_given_up_) return false;
  bool const is_whole = !entry.is_regular() || entry.header_digest.has_value();
  return look_up(path, LedgerRecord(entry), is_whole) == Finding::kUnchanged;
}

void CopyLedger::add_level(const std::string& path, const FileTree::Entry& directory) {
  if (has_given_up_) return;
  // Whether the former copy made it or found it there is not known, and another copy does not do
  // the same to both.
  if (look_up(path, LedgerRecord::of_level(directory), true) == Finding::kChanged) {
    throw CannotAmend();
  }
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

void CopyLedger::restart() {
  for (auto& [path, known] : records_) known.found = false;
  paths_.clear();
  found_ = 0;
  changed_ = 0;
}

std::optional<std::string> CopyLedger::take_text() {
  if (has_given_up_ || is_amending() || paths_.size() < kEntriesMin) return std::nullopt;
  return std::move(text_);
}

}  // namespace cobuild::ops
