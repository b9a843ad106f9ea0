#include "oci/artifact_store.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/go_time.hpp"
#include "oci/export_index.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/text_reader.hpp"

namespace cobuild::oci {
namespace {

constexpr std::string_view kConfigType = "application/vnd.cobuild.objects.v1+json";
constexpr std::string_view kConfig = "{}";
constexpr std::string_view kObjectType = "application/vnd.cobuild.object.v1";
constexpr const char* kTitle = "org.opencontainers.image.title";
constexpr const char* kCreated = "org.opencontainers.image.created";
/// So that the manifest stays well below what registries take.
constexpr std::size_t kObjectsMax = 8000;
/// Of those who write at the same moment at least one is done each time.
constexpr int kSettleTriesMax = 10;

std::string title_of(const Descriptor& object) {
  auto const title = object.annotations.find(kTitle);
  return title == object.annotations.end() ? std::string() : title->second;
}

/// The digest of `size` bytes. \throws Error when there are not as many.
Task<BlobDigest> hash_of(OpenBlob open, std::uint64_t size, std::string name) {
  std::unique_ptr<BlobReader> const blob = co_await open();
  std::vector<std::byte> buffer(kChunkBytesMax);
  DigestWriter hash;
  std::uint64_t done = 0;
  for (;;) {
    std::size_t const count = co_await blob->read(buffer);
    if (count == 0) break;
    hash.write(std::span<const std::byte>(buffer).first(count));
    done += count;
  }
  if (done != size) throw Error(ErrorKind::kInternal, name + " is not as long as it was said to be");
  co_return BlobDigest(hash.finish());
}

/// Passes on a part of what it gets.
class PartSink final : public BlobSink {
 public:
  PartSink(BlobSink& sink, std::uint64_t offset, std::uint64_t length)
      : sink_(sink), skip_(offset), left_(length) {}

  Task<void> write(std::span<const std::byte> chunk) override {
    auto const skipped = std::min<std::uint64_t>(skip_, chunk.size());
    skip_ -= skipped;
    chunk = chunk.subspan(static_cast<std::size_t>(skipped));
    chunk = chunk.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, chunk.size())));
    left_ -= chunk.size();
    if (!chunk.empty()) co_await sink_.write(chunk);
  }

 private:
  BlobSink& sink_;
  std::uint64_t skip_;
  std::uint64_t left_;
};

}  // namespace

ArtifactStore::ArtifactStore(asio::any_io_executor executor, ContentSource& source,
                             ContentTarget& target, Reference place, Pause pause)
    : source_(source),
      target_(target),
      place_(std::move(place)),
      pause_(std::move(pause)),
      turn_(std::move(executor), 1) {}

Task<void> ArtifactStore::reload() {
  std::optional<ManifestContent> content = co_await source_.fetch_manifest(place_);
  std::vector<Descriptor> objects;
  if (content) {
    bool const is_manifest = content->descriptor.media_type == kOciManifest;
    Manifest manifest = is_manifest ? parse_manifest(content->bytes) : Manifest();
    if (!manifest.config || manifest.config->media_type != kConfigType) {
      throw Error(ErrorKind::kInvalidInput,
                  place_.to_string() + " is an image or something else: choose another name");
    }
    objects = std::move(manifest.layers);
  }
  objects_ = std::move(objects);
}

Task<void> ArtifactStore::load() {
  Semaphore::Slot const slot = co_await turn_.acquire();
  if (!objects_) co_await reload();
}

std::optional<Descriptor> ArtifactStore::look_up(const std::string& name) const {
  auto const found = std::ranges::find(*objects_, name, title_of);
  if (found == objects_->end()) return std::nullopt;
  return *found;
}

Task<std::optional<ObjectInfo>> ArtifactStore::find(std::string name) {
  co_await load();
  std::optional<Descriptor> const object = look_up(name);
  if (!object) co_return std::nullopt;
  co_return ObjectInfo{std::move(name), object->size};
}

Task<std::optional<ObjectInfo>> ArtifactStore::find_newest(std::string prefix) {
  co_await load();
  for (auto object = objects_->rbegin(); object != objects_->rend(); ++object) {
    std::string title = title_of(*object);
    if (title.starts_with(prefix)) co_return ObjectInfo{std::move(title), object->size};
  }
  co_return std::nullopt;
}

Task<void> ArtifactStore::read(std::string name, std::uint64_t offset, std::uint64_t length,
                               BlobSink& sink) {
  co_await load();
  std::optional<Descriptor> object = look_up(name);
  if (!object) throw Error(ErrorKind::kNotFound, place_.to_string() + " has no " + name);
  PartSink part(sink, offset, length);
  co_await source_.fetch_blob(place_, *std::move(object), part);
}

Task<void> ArtifactStore::push_config() {
  if (has_config_) co_return;
  std::string const text(kConfig);
  Descriptor config = describe(std::string(kConfigType), BlobDigest(Digest::of(text)), text.size());
  co_await target_.push_blob(place_, std::move(config), open_text(text), {});
  has_config_ = true;
}

Task<void> ArtifactStore::write(std::string name, std::uint64_t size, OpenBlob open) {
  co_await load();  // What has this name may not be ours to change.
  BlobDigest const digest = co_await hash_of(open, size, name);
  Descriptor object = describe(std::string(kObjectType), digest, size);
  object.annotations[kTitle] = std::move(name);
  object.annotations[kCreated] = format_rfc3339(now());
  co_await target_.push_blob(place_, object, std::move(open), {});
  pending_.push_back(std::move(object));
  co_await add();
}

/// Whoever comes first takes along what others have sent meanwhile.
Task<void> ArtifactStore::add() {
  Semaphore::Slot const slot = co_await turn_.acquire();
  if (pending_.empty()) co_return;
  co_await push_config();
  co_await reload();
  std::vector<Descriptor> const added = std::exchange(pending_, {});
  for (const Descriptor& object : added) {
    std::erase_if(*objects_, [&](const Descriptor& old) { return title_of(old) == title_of(object); });
    objects_->push_back(object);
  }
  if (objects_->size() > kObjectsMax) {
    throw Error(ErrorKind::kUnsupported, place_.to_string() + " has too many objects: choose another name");
  }
  co_await push_manifest();
  written_.insert(written_.end(), added.begin(), added.end());
}

Task<bool> ArtifactStore::restore_written() {
  Semaphore::Slot const slot = co_await turn_.acquire();
  co_await reload();
  std::size_t const there = objects_->size();
  for (const Descriptor& object : written_) {
    if (!look_up(title_of(object))) objects_->push_back(object);
  }
  if (objects_->size() == there) co_return true;
  co_await push_manifest();
  co_return false;
}

Task<void> ArtifactStore::settle() {
  if (written_.empty()) co_return;
  for (int tries = 0; tries < kSettleTriesMax; ++tries) {
    co_await pause_();
    if (co_await restore_written()) co_return;
  }
  throw Error(ErrorKind::kUnavailable, "others keep changing " + place_.to_string() +
                                           " at the same time: use another name for each of them");
}

Task<std::vector<WrittenObject>> ArtifactStore::list(std::string prefix) {
  co_await load();
  std::vector<WrittenObject> found;
  for (auto object = objects_->rbegin(); object != objects_->rend(); ++object) {
    std::string title = title_of(*object);
    if (!title.starts_with(prefix)) continue;
    auto const created = object->annotations.find(kCreated);
    auto const time = created == object->annotations.end() ? std::nullopt : try_parse_rfc3339(created->second);
    found.push_back({std::move(title), time.value_or(Timestamp())});
  }
  co_return found;
}

Task<void> ArtifactStore::remove(std::vector<std::string> names) {
  Semaphore::Slot const slot = co_await turn_.acquire();
  co_await reload();
  auto const goes = [&](const Descriptor& object) {
    return std::ranges::find(names, title_of(object)) != names.end();
  };
  std::erase_if(*objects_, goes);
  std::erase_if(written_, goes);
  co_await push_manifest();
}

Task<void> ArtifactStore::push_manifest() {
  Manifest manifest;
  manifest.media_type = std::string(kOciManifest);
  manifest.config = describe(std::string(kConfigType), BlobDigest(Digest::of(kConfig)), kConfig.size());
  manifest.layers = *objects_;
  std::string text = to_json(manifest);
  Descriptor described = describe(manifest.media_type, BlobDigest(Digest::of(text)), text.size());
  ManifestContent content{std::move(described), std::move(text)};
  co_await target_.push_manifest(place_, std::move(content));
}

}  // namespace cobuild::oci
