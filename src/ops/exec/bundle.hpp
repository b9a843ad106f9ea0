#pragma once

/// The files that a runtime is given for one container, and what it leaves in them.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/exec/container.hpp"
#include "ops/exec/lent_files.hpp"
#include "ops/exec/mount_stubs.hpp"
#include "ops/exec/oci_runtime.hpp"
#include "ops/exec/runtime_spec.hpp"

namespace cobuild::ops {

/// A directory with config.json and the container's own /etc files. The destructor removes it.
/// Everything here blocks.
class Bundle {
 public:
  /// Writes it below `parent`, and makes the root ready: the working directory, the list of mount
  /// points that are missing. `environment` gets its id and paths from here. \throws Error also as
  /// make_lent_files.
  Bundle(const std::filesystem::path& parent, std::string id, const ContainerSpec& container,
         SpecEnvironment environment, const DnsOptions& dns);
  Bundle(const Bundle&) = delete;
  Bundle& operator=(const Bundle&) = delete;
  ~Bundle();

  [[nodiscard]] const std::string& id() const noexcept { return id_; }
  [[nodiscard]] const std::filesystem::path& directory() const noexcept { return directory_; }
  /// Where the runtime writes its own failures, as lines of JSON.
  [[nodiscard]] std::filesystem::path log_path() const { return directory_ / "log.json"; }

  /// The last failure in the log; nullopt when the runtime itself had none.
  [[nodiscard]] std::optional<std::string> runtime_failure() const;

  /// Where the runtime writes the pid of the container's process, once there is one.
  [[nodiscard]] std::filesystem::path pid_path() const { return directory_ / "pid"; }
  /// Whether it did: what ends well without it ran nothing.
  [[nodiscard]] bool process_was_started() const;

  /// The sockets in the container, to be served while it runs. Once only.
  [[nodiscard]] std::vector<LentSocket> take_sockets() { return std::move(sockets_); }

  /// To be called once the container is gone.
  void remove_mount_stubs() const { stubs_.remove(); }

 private:
  std::string id_;
  std::filesystem::path directory_;
  MountStubs stubs_;
  std::vector<LentSocket> sockets_;
};

/// A fresh name that starts with `prefix`, unique on the machine, as cgroups are named by it.
[[nodiscard]] std::string make_container_id(std::string_view prefix);

/// The message of the last line with level "error" in a runtime's log; nullopt when there is none.
[[nodiscard]] std::optional<std::string> last_logged_error(std::string_view log);

/// Whether `message`, of crun or runc, says that the process could not be started for a reason of
/// the image's: no such program, not executable, of another architecture.
[[nodiscard]] bool is_program_failure(std::string_view message);

}  // namespace cobuild::ops
