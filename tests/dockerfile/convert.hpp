#pragma once

/// Short ways to parse and lower in tests.

#include <map>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "dockerfile/frontend.hpp"

namespace cobuild::dockerfile {

inline pb::Platform test_platform() {
  pb::Platform platform;
  platform.set_os("linux");
  platform.set_architecture("amd64");
  return platform;
}

inline ConvertOptions test_options() {
  ConvertOptions options;
  options.build_platform = test_platform();
  return options;
}

inline Lowered convert(const std::string& text, const ConvertOptions& options = test_options(),
                       const ResolvedImages& images = {}) {
  return lower(parse(text, "Dockerfile"), options, images);
}

/// What the conversion says is wrong; "" when nothing is.
inline std::string error_of(const std::string& text, const ConvertOptions& options = test_options(),
                            const ResolvedImages& images = {}) {
  try {
    (void)convert(text, options, images);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

/// The place that an error names: 0 when it names none.
inline int line_of(const Error& error) {
  for (const Error::Frame& frame : error.frames()) {
    if (frame.span) return frame.span->first_line;
  }
  return 0;
}

/// The ops in order, without the last.
inline std::vector<pb::Op> ops_of(const Lowered& lowered) {
  std::vector<pb::Op> ops;
  for (int i = 0; i + 1 < lowered.definition.def_size(); ++i) {
    pb::Op op;
    if (op.ParseFromString(lowered.definition.def(i))) ops.push_back(op);
  }
  return ops;
}

/// The last RUN's op.
inline pb::ExecOp last_exec(const Lowered& lowered) {
  pb::ExecOp exec;
  for (const pb::Op& op : ops_of(lowered)) {
    if (op.has_exec()) exec = op.exec();
  }
  return exec;
}

inline ImageKey image_key(const std::string& reference) { return {reference, "linux/amd64"}; }

inline ResolvedImage image(const std::string& config_members, const std::string& rest = "") {
  return {.digest = "sha256:" + std::string(64, 'a'),
          .config = R"({"architecture":"amd64","os":"linux","config":{)" + config_members +
                    R"(},"rootfs":{"type":"layers","diff_ids":["sha256:)" + std::string(64, 'b') +
                    R"("]},"history":[{"created":"2020-01-01T00:00:00Z","created_by":"base"}])" + rest + "}"};
}

}  // namespace cobuild::dockerfile
