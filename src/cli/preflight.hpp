#pragma once

/// What can be told to be wrong before anything is built: an hour's work must not be lost to a
/// typing error.

#include "cli/options.hpp"
#include "core/sys/write_rights.hpp"

namespace cobuild::cli {

/// Local directories that do not exist, are none, or may not be read. Blocking, as this process may
/// read: call it in the sandbox. \throws Error naming the directory, what it is for, and the
/// remedy.
void check_local_directories(const BuildOptions& options);

/// Places that the results cannot be written to (F4.1.3): a directory that is missing, no directory
/// or not to be written to with these rights; a file that is a directory; two outputs to one place.
/// Makes nothing. Blocking. \throws Error as check_local_directories.
void check_destinations(const BuildOptions& options, WriteRights rights);

}  // namespace cobuild::cli
