#include "registry/handshake_failure.hpp"

namespace cobuild::registry {

std::variant<Error, NoTls> judge(const Url& url, const HandshakeFailure& failure) {
  std::string const host = url.authority();
  std::string const what = "TLS with " + host + ": ";
  switch (failure.problem) {
    case HandshakeProblem::kUntrusted:
      return Error(
          ErrorKind::kDenied,
          what + "the certificate is not trusted: " + failure.reason +
              (failure.trusts_somebody ? ""
                                       : " (no CA certificates found: install ca-certificates)") +
              "; to trust its CA use --registry-ca " + host +
              "=FILE, to trust anybody --insecure-registry " + host);
    case HandshakeProblem::kWrongName:
      return Error(ErrorKind::kDenied,
                   what +
                       (failure.reason.empty() ? "the certificate names no host"
                                               : "the certificate is for " + failure.reason) +
                       ", not for " + url.host +
                       "; use a name that it has, or take any certificate with "
                       "--insecure-registry " +
                       host);
    case HandshakeProblem::kNotTls:
      return NoTls{Error(
          ErrorKind::kInvalidInput,
          what + failure.reason + "; if it is an HTTP registry use --insecure-registry " + host)};
    case HandshakeProblem::kClosed:
      return NoTls{Error(ErrorKind::kUnavailable,
                         what + failure.reason +
                             "; if it is an HTTP registry use --insecure-registry " + host)};
    case HandshakeProblem::kWantsCertificate:
      return Error(ErrorKind::kDenied,
                   what + "it does not accept who we are: " + failure.reason +
                       "; put a client certificate, client.cert and client.key, into "
                       "/etc/docker/certs.d/" +
                       host);
    case HandshakeProblem::kRefused: return Error(ErrorKind::kDenied, what + failure.reason);
    case HandshakeProblem::kNetwork: break;
  }
  return Error(ErrorKind::kUnavailable, what + failure.reason);
}

}  // namespace cobuild::registry
