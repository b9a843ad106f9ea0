// The values of RUN --mount and --device, of --secret, and CSV in general.

#include <cstddef>
#include <cstdint>
#include <string>

#include "cli/options.hpp"
#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "core/base/go_csv.hpp"
#include "dockerfile/run_flags.hpp"

namespace {

template <class Fn>
void try_it(Fn fn) {
  try {
    fn();
  } catch (const cobuild::Error& error) {
    COBUILD_ASSERT(error.kind() == cobuild::ErrorKind::kInvalidInput, "another kind of failure");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild;
  std::string const text(reinterpret_cast<const char*>(data), size);
  auto const same = [](const std::string& word) { return word; };
  try_it([&] { COBUILD_ASSERT(!go_csv_fields(text).empty(), "a record without fields"); });
  try_it([&] {
    dockerfile::RunMount const mount = dockerfile::parse_run_mount(text, same);
    COBUILD_ASSERT(!mount.sharing || mount.type == pb::CACHE, "sharing of what is no cache");
    COBUILD_ASSERT(mount.size_bytes >= 0, "a negative size");
  });
  try_it([&] { static_cast<void>(dockerfile::parse_mount_from(text)); });
  try_it([&] { static_cast<void>(dockerfile::parse_run_device(text)); });
  cli::Surroundings surroundings;
  surroundings.environment = [](std::string_view) { return std::nullopt; };
  try_it([&] {
    auto const secret = cli::parse_secret(text, surroundings);
    COBUILD_ASSERT(!secret.id.empty() && (!secret.env.empty() || !secret.file.empty()), "no secret");
  });
  try_it([&] {
    auto const ssh = cli::parse_ssh(text, surroundings);
    COBUILD_ASSERT(!ssh.paths.empty() && !ssh.id.empty(), "no agent");
  });
  return 0;
}
