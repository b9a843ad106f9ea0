#include "core/llb/definition.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "core/base/error.hpp"
#include "core/llb/marshal.hpp"

namespace cobuild::llb {
namespace {

/// Builds definitions by hand, as a client would.
class DefinitionBuilder {
 public:
  std::string add(const pb::Op& op) {
    std::string bytes = marshal(op);
    definition_.add_def(bytes);
    return Digest::of(std::string_view(bytes)).to_string();
  }

  pb::Op source(const std::string& identifier) {
    pb::Op op;
    op.mutable_source()->set_identifier(identifier);
    return op;
  }

  pb::Op exec(const std::string& input, const std::string& command) {
    pb::Op op;
    op.add_inputs()->set_digest(input);
    op.mutable_exec()->mutable_meta()->add_args(command);
    op.mutable_exec()->add_mounts()->set_dest("/");
    return op;
  }

  pb::Definition finish(const std::string& result, std::int64_t index = 0) {
    pb::Op terminal;
    terminal.add_inputs()->set_digest(result);
    terminal.mutable_inputs(0)->set_index(index);
    add(terminal);
    return definition_;
  }

  pb::Definition& definition() { return definition_; }

 private:
  pb::Definition definition_;
};

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidInput);
    return e.what();
  }
  return "accepted";
}

TEST(Definition, LoadsAChainWithNamesAndPlatform) {
  DefinitionBuilder builder;
  std::string const image = builder.add(builder.source("docker-image://docker.io/library/a:latest"));
  std::string const run = builder.add(builder.exec(image, "true"));
  (*(*builder.definition().mutable_metadata())[run].mutable_description())["llb.customname"] =
      "RUN true";
  LoadOptions options;
  options.default_platform.set_os("linux");
  options.default_platform.set_architecture("x86_64");

  Graph const graph = load(builder.finish(run), options);

  ASSERT_EQ(graph.vertices.size(), 2U);
  EXPECT_EQ(graph.vertices[0]->name, "docker-image://docker.io/library/a:latest");
  EXPECT_EQ(graph.result.vertex->name, "RUN true");
  EXPECT_EQ(graph.result.vertex->digest.to_string(), run);
  EXPECT_EQ(graph.result.vertex->op.platform().architecture(), "amd64");
  EXPECT_EQ(graph.result.vertex->inputs[0].vertex, graph.vertices[0]);
}

TEST(Definition, AChainOfManyVerticesUsesNoStack) {
  DefinitionBuilder builder;
  std::string last = builder.add(builder.source("local://context"));
  for (int i = 0; i < 20'000; ++i) last = builder.add(builder.exec(last, std::to_string(i)));
  Graph graph = load(builder.finish(last), {});
  EXPECT_EQ(graph.vertices.size(), 20'001U);
  graph.vertices.clear();
  graph.result.vertex.reset();  // destroys the chain: must not recurse
}

TEST(Definition, RefusesWhatIsNotAGraph) {
  EXPECT_EQ(refusal([] { (void)load({}, {}); }), "invalid empty definition");
  EXPECT_EQ(refusal([] {
              DefinitionBuilder builder;
              builder.add(builder.source("local://x"));
              (void)load(builder.definition(), {});
            }),
            "invalid LLB with 1 vertexes");
  EXPECT_EQ(refusal([] {
              DefinitionBuilder builder;
              builder.add(builder.source("local://x"));
              builder.add(pb::Op());
              (void)load(builder.definition(), {});
            }),
            "invalid LLB with no inputs on last vertex");
  std::string const missing = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(refusal([&] {
              DefinitionBuilder builder;
              builder.add(builder.source("local://x"));
              (void)load(builder.finish(missing), {});
            }),
            "invalid missing input digest " + missing);
  EXPECT_EQ(refusal([] {
              DefinitionBuilder builder;
              std::string const source = builder.add(builder.source("local://x"));
              (void)load(builder.finish(source, -3), {});
            }),
            "invalid input 0 output index -3");
  EXPECT_NE(refusal([] { (void)parse_definition("\xff\xff not protobuf"); }), "accepted");
}

struct ValidateCase {
  const char* name;
  std::function<void(pb::Op&)> make;
  const char* message;
};

class Validate : public testing::TestWithParam<ValidateCase> {};

TEST_P(Validate, NamesTheFault) {
  pb::Op op;
  GetParam().make(op);
  EXPECT_EQ(refusal([&] { validate(op); }), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Table, Validate,
    testing::Values(
        ValidateCase{"Nothing", [](pb::Op&) {}, "invalid nil op"},
        ValidateCase{"ExecWithoutMeta", [](pb::Op& op) { op.mutable_exec(); },
                     "invalid exec op with no meta"},
        ValidateCase{"ExecWithoutArgs", [](pb::Op& op) { op.mutable_exec()->mutable_meta(); },
                     "invalid exec op with no args"},
        ValidateCase{"ExecWithoutMounts",
                     [](pb::Op& op) { op.mutable_exec()->mutable_meta()->add_args("x"); },
                     "invalid exec op with no mounts"},
        ValidateCase{"ExecWithoutRoot",
                     [](pb::Op& op) {
                       op.mutable_exec()->mutable_meta()->add_args("x");
                       op.mutable_exec()->add_mounts()->set_dest("/x");
                       op.mutable_exec()->mutable_mounts(0)->set_input(-1);
                     },
                     "invalid exec op with no rootfs"},
        ValidateCase{"MountOfAMissingInput",
                     [](pb::Op& op) {
                       op.mutable_exec()->mutable_meta()->add_args("x");
                       op.mutable_exec()->add_mounts()->set_dest("/");
                       op.mutable_exec()->mutable_mounts(0)->set_input(7);
                     },
                     "invalid mount input index 7"},
        ValidateCase{"FileWithoutActions", [](pb::Op& op) { op.mutable_file(); },
                     "invalid file op with no actions"},
        ValidateCase{"FileActionOfALaterAction",
                     [](pb::Op& op) {
                       auto* action = op.mutable_file()->add_actions();
                       action->set_input(0);
                       action->mutable_mkdir();
                     },
                     "invalid file action input index 0"},
        ValidateCase{"DiffWithoutSides", [](pb::Op& op) { op.mutable_diff(); },
                     "invalid diff op with nil lower or upper input"},
        ValidateCase{"PassthroughWithoutId", [](pb::Op& op) { op.mutable_passthrough(); },
                     "invalid passthrough op with no id"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace cobuild::llb
