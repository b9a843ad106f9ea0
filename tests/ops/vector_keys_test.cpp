// The cache keys that BuildKit computes (tests/vectors): op digests, selectors and content digests,
// from its LLB, must be ours.

#include <gtest/gtest.h>

#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "core/llb/definition.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/process.hpp"
#include "ops/content_hash.hpp"
#include "ops/file_tree.hpp"
#include "ops/op_digest.hpp"
#include "support/run_task.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const fs::path kVectors = fs::path(COBUILD_TEST_DIR).parent_path() / "vectors";

std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

json::value read_json(const fs::path& path) {
  return json::parse(read_text(path));
}

/// The context that all cases share, with the modes that the vectors were made with.
void make_context(const fs::path& target) {
  // Not fs::copy: the checkout may be read-only, and the modes would come along.
  fs::create_directories(target);
  for (const auto& entry : fs::recursive_directory_iterator(kVectors / "context")) {
    fs::path const copy = target / entry.path().lexically_relative(kVectors / "context");
    if (entry.is_directory()) {
      fs::create_directory(copy);
    } else {
      std::ofstream(copy, std::ios::binary) << read_text(entry.path());
    }
    ::chmod(copy.c_str(), entry.is_directory() ? 0755 : 0644);
  }
  // A symlink when the vectors were made; their copy here has its target as text.
  fs::remove(target / "d/link");
  fs::create_symlink("b.txt", target / "d/link");
  if (fs::exists("/bin/busybox")) {
    fs::copy_file("/bin/busybox", target / "busybox");
    ::chmod((target / "busybox").c_str(), 0755);
  }
}

/// BuildKit's JSON of a definition, as vertices.
class VectorGraph {
 public:
  explicit VectorGraph(const json::value& llb) {
    for (const auto& [digest, op] : llb.at("def").as_object()) {
      pb::Op parsed;
      auto const status = google::protobuf::util::JsonStringToMessage(json::serialize(op), &parsed);
      EXPECT_TRUE(status.ok()) << status.ToString();
      ops_[std::string(digest)] = std::move(parsed);
    }
  }

  /// What the one op without a body refers to.
  llb::Edge result() {
    for (const auto& [digest, op] : ops_) {
      if (op.op_case() == pb::Op::OP_NOT_SET) return edge(op.inputs(0));
    }
    ADD_FAILURE() << "no result";
    return {};
  }

 private:
  llb::Edge edge(const pb::Input& input) {
    return {.vertex = vertex(input.digest()), .output = static_cast<int>(input.index())};
  }

  std::shared_ptr<const llb::Vertex> vertex(const std::string& digest) {
    auto& made = vertices_[digest];
    if (made) return made;
    const pb::Op& op = ops_.at(digest);
    std::vector<llb::Edge> inputs;
    for (const pb::Input& input : op.inputs()) inputs.push_back(edge(input));
    VertexDigest const id(Digest::parse(digest));
    auto vertex = std::make_shared<llb::Vertex>(id, op, pb::OpMetadata(), std::move(inputs));
    return vertices_[digest] = std::move(vertex);
  }

  std::map<std::string, pb::Op> ops_;
  std::map<std::string, std::shared_ptr<const llb::Vertex>> vertices_;
};

/// Records as text that does not depend on how they are numbered.
class RecordSet {
 public:
  using Link = std::pair<std::string, std::string>;  // selector, record

  std::string add(const std::string& digest, const std::vector<std::set<Link>>& inputs) {
    std::string text = digest.substr(7, 12) + "(";
    for (const std::set<Link>& alternatives : inputs) {
      text += "[";
      for (const auto& [selector, record] : alternatives) {
        text += (selector.empty() ? std::string() : selector.substr(7, 8) + ":") + record + " ";
      }
      text += "]";
    }
    text += ")";
    all_.insert(text);
    return text;
  }

  const std::set<std::string>& all() const { return all_; }

 private:
  std::set<std::string> all_;
};

std::set<std::string> expected_records(const json::value& config) {
  const json::array& records = config.at("records").as_array();
  RecordSet set;
  std::function<std::string(std::size_t)> add = [&](std::size_t index) -> std::string {
    const json::object& record = records[index].as_object();
    std::vector<std::set<RecordSet::Link>> inputs;
    if (const auto* found = record.if_contains("inputs")) {
      for (const json::value& input : found->as_array()) {
        std::set<RecordSet::Link> links;
        for (const json::value& link : input.as_array()) {
          const json::object& fields = link.as_object();
          const auto* selector = fields.if_contains("selector");
          const auto* target = fields.if_contains("link");
          auto const to = target ? static_cast<std::size_t>(target->as_int64()) : 0;
          links.emplace(selector ? std::string(selector->as_string()) : std::string(), add(to));
        }
        inputs.push_back(std::move(links));
      }
    }
    return set.add(std::string(record.at("digest").as_string()), inputs);
  };
  for (std::size_t i = 0; i < records.size(); ++i) add(i);
  return set.all();
}

/// What BuildKit would have recorded, by walking the graph.
class KeyWalk {
 public:
  /// The content digest of an input's result; called only for inputs that are not local.
  using Contents = std::function<Digest(const llb::Vertex&, const std::vector<ContentSelector>&)>;

  KeyWalk(fs::path context, Contents contents)
      : context_(std::move(context)), contents_(std::move(contents)) {}

  std::string walk(const llb::Edge& edge) {
    OpKey const key = op_key(*edge.vertex);
    std::vector<std::set<RecordSet::Link>> inputs;
    for (std::size_t i = 0; i < edge.vertex->inputs.size(); ++i) {
      const solve::CacheDependency& dependency = key.map.dependencies[i];
      const llb::Edge& input = edge.vertex->inputs[i];
      std::set<RecordSet::Link> links;
      if (!dependency.content_only) {
        links.emplace(dependency.selector ? dependency.selector->to_string() : "", walk(input));
      }
      if (dependency.content_keyed) {
        Digest const content = content_of(*input.vertex, key.selectors[i]);
        links.emplace("", records_.add(root_key(content, -1).to_string(), {}));
      }
      inputs.push_back(std::move(links));
    }
    return records_.add(root_key(key.map.op, edge.output).to_string(), inputs);
  }

  const std::set<std::string>& records() const { return records_.all(); }

 private:
  Digest content_of(const llb::Vertex& vertex, std::vector<ContentSelector> selectors) {
    if (!is_local_source(vertex)) return contents_(vertex, selectors);
    TreeFilter filter;
    auto list = [&vertex](const std::string& name) {
      std::vector<std::string> items;
      auto const found = vertex.op.source().attrs().find(name);
      if (found == vertex.op.source().attrs().end()) return items;
      json::value const parsed = json::parse(found->second);
      for (const json::value& item : parsed.as_array()) items.emplace_back(item.as_string());
      return items;
    };
    filter.include_patterns = list("local.includepattern");
    filter.exclude_patterns = list("local.excludepatterns");
    filter.follow_paths = list("local.followpaths");
    return digest_tree(*FileTree::scan(context_, filter), selectors);
  }

 public:
  static Digest digest_tree(FileTree& tree, std::vector<ContentSelector> selectors) {
    if (selectors.empty()) selectors.emplace_back();
    ContentHash hash(tree);
    for (;;) {
      std::vector<Digest> digests;
      for (const ContentSelector& selector : selectors) digests.push_back(hash.digest_of(selector));
      if (hash.missing().empty()) return ContentHash::combine(digests);
      for (FileTree::Entry* entry : hash.missing()) entry->header_digest = hash_entry(tree, *entry);
      hash.forget_missing();
    }
  }

 private:
  fs::path context_;
  Contents contents_;
  RecordSet records_;
};

void make_file(const fs::path& path, std::string_view text, mode_t mode) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
  ::chmod(path.c_str(), mode);
}

/// A directory with an owner, which a cache mount starts as.
void make_owned_directory(const pb::FileActionMkDir& mkdir, const fs::path& root) {
  fs::path const path = root / mkdir.path().substr(1);
  fs::create_directory(path);
  ::chmod(path.c_str(), static_cast<mode_t>(mkdir.mode()));
  EXPECT_EQ(::chown(path.c_str(), mkdir.owner().user().byid(), mkdir.owner().group().byid()), 0);
}

/// What steps of the vectors leave behind, without running them.
void make_result(const llb::Vertex& vertex, const fs::path& root) {
  if (!vertex.inputs.empty() && vertex.op.has_file() && vertex.op.file().actions(0).has_mkdir()) {
    make_result(*vertex.inputs[0].vertex, root);
  }
  if (vertex.op.has_file() && vertex.op.file().actions(0).has_mkdir()) {
    return make_owned_directory(vertex.op.file().actions(0).mkdir(), root);
  }
  if (vertex.op.has_file()) {
    const pb::FileActionMkFile& file = vertex.op.file().actions(0).mkfile();
    make_file(root / file.path().substr(1), file.data(), static_cast<mode_t>(file.mode()));
    return;
  }
  const auto& args = vertex.op.exec().meta().args();
  const std::string& last = args[args.size() - 1];
  if (last.starts_with("echo ")) {  // echo TEXT >FILE
    std::size_t const to = last.find(" >/");
    make_file(root / last.substr(to + 3), last.substr(5, to - 5) + "\n", 0644);
    return;
  }
  // busybox --install -s /bin
  fs::create_directories(root / "bin");
  ::chmod((root / "bin").c_str(), 0755);
  fs::copy_file("/bin/busybox", root / "bin/busybox");
  ::chmod((root / "bin/busybox").c_str(), 0755);
  std::optional<CapturedOutput> list;
  test::run([](std::optional<CapturedOutput>& out) -> Task<void> {
    ProcessOptions options;
    options.program = "/bin/busybox";
    options.args = {"busybox", "--list"};
    out = co_await run_program(std::move(options));
  }(list));
  std::istringstream names(list.value().out);
  for (std::string name; std::getline(names, name);) {
    if (name != "busybox") fs::create_symlink("/bin/busybox", root / "bin" / name);
  }
}

class VectorKeys : public testing::TestWithParam<std::string> {};

TEST_P(VectorKeys, RecordsAreThoseOfBuildKit) {
  fs::path const folder = kVectors / GetParam();
  if (!fs::exists(folder / "cacheconfig.json")) GTEST_SKIP() << "a case without a cache";
  std::string const llb = read_text(folder / "llb.json");
  if (llb.find("busybox") != std::string::npos && !fs::exists("/bin/busybox")) {
    GTEST_SKIP() << "busybox-static is not installed";
  }
  TempDir const directory = TempDir::create(fs::temp_directory_path(), "vector-keys-");
  fs::path const context = directory.path() / "context";
  make_context(context);
  VectorGraph graph(read_json(folder / "llb.json"));

  bool const has_owners = llb.find("\"mkdir\"") != std::string::npos;
  if (has_owners && ::geteuid() != 0) GTEST_SKIP() << "only root can make files of others";
  auto const kind = has_owners ? FileTree::Kind::kView : FileTree::Kind::kLocal;
  int made_count = 0;
  KeyWalk walk(
      context, [&](const llb::Vertex& vertex, const std::vector<ContentSelector>& selectors) {
        fs::path const made = directory.path() / ("made" + std::to_string(++made_count));
        fs::create_directories(made);
        make_result(vertex, made);
        // Read as a local tree, if that can be, because that makes root their owner.
        return KeyWalk::digest_tree(*FileTree::open(made, kind), selectors);
      });
  walk.walk(graph.result());
  std::set<std::string> const expected = expected_records(read_json(folder / "cacheconfig.json"));
  EXPECT_EQ(walk.records(), expected);
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kVectors)) {
    if (fs::exists(entry.path() / "llb.json")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Vectors, VectorKeys, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace cobuild::ops
