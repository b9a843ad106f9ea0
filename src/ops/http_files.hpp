#pragma once

/// Files by HTTP as layers of the store (F2.2.12, F2.2.13): each fetched once in a build, and not at
/// all when the server says that the one that is here still stands.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/async/shared.hpp"
#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/solve/op.hpp"
#include "core/store/store.hpp"
#include "ops/http_request.hpp"
#include "ops/remote_secrets.hpp"
#include "ops/step_relay.hpp"
#include "registry/downloads.hpp"

namespace cobuild::ops {

/// A download may have this much.
inline constexpr std::uint64_t kDownloadBytes_max = std::uint64_t{1} << 40;

/// A file that is here.
struct HttpFile {
  Digest digest;              ///< Of its bytes.
  std::string filename;
  std::string last_modified;  ///< As HTTP writes it; empty: not told.
  store::LayerId layer;       ///< With this file and no other.
};

class HttpFiles {
 public:
  /// All of it outlives this.
  HttpFiles(asio::any_io_executor executor, asio::thread_pool& pool, store::Store& store,
            registry::Downloads& downloads)
      : executor_(std::move(executor)), pool_(pool), store_(store), downloads_(downloads) {}

  /// Where secrets for servers come from: HTTP_AUTH_HEADER_host and HTTP_AUTH_TOKEN_host, or the one
  /// that a source names (F7.3.7).
  void set_secrets(FindSecret find) { find_secret_ = std::move(find); }

  /// From now on `url` is this file of ours: what the user piped in. It must outlive this.
  void add_upload(const std::string& url, std::filesystem::path file) {
    uploads_.insert_or_assign(url, std::move(file));
  }

  /// Fetches the file, or finds that it is here. Those who ask for the same at once share the work;
  /// progress goes to the first. \throws Error kInvalidInput `invalid response status N`, kCorrupt
  /// `digest mismatch for …` when it is not what request.checksum says, and what Downloads throws.
  Task<HttpFile> fetch(HttpRequest request, solve::StepSink& step);

 private:
  struct Remembered;
  class LayerWriter;
  Task<HttpFile> fetch_now(HttpRequest request, std::shared_ptr<StepRelay> step);
  Task<std::optional<Remembered>> recall(Digest request);
  Task<bool> still_stands(registry::DownloadRequest request, const Remembered& remembered);
  Task<HttpFile> download(HttpRequest request, registry::DownloadRequest download,
                          std::optional<Remembered> remembered, solve::StepSink& step);
  Task<HttpFile> take_upload(HttpRequest request, std::filesystem::path file, solve::StepSink& step);
  [[nodiscard]] registry::DownloadRequest to_download(const HttpRequest& request) const;
  [[nodiscard]] std::string remedy_for(int status, const HttpRequest& request) const;

  asio::any_io_executor executor_;
  asio::thread_pool& pool_;
  store::Store& store_;
  registry::Downloads& downloads_;
  FindSecret find_secret_;
  std::map<std::string, std::filesystem::path> uploads_;
  struct Fetch {
    Shared<HttpFile> file;
    std::shared_ptr<StepRelay> relay;
  };
  std::map<Digest, Fetch> fetching_;
};

}  // namespace cobuild::ops
