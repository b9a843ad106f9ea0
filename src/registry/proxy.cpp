#include "registry/proxy.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include "core/base/error.hpp"
#include "registry/base64.hpp"

namespace cobuild::registry {
namespace {

namespace ip = boost::asio::ip;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::optional<std::string> first_set(const Variables& variables, std::string name) {
  // Go asks for the upper-case name first.
  if (auto value = variables(name); value && !value->empty()) return value;
  if (auto value = variables(lower(name)); value && !value->empty()) return value;
  return std::nullopt;
}

bool contains(std::string_view network, const ip::address& address) {
  boost::system::error_code error;
  if (address.is_v4()) {
    auto const range = ip::make_network_v4(std::string(network), error);
    if (error) return false;
    auto const mask = range.netmask().to_uint();
    return (address.to_v4().to_uint() & mask) == (range.address().to_uint() & mask);
  }
  auto const range = ip::make_network_v6(std::string(network), error);
  if (error) return false;
  auto const hosts = range.canonical();
  return ip::network_v6(address.to_v6(), range.prefix_length()).canonical() == hosts;
}

bool entry_covers(std::string_view entry, const Url& url) {
  boost::system::error_code not_an_address;
  ip::address const address = ip::make_address(url.host, not_an_address);
  if (entry.find('/') != std::string_view::npos) {
    return !not_an_address && contains(entry, address);
  }
  std::string name = lower(entry);
  std::string port;
  boost::system::error_code not_plain;
  ip::address entry_address = ip::make_address(name, not_plain);
  if (not_plain) {
    if (auto colon = name.rfind(':'); colon != std::string::npos) {
      port = name.substr(colon + 1);
      name.resize(colon);
    }
    if (name.size() > 1 && name.starts_with('[') && name.ends_with(']')) {
      name = name.substr(1, name.size() - 2);
    }
    entry_address = ip::make_address(name, not_plain);
  }
  if (!port.empty() && port != url.port) return false;
  if (!not_plain) return !not_an_address && entry_address == address;
  if (name.starts_with("*.")) name.erase(0, 1);
  if (name.starts_with('.')) return url.host.ends_with(name);
  return url.host == name || url.host.ends_with("." + name);
}

}  // namespace

bool is_excluded(const Url& url, std::string_view no_proxy) {
  while (!no_proxy.empty()) {
    auto const comma = std::min(no_proxy.find(','), no_proxy.size());
    std::string_view entry = no_proxy.substr(0, comma);
    no_proxy.remove_prefix(std::min(comma + 1, no_proxy.size()));
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    while (entry.ends_with(' ')) entry.remove_suffix(1);
    if (entry == "*" || (!entry.empty() && entry_covers(entry, url))) return true;
  }
  return false;
}

std::optional<Proxy> choose_proxy(const Url& url, const Variables& variables) {
  if (is_localhost(url.authority())) return std::nullopt;
  std::string const name = url.is_tls() ? "HTTPS_PROXY" : "HTTP_PROXY";
  auto value = first_set(variables, name);
  // What else it may name (socks5://) is for programs that know such proxies, not an error here.
  if (auto all = value ? std::nullopt : first_set(variables, "ALL_PROXY");
      all && (all->starts_with("http://") || all->find("://") == std::string::npos)) {
    value = all;
  }
  if (!value || is_excluded(url, first_set(variables, "NO_PROXY").value_or(""))) {
    return std::nullopt;
  }
  std::string text = *value;
  if (text.find("://") == std::string::npos) text.insert(0, "http://");
  if (!text.starts_with("http://")) {
    throw Error(
        ErrorKind::kInvalidInput,
        name + ": only proxies of the form http://[user:password@]host[:port] are supported");
  }
  Proxy proxy;
  std::string_view authority = std::string_view(text).substr(std::string_view("http://").size());
  authority = authority.substr(0, authority.find('/'));
  if (auto at = authority.rfind('@'); at != std::string_view::npos) {
    proxy.authorization = Secret("Basic " + base64_encode(percent_decode(authority.substr(0, at))));
  }
  try {
    Url const address = Url::parse(text);
    proxy.host = address.host;
    proxy.port = address.port;
  } catch (const Error& error) {
    throw error.with_context(name);
  }
  return proxy;
}

}  // namespace cobuild::registry
