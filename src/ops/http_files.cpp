#include "ops/http_files.hpp"

#include <boost/json.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "core/base/timings.hpp"
#include "core/sys/fs.hpp"
#include "oci/compression.hpp"
#include "oci/output_file.hpp"
#include "registry/base64.hpp"
#include "registry/http_date.hpp"

namespace cobuild::ops {
namespace {

namespace json = boost::json;

constexpr std::string_view kNotes = "http";  // request digest -> what was fetched for it
constexpr unsigned kDefaultPerm = 0600;
constexpr std::size_t kUploadChunkBytes = 1024 * 1024;

/// Weak or not, it names the file.
std::string etag_value(const std::string& text) {
  return text.starts_with("W/") ? text.substr(2) : text;
}

/// The URL as a request line can have it: no blanks, ASCII only.
std::string escape_url(const std::string& url) {
  std::string out;
  for (char const c : url) {
    auto const byte = static_cast<unsigned char>(c);
    out += byte > ' ' && byte < 0x7f ? std::string(1, c) : registry::percent_encode(std::string(1, c));
  }
  return out;
}

/// Basic authorisation from the user and the password in a URL; empty: there is none.
std::string url_authorization(const std::string& url) {
  auto const parsed = try_parse_any_url(url);
  if (!parsed || (parsed->user.empty() && parsed->password.empty())) return "";
  return "Basic " + registry::base64_encode(parsed->user + ":" + parsed->password);
}

timespec modification_time(const std::string& last_modified) {
  auto const time = registry::parse_http_date(last_modified);
  if (!time) return {};
  return {.tv_sec = std::chrono::floor<std::chrono::seconds>(time->time_since_epoch()).count(),
          .tv_nsec = 0};
}

void set_metadata(int fd, const HttpRequest& request, const std::string& last_modified) {
  if ((request.uid != 0 || request.gid != 0) && ::fchown(fd, request.uid, request.gid) != 0) {
    throw Error::from_errno(errno, "give the download to " + std::to_string(request.uid) + ":" +
                                       std::to_string(request.gid));
  }
  unsigned const perm = request.perm != 0 ? request.perm : kDefaultPerm;
  if (::fchmod(fd, perm) != 0) throw Error::from_errno(errno, "set the mode of the download");
  timespec const time = modification_time(last_modified);
  timespec const times[] = {time, time};
  if (::futimens(fd, times) != 0) throw Error::from_errno(errno, "set the time of the download");
}

void check_digest(const HttpRequest& request, const Digest& got) {
  if (!request.checksum || *request.checksum == got) return;
  throw Error(ErrorKind::kCorrupt, "digest mismatch for " + redact_credentials(request.url) + ": " +
                                       got.to_string() +
                                       " (expected: " + request.checksum->to_string() + ")");
}

}  // namespace

/// What the store knows of an earlier download.
struct HttpFiles::Remembered {
  std::string etag;
  HttpFile file;
};

/// Writes a body into a file of a new layer, hashing it. The server's compression, if it insists on
/// one, is undone, as Go's client does.
class HttpFiles::LayerWriter final : public registry::DownloadSink {
 public:
  LayerWriter(HttpFiles& files, const HttpRequest& request, solve::StepSink& step)
      : files_(files), request_(request), step_(step), layer_(files.store_.new_layer()) {}

  Task<void> begin(const registry::Headers& headers) override {
    filename_ = http_filename(request_, headers.text("Content-Disposition"));
    total_ = static_cast<std::int64_t>(headers.number("Content-Length").value_or(0));
    received_ = 0;
    hash_ = DigestWriter();
    inflate_.reset();
    auto const path = layer_.fs() / filename_;
    file_ = open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, kDefaultPerm);
    if (headers.text("Content-Encoding") == "gzip") {
      inflate_.emplace(oci::InflateStream::Options{.output_bytes_max = kDownloadBytes_max},
                       [this](std::span<const std::byte> bytes) { put(bytes); });
    }
    co_return;
  }

  Task<void> write(std::span<const std::byte> chunk) override {
    auto work = [this, chunk] {
      Timings::Span const span(Phase::kPull);
      if (inflate_) {
        inflate_->write(chunk);
      } else {
        put(chunk);
      }
      return true;
    };
    co_await offload(files_.pool_, work);
    received_ += static_cast<std::int64_t>(chunk.size());
    step_.status("downloading " + filename_, received_, total_, false);
  }

  /// Makes the file a layer. \throws Error kCorrupt when it is not what was asked for.
  Task<HttpFile> commit(std::string last_modified) {
    auto finish = [this, &last_modified] {
      if (inflate_) inflate_->finish();
      set_metadata(file_.get(), request_, last_modified);
      file_.close();
      return hash_.finish();
    };
    Digest const digest = co_await offload(files_.pool_, finish);
    check_digest(request_, digest);
    store::LayerAttributes attributes;
    attributes.description = "http url " + redact_credentials(request_.url);
    store::LayerId const id =
        co_await files_.store_.commit_layer(std::move(layer_), std::move(attributes));
    step_.status("downloading " + filename_, received_, total_, true);
    co_return HttpFile{digest, filename_, std::move(last_modified), id};
  }

 private:
  void put(std::span<const std::byte> bytes) {
    hash_.write(bytes);
    oci::write_fully(file_.get(), bytes, "the download " + filename_);
  }

  HttpFiles& files_;
  const HttpRequest& request_;
  solve::StepSink& step_;
  store::NewLayer layer_;
  std::string filename_;
  UniqueFd file_;
  DigestWriter hash_;
  std::optional<oci::InflateStream> inflate_;
  std::int64_t received_ = 0;
  std::int64_t total_ = 0;  ///< 0: the server does not say.
};

Task<HttpFile> HttpFiles::fetch(HttpRequest request, solve::StepSink& step) {
  Digest const key = http_request_digest(request);
  auto found = fetching_.find(key);
  if (found == fetching_.end()) {
    auto relay = std::make_shared<StepRelay>();
    auto compute = [this, request, relay] { return fetch_now(request, relay); };
    Shared<HttpFile> shared(executor_, compute, OnFailure::kForget);
    found = fetching_.emplace(key, Fetch{std::move(shared), std::move(relay)}).first;
  }
  Fetch fetch = found->second;  // The map may change while we wait.
  StepRelay::Attachment const attachment(*fetch.relay, step);
  HttpFile file = co_await fetch.file.get();
  check_digest(request, file.digest);
  co_return file;
}

registry::DownloadRequest HttpFiles::to_download(const HttpRequest& request) const {
  registry::DownloadRequest out;
  out.url = registry::Url::parse(escape_url(request.url));
  out.bytes_max = kDownloadBytes_max;
  for (const HttpRequest::Field& field : request.headers) out.headers.add(field.name, field.value);
  std::string authorization = url_authorization(request.url);
  auto const find = [this](const std::string& id) {
    return find_secret_ ? find_secret_(id) : std::optional<Secret>();
  };
  if (!request.auth_header_secret.empty()) {
    auto const secret = find(request.auth_header_secret);
    if (!secret) {
      throw Error(ErrorKind::kNotFound, "failed to retrieve HTTP auth secret " +
                                            request.auth_header_secret + ": not found");
    }
    authorization = secret->reveal();
  } else {
    // The token wins, as in BuildKit, where it is asked for last.
    if (auto const header = find("HTTP_AUTH_HEADER_" + out.url.host)) authorization = header->reveal();
    if (auto const token = find("HTTP_AUTH_TOKEN_" + out.url.host)) {
      authorization = "Bearer " + token->reveal();
    }
  }
  if (!authorization.empty()) out.headers.add("Authorization", authorization);
  return out;
}

Task<std::optional<HttpFiles::Remembered>> HttpFiles::recall(Digest request) {
  auto const note = store_.get_note(kNotes, request.to_string());
  if (!note) co_return std::nullopt;
  std::optional<Remembered> remembered;
  try {
    json::value const value = json::parse(*note);
    remembered = Remembered{std::string(value.at("etag").as_string()),
                            HttpFile{Digest::parse(value.at("digest").as_string()),
                                     std::string(value.at("filename").as_string()),
                                     std::string(value.at("lastModified").as_string()),
                                     store::LayerId{value.at("layer").as_int64()}}};
  } catch (const std::exception&) {
    co_return std::nullopt;  // Of another version: fetched again.
  }
  store::LayerChain const layers{remembered->file.layer};
  if (!co_await store_.use(layers)) co_return std::nullopt;
  co_return remembered;
}

/// By HEAD, since there are servers that have ETags and do not know If-None-Match. The tag is compared
/// here. \returns false also when the question fails: GET tells why.
Task<bool> HttpFiles::still_stands(registry::DownloadRequest request, const Remembered& remembered) {
  request.headers.add("If-None-Match", remembered.etag);
  try {
    auto const head = co_await downloads_.head(std::move(request));
    if (head.status != 200 && head.status != 304) co_return false;
    std::string const tag = etag_value(head.headers.text("ETag"));
    co_return tag == remembered.etag || (tag.empty() && head.status == 304);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    co_return false;
  }
}

Task<HttpFile> HttpFiles::fetch_now(HttpRequest request, std::shared_ptr<StepRelay> step) {
  if (auto const upload = uploads_.find(request.url); upload != uploads_.end()) {
    co_return co_await take_upload(std::move(request), upload->second, *step);
  }
  registry::DownloadRequest download = to_download(request);
  auto remembered = co_await recall(http_request_digest(request));
  if (remembered && co_await still_stands(download, *remembered)) {
    co_return std::move(remembered->file);
  }
  HttpFile file =
      co_await this->download(std::move(request), std::move(download), std::move(remembered), *step);
  co_return file;
}

/// What to do about a server that wants to know who asks; "" about anything else.
std::string HttpFiles::remedy_for(int status, const HttpRequest& request) const {
  if ((status != 401 && status != 403) || !request.auth_header_secret.empty()) return "";
  std::string const host = registry::Url::parse(escape_url(request.url)).host;
  std::string const id = "HTTP_AUTH_TOKEN_" + host;
  if (find_secret_ && (find_secret_(id) || find_secret_("HTTP_AUTH_HEADER_" + host))) {
    return ": what the secret for " + host + " says is refused";
  }
  return ": if it wants a token, give it with --secret id=" + id + ",src=FILE";
}

Task<HttpFile> HttpFiles::download(HttpRequest request, registry::DownloadRequest download,
                                   std::optional<Remembered> remembered, solve::StepSink& step) {
  if (remembered) download.headers.add("If-None-Match", remembered->etag);
  std::string const where = download.url.to_display();
  LayerWriter writer(*this, request, step);
  auto const head = co_await downloads_.get(std::move(download), writer);
  if (head.status == 304 && remembered) co_return std::move(remembered->file);
  if (head.status / 100 != 2) {
    throw Error(head.status == 404 ? ErrorKind::kNotFound : ErrorKind::kInvalidInput,
                "GET " + where + ": invalid response status " + std::to_string(head.status) +
                    remedy_for(head.status, request));
  }
  std::string const modified = head.headers.text("Last-Modified");
  bool const is_date = registry::parse_http_date(modified).has_value();
  HttpFile file = co_await writer.commit(is_date ? modified : "");
  std::string const etag = etag_value(head.headers.text("ETag"));
  if (!etag.empty()) {
    store_.put_note(kNotes, http_request_digest(request).to_string(),
                    json::serialize(json::object{{"etag", etag},
                                                 {"digest", file.digest.to_string()},
                                                 {"filename", file.filename},
                                                 {"lastModified", file.last_modified},
                                                 {"layer", file.layer.value}}));
  }
  co_return file;
}

Task<HttpFile> HttpFiles::take_upload(HttpRequest request, std::filesystem::path file,
                                      solve::StepSink& step) {
  LayerWriter writer(*this, request, step);
  registry::Headers const headers;
  co_await writer.begin(headers);
  UniqueFd const input = open_file(file, O_RDONLY);
  std::vector<std::byte> buffer(kUploadChunkBytes);
  while (true) {
    auto read = [&buffer, fd = input.get()] {
      ssize_t const got = ::read(fd, buffer.data(), buffer.size());
      if (got < 0 && errno != EINTR) throw Error::from_errno(errno, "read the context from stdin");
      return got;
    };
    ssize_t const got = co_await offload(pool_, read);
    if (got == 0) break;
    if (got > 0) co_await writer.write(std::span(buffer).first(static_cast<std::size_t>(got)));
  }
  co_return co_await writer.commit("");
}

}  // namespace cobuild::ops
