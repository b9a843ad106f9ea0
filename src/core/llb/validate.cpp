#include <string>

#include "core/base/error.hpp"
#include "core/llb/definition.hpp"

namespace cobuild::llb {
namespace {

constexpr std::string_view kRootMount = "/";

void require(bool condition, const char* what) {
  if (!condition) throw Error(ErrorKind::kInvalidInput, what);
}

void require_input(std::int64_t input, std::int64_t bound, const char* what) {
  if (input >= -1 && input < bound) return;
  throw Error(ErrorKind::kInvalidInput, std::string(what) + " " + std::to_string(input));
}

void validate_exec(const pb::ExecOp& exec, int input_count) {
  require(exec.has_meta(), "invalid exec op with no meta");
  require(!exec.meta().args().empty(), "invalid exec op with no args");
  require(!exec.mounts().empty(), "invalid exec op with no mounts");
  bool has_root = false;
  for (const pb::Mount& mount : exec.mounts()) {
    has_root = has_root || mount.dest() == kRootMount;
    require_input(mount.input(), input_count, "invalid mount input index");
    require_input(mount.output(), exec.mounts_size(), "invalid mount output index");
  }
  require(has_root, "invalid exec op with no rootfs");
}

/// Indexes from `input_count` on name earlier actions (F2.4.1).
void validate_file(const pb::FileOp& file, int input_count) {
  require(!file.actions().empty(), "invalid file op with no actions");
  for (int i = 0; i < file.actions_size(); ++i) {
    const pb::FileAction& action = file.actions(i);
    require(action.action_case() != pb::FileAction::ACTION_NOT_SET,
            "invalid file op with an empty action");
    require_input(action.input(), input_count + i, "invalid file action input index");
    if (action.has_copy()) {
      require_input(action.secondaryinput(), input_count + i,
                    "invalid file action secondary input index");
    }
    require_input(action.output(), file.actions_size(), "invalid file action output index");
  }
}

void validate_passthrough(const pb::PassthroughOp& passthrough, int input_count) {
  require(!passthrough.id().empty(), "invalid passthrough op with no id");
  require(!passthrough.outputs().empty(), "invalid passthrough op with no outputs");
  for (std::int64_t const input : passthrough.outputs()) {
    if (input < 0 || input >= input_count) {
      throw Error(ErrorKind::kInvalidInput,
                  "invalid passthrough output input index " + std::to_string(input));
    }
  }
}

}  // namespace

void validate(const pb::Op& op) {
  int const inputs = op.inputs_size();
  switch (op.op_case()) {
    case pb::Op::kSource:
      require(inputs == 0, "invalid source op with inputs");
      break;
    case pb::Op::kExec: validate_exec(op.exec(), inputs); break;
    case pb::Op::kFile: validate_file(op.file(), inputs); break;
    case pb::Op::kBuild: require_input(op.build().builder(), inputs, "invalid builder index"); break;
    case pb::Op::kMerge:
      for (const pb::MergeInput& input : op.merge().inputs()) {
        require_input(input.input(), inputs, "invalid merge input index");
      }
      break;
    case pb::Op::kDiff:
      require(op.diff().has_lower() && op.diff().has_upper(),
              "invalid diff op with nil lower or upper input");
      require_input(op.diff().lower().input(), inputs, "invalid diff input index");
      require_input(op.diff().upper().input(), inputs, "invalid diff input index");
      break;
    case pb::Op::kPassthrough: validate_passthrough(op.passthrough(), inputs); break;
    case pb::Op::OP_NOT_SET:
      throw Error(ErrorKind::kInvalidInput, "invalid nil op");
  }
}

}  // namespace cobuild::llb
