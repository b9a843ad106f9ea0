#include "ops/exec/lent_files.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "core/async/context.hpp"
#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using Protocol = asio::local::stream_protocol;

constexpr unsigned kPermissions = 0777;
constexpr unsigned kExecutable = 0111;
constexpr unsigned kPrivateMode = 0600;
constexpr int kBacklog = 64;
constexpr std::size_t kConnectionsMax = 128;  ///< At once, of one socket; more are refused.

bool has_secrets(const ContainerSpec& container) {
  return !container.secret_env.empty() ||
         std::any_of(container.mounts.begin(), container.mounts.end(), [](const ContainerMount& mount) {
           return mount.kind == ContainerMount::Kind::kSecret;
         });
}

void require_memory(const fs::path& directory) {
  struct statfs status = {};
  if (::statfs(directory.c_str(), &status) == 0 &&
      (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC)) {
    return;
  }
  throw Error(ErrorKind::kUnsupported,
              "a step with secrets cannot be run here: they are kept in memory only, and no tmpfs can be "
              "mounted on " + directory.string());
}

/// Last of all: who owns a file may open it.
void give_away(int directory, const std::string& name, const ContainerMount& mount) {
  std::string const path = proc_path(directory, name);
  if (::chown(path.c_str(), mount.owner.uid, mount.owner.gid) != 0) {
    int const error = errno;
    std::string what = "give " + mount.destination + " to " + std::to_string(mount.owner.uid) + ":" +
                       std::to_string(mount.owner.gid);
    if (error == EINVAL) {
      what += " (Hint: try increasing the number of subordinate IDs in /etc/subuid and /etc/subgid)";
    }
    throw Error::from_errno(error, what);
  }
  if (::chmod(path.c_str(), mount.mode & kPermissions) != 0) {
    throw Error::from_errno(errno, "chmod " + mount.destination);
  }
}

/// By way of /proc: names of sockets are short, and ours may be deep in a store.
UniqueFd listen_at(int directory, const std::string& name) {
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::string const path = proc_path(directory, name);
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (!listener || ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), kBacklog) != 0) {
    throw Error::from_errno(errno, "make a socket for an ssh agent");
  }
  return listener;
}

/// One connection; its failures are nobody else's.
Task<void> serve_one(ConnectionHandler serve, UniqueFd connection, std::shared_ptr<std::size_t> open) {
  ++*open;
  std::exception_ptr failure;
  try {
    co_await serve(std::move(connection));
  } catch (...) {
    failure = std::current_exception();
  }
  --*open;
  if (failure && is_cancellation(failure)) std::rethrow_exception(failure);
}

Task<void> accept_all(Protocol::acceptor acceptor, ConnectionHandler serve, TaskGroup& group) {
  auto const open = std::make_shared<std::size_t>(0);
  for (;;) {
    auto [error, connection] = co_await acceptor.async_accept(asio::as_tuple(asio::use_awaitable));
    if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
    if (error == asio::error::connection_aborted) continue;
    if (error) co_return;  // Out of descriptors: the step's programs are refused from now on.
    if (*open >= kConnectionsMax) continue;
    group.spawn(serve_one(serve, UniqueFd(connection.release()), open));
  }
}

}  // namespace

std::vector<LentSocket> make_lent_files(ContainerSpec& container, const fs::path& directory) {
  if (has_secrets(container)) require_memory(directory);
  UniqueFd const at = open_file(directory, O_PATH | O_DIRECTORY);
  std::vector<LentSocket> sockets;
  for (std::size_t i = 0; i < container.mounts.size(); ++i) {
    ContainerMount& mount = container.mounts[i];
    std::string const name = "lent" + std::to_string(i);
    if (mount.kind == ContainerMount::Kind::kSecret) {
      write_new_file(directory / name, mount.content.reveal(), kPrivateMode);
      mount.content = Secret();
      mount.read_only = true;  // BuildKit's options.
      mount.options = {"nodev", "nosuid"};
      if ((mount.mode & kExecutable) == 0) mount.options.emplace_back("noexec");
    } else if (mount.kind == ContainerMount::Kind::kSocket) {
      sockets.push_back({listen_at(at.get(), name), std::exchange(mount.serve, nullptr)});
    } else {
      continue;
    }
    give_away(at.get(), name, mount);
    mount.kind = ContainerMount::Kind::kBind;
    mount.source = directory / name;
  }
  return sockets;
}

void serve_sockets(std::vector<LentSocket> sockets, asio::any_io_executor executor, TaskGroup& group) {
  for (LentSocket& socket : sockets) {
    Protocol::acceptor acceptor(executor, Protocol(), socket.listener.release());
    group.spawn(accept_all(std::move(acceptor), std::move(socket.serve), group));
  }
}

}  // namespace cobuild::ops
