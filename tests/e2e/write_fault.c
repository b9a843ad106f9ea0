/* write_fault kill|full N DIRECTORY COMMAND ARGUMENT...
 *
 * Runs COMMAND, and when one of its processes is about to change something for the Nth time, counting
 * from 1 - a file below DIRECTORY by its descriptor, or any name -
 *
 *   kill  kills it with all that it started, and ends with status 137;
 *   full  makes this and every later write to a file below DIRECTORY fail for want of room.
 *
 * Otherwise ends as COMMAND does, or with 99 if it made fewer changes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <linux/ptrace.h>
#include <unistd.h>

static const char *directory;

static int is_below(pid_t thread, int fd) {
  char link[64], path[PATH_MAX + 1];
  snprintf(link, sizeof link, "/proc/%d/fd/%d", thread, fd);
  ssize_t length = readlink(link, path, PATH_MAX);
  return length > 0 && strncmp(path, directory, strlen(directory)) == 0;
}

/* Whether the call needs room for data. */
static int grows(pid_t thread, const struct ptrace_syscall_info *call) {
  switch (call->entry.nr) {
    case SYS_write:
    case SYS_pwrite64:
    case SYS_pwritev:
    case SYS_writev:
    case SYS_ftruncate:
    case SYS_fallocate:
    case SYS_sendfile:
      return is_below(thread, (int)call->entry.args[0]);
    case SYS_copy_file_range:
      return is_below(thread, (int)call->entry.args[2]);
    default:
      return 0;
  }
}

static int changes(pid_t thread, const struct ptrace_syscall_info *call) {
  switch (call->entry.nr) {
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_syncfs:
      return is_below(thread, (int)call->entry.args[0]);
    case SYS_openat:
      return (call->entry.args[2] & O_CREAT) != 0;
#ifdef SYS_rename
    case SYS_rename:
    case SYS_unlink:
    case SYS_rmdir:
    case SYS_mkdir:
    case SYS_link:
    case SYS_symlink:
#endif
    case SYS_renameat2:
    case SYS_unlinkat:
    case SYS_mkdirat:
    case SYS_linkat:
    case SYS_symlinkat:
      return 1;
    default:
      return grows(thread, call);
  }
}

/* Threads whose call is not made and must seem to have failed. */
static pid_t failing[64];

static pid_t *find(pid_t thread) {
  for (size_t i = 0; i < sizeof failing / sizeof *failing; ++i) {
    if (failing[i] == thread) return &failing[i];
  }
  return NULL;
}

#ifdef __x86_64__
static void skip_call(pid_t thread) {
  pid_t *place = find(0);
  if (place == NULL) return;
  *place = thread;
  ptrace(PTRACE_POKEUSER, thread, offsetof(struct user_regs_struct, orig_rax), -1L);
}

static void fail_call(pid_t thread) {
  ptrace(PTRACE_POKEUSER, thread, offsetof(struct user_regs_struct, rax), (long)-ENOSPC);
}
#else
static void skip_call(pid_t thread) { (void)thread; }
static void fail_call(pid_t thread) { (void)thread; }
#endif

int main(int count, char **arguments) {
  if (count < 5) return 2;
  int kills = strcmp(arguments[1], "kill") == 0;
  long left = atol(arguments[2]);
  directory = arguments[3];
  pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(2);
    raise(SIGSTOP);
    execvp(arguments[4], arguments + 4);
    _exit(127);
  }
  int status = 0;
  if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status)) return 2;
  /* EXITKILL: they all end when this process does, whatever they are at. */
  ptrace(PTRACE_SETOPTIONS, child, NULL,
         (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                  PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
  ptrace(PTRACE_SYSCALL, child, NULL, NULL);
  int ended = 1;
  for (pid_t thread; (thread = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
    if (thread <= 0) continue;
    if (!WIFSTOPPED(status)) {
      if (thread == child) ended = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      continue;
    }
    int sig = WSTOPSIG(status);
    if (sig == (SIGTRAP | 0x80)) {
      struct ptrace_syscall_info call;
      memset(&call, 0, sizeof call);
      ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof call, &call);
      if (call.op == PTRACE_SYSCALL_INFO_ENTRY) {
        if (left > 0 && changes(thread, &call) && --left == 0 && kills) return 137;
        if (left == 0 && grows(thread, &call)) skip_call(thread);
      } else if (call.op == PTRACE_SYSCALL_INFO_EXIT && find(thread) != NULL) {
        *find(thread) = 0;
        fail_call(thread);
      }
      sig = 0;
    } else if (status >> 16 != 0 || sig == SIGSTOP) {
      sig = 0; /* A ptrace event, or the first stop of a new one. */
    }
    ptrace(PTRACE_SYSCALL, thread, NULL, (void *)(long)sig);
  }
  return left > 0 && ended == 0 ? 99 : ended;
}
