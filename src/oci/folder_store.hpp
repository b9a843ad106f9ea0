#pragma once

/// Objects in a folder: one file for each, which can be carried elsewhere as it is.

#include <boost/asio/thread_pool.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "oci/prunable_store.hpp"

namespace cobuild::oci {

/// Files have the objects' names, with '%' for '/'. The newest is the one that was written last; of
/// those with one time, the one with the last name. Reads never wait for writes: a file appears by
/// being renamed.
class FolderStore final : public PrunableStore {
 public:
  /// Touches nothing yet. `directory` is made by the first write. `pool` must outlive this.
  FolderStore(std::filesystem::path directory, asio::thread_pool& pool);

  Task<std::optional<ObjectInfo>> find(std::string name) override;
  Task<std::optional<ObjectInfo>> find_newest(std::string prefix) override;
  Task<void> read(std::string name, std::uint64_t offset, std::uint64_t length,
                  BlobSink& sink) override;
  Task<void> write(std::string name, std::uint64_t size, OpenBlob open) override;
  Task<std::vector<WrittenObject>> list(std::string prefix) override;
  Task<void> remove(std::vector<std::string> names) override;

 private:
  [[nodiscard]] std::filesystem::path path_of(const std::string& name) const;

  std::filesystem::path directory_;
  asio::thread_pool& pool_;
};

}  // namespace cobuild::oci
