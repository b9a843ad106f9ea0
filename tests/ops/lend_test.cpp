/// What --secret and --ssh lend: secrets, keys, agents (F7.3).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <openssl/evp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/process.hpp"
#include "ops/lend/agent_protocol.hpp"
#include "ops/lend/secrets.hpp"
#include "ops/lend/ssh_agents.hpp"
#include "ops/lend/ssh_key.hpp"
#include "support/run_task.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

template <class Fn>
std::string error_of(Fn fn) {
  try {
    fn();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

class LendTest : public testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& text) {
    fs::path const path = directory.path() / name;
    std::ofstream(path) << text;
    return path;
  }

  /// ssh-keygen's, without a passphrase unless one is given.
  fs::path key(const std::vector<std::string>& kind, const std::string& passphrase = "") {
    fs::path path = directory.path() / ("key" + std::to_string(++keys));
    std::vector<std::string> args{"ssh-keygen", "-q", "-N", passphrase, "-f", path.string(), "-C", ""};
    args.insert(args.end(), kind.begin(), kind.end());
    if (!find_program("ssh-keygen") || run(args).exit.code != 0) return {};
    return path;
  }

  static CapturedOutput run(std::vector<std::string> args, const std::string& input = "") {
    std::optional<CapturedOutput> output;
    test::run([](std::vector<std::string> words, std::string text,
                 std::optional<CapturedOutput>& out) -> Task<void> {
      ProcessOptions options;
      options.program = *find_program(words[0]);
      options.args = std::move(words);
      out = co_await run_program(std::move(options), std::move(text));
    }(std::move(args), input, output));
    return output.value();
  }

  static std::string text_of(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  TempDir directory = TempDir::create(fs::temp_directory_path(), "cobuild-lend-");
  int keys = 0;
};

// ---- secrets

TEST_F(LendTest, SecretsAreFilesAndVariables) {
  ::setenv("COBUILD_TEST_SECRET", "from the environment", 1);
  Secrets const secrets({{.id = "file", .file = write("f", "line\n"), .env = ""},
                         {.id = "variable", .file = "", .env = "COBUILD_TEST_SECRET"},
                         {.id = "unset", .file = "", .env = "COBUILD_NO_SUCH_VARIABLE"}});
  EXPECT_EQ(secrets.get("file").reveal(), "line\n");
  EXPECT_EQ(secrets.get("variable").reveal(), "from the environment");
  EXPECT_EQ(secrets.get("unset").reveal(), "");
  EXPECT_FALSE(secrets.find("other").has_value());
  EXPECT_THAT(error_of([&] { (void)secrets.get("other"); }), HasSubstr("secret other: not found"));
}

TEST_F(LendTest, SecretsAreReadOnce) {
  fs::path const path = write("f", "first");
  Secrets const secrets({{.id = "a", .file = path, .env = ""}});
  EXPECT_EQ(secrets.get("a").reveal(), "first");
  write("f", "second");
  EXPECT_EQ(secrets.get("a").reveal(), "first");
}

TEST_F(LendTest, BadSecretFilesAreToldAtOnce) {
  auto const make = [](const fs::path& path) {
    return error_of([&] { Secrets const secrets({{.id = "a", .file = path, .env = ""}}); });
  };
  EXPECT_THAT(make(directory.path() / "none"), HasSubstr("secret a (--secret id=a,src="));
  EXPECT_THAT(make(directory.path()), HasSubstr("is a directory"));
  EXPECT_THAT(make(write("big", std::string(kSecretBytes_max + 1, 'x'))),
              HasSubstr("secret a too big. max size 500KB"));
  EXPECT_EQ(make(write("fits", std::string(kSecretBytes_max, 'x'))), "");
}

// ---- the protocol

std::string sign_message(std::string_view key, std::string_view data, std::uint32_t flags) {
  std::string message(1, static_cast<char>(AgentMessage::kSign));
  append_wire_string(message, key);
  append_wire_string(message, data);
  append_wire_number(message, flags);
  return message;
}

TEST(AgentProtocol, OnlyKeysAndSignaturesMayBeAskedFor) {
  EXPECT_TRUE(is_permitted_request("\x0b"));
  EXPECT_TRUE(is_permitted_request(sign_message("k", "d", 0)));
  EXPECT_FALSE(is_permitted_request(""));
  EXPECT_FALSE(is_permitted_request("\x0b more"));
  EXPECT_FALSE(is_permitted_request(sign_message("k", "d", 0) + "x"));
  for (int type = 0; type < 256; ++type) {  // add, remove, lock, smart cards, extensions
    if (type == 11 || type == 13) continue;
    EXPECT_FALSE(is_permitted_request(std::string(1, static_cast<char>(type)) + std::string(8, '\0'))) << type;
  }
  EXPECT_EQ(refusal_of("\x11key"), "\x05");
  EXPECT_EQ(refusal_of("\x1bsession-bind@openssh.com"), "\x1c");
}

TEST(AgentProtocol, CutRequestsAreNone) {
  std::string const whole = sign_message("key", "data", 4);
  ASSERT_TRUE(parse_sign_request(whole));
  EXPECT_EQ(parse_sign_request(whole)->key, "key");
  EXPECT_EQ(parse_sign_request(whole)->data, "data");
  EXPECT_EQ(parse_sign_request(whole)->flags, 4U);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_sign_request(std::string_view(whole).substr(0, size))) << size;
  }
  std::string lies = whole;
  lies[1] = '\xff';
  EXPECT_FALSE(parse_sign_request(lies));
}

// ---- keys

struct KeyCase {
  const char* name;
  std::vector<std::string> kind;
};

class SshKeyTest : public LendTest, public testing::WithParamInterface<KeyCase> {};

/// ssh-keygen -Y check-novalidate is the judge of our signatures (the SSHSIG format).
TEST_P(SshKeyTest, SignsAsOpensshChecks) {
  fs::path const path = key(GetParam().kind);
  if (path.empty()) GTEST_SKIP() << "needs ssh-keygen";
  SshKey const parsed = SshKey::parse(text_of(path), "key");
  std::string data = "SSHSIG";  // What is signed of a message: namespace, hash, digest.
  append_wire_string(data, "test");
  append_wire_string(data, "");
  append_wire_string(data, "sha256");
  std::string digest(32, '\0');
  EVP_Digest("message", 7, reinterpret_cast<unsigned char*>(digest.data()), nullptr, EVP_sha256(), nullptr);
  append_wire_string(data, digest);
  auto const signature =
      parsed.sign({.key = parsed.public_key(), .data = data, .flags = SignRequest::kRsaSha512});
  ASSERT_TRUE(signature);
  std::string blob = "SSHSIG";
  append_wire_number(blob, 1);
  append_wire_string(blob, parsed.public_key());
  append_wire_string(blob, "test");
  append_wire_string(blob, "");
  append_wire_string(blob, "sha256");
  append_wire_string(blob, *signature);
  std::string text(4 * blob.size(), '\0');
  int const size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(blob.data()),
                                   static_cast<int>(blob.size()));
  text.resize(static_cast<std::size_t>(size));
  fs::path const file =
      write("signature", "-----BEGIN SSH SIGNATURE-----\n" + text + "\n-----END SSH SIGNATURE-----\n");
  CapturedOutput const check =
      run({"ssh-keygen", "-Y", "check-novalidate", "-n", "test", "-s", file.string()}, "message");
  EXPECT_EQ(check.exit.code, 0) << check.out << check.err;
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, SshKeyTest,
    testing::Values(KeyCase{"Ed25519", {"-t", "ed25519"}}, KeyCase{"Rsa", {"-t", "rsa", "-b", "2048"}},
                    KeyCase{"RsaPem", {"-t", "rsa", "-b", "2048", "-m", "PEM"}},
                    KeyCase{"RsaPkcs8", {"-t", "rsa", "-b", "2048", "-m", "PKCS8"}},
                    KeyCase{"P256", {"-t", "ecdsa", "-b", "256"}}, KeyCase{"P384", {"-t", "ecdsa", "-b", "384"}},
                    KeyCase{"P521", {"-t", "ecdsa", "-b", "521"}},
                    KeyCase{"P256Pem", {"-t", "ecdsa", "-b", "256", "-m", "PEM"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(LendTest, KeysWithAPassphraseAreRefusedWithARemedy) {
  for (const std::vector<std::string>& kind :
       {std::vector<std::string>{"-t", "ed25519"}, {"-t", "rsa", "-b", "2048", "-m", "PEM"},
        {"-t", "ecdsa", "-m", "PKCS8"}}) {
    fs::path const path = key(kind, "a passphrase");
    if (path.empty()) GTEST_SKIP() << "needs ssh-keygen";
    std::string const error = error_of([&] { (void)SshKey::parse(text_of(path), "the key"); });
    EXPECT_THAT(error, HasSubstr("the key has a passphrase"));
    EXPECT_THAT(error, HasSubstr("--ssh default"));
  }
}

TEST_F(LendTest, WhatIsNoKeyIsRefused) {
  auto const parse = [](const std::string& text) {
    return error_of([&] { (void)SshKey::parse(text, "x"); });
  };
  EXPECT_THAT(parse(""), HasSubstr("neither a socket nor a private key"));
  EXPECT_THAT(parse("hello"), HasSubstr("neither a socket nor a private key"));
  EXPECT_THAT(parse("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"),
              HasSubstr("damaged, or of a kind that is not known"));
  EXPECT_THAT(parse("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
              HasSubstr("damaged, or of a kind that is not known"));
}

TEST_F(LendTest, AgentsAreSocketsOrKeysAndNotBoth) {
  fs::path const one = key({"-t", "ed25519"});
  if (one.empty()) GTEST_SKIP() << "needs ssh-keygen";
  fs::path const socket = directory.path() / "s";
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  socket.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
  UniqueFd const listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  auto const make = [](std::vector<SshSource> sources) {
    return error_of([&] { SshAgents const agents(sources); });
  };
  EXPECT_EQ(make({{.id = "a", .paths = {one}}, {.id = "b", .paths = {socket}}}), "");
  EXPECT_THAT(make({{.id = "a", .paths = {socket, one}}}), HasSubstr("only a single socket is allowed"));
  EXPECT_THAT(make({{.id = "a", .paths = {one, socket}}}),
              HasSubstr("invalid combination of keys and sockets"));
  EXPECT_THAT(make({{.id = "a", .paths = {one}}, {.id = "a", .paths = {one}}}),
              HasSubstr("duplicate agent ID \"a\""));
  EXPECT_THAT(make({{.id = "a", .paths = {one}, .raw = true}}), HasSubstr("raw mode only supported"));
  EXPECT_THAT(make({{.id = "a", .paths = {directory.path() / "none"}}}), HasSubstr("--ssh a="));
  SshAgents const agents({{.id = "default", .paths = {one}}});
  EXPECT_TRUE(agents.find("") && agents.find("default"));
  EXPECT_FALSE(agents.find("other"));
  EXPECT_THAT(error_of([&] { (void)agents.get("other"); }),
              HasSubstr("no SSH key \"other\" forwarded from the client"));
}

// ---- connections

/// Says `messages` to what `serve` is, and returns the answers, up to the end of the connection.
std::string converse(const ConnectionHandler& serve, const std::string& bytes) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd ours(ends[0]);
  asio::io_context loop;
  std::string answers;
  std::thread client([&] {
    static_cast<void>(::send(ours.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    ::shutdown(ours.get(), SHUT_WR);
    char buffer[4096];
    for (ssize_t count = 0; (count = ::read(ours.get(), buffer, sizeof(buffer))) > 0;) {
      answers.append(buffer, static_cast<std::size_t>(count));
    }
  });
  asio::co_spawn(loop, serve(UniqueFd(ends[1])), [](const std::exception_ptr&) {});
  loop.run();
  client.join();
  return answers;
}

std::string framed(std::string_view message) {
  std::string out;
  append_wire_string(out, message);
  return out;
}

TEST_F(LendTest, OurAgentListsAndSignsAndNoMore) {
  fs::path const path = key({"-t", "ed25519"});
  if (path.empty()) GTEST_SKIP() << "needs ssh-keygen";
  SshKey const parsed = SshKey::parse(text_of(path), "key");
  ConnectionHandler const serve = SshAgents({{.id = "default", .paths = {path}}}).find("");
  std::string const sign = sign_message(parsed.public_key(), "data", 0);
  std::string const expected =
      framed(keys_answer({parsed.public_key()})) +
      framed(signature_answer(*parsed.sign({.key = parsed.public_key(), .data = "data", .flags = 0}))) +
      framed("\x05") + framed("\x05");
  EXPECT_EQ(converse(serve, framed("\x0b") + framed(sign) + framed(sign_message("no key", "d", 0)) + framed("\x13")),
            expected);
}

TEST_F(LendTest, FramesThatAreTooLongOrCutEndTheConnection) {
  fs::path const path = key({"-t", "ed25519"});
  if (path.empty()) GTEST_SKIP() << "needs ssh-keygen";
  ConnectionHandler const serve = SshAgents({{.id = "default", .paths = {path}}}).find("");
  EXPECT_EQ(converse(serve, std::string("\xff\xff\xff\xff\x0b", 5)), "");
  EXPECT_EQ(converse(serve, std::string(4, '\0')), "");
  EXPECT_EQ(converse(serve, std::string("\0\0\0\x09\x0b", 5)), "");
  EXPECT_EQ(converse(serve, "\0"), "");
}

}  // namespace
}  // namespace cobuild::ops
