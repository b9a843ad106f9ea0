#include "registry/pull.hpp"

#include <algorithm>
#include <charconv>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::registry {
namespace {

/// A broken download that got this much further starts its count of attempts anew.
constexpr std::uint64_t kProgressBytes = 1024 * 1024;

constexpr std::string_view kManifestAccept =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1";

using ManifestAttempt = Attempt<std::optional<oci::ManifestContent>>;

Failure hopeless(Error error) {
  return Failure{.error = std::move(error), .may_pass = false, .retry_after = {}, .fatal = {}};
}

/// For what is not what its digest or its length says.
Failure damage(Error error) {
  Failure failure = hopeless(std::move(error));
  failure.damaged = true;
  return failure;
}

std::string manifest_path(const oci::Reference& reference) {
  std::string const which = reference.digest ? reference.digest->to_string() : *reference.tag;
  return "manifests/" + which;
}

/// Mirrors are tried once: the next host is the better retry. The registry itself is worth waiting
/// for.
RetryPolicy policy_for(const Endpoint& endpoint, const Options& options) {
  RetryPolicy policy = options.retry;
  if (endpoint.is_mirror) policy.attempts_max = 1;
  return policy;
}

void notice_mirror(const Options& options, const Endpoint& endpoint, const Failure& failure) {
  if (!options.on_notice) return;
  options.on_notice("mirror " + endpoint.base.authority() + ": " + failure.error.what() +
                    "; trying the next host");
}

/// Content-Type without its parameters.
std::string media_type_of(const Headers& headers) {
  std::string type = headers.text("Content-Type");
  type.resize(std::min(type.find(';'), type.size()));
  while (type.ends_with(' ')) type.pop_back();
  return type;
}

/// What came is what it should be, or this says why not.
std::optional<Error> check_digest(const Url& url, const Headers& headers,
                                  const std::optional<BlobDigest>& wanted, BlobDigest got) {
  auto corrupt = [&](std::string_view said, const std::string& expected) {
    return Error(ErrorKind::kCorrupt, "manifest from " + url.to_display() + " has digest " +
                                          got.to_string() + ", but " + std::string(said) + " " +
                                          expected);
  };
  if (wanted) {
    if (*wanted != got) return corrupt("was asked for as", wanted->to_string());
    return std::nullopt;
  }
  auto const header = Digest::try_parse(headers.text("Docker-Content-Digest"));
  if (header && BlobDigest(*header) != got) {
    return corrupt("the registry says", header->to_string());
  }
  return std::nullopt;
}

/// nullopt: it is no manifest at all, but a proxy's page, say.
std::optional<std::string> detect_type(const std::string& bytes) {
  try {
    return oci::detect_manifest_type(bytes);
  } catch (const Error&) {
    return std::nullopt;
  }
}

ManifestAttempt to_content(const oci::Reference& reference, const Url& url, const Headers& headers,
                           std::string bytes) {
  BlobDigest const digest(Digest::of(bytes));
  if (auto wrong = check_digest(url, headers, reference.digest, digest)) {
    return damage(std::move(*wrong));
  }
  std::string type = media_type_of(headers);
  if (!oci::is_index_type(type) && !oci::is_manifest_type(type)) {
    // Some registries say application/json, or what a proxy made of it; the bytes know better.
    auto detected = detect_type(bytes);
    if (!detected) {
      return damage(Error(ErrorKind::kCorrupt, url.to_display() + " is not an image manifest"));
    }
    type = *std::move(detected);
  }
  if (type == oci::kDockerManifestV1) {
    return hopeless(Error(ErrorKind::kUnsupported,
                          "media type \"" + type +
                              "\" is no longer supported, please rebuild the image as \"" +
                              std::string(oci::kDockerManifest) + "\" or \"" +
                              std::string(oci::kOciManifest) + "\""));
  }
  oci::Descriptor descriptor{.media_type = std::move(type),
                             .digest = digest,
                             .size = bytes.size(),
                             .urls = {},
                             .annotations = {},
                             .platform = {},
                             .artifact_type = {},
                             .data = {}};
  return std::optional(oci::ManifestContent{std::move(descriptor), std::move(bytes)});
}

Task<ManifestAttempt> try_manifest(Session& session, Endpoint endpoint, oci::Reference reference) {
  Request request;
  request.url = endpoint.url(manifest_path(reference));
  request.headers.add("Accept", std::string(kManifestAccept));
  std::vector<std::string> scopes = {pull_scope(endpoint.repository)};
  ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  if (got.response->status() == 404) co_return std::optional<oci::ManifestContent>();
  if (got.response->status() != 200) {
    co_return co_await session.failure(std::move(endpoint), std::move(got));
  }
  std::string bytes = co_await read_body(*got.response, oci::kManifestBytesMax);
  co_return to_content(reference, got.url, got.response->headers(), std::move(bytes));
}

/// nullopt inside: the headers do not say enough.
Task<Attempt<std::optional<oci::Descriptor>>> try_head(Session& session, Endpoint endpoint,
                                                       oci::Reference reference) {
  Request request;
  request.method = Method::kHead;
  request.url = endpoint.url(manifest_path(reference));
  request.headers.add("Accept", std::string(kManifestAccept));
  std::vector<std::string> scopes = {pull_scope(endpoint.repository)};
  ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  int const status = got.response->status();
  if (endpoint.is_mirror && status != 200 && status != 404) {
    co_return co_await session.failure(std::move(endpoint), std::move(got));
  }
  const Headers& headers = got.response->headers();
  auto const digest = Digest::try_parse(headers.text("Docker-Content-Digest"));
  auto const size = headers.number("Content-Length");
  std::string type = media_type_of(headers);
  bool const complete = status == 200 && digest && size &&
                        (oci::is_index_type(type) || oci::is_manifest_type(type)) &&
                        (!reference.digest || *reference.digest == BlobDigest(*digest));
  if (!complete) co_return std::optional<oci::Descriptor>();
  oci::Descriptor descriptor{.media_type = std::move(type),
                             .digest = BlobDigest(*digest),
                             .size = *size,
                             .urls = {},
                             .annotations = {},
                             .platform = {},
                             .artifact_type = {},
                             .data = {}};
  co_return std::optional(std::move(descriptor));
}

/// One download, over all its connections and hosts.
struct BlobTransfer {
  oci::Reference repository;
  oci::Descriptor blob;
  oci::BlobSink& sink;
  std::uint64_t offset;  ///< Bytes that `hash` has seen and the sink has.
  DigestWriter hash;
};

/// The piece of a blob that a response has: [begin, end).
struct Piece {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// What a 206 says that it has, from "bytes 5-9/20"; without an end, it is the blob's. nullopt when
/// it does not say, or says nonsense.
std::optional<Piece> range_of(const Headers& headers, std::uint64_t size) {
  std::string const text = headers.text("Content-Range");
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  Piece piece{.begin = 0, .end = size};
  const char* const stop = text.data() + text.size();
  auto const [dash, error] = std::from_chars(text.data() + kUnit.size(), stop, piece.begin);
  if (error != std::errc() || dash == stop || *dash != '-') return std::nullopt;
  std::uint64_t last = 0;
  if (std::from_chars(dash + 1, stop, last).ec == std::errc() && last < size) piece.end = last + 1;
  if (piece.begin >= piece.end) return std::nullopt;
  return piece;
}

std::string blob_name(const BlobTransfer& transfer) {
  return "blob " + transfer.blob.digest.to_string();
}

/// Hands a chunk to the sink. What the sink throws is none of the registry's doing, and is kept
/// apart; but for bytes that it cannot make sense of.
Task<std::optional<Failure>> deliver(BlobTransfer& transfer, std::span<const std::byte> chunk) {
  transfer.hash.write(chunk);
  transfer.offset += chunk.size();
  Failure failure = hopeless(Error(ErrorKind::kInternal, "sink"));
  try {
    co_await transfer.sink.write(chunk);
    co_return std::nullopt;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCorrupt) {
      co_return damage(error.with_context(blob_name(transfer)));
    }
    failure.fatal = std::current_exception();
  } catch (...) {
    failure.fatal = std::current_exception();
  }
  co_return failure;
}

/// Reads a body that has `piece` into the transfer, which has its beginning already.
Task<std::optional<Failure>> receive(BlobTransfer& transfer, ApiResponse got, Piece piece) {
  std::uint64_t skip = transfer.offset - piece.begin;
  std::uint64_t const start = transfer.offset;
  while (true) {
    // What a broken connection throws must not hide how far it got: the retry loop asks for that.
    std::optional<Error> broken;
    std::span<const std::byte> chunk;
    try {
      chunk = co_await got.response->read();
    } catch (const Error& error) {
      broken = error;
    }
    if (!broken && chunk.empty()) {
      if (transfer.offset == piece.end) co_return std::nullopt;
      broken = Error(ErrorKind::kUnavailable, "connection closed early");
    }
    if (broken) {
      co_return Failure{.error = broken->with_context(
                            blob_name(transfer) + ": received " + std::to_string(transfer.offset) +
                            " of " + std::to_string(transfer.blob.size) + " bytes"),
                        .may_pass = is_retryable(broken->kind()),
                        .retry_after = {},
                        .progressed = transfer.offset - start >= kProgressBytes,
                        .fatal = {}};
    }
    std::uint64_t const skipped = std::min<std::uint64_t>(skip, chunk.size());
    skip -= skipped;
    chunk = chunk.subspan(static_cast<std::size_t>(skipped));
    if (chunk.empty()) continue;
    if (chunk.size() > piece.end - transfer.offset) {
      co_return damage(
          Error(ErrorKind::kCorrupt, blob_name(transfer) + " from " + got.url.to_display() +
                                         " is longer than its " +
                                         std::to_string(piece.end - piece.begin) + " bytes"));
    }
    if (auto failure = co_await deliver(transfer, chunk)) co_return std::move(*failure);
  }
}

/// Whether a response to a request for a range is no answer to it: then the whole is asked for.
bool is_range_refused(const BlobTransfer& transfer, const ApiResponse& got) {
  if (got.response->status() == 416) return true;
  if (got.response->status() != 206) return false;
  auto const piece = range_of(got.response->headers(), transfer.blob.size);
  return !piece || piece->begin > transfer.offset || piece->end <= transfer.offset;
}

/// The piece that a response has, or why it is no good.
std::variant<Piece, Failure> judge_head(const BlobTransfer& transfer, const ApiResponse& got) {
  const Headers& headers = got.response->headers();
  std::string const where = blob_name(transfer) + " from " + got.url.to_display();
  Piece piece{.begin = 0, .end = transfer.blob.size};  // 200: all of it, whatever was asked for
  if (got.response->status() == 206) {
    if (is_range_refused(transfer, got)) {
      return hopeless(Error(ErrorKind::kCorrupt, where + ": unhandled content range in response: " +
                                                     headers.text("Content-Range")));
    }
    piece = *range_of(headers, transfer.blob.size);
  }
  auto const length = headers.number("Content-Length");
  if (!length || *length == piece.end - piece.begin) return piece;
  return damage(
      Error(ErrorKind::kCorrupt, where + ": the registry announces " +
                                     std::to_string(piece.begin + *length) +
                                     " bytes, the manifest " + std::to_string(transfer.blob.size)));
}

/// Asks for what is missing and takes what comes, which may be less (RFC 9110, 15.3.7).
Task<Attempt<std::monostate>> try_piece(Session& session, const Endpoint& endpoint, const Url& url,
                                        BlobTransfer& transfer) {
  for (bool ranged = transfer.offset > 0;; ranged = false) {
    Request request;
    request.url = url;
    request.is_bulk = true;
    if (ranged) request.headers.add("Range", "bytes=" + std::to_string(transfer.offset) + "-");
    std::vector<std::string> scopes = {pull_scope(endpoint.repository)};
    ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
    if (ranged && is_range_refused(transfer, got)) continue;
    int const status = got.response->status();
    if (status != 200 && status != 206) {
      co_return co_await session.failure(endpoint, std::move(got));
    }
    auto const judged = judge_head(transfer, got);
    if (auto* failure = std::get_if<Failure>(&judged)) co_return *failure;
    auto failure = co_await receive(transfer, std::move(got), std::get<Piece>(judged));
    if (failure) co_return std::move(*failure);
    co_return std::monostate();
  }
}

/// What is missing of the blob, and whether it is the blob then.
Task<Attempt<std::monostate>> try_rest(Session& session, const Endpoint& endpoint, const Url& url,
                                       BlobTransfer& transfer) {
  while (transfer.offset < transfer.blob.size) {
    auto outcome = co_await try_piece(session, endpoint, url, transfer);
    if (std::holds_alternative<Failure>(outcome)) co_return std::move(outcome);
  }
  BlobDigest const got(transfer.hash.finish());
  if (got == transfer.blob.digest) co_return std::monostate();
  co_return damage(Error(ErrorKind::kCorrupt, blob_name(transfer) + " of " +
                                                  transfer.repository.name() +
                                                  ": the content received has digest " +
                                                  got.to_string()));
}

/// After a failure the transfer is where the next attempt can go on, or the failure is fatal.
Task<Attempt<std::monostate>> try_blob(Session& session, Endpoint endpoint, Url url,
                                       BlobTransfer& transfer) {
  std::uint64_t const start = transfer.offset;
  auto outcome = co_await guarded<std::monostate>(try_rest(session, endpoint, url, transfer));
  auto* const failure = std::get_if<Failure>(&outcome);
  if (!failure) co_return std::move(outcome);
  failure->progressed = transfer.offset - start >= kProgressBytes;
  if (!failure->damaged) co_return std::move(outcome);
  transfer.hash = DigestWriter();
  bool const is_untouched = std::exchange(transfer.offset, 0) == 0;
  if (!is_untouched && !co_await transfer.sink.restart()) {
    failure->fatal = std::make_exception_ptr(failure->error);
  }
  co_return std::move(outcome);
}

struct BlobPlace {
  Endpoint endpoint;
  Url url;
  bool is_link = false;  ///< Of the descriptor's, to who knows where.
};

/// The registry and its mirrors, and for content that may not be pushed where it says it may be
/// had.
std::vector<BlobPlace> places_of(const BlobTransfer& transfer, const Options& options) {
  std::vector<BlobPlace> places;
  for (Endpoint& endpoint : pull_endpoints(transfer.repository, options)) {
    Url url = endpoint.url("blobs/" + transfer.blob.digest.to_string());
    places.push_back({std::move(endpoint), std::move(url), false});
  }
  for (const std::string& text : transfer.blob.urls) {
    Url url = Url::parse(text);
    Endpoint elsewhere;
    elsewhere.base = url;
    elsewhere.registry = url.authority();
    elsewhere.repository = transfer.repository.repository;
    places.push_back({std::move(elsewhere), std::move(url), true});
  }
  return places;
}

}  // namespace

Task<std::optional<oci::ManifestContent>> pull_manifest(Session& session,
                                                        oci::Reference reference) {
  const Options& options = session.options();
  auto const endpoints = pull_endpoints(reference, options);
  std::optional<Failure> failed;
  for (const Endpoint& endpoint : endpoints) {
    auto attempt = [&] { return try_manifest(session, endpoint, reference); };
    auto outcome = co_await try_repeatedly<std::optional<oci::ManifestContent>>(
        options, policy_for(endpoint, options), attempt);
    failed.reset();
    if (auto* failure = std::get_if<Failure>(&outcome)) {
      failed = std::move(*failure);
      if (endpoint.is_mirror) notice_mirror(options, endpoint, *failed);
      continue;
    }
    auto& found = std::get<std::optional<oci::ManifestContent>>(outcome);
    if (found) co_return std::move(found);
  }
  if (failed) throw failed->error;
  co_return std::nullopt;
}

Task<std::optional<oci::Descriptor>> describe_manifest(Session& session, oci::Reference reference) {
  const Options& options = session.options();
  auto const endpoints = pull_endpoints(reference, options);
  std::vector<std::pair<const Endpoint*, Failure>> failures;
  for (const Endpoint& endpoint : endpoints) {
    auto outcome =
        co_await guarded<std::optional<oci::Descriptor>>(try_head(session, endpoint, reference));
    if (auto* found = std::get_if<std::optional<oci::Descriptor>>(&outcome); found && *found) {
      for (const auto& [mirror, failure] : failures) notice_mirror(options, *mirror, failure);
      co_return std::move(*found);
    }
    auto* failure = std::get_if<Failure>(&outcome);
    if (failure && endpoint.is_mirror) failures.emplace_back(&endpoint, std::move(*failure));
  }
  // Not there, refused or unclear: GET tells which, with the registry's words.
  auto content = co_await pull_manifest(session, std::move(reference));
  if (!content) co_return std::nullopt;
  co_return std::move(content->descriptor);
}

Task<void> pull_blob(Session& session, oci::Reference repository, oci::Descriptor blob,
                     oci::BlobSink& sink, oci::ResumePoint resume) {
  const Options& options = session.options();
  BlobTransfer transfer{.repository = std::move(repository),
                        .blob = std::move(blob),
                        .sink = sink,
                        .offset = resume.offset,
                        .hash = std::move(resume.hash)};
  if (transfer.offset > transfer.blob.size) {
    throw Error(ErrorKind::kCorrupt, blob_name(transfer) + ": more bytes are here than it has");
  }
  auto const places = places_of(transfer, options);
  std::optional<Failure> failed;
  for (const BlobPlace& place : places) {
    auto attempt = [&] { return try_blob(session, place.endpoint, place.url, transfer); };
    auto outcome = co_await try_repeatedly<std::monostate>(
        options, policy_for(place.endpoint, options), attempt);
    auto* failure = std::get_if<Failure>(&outcome);
    if (!failure) co_return;
    if (place.endpoint.is_mirror) notice_mirror(options, place.endpoint, *failure);
    // What the registry itself said counts, not what a dead link of a foreign layer did.
    if (!failed || !place.is_link) {
      failed = std::move(*failure);
    }
  }
  throw failed->error;
}

}  // namespace cobuild::registry
