#pragma once

/// Runs `run_step` from tests, as root or as an ordinary user.

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/sys/fs.hpp"
#include "core/sys/process.hpp"

namespace cobuild::test {

enum class Who { kRoot, kUser };

/// What a run of `run_step` gave.
struct StepResult {
  ProcessExit exit;
  std::string out;
  std::string err;
  std::map<std::string, std::string> report;  ///< The "key=value" lines.
  [[nodiscard]] std::string at(const std::string& key) const;
};

/// A work directory of `who`, and the way to run things in it.
class StepRunner {
 public:
  /// Why this machine cannot run steps as `who`; empty when it can.
  [[nodiscard]] static std::string reason_to_skip(Who who, const std::string& runtime);

  StepRunner(Who who, std::string runtime);
  ~StepRunner();

  [[nodiscard]] std::filesystem::path work() const { return work_.path(); }

  /// `run_step --runtime R --work W flags… command…`, to its end.
  [[nodiscard]] StepResult run(std::vector<std::string> words) const;

  /// The same, started only. Its standard output goes to `out`.
  [[nodiscard]] Process start(std::vector<std::string> words, int out) const;

 private:
  [[nodiscard]] ProcessOptions command(std::vector<std::string> words) const;
  Who who_;
  std::string runtime_;
  TempDir work_;
};

/// The words before a command that run it, as root, as the user whom Who::kUser stands for. Not for
/// machines that have none.
[[nodiscard]] std::vector<std::string> words_to_become_user();

/// The pids of all processes on this machine with `word` among their arguments.
[[nodiscard]] std::vector<pid_t> processes_with(const std::string& word);

}  // namespace cobuild::test
