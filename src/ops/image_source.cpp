#include <charconv>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/chain_id.hpp"
#include "ops/images.hpp"
#include "ops/layer_forms.hpp"
#include "ops/op_description.hpp"
#include "ops/op_digest.hpp"

namespace cobuild::ops {
namespace {

constexpr std::string_view kImageScheme = "docker-image://";
constexpr std::string_view kLayoutScheme = "oci-layout://";

/// What the vertex's identifier and attributes ask for (F2.2.1, F2.2.4). Unknown attributes are
/// ignored (F2.2.17).
struct ImageRequest {
  std::string reference;
  bool layout = false;
  std::string store;  ///< oci.store: the layout's name; empty: the reference's first part.
  ResolveMode mode = ResolveMode::kDefault;
  store::RecordKind kind = store::RecordKind::kRegular;
  std::optional<std::size_t> layer_limit;
  std::optional<Digest> checksum;
};

ResolveMode parse_mode(const std::string& text) {
  if (text.empty() || text == "default") return ResolveMode::kDefault;
  if (text == "pull") return ResolveMode::kPull;
  if (text == "local") return ResolveMode::kLocal;
  throw Error(ErrorKind::kInvalidInput, "invalid resolvemode: " + text);
}

std::size_t parse_layer_limit(const std::string& text) {
  std::size_t limit = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size() || limit == 0) {
    throw Error(ErrorKind::kInvalidInput, "invalid layer limit " + text);
  }
  return limit;
}

ImageRequest parse_request(const pb::SourceOp& source) {
  ImageRequest request;
  std::string_view identifier = source.identifier();
  request.layout = identifier.starts_with(kLayoutScheme);
  identifier.remove_prefix(request.layout ? kLayoutScheme.size() : kImageScheme.size());
  request.reference = identifier;
  for (const auto& [key, value] : source.attrs()) {
    if (key == "image.resolvemode") request.mode = parse_mode(value);
    if (key == "image.recordtype" && value == "frontend") {
      request.kind = store::RecordKind::kFrontend;
    }
    if (key == "image.layerlimit" || key == "oci.layerlimit") {
      request.layer_limit = parse_layer_limit(value);
    }
    if (key == "image.checksum") request.checksum = Digest::parse(value);
    if (key == "oci.store") request.store = value;
  }
  return request;
}

class ImageSource final : public solve::Op {
 public:
  ImageSource(store::Store& store, Images& images, std::shared_ptr<const llb::Vertex> vertex)
      : store_(store),
        images_(images),
        vertex_(std::move(vertex)),
        request_(parse_request(vertex_->op.source())) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink& step) override {
    step.status("resolve " + request_.reference, 0, 0, false);
    image_ = co_await resolve();
    step.status("resolve " + request_.reference, 0, 0, true);
    std::vector<solve::CacheMap> maps;
    maps.push_back(make_map(image_manifest_key(
        image_->manifest_digest, vertex_->op.platform(),
        request_.layer_limit ? std::optional<int>(static_cast<int>(*request_.layer_limit))
                             : std::nullopt)));
    std::optional<ChainId> chain;
    for (const ImageLayer& layer : image_->layers) chain = extend_chain(chain, layer.diff_id);
    // The same layers under another name are the same image.
    if (chain) maps.push_back(make_map(chain->to_string()));
    co_return maps;
  }

  Task<Digest> content_digest(std::size_t, solve::Result, solve::StepSink&) override {
    throw Error(ErrorKind::kInternal, "an image has no inputs");
  }

  [[nodiscard]] solve::OpDescription describe() const override {
    solve::OpDescription what{.kind = "image", .arguments = {}, .variables = {}, .mounts = {}, .settings = {}};
    what.settings["image"] = request_.reference.substr(0, request_.reference.find('@'));
    what.settings["digest"] = image_->manifest_digest.to_string();
    what.settings["platform"] = platform_text(vertex_->op.platform());
    return what;
  }

  /// Names the layers; none is fetched.
  Task<std::vector<solve::Result>> run(std::vector<solve::Result>, solve::StepSink&) override {
    if (!image_) image_ = co_await resolve();
    solve::Result result;
    result.layers = co_await add_image_layers(store_, *image_, "pulled from " + request_.reference,
                                              request_.kind);
    std::vector<solve::Result> results;
    results.push_back(std::move(result));
    co_return results;
  }

  [[nodiscard]] bool takes_slot() const override { return false; }  // Nothing is moved here.

 private:
  [[nodiscard]] solve::CacheMap make_map(const std::string& key) const {
    return solve::CacheMap{source_digest(key), {}};
  }

  Task<ResolvedImage> resolve() {
    ResolvedImage image =
        request_.layout
            ? co_await images_.resolve_layout(request_.store, request_.reference,
                                              vertex_->op.platform())
            : co_await images_.resolve(request_.reference, vertex_->op.platform(), request_.mode);
    if (request_.checksum && image.manifest_digest != *request_.checksum) {
      throw Error(ErrorKind::kCorrupt, "image digest " + image.manifest_digest.to_string() + " for " +
                                           request_.reference +
                                           " does not match expected checksum " +
                                           request_.checksum->to_string());
    }
    if (request_.layer_limit) {
      if (*request_.layer_limit > image.layers.size()) {
        throw Error(ErrorKind::kInvalidInput,
                    "layer limit " + std::to_string(*request_.layer_limit) +
                        " is greater than the number of layers in the image " +
                        std::to_string(image.layers.size()));
      }
      image.layers.erase(image.layers.begin() + static_cast<std::ptrdiff_t>(*request_.layer_limit),
                         image.layers.end());
    }
    co_return image;
  }

  store::Store& store_;
  Images& images_;
  std::shared_ptr<const llb::Vertex> vertex_;
  ImageRequest request_;
  std::optional<ResolvedImage> image_;
};

}  // namespace

Task<store::LayerChain> add_image_layers(store::Store& store, ResolvedImage image,
                                         std::string description, store::RecordKind kind) {
  store::LayerChain layers;
  std::optional<ChainId> chain;
  for (ImageLayer& layer : image.layers) {
    chain = extend_chain(chain, layer.diff_id);
    store::LayerAttributes attributes;
    attributes.description = description;
    attributes.kind = kind;
    attributes.diff_id = layer.diff_id;
    attributes.blob = store::LayerBlob{layer.blob, layer.size, layer.media_type, {}, false};
    attributes.blob->sources = std::move(layer.sources);
    attributes.blob->sources.push_back(image.reference);
    layers.push_back(co_await store.add_remote_layer(*chain, std::move(attributes)));
    if (layer.urls.empty() && layer.annotations.empty()) continue;
    put_layer_form(store, layers.back(), described_form(layer.blob),
                   {.diff_id = layer.diff_id,
                    .blob = layer.blob,
                    .bytes = layer.size,
                    .media_type = layer.media_type,
                    .urls = std::move(layer.urls),
                    .annotations = std::move(layer.annotations)});
  }
  co_return layers;
}

std::unique_ptr<solve::Op> make_image_source(store::Store& store, Images& images,
                                             std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<ImageSource>(store, images, std::move(vertex));
}

}  // namespace cobuild::ops
