#pragma once

/// COBUILD_ASSERT(condition, "what must hold"): a rule about our own code, checked in release builds
/// too. A breach throws Error kInternal, so that the build ends with a story instead of a wrong image.

#include "core/base/error.hpp"

#define COBUILD_ASSERT(condition, what)                                                     \
  do {                                                                                      \
    if (!(condition)) [[unlikely]] {                                                        \
      throw ::cobuild::Error(::cobuild::ErrorKind::kInternal,                               \
                             std::string("this is a bug in cobuild: ") + (what) +           \
                                 " (" #condition ")");                                      \
    }                                                                                       \
  } while (false)
