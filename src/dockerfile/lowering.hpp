#pragma once

/// One conversion of a Dockerfile, step by step: lower() and the sub-requests stop at different ones.

#include <string>
#include <vector>

#include "dockerfile/conversion.hpp"

namespace cobuild::dockerfile {

class Lowering {
 public:
  /// Makes the stages. What it refers to must outlive it; `warnings` gets what the linter finds, as it
  /// is found. \throws Error what is wrong with the file, or with its stages.
  Lowering(const Parsed& parsed, const ConvertOptions& options, std::vector<Warning>& warnings);

  /// The images that are needed and that `images` lacks. \throws Error
  std::vector<ImageRequest> resolve(const ResolvedImages& images);
  /// Likewise, when none may be lacking. \throws Error kInternal when one is.
  void resolve_all(const ResolvedImages& images);

  /// Applies the instructions of the stages that are needed. After resolve(), once.
  /// \throws Error with the place of the instruction; "lint violation found for rules: …".
  void apply();

  /// What apply() came to.
  Lowered take();

  [[nodiscard]] const Conversion& conversion() const noexcept { return conversion_; }
  [[nodiscard]] const StageState& target() const noexcept { return *target_; }

 private:
  void finish_context(const std::vector<std::string>& paths);
  void set_platform();
  [[nodiscard]] oci::ImageConfig full_config() const;

  Conversion conversion_;
  std::vector<Warning>& warnings_;
  StageState* target_ = nullptr;
  std::set<std::string> paths_;  ///< Of the context.
};

}  // namespace cobuild::dockerfile
