#pragma once

/// For fuzzers of tar: checksums would keep them out.

#include <cstdio>
#include <string>

namespace cobuild::test {

/// Makes the checksum right in each block that could be a header; blocks of blanks and zeros become
/// the end of the archive.
inline void repair_tar_checksums(std::string& tar) {
  for (std::size_t at = 0; at + 512 <= tar.size(); at += 512) {
    tar.replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(tar[at + i]);
    if (sum == 8 * ' ') {
      tar.replace(at + 148, 8, std::string(8, '\0'));
      continue;
    }
    char text[8];
    std::snprintf(text, sizeof text, "%06o", sum & 0777777U);
    tar.replace(at + 148, 7, text, 7);
  }
}

}  // namespace cobuild::test
