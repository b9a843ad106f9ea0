/// The client against Debian's docker-registry: plain, with TLS and a CA of our own, with a login.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "core/async/concurrency.hpp"
#include "core/sys/process.hpp"
#include "oci/resolve.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/text_reader.hpp"
#include "registry/client.hpp"
#include "support/run_task.hpp"

namespace cobuild::registry {
namespace {

using testing::HasSubstr;

/// The password is "secret".
constexpr const char* kPasswordFile =
    "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

enum class Tls { kOff, kOn };
enum class Login { kOff, kOn };

std::string free_port() {
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  return std::to_string(acceptor.local_endpoint().port());
}

Task<void> run_openssl(std::filesystem::path directory, std::vector<std::string> args) {
  ProcessOptions options;
  options.program = find_program("openssl").value();
  options.args = std::move(args);
  options.args.insert(options.args.begin(), "openssl");
  options.env = {"PATH=/usr/bin:/bin"};
  options.cwd = std::move(directory);
  CapturedOutput const output = co_await run_program(std::move(options));
  if (!output.exit.success()) throw Error(ErrorKind::kInternal, "openssl: " + output.err);
}

/// ca.pem, and cert.pem with key.pem for 127.0.0.1 and localhost.
Task<void> make_certificates(std::filesystem::path directory) {
  std::ofstream(directory / "san") << "subjectAltName=IP:127.0.0.1,DNS:localhost\n";
  std::vector<std::vector<std::string>> const commands = {
      {"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
       "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"},
      {"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
       "/CN=test", "-keyout", "key.pem", "-out", "csr.pem"},
      {"x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
       "-days", "2", "-extfile", "san", "-out", "cert.pem"}};
  for (const auto& command : commands) {
    auto args = command;
    auto where = directory;
    co_await run_openssl(std::move(where), std::move(args));
  }
}

/// A docker-registry of our own, until this goes.
struct Server {
  TempDir directory;
  std::string port;
  Process process;
  UniqueFd log;

  [[nodiscard]] oci::Reference reference(const std::string& host, const std::string& path) const {
    return oci::Reference::parse(host + ":" + port + "/" + path);
  }
};

void write_config(const std::filesystem::path& directory, const std::string& port, Tls tls,
                  Login login) {
  std::ofstream config(directory / "config.yml");
  config << "version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: "
         << (directory / "data").string() << "}}\nhttp:\n  addr: :" << port << "\n";
  if (tls == Tls::kOn) {
    config << "  tls: {certificate: " << (directory / "cert.pem").string()
           << ", key: " << (directory / "key.pem").string() << "}\n";
  }
  if (login == Login::kOn) {
    std::ofstream(directory / "htpasswd") << kPasswordFile;
    config << "auth: {htpasswd: {realm: test, path: " << (directory / "htpasswd").string()
           << "}}\n";
  }
}

/// Starts it and waits until it says that it listens.
Task<Server> start(Tls tls, Login login) {
  TempDir directory = TempDir::create(std::filesystem::temp_directory_path(), "cobuild-registry-");
  std::string const port = free_port();
  if (tls == Tls::kOn) co_await make_certificates(directory.path());
  write_config(directory.path(), port, tls, login);
  Pipe pipe = make_pipe();
  ProcessOptions options;
  options.program = find_program("docker-registry").value();
  options.args = {"docker-registry", "serve", (directory.path() / "config.yml").string()};
  options.env = {"PATH=/usr/bin:/bin", "OTEL_TRACES_EXPORTER=none"};
  options.fds = {{pipe.write.get(), 2}};
  Process process = Process::spawn(options);
  pipe.write.close();
  std::string text;
  std::vector<char> buffer(4096);
  while (text.find("listening on") == std::string::npos) {
    ssize_t const got = ::read(pipe.read.get(), buffer.data(), buffer.size());
    if (got <= 0) throw Error(ErrorKind::kInternal, "docker-registry ended: " + text);
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  co_return Server{std::move(directory), port, std::move(process), std::move(pipe.read)};
}

Task<std::unique_ptr<oci::BlobReader>> open_text(std::string text) {
  co_return std::make_unique<oci::TextReader>(std::move(text));
}

oci::Descriptor describe(std::string_view type, const std::string& bytes) {
  return oci::Descriptor{.media_type = std::string(type),
                         .digest = BlobDigest(Digest::of(bytes)),
                         .size = bytes.size(),
                         .urls = {},
                         .annotations = {},
                         .platform = {},
                         .artifact_type = {},
                         .data = {}};
}

Task<oci::Descriptor> push(Client& client, oci::Reference to, std::string_view type,
                           std::string text) {
  oci::Descriptor blob = describe(type, text);
  oci::OpenBlob open = [text] { return open_text(text); };
  oci::Descriptor pushed = blob;
  std::vector<std::string> none;
  co_await client.push_blob(std::move(to), std::move(blob), std::move(open), std::move(none));
  co_return pushed;
}

/// Pushes an image, resolves it by tag, and fetches its layer again.
Task<void> push_and_pull(Client& client, oci::Reference name) {
  oci::Manifest manifest;
  manifest.media_type = oci::kOciManifest;
  manifest.config =
      co_await push(client, name, oci::kOciConfig, R"({"os":"linux","architecture":"amd64"})");
  std::string layer(5 * 1024 * 1024, 'x');
  for (std::size_t i = 0; i < layer.size(); ++i) layer[i] = static_cast<char>(i * 31 + i / 7);
  manifest.layers = {co_await push(client, name, oci::kOciLayer, layer)};
  std::string const bytes = oci::to_json(manifest);
  oci::ManifestContent content{describe(oci::kOciManifest, bytes), bytes};
  co_await client.push_manifest(name, std::move(content));

  auto const image = co_await oci::resolve_image(client, name, oci::parse_platform("linux/amd64"));
  EXPECT_EQ(image.manifest, manifest);
  auto const described = co_await client.describe_manifest(name);
  EXPECT_EQ(described->digest, image.root.digest);
  std::string const back =
      co_await oci::fetch_small_blob(client, name, manifest.layers[0], 1 << 24);
  EXPECT_TRUE(back == layer);
}

template <class T>
Task<std::optional<Error>> error_of(Task<T> task) {
  try {
    co_await std::move(task);
  } catch (const Error& error) {
    co_return error;
  }
  co_return std::nullopt;
}

class RegistryIntegration : public testing::Test {
 protected:
  void SetUp() override {
    if (!find_program("docker-registry")) GTEST_SKIP() << "docker-registry is not installed";
    if (!find_program("openssl")) GTEST_SKIP() << "openssl is not installed";
  }
};

/// A client that knows nothing of this machine's configuration.
std::unique_ptr<Client> make_client(asio::any_io_executor executor, asio::thread_pool& pool,
                                    Options options, const Server& server) {
  options.docker_config = server.directory.path() / "config.json";
  options.retry.first_delay = std::chrono::milliseconds(1);
  options.environment.variable = [](const std::string&) { return std::optional<std::string>(); };
  return std::make_unique<Client>(std::move(executor), pool, std::move(options));
}

Task<void> plain() {
  Server const server = co_await start(Tls::kOff, Login::kOff);
  asio::thread_pool pool(1);
  auto const executor = co_await asio::this_coro::executor;
  auto const client = make_client(executor, pool, {}, server);
  co_await push_and_pull(*client, server.reference("127.0.0.1", "a/b:1"));
  EXPECT_FALSE(
      (co_await client->fetch_manifest(server.reference("127.0.0.1", "a/b:2"))).has_value());

  Options tls;
  tls.hosts["127.0.0.1:" + server.port].plain_http = false;
  auto const strict = make_client(executor, pool, tls, server);
  auto error = co_await error_of(strict->fetch_manifest(server.reference("127.0.0.1", "a/b:1")));
  EXPECT_THAT(error->what(),
              HasSubstr("if it is an HTTP registry use --insecure-registry 127.0.0.1:"));
  tls.hosts["127.0.0.1:" + server.port].insecure = true;
  auto const lenient = make_client(executor, pool, tls, server);
  co_await push_and_pull(*lenient, server.reference("127.0.0.1", "a/b:1"));
}
TEST_F(RegistryIntegration, Plain) {
  cobuild::test::run(plain());
}

Task<void> tls() {
  Server const server = co_await start(Tls::kOn, Login::kOff);
  asio::thread_pool pool(1);
  auto const executor = co_await asio::this_coro::executor;
  std::string const host = "127.0.0.1:" + server.port;
  Options options;
  options.hosts[host].plain_http = false;
  auto const stranger = make_client(executor, pool, options, server);
  auto error = co_await error_of(stranger->fetch_manifest(server.reference("127.0.0.1", "a:1")));
  EXPECT_EQ(error->kind(), ErrorKind::kDenied);
  EXPECT_THAT(error->what(), HasSubstr("the certificate is not trusted: "));
  EXPECT_THAT(error->what(), HasSubstr("--registry-ca " + host + "=FILE"));

  options.ca_files = {server.directory.path() / "ca.pem"};
  auto const client = make_client(executor, pool, options, server);
  co_await push_and_pull(*client, server.reference("127.0.0.1", "a:1"));
  options.hosts["localhost:" + server.port].plain_http = false;
  auto const by_name = make_client(executor, pool, options, server);
  co_await push_and_pull(*by_name, server.reference("localhost", "b:1"));

  options.hosts["127.0.0.2:" + server.port].plain_http = false;
  auto const other = make_client(executor, pool, options, server);
  error = co_await error_of(other->fetch_manifest(server.reference("127.0.0.2", "a:1")));
  EXPECT_EQ(error->kind(), ErrorKind::kDenied) << "the certificate is for another host";
  EXPECT_THAT(error->what(),
              HasSubstr("the certificate is for 127.0.0.1, localhost, not for 127.0.0.2; "));
  EXPECT_THAT(error->what(), testing::Not(HasSubstr("--registry-ca")));

  Options insecure;
  add_insecure_registry("127.0.0.2:" + server.port, insecure);
  insecure.hosts["127.0.0.2:" + server.port].plain_http = false;
  auto const trusting = make_client(executor, pool, insecure, server);
  co_await push_and_pull(*trusting, server.reference("127.0.0.2", "c:1"));
}

/// Nothing says of localhost that it speaks TLS, but the flags that are of use only then.
Task<void> tls_on_localhost() {
  Server const server = co_await start(Tls::kOn, Login::kOff);
  asio::thread_pool pool(1);
  auto const executor = co_await asio::this_coro::executor;
  auto const plain = make_client(executor, pool, {}, server);
  auto error = co_await error_of(plain->fetch_manifest(server.reference("localhost", "a:1")));
  EXPECT_THAT(error->what(),
              HasSubstr("it wants TLS: to trust its CA use --registry-ca localhost:"));

  Options trusted;
  add_registry_ca((server.directory.path() / "ca.pem").string(), trusted);
  auto const client = make_client(executor, pool, trusted, server);
  co_await push_and_pull(*client, server.reference("localhost", "a:1"));

  Options insecure;
  add_insecure_registry("localhost:" + server.port, insecure);
  auto const trusting = make_client(executor, pool, insecure, server);
  co_await push_and_pull(*trusting, server.reference("localhost", "b:1"));
}
TEST_F(RegistryIntegration, TlsOnLocalhost) {
  cobuild::test::run(tls_on_localhost());
}

/// A CA of another registry's does not keep a plain one on localhost from working.
Task<void> plain_beside_a_ca() {
  Server const server = co_await start(Tls::kOff, Login::kOff);
  co_await make_certificates(server.directory.path());
  asio::thread_pool pool(1);
  auto const executor = co_await asio::this_coro::executor;
  Options options;
  add_registry_ca((server.directory.path() / "ca.pem").string(), options);
  auto const client = make_client(executor, pool, options, server);
  co_await push_and_pull(*client, server.reference("localhost", "a:1"));
}
TEST_F(RegistryIntegration, PlainBesideACa) {
  cobuild::test::run(plain_beside_a_ca());
}
TEST_F(RegistryIntegration, Tls) {
  cobuild::test::run(tls());
}

Task<void> login() {
  Server const server = co_await start(Tls::kOff, Login::kOn);
  asio::thread_pool pool(1);
  auto const executor = co_await asio::this_coro::executor;
  auto const anonymous = make_client(executor, pool, {}, server);
  auto error = co_await error_of(anonymous->fetch_manifest(server.reference("127.0.0.1", "a:1")));
  EXPECT_EQ(error->kind(), ErrorKind::kDenied);
  EXPECT_THAT(error->what(), HasSubstr("docker login 127.0.0.1:"));
  std::ofstream(server.directory.path() / "config.json")
      << R"({"auths":{"127.0.0.1:)" << server.port << R"(":{"auth":"dXNlcjpzZWNyZXQ="}}})";
  auto const client = make_client(executor, pool, {}, server);
  co_await push_and_pull(*client, server.reference("127.0.0.1", "a:1"));
}
TEST_F(RegistryIntegration, Login) {
  cobuild::test::run(login());
}

}  // namespace
}  // namespace cobuild::registry
