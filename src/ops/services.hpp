#pragma once

/// What ops need of the build they are part of.

#include <boost/asio/thread_pool.hpp>

#include "core/store/snapshotter.hpp"
#include "core/store/store.hpp"
#include "ops/exec/cdi_devices.hpp"
#include "ops/exec/container.hpp"
#include "ops/exec/emulation.hpp"
#include "ops/layer_files.hpp"
#include "ops/lend/secrets.hpp"
#include "ops/lend/ssh_agents.hpp"

namespace cobuild::ops {

class MountCourier;

/// All of it outlives every op.
struct Services {
  asio::thread_pool& pool;
  store::Store& store;
  store::Snapshotter& snapshotter;
  LayerFiles& files;
  ContainerRuntime& runtime;
  Emulation* emulation = nullptr;       ///< Null: what is foreign is just tried.
  const Secrets* secrets = nullptr;     ///< --secret; null: none.
  const SshAgents* ssh_agents = nullptr;  ///< --ssh; null: none.
  CdiDevices* devices = nullptr;          ///< For --device; null: none.
  MountCourier* mount_courier = nullptr;  ///< For cache mounts that travel; null: none do.
};

}  // namespace cobuild::ops
