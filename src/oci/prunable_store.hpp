#pragma once

/// Object stores whose garbage somebody must take out. Services that age their objects need no such thing.

#include <string>
#include <vector>

#include "core/base/go_time.hpp"
#include "oci/object_store.hpp"

namespace cobuild::oci {

struct WrittenObject {
  std::string name;
  Timestamp written;
};

class PrunableStore : public ObjectStore {
 public:
  /// The objects whose names begin with `prefix`, the newest first. \throws as find.
  virtual Task<std::vector<WrittenObject>> list(std::string prefix) = 0;

  /// Those that are not there are passed over. \throws as write.
  virtual Task<void> remove(std::vector<std::string> names) = 0;
};

}  // namespace cobuild::oci
