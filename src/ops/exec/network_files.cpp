#include "ops/exec/network_files.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <optional>

namespace cobuild::ops {
namespace {

constexpr std::string_view kSystemdResolved = "127.0.0.53";
constexpr std::string_view kPublicServers[] = {"8.8.8.8", "8.8.4.4", "2001:4860:4860::8888",
                                               "2001:4860:4860::8844"};

struct ResolvConf {
  std::vector<std::string> servers;
  std::vector<std::string> search;
  std::vector<std::string> options;
  std::vector<std::string> other;  ///< Lines with directives that we do not know.
};

std::vector<std::string> split_fields(std::string_view line) {
  constexpr std::string_view kSpace = " \t\r\v\f";
  std::vector<std::string> fields;
  for (;;) {
    std::size_t const start = line.find_first_not_of(kSpace);
    if (start == std::string_view::npos) return fields;
    line.remove_prefix(start);
    std::size_t const end = std::min(line.find_first_of(kSpace), line.size());
    fields.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

bool is_loopback_v6(const in6_addr& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address)) return address.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&address);
}

/// Whether `text` is an address of this machine only; nullopt when it is no address.
std::optional<bool> is_loopback(const std::string& text) {
  in_addr v4 = {};
  if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6 = {};
  std::string const without_zone = text.substr(0, text.find('%'));
  if (::inet_pton(AF_INET6, without_zone.c_str(), &v6) == 1) return is_loopback_v6(v6);
  return std::nullopt;
}

void parse_line(std::string_view line, ResolvConf& into) {
  if (line.empty() || line.front() == '#' || line.front() == ';') return;
  std::vector<std::string> fields = split_fields(line);
  if (fields.empty()) return;
  std::string const directive = fields.front();
  fields.erase(fields.begin());
  if (directive == "nameserver") {
    if (!fields.empty() && is_loopback(fields[0])) into.servers.push_back(fields[0]);
  } else if (directive == "search" || directive == "domain") {
    if (!fields.empty()) into.search = std::move(fields);  // the last one counts
  } else if (directive == "options") {
    into.options.insert(into.options.end(), fields.begin(), fields.end());
  } else {
    into.other.emplace_back(line);
  }
}

ResolvConf parse(std::string_view text) {
  ResolvConf parsed;
  while (!text.empty()) {
    std::size_t const end = std::min(text.find('\n'), text.size());
    parse_line(text.substr(0, end), parsed);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parsed;
}

void append_list(std::string& text, std::string_view name, const std::vector<std::string>& words) {
  if (words.empty()) return;
  text += name;
  for (const std::string& word : words) text += " " + word;
  text += '\n';
}

}  // namespace

std::string hosts_file(std::string_view hostname, const std::vector<ExtraHost>& extra) {
  std::string text = "127.0.0.1\tlocalhost ";
  text += hostname.empty() ? kDefaultHostname : hostname;
  text += "\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  for (const ExtraHost& host : extra) text += host.ip + "\t" + host.host + "\n";
  return text;
}

std::string resolv_conf_file(std::string_view host_text, const DnsOptions& dns,
                             NetworkMode network) {
  ResolvConf conf = parse(host_text);
  if (!dns.name_servers.empty()) conf.servers = dns.name_servers;
  if (!dns.options.empty()) conf.options = dns.options;
  if (!dns.search_domains.empty()) {
    conf.search = dns.search_domains;
    std::erase(conf.search, ".");
  }
  if (dns.name_servers.empty() && (network != NetworkMode::kHost || conf.servers.empty())) {
    std::erase_if(conf.servers, [](const std::string& server) { return *is_loopback(server); });
    if (conf.servers.empty()) {
      conf.servers.assign(std::begin(kPublicServers), std::end(kPublicServers));
    }
  }
  std::string text;
  for (const std::string& server : conf.servers) text += "nameserver " + server + "\n";
  append_list(text, "search", conf.search);
  append_list(text, "options", conf.options);
  for (const std::string& line : conf.other) text += line + "\n";
  return text;
}

bool names_only_systemd_resolved(std::string_view host_text) {
  ResolvConf const conf = parse(host_text);
  return conf.servers.size() == 1 && conf.servers[0] == kSystemdResolved;
}

}  // namespace cobuild::ops
