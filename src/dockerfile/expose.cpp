#include <algorithm>
#include <array>

#include <arpa/inet.h>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "dockerfile/step_builder.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr long long kPortMax = 65535;
constexpr int kRealtimeSignalsHalf = 15;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

struct PortRange {
  long long first = 0;
  long long last = 0;
  [[nodiscard]] long long length() const { return last - first; }
};

std::optional<PortRange> try_parse_range(std::string_view text) {
  auto const [start, end] = cut(text, '-');
  auto const first = try_parse_integer(start);
  if (!first || *first < 0 || *first > kPortMax) return std::nullopt;
  if (!end || *end == start) return PortRange{*first, *first};
  auto const last = try_parse_integer(*end);
  if (!last || *last > kPortMax || *last < *first) return std::nullopt;
  return PortRange{*first, *last};
}

/// "[ip:][host:]port" from behind; an IPv6 address has colons of its own.
std::array<std::string, 3> split_parts(const std::string& text) {
  std::vector<std::string> parts = split(text, ':');
  std::string port = std::move(parts.back());
  parts.pop_back();
  std::string host;
  if (!parts.empty()) {
    host = std::move(parts.back());
    parts.pop_back();
  }
  return {join(parts, ":"), std::move(host), std::move(port)};
}

void check_address(std::string address) {
  if (address.empty()) return;
  if (address.front() == '[' && address.back() == ']') address = address.substr(1, address.size() - 2);
  std::array<unsigned char, 16> bytes{};
  if (inet_pton(AF_INET, address.c_str(), bytes.data()) != 1 &&
      inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) {
    fail("invalid IP address: " + address);
  }
}

}  // namespace

std::vector<std::string> parse_ports(const std::string& word,
                                     std::vector<std::pair<Rule, std::string>>& findings) {
  auto const [address, host, port] = split_parts(word);
  auto const [number, written_protocol] = cut(port, '/');
  std::string const protocol = to_lower(written_protocol.value_or(""));
  if (number.empty()) fail("invalid port: " + go_quote(word) + ": no port specified");
  if (!protocol.empty() && protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
    fail("invalid port: " + go_quote(word) + ": invalid proto: " + std::string(*written_protocol));
  }
  if (written_protocol && *written_protocol != protocol) {
    findings.emplace_back(Rule::kExposeProtoCasing, "Defined protocol '" + word +
                                                        "' in EXPOSE instruction should be lowercase");
  }
  if (!address.empty() || !host.empty()) {
    findings.emplace_back(Rule::kExposeInvalidFormat,
                          "EXPOSE instruction should not define an IP address or host-port mapping, found '" +
                              word + "'");
  }
  check_address(address);
  auto const range = try_parse_range(number);
  if (!range) fail("invalid containerPort: " + std::string(number));
  if (!host.empty()) {
    auto const host_range = try_parse_range(host);
    if (!host_range) fail("invalid hostPort: " + host);
    if (range->length() != host_range->length() && range->length() != 0) {
      fail("invalid ranges specified for container and host Ports: " + std::string(number) + " and " + host);
    }
  }
  std::vector<std::string> ports;
  for (long long i = range->first; i <= range->last; ++i) {
    ports.push_back(std::to_string(i) + "/" + (protocol.empty() ? "tcp" : protocol));
  }
  return ports;
}

bool is_signal(const std::string& signal) {
  if (auto const number = try_parse_integer(signal)) return *number != 0;
  constexpr std::array<std::string_view, 36> kNames{
      "ABRT", "ALRM", "BUS",  "CHLD", "CLD",  "CONT",   "FPE",  "HUP",  "ILL",    "INT",   "IO",   "IOT",
      "KILL", "PIPE", "POLL", "PROF", "PWR",  "QUIT",   "SEGV", "STKFLT", "STOP", "SYS",   "TERM", "TRAP",
      "TSTP", "TTIN", "TTOU", "URG",  "USR1", "USR2",   "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX"};
  std::string name = to_upper(signal);
  if (name.starts_with("SIG")) name.erase(0, 3);
  if (std::ranges::find(kNames, name) != kNames.end()) return true;
  bool const from_min = name.starts_with("RTMIN+");
  if (!from_min && !name.starts_with("RTMAX-")) return false;
  std::string const offset = name.substr(6);
  auto const number = try_parse_integer(offset);
  return number && std::to_string(*number) == offset && *number >= 1 &&
         *number <= (from_min ? kRealtimeSignalsHalf : kRealtimeSignalsHalf - 1);
}

}  // namespace cobuild::dockerfile
