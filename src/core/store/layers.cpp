// The layers of a Store.

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <utility>

#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/store/durability.hpp"
#include "core/store/hearsay.hpp"
#include "core/store/store_impl.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

/// How many images are remembered for a blob: enough to fetch it from, or to mount it from.
constexpr std::size_t kBlobSourcesMax = 16;

std::vector<std::string> split_sources(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) out.push_back(line);
  return out;
}

/// Both, each once, as the blobs table has them.
std::string merge_sources(const std::vector<std::string>& added,
                          const std::vector<std::string>& known) {
  std::vector<std::string> all = added;
  all.insert(all.end(), known.begin(), known.end());
  std::vector<std::string> kept;
  std::string out;
  for (const std::string& source : all) {
    if (kept.size() >= kBlobSourcesMax) break;
    if (source.empty() || source.find('\n') != std::string::npos) continue;
    if (std::find(kept.begin(), kept.end(), source) != kept.end()) continue;
    kept.push_back(source);
    out += (out.empty() ? "" : "\n") + source;
  }
  return out;
}

/// Whether the layer's files or one of its blobs are here.
bool is_here(Database& database, std::int64_t layer) {
  return database
      .query("SELECT 1 FROM layers WHERE id = ?1 AND (has_snapshot <> 0 OR EXISTS(SELECT 1 FROM "
             "layer_blobs JOIN blobs ON blobs.digest = layer_blobs.digest WHERE layer = ?1))",
             {layer})
      .next();
}

/// What is said of a blob replaces what was said before, but for the size of one that is here; what
/// is said by hearsay is only added.
void add_blob(Database& database, std::int64_t layer, const LayerBlob& blob, bool is_hearsay) {
  std::vector<std::string> known;
  bool is_known = false;
  {
    Query row = database.query("SELECT sources FROM layer_blobs WHERE layer = ? AND digest = ?",
                               {layer, to_value(blob.digest.digest())});
    is_known = row.next();
    if (is_known) known = split_sources(row.text(0));
  }
  if (is_hearsay && !is_known && is_here(database, layer)) return;
  std::string const sources =
      is_hearsay ? merge_sources(known, blob.sources) : merge_sources(blob.sources, known);
  if (is_hearsay && is_known) {
    database.run("UPDATE layer_blobs SET sources = ? WHERE layer = ? AND digest = ?",
                 {std::string_view(sources), layer, to_value(blob.digest.digest())});
    return;
  }
  database.run(
      "INSERT INTO layer_blobs(layer, digest, size, media_type, sources) "
      "VALUES(?1, ?2, coalesce((SELECT size FROM blobs WHERE digest = ?2), ?3), ?4, ?5) "
      "ON CONFLICT(layer, digest) DO UPDATE SET size = excluded.size, "
      "media_type = excluded.media_type, sources = excluded.sources",
      {layer, to_value(blob.digest.digest()), blob.size, std::string_view(blob.media_type),
       std::string_view(sources)});
}

/// Adds the row of a layer and returns its id.
std::int64_t insert_layer(Database& database, const std::optional<ChainId>& chain_id,
                          const LayerAttributes& attributes, bool has_snapshot,
                          bool is_hearsay = false) {
  std::int64_t const time = to_integer(now());
  auto const chain = chain_id ? std::optional(chain_id->digest()) : std::nullopt;
  auto const diff = attributes.diff_id ? std::optional(attributes.diff_id->digest()) : std::nullopt;
  Value const amended = attributes.amends ? Value(attributes.amends->value) : Value();
  database.run(
      "INSERT INTO layers(chain_id, diff_id, has_snapshot, unsynced, amends, description, kind, "
      "created_at, "
      "last_used_at, usage_count) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
      {to_value(chain), to_value(diff), std::int64_t{has_snapshot}, std::int64_t{has_snapshot},
       amended, std::string_view(attributes.description),
       static_cast<std::int64_t>(attributes.kind), time, time});
  std::int64_t const id = database.last_insert_id();
  if (attributes.blob) add_blob(database, id, *attributes.blob, is_hearsay);
  return id;
}

/// Moves the files of a new layer to where those of layer `id` belong. Called within the
/// transaction that says so: if it does not commit, the files are nobody's and the id comes again.
void place_files(const std::filesystem::path& files, const std::filesystem::path& target) {
  if (::mkdir(target.c_str(), 0755) != 0) {
    if (errno != EEXIST) throw Error::from_errno(errno, "make " + target.string());
    remove_tree(target);  // of a process that died between the two steps
    if (::mkdir(target.c_str(), 0755) != 0)
      throw Error::from_errno(errno, "make " + target.string());
  }
  auto const fs = target / "fs";
  if (::rename(files.c_str(), fs.c_str()) != 0) {
    throw Error::from_errno(errno, "rename " + files.string() + " to " + fs.string());
  }
}

}  // namespace

void add_lease(Database& database, std::string_view lease, std::int64_t layer) {
  database.run("INSERT OR IGNORE INTO leases(process, layer) VALUES(?, ?)", {lease, layer});
}

NewLayer Store::new_layer() {
  return NewLayer(TempDir::create(impl_->scratch_path(), "layer-"));
}

Task<LayerId> Store::commit_layer(NewLayer layer, LayerAttributes attributes) {
  Timings::Span const span(Phase::kCommit);
  Impl& impl = *impl_;
  auto job = [&impl, lease = impl.lease.name(), layer = std::move(layer),
              attributes = std::move(attributes)](Database& database) mutable {
    LayerId const id{insert_layer(database, std::nullopt, attributes, true)};
    place_files(layer.fs(), impl.snapshot_path(id));
    add_lease(database, lease, id.value);
    return id;
  };
  LayerId const id = co_await impl.write(std::move(job));
  impl.leased.insert(id);
  co_return id;
}

namespace {

Task<LayerId> add_layer(Store::Impl& impl, ChainId chain_id, LayerAttributes attributes,
                        bool is_hearsay) {
  auto job = [chain_id, is_hearsay, lease = impl.lease.name(),
              attributes = std::move(attributes)](Database& database) {
    std::optional<std::int64_t> id;
    {
      Query row =
          database.query("SELECT id FROM layers WHERE chain_id = ?", {to_value(chain_id.digest())});
      if (row.next()) id = row.integer(0);
    }
    if (!id) {
      id = insert_layer(database, chain_id, attributes, false, is_hearsay);
    } else {
      auto const diff =
          attributes.diff_id ? std::optional(attributes.diff_id->digest()) : std::nullopt;
      database.run(
          "UPDATE layers SET diff_id = coalesce(diff_id, ?), last_used_at = ?, "
          "usage_count = usage_count + 1 WHERE id = ?",
          {to_value(diff), to_integer(now()), *id});
      if (attributes.blob) add_blob(database, *id, *attributes.blob, is_hearsay);
    }
    add_lease(database, lease, *id);
    return LayerId{*id};
  };
  LayerId const id = co_await impl.write(std::move(job));
  impl.leased.insert(id);
  co_return id;
}

}  // namespace

Task<LayerId> Store::add_remote_layer(ChainId chain_id, LayerAttributes attributes) {
  co_return co_await add_layer(*impl_, chain_id, std::move(attributes), false);
}

Task<LayerId> add_layer_by_hearsay(Store& store, ChainId chain_id, LayerAttributes attributes) {
  co_return co_await add_layer(store.impl(), chain_id, std::move(attributes), true);
}

Task<void> Store::commit_snapshot(LayerId id, NewLayer files) {
  Timings::Span const span(Phase::kCommit);
  Impl& impl = *impl_;
  auto job = [&impl, id, files = std::move(files)](Database& database) mutable {
    bool has_snapshot = false;
    {
      Query row = database.query("SELECT has_snapshot AND unsynced <> ? FROM layers WHERE id = ?",
                                 {kSuspect, id.value});
      if (!row.next()) {
        throw Error(ErrorKind::kNotFound,
                    "layer " + std::to_string(id.value) + " is not in the store");
      }
      has_snapshot = row.integer(0) != 0;
    }
    if (has_snapshot) return true;
    place_files(files.fs(), impl.snapshot_path(id));
    database.run(
        "UPDATE layers SET has_snapshot = 1, unsynced = 1, checksum = NULL, size = NULL "
        "WHERE id = ?",
        {id.value});
    return true;
  };
  co_await impl.write(std::move(job));
}

Task<void> Store::set_sealed(LayerId id, DiffId diff_id, LayerBlob blob) {
  auto job = [id, diff_id, blob = std::move(blob)](Database& database) {
    database.run("UPDATE layers SET diff_id = ? WHERE id = ?",
                 {to_value(diff_id.digest()), id.value});
    if (database.changes() == 0) {
      throw Error(ErrorKind::kNotFound,
                  "layer " + std::to_string(id.value) + " is not in the store");
    }
    add_blob(database, id.value, blob, false);
    return true;
  };
  co_await impl_->write(std::move(job));
}

Task<void> forget_blob(Store& store, LayerId id, BlobDigest digest) {
  auto job = [id, digest](Database& database) {
    database.run("DELETE FROM layer_blobs WHERE layer = ? AND digest = ?",
                 {id.value, to_value(digest.digest())});
    return true;
  };
  co_await store.impl().write(std::move(job));
}

Layer Store::get_layer(LayerId id) {
  Timings::Span const span(Phase::kStore);
  Database& database = impl_->reader;
  Query row = database.query(
      "SELECT diff_id, has_snapshot AND unsynced <> ?, size, description, kind, created_at, "
      "last_used_at, usage_count, amends "
      "FROM layers WHERE id = ?",
      {kSuspect, id.value});
  if (!row.next()) {
    throw Error(ErrorKind::kNotFound, "layer " + std::to_string(id.value) + " is not in the store");
  }
  Layer layer;
  layer.id = id;
  if (auto digest = row.optional_digest(0)) layer.diff_id = DiffId(*digest);
  layer.has_snapshot = row.integer(1) != 0;
  layer.size = row.integer(2);  // NULL, not measured yet, reads as 0
  layer.description = row.text(3);
  layer.kind = static_cast<RecordKind>(row.integer(4));
  layer.created_at = to_timestamp(row.integer(5));
  layer.last_used_at = to_timestamp(row.integer(6));
  layer.usage_count = row.integer(7);
  if (!row.is_null(8)) layer.amends = LayerId{row.integer(8)};
  Query blobs = database.query(
      "SELECT digest, size, media_type, sources, "
      "EXISTS(SELECT 1 FROM blobs WHERE blobs.digest = layer_blobs.digest) "
      "FROM layer_blobs WHERE layer = ? ORDER BY digest",
      {id.value});
  while (blobs.next()) {
    layer.blobs.push_back({BlobDigest(blobs.digest(0)), blobs.integer(1), blobs.text(2),
                           split_sources(blobs.text(3)), blobs.integer(4) != 0});
  }
  if (!layer.has_snapshot && !layer.blobs.empty()) layer.size = layer.blobs.front().size;
  return layer;
}

std::optional<LayerId> Store::find_layer(ChainId chain_id) {
  Query row = impl_->reader.query("SELECT id FROM layers WHERE chain_id = ?",
                                  {to_value(chain_id.digest())});
  if (!row.next()) return std::nullopt;
  return LayerId{row.integer(0)};
}

std::filesystem::path Store::snapshot_path(LayerId id) const {
  return impl_->snapshot_path(id) / "fs";
}

void Store::set_reachable(std::function<bool(const std::string& source)> reachable) {
  impl_->reachable = std::move(reachable);
}

/// Whether the layer is here, in whatever form, or can be fetched. One that is gone is not asked about.
bool Store::Impl::can_be_had(LayerId id) {
  {
    Query layer = reader.query(
        "SELECT 1 FROM layers WHERE id = ?1 AND has_snapshot = 0 AND NOT EXISTS(SELECT 1 FROM "
        "layer_blobs JOIN blobs ON blobs.digest = layer_blobs.digest WHERE layer = ?1)",
        {id.value});
    if (!layer.next()) return true;
  }
  Query blobs = reader.query("SELECT sources FROM layer_blobs WHERE layer = ?", {id.value});
  while (blobs.next()) {
    if (!reachable || std::ranges::any_of(split_sources(blobs.text(0)), reachable)) return true;
  }
  return false;
}

Task<bool> Store::use(LayerChain chain) {
  Impl& impl = *impl_;
  std::erase_if(chain, [&](LayerId id) { return impl.leased.contains(id); });
  if (chain.empty()) co_return true;
  for (LayerId const id : chain) {
    if (impl.must_be_whole(id) && !co_await confirm_snapshot(id)) co_return false;
    if (!impl.can_be_had(id)) co_return false;
  }
  auto job = [chain, lease = impl.lease.name()](Database& database) {
    for (LayerId const id : chain) {
      if (!database.query("SELECT 1 FROM layers WHERE id = ?", {id.value}).next()) return false;
    }
    std::int64_t const time = to_integer(now());
    for (LayerId const id : chain) {
      database.run("UPDATE layers SET last_used_at = ?, usage_count = usage_count + 1 WHERE id = ?",
                   {time, id.value});
      add_lease(database, lease, id.value);
    }
    return true;
  };
  bool const all_there = co_await impl.write(std::move(job));
  if (all_there) impl.leased.insert(chain.begin(), chain.end());
  co_return all_there;
}

}  // namespace cobuild::store
