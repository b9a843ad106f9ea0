#pragma once

/// What a COPY of a local directory put where, remembered so that the next one, after some files
/// changed, copies only those.
///
/// The layer of the first copy stays as it is, and a second layer on it holds what is different:
/// the two are one layer to whoever exports them (\see store::LayerAttributes::amends). Files are
/// not shared by hard links: a step would see them (gzip, for one, refuses files with several
/// links).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "core/base/digest.hpp"
#include "ops/file_tree.hpp"

namespace cobuild::ops {

/// Thrown when the layer of the former copy cannot be amended: something is gone from the source,
/// has another type, or too much has changed. The copy is then made anew.
struct CannotAmend {};

/// What is compared of an entry: all that a copy of it depends on. The change time stands for
/// extended attributes and links, and also for the content where it is not settled (\see
/// is_settled) by itself.
struct LedgerRecord {
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  std::int64_t size = 0;
  std::uint32_t mode = 0;
  std::uint32_t special = 0;
  Digest::Bytes digest{};  ///< As ContentHash has it; zeros where it was not needed.

  explicit LedgerRecord(const FileTree::Entry& entry);
  /// Of a directory that is copied only for what is in it: its own times do not come along.
  [[nodiscard]] static LedgerRecord of_level(const FileTree::Entry& directory);
  LedgerRecord() = default;
  friend bool operator==(const LedgerRecord&, const LedgerRecord&) = default;
};

/// Used by one thread.
class CopyLedger {
 public:
  /// For a copy that is compared with nothing, and written down.
  CopyLedger() = default;
  /// For a copy onto the layer that `former`, the text of an earlier ledger, is about.
  /// \throws CannotAmend when the text is damaged.
  explicit CopyLedger(std::string former);
  CopyLedger(const CopyLedger&) = delete;  // records_ points into former_
  CopyLedger& operator=(const CopyLedger&) = delete;

  [[nodiscard]] bool is_amending() const noexcept { return !records_.empty(); }

  /// Called for each entry that is copied to `path`. True when it is there already, from the former
  /// copy. \throws CannotAmend.
  [[nodiscard]] bool is_unchanged(const std::string& path, const FileTree::Entry& entry);

  /// Called for each directory that is made at `path` only because something in it is copied.
  /// \throws CannotAmend, also when it is another one than the former copy made.
  void add_level(const std::string& path, const FileTree::Entry& directory);

  /// What was done cannot be described by entries at paths. \throws CannotAmend when amending.
  void give_up();

  /// At the end. \throws CannotAmend when something of the former copy was not copied again.
  void check_complete() const;

  /// Forgets what came up: the same entries are shown once more. When amending only.
  void restart();

  /// What was copied; nullopt when it is not worth remembering or cannot be. Not when amending.
  [[nodiscard]] std::optional<std::string> take_text();

 private:
  struct Known {
    LedgerRecord record;
    bool found = false;  ///< It came up.
  };
  enum class Finding { kNew, kChanged, kUnchanged };
  Finding look_up(const std::string& path, const LedgerRecord& record, bool is_whole);

  std::string former_;
  std::unordered_map<std::string_view, Known> records_;  ///< Of former_.
  /// Copied so far, but for those of records_: a path that comes twice is not for us.
  std::unordered_set<std::string> paths_;
  std::size_t found_ = 0;  ///< How many of records_ came up.
  std::size_t changed_ = 0;
  std::string text_;
  bool has_given_up_ = false;
};

}  // namespace cobuild::ops
