#pragma once

/// The values of RUN --mount and --device (F1.6.8 to F1.6.22).

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/llb/ops.pb.h"

namespace cobuild::dockerfile {

/// One --mount with everything that it says, variables expanded.
struct RunMount {
  pb::MountType type = pb::BIND;
  std::string from;    ///< A stage or an image; empty: the build context, or nothing for a cache.
  std::string source;  ///< A path in it.
  std::string target;  ///< As written: may be relative to the working directory, or empty.
  bool read_only = true;
  std::int64_t size_bytes = 0;  ///< Of a tmpfs; 0: the kernel's default.
  std::string id;               ///< Of a cache, secret or ssh agent; empty: the type's default.
  std::optional<pb::CacheSharingOpt> sharing;
  bool required = false;           ///< Of a secret or ssh agent.
  std::optional<std::string> env;  ///< The variable that a secret goes to.
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
};

/// Replaces the variables of one word.
using WordExpander = std::function<std::string(const std::string&)>;

/// What `--mount=TEXT` takes its files from, before variables are known: its `from`, "" when it has
/// none. \throws Error kInvalidInput with BuildKit's message when `text` is no CSV, or its `from` is a
/// variable.
[[nodiscard]] std::string parse_mount_from(const std::string& text);

/// Reads the whole of `--mount=TEXT`. Keys count in their order: `type` must come before those that
/// belong to one type only. \throws Error kInvalidInput with BuildKit's message, and what `expand`
/// throws.
[[nodiscard]] RunMount parse_run_mount(const std::string& text, const WordExpander& expand);

/// One --device.
struct RunDevice {
  std::string name;
  bool required = false;
};

/// \throws Error kInvalidInput with BuildKit's message when `text` is no value of --device.
[[nodiscard]] RunDevice parse_run_device(const std::string& text);

}  // namespace cobuild::dockerfile
