#pragma once

/// Writes the entries of a layer's tar into a layer directory. Blocks.
///
/// The archive is hostile until shown otherwise. Nothing is opened by a path of several components:
/// every directory on the way is opened by itself, beneath the one before, without following links;
/// a link on the way is resolved by hand, with the layer directory as "/".

#include <sys/stat.h>

#include <ctime>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/sys/fs.hpp"
#include "oci/layer_apply.hpp"
#include "oci/tar_reader.hpp"

namespace cobuild::oci {

/// What a layer directory got, apart from its diff ID and size, which others compute.
struct WrittenLayer {
  std::uint64_t file_bytes = 0;
  std::uint64_t entries = 0;
  bool has_opaque_root = false;
  std::vector<std::string> implicit_dirs;
  std::vector<DeferredLink> deferred_links;
  std::vector<std::string> warnings;
};

class LayerWriter {
 public:
  /// kPlain: names and devices that hide what is below a layer are files like all others, the root
  /// has its metadata from the archive, and hard links are to files that came before.
  enum class Meaning { kLayer, kPlain };

  LayerWriter(const std::filesystem::path& layer_dir, ApplyLimits limits,
              Meaning meaning = Meaning::kLayer);

  /// Writes all of `tar`. Once only. \throws Error naming the entry.
  [[nodiscard]] WrittenLayer write(TarReader& tar);

 private:
  struct Directory {
    UniqueFd fd;       ///< O_PATH.
    std::string path;  ///< Without links on the way; "" for the root.
  };
  using DirectoryRef = std::shared_ptr<const Directory>;
  enum class Missing { kMake, kTell };

  /// Where an entry goes: a name in a directory.
  struct Place {
    DirectoryRef parent;
    std::string name;
    [[nodiscard]] std::string path() const;
    [[nodiscard]] int fd() const noexcept { return parent->fd.get(); }
  };

  void write_entry(TarReader& tar, const TarEntry& entry);
  void write_root(const TarEntry& entry);
  void write_directory(const Place& place, const TarEntry& entry);
  void write_file(const Place& place, const TarEntry& entry, TarReader& tar);
  void write_contents(int fd, const TarEntry& entry, TarReader& tar);
  void write_hard_link(const Place& place, const TarEntry& entry);
  void write_node(const Place& place, const TarEntry& entry);
  void write_marker(const Place& place);
  void hide(const Place& place);
  void set_metadata(const Place& place, const TarEntry& entry);
  void set_owner(const Place& place, const TarEntry& entry);
  void set_xattrs(const Place& place, const TarEntry& entry);
  void finish_directories();

  [[nodiscard]] Place place_of(const std::string& path, Missing missing);
  [[nodiscard]] DirectoryRef open_directory(const std::string& path, Missing missing);
  [[nodiscard]] DirectoryRef open_child(const Directory& parent, const std::string& name,
                                        Missing missing);
  [[nodiscard]] DirectoryRef make_implicit(const Directory& parent, const std::string& name);
  void remove(const Place& place);
  void make_opaque(const Place& place);
  void warn(std::string what);

  ApplyLimits limits_;
  Meaning meaning_;
  DirectoryRef root_;
  std::optional<timespec> root_time_;  ///< Set last: what is made in it changes it.
  std::map<std::string, DirectoryRef, std::less<>> directories_;  ///< Opened ones, bounded.
  int links_followed_ = 0;
  std::uint64_t sparse_bytes_ = 0;  ///< Of all sparse files, holes included.
  std::set<std::string> implicit_;
  std::vector<std::pair<std::string, timespec>> directory_times_;
  WrittenLayer result_;
};

/// The path of an entry: relative, without ".", ".." and doubled slashes; "" for the root.
/// \throws Error kCorrupt when it climbs out, or when a component is too long.
[[nodiscard]] std::string clean_entry_path(std::string_view name);

/// As overlay does it; for writers of layer directories. \throws Error, with what to do about it.
void make_whiteout_at(int parent_fd, const std::string& name);
void make_opaque_at(int parent_fd, const std::string& name);

}  // namespace cobuild::oci
