#include "ops/content_hash.hpp"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <functional>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/path_pattern.hpp"

namespace cobuild::ops {

namespace {

/// Stands for the digests that are still missing.
[[nodiscard]] Digest no_digest() {
  return Digest(Digest::Bytes{});
}

[[nodiscard]] Error not_found(std::string_view path) {
  return Error(ErrorKind::kNotFound, go_quote(path) + ": not found");
}

/// A path as BuildKit's tree has it as a key: zeros for slashes, so that a directory's entries come
/// right after it.
[[nodiscard]] std::string as_key(std::string path) {
  std::replace(path.begin(), path.end(), '/', '\0');
  return path;
}

/// "/a/b" for any spelling of it, "" for the root.
[[nodiscard]] std::string key_path(std::string_view path) {
  std::string clean = go_path::join("/", path);
  return clean == "/" ? std::string() : clean;
}

struct WildcardSplit {
  std::string prefix;   ///< Without wildcards.
  std::string pattern;  ///< The rest.
};

[[nodiscard]] WildcardSplit split_wildcards(std::string_view path) {
  std::string const clean = go_path::clean(path);
  std::size_t begin = 0;
  while (begin < clean.size()) {
    std::size_t const end = std::min(clean.find('/', begin), clean.size());
    if (contains_wildcards(std::string_view(clean).substr(begin, end - begin))) {
      std::string prefix = begin == 0 ? std::string() : clean.substr(0, begin - 1);
      if (prefix.empty() && clean.starts_with('/')) prefix = "/";
      return {std::move(prefix), clean.substr(begin)};
    }
    begin = end + 1;
  }
  return {clean, {}};
}

/// The first `size` bytes; fewer if there are no more.
void hash_content(int fd, std::int64_t size, DigestWriter& writer) {
  std::vector<char> buffer(128 << 10);
  for (std::int64_t at = 0; at < size;) {
    auto const piece =
        static_cast<std::size_t>(std::min<std::int64_t>(std::ssize(buffer), size - at));
    ssize_t const n = ::pread(fd, buffer.data(), piece, at);
    if (n == 0) return;
    if (n > 0) {
      writer.write(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
      at += n;
    } else if (errno != EINTR) {
      throw Error::from_errno(errno, "read");
    }
  }
}

[[nodiscard]] char type_flag(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return '5';
    case S_IFLNK: return '2';
    case S_IFCHR: return '3';
    case S_IFBLK: return '4';
    case S_IFIFO: return '6';
    default: return '0';  // Sockets, too: as BuildKit has it.
  }
}

/// The fields of a tar header as tarsum version 1 has them: no name, no times.
[[nodiscard]] std::string header_text(const FileTree& tree, const FileTree::Entry& entry) {
  bool const has_size = entry.is_regular() || S_ISSOCK(entry.mode);
  // Of the user's files the device numbers count; in root file systems BuildKit's test for devices
  // never holds, and its keys are what must be met.
  bool const has_device =
      tree.kind() == FileTree::Kind::kLocal && (S_ISCHR(entry.mode) || S_ISBLK(entry.mode));
  mode_t const mode = entry.is_link() ? 0777 : entry.mode & 07777;
  std::string text = "name";
  text += "mode" + std::to_string(mode);
  text += "uid" + std::to_string(entry.uid);
  text += "gid" + std::to_string(entry.gid);
  text += "size" + std::to_string(has_size ? entry.size : 0);
  text += std::string("typeflag") + type_flag(entry.mode);
  text += "linkname" + entry.link_target;
  text += "unamegname";
  text += "devmajor" + std::to_string(has_device ? ::major(entry.special) : 0);
  text += "devminor" + std::to_string(has_device ? ::minor(entry.special) : 0);
  return text;
}

[[nodiscard]] bool is_hashed_xattr(std::string_view name) {
  if (name == "security.capability") return true;
  return !name.starts_with("security.") && !name.starts_with("system.");
}

void hash_xattrs(const FileTree& tree, const Xattrs& xattrs, DigestWriter& writer) {
  for (const auto& [name, value] : xattrs) {
    if (!is_hashed_xattr(name)) continue;
    if (tree.kind() == FileTree::Kind::kLocal && name.starts_with("com.apple.")) continue;
    writer.write(name);
    writer.write(value);
  }
}

/// Enough to tell files apart in a list.
[[nodiscard]] std::uint32_t short_digest(const Digest& digest) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) value = value << 8 | digest.bytes()[i];
  return value;
}

}  // namespace

Digest hash_file(const FileTree& tree, const FileTree::Entry& entry, int file, int content) {
  DigestWriter writer;
  writer.write(header_text(tree, entry));
  hash_xattrs(tree, read_xattrs_at(file, ""), writer);
  hash_content(content, entry.size, writer);
  return writer.finish();
}

Digest hash_entry(const FileTree& tree, FileTree::Entry& entry) {
  DigestWriter writer;
  if (entry.parent == nullptr && tree.kind() == FileTree::Kind::kLocal) {
    return writer.finish();  // The root of a context is nobody's: its metadata is not transferred.
  }
  try {
    if (entry.is_regular() && entry.size > 0) {
      UniqueFd const fd = tree.open_file(entry);
      if (tree.has_grown(entry, fd.get())) FileTree::look_again(entry, fd.get());
      Digest const digest = hash_file(tree, entry, fd.get(), fd.get());
      static_cast<void>(tree.has_grown(entry, fd.get()));
      return digest;
    }
    writer.write(header_text(tree, entry));
    hash_xattrs(tree, tree.xattrs_of(entry), writer);
  } catch (const Error& error) {
    throw error.with_context("hash " + tree.path_of(entry));
  }
  return writer.finish();
}

Digest ContentHash::header_of(FileTree::Entry& entry) {
  if (entry.header_digest) return *entry.header_digest;
  if (entry.is_regular()) {
    missing_.push_back(&entry);
    return no_digest();
  }
  entry.header_digest = hash_entry(tree_, entry);
  return *entry.header_digest;
}

Digest ContentHash::subtree_of(FileTree::Entry& entry) {
  if (!entry.is_directory()) return header_of(entry);
  if (entry.subtree_digest) return *entry.subtree_digest;
  std::size_t const missing_before = missing_.size();
  DigestWriter writer;
  writer.write(std::string_view("\0", 1));
  writer.write(header_of(entry).to_string());
  for (FileTree::Entry* child : tree_.list(entry)) {
    writer.write(std::string_view("\0", 1));
    writer.write(child->name);
    writer.write(subtree_of(*child).to_string());
  }
  Digest const digest = writer.finish();
  if (missing_.size() == missing_before) entry.subtree_digest = digest;
  return digest;
}

Digest ContentHash::plain(std::string_view path, bool follow_links) {
  std::string const clean = key_path(path);
  FileTree::Entry* const entry = tree_.find(clean, follow_links);
  if (entry == nullptr) throw not_found(clean);
  return subtree_of(*entry);
}

/// Something that a selection with wildcards or filters takes in.
struct ContentHash::Included {
  std::string path;
  FileTree::Entry* entry = nullptr;
  bool follow_links = false;
};

/// Walks the part of the tree that one such selector may match, and collects.
class ContentHash::Selection {
 public:
  Selection(FileTree& tree, const ContentSelector& selector)
      : tree_(tree),
        selector_(selector),
        ends_in_slash_(selector.path.ends_with('/') && key_path(selector.path).empty()),
        path_(key_path(selector.path)) {
    if (!selector.include_patterns.empty()) {
      include_ = compile_patterns(selector.include_patterns, "includepatterns");
    }
    if (!selector.exclude_patterns.empty()) {
      exclude_ = compile_patterns(selector.exclude_patterns, "excludepatterns");
    }
  }

  void run() {
    FileTree::Entry* start = &tree_.root();
    if (selector_.wildcard) {
      WildcardSplit const split = split_wildcards(path_);
      // A link before the wildcards is followed, for what is below it is meant.
      if (split.prefix != "/") {
        prefix_ = split.prefix;
        start = tree_.find(prefix_, !split.pattern.empty());
      }
    } else if (!path_.empty()) {
      prefix_ = path_;
      start = tree_.find(prefix_, false);
    }
    if (start != nullptr) visit(*start, prefix_);
    check_required();
  }

  [[nodiscard]] const std::string& prefix() const noexcept { return prefix_; }
  [[nodiscard]] std::vector<Included>& included() noexcept { return included_; }

 private:
  /// A directory on the way down, kept in case something below it is included.
  struct Parent {
    Included self;
    bool taken = false;
    PatternSet::ParentState include;
    PatternSet::ParentState exclude;
  };

  /// `path` is the entry's path with the selector's own prefix in place of what that leads to.
  void visit(FileTree::Entry& entry, const std::string& path) {
    Parent own;
    own.self = {.path = path, .entry = &entry, .follow_links = follow_here()};
    bool const is_directory = entry.is_directory();
    // Directories come up twice in BuildKit's walk, by content and by header. The first visit
    // includes nothing, but may set what paths are relative to.
    if (selector_.wildcard && !matches_wildcard(path)) {
      if (is_directory && may_match_below(path)) descend(entry, path);
      return;
    }
    if (is_directory && ends_in_slash_ && path == path_) return descend(entry, path);
    bool const wanted = is_included(relative(path), own);
    if (!is_directory) {
      if (wanted) take(std::move(own.self));
      return;
    }
    if (wanted) {
      take(own.self);
      own.taken = true;
    }
    parents_.push_back(std::move(own));
    descend(entry, path);
    parents_.pop_back();
  }

  void descend(FileTree::Entry& entry, const std::string& path) {
    for (FileTree::Entry* child : tree_.list(entry)) visit(*child, path + "/" + child->name);
  }

  [[nodiscard]] bool follow_here() const { return parents_.empty() && selector_.follow_links; }

  bool matches_wildcard(const std::string& path) {
    if (path_.empty()) return true;
    if (!matched_.empty() && path.starts_with(matched_ + "/")) return true;
    if (!match_path(path_, path)) return false;
    matched_ = path;
    return true;
  }

  /// Wildcards do not cross slashes, so matches are as deep as the pattern is; but a class can, in
  /// Go.
  [[nodiscard]] bool may_match_below(const std::string& path) const {
    if (path_.find('[') != std::string::npos) return true;
    return std::count(path.begin(), path.end(), '/') < std::count(path_.begin(), path_.end(), '/');
  }

  /// What patterns are matched against.
  [[nodiscard]] std::string relative(const std::string& path) const {
    std::string const base = (selector_.wildcard ? matched_ : path_) + "/";
    std::string rest = path + "/";
    if (rest.starts_with(base)) rest.erase(0, base.size());
    if (rest.ends_with('/')) rest.pop_back();
    return rest;
  }

  bool is_included(const std::string& candidate, Parent& own) {
    PatternSet::ParentState const none;
    if (!selector_.include_patterns.empty()) {
      const auto& parent = parents_.empty() ? none : parents_.back().include;
      if (!include_.match(candidate, parent, &own.include).matched) return false;
    }
    if (!selector_.exclude_patterns.empty()) {
      const auto& parent = parents_.empty() ? none : parents_.back().exclude;
      if (exclude_.match(candidate, parent, &own.exclude).matched) return false;
    }
    return true;
  }

  void take(Included found) {
    for (Parent& parent : parents_) {
      if (std::exchange(parent.taken, true)) continue;
      included_.push_back(parent.self);
    }
    included_.push_back(std::move(found));
  }

  void check_required() const {
    for (const std::string& required : selector_.required_paths) {
      bool const found = std::any_of(included_.begin(), included_.end(), [&](const Included& i) {
        return i.path.starts_with(required);
      });
      if (!found) throw not_found(required);
    }
  }

  FileTree& tree_;
  const ContentSelector& selector_;
  bool ends_in_slash_;
  std::string path_;
  std::string prefix_;   ///< The part of the path that was resolved; "" for the root.
  std::string matched_;  ///< What the wildcards matched last.
  PatternSet include_;
  PatternSet exclude_;
  std::vector<Parent> parents_;
  std::vector<Included> included_;
};

Digest ContentHash::digest_of(const ContentSelector& selector) {
  ContentSelector wanted = selector;
  wanted.path = go_path::join("/", selector.path);
  if (!wanted.has_wildcard_or_filters()) return plain(wanted.path, wanted.follow_links);

  Selection selection(tree_, wanted);
  selection.run();
  std::vector<Included>& included = selection.included();
  auto digest_of_one = [this](const Included& one) {
    if (one.follow_links && one.entry->is_link()) return plain(one.path, true);
    return header_of(*one.entry);
  };
  if (included.empty()) return Digest::of(std::string_view());
  if (included.size() == 1 && go_path::base(wanted.path) == go_path::base(included[0].path)) {
    return digest_of_one(included[0]);
  }
  DigestWriter writer;
  for (const Included& one : included) {
    std::string path = one.path;
    if (path.starts_with(selection.prefix())) path.erase(0, selection.prefix().size());
    std::string const key = as_key(std::move(path));
    writer.write(key.empty() ? std::string(1, '\0') : key);
    writer.write(digest_of_one(one).to_string());
  }
  return writer.finish();
}

void ContentHash::list_one(const FileTree::Entry& entry, solve::FileList& list) const {
  solve::ListedFile file;
  file.path = tree_.path_of(entry).substr(1);
  file.mode = static_cast<std::uint16_t>(entry.mode);
  if (!entry.is_directory()) {
    file.size = static_cast<std::uint32_t>(entry.size);
    file.time = static_cast<std::uint32_t>(nanoseconds(entry.modified));
    if (entry.header_digest) file.digest = short_digest(*entry.header_digest);
  }
  list.files.push_back(std::move(file));
}

/// Broad rather than deep, so that what is summed up is what lies furthest below.
void ContentHash::list_below(FileTree::Entry& top, solve::FileList& list) {
  std::deque<std::pair<FileTree::Entry*, std::size_t>> directories;
  auto const add = [&](FileTree::Entry& entry) {
    if (entry.is_directory()) directories.emplace_back(&entry, list.files.size());
    list_one(entry, list);
  };
  add(top);
  for (; !directories.empty(); directories.pop_front()) {
    auto const [directory, place] = directories.front();
    const std::vector<FileTree::Entry*>& entries = tree_.list(*directory);
    if (list.files.size() + entries.size() > solve::kListedFilesMax) {
      list.files[place].whole = true;
      list.files[place].digest = short_digest(subtree_of(*directory));
      continue;
    }
    for (FileTree::Entry* const entry : entries) add(*entry);
  }
}

solve::FileList ContentHash::list(const std::vector<ContentSelector>& selectors) {
  solve::FileList list;
  for (const ContentSelector& selector : selectors) {
    ContentSelector wanted = selector;
    wanted.path = go_path::join("/", selector.path);
    if (!wanted.has_wildcard_or_filters()) {
      FileTree::Entry* const entry = tree_.find(key_path(wanted.path), wanted.follow_links);
      if (entry != nullptr) list_below(*entry, list);
      continue;
    }
    Selection selection(tree_, wanted);
    selection.run();
    for (const Included& one : selection.included()) {
      if (list.files.size() >= solve::kListedFilesMax) list.complete = false;
      if (list.complete) list_one(*one.entry, list);
    }
  }
  auto const by_path = [](const solve::ListedFile& a, const solve::ListedFile& b) {
    return a.path < b.path;
  };
  std::sort(list.files.begin(), list.files.end(), by_path);
  auto const same_path = [](const solve::ListedFile& a, const solve::ListedFile& b) {
    return a.path == b.path;
  };
  list.files.erase(std::unique(list.files.begin(), list.files.end(), same_path), list.files.end());
  return list;
}

Digest ContentHash::combine(const std::vector<Digest>& digests) {
  std::string joined;
  for (std::size_t i = 0; i < digests.size(); ++i) {
    if (i > 0) joined += '\0';
    joined += digests[i].to_string();
  }
  return Digest::of(joined);
}

}  // namespace cobuild::ops
