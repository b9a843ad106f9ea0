#pragma once

/// Lazy layers made real: their blobs fetched, their files unpacked.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/async/semaphore.hpp"
#include "core/async/shared.hpp"
#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/store/store.hpp"
#include "ops/image_resolver.hpp"
#include "ops/layer_files.hpp"
#include "ops/step_relay.hpp"

namespace cobuild::ops {

/// Fetches each layer once in a build, and, by the store's locks, once on a machine. A download is one
/// stream: socket, blob file and unpacked files at the same time, resumed where an earlier one broke.
/// What came damaged is fetched once more, and then from the blob's other sources; so is what is not
/// there or out of reach; a source that was out of reach is not waited for again. A layer that none of
/// its blobs makes is lost.
class LayerFetcher final : public LayerFiles {
 public:
  /// What is passed by reference must outlive this.
  LayerFetcher(asio::any_io_executor executor, asio::thread_pool& pool, store::Store& store,
               const ContentSources& sources);

  Task<std::vector<std::filesystem::path>> directories(store::LayerChain chain,
                                                       solve::StepSink& step) override;

  /// Brings the blobs of those layers of `chain` that have no files here to blobs/, unpacking
  /// nothing: what an export of an image with an untouched base needs.
  Task<void> fetch_blobs(store::LayerChain chain, solve::StepSink& step);

  /// Brings just this blob of the layer to blobs/. \throws Error kNotFound when it can be had from
  /// nowhere.
  Task<void> fetch_blob(store::LayerId id, BlobDigest digest, solve::StepSink& step);

  /// Whether the layer was wanted, and is in none of the places that were said to have it, or is not
  /// what it should be there.
  [[nodiscard]] bool is_lost(store::LayerId id) const { return lost_.contains(id); }

 private:
  class Unpacking;
  class BlobTee;
  /// A layer that is being made real, or was.
  struct Job {
    Shared<bool> done;
    std::shared_ptr<StepRelay> relay;
  };

  Task<void> ensure_snapshot(store::LayerChain chain, std::size_t position, solve::StepSink& step);
  Task<bool> make_snapshot(store::LayerChain chain, std::size_t position,
                           std::shared_ptr<StepRelay> relay);
  Task<void> make_snapshot_of(store::LayerBlob blob, store::LayerChain chain, std::size_t position,
                              StepRelay& relay);
  Task<void> fetch_blob(store::LayerId id, solve::StepSink& step);
  /// The blobs that the layer can be made of, the likeliest first. \throws Error kNotFound: none.
  [[nodiscard]] std::vector<store::LayerBlob> candidates(const store::Layer& layer) const;
  /// Awaits `attempt(blob)` for each until one succeeds; the layer is lost when none does. \throws
  /// the first failure.
  Task<void> try_each(store::LayerId id, std::vector<store::LayerBlob> blobs,
                      const std::function<Task<void>(store::LayerBlob)>& attempt);
  /// Sends the layer's blob to `unpacking` (null: only to blobs/), from here or from afar.
  Task<void> stream(store::LayerBlob blob, Unpacking* unpacking, solve::StepSink& step);
  Task<void> download(store::LayerBlob blob, Unpacking* unpacking, solve::StepSink& step);
  /// All that follows `resume`, which `sink` has.
  Task<void> download_from(std::string origin, store::LayerBlob blob, oci::BlobSink& sink,
                           oci::ResumePoint resume);

  asio::any_io_executor executor_;
  asio::thread_pool& pool_;
  store::Store& store_;
  const ContentSources& sources_;
  Semaphore streams_;
  std::map<store::LayerId, Job> jobs_;
  std::map<store::LayerId, std::string> lost_;  ///< What was tried.
  /// Sources that were, and why: each layer of theirs would wait as long, and each step after it.
  std::map<std::string, Error> out_of_reach_;
};

}  // namespace cobuild::ops
