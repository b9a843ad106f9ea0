#include "cli/llb_dump.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/llb/marshal.hpp"

namespace cobuild::cli {
namespace {

/// source <- exec (with the source mounted at / and /in) <- the terminal op.
struct Sample {
  pb::Definition definition;
  std::string source, exec, terminal;
};

Sample make_sample() {
  Sample sample;
  auto const add = [&](const pb::Op& op) {
    sample.definition.add_def(llb::marshal(op));
    return llb::digest_of(op).to_string();
  };
  pb::Op source;
  source.mutable_source()->set_identifier("docker-image://x");
  (*source.mutable_source()->mutable_attrs())["b"] = "2";
  (*source.mutable_source()->mutable_attrs())["a"] = "1";
  source.mutable_platform()->set_os("linux");
  sample.source = add(source);
  pb::Op exec;
  exec.add_inputs()->set_digest(sample.source);
  exec.mutable_exec()->mutable_meta()->add_args("/bin/sh");
  exec.mutable_exec()->mutable_meta()->add_args("say \"hi\"");
  exec.mutable_exec()->set_network(pb::NONE);
  exec.mutable_exec()->add_mounts()->set_dest("/");
  exec.mutable_exec()->add_mounts()->set_dest("/in");
  sample.exec = add(exec);
  pb::Op terminal;
  terminal.add_inputs()->set_digest(sample.exec);
  sample.terminal = add(terminal);
  (*sample.definition.mutable_metadata())[sample.exec].set_ignore_cache(true);
  return sample;
}

TEST(DumpLlb, Json) {
  auto const sample = make_sample();
  EXPECT_EQ(
      dump_llb_json(sample.definition),
      R"({"Op":{"Op":{"source":{"identifier":"docker-image://x","attrs":{"a":"1","b":"2"}}},)"
      R"("platform":{"OS":"linux"}},"Digest":")" +
          sample.source +
          R"(","OpMetadata":{}})"
          "\n"
          R"({"Op":{"inputs":[{"digest":")" +
          sample.source +
          R"("}],"Op":{"exec":{"meta":{"args":["/bin/sh","say \"hi\""]},"mounts":[{"dest":"/"},{"dest":"/in"}],"network":2}}},)"
          R"("Digest":")" +
          sample.exec +
          R"(","OpMetadata":{"ignore_cache":true}})"
          "\n"
          R"({"Op":{"inputs":[{"digest":")" +
          sample.exec + R"("}],"Op":{}},"Digest":")" + sample.terminal +
          R"(","OpMetadata":{}})"
          "\n");
}

TEST(DumpLlb, FileActions) {
  pb::Definition definition;
  pb::Op op;
  auto* const action = op.mutable_file()->add_actions();
  action->set_input(-1);
  action->mutable_mkfile()->set_path("/f");
  action->mutable_mkfile()->set_data("\xff");
  action->mutable_mkfile()->mutable_owner()->mutable_user()->set_byid(3);
  definition.add_def(llb::marshal(op));
  EXPECT_THAT(
      dump_llb_json(definition),
      testing::HasSubstr(
          R"("file":{"actions":[{"input":-1,"secondaryInput":0,"output":0,)"
          R"("Action":{"mkfile":{"path":"/f","data":"/w==","owner":{"user":{"User":{"byId":3}}}}}}]})"));
}

TEST(DumpLlb, Dot) {
  auto const sample = make_sample();
  EXPECT_EQ(dump_llb_dot(sample.definition),
            "digraph {\n"
            "  \"" +
                sample.source +
                "\" [label=\"docker-image://x\" shape=\"ellipse\"];\n"
                "  \"" +
                sample.exec +
                "\" [label=\"/bin/sh say \\\"hi\\\"\" shape=\"box\"];\n"
                "  \"" +
                sample.terminal + "\" [label=\"" + sample.terminal +
                "\" shape=\"plaintext\"];\n"
                "  \"" +
                sample.source + "\" -> \"" + sample.exec +
                "\" [label=\"/in\"];\n"
                "  \"" +
                sample.exec + "\" -> \"" + sample.terminal +
                "\" [label=\"\"];\n"
                "}\n");
}

TEST(DumpLlb, GarbageIsRefused) {
  pb::Definition definition;
  definition.add_def("\xff\xff\xff");
  EXPECT_THROW((void)dump_llb_json(definition), Error);
}

}  // namespace
}  // namespace cobuild::cli
