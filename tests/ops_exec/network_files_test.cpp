#include "ops/exec/network_files.hpp"

#include <gtest/gtest.h>

namespace cobuild::ops {
namespace {

TEST(HostsFile, HasTheHostnameAndTheExtraHosts) {
  EXPECT_EQ(hosts_file("", {}),
            "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n");
  EXPECT_EQ(hosts_file("h", {{"a.example", "10.0.0.1"}, {"b", "fe80::1"}}),
            "127.0.0.1\tlocalhost h\n::1\tlocalhost ip6-localhost ip6-loopback\n"
            "10.0.0.1\ta.example\nfe80::1\tb\n");
}

constexpr const char* kPublic =
    "nameserver 8.8.8.8\nnameserver 8.8.4.4\nnameserver 2001:4860:4860::8888\n"
    "nameserver 2001:4860:4860::8844\n";

struct ResolvCase {
  const char* name;
  const char* host;
  NetworkMode network;
  std::string expected;
};

TEST(ResolvConf, FollowsTheHost) {
  const ResolvCase kCases[] = {
      {"plain", "nameserver 10.0.0.2\n", NetworkMode::kDefault, "nameserver 10.0.0.2\n"},
      {"no end of line", "nameserver 10.0.0.2", NetworkMode::kDefault, "nameserver 10.0.0.2\n"},
      {"comments and junk", "# x\n; y\n\nnameserver\nnameserver bad\nnameserver 1.1.1.1\n",
       NetworkMode::kDefault, "nameserver 1.1.1.1\n"},
      {"loopback is dropped", "nameserver 127.0.0.1\nnameserver ::1\nnameserver 9.9.9.9\n",
       NetworkMode::kDefault, "nameserver 9.9.9.9\n"},
      {"public ones when none is left", "nameserver 127.1.2.3\n", NetworkMode::kDefault, kPublic},
      {"the host's network keeps loopback", "nameserver 127.0.0.1\n", NetworkMode::kHost,
       "nameserver 127.0.0.1\n"},
      {"the host's network without servers", "", NetworkMode::kHost, kPublic},
      {"zones", "nameserver fe80::1%eth0\n", NetworkMode::kDefault, "nameserver fe80::1%eth0\n"},
      {"the last search counts, options add up",
       "domain a\nsearch b c\nnameserver 1.1.1.1\noptions ndots:2\noptions edns0 rotate\n",
       NetworkMode::kDefault, "nameserver 1.1.1.1\nsearch b c\noptions ndots:2 edns0 rotate\n"},
      {"what is not known is kept", "sortlist 1.2.3.4\nnameserver 1.1.1.1\n", NetworkMode::kDefault,
       "nameserver 1.1.1.1\nsortlist 1.2.3.4\n"},
  };
  for (const ResolvCase& row : kCases) {
    EXPECT_EQ(resolv_conf_file(row.host, {}, row.network), row.expected) << row.name;
  }
}

TEST(ResolvConf, ConfigurationWins) {
  DnsOptions dns;
  dns.name_servers = {"127.0.0.1"};
  dns.options = {"ndots:5"};
  dns.search_domains = {".", "corp"};
  EXPECT_EQ(
      resolv_conf_file("nameserver 1.1.1.1\nsearch x\noptions y\n", dns, NetworkMode::kDefault),
      "nameserver 127.0.0.1\nsearch corp\noptions ndots:5\n");
}

TEST(ResolvConf, KnowsSystemdResolved) {
  EXPECT_TRUE(names_only_systemd_resolved("nameserver 127.0.0.53\noptions edns0\n"));
  EXPECT_FALSE(names_only_systemd_resolved("nameserver 127.0.0.53\nnameserver 1.1.1.1\n"));
  EXPECT_FALSE(names_only_systemd_resolved(""));
}

}  // namespace
}  // namespace cobuild::ops
