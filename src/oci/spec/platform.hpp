#pragma once

/// Platforms as image indexes and --platform name them, with containerd's rules for what runs
/// where.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oci/spec/descriptor_fwd.hpp"

namespace cobuild::oci {

/// What an image is made for. A value; empty fields are unknown. Compares field by field:
/// normalize() both sides first where spelling must not count.
struct Platform {
  std::string os;            ///< "linux".
  std::string architecture;  ///< "amd64", in Go's names.
  std::string variant;       ///< "v7" for arm; empty where there is only one.
  std::string os_version;
  std::vector<std::string> os_features;

  friend bool operator==(const Platform&, const Platform&) = default;
};

/// Reads "os", "arch", "os/arch" or "os/arch/variant" ("linux", "arm64", "linux/arm/v7",
/// "windows(10.0.17763)/amd64"). A lone os takes this host's architecture, a lone architecture
/// takes linux. The result is normalised but keeps the variant that was written ("linux/arm64/v8").
/// \throws Error kInvalidInput, in containerd's words, quoting `specifier`.
[[nodiscard]] Platform parse_platform(std::string_view specifier);

/// "linux/arm/v7"; "unknown" without an os. os_version and os_features are left out.
[[nodiscard]] std::string format_platform(const Platform& platform);
/// As format_platform, with "(version+feature)" after the os where they are set.
[[nodiscard]] std::string format_platform_all(const Platform& platform);

/// The one spelling: "x86_64" becomes amd64, arm without variant becomes arm/v7, arm64/v8 loses its
/// variant, amd64/v1 too; an empty os becomes linux. Idempotent.
[[nodiscard]] Platform normalize_platform(Platform platform);

/// This host: linux and its architecture, with a variant only where it is 32-bit arm.
[[nodiscard]] Platform host_platform();

/// What can run where `wanted` can, best first: wanted itself, then older variants, then 386 on
/// amd64 and arm on arm64.
[[nodiscard]] std::vector<Platform> compatible_platforms(const Platform& wanted);

/// Whether an image for `offered` runs where `wanted` was asked for (any entry of
/// compatible_platforms). amd64 accepts 386; arm/v7 accepts arm/v6; not the other way round.
[[nodiscard]] bool platform_runs(const Platform& offered, const Platform& wanted);
/// Whether both name the same platform, spelling aside.
[[nodiscard]] bool same_platform(const Platform& a, const Platform& b);

/// The entries of an index worth trying for `wanted`, best first, in containerd's order: those
/// whose platform runs, by compatible_platforms (index order among equals), then those without a
/// platform, whose image config decides. Empty: no match. The pointers are into `manifests`.
[[nodiscard]] std::vector<const Descriptor*> rank_for_platform(
    std::span<const Descriptor> manifests, const Platform& wanted);

/// The first of rank_for_platform; nullptr when there is none.
[[nodiscard]] const Descriptor* choose_platform(std::span<const Descriptor> manifests,
                                                const Platform& wanted);

}  // namespace cobuild::oci
