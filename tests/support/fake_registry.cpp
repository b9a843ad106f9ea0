#include "support/fake_registry.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include <utility>

#include "oci/spec/media_type.hpp"

namespace cobuild::test {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

Reply not_found(const std::string& code) {
  return Reply{404, {}, R"({"errors":[{"code":")" + code + R"(","message":"unknown"}]})", {}};
}

std::string unescape_colon(std::string text) {
  for (auto at = text.find("%3A"); at != std::string::npos; at = text.find("%3A")) {
    text.replace(at, 3, ":");
  }
  return text;
}

oci::Descriptor describe(const std::string& media_type, const std::string& bytes) {
  return oci::Descriptor{.media_type = media_type,
                         .digest = BlobDigest(Digest::of(bytes)),
                         .size = bytes.size(),
                         .urls = {},
                         .annotations = {},
                         .platform = {},
                         .artifact_type = {},
                         .data = {}};
}

}  // namespace

std::string Call::header(const std::string& name) const {
  auto found = headers.find(lower(name));
  return found == headers.end() ? std::string() : found->second;
}

FakeRegistry::FakeRegistry(const asio::any_io_executor& executor)
    : executor_(executor),
      acceptor_(executor, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}

std::string FakeRegistry::authority() const {
  return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
}

oci::Descriptor FakeRegistry::put_blob(const std::string& bytes) {
  auto descriptor = describe(std::string(oci::kOciLayerGzip), bytes);
  blobs_[descriptor.digest.to_string()] = bytes;
  return descriptor;
}

oci::Descriptor FakeRegistry::put_manifest(const std::string& repository, const std::string& tag,
                                           const std::string& media_type,
                                           const std::string& bytes) {
  auto descriptor = describe(media_type, bytes);
  manifests_[repository + "/manifests/" + tag] = {media_type, bytes};
  manifests_[repository + "/manifests/" + descriptor.digest.to_string()] = {media_type, bytes};
  return descriptor;
}

void FakeRegistry::when(const std::string& method, const std::string& target_prefix, Reply reply,
                        std::size_t times) {
  rules_.push_back({method, target_prefix, std::move(reply), times, false, {}});
}

void FakeRegistry::hang_up(const std::string& method, const std::string& target_prefix,
                           HangUp when) {
  Reply reply;
  reply.hangs_up = true;
  rules_.push_back({method, target_prefix, reply, 1, when == HangUp::kAfterDoingIt, {}});
}

void FakeRegistry::break_upload(const std::string& method, std::size_t bytes) {
  Reply reply;
  reply.hangs_up = true;
  rules_.push_back({method, "/v2/", reply, 1, false, bytes});
}

void FakeRegistry::require(std::string authorization, std::string challenge) {
  authorization_ = std::move(authorization);
  challenge_ = std::move(challenge);
}

std::size_t FakeRegistry::count(const std::string& method, const std::string& prefix) const {
  std::size_t count = 0;
  for (const Call& call : calls_) {
    if (call.method == method && call.target.starts_with(prefix)) ++count;
  }
  return count;
}

std::optional<std::string> FakeRegistry::manifest(const std::string& path) const {
  auto found = manifests_.find(path);
  if (found == manifests_.end()) return std::nullopt;
  return found->second.bytes;
}

Reply FakeRegistry::answer(const Call& call) {
  for (auto rule = rules_.begin(); rule != rules_.end(); ++rule) {
    if (rule->method != call.method || !call.target.starts_with(rule->prefix)) continue;
    Reply reply = rule->reply;
    bool const does_it = rule->does_it;
    auto const keeps = rule->keeps;
    if (--rule->times == 0) rules_.erase(rule);
    if (does_it) (void)answer_api(call);
    if (keeps) {
      std::string const path = call.target.substr(0, call.target.find('?'));
      uploads_[path.substr(path.rfind('/') + 1)] += call.body.substr(0, *keeps);
    }
    return reply;
  }
  if (!authorization_.empty() && call.target.starts_with("/v2/") &&
      call.header("authorization") != authorization_) {
    return Reply{
        401, {{"WWW-Authenticate", challenge_}}, R"({"errors":[{"code":"UNAUTHORIZED"}]})", {}};
  }
  return answer_api(call);
}

Reply FakeRegistry::answer_api(const Call& call) {
  if (call.body.size() > body_bytes_max_) return Reply{413, {}, "<html>too large</html>", {}};
  std::string path = call.target.substr(0, call.target.find('?'));
  if (!path.starts_with("/v2/")) return not_found("PAGE");
  path = path.substr(4);
  if (call.target.find("/blobs/uploads/") != std::string::npos) return answer_upload(call);
  if (auto at = path.find("/blobs/"); at != std::string::npos) {
    return answer_blob(call, path.substr(at + 7));
  }
  if (path.find("/manifests/") == std::string::npos) return not_found("PAGE");
  if (call.method == "PUT") {
    auto const digest = Digest::of(call.body).to_string();
    manifests_[path] = {call.header("content-type"), call.body};
    return Reply{201, {{"Docker-Content-Digest", digest}}, "", {}};
  }
  auto found = manifests_.find(path);
  if (found == manifests_.end()) return not_found("MANIFEST_UNKNOWN");
  return Reply{200,
               {{"Content-Type", found->second.media_type},
                {"Docker-Content-Digest", Digest::of(found->second.bytes).to_string()}},
               found->second.bytes,
               {}};
}

Reply FakeRegistry::answer_blob(const Call& call, const std::string& digest) const {
  auto found = blobs_.find(digest);
  if (found == blobs_.end()) return not_found("BLOB_UNKNOWN");
  std::string const range = call.header("range");
  if (range.empty() || ignores_ranges_) return Reply{200, {}, found->second, {}};
  auto const start = static_cast<std::size_t>(std::stoull(range.substr(6)));
  std::string const size = std::to_string(found->second.size());
  return Reply{206,
               {{"Content-Range", "bytes " + std::to_string(start) + "-" +
                                      std::to_string(found->second.size() - 1) + "/" + size}},
               found->second.substr(start),
               {}};
}

Reply FakeRegistry::answer_upload(const Call& call) {
  if (call.method == "POST") {
    auto const mount = call.target.find("mount=");
    if (mount != std::string::npos) {
      std::string digest = call.target.substr(mount + 6);
      digest = unescape_colon(digest.substr(0, digest.find('&')));
      if (blobs_.contains(digest)) return Reply{201, {}, "", {}};
    }
    std::string const id = "session" + std::to_string(++sessions_);
    uploads_[id] = "";
    Call at = call;
    at.target = call.target.substr(0, call.target.find('?')) + id;
    Reply reply = session_reply(202, at, id);
    if (chunk_bytes_min_ > 0) {
      reply.headers.emplace_back("OCI-Chunk-Min-Length", std::to_string(chunk_bytes_min_));
    }
    return reply;
  }
  std::string const path = call.target.substr(0, call.target.find('?'));
  std::string const id = path.substr(path.rfind('/') + 1);
  if (!uploads_.contains(id)) return not_found("BLOB_UPLOAD_UNKNOWN");
  return answer_session(call, id);
}

Reply FakeRegistry::session_reply(int status, const Call& call, const std::string& id) const {
  std::size_t const size = uploads_.at(id).size();
  std::string const path = call.target.substr(0, call.target.find('?'));
  return Reply{status,
               {{"Location", path + "?state=" + std::to_string(size)},
                {"Range", "0-" + std::to_string(size == 0 ? 0 : size - 1)}},
               "",
               {}};
}

Reply FakeRegistry::answer_session(const Call& call, const std::string& id) {
  std::string& content = uploads_.at(id);
  if (call.method == "GET") return session_reply(204, call, id);
  if (call.target.find("state=" + std::to_string(content.size())) == std::string::npos) {
    return not_found("BLOB_UPLOAD_INVALID");
  }
  if (call.method == "DELETE") {
    uploads_.erase(id);
    return Reply{204, {}, "", {}};
  }
  if (call.method == "PATCH") {
    std::string const range = call.header("content-range");
    std::string const wanted = std::to_string(content.size()) + "-" +
                               std::to_string(content.size() + call.body.size() - 1);
    if (range != wanted) return Reply{416, {}, "", {}};
    content += call.body;
    return session_reply(202, call, id);
  }
  content += call.body;
  auto const at = call.target.find("digest=");
  std::string const digest = unescape_colon(call.target.substr(at + 7));
  std::string const whole = std::exchange(content, "");
  uploads_.erase(id);
  if (Digest::of(whole).to_string() != digest) {
    return Reply{400, {}, R"({"errors":[{"code":"DIGEST_INVALID","message":"wrong"}]})", {}};
  }
  blobs_[digest] = whole;
  return Reply{201, {}, "", {}};
}

Task<void> FakeRegistry::talk(Tcp::socket socket) {
  beast::flat_buffer buffer;
  while (true) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(64 * 1024 * 1024);
    auto [read_error, count] =
        co_await http::async_read(socket, buffer, parser, asio::as_tuple(asio::use_awaitable));
    if (read_error) co_return;
    Call call;
    call.method = std::string(parser.get().method_string());
    call.target = std::string(parser.get().target());
    for (const auto& field : parser.get()) {
      call.headers[lower(std::string_view(
          field.name_string().data(), field.name_string().size()))] = std::string(field.value());
    }
    call.body = parser.get().body();
    calls_.push_back(call);
    Reply const reply = answer(call);
    if (reply.hangs_up) co_return;
    std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " Status\r\nContent-Length: " +
                       std::to_string(reply.announced.value_or(reply.body.size())) + "\r\n";
    for (const auto& [name, value] : reply.headers) text += name + ": " + value + "\r\n";
    text += "\r\n";
    if (call.method != "HEAD")
      text += reply.body.substr(0, reply.cut_after.value_or(std::string::npos));
    auto [write_error, written] =
        co_await asio::async_write(socket, asio::buffer(text), asio::as_tuple(asio::use_awaitable));
    if (write_error || reply.cut_after) co_return;
  }
}

Task<void> FakeRegistry::serve() {
  TaskGroup group(executor_);
  while (true) {
    auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
    if (error) break;
    ++connections_;
    group.spawn(talk(std::move(socket)));
  }
  group.cancel();
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await group.join();
}

}  // namespace cobuild::test
