#pragma once

/// A registry in this process, to be told what to do wrong.
///
/// It serves what was put() into it by the distribution API, over plain HTTP on a port of its own.
/// when(...) queues replies for a request, each used once, before it behaves again. Fault model:
/// any status and header; a body cut off after n bytes by closing the connection; other bytes than
/// asked for; Range ignored; an upload broken off after n bytes; request bodies refused from some
/// length on. It records every request. Lives on the test's loop.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/async/task.hpp"
#include "core/async/task_group.hpp"
#include "core/base/digest.hpp"
#include "oci/spec/descriptor.hpp"

namespace cobuild::test {

struct Reply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::optional<std::size_t> cut_after;  ///< Of the body: then the connection is closed.
  std::optional<std::uint64_t> announced = {};  ///< As the body's length; else what it has.
  bool hangs_up = false;                        ///< Instead of all that.
};

struct Call {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  ///< Names in lower case.
  std::string body;

  [[nodiscard]] std::string header(const std::string& name) const;  ///< "" when absent.
};

class FakeRegistry {
 public:
  explicit FakeRegistry(const asio::any_io_executor& executor);

  /// "127.0.0.1:PORT".
  [[nodiscard]] std::string authority() const;
  [[nodiscard]] std::string url(const std::string& target) const {
    return "http://" + authority() + target;
  }

  /// Adds content; manifests by tag and by digest.
  oci::Descriptor put_blob(const std::string& bytes);
  oci::Descriptor put_manifest(const std::string& repository, const std::string& tag,
                               const std::string& media_type, const std::string& bytes);

  /// Queues `reply` for the next request whose target starts with `target_prefix`; `times` times.
  void when(const std::string& method, const std::string& target_prefix, Reply reply,
            std::size_t times = 1);

  /// Closes the connection instead of answering the next such request; what it asks for is done or
  /// not.
  enum class HangUp { kAtOnce, kAfterDoingIt };
  void hang_up(const std::string& method, const std::string& target_prefix,
               HangUp when = HangUp::kAtOnce);

  /// Takes the first `bytes` of the body of the next such request, and closes the connection.
  void break_upload(const std::string& method, std::size_t bytes);
  /// Forgets all uploads that were begun.
  void forget_uploads() { uploads_.clear(); }
  /// Answers 413 to longer requests, as a proxy does.
  void refuse_bodies_over(std::size_t bytes) { body_bytes_max_ = bytes; }
  /// Says this in OCI-Chunk-Min-Length.
  void want_chunks_of(std::size_t bytes) { chunk_bytes_min_ = bytes; }

  /// Wants this Authorization header for everything under /v2/, and sends `challenge` without it.
  void require(std::string authorization, std::string challenge);
  void ignore_ranges() { ignores_ranges_ = true; }

  [[nodiscard]] const std::vector<Call>& calls() const { return calls_; }
  [[nodiscard]] std::size_t count(const std::string& method, const std::string& prefix) const;
  [[nodiscard]] std::size_t connections() const { return connections_; }
  [[nodiscard]] const std::map<std::string, std::string>& blobs() const { return blobs_; }
  [[nodiscard]] std::optional<std::string> manifest(const std::string& path) const;

  /// Accepts connections until cancelled.
  Task<void> serve();

 private:
  struct Rule {
    std::string method;
    std::string prefix;
    Reply reply;
    std::size_t times;
    bool does_it = false;               ///< Before it hangs up.
    std::optional<std::size_t> keeps;  ///< Of the body of an upload, before it hangs up.
  };
  struct StoredManifest {
    std::string media_type;
    std::string bytes;
  };
  Task<void> talk(asio::ip::tcp::socket socket);
  Reply answer(const Call& call);
  Reply answer_api(const Call& call);
  Reply answer_blob(const Call& call, const std::string& digest) const;
  Reply answer_upload(const Call& call);
  Reply answer_session(const Call& call, const std::string& id);
  [[nodiscard]] Reply session_reply(int status, const Call& call, const std::string& id) const;

  asio::any_io_executor executor_;
  asio::ip::tcp::acceptor acceptor_;
  std::deque<Rule> rules_;
  std::map<std::string, std::string> blobs_;         ///< By digest.
  std::map<std::string, StoredManifest> manifests_;  ///< By "repository/manifests/reference".
  std::string authorization_;
  std::string challenge_;
  std::map<std::string, std::string> uploads_;  ///< What has come, by session.
  std::size_t sessions_ = 0;
  std::size_t body_bytes_max_ = SIZE_MAX;
  std::size_t chunk_bytes_min_ = 0;
  bool ignores_ranges_ = false;
  std::vector<Call> calls_;
  std::size_t connections_ = 0;
};

}  // namespace cobuild::test
