/// registries.conf and certs.d: what a machine says of registries.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "oci/spec/reference.hpp"
#include "registry/hosts.hpp"
#include "registry/options.hpp"

namespace cobuild::registry {
namespace {

using testing::ElementsAre;

struct SystemConfig {
  SystemConfig() : root(TempDir::create(std::filesystem::temp_directory_path(), "cobuild-etc-")) {
    options.environment.variable = [this](const std::string& name) -> std::optional<std::string> {
      if (name == "HOME") return (root.path() / "home").string();
      if (name == "CONTAINERS_REGISTRIES_CONF" && !named.empty()) return named;
      return std::nullopt;
    };
  }
  void write(const std::string& path, const std::string& text) const {
    auto const file = root.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  const Options& load() {
    options.hosts.clear();
    options.rules.clear();
    load_system_config(options, root.path() / "etc");
    return options;
  }
  /// The URLs that a manifest is looked for at, and what was said to be wrong.
  std::vector<std::string> urls(const std::string& name) const {
    std::vector<std::string> found;
    for (const Endpoint& endpoint : pull_endpoints(oci::Reference::parse(name), options)) {
      found.push_back(endpoint.url("manifests/1").to_string());
    }
    return found;
  }
  TempDir root;
  std::string named;
  Options options;
};

TEST(RegistriesConf, MirrorsAndMovedRegistries) {
  SystemConfig config;
  config.write("etc/containers/registries.conf",
               "unqualified-search-registries = [\"quay.io\"]\n"
               "[[registry]]\nprefix = \"docker.io\"\n"
               "[[registry.mirror]]\nlocation = \"m.io/hub/\"\n"
               "[[registry.mirror]]\nlocation = \"n.io:5000\"\ninsecure = true\n"
               "pull-from-mirror = \"digest-only\"\n"
               "[[registry]]\nprefix = \"docker.io/me\"\nlocation = \"in.house/deep/er\"\n"
               "[[registry]]\nprefix = \"*.corp.io\"\nlocation = \"proxy.io\"\n"
               "[[registry]]\nlocation = \"bad.io/sub\"\nblocked = true\n");
  config.load();
  EXPECT_THAT(config.urls("alpine:3"),
              ElementsAre("https://m.io/v2/hub/library/alpine/manifests/1",
                          "https://registry-1.docker.io/v2/library/alpine/manifests/1"));
  EXPECT_THAT(config.urls("alpine@sha256:" + std::string(64, 'a')),
              ElementsAre("https://m.io/v2/hub/library/alpine/manifests/1",
                          "https://n.io:5000/v2/library/alpine/manifests/1",
                          "https://registry-1.docker.io/v2/library/alpine/manifests/1"));
  EXPECT_THAT(config.urls("me/a"), ElementsAre("https://in.house/v2/deep/er/a/manifests/1"));
  EXPECT_THAT(config.urls("menu/a").back(), "https://registry-1.docker.io/v2/menu/a/manifests/1");
  EXPECT_THAT(config.urls("x.corp.io/b"), ElementsAre("https://proxy.io/v2/b/manifests/1"));
  EXPECT_THAT(config.urls("corp.io/b"), ElementsAre("https://corp.io/v2/b/manifests/1"));
  EXPECT_TRUE(config.options.hosts.at("n.io:5000").insecure);
  EXPECT_EQ(push_endpoint(oci::Reference::parse("me/a"), config.options).base.host, "in.house");
  EXPECT_THAT(config.urls("bad.io/other"), ElementsAre("https://bad.io/v2/other/manifests/1"));
  try {
    (void)config.urls("bad.io/sub/a");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kDenied);
    EXPECT_EQ(std::string(e.what()),
              "bad.io/sub/a is blocked by " +
                  (config.root.path() / "etc/containers/registries.conf").string() +
                  ": remove that, or use another registry");
  }
}

TEST(RegistriesConf, FlagsAndBuildkitdConfigHaveTheMirrors) {
  SystemConfig config;
  config.write("etc/containers/registries.conf",
               "[[registry]]\nlocation = \"a.io\"\n[[registry.mirror]]\nlocation = \"m.io\"\n");
  config.load();
  EXPECT_THAT(config.urls("a.io/b"),
              ElementsAre("https://m.io/v2/b/manifests/1", "https://a.io/v2/b/manifests/1"));
  add_mirror("a.io=n.io", config.options);
  EXPECT_THAT(config.urls("a.io/b"), ElementsAre("https://n.io/v2/b/manifests/1?ns=a.io",
                                                 "https://a.io/v2/b/manifests/1"));
}

TEST(RegistriesConf, WhichFilesAreRead) {
  SystemConfig config;
  auto const rule = [](const std::string& where) {
    return "[[registry]]\nprefix = \"a.io\"\nlocation = \"" + where + "\"\n";
  };
  auto const found = [&] { return config.load().rules.at("a.io").location; };
  EXPECT_TRUE(config.load().rules.empty()) << "there need not be any";
  config.write("etc/containers/registries.conf", rule("system"));
  EXPECT_EQ(found(), "system");
  config.write("etc/containers/registries.conf.d/b.conf", rule("drop-in-b"));
  config.write("etc/containers/registries.conf.d/a.conf", rule("drop-in-a"));
  config.write("etc/containers/registries.conf.d/c.txt", rule("no"));
  EXPECT_EQ(found(), "drop-in-b");
  config.write("home/.config/containers/registries.conf", rule("user"));
  EXPECT_EQ(found(), "user");
  config.write("home/.config/containers/registries.conf.d/x.conf", rule("user-drop-in"));
  EXPECT_EQ(found(), "user-drop-in");
  std::filesystem::remove_all(config.root.path() / "home/.config/containers/registries.conf.d");
  config.write("named.conf", "[[registry]]\nlocation = \"b.io\"\n");
  config.named = (config.root.path() / "named.conf").string();
  EXPECT_EQ(found(), "drop-in-b") << "instead of the user's file";
  EXPECT_TRUE(config.options.rules.contains("b.io"));
  config.named = (config.root.path() / "missing.conf").string();
  EXPECT_THROW(config.load(), Error);
}

TEST(RegistriesConf, SaysWhatIsWrong) {
  SystemConfig config;
  std::string const file = (config.root.path() / "etc/containers/registries.conf").string();
  auto const complaint = [&](const std::string& text) -> std::string {
    config.write("etc/containers/registries.conf", text);
    try {
      config.load();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalidInput);
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(
      complaint("\n[[registry]]\nlocation = \"https://a.io\"\n"),
      file + ":3: registry.location must be a host, with a path if need be, without https://");
  EXPECT_EQ(complaint("[[registry]]\nblocked = \"no\"\nlocation=\"a\"\n"),
            file + ":2: registry.blocked must be true or false");
  EXPECT_EQ(complaint("[[registry]]\ninsecure = true\n"),
            file + ":1: registry.prefix must be set, or location");
  EXPECT_EQ(
      complaint("[[registry]]\nlocation=\"a\"\n[[registry.mirror]]\npull-from-mirror = \"x\"\n"
                "location=\"b\"\n"),
      file + ":4: registry.mirror.pull-from-mirror must be all, digest-only or tag-only");
  EXPECT_THAT(complaint("[[registry]\n"), testing::StartsWith(file + ":1: "));
  EXPECT_THAT(complaint("[registry]\nlocation = \"a\"\n"),
              testing::HasSubstr("must be a list of tables, [[registry]]"));
}

TEST(CertsD, FirstDirectoryOfAHostCounts) {
  SystemConfig config;
  config.write("etc/docker/certs.d/a.io:5000/ca.crt", "x");
  config.write("etc/containers/certs.d/a.io:5000/ca.crt", "x");
  config.write("etc/docker/certs.d/localhost:5000/ca.crt", "x");
  config.write("home/.config/containers/certs.d/c.io/client.cert", "x");
  config.load();
  EXPECT_THAT(config.options.hosts.at("a.io:5000").tls_dirs,
              ElementsAre(config.root.path() / "etc/containers/certs.d/a.io:5000"));
  EXPECT_EQ(config.options.hosts.at("c.io").tls_dirs.size(), 1U);
  EXPECT_TRUE(
      push_endpoint(oci::Reference::parse("localhost:5000/a"), config.options).base.is_tls());
}

}  // namespace
}  // namespace cobuild::registry
