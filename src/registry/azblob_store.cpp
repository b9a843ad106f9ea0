#include "registry/azblob_store.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/async/shared.hpp"
#include "core/base/error.hpp"
#include "registry/aws_signature.hpp"
#include "registry/azure_blob.hpp"
#include "registry/azure_credentials.hpp"
#include "registry/environment.hpp"
#include "registry/http_date.hpp"
#include "registry/http_transport.hpp"
#include "registry/registry_error.hpp"
#include "registry/service_calls.hpp"
#include "registry/xml.hpp"

namespace cobuild::registry {
namespace {

constexpr std::size_t kListPagesMax = 1000;

Options options_for(Options options, const AzblobSettings& settings) {
  options = with_real_environment(std::move(options));
  options.transfers_per_host_max = std::max(options.transfers_per_host_max, settings.parallel);
  return options;
}

/// The codes of Azure's errors are in a header, too; answers to HEAD have no other place.
std::string code_of(const Answer& answer) {
  std::string const code = answer.headers.text("x-ms-error-code");
  return code.empty() ? service_error_code(answer.body) : code;
}

Error refused(const Answer& answer) {
  Error const error = refusal(answer);
  std::string const code = answer.headers.text("x-ms-error-code");
  if (code.empty() || !answer.body.empty()) return error;
  return Error(error.kind(), std::string(error.what()) + ": " + code);
}

class AzblobStore final : public oci::ObjectStore {
 public:
  AzblobStore(asio::any_io_executor executor, asio::thread_pool& pool, Options options,
              AzblobSettings settings)
      : options_(options_for(std::move(options), settings)),
        settings_(std::move(settings)),
        base_(Url::parse(settings_.account_url.reveal())),
        transport_(make_http_transport(executor, pool, options_)),
        tokens_(executor, pool, *transport_, options_),
        calls_(*transport_, options_, options_.retry, options_.retry.retry_after_max),
        parts_(executor, kAzureBlockBytes, kAzureBlocksMax, settings_.parallel),
        container_(executor, [this] { return ensure_container(); }, OnFailure::kForget) {
    std::size_t const question = base_.target.find('?');
    if (question != std::string::npos) {
      signature_ = Secret(base_.target.substr(question + 1));
      base_.target.resize(question);
    }
    while (base_.target.ends_with('/')) base_.target.pop_back();
    base_.target += "/" + percent_encode(settings_.container);
  }

  Task<std::optional<oci::ObjectInfo>> find(std::string name) override;
  Task<std::optional<oci::ObjectInfo>> find_newest(std::string prefix) override;
  Task<void> read(std::string name, std::uint64_t offset, std::uint64_t length,
                  oci::BlobSink& sink) override;
  Task<void> write(std::string name, std::uint64_t size, oci::OpenBlob open) override;

 private:
  Task<Request> prepare(std::string path, AzureCall call);
  Task<Answer> ask(std::string path, AzureCall call);
  Task<bool> ensure_container();
  Task<std::string> list_page(std::string prefix, std::string marker,
                              std::optional<oci::ObjectInfo>& newest,
                              std::optional<std::chrono::system_clock::time_point>& newest_time);
  [[nodiscard]] std::string path_of(const std::string& name) const {
    return "/" + encode_path(settings_.prefix + name);
  }

  Options options_;
  AzblobSettings settings_;
  Url base_;  ///< Of the container.
  Secret signature_;
  std::unique_ptr<Transport> transport_;
  AzureTokens tokens_;
  ServiceCalls calls_;
  PartUpload parts_;
  Shared<bool> container_;
};

/// `path` follows the container's.
Task<Request> AzblobStore::prepare(std::string path, AzureCall call) {
  Request request;
  request.method = call.method;
  request.url = base_;
  request.url.target += path;
  request.url = with_query(std::move(request.url), call.query);
  request.headers = call.headers;
  request.headers.add("x-ms-version", kAzureVersion);
  request.headers.add("x-ms-date", format_http_date(options_.environment.now()));
  if (!settings_.account_key.empty()) {
    sign_azure(request, settings_.account_name, settings_.account_key, call.body_bytes);
  } else if (!signature_.empty()) {
    request.url = with_query(std::move(request.url), signature_.reveal());
  } else {
    Secret const token = co_await tokens_.get();
    request.headers.add("Authorization", "Bearer " + token.reveal());
  }
  co_return request;
}

Task<Answer> AzblobStore::ask(std::string path, AzureCall call) {
  auto make = [&] { return prepare(path, call); };
  co_return co_await calls_.call(make);
}

/// Who may write blobs need not be allowed to look at the container: then the write will tell.
Task<bool> AzblobStore::ensure_container() {
  std::string const nowhere;
  AzureCall look{.method = Method::kHead, .query = "restype=container"};
  Answer const there = co_await ask(nowhere, std::move(look));
  if (there.status != 404) co_return true;
  AzureCall make{.method = Method::kPut, .query = "restype=container"};
  Answer const made = co_await ask(nowhere, std::move(make));
  if (made.is_success() || code_of(made) == "ContainerAlreadyExists") co_return true;
  throw refused(made).with_context("create the container " + settings_.container);
}

Task<std::optional<oci::ObjectInfo>> AzblobStore::find(std::string name) {
  AzureCall call{.method = Method::kHead, .query = {}};
  Answer const answer = co_await ask(path_of(name), std::move(call));
  if (answer.status == 404) co_return std::nullopt;
  if (!answer.is_success()) throw refused(answer);
  co_return oci::ObjectInfo{.name = std::move(name),
                            .size = answer.headers.number("Content-Length").value_or(0)};
}

/// What follows the page that begins at `marker`; "" after the last.
Task<std::string> AzblobStore::list_page(
    std::string prefix, std::string marker, std::optional<oci::ObjectInfo>& newest,
    std::optional<std::chrono::system_clock::time_point>& newest_time) {
  AzureCall call{.method = Method::kGet,
                 .query = "restype=container&comp=list&prefix=" +
                          percent_encode(settings_.prefix + prefix)};
  if (!marker.empty()) call.query += "&marker=" + percent_encode(marker);
  std::string const nowhere;
  Answer const answer = co_await ask(nowhere, std::move(call));
  if (answer.status == 404) co_return std::string();
  if (!answer.is_success()) throw refused(answer);
  auto const list = try_parse_xml(answer.body);
  const XmlElement* const blobs = list ? list->find("Blobs") : nullptr;
  if (blobs == nullptr) {
    throw Error(ErrorKind::kCorrupt, answer.url.to_display() + " is no list of a container");
  }
  for (const XmlElement& blob : blobs->children) {
    std::string const name = blob.text_of("Name");
    const XmlElement* const properties = blob.find("Properties");
    if (properties == nullptr || !name.starts_with(settings_.prefix + prefix)) continue;
    auto const time = parse_http_date(properties->text_of("Last-Modified"));
    if (!time || (newest_time && *time < *newest_time)) continue;
    newest_time = time;
    newest = oci::ObjectInfo{.name = name.substr(settings_.prefix.size())};
  }
  co_return list->text_of("NextMarker");
}

Task<std::optional<oci::ObjectInfo>> AzblobStore::find_newest(std::string prefix) {
  std::optional<oci::ObjectInfo> newest;
  std::optional<std::chrono::system_clock::time_point> newest_time;
  std::string marker;
  for (std::size_t page = 0; page < kListPagesMax; ++page) {
    marker = co_await list_page(prefix, marker, newest, newest_time);
    if (marker.empty()) break;
  }
  if (!newest) co_return std::nullopt;
  co_return co_await find(std::move(newest->name));
}

Task<void> AzblobStore::read(std::string name, std::uint64_t offset, std::uint64_t length,
                             oci::BlobSink& sink) {
  auto make = [&](const std::string& range) {
    AzureCall call;
    if (!range.empty()) call.headers.add("Range", range);
    return prepare(path_of(name), std::move(call));
  };
  auto const answer = co_await calls_.read(make, ByteRange{offset, length}, sink);
  if (answer) throw refused(*answer);
}

Task<void> AzblobStore::write(std::string name, std::uint64_t size, oci::OpenBlob open) {
  (void)co_await container_.get();
  PrepareAzure const make = [&](AzureCall call) { return prepare(path_of(name), std::move(call)); };
  co_await put_azure_blob(calls_, parts_, make, size, std::move(open));
}

}  // namespace

std::unique_ptr<oci::ObjectStore> make_azblob_store(asio::any_io_executor executor,
                                                    asio::thread_pool& pool, Options options,
                                                    AzblobSettings settings) {
  return std::make_unique<AzblobStore>(std::move(executor), pool, std::move(options),
                                       std::move(settings));
}

}  // namespace cobuild::registry
