#pragma once

/// The devices that RUN --device may ask for: what is registered on this machine, and what of it
/// the user allows (F1.6.22, F7.5.4).

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/exec/cdi_spec.hpp"

namespace cobuild::ops {

/// What --allow device says. A value.
struct DeviceGrants {
  bool all = false;
  /// Names as --device has them; with what they stand for when they are aliases, else nothing.
  std::map<std::string, std::string> names;

  /// Those among `entitlements` that are about devices: "device", "device=NAME",
  /// "device=NAME,alias=A".
  /// \throws Error kInvalidInput with BuildKit's message.
  [[nodiscard]] static DeviceGrants parse(const std::vector<std::string>& entitlements);
};

/// One --device.
struct DeviceRequest {
  std::string name;  ///< "vendor.com/class=name", "vendor.com/class" (the first), "…=*", or an
                     ///< annotated class.
  bool is_optional = false;
};

class CdiDevices {
 public:
  /// `directories`: later ones win. Nothing is read before somebody asks.
  CdiDevices(std::vector<std::filesystem::path> directories, DeviceGrants grants)
      : directories_(std::move(directories)), grants_(std::move(grants)) {}

  /// Where they are on all machines.
  [[nodiscard]] static std::vector<std::filesystem::path> default_directories();

  /// Their names, each once. \throws Error kNotFound `required device "x" is not registered`, with
  /// what was wrong with the files there are; kDenied `device x is requested by the build but not
  /// allowed`.
  [[nodiscard]] std::vector<std::string> find(const std::vector<DeviceRequest>& requests);

  /// Gives the container what they need. \throws Error as find() does; kUnsupported for what we
  /// cannot do; kNotFound for a device node that is not there.
  void inject(const std::vector<DeviceRequest>& requests, ContainerSpec& spec);

 private:
  struct Registered {
    std::shared_ptr<const CdiSpec> spec;
    const CdiDevice* device = nullptr;  ///< One of the spec's.
    std::size_t priority = 0;
    std::filesystem::path file;
  };
  void load();
  void load_file(const std::filesystem::path& file, std::size_t priority);
  void add(const std::shared_ptr<const CdiSpec>& spec, const std::filesystem::path& file,
           std::size_t priority);
  [[nodiscard]] std::vector<std::string> matches(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> require(const DeviceRequest& request) const;
  [[nodiscard]] bool is_free(const std::string& device) const;

  std::vector<std::filesystem::path> directories_;
  DeviceGrants grants_;
  bool loaded_ = false;
  std::map<std::string, Registered> devices_;     ///< Sorted by name, as BuildKit lists them.
  std::map<std::string, std::size_t> conflicts_;  ///< Names that two files of one directory have.
  std::vector<std::string> problems_;             ///< Of files that cannot be used.
};

}  // namespace cobuild::ops
