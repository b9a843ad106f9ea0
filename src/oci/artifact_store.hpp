#pragma once

/// Objects in a registry: the layers of one artifact.

#include <boost/asio/any_io_executor.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/semaphore.hpp"
#include "oci/content.hpp"
#include "oci/prunable_store.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::oci {

/// One manifest at one tag, whose layers are the objects, the newest last, each with its name as
/// org.opencontainers.image.title and its time as org.opencontainers.image.created. So the registry's
/// own garbage collection knows what is in use, and any client can copy it.
///
/// The manifest is read once, and again before each change of it, since others change it, too. Of two
/// who do so at the same moment one loses: its objects are not there until it settles.
class ArtifactStore final : public PrunableStore {
 public:
  /// Waits longer than anybody needs between reading the manifest and writing it, and not each time
  /// equally long.
  using Pause = std::function<Task<void>()>;

  /// Connects to nothing yet. `source` and `target`, which may be one registry client, must outlive
  /// this. `place` has a tag.
  ArtifactStore(asio::any_io_executor executor, ContentSource& source, ContentTarget& target,
                Reference place, Pause pause);

  /// All of them \throw Error kInvalidInput, too, when something else has that name: an image.
  Task<std::optional<ObjectInfo>> find(std::string name) override;
  Task<std::optional<ObjectInfo>> find_newest(std::string prefix) override;
  /// The object is fetched whole, whatever is asked of it.
  Task<void> read(std::string name, std::uint64_t offset, std::uint64_t length,
                  BlobSink& sink) override;
  /// `open` is called once more, to know the digest.
  Task<void> write(std::string name, std::uint64_t size, OpenBlob open) override;
  Task<std::vector<WrittenObject>> list(std::string prefix) override;
  /// From the manifest: the blobs are the registry's to collect.
  Task<void> remove(std::vector<std::string> names) override;
  /// \throws Error kUnavailable, too, when others do not stop changing the manifest.
  Task<void> settle() override;

 private:
  [[nodiscard]] std::optional<Descriptor> look_up(const std::string& name) const;
  Task<void> load();
  Task<void> reload();
  Task<void> add();
  /// Whether all that was written is there; else it is added again.
  Task<bool> restore_written();
  Task<void> push_manifest();
  Task<void> push_config();

  ContentSource& source_;
  ContentTarget& target_;
  Reference place_;
  Pause pause_;
  Semaphore turn_;  ///< One at a time reads or changes the manifest.
  std::optional<std::vector<Descriptor>> objects_;  ///< Oldest first. Empty: not read yet.
  std::vector<Descriptor> pending_;  ///< Sent, but not in the manifest.
  std::vector<Descriptor> written_;  ///< Put there by this, oldest first.
  bool has_config_ = false;
};

}  // namespace cobuild::oci
