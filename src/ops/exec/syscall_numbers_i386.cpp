// The numbers of the i386 ABI, from the kernel's header. It defines the same macros as those of the
// other ABIs, hence a file for each, without any other system header.

#include "ops/exec/syscall_numbers.hpp"

#if defined(__x86_64__)

#include <asm/unistd_32.h>

#define COBUILD_TEXT_OF(value) #value
#define COBUILD_NUMBER_TEXT(macro) COBUILD_TEXT_OF(macro)
#define X(name) {#name, COBUILD_NUMBER_TEXT(__NR_##name)},

namespace cobuild::ops {

const SyscallNumberText kSyscallsI386[] = {
#include "ops/exec/syscall_names.inc"
    {nullptr, nullptr}};

}  // namespace cobuild::ops

#endif
