#include "oci/spec/reference.hpp"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "core/base/error.hpp"

namespace cobuild::oci {
namespace {

constexpr const char* kDigest =
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

struct ParseCase {
  const char* name;  ///< Letters and digits only: it becomes part of the test's name.
  std::string text;
  std::string canonical;

  friend void PrintTo(const ParseCase& c, std::ostream* out) { *out << '\'' << c.text << '\''; }
};

class ReferenceParse : public testing::TestWithParam<ParseCase> {};

TEST_P(ReferenceParse, YieldsCanonicalForm) {
  EXPECT_EQ(Reference::parse(GetParam().text).to_string(), GetParam().canonical);
}

TEST_P(ReferenceParse, CanonicalFormParsesToItself) {
  Reference once = Reference::parse(GetParam().text);
  EXPECT_EQ(Reference::parse(once.to_string()), once);
}

INSTANTIATE_TEST_SUITE_P(
    Table, ReferenceParse,
    testing::Values(
        // Docker Hub's shorthand
        ParseCase{"BareName", "alpine", "docker.io/library/alpine:latest"},
        ParseCase{"Tag", "alpine:3.19", "docker.io/library/alpine:3.19"},
        ParseCase{"User", "bitnami/redis", "docker.io/bitnami/redis:latest"},
        // Which first part is a registry
        ParseCase{"Dot", "ghcr.io/a/b", "ghcr.io/a/b:latest"},
        ParseCase{"Port", "localhost:5000/a", "localhost:5000/a:latest"},
        ParseCase{"Localhost", "localhost/a", "localhost/a:latest"},
        ParseCase{"UpperCaseRegistry", "Host/a", "Host/a:latest"},
        ParseCase{"Ipv6", "[::1]:5000/a/b:t", "[::1]:5000/a/b:t"},
        ParseCase{"LegacyHub", "index.docker.io/x", "docker.io/library/x:latest"},
        ParseCase{"HubWithoutLibrary", "docker.io/x:1", "docker.io/library/x:1"},
        // Separators in names
        ParseCase{"Separators", "a/b--c__d.e_f", "docker.io/a/b--c__d.e_f:latest"},
        // Digests
        ParseCase{"DigestHasNoTag", std::string("alpine@") + kDigest,
                  std::string("docker.io/library/alpine@") + kDigest},
        ParseCase{"TagAndDigest", std::string("alpine:3@") + kDigest,
                  std::string("docker.io/library/alpine:3@") + kDigest}),
    [](const auto& test) { return test.param.name; });

struct RejectCase {
  const char* name;
  std::string text;
  std::string why = "invalid reference format";
  ErrorKind kind = ErrorKind::kInvalidInput;

  friend void PrintTo(const RejectCase& c, std::ostream* out) { *out << '\'' << c.text << '\''; }
};

class ReferenceReject : public testing::TestWithParam<RejectCase> {};

TEST_P(ReferenceReject, SaysWhyInDockersWords) {
  try {
    (void)Reference::parse(GetParam().text);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), GetParam().kind);
    EXPECT_EQ(std::string(e.what()), GetParam().why);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, ReferenceReject,
    testing::Values(
        RejectCase{"Empty", ""},
        RejectCase{"UpperCase", "Alpine",
                   "invalid reference format: repository name (library/Alpine) must be lowercase"},
        RejectCase{"UpperCasePath", "ghcr.io/Me/x:T",
                   "invalid reference format: repository name (Me/x) must be lowercase"},
        RejectCase{"Identifier", std::string(64, 'a'),
                   "invalid repository name (" + std::string(64, 'a') +
                       "), cannot specify 64-byte hexadecimal strings"},
        RejectCase{"TrailingSlash", "a/b/"}, RejectCase{"DoubleSlash", "a//b"},
        RejectCase{"Blank", "a b"}, RejectCase{"LeadingDash", "-a"},
        RejectCase{"TripleUnderscore", "a___b"}, RejectCase{"TwoDots", "a..b"},
        RejectCase{"EmptyTag", "alpine:"}, RejectCase{"TagWithSlash", "alpine:a/b"},
        RejectCase{"LongTag", "alpine:" + std::string(129, 'x')},
        RejectCase{"LongName", "x.io/" + std::string(256, 'x'),
                   "repository name must not be more than 255 characters"},
        RejectCase{"BadPort", "host.x:80a/b"}, RejectCase{"BadHost", "-x.y/b"},
        RejectCase{"ShortDigest", "alpine@sha256:abc"},
        RejectCase{"UpperCaseDigest", "a@sha256:" + std::string(64, 'A')},
        RejectCase{
            "Sha512", "a@sha512:" + std::string(128, 'a'),
            "unsupported digest algorithm sha512 in image reference: only sha256 is supported",
            ErrorKind::kUnsupported}),
    [](const auto& test) { return test.param.name; });

TEST(Reference, FamiliarNameIsWhatUsersWrite) {
  EXPECT_EQ(Reference::parse("alpine").familiar(), "alpine:latest");
  EXPECT_EQ(Reference::parse("me/x:1").familiar(), "me/x:1");
  EXPECT_EQ(Reference::parse("ghcr.io/a/b:1").familiar(), "ghcr.io/a/b:1");
}

TEST(Reference, SourceStringPrefersTheDigest) {
  std::string const digest = kDigest;
  EXPECT_EQ(Reference::parse("alpine:3@" + digest).to_source_string(),
            "docker.io/library/alpine@" + digest);
  EXPECT_EQ(Reference::parse("alpine:3").to_source_string(), "docker.io/library/alpine:3");
}

}  // namespace
}  // namespace cobuild::oci
