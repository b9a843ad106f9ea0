#include "cli/cache_plan.hpp"

#include "cli/export_options.hpp"
#include "cli/push_options.hpp"
#include "core/base/error.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::cli {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kInvalidInput, what); }

/// The attributes that are as an exporter's.
ops::SealRequest parse_seal(const CacheOptions& cache) {
  OutputOptions output;
  output.type = "oci";
  for (const char* key : {"compression", "compression-level", "force-compression", "oci-mediatypes"}) {
    auto const found = cache.attributes.find(key);
    if (found != cache.attributes.end()) output.attributes.insert(*found);
  }
  return parse_export_options(output).seal;
}

void check_type(const std::string& type, CacheUse use) {
  bool const exports = use == CacheUse::kExport;
  bool const known =
      type == "registry" || type == "local" || is_object_type(type) || (exports && type == "inline");
  if (known) return;
  if (!exports && type == "inline") {
    refuse("an inline cache is imported from its image: type=registry,ref=NAME");
  }
  refuse(exports ? "unknown cache exporter: \"" + type +
                       "\": use registry, local, gha, s3, azblob or inline"
                 : "unknown cache importer: " + type + ": use registry, local, gha, s3 or azblob");
}

/// A key of our own, so nobody has it in scripts for something else.
void check_pack(const CacheOptions& cache, CacheUse use) {
  if (!cache.attributes.contains("pack")) return;
  if (use == CacheUse::kImport) {
    refuse("pack is an attribute of cache exports: imports find out by themselves whether a cache is "
           "packed");
  }
  if (!is_object_type(cache.type)) {
    refuse("pack is an attribute of gha, s3 and azblob caches: the layers of " + cache.type +
           " caches are not packed");
  }
}

/// What a type cannot do without.
void check_place(const CachePlan& plan, CacheUse use) {
  if (plan.type == "local" && plan.directory.empty()) {
    refuse(use == CacheUse::kExport ? "local cache exporter requires dest: dest=DIR"
                                    : "local cache importer requires src: src=DIR");
  }
  if (plan.type != "registry") return;
  if (plan.ref.empty()) refuse("ref is required for registry cache: ref=NAME");
  try {
    (void)oci::Reference::parse(plan.ref);
  } catch (const Error& error) {
    throw error.with_context("failed to parse " + plan.ref);
  }
}

}  // namespace

CachePlan parse_cache_plan(const CacheOptions& cache, CacheUse use) {
  check_type(cache.type, use);
  check_pack(cache, use);
  CachePlan plan;
  plan.type = cache.type;
  plan.seal = parse_seal(cache);
  plan.image_manifest = plan.seal.oci_media_types;
  for (const auto& [key, value] : cache.attributes) {
    if (key == "ref") plan.ref = value;
    if (key == "dest" || key == "src") plan.directory = value;
    if (key == "tag") plan.tag = value;
    if (key == "digest") plan.digest = BlobDigest(Digest::parse(value));
    if (key == "mode") plan.all = value == "max";
    if (key == "image-manifest") plan.image_manifest = parse_bool(key, value);
    if (key == "registry.insecure") plan.insecure = parse_bool(key, value);
    if (key == "pack") plan.pack = parse_bool(key, value);
    if (key == "reset") plan.reset = parse_bool(key, value);
  }
  if (plan.image_manifest && !plan.seal.oci_media_types) {
    refuse("invalid configuration for remote cache, OCI mediatypes are required for image-manifest "
           "cache format");
  }
  if (is_object_type(plan.type)) plan.objects = parse_object_place(cache);
  check_place(plan, use);
  return plan;
}

bool ignores_errors(const CacheOptions& cache) {
  auto const found = cache.attributes.find("ignore-error");
  return found != cache.attributes.end() && parse_bool("ignore-error", found->second);
}

std::string place_name(const CachePlan& plan) {
  if (plan.objects) return plan.objects->name;
  return plan.type == "registry" ? plan.ref : "local:" + plan.directory;
}

std::string export_name(std::string_view type) {
  if (type == "s3") return "exporting cache to Amazon S3";
  if (type == "azblob") return "exporting cache to Azure Blob Storage";
  if (type == "gha") return "exporting to GitHub Actions Cache";
  return type == "registry" ? "exporting cache to registry" : "exporting cache to client directory";
}

}  // namespace cobuild::cli
