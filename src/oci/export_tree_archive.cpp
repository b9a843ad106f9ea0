#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "oci/export_platform.hpp"
#include "oci/export_tree.hpp"
#include "oci/output_file.hpp"
#include "oci/tar_header.hpp"
#include "oci/tar_stream.hpp"
#include "oci/tree_walk.hpp"

namespace cobuild::oci {

namespace {

std::string join(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return std::string(directory) + '/' + std::string(name);
}

/// Go rounds where the format holds seconds only.
std::int64_t to_seconds(const struct stat& status) {
  return status.st_mtim.tv_sec + (status.st_mtim.tv_nsec >= 500'000'000 ? 1 : 0);
}

/// Writes one tree, below a directory of its own if it has a prefix.
void write_tree(const std::filesystem::path& root, const std::string& prefix,
                const TreeExportOptions& options, TarStream& out) {
  std::optional<std::int64_t> epoch;
  if (options.epoch) {
    epoch = std::chrono::floor<std::chrono::seconds>(*options.epoch).time_since_epoch().count();
  }
  walk_tree(root, [&](TarHeader header, const TreeFile& file) {
    header.name = join(prefix, header.name);
    header.mtime = epoch.value_or(to_seconds(file.status));
    if (header.type == TarType::kSymlink) header.link_name = link_below(prefix, header.link_name);
    if (header.type == TarType::kHardLink) header.link_name = join(prefix, header.link_name);
    out.write(format_tar_header(header));
    if (header.type == TarType::kRegular && header.size > 0) {
      out.write_file(file.open().get(), static_cast<std::uint64_t>(header.size), file.path);
    }
  });
}

void write_trees(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                 TarStream& out) {
  std::vector<ExportTree> sorted = trees;
  if (options.split_platforms) {
    std::sort(sorted.begin(), sorted.end(), [](const ExportTree& a, const ExportTree& b) {
      return platform_directory(a.platform) < platform_directory(b.platform);
    });
  }
  for (const ExportTree& tree : sorted) {
    std::string const prefix = options.split_platforms ? platform_directory(tree.platform) : "";
    if (!prefix.empty()) {
      Timestamp const time = options.epoch.value_or(Timestamp());
      out.write(format_tar_header(
          {.name = prefix + "/",
           .type = TarType::kDirectory,
           .mode = 0755,
           .mtime = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count()}));
    }
    if (!tree.root.empty()) write_tree(tree.root, prefix, options, out);
  }
  out.write(tar_end());
  out.flush();
}

void write_archive(const std::vector<ExportTree>& trees, const TreeExportOptions& options, int fd,
                   const std::string& what, const ExportProgress& progress) {
  std::uint64_t written = 0;
  TarStream out([&](std::span<const std::byte> data) {
    write_fully(fd, data, what);
    written += data.size();
    if (progress) progress(written);
  });
  write_trees(trees, options, out);
}

}  // namespace

void write_tree_archive(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                        int out_fd, const ExportProgress& progress) {
  write_archive(trees, options, out_fd, "the archive", progress);
}

void write_tree_archive(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                        const std::filesystem::path& path, const ExportProgress& progress) {
  OutputFile file(path, 0666);
  write_archive(trees, options, file.fd(), path.string(), progress);
  file.commit();
}

}  // namespace cobuild::oci
