#include "oci/push_image.hpp"

#include <memory>
#include <set>
#include <span>
#include <utility>

#include "core/async/concurrency.hpp"
#include "oci/export_index.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/text_reader.hpp"

namespace cobuild::oci {
namespace {

Descriptor describe(const ExportDocument& document) {
  return oci::describe(document.media_type, document.digest, document.text.size());
}

Task<std::unique_ptr<BlobReader>> open_text(std::string text) {
  co_return std::make_unique<TextReader>(std::move(text));
}

/// Tells of what is read.
class CountingReader final : public BlobReader {
 public:
  CountingReader(std::unique_ptr<BlobReader> reader,
                 const std::function<void(std::uint64_t)>& on_bytes)
      : reader_(std::move(reader)), on_bytes_(on_bytes) {}
  Task<std::size_t> read(std::span<std::byte> buffer) override {
    std::size_t const count = co_await reader_->read(buffer);
    if (on_bytes_) on_bytes_(count);
    co_return count;
  }

 private:
  std::unique_ptr<BlobReader> reader_;
  const std::function<void(std::uint64_t)>& on_bytes_;
};

Task<std::unique_ptr<BlobReader>> open_layer(LayerBlobs& blobs, Descriptor layer,
                                             const PushProgress& progress) {
  auto reader = co_await blobs.open(std::move(layer));
  co_return std::make_unique<CountingReader>(std::move(reader), progress.layer_bytes);
}

/// Each once, in the order of the manifests.
std::vector<Descriptor> layers_to_push(const ExportImage& image) {
  std::vector<Descriptor> layers;
  std::set<std::string> seen;
  for (const Descriptor& layer : image.layers) {
    if (seen.insert(layer.digest.to_string()).second) layers.push_back(layer);
  }
  return layers;
}

Task<void> push_config(ContentTarget& target, Reference repository,
                       const ExportDocument& document) {
  OpenBlob open = [&document] { return open_text(document.text); };
  Descriptor config = describe(document);
  std::vector<std::string> nowhere;
  co_await target.push_blob(std::move(repository), std::move(config), std::move(open),
                            std::move(nowhere));
}

Task<void> put_document(ContentTarget& target, Reference name, const ExportDocument& document) {
  ManifestContent content{describe(document), document.text};
  co_await target.push_manifest(std::move(name), std::move(content));
}

}  // namespace

Task<void> push_layer(ContentTarget& target, Reference repository, Descriptor layer,
                      LayerBlobs& blobs, const PushProgress& progress) {
  if (is_foreign_layer_type(layer.media_type)) co_return;
  if (progress.is_there && co_await progress.is_there(layer)) co_return;
  auto from = blobs.repositories(layer, repository.registry);
  std::erase(from, repository.repository);
  OpenBlob open = [&blobs, layer, &progress] { return open_layer(blobs, layer, progress); };
  co_await target.push_blob(std::move(repository), std::move(layer), std::move(open),
                            std::move(from));
}

Task<void> push_image(ContentTarget& target, Reference name, const ExportImage& image,
                      LayerBlobs& blobs, PushProgress progress) {
  Reference repository = name;
  repository.tag.reset();
  repository.digest.reset();
  auto send = [&](const Descriptor& layer) {
    return push_layer(target, repository, layer, blobs, progress);
  };
  co_await for_each_bounded(layers_to_push(image), kLayerPushesMax, send);
  for (const ExportDocument& document : image.documents) {
    if (is_manifest_type(document.media_type)) continue;
    co_await push_config(target, repository, document);
  }
  if (progress.layers_done) progress.layers_done();
  for (const ExportDocument& document : image.documents) {
    if (!is_manifest_type(document.media_type)) continue;
    co_await put_document(target, repository, document);
  }
  co_await put_document(target, std::move(name), image.root);
}

}  // namespace cobuild::oci
