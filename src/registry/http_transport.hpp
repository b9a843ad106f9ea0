#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <memory>

#include "registry/options.hpp"
#include "registry/transport.hpp"

namespace cobuild::registry {

/// The Transport of real networks: HTTP/1.1 over TCP and TLS, connections kept alive, proxies from
/// the environment. `options.environment.variable` must be set. `options` and `pool` must outlive
/// the transport, and the transport its responses.
[[nodiscard]] std::unique_ptr<Transport> make_http_transport(asio::any_io_executor executor,
                                                             asio::thread_pool& pool,
                                                             const Options& options);

}  // namespace cobuild::registry
