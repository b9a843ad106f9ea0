#include "dockerfile/git_reference.hpp"

#include <map>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "core/base/go_quote.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

/// A flag of the query: present is true.
bool read_flag(const std::string& key, const std::string& value) {
  if (value.empty()) return true;
  auto const flag = try_parse_bool(value);
  if (!flag) fail("invalid " + key + " value: " + go_quote(value));
  return *flag;
}

/// Sets what fragment and query may both say.
void set_once(std::string& field, const std::string& value, const char* name) {
  if (!field.empty() && field != value) {
    fail(std::string(name) + " conflicts: " + go_quote(field) + " vs " + go_quote(value));
  }
  field = value;
}

std::string with_prefix(const std::string& name, std::string_view prefix) {
  return name.starts_with(prefix) ? name : std::string(prefix) + name;
}

class QueryReader {
 public:
  explicit QueryReader(GitReference& out) : out_(out) {}

  void read(const std::string& key, const std::string& value) {
    bool const is_flag = key == "submodules" || key == "keep-git-dir" || key == "fetch-by-commit";
    if (value.empty() && !is_flag) fail("query " + go_quote(key) + " has no value");
    if (key == "ref") {
      set_once(out_.ref, value, "ref");
    } else if (key == "tag") {
      tag_ = with_prefix(value, "refs/tags/");
    } else if (key == "branch") {
      branch_ = with_prefix(value, "refs/heads/");
    } else if (key == "subdir") {
      set_once(out_.subdir, value, "subdir");
    } else if (key == "checksum" || key == "commit") {
      out_.checksum = value;
    } else if (key == "keep-git-dir") {
      out_.keep_git_dir = read_flag(key, value);
    } else if (key == "submodules") {
      out_.submodules = read_flag(key, value);
    } else if (key == "fetch-by-commit") {
      out_.fetch_by_commit = read_flag(key, value);
    } else if (key == "mtime") {
      if (value != "checkout" && value != "commit") {
        fail("invalid mtime value: " + go_quote(value) + R"( (must be "checkout" or "commit"))");
      }
      out_.mtime = value;
    } else {
      fail("unexpected query " + go_quote(key));
    }
  }

  void finish() {
    if (!tag_.empty()) set_once(out_.ref, tag_, "ref");
    if (branch_.empty()) return;
    if (!tag_.empty()) fail("branch conflicts with tag");
    set_once(out_.ref, branch_, "ref");
  }

 private:
  GitReference& out_;
  std::string tag_;
  std::string branch_;
};

void read_query(const GitUrl& url, GitReference& out) {
  std::map<std::string, std::vector<std::string>> values;
  for (const auto& [key, value] : url.query) values[key].push_back(value);
  QueryReader reader(out);
  for (const auto& [key, all] : values) {
    if (all.size() > 1) fail("query " + go_quote(key) + " has multiple values");
    reader.read(key, all[0]);
  }
  reader.finish();
}

}  // namespace

std::optional<GitReference> try_parse_git_reference(std::string_view text) {
  if (text.starts_with("./") || text.starts_with("../")) return std::nullopt;
  GitReference out;
  out.is_like_a_path = text.starts_with("github.com/");
  auto const url = out.is_like_a_path ? try_parse_any_url("https://" + std::string(text))
                                      : try_parse_git_url(text);
  if (!url) return std::nullopt;
  bool const is_http = url->scheme == "http" || url->scheme == "https";
  if (!out.is_like_a_path && is_http && !url->path.ends_with(".git")) return std::nullopt;
  out.remote = url->remote;
  if (out.is_like_a_path) out.remote.erase(0, std::string_view("https://").size());
  out.ref = url->ref;
  out.subdir = url->subdir;
  read_query(*url, out);
  return out;
}

}  // namespace cobuild::dockerfile
