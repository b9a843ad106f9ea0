#pragma once

/// A place for objects in memory, which counts what it is asked.

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "oci/object_store.hpp"

namespace cobuild::test {

class MemoryObjects final : public oci::ObjectStore {
 public:
  Task<std::optional<oci::ObjectInfo>> find(std::string name) override {
    asked.push_back("find " + name);
    auto const found = objects.find(name);
    if (found == objects.end()) co_return std::nullopt;
    co_return oci::ObjectInfo{name, found->second.size(), old};
  }

  /// The last in the order of names is the newest.
  Task<std::optional<oci::ObjectInfo>> find_newest(std::string prefix) override {
    std::optional<oci::ObjectInfo> newest;
    for (const auto& [name, bytes] : objects) {
      if (name.starts_with(prefix)) newest = oci::ObjectInfo{name, bytes.size()};
    }
    co_return newest;
  }

  Task<void> read(std::string name, std::uint64_t offset, std::uint64_t length,
                  oci::BlobSink& sink) override {
    asked.push_back("read " + name);
    auto const found = objects.find(name);
    if (found == objects.end()) throw Error(ErrorKind::kNotFound, name + ": no such object");
    auto bytes = std::as_bytes(std::span(found->second));
    bytes = bytes.subspan(std::min<std::size_t>(offset, bytes.size()));
    bytes = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(length, bytes.size())));
    bytes_read += bytes.size();
    if (!bytes.empty()) co_await sink.write(bytes);
  }

  Task<void> write(std::string name, std::uint64_t size, oci::OpenBlob open) override {
    asked.push_back("write " + name);
    auto const reader = co_await open();
    std::string bytes(static_cast<std::size_t>(size), '\0');
    auto room = std::as_writable_bytes(std::span(bytes));
    while (!room.empty()) {
      std::size_t const count = co_await reader->read(room);
      if (count == 0) throw Error(ErrorKind::kCorrupt, name + ": content is too short");
      room = room.subspan(count);
    }
    objects[name] = std::move(bytes);
  }

  Task<void> touch(oci::ObjectInfo object) override {
    asked.push_back("touch " + object.name);
    co_return;
  }

  std::map<std::string, std::string> objects;
  std::vector<std::string> asked;
  std::size_t bytes_read = 0;
  bool old = false;  ///< What find() says of all.
};

}  // namespace cobuild::test
