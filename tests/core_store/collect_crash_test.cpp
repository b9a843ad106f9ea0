// Garbage collection that is killed at each of its writes leaves a store that is whole.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>

#include "core/store/collect.hpp"
#include "core/store/key_index.hpp"
#include "core/store/verify.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::store {
namespace {

using namespace std::chrono_literals;
using test::add_layer;
using test::read_text;
using test::StoreProcess;
using test::StoreTest;
using test::write_blob;
using test::write_text;
using testing::IsEmpty;

/// Whether the system call changes files, or waits for the disk.
bool is_write(std::uint64_t call) {
  switch (call) {
    case SYS_write:
    case SYS_pwrite64:
    case SYS_rename:
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_unlink:
    case SYS_unlinkat:
    case SYS_rmdir:
    case SYS_mkdir:
    case SYS_mkdirat:
    case SYS_ftruncate:
    case SYS_fsync:
    case SYS_fdatasync: return true;
    default: return false;
  }
}

enum class End { kKilled, kFinished, kFailed };

/// Follows the threads of process `child`, which has begun to be traced and stopped, until it
/// enters its `at`-th write after a SIGUSR1 to itself, and kills it there.
End kill_at_write(pid_t child, int at) {
  int status = 0;
  if (::waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status)) return End::kFailed;
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
  ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  End end = End::kFailed;
  bool counts = false;
  int writes = 0;
  for (pid_t thread = 0; (thread = ::waitpid(-1, &status, __WALL)) > 0;) {
    if (!WIFSTOPPED(status)) {
      if (thread == child && WIFEXITED(status) && WEXITSTATUS(status) == 0) end = End::kFinished;
      continue;
    }
    int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
      __ptrace_syscall_info info{};
      ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
      bool const enters = info.op == PTRACE_SYSCALL_INFO_ENTRY;
      if (counts && enters && is_write(info.entry.nr) && writes++ == at) {
        ::kill(child, SIGKILL);
        end = End::kKilled;
        continue;
      }
    }
    counts = counts || signal == SIGUSR1;
    bool const is_ours = (signal & ~0x80) == SIGTRAP || signal == SIGSTOP || signal == SIGUSR1;
    ::ptrace(PTRACE_SYSCALL, thread, nullptr, is_ours ? 0L : static_cast<long>(signal));
  }
  return end;
}

/// Runs `body` in a process that is killed at its `at`-th write.
End run_killed(const std::function<void()>& body, int at) {
  pid_t const child = ::fork();
  if (child == 0) {
    try {
      if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(5);
      ::raise(SIGSTOP);
      body();
      ::_exit(0);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "collector: %s\n", e.what());
      ::_exit(4);
    }
  }
  return kill_at_write(child, at);
}

GcConfig at_most(std::int64_t bytes) {
  GcConfig config;
  config.max_used.bytes = bytes;
  return config;
}

constexpr GcLimits kAtOnce{.interval = 0ms, .time = 60'000ms};

/// Some of everything that can be collected, and a layer that is used more often; returns that one.
LayerId fill(const std::filesystem::path& root) {
  LayerId kept;
  {
    StoreProcess process(root);
    kept = add_layer(process, std::string(100'000, 'k'));
    LayerId const child = add_layer(process, std::string(100'000, 'c'));
    LayerId const sealed = add_layer(process, std::string(100'000, 's'));
    for (const char* text : {"form", "blob"}) write_blob(process, text);
    process.store().put_layer_note(child, "form", "...", BlobDigest(Digest::of("form")));
    process.run(process.store().set_sealed(sealed, DiffId(Digest::of("d")),
                                           {BlobDigest(Digest::of("blob")), 4, "m", {}, true}));
    KeyIndex index(process.store());
    KeyId const root_key = index.add_root(Digest::of("root"));
    KeyId const key = index.add_key(Digest::of("key"));
    index.add_link(root_key, {0, Digest::of("op"), std::nullopt}, key);
    index.add_result(key, {{kept, child}, now(), ""});
    auto const cache = process.run(process.store().cache_mount("pip", "pip"));
    write_text(cache / "wheel", std::string(10'000, 'w'));
    process.run(process.store().publish());
  }
  StoreProcess process(root);
  EXPECT_TRUE(process.run(process.store().use({kept})));
  return kept;
}

TEST_F(StoreTest, SlowKillingACollectorAtEachWriteLeavesAGoodStore) {
  LayerId const kept = fill(root);
  auto const copy = directory.path() / "copy";
  auto const collect = [&copy] {
    StoreProcess process(copy);
    ::raise(SIGUSR1);
    process.run(collect_garbage(process.store(), at_most(110'000), kAtOnce));
  };
  End end = End::kKilled;
  int writes = 0;
  for (; end == End::kKilled && !HasFailure(); ++writes) {
    SCOPED_TRACE(testing::Message() << "killed at write " << writes);
    std::filesystem::remove_all(copy);
    std::filesystem::copy(root, copy, std::filesystem::copy_options::recursive);
    std::filesystem::remove(copy / "owner-mark");  // copied without owners and attributes
    std::filesystem::remove(copy / "attribute-mark");
    end = run_killed(collect, writes);
    ASSERT_NE(end, End::kFailed);
    StoreProcess process(copy);
    EXPECT_THAT(process.run(verify_store(process.store())).damages, IsEmpty());
    process.run(collect_garbage(process.store(), at_most(110'000), kAtOnce));
    EXPECT_EQ(process.run(disk_usage(process.store(), {})).size(), 1U);
    VerifyReport const report = process.run(verify_store(process.store()));
    EXPECT_THAT(report.damages, IsEmpty());
    EXPECT_THAT(report.strays, IsEmpty());
    EXPECT_EQ(read_text(process.store().snapshot_path(kept) / "file"), std::string(100'000, 'k'));
  }
  EXPECT_GT(writes, 20);
}

}  // namespace
}  // namespace cobuild::store
