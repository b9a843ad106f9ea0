#include "cli/object_stores.hpp"

#include <chrono>
#include <utility>

#include "cli/object_places.hpp"
#include "core/base/error.hpp"
#include "oci/artifact_store.hpp"
#include "oci/folder_store.hpp"
#include "oci/spec/reference.hpp"
#include "registry/environment.hpp"

namespace cobuild::cli {
namespace {

/// Between reading a manifest and having written it nobody needs as long as this.
constexpr std::chrono::milliseconds kSettlePause{1000};
constexpr double kSettleJitterMs = 1000;

std::string attribute(const CacheOptions& place, const std::string& key) {
  auto const found = place.attributes.find(key);
  return found == place.attributes.end() ? "" : found->second;
}

std::string directory_of(const CacheOptions& place) {
  std::string const destination = attribute(place, "dest");
  return destination.empty() ? attribute(place, "src") : destination;
}

oci::Reference reference_of(const CacheOptions& place) {
  std::string const name = attribute(place, "ref");
  oci::Reference reference = oci::Reference::parse(name);
  if (reference.digest) {
    throw Error(ErrorKind::kInvalidInput, name + " cannot be changed: use a tag instead of a digest");
  }
  return reference;
}

/// A place that this machine has not: each use of it fails.
class AbsentStore final : public oci::ObjectStore {
 public:
  explicit AbsentStore(Error why) : why_(std::move(why)) {}

  Task<std::optional<oci::ObjectInfo>> find(std::string) override { throw why_; }
  Task<std::optional<oci::ObjectInfo>> find_newest(std::string) override { throw why_; }
  Task<void> read(std::string, std::uint64_t, std::uint64_t, oci::BlobSink&) override { throw why_; }
  Task<void> write(std::string, std::uint64_t, oci::OpenBlob) override { throw why_; }

 private:
  Error why_;
};

std::shared_ptr<oci::ObjectStore> open_service(const CacheOptions& place, Workspace& workspace) {
  try {
    return open_object_store(parse_object_place(place), workspace.runtime.loop().get_executor(),
                             workspace.runtime.pool(), workspace.registry_options());
  } catch (const Error& error) {
    return std::make_shared<AbsentStore>(error);
  }
}

}  // namespace

void check_object_store(const CacheOptions& place, const std::string& flag) {
  if (place.attributes.contains("pack")) {
    throw Error(ErrorKind::kInvalidInput,
                "--" + flag + " has no pack: the files of cache mounts always go in packs");
  }
  if (place.type == "local") {
    if (!directory_of(place).empty()) return;
    throw Error(ErrorKind::kInvalidInput, "--" + flag + " type=local needs a directory: " +
                                              (flag == "cache-mounts-to" ? "dest=DIR" : "src=DIR"));
  }
  if (place.type == "registry") {
    if (attribute(place, "ref").empty()) {
      throw Error(ErrorKind::kInvalidInput, "--" + flag + " type=registry needs a name: ref=NAME");
    }
    (void)reference_of(place);
    return;
  }
  if (!is_object_type(place.type)) {
    throw Error(ErrorKind::kInvalidInput, "--" + flag + " has the unknown type " + place.type +
                                              ": use local, registry, gha, s3 or azblob");
  }
  // GitHub's runners have its service, and the same command may run elsewhere.
  if (place.type != "gha") (void)parse_object_place(place);
}

std::shared_ptr<oci::ObjectStore> open_object_store(const CacheOptions& place, Workspace& workspace) {
  if (is_object_type(place.type)) return open_service(place, workspace);
  if (place.type == "registry") {
    registry::Options const options = registry::with_real_environment(workspace.registry_options());
    auto pause = [environment = options.environment] {
      auto const jitter = static_cast<int>(environment.random() * kSettleJitterMs);
      return environment.sleep(kSettlePause + std::chrono::milliseconds(jitter));
    };
    return std::make_shared<oci::ArtifactStore>(workspace.runtime.loop().get_executor(),
                                                workspace.registry, workspace.registry,
                                                reference_of(place), std::move(pause));
  }
  return std::make_shared<oci::FolderStore>(directory_of(place), workspace.runtime.pool());
}

std::string object_store_name(const CacheOptions& place) {
  if (place.type == "local") return "local:" + directory_of(place);
  if (place.type == "registry") return "registry:" + attribute(place, "ref");
  try {
    return parse_object_place(place).name;
  } catch (const Error&) {
    return place.type;
  }
}

}  // namespace cobuild::cli
