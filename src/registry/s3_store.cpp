#include "registry/s3_store.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "core/async/cleanup.hpp"
#include "core/async/concurrency.hpp"
#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/base/go_time.hpp"
#include "registry/aws_credentials.hpp"
#include "registry/environment.hpp"
#include "registry/http_date.hpp"
#include "registry/http_transport.hpp"
#include "registry/part_upload.hpp"
#include "registry/service_calls.hpp"
#include "registry/xml.hpp"

namespace cobuild::registry {
namespace {

/// S3 takes 10,000 parts, none but the last below 5 MiB.
constexpr std::size_t kPartBytes = std::size_t{8} << 20;
constexpr std::size_t kPartsMax = 10'000;
/// One request copies no more than 5 GiB.
constexpr std::uint64_t kCopyBytesMax = std::uint64_t{5} << 30;
constexpr std::size_t kListPagesMax = 1000;

/// Whether a bucket can be the first part of a host's name: by DNS, and by the certificate, which
/// is for one level only.
bool fits_host(const std::string& bucket, bool is_tls) {
  if (bucket.size() < 3 || bucket.size() > 63) return false;
  bool const plain = std::ranges::all_of(bucket, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || (c == '.' && !is_tls);
  });
  return plain && bucket.front() != '-' && bucket.back() != '-' && bucket.front() != '.' &&
         bucket.back() != '.' && bucket.find("..") == std::string::npos;
}

bool is_address(const std::string& host) {
  boost::system::error_code error;
  (void)asio::ip::make_address(host, error);
  return !error;
}

std::string xml_escape(std::string_view text) {
  std::string out;
  for (char const c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += c;
    }
  }
  return out;
}

Options options_for(Options options, const S3Settings& settings) {
  options = with_real_environment(std::move(options));
  if (settings.attempts_max) options.retry.attempts_max = *settings.attempts_max;
  options.transfers_per_host_max = std::max(options.transfers_per_host_max, settings.parallel);
  return options;
}

/// One request, but for its date and signature.
struct Call {
  Method method = Method::kGet;
  std::string name;   ///< Of the object, with its prefix; "": the bucket.
  std::string query;  ///< Encoded.
  Headers headers{};
  std::string payload_sha256 = Digest::of(std::string_view()).hex();
};

/// The ETags of an upload's parts, by number from 1.
using Tags = std::map<std::size_t, std::string>;

std::string part_query(std::size_t number, const std::string& upload) {
  return "partNumber=" + std::to_string(number) + "&uploadId=" + percent_encode(upload);
}

Task<void> note_end(Task<void> work, bool& done) {
  co_await std::move(work);
  done = true;
}

class S3Store final : public oci::ObjectStore {
 public:
  S3Store(asio::any_io_executor executor, asio::thread_pool& pool, Options options,
          S3Settings settings)
      : options_(options_for(std::move(options), settings)),
        settings_(std::move(settings)),
        pool_(pool),
        transport_(make_http_transport(executor, pool, options_)),
        credentials_(executor, pool, *transport_, options_, settings_.region, settings_.keys),
        calls_(*transport_, options_, options_.retry, options_.retry.retry_after_max),
        parts_(executor, kPartBytes, kPartsMax, settings_.parallel) {
    (void)s3_url(settings_, "");
  }

  Task<std::optional<oci::ObjectInfo>> find(std::string name) override;
  Task<std::optional<oci::ObjectInfo>> find_newest(std::string prefix) override;
  Task<void> read(std::string name, std::uint64_t offset, std::uint64_t length,
                  oci::BlobSink& sink) override;
  Task<void> write(std::string name, std::uint64_t size, oci::OpenBlob open) override;
  Task<void> touch(oci::ObjectInfo object) override;

 private:
  Task<Request> prepare(const Call& call);
  Task<Answer> ask(Call call, const std::string* body = nullptr);
  Task<Answer> send_bytes(Call call, const std::string& bytes);
  Task<std::string> begin_upload(std::string name);
  Task<void> put_whole(const std::string& name, const Part& part);
  Task<void> send_part(const std::string& name, const std::string& upload, const Part& part,
                       Tags& tags);
  Task<void> send_parts(const std::string& name, std::string upload, std::uint64_t size,
                        oci::OpenBlob open);
  Task<void> copy_parts(const std::string& name, std::string upload, std::uint64_t size);
  Task<void> complete(const std::string& name, const std::string& upload, const Tags& tags);
  Task<void> with_upload(std::string name, std::function<Task<void>(std::string upload)> work);
  Task<void> abort(std::string name, std::string upload, const bool& done);
  [[nodiscard]] std::string copy_source(const std::string& name) const;
  [[nodiscard]] Error refused(const Answer& answer) const;

  Options options_;
  S3Settings settings_;
  asio::thread_pool& pool_;
  std::unique_ptr<Transport> transport_;
  AwsCredentials credentials_;
  ServiceCalls calls_;
  PartUpload parts_;
};

Task<Request> S3Store::prepare(const Call& call) {
  AwsKeys const keys = co_await credentials_.get();
  Request request;
  request.method = call.method;
  request.url = s3_url(settings_, call.name);
  if (!call.query.empty()) request.url.target += "?" + call.query;
  request.headers = call.headers;
  request.is_bulk = call.method == Method::kGet && !call.name.empty();
  sign_aws(request, keys, {settings_.region, "s3"}, call.payload_sha256,
           options_.environment.now());
  co_return request;
}

Task<Answer> S3Store::ask(Call call, const std::string* body) {
  auto make = [&] { return prepare(call); };
  co_return co_await calls_.call(make, body);
}

/// With a digest of the bytes in the signature: S3 checks what arrives.
Task<Answer> S3Store::send_bytes(Call call, const std::string& bytes) {
  auto hash = [&bytes] { return Digest::of(std::string_view(bytes)).hex(); };
  call.payload_sha256 = co_await offload(pool_, hash);
  co_return co_await ask(std::move(call), &bytes);
}

Error S3Store::refused(const Answer& answer) const {
  Error const error = refusal(answer);
  std::string const region = answer.headers.text("x-amz-bucket-region");
  if (!region.empty() && region != settings_.region) {
    return Error(ErrorKind::kInvalidInput,
                 std::string(error.what()) + ": the bucket is in the region " + region +
                     ": use region=" + region);
  }
  if (answer.method == Method::kHead && answer.status == 403) {
    return Error(ErrorKind::kDenied,
                 std::string(error.what()) +
                     ": the keys may not read it, or may not list the bucket (without s3:ListBucket "
                     "S3 says so of objects that are not there, too)");
  }
  return error;
}

Task<std::optional<oci::ObjectInfo>> S3Store::find(std::string name) {
  Call call{.method = Method::kHead, .name = settings_.prefix + name, .query = {}};
  Answer const answer = co_await ask(std::move(call));
  if (answer.status == 404) co_return std::nullopt;
  if (!answer.is_success()) throw refused(answer);
  oci::ObjectInfo object{.name = std::move(name),
                         .size = answer.headers.number("Content-Length").value_or(0)};
  if (auto const modified = parse_http_date(answer.headers.text("Last-Modified"))) {
    object.is_old = options_.environment.now() - *modified > settings_.touch_refresh;
  }
  co_return object;
}

Task<std::optional<oci::ObjectInfo>> S3Store::find_newest(std::string prefix) {
  std::optional<oci::ObjectInfo> newest;
  std::optional<Timestamp> newest_time;
  std::string more;
  for (std::size_t page = 0; page < kListPagesMax; ++page) {
    Call call{.method = Method::kGet,
              .name = {},
              .query = "list-type=2&prefix=" + percent_encode(settings_.prefix + prefix)};
    if (!more.empty()) call.query += "&continuation-token=" + percent_encode(more);
    Answer const answer = co_await ask(std::move(call));
    if (!answer.is_success()) throw refused(answer);
    auto const list = try_parse_xml(answer.body);
    if (!list || list->name != "ListBucketResult") {
      throw Error(ErrorKind::kCorrupt, answer.url.to_display() + " is no list of a bucket");
    }
    for (const XmlElement& entry : list->children) {
      std::string const key = entry.text_of("Key");
      auto const time = try_parse_rfc3339(entry.text_of("LastModified"));
      bool const fits = entry.name == "Contents" && key.starts_with(settings_.prefix + prefix);
      if (!fits || !time || (newest_time && *time < *newest_time)) continue;
      newest_time = time;
      newest = oci::ObjectInfo{.name = key.substr(settings_.prefix.size())};
    }
    more = list->text_of("NextContinuationToken");
    if (list->text_of("IsTruncated") != "true" || more.empty()) break;
  }
  if (!newest) co_return std::nullopt;
  co_return co_await find(std::move(newest->name));
}

Task<void> S3Store::read(std::string name, std::uint64_t offset, std::uint64_t length,
                         oci::BlobSink& sink) {
  Call call{.method = Method::kGet, .name = settings_.prefix + name, .query = {}};
  auto make = [&](const std::string& range) {
    call.headers = Headers();
    if (!range.empty()) call.headers.add("Range", range);
    return prepare(call);
  };
  auto const answer = co_await calls_.read(make, ByteRange{offset, length}, sink);
  if (answer) throw refused(*answer);
}

Task<void> S3Store::write(std::string name, std::uint64_t size, oci::OpenBlob open) {
  std::string const key = settings_.prefix + name;
  if (parts_.count(size) > 1) {
    auto work = [&](std::string upload) {
      return send_parts(key, std::move(upload), size, open);
    };
    co_await with_upload(key, work);
    co_return;
  }
  if (size == 0) {
    Part const nothing;
    co_await put_whole(key, nothing);
    co_return;
  }
  PartUpload::SendPart const put = [&](const Part& part) { return put_whole(key, part); };
  co_await parts_.send(size, std::move(open), put);
}

Task<void> S3Store::put_whole(const std::string& name, const Part& part) {
  Call call{.method = Method::kPut, .name = name, .query = {}};
  Answer const answer = co_await send_bytes(std::move(call), part.bytes);
  if (!answer.is_success()) throw refused(answer);
}

/// Colons as they are: not every server undoes them here.
std::string S3Store::copy_source(const std::string& name) const {
  std::string out = percent_encode(settings_.bucket) + "/" + encode_path(name);
  constexpr std::string_view kColon = "%3A";
  for (std::size_t at = out.find(kColon); at != std::string::npos; at = out.find(kColon, at)) {
    out.replace(at, kColon.size(), ":");
  }
  return out;
}

/// A copy of the object on itself: S3 takes that when something about it changes.
Task<void> S3Store::touch(oci::ObjectInfo object) {
  std::string const key = settings_.prefix + object.name;
  if (object.size >= kCopyBytesMax) {
    auto work = [&](std::string upload) { return copy_parts(key, std::move(upload), object.size); };
    co_await with_upload(key, work);
    co_return;
  }
  Call call{.method = Method::kPut, .name = key, .query = {}};
  call.headers.add("x-amz-copy-source", copy_source(key));
  call.headers.add("x-amz-metadata-directive", "REPLACE");
  call.headers.add("x-amz-meta-updated-at", format_http_date(options_.environment.now()));
  Answer const answer = co_await ask(std::move(call));
  auto const xml = try_parse_xml(answer.body);
  if (!answer.is_success() || (xml && xml->name == "Error")) throw refused(answer);
}

Task<std::string> S3Store::begin_upload(std::string name) {
  Call call{.method = Method::kPost, .name = std::move(name), .query = "uploads="};
  Answer const answer = co_await ask(std::move(call));
  if (!answer.is_success()) throw refused(answer);
  auto const xml = try_parse_xml(answer.body);
  std::string upload = xml ? xml->text_of("UploadId") : std::string();
  if (upload.empty()) {
    throw Error(ErrorKind::kCorrupt, answer.url.to_display() + " answers without an upload's id");
  }
  co_return upload;
}

/// An upload of parts that is done whole, or given up.
Task<void> S3Store::with_upload(std::string name,
                                std::function<Task<void>(std::string upload)> work) {
  std::string const upload = co_await begin_upload(name);
  bool done = false;
  co_await with_cleanup(note_end(work(upload), done), abort(name, upload, done));
}

/// Parts of an upload that nobody ends would be kept, and paid for.
Task<void> S3Store::abort(std::string name, std::string upload, const bool& done) {
  if (done) co_return;
  Call call{.method = Method::kDelete,
            .name = std::move(name),
            .query = "uploadId=" + percent_encode(upload)};
  (void)co_await ask(std::move(call));
}

Task<void> S3Store::send_part(const std::string& name, const std::string& upload, const Part& part,
                              Tags& tags) {
  Call call{
      .method = Method::kPut, .name = name, .query = part_query(part.index + 1, upload)};
  Answer const answer = co_await send_bytes(std::move(call), part.bytes);
  if (!answer.is_success()) throw refused(answer);
  tags[part.index + 1] = answer.headers.text("ETag");
}

Task<void> S3Store::send_parts(const std::string& name, std::string upload, std::uint64_t size,
                               oci::OpenBlob open) {
  Tags tags;
  PartUpload::SendPart const send = [&](const Part& part) {
    return send_part(name, upload, part, tags);
  };
  co_await parts_.send(size, std::move(open), send);
  co_await complete(name, upload, tags);
}

Task<void> S3Store::copy_parts(const std::string& name, std::string upload, std::uint64_t size) {
  Tags tags;
  std::uint64_t end = 0;
  for (std::uint64_t begin = 0; begin < size; begin = end) {
    end = std::min(begin + kCopyBytesMax, size);
    Call call{
        .method = Method::kPut, .name = name, .query = part_query(tags.size() + 1, upload)};
    call.headers.add("x-amz-copy-source", copy_source(name));
    call.headers.add("x-amz-copy-source-range",
                     "bytes=" + std::to_string(begin) + "-" + std::to_string(end - 1));
    Answer const answer = co_await ask(std::move(call));
    auto const xml = try_parse_xml(answer.body);
    if (!answer.is_success() || !xml || xml->name == "Error") throw refused(answer);
    tags[tags.size() + 1] = xml->text_of("ETag");
  }
  co_await complete(name, upload, tags);
}

Task<void> S3Store::complete(const std::string& name, const std::string& upload,
                             const Tags& tags) {
  std::string text = "<CompleteMultipartUpload>";
  for (const auto& [number, tag] : tags) {
    text += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>" +
            xml_escape(tag) + "</ETag></Part>";
  }
  text += "</CompleteMultipartUpload>";
  Call call{
      .method = Method::kPost, .name = name, .query = "uploadId=" + percent_encode(upload)};
  Answer const answer = co_await send_bytes(std::move(call), text);
  auto const xml = try_parse_xml(answer.body);
  if (!answer.is_success() || (xml && xml->name == "Error")) throw refused(answer);
}

}  // namespace

Url s3_url(const S3Settings& settings, const std::string& name) {
  std::string endpoint = settings.endpoint_url;
  if (endpoint.empty()) {
    endpoint = "https://s3." + settings.region + ".amazonaws.com" +
               (settings.region.starts_with("cn-") ? ".cn" : "");
  }
  Url url = Url::parse(endpoint);
  url.target = url.target.substr(0, url.target.find('?'));
  while (url.target.ends_with('/')) url.target.pop_back();
  bool const in_host = !(settings.path_style && !settings.endpoint_url.empty()) &&
                       !is_address(url.host) && fits_host(settings.bucket, url.is_tls());
  if (in_host) {
    url.host = settings.bucket + "." + url.host;
  } else {
    url.target += "/" + percent_encode(settings.bucket);
  }
  url.target += "/" + encode_path(name);
  return url;
}

std::unique_ptr<oci::ObjectStore> make_s3_store(asio::any_io_executor executor,
                                                asio::thread_pool& pool, Options options,
                                                S3Settings settings) {
  return std::make_unique<S3Store>(std::move(executor), pool, std::move(options),
                                   std::move(settings));
}

}  // namespace cobuild::registry
