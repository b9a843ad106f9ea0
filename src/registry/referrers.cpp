#include "registry/referrers.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <string_view>
#include <utility>

#include "core/async/context.hpp"
#include "core/base/error.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::registry {
namespace {

constexpr std::size_t kPagesMax = 100;
constexpr std::size_t kListBytesMax = 16 * 1024 * 1024;  ///< All pages together.
/// Times that an index is read and written again because somebody else has changed it meanwhile.
constexpr int kUpdatesMax = 30;
constexpr std::chrono::milliseconds kUpdatePause{200};

/// An index that a registry has given.
struct Page {
  oci::Index index;
  std::optional<Url> next;
  std::string etag;
  std::size_t bytes = 0;
};

/// A page, or nothing where the registry has none (404).
using FoundPage = std::optional<Page>;

Url fallback_url(const Endpoint& endpoint, const BlobDigest& subject) {
  std::string tag = subject.to_string();
  std::ranges::replace(tag, ':', '-');
  return endpoint.url("manifests/" + tag);
}

/// What the links of a page lead to gets our credentials.
std::optional<Url> next_url(const Url& page, const Headers& headers) {
  auto const link = next_page(headers);
  if (!link) return std::nullopt;
  Url next = page.resolve(*link);
  if (next.same_origin(page)) return next;
  throw Error(ErrorKind::kDenied, "GET " + page.to_display() + ": the next page is elsewhere, at " +
                                      next.to_display() + ": refused");
}

Task<Attempt<FoundPage>> try_page(Session& session, Endpoint endpoint, Url url, std::string scope) {
  Request request;
  request.url = std::move(url);
  request.headers.add("Accept", std::string(oci::kOciIndex));
  std::vector<std::string> scopes = {std::move(scope)};
  ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  int const status = got.response->status();
  if (status == 404) co_return FoundPage();
  if (status != 200) co_return co_await session.failure(std::move(endpoint), std::move(got));
  const Headers& headers = got.response->headers();
  std::string const type = headers.text("Content-Type");
  if (type.substr(0, type.find(';')) != oci::kOciIndex) {
    throw Error(ErrorKind::kCorrupt, "GET " + got.url.to_display() + ": \"" + type +
                                         "\" came where an index of referrers should be");
  }
  Page page;
  page.next = next_url(got.url, headers);
  page.etag = headers.text("ETag");
  std::string const bytes = co_await read_body(*got.response, oci::kManifestBytesMax);
  page.bytes = bytes.size();
  page.index = oci::parse_index(bytes);
  co_return FoundPage(std::move(page));
}

Task<FoundPage> get_page(Session& session, Endpoint endpoint, Url url, std::string scope) {
  auto attempt = [&] { return try_page(session, endpoint, url, scope); };
  auto outcome = co_await try_repeatedly<FoundPage>(session.options(), session.options().retry, attempt);
  if (auto* failure = std::get_if<Failure>(&outcome)) throw failure->error;
  co_return std::move(std::get<FoundPage>(outcome));
}

/// False: somebody has changed it since `etag`.
Task<Attempt<bool>> try_put_index(Session& session, Endpoint endpoint, Url url, std::string text,
                                  std::string etag) {
  Request request;
  request.method = Method::kPut;
  request.url = std::move(url);
  request.headers.add("Content-Type", std::string(oci::kOciIndex));
  bool const is_strong = etag.starts_with('"');
  if (is_strong) request.headers.add("If-Match", std::move(etag));
  request.body = std::move(text);
  std::vector<std::string> scopes = {push_scope(endpoint.repository)};
  ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  int const status = got.response->status();
  if (status == 412 && is_strong) co_return false;
  if (status == 201 || status == 200 || status == 202) co_return true;
  co_return co_await session.failure(std::move(endpoint), std::move(got));
}

Task<void> put_index(Session& session, Endpoint endpoint, Url url, std::string text,
                     std::string etag) {
  auto attempt = [&] { return try_put_index(session, endpoint, url, text, etag); };
  auto const outcome =
      co_await try_repeatedly<bool>(session.options(), session.options().retry, attempt);
  if (const auto* failure = std::get_if<Failure>(&outcome)) throw failure->error;
}

bool has(const oci::Index& index, const BlobDigest& digest) {
  return std::ranges::find(index.manifests, digest, &oci::Descriptor::digest) !=
         index.manifests.end();
}

Task<void> update_fallback(Session& session, Endpoint endpoint, Referrer referrer) {
  Url const url = fallback_url(endpoint, referrer.subject);
  std::string const scope = push_scope(endpoint.repository);
  for (int count = 0; count < kUpdatesMax; ++count) {
    FoundPage page = co_await get_page(session, endpoint, url, scope);
    // Also after writing: who wrote at the same time may have known nothing of ours.
    if (page && has(page->index, referrer.descriptor.digest)) co_return;
    // What is read may be older than what was written last.
    if (count > 0) co_await session.options().environment.sleep(kUpdatePause);
    oci::Index index;
    index.media_type = oci::kOciIndex;
    if (page) index = std::move(page->index);
    index.manifests.push_back(referrer.descriptor);
    std::string text = oci::to_json(index);
    if (text.size() > oci::kManifestBytesMax) {
      throw Error(ErrorKind::kUnsupported, url.to_display() + " would be too long");
    }
    std::string etag = page ? std::move(page->etag) : std::string();
    co_await put_index(session, endpoint, url, std::move(text), std::move(etag));
  }
  throw Error(ErrorKind::kUnavailable,
              url.to_display() + " is changed by others all the time: push again later");
}

Task<std::vector<oci::Descriptor>> list_all(Session& session, Endpoint endpoint,
                                            BlobDigest subject, std::string artifact_type) {
  std::string path = "referrers/" + subject.to_string();
  if (!artifact_type.empty()) path += "?artifactType=" + percent_encode(artifact_type);
  std::string const scope = pull_scope(endpoint.repository);
  Url url = endpoint.url(path);
  FoundPage page = co_await get_page(session, endpoint, url, scope);
  if (!page) {
    page = co_await get_page(session, endpoint, fallback_url(endpoint, subject), scope);
    if (page) page->next.reset();
  }
  std::vector<oci::Descriptor> found;
  std::set<std::string> seen = {url.to_string()};
  for (std::size_t bytes = 0; page;) {
    bytes += page->bytes;
    for (oci::Descriptor& entry : page->index.manifests) {
      // Not every registry looks at the type that it is asked for.
      if (artifact_type.empty() || entry.artifact_type == artifact_type) {
        found.push_back(std::move(entry));
      }
    }
    if (!page->next) break;
    url = *std::exchange(page->next, std::nullopt);
    bool const is_new = seen.insert(url.to_string()).second;
    if (!is_new || seen.size() > kPagesMax || bytes > kListBytesMax) {
      throw Error(ErrorKind::kCorrupt, "GET " + url.to_display() + ": the list does not end");
    }
    page = co_await get_page(session, endpoint, url, scope);
    if (!page) throw Error(ErrorKind::kCorrupt, "GET " + url.to_display() + ": this page is missing");
  }
  co_return found;
}

/// One parameter of a link: `rel="next"` or `rel=next`, among others in the same quotes.
bool says_next(std::string_view parameter) {
  while (parameter.starts_with(' ')) parameter.remove_prefix(1);
  constexpr std::string_view kName = "rel=";
  if (!parameter.starts_with(kName)) return false;
  parameter.remove_prefix(kName.size());
  while (!parameter.empty()) {
    std::size_t const end = std::min(parameter.find_first_of("\" "), parameter.size());
    if (parameter.substr(0, end) == "next") return true;
    parameter.remove_prefix(std::min(end + 1, parameter.size()));
  }
  return false;
}

}  // namespace

std::optional<std::string> next_page(const Headers& headers) {
  for (const std::string& value : headers.all("Link")) {
    std::string_view rest = value;
    while (true) {
      std::size_t const begin = rest.find('<');
      std::size_t const end = rest.find('>', begin == std::string_view::npos ? 0 : begin);
      if (begin == std::string_view::npos || end == std::string_view::npos) break;
      std::string_view const target = rest.substr(begin + 1, end - begin - 1);
      rest.remove_prefix(end + 1);
      std::string_view parameters = rest.substr(0, rest.find('<'));
      while (!parameters.empty()) {
        std::size_t const next = std::min(parameters.find_first_of(";,"), parameters.size());
        if (says_next(parameters.substr(0, next))) return std::string(target);
        parameters.remove_prefix(std::min(next + 1, parameters.size()));
      }
    }
  }
  return std::nullopt;
}

Task<std::vector<oci::Descriptor>> list_referrers(Session& session, oci::Reference repository,
                                                  BlobDigest subject, std::string artifact_type) {
  Endpoint endpoint = push_endpoint(repository, session.options());
  auto describe = [&] { return "referrers of " + repository.name() + "@" + subject.to_string(); };
  co_return co_await in_context(
      list_all(session, std::move(endpoint), subject, std::move(artifact_type)), describe);
}

std::optional<Referrer> referrer_of(const oci::ManifestContent& manifest) {
  Referrer referrer{.subject = manifest.descriptor.digest, .descriptor = manifest.descriptor};
  auto const take = [&referrer](auto document) {
    if (!document.subject) return false;
    referrer.subject = document.subject->digest;
    referrer.descriptor.artifact_type = std::move(document.artifact_type);
    referrer.descriptor.annotations = std::move(document.annotations);
    return true;
  };
  if (oci::is_index_type(manifest.descriptor.media_type)) {
    if (!take(oci::parse_index(manifest.bytes))) return std::nullopt;
    return referrer;
  }
  oci::Manifest document = oci::parse_manifest(manifest.bytes);
  // What a manifest without a type of its own is, its config's type says.
  if (document.artifact_type.empty() && document.config) {
    document.artifact_type = document.config->media_type;
  }
  if (!take(std::move(document))) return std::nullopt;
  return referrer;
}

Task<void> add_to_fallback(Session& session, Endpoint endpoint, Referrer referrer) {
  std::string const name = "referrers of " + referrer.subject.to_string();
  auto describe = [&] { return name; };
  co_await in_context(update_fallback(session, std::move(endpoint), std::move(referrer)), describe);
}

}  // namespace cobuild::registry
