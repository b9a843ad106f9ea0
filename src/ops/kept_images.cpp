#include "ops/kept_images.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "core/base/error.hpp"
#include "oci/export_index.hpp"

namespace cobuild::ops {
namespace {

namespace json = boost::json;

constexpr std::string_view kNotes = "kept-image";  // name -> KeptImage

std::string note_key(oci::Reference name) {
  if (name.tag) name.digest.reset();
  return name.to_string();
}

json::object encode(const oci::ExportDocument& document) {
  return {{"mediaType", document.media_type}, {"text", document.text}};
}

std::string encode(const oci::ExportImage& image, const store::LayerChain& layers) {
  json::array documents;
  for (const oci::ExportDocument& document : image.documents) documents.push_back(encode(document));
  json::array blobs;
  for (const oci::Descriptor& layer : image.layers) {
    blobs.push_back({{"mediaType", layer.media_type},
                     {"digest", layer.digest.to_string()},
                     {"size", layer.size}});
  }
  json::array ids;
  for (store::LayerId const id : layers) ids.push_back(id.value);
  return json::serialize(json::object{{"keptAt", now().time_since_epoch().count()},
                                      {"root", encode(image.root)},
                                      {"documents", std::move(documents)},
                                      {"blobs", std::move(blobs)},
                                      {"layers", std::move(ids)}});
}

oci::ExportDocument decode_document(const json::value& value) {
  std::string text(value.at("text").as_string());
  BlobDigest const digest(Digest::of(text));
  return {std::string(value.at("mediaType").as_string()), digest, std::move(text)};
}

/// nullopt for a note that encode() did not write.
std::optional<KeptImage> decode(std::string_view key, std::string_view text) {
  try {
    json::value const value = json::parse(text);
    Timestamp const kept_at{std::chrono::nanoseconds(value.at("keptAt").as_int64())};
    KeptImage kept{oci::Reference::parse(key),
                   kept_at,
                   {.root = decode_document(value.at("root")),
                    .documents = {},
                    .layers = {},
                    .config = {},
                    .created = kept_at,
                    .names = {},
                    .descriptor_annotations = {},
                    .platform = {}},
                   {}};
    for (const json::value& document : value.at("documents").as_array()) {
      kept.image.documents.push_back(decode_document(document));
    }
    for (const json::value& blob : value.at("blobs").as_array()) {
      kept.image.layers.push_back(
          oci::describe(std::string(blob.at("mediaType").as_string()),
                        BlobDigest(Digest::parse(blob.at("digest").as_string())),
                        blob.at("size").to_number<std::uint64_t>()));
    }
    for (const json::value& id : value.at("layers").as_array()) {
      kept.layers.push_back({id.as_int64()});
    }
    return kept;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

bool has_layers(store::Store& store, const store::LayerChain& layers) {
  try {
    for (store::LayerId const id : layers) (void)store.get_layer(id);
    return true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kNotFound) throw;
    return false;
  }
}

class DocumentSource final : public oci::ContentSource {
 public:
  explicit DocumentSource(oci::ExportImage image) : image_(std::move(image)) {}

  Task<std::optional<oci::ManifestContent>> fetch_manifest(oci::Reference reference) override {
    const oci::ExportDocument* const document =
        reference.digest ? find(*reference.digest) : &image_.root;
    if (document == nullptr) co_return std::nullopt;
    co_return oci::ManifestContent{
        oci::describe(document->media_type, document->digest, document->text.size()),
        document->text};
  }

  Task<void> fetch_blob(oci::Reference, oci::Descriptor blob, oci::BlobSink& sink,
                        oci::ResumePoint resume) override {
    const oci::ExportDocument* const document = find(blob.digest);
    if (document == nullptr) {
      throw Error(ErrorKind::kNotFound, "blob " + blob.digest.to_string() + ": not found");
    }
    auto rest = std::as_bytes(std::span(document->text)).subspan(resume.offset);
    while (!rest.empty()) {
      std::size_t const count = std::min(rest.size(), oci::kChunkBytesMax);
      co_await sink.write(rest.first(count));
      rest = rest.subspan(count);
    }
  }

 private:
  [[nodiscard]] const oci::ExportDocument* find(const BlobDigest& digest) const {
    if (image_.root.digest == digest) return &image_.root;
    auto const found =
        std::ranges::find(image_.documents, digest, &oci::ExportDocument::digest);
    return found == image_.documents.end() ? nullptr : &*found;
  }

  oci::ExportImage image_;
};

}  // namespace

bool keep_image(store::Store& store, oci::Reference name, const oci::ExportImage& image,
                store::LayerChain layers) {
  std::ranges::sort(layers);
  layers.erase(std::ranges::unique(layers).begin(), layers.end());
  std::string const note = encode(image, layers);
  if (note.size() > store::Store::kNoteBytesMax) return false;
  store.put_note(kNotes, note_key(std::move(name)), note);
  return true;
}

Task<std::optional<KeptImage>> find_kept_image(store::Store& store, oci::Reference name) {
  std::string const key = note_key(name);
  std::optional<std::string> const note = store.get_note(kNotes, key);
  if (!note) co_return std::nullopt;
  std::optional<KeptImage> kept = decode(key, *note);
  if (!kept || (name.digest && *name.digest != kept->image.root.digest)) co_return std::nullopt;
  if (!co_await store.use(kept->layers)) co_return std::nullopt;
  co_return kept;
}

std::vector<KeptImage> list_kept_images(store::Store& store) {
  std::vector<KeptImage> images;
  for (const auto& [key, note] : store.list_notes(kNotes)) {
    std::optional<KeptImage> kept = decode(key, note);
    if (kept && has_layers(store, kept->layers)) {
      images.push_back(*std::move(kept));
    } else {
      store.drop_note(kNotes, key);
    }
  }
  return images;
}

std::unique_ptr<oci::ContentSource> make_document_source(oci::ExportImage image) {
  return std::make_unique<DocumentSource>(std::move(image));
}

}  // namespace cobuild::ops
