#include "ops/lend/ssh_agents.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "core/async/task_group.hpp"
#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/fs.hpp"
#include "ops/lend/agent_protocol.hpp"
#include "ops/lend/ssh_key.hpp"

namespace cobuild::ops {
namespace {

using Socket = asio::local::stream_protocol::socket;
using Keys = std::vector<SshKey>;

constexpr std::size_t kCopyBytes = 16384;

/// The next message; nullopt when the other side has ended the connection, or says something that is
/// no message of an agent's.
Task<std::optional<std::string>> read_message(Socket& socket) {
  std::string text(kAgentLengthBytes, '\0');
  try {
    co_await asio::async_read(socket, asio::buffer(text), asio::use_awaitable);
    std::size_t const size = WireReader(text).take_number().value_or(0);
    if (size == 0 || size > kAgentMessage_max) co_return std::nullopt;
    text.assign(size, '\0');
    co_await asio::async_read(socket, asio::buffer(text), asio::use_awaitable);
  } catch (const boost::system::system_error& error) {
    if (error.code() == asio::error::eof || error.code() == asio::error::connection_reset) {
      co_return std::nullopt;
    }
    throw;
  }
  co_return text;
}

Task<void> write_message(Socket& socket, const std::string& message) {
  std::string text;
  append_wire_string(text, message);
  co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
}

Task<Socket> adopt(UniqueFd client) {
  Socket socket(co_await asio::this_coro::executor);
  socket.assign(asio::local::stream_protocol(), client.release());
  co_return socket;
}

Task<Socket> connect(const std::filesystem::path& path) {
  Socket socket(co_await asio::this_coro::executor);
  asio::local::stream_protocol::endpoint const endpoint(path.string());
  co_await socket.async_connect(endpoint, asio::use_awaitable);
  co_return socket;
}

/// Between a step and the user's agent: a step may neither add or remove keys nor lock it.
Task<void> forward_messages(UniqueFd client, std::filesystem::path path) {
  Socket step = co_await adopt(std::move(client));
  Socket agent = co_await connect(path);
  while (auto const request = co_await read_message(step)) {
    if (!is_permitted_request(*request)) {
      co_await write_message(step, refusal_of(*request));
      continue;
    }
    co_await write_message(agent, *request);
    auto const answer = co_await read_message(agent);
    if (!answer) co_return;
    co_await write_message(step, is_permitted_answer(*answer) ? *answer : refusal_of(*request));
  }
}

std::string answer_with(const Keys& keys, const std::string& request) {
  if (!is_permitted_request(request)) return refusal_of(request);
  auto const sign = parse_sign_request(request);
  if (!sign) {
    std::vector<std::string> list;
    for (const SshKey& key : keys) list.push_back(key.public_key());
    return keys_answer(list);
  }
  for (const SshKey& key : keys) {
    if (key.public_key() != sign->key) continue;
    if (auto const signature = key.sign(*sign)) return signature_answer(*signature);
  }
  return refusal_of(request);
}

/// An agent of our own.
Task<void> serve_keys(UniqueFd client, std::shared_ptr<const Keys> keys) {
  Socket step = co_await adopt(std::move(client));
  while (auto const request = co_await read_message(step)) {
    co_await write_message(step, answer_with(*keys, *request));
  }
}

/// Until `from` ends, which is passed on.
Task<void> copy_bytes(Socket& from, Socket& to) {
  std::array<char, kCopyBytes> buffer{};
  for (;;) {
    auto const [error, count] =
        co_await from.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
    if (error == asio::error::eof) {
      to.shutdown(Socket::shutdown_send);
      co_return;
    }
    if (error) throw boost::system::system_error(error);
    co_await asio::async_write(to, asio::buffer(buffer.data(), count), asio::use_awaitable);
  }
}

Task<void> forward_bytes(UniqueFd client, std::filesystem::path path) {
  Socket step = co_await adopt(std::move(client));
  Socket other = co_await connect(path);
  TaskGroup both(co_await asio::this_coro::executor);
  both.spawn(copy_bytes(step, other));
  both.spawn(copy_bytes(other, step));
  co_await both.join();
}

std::string describe(const SshSource& source, const std::filesystem::path& path) {
  return "ssh agent " + source.id + " (--ssh " + source.id + "=" + path.string() + ")";
}

bool is_socket(const SshSource& source, const std::filesystem::path& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) throw Error::from_errno(errno, describe(source, path));
  return S_ISSOCK(status.st_mode);
}

SshKey read_key(const SshSource& source, const std::filesystem::path& path) {
  std::string const what = describe(source, path);
  UniqueFd const file = open_file(path, O_RDONLY);
  return SshKey::parse(read_all(file.get(), kSshKeyBytes_max, what), what);
}

ConnectionHandler make_handler(const SshSource& source) {
  if (is_socket(source, source.paths.at(0))) {
    if (source.paths.size() > 1) {
      throw Error(ErrorKind::kInvalidInput, describe(source, source.paths[0]) +
                                                ": only a single socket is allowed, and no keys beside it");
    }
    auto const path = source.paths[0];
    bool const raw = source.raw;
    return [path, raw](UniqueFd client) {
      return raw ? forward_bytes(std::move(client), path) : forward_messages(std::move(client), path);
    };
  }
  if (source.raw) {
    throw Error(ErrorKind::kInvalidInput,
                describe(source, source.paths[0]) + ": raw mode only supported with socket paths");
  }
  auto keys = std::make_shared<Keys>();
  for (const auto& path : source.paths) {
    if (is_socket(source, path)) {
      throw Error(ErrorKind::kInvalidInput,
                  describe(source, path) + ": invalid combination of keys and sockets");
    }
    keys->push_back(read_key(source, path));
  }
  return [keys = std::shared_ptr<const Keys>(std::move(keys))](UniqueFd client) {
    return serve_keys(std::move(client), keys);
  };
}

}  // namespace

SshAgents::SshAgents(const std::vector<SshSource>& sources) {
  for (const SshSource& source : sources) {
    if (handlers_.contains(source.id)) {
      throw Error(ErrorKind::kInvalidInput, "duplicate agent ID \"" + source.id + "\" (--ssh)");
    }
    handlers_.emplace(source.id, make_handler(source));
  }
}

ConnectionHandler SshAgents::find(const std::string& id) const {
  auto const found = handlers_.find(id.empty() ? kDefaultAgent : id);
  return found == handlers_.end() ? ConnectionHandler() : found->second;
}

ConnectionHandler SshAgents::get(const std::string& id) const {
  if (ConnectionHandler handler = find(id)) return handler;
  std::string const name = id.empty() ? kDefaultAgent : id;
  throw Error(ErrorKind::kNotFound, "no SSH key \"" + name + "\" forwarded from the client: lend an agent "
                                    "or a key with --ssh " + name + " or --ssh " + name + "=PATH");
}

}  // namespace cobuild::ops
