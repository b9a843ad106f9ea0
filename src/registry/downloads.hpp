#pragma once

/// Files by URL, from servers that are no registries: over the same connections, proxies and
/// trust, tried again and resumed in the same way.

#include <cstdint>
#include <string>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "registry/options.hpp"
#include "registry/redirects.hpp"
#include "registry/request.hpp"

namespace cobuild::registry {

/// Where the body of an answer goes. begin() comes first, and again whenever the body has to be
/// taken from its first byte once more: what was written before it counts no longer.
class DownloadSink : public oci::BlobSink {
 public:
  virtual Task<void> begin(const Headers& headers) = 0;
};

/// An answer without its body.
struct DownloadHead {
  int status = 0;
  Headers headers;
};

struct DownloadRequest {
  Url url;
  Headers headers;  ///< Authorization goes to the server of `url` and no other.
  std::uint64_t bytes_max = 0;
};

class Downloads {
 public:
  /// Both outlive this.
  Downloads(Transport& transport, const Options& options) : http_(transport), options_(options) {}

  /// What HEAD answers, whatever the status. Tried once: it only ever saves a download.
  Task<DownloadHead> head(DownloadRequest request);

  /// What GET answers. The body of a 2xx goes to `sink`, which outlives the call; after a broken
  /// connection it goes on where it broke, if the server can and the file is still the same. Of
  /// other answers no body is read. \throws Error kUnavailable when it broke too often; kCorrupt
  /// when the file is longer than bytes_max; else as Transport::send.
  Task<DownloadHead> get(DownloadRequest request, DownloadSink& sink);

 private:
  RedirectingTransport http_;
  const Options& options_;
};

}  // namespace cobuild::registry
