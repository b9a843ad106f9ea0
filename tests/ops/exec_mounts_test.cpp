/// What a RUN's mounts become, without containers.

#include <gmock/gmock.h>

#include <fstream>

#include "oci/folder_store.hpp"
#include "ops/exec_op.hpp"
#include "ops/mount_courier.hpp"
#include "ops_fixture.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// Keeps what it is given, and does what the test says instead of running it.
class RecordingRuntime final : public ContainerRuntime {
 public:
  [[nodiscard]] std::string_view name() const override { return "recording"; }
  std::string take_limits_warning(const ContainerSpec& given) override {
    return given.resources.memory_bytes > 0 ? "no limits here" : "";
  }
  Task<ExitStatus> run(ContainerSpec given, OutputCallback) override {
    spec = std::move(given);
    if (during) during(spec);
    co_return ExitStatus{};
  }
  ContainerSpec spec;
  std::function<void(const ContainerSpec&)> during;
};

class NotingStep final : public solve::StepSink {
 public:
  void log(int, std::string_view) override {}
  void status(std::string_view, std::int64_t, std::int64_t, bool) override {}
  void warn(std::string_view text) override { warnings.emplace_back(text); }
  std::vector<std::string> warnings;
};

class ExecMountsTest : public test::OpsTest {
 protected:
  static pb::Op exec_op() {
    pb::Op op;
    pb::ExecOp& exec = *op.mutable_exec();
    exec.mutable_meta()->add_args("true");
    exec.mutable_meta()->set_cwd("/work");
    exec.mutable_meta()->add_env("TOKEN=image");
    exec.mutable_meta()->add_env("OTHER=stays");
    pb::Mount& root = *exec.add_mounts();
    root.set_input(-1);
    root.set_dest("/");
    op.mutable_platform()->set_os("linux");
    return op;
  }

  static pb::Mount& add(pb::Op& op, pb::MountType type, const std::string& dest) {
    pb::Mount& mount = *op.mutable_exec()->add_mounts();
    mount.set_mounttype(type);
    mount.set_dest(dest);
    mount.set_input(-1);
    if (type == pb::CACHE || type == pb::BIND) mount.set_output(-1);
    return mount;
  }

  static pb::Mount& add_cache(pb::Op& op, const std::string& dest, const std::string& id,
                              pb::CacheSharingOpt sharing = pb::SHARED) {
    pb::Mount& mount = add(op, pb::CACHE, dest);
    mount.mutable_cacheopt()->set_id(id);
    mount.mutable_cacheopt()->set_sharing(sharing);
    return mount;
  }

  std::vector<solve::Result> run(const pb::Op& op, std::vector<solve::Result> inputs = {}) {
    Services const all{pool, process.store(), *snapshotter, files, runtime, nullptr, &secrets, &agents,
                       nullptr,      courier};
    std::vector<llb::Edge> edges;
    for (std::size_t i = 0; i < inputs.size(); ++i) edges.push_back({.vertex = vertex(local_op()), .output = 0});
    auto const exec = make_exec_op(all, vertex(op, std::move(edges)));
    return process.run(exec->run(std::move(inputs), step));
  }

  std::string error_of(const pb::Op& op) {
    try {
      (void)run(op);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }

  const ContainerMount* mounted(const std::string& destination) const {
    for (const ContainerMount& mount : runtime.spec.mounts) {
      if (mount.destination == destination) return &mount;
    }
    return nullptr;
  }

  fs::path write(const std::string& name, const std::string& text) {
    fs::path const path = directory.path() / name;
    std::ofstream(path) << text;
    return path;
  }

  RecordingRuntime runtime;
  MountCourier* courier = nullptr;
  Secrets secrets;
  SshAgents agents;
  NotingStep step;
};

TEST_F(ExecMountsTest, SecretsAreFilesOfTheirOwner) {
  secrets = Secrets({{.id = "s", .file = write("s", "value"), .env = ""}});
  pb::Op op = exec_op();
  pb::Mount& mount = add(op, pb::SECRET, "rel/s");  // With output 0, as clients send it.
  mount.mutable_secretopt()->set_id("s");
  mount.mutable_secretopt()->set_uid(5);
  mount.mutable_secretopt()->set_mode(0440);
  EXPECT_EQ(run(op).size(), 1U) << "the root alone is an output";
  const ContainerMount* const secret = mounted("/work/rel/s");
  ASSERT_NE(secret, nullptr);
  EXPECT_EQ(secret->kind, ContainerMount::Kind::kSecret);
  EXPECT_EQ(secret->content.reveal(), "value");
  EXPECT_EQ(secret->owner.uid, 5U);
  EXPECT_EQ(secret->mode, 0440U);
}

TEST_F(ExecMountsTest, MissingSecretsFailUnlessTheyAreOptional) {
  pb::Op op = exec_op();
  pb::Mount& mount = add(op, pb::SECRET, "/s");
  EXPECT_EQ(error_of(op), "secret ID missing from mount options");
  mount.mutable_secretopt()->set_id("s");
  EXPECT_THAT(error_of(op), HasSubstr("secret s: not found"));
  mount.mutable_secretopt()->set_optional(true);
  EXPECT_EQ(error_of(op), "");
  EXPECT_EQ(mounted("/s"), nullptr);
}

TEST_F(ExecMountsTest, SecretVariablesReplaceThoseOfTheImage) {
  secrets = Secrets({{.id = "s", .file = write("s", "value"), .env = ""}});
  pb::Op op = exec_op();
  pb::SecretEnv& variable = *op.mutable_exec()->add_secretenv();
  variable.set_id("s");
  variable.set_name("TOKEN");
  pb::SecretEnv& missing = *op.mutable_exec()->add_secretenv();
  missing.set_id("missing");
  missing.set_name("NONE");
  EXPECT_THAT(error_of(op), HasSubstr("secret missing: not found"));
  missing.set_optional(true);
  EXPECT_EQ(error_of(op), "");
  EXPECT_THAT(runtime.spec.env, testing::Not(testing::Contains(testing::StartsWith("TOKEN="))));
  EXPECT_THAT(runtime.spec.env, testing::Contains("OTHER=stays"));
  ASSERT_EQ(runtime.spec.secret_env.size(), 2U);
  EXPECT_EQ(runtime.spec.secret_env[0].second.reveal(), "value");
  EXPECT_EQ(runtime.spec.secret_env[1].second.reveal(), "");
}

TEST_F(ExecMountsTest, AbsentAgentsFailUnlessTheyAreOptional) {
  pb::Op op = exec_op();
  pb::Mount& mount = add(op, pb::SSH, "/agent");
  mount.mutable_sshopt();
  EXPECT_THAT(error_of(op), HasSubstr("no SSH key \"default\" forwarded from the client"));
  mount.mutable_sshopt()->set_optional(true);
  EXPECT_EQ(error_of(op), "");
  EXPECT_EQ(mounted("/agent"), nullptr);
}

TEST_F(ExecMountsTest, OneCacheAtTwoPlacesIsOneDirectory) {
  pb::Op op = exec_op();
  add_cache(op, "/a", "id", pb::LOCKED);
  add_cache(op, "/b", "id", pb::LOCKED).set_readonly(true);
  EXPECT_EQ(error_of(op), "");
  EXPECT_EQ(mounted("/a")->source, mounted("/b")->source);
  EXPECT_FALSE(mounted("/a")->read_only);
  EXPECT_TRUE(mounted("/b")->read_only);
}

TEST_F(ExecMountsTest, CachesAreSharedOrHadAlone) {  // F1.6.12
  auto const source_of = [this](pb::CacheSharingOpt sharing) {
    pb::Op op = exec_op();
    add_cache(op, "/a", "id", sharing);
    EXPECT_EQ(error_of(op), "");
    return mounted("/a")->source;
  };
  fs::path const first = source_of(pb::SHARED);
  {
    auto const other = process.store().try_lock_shared(store::Store::cache_mount_lock("id"));
    EXPECT_EQ(source_of(pb::SHARED), first);
    EXPECT_NE(source_of(pb::PRIVATE), first);
  }
  {
    auto const other = process.store().try_lock(store::Store::cache_mount_lock("id"));
    EXPECT_NE(source_of(pb::SHARED), first);
    EXPECT_NE(source_of(pb::PRIVATE), first);
  }
  EXPECT_EQ(source_of(pb::PRIVATE), first);
  EXPECT_EQ(source_of(pb::LOCKED), first);
}

TEST_F(ExecMountsTest, CachesStartAsTheirInputOnce) {
  solve::Result const input = layer([](const fs::path& fs) {
    fs::create_directories(fs / "sub/deep");
    std::ofstream(fs / "sub/deep/file") << "x";
    fs::create_symlink("deep", fs / "sub/link");
    ASSERT_EQ(::chown((fs / "sub").c_str(), 7, 8), 0);
    fs::permissions(fs / "sub", fs::perms::owner_all);
  });
  pb::Op op = exec_op();
  pb::Mount& mount = add_cache(op, "/a", "id");
  mount.set_input(0);
  mount.set_selector("/sub");
  runtime.during = [](const ContainerSpec& spec) {
    fs::path const source = spec.mounts.at(0).source;
    EXPECT_TRUE(fs::exists(source / "deep/file"));
    EXPECT_TRUE(fs::is_symlink(source / "link"));
    struct stat status = {};
    ASSERT_EQ(::stat(source.c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, 7U);
    EXPECT_EQ(status.st_gid, 8U);
    EXPECT_EQ(status.st_mode & 07777, 0700U);
    fs::remove(source / "link");
  };
  run(op, {input});
  fs::path const first = mounted("/a")->source;
  runtime.during = [](const ContainerSpec& spec) {
    EXPECT_FALSE(fs::exists(fs::symlink_status(spec.mounts.at(0).source / "link"))) << "it was filled again";
  };
  run(op, {input});
  EXPECT_EQ(mounted("/a")->source, first);
  // Another input is another directory, and so is none (F10.60).
  solve::Result const another = layer([](const fs::path& fs) { fs::create_directories(fs / "sub"); });
  runtime.during = nullptr;
  run(op, {another});
  EXPECT_NE(mounted("/a")->source, first);
  mount.set_selector("/none");
  EXPECT_THROW(run(op, {input}), Error);
}

TEST_F(ExecMountsTest, CachesAreFilledFromElsewhereWhenTheyAreEmpty) {
  MountDepot const depot{.objects = std::make_shared<oci::FolderStore>(directory.path() / "depot", pool),
                         .name = "local:depot",
                         .key = {},
                         .restore_keys = {},
                         .bytes_max = 1'000'000,
                         .timeout = std::chrono::minutes(1)};
  pb::Op op = exec_op();
  add_cache(op, "/a", "id");
  MountCourier saving(pool, process.store(), {}, {depot});
  courier = &saving;
  runtime.during = [](const ContainerSpec& spec) { std::ofstream(spec.mounts.at(0).source / "file") << "x"; };
  run(op);
  process.run(saving.save(depot, step));
  fs::remove_all(mounted("/a")->source);

  MountCourier restoring(pool, process.store(), {depot}, {});
  courier = &restoring;
  bool is_there = false;
  runtime.during = [&](const ContainerSpec& spec) {
    is_there = fs::exists(spec.mounts.at(0).source / "file");
    fs::remove(spec.mounts.at(0).source / "file");
  };
  run(op);
  EXPECT_TRUE(is_there);
  run(op);
  EXPECT_TRUE(is_there) << "one that is there and empty is as good as none";
  std::ofstream(mounted("/a")->source / "other") << "y";
  run(op);
  EXPECT_FALSE(is_there) << "what is here already stays";
  pb::Op elsewhere = exec_op();
  add_cache(elsewhere, "/a", "another id");
  run(elsewhere);
  EXPECT_FALSE(is_there);
  EXPECT_TRUE(step.warnings.empty());
}

TEST_F(ExecMountsTest, BindsShowWhatWasSelected) {
  solve::Result const input = layer([](const fs::path& fs) {
    fs::create_directories(fs / "sub");
    std::ofstream(fs / "sub/file") << "x";
    fs::create_symlink("/sub", fs / "link");
  });
  pb::Op op = exec_op();
  pb::Mount& mount = add(op, pb::BIND, "/a");
  mount.set_input(0);
  mount.set_selector("/link/file");
  mount.set_readonly(true);
  runtime.during = [](const ContainerSpec& spec) {
    EXPECT_TRUE(fs::is_regular_file(spec.mounts.at(0).source));
    EXPECT_TRUE(spec.mounts.at(0).read_only);
  };
  EXPECT_EQ(run(op, {input}).size(), 1U);
}

TEST_F(ExecMountsTest, ParentsAreMountedBeforeChildren) {
  pb::Op op = exec_op();
  add_cache(op, "/a/b", "one");
  add(op, pb::TMPFS, "/a").mutable_tmpfsopt()->set_size(4096);
  run(op);
  ASSERT_EQ(runtime.spec.mounts.size(), 2U);
  EXPECT_EQ(runtime.spec.mounts[0].destination, "/a");
  EXPECT_EQ(runtime.spec.mounts[0].size_bytes, 4096);
  EXPECT_EQ(runtime.spec.mounts[1].destination, "/a/b");
}

TEST_F(ExecMountsTest, AUserThatIsNotThereIsTheStepsFailure) {
  pb::Op op = exec_op();
  op.mutable_exec()->mutable_meta()->set_user("nobody-here");
  EXPECT_EQ(error_of(op), "process \"true\" did not complete successfully: unable to find user nobody-here: "
                          "no matching entries in passwd file");
}

TEST_F(ExecMountsTest, TheRootIsATree) {
  pb::Op op = exec_op();
  op.mutable_exec()->mutable_mounts(0)->set_mounttype(pb::TMPFS);
  EXPECT_EQ(error_of(op), "invalid mount type TMPFS for /");
}

TEST_F(ExecMountsTest, LimitsThatAreNotKeptAreToldOfTheStep) {
  pb::OpMetadata metadata;
  metadata.mutable_linux_resources()->set_memory(1 << 20);
  pb::Op const op = exec_op();
  auto limited = std::make_shared<llb::Vertex>(llb::digest_of(op), op, metadata, std::vector<llb::Edge>());
  Services const all{pool, process.store(), *snapshotter, files, runtime};
  process.run(make_exec_op(all, limited)->run({}, step));
  EXPECT_THAT(step.warnings, testing::ElementsAre("no limits here"));
}

}  // namespace
}  // namespace cobuild::ops
