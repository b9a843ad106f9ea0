#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace cobuild {

/// Everything in `fd` from its position to its end. `what` names it in errors. Blocking.
/// \throws Error kInvalidInput when there is more than `bytes_max`.
[[nodiscard]] std::string read_all(int fd, std::size_t bytes_max, const std::string& what);

/// The file's content; nullopt when there is no such file. A named pipe is refused. Blocking.
/// \throws Error as read_all, and when it cannot be read.
[[nodiscard]] std::optional<std::string> read_file_if_exists(const std::filesystem::path& path,
                                                             std::size_t bytes_max);

/// Whether the disk of `path` has no room for another megabyte, or for another file. False when it
/// cannot be told.
[[nodiscard]] bool is_disk_full(const std::filesystem::path& path) noexcept;

/// The file that `path` stands for: symlinks are followed, to a file that may yet have to be made.
/// What cannot be followed is left as it is. Blocking.
[[nodiscard]] std::filesystem::path follow_links(std::filesystem::path path);

/// 16 hex digits that nobody else has chosen: of names that must not meet those of other processes. A
/// process ID would not do, which in a container is always the same. \throws Error kInternal.
[[nodiscard]] std::string random_name();

/// Writes `text` to `path`, whole or not at all: a temporary name in the same directory, renamed. A
/// symlink stays, and so does the mode of a file that is there; a new one's is 0666 less the umask.
/// Blocking. \throws Error naming the path.
void replace_file(const std::filesystem::path& path, const std::string& text);

/// Makes the file `path` of `text`, with exactly these permissions. Blocking.
/// \throws Error when it exists, or cannot be written; then it may be there in part.
void write_new_file(const std::filesystem::path& path, std::string_view text, unsigned mode);

}  // namespace cobuild
