#include "ops/exec/bundle.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <utility>

#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/fs.hpp"
#include "ops/exec/network_files.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kIdBytes = 10;
constexpr std::size_t kLogMax = std::size_t{64} << 10;
constexpr std::size_t kPidTextMax = 32;
constexpr const char* kResolvConf = "/etc/resolv.conf";
constexpr const char* kSystemdResolvConf = "/run/systemd/resolve/resolv.conf";

std::string read_text(const fs::path& path, std::size_t size_max) {
  std::ifstream file(path);
  std::string text(size_max, '\0');
  file.read(text.data(), static_cast<std::streamsize>(size_max));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, file.gcount())));
  return text;
}

std::string host_resolv_conf(NetworkMode network) {
  std::string text = read_text(kResolvConf, kLogMax);
  if (network != NetworkMode::kHost && names_only_systemd_resolved(text)) {
    text = read_text(kSystemdResolvConf, kLogMax);
  }
  return text;
}

fs::path make_directory(const fs::path& parent, const std::string& id) {
  fs::path directory = parent / id;
  if (::mkdir(directory.c_str(), 0711) != 0) {
    throw Error::from_errno(errno, "make a directory for a container in " + parent.string());
  }
  return directory;
}

}  // namespace

Bundle::Bundle(const fs::path& parent, std::string id, const ContainerSpec& container,
               SpecEnvironment environment, const DnsOptions& dns)
    : id_(std::move(id)), directory_(make_directory(parent, id_)), stubs_(container) {
  try {
    ContainerSpec lent = container;
    sockets_ = make_lent_files(lent, directory_);
    make_working_directory(lent);
    set_tmpfs_modes(lent);
    make_mount_points(lent);
    environment.id = id_;
    environment.hosts_path = (directory_ / "hosts").string();
    environment.resolv_conf_path = (directory_ / "resolv.conf").string();
    write_new_file(environment.hosts_path, hosts_file(container.hostname, container.extra_hosts), 0644);
    write_new_file(environment.resolv_conf_path,
               resolv_conf_file(host_resolv_conf(container.network), dns, container.network), 0644);
    write_new_file(directory_ / "config.json", json::serialize(runtime_spec(lent, environment)),
                   0600);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
    throw;
  }
}

Bundle::~Bundle() {
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

std::optional<std::string> Bundle::runtime_failure() const {
  return last_logged_error(read_text(log_path(), kLogMax));
}

bool Bundle::process_was_started() const {
  std::string const pid = read_text(pid_path(), kPidTextMax);
  return !pid.empty() && std::all_of(pid.begin(), pid.end(),
                                     [](char c) { return (c >= '0' && c <= '9') || c == '\n'; });
}

std::string make_container_id(std::string_view prefix) {
  std::array<unsigned char, kIdBytes> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw Error::from_errno(errno, "get random bytes");
  }
  std::string id(prefix);
  std::array<char, 3> hex{};
  for (unsigned char byte : bytes) {
    std::snprintf(hex.data(), hex.size(), "%02x", byte);
    id += hex.data();
  }
  return id;
}

std::optional<std::string> last_logged_error(std::string_view log) {
  std::optional<std::string> last;
  while (!log.empty()) {
    std::size_t const end = std::min(log.find('\n'), log.size());
    boost::system::error_code error;
    json::value const line = json::parse(log.substr(0, end), error);
    log.remove_prefix(std::min(end + 1, log.size()));
    if (error || !line.is_object()) continue;
    const json::value* level = line.get_object().if_contains("level");
    const json::value* message = line.get_object().if_contains("msg");
    if (level == nullptr || message == nullptr || !message->is_string()) continue;
    if (level->is_string() && level->get_string() == "error") last = message->get_string().c_str();
  }
  return last;
}

bool is_program_failure(std::string_view message) {
  constexpr std::string_view kSigns[] = {"executable file",   "open executable",   "exec: \"",
                                         "exec format error", "Exec format error", "exec /",
                                         "executable path"};
  return std::any_of(std::begin(kSigns), std::end(kSigns), [&](std::string_view sign) {
    return message.find(sign) != std::string_view::npos;
  });
}

}  // namespace cobuild::ops
