/// What fuzz targets need: bytes as a file in memory, and a reader that may refuse them in one way only.
#pragma once

#include "attn/core/check.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace attn::testing {

/// A file without a place on a disk; its name is valid in this process.
class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("attn-fuzz", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(fd_)) {
    if (fd_ < 0) std::abort();
  }
  MemoryFile(MemoryFile&&) = delete;
  ~MemoryFile() { ::close(fd_); }

  std::filesystem::path const& hold(void const* bytes, std::size_t size) const {
    bool const held = ::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, bytes, size, 0) == static_cast<::ssize_t>(size);
    if (!held) std::abort();
    return path_;
  }

 private:
  int fd_;
  std::filesystem::path path_;
};

/// Calls `read`, which may succeed or throw attn::Error; anything else is a fault.
template <class Read>
int refuse_or_read(Read const& read) {
  try {
    read();
  } catch (Error const&) {
  }
  return 0;
}

/// Hands the bytes to `read(path)` as a file.
template <class Read>
int read_as_file(std::uint8_t const* bytes, std::size_t size, Read const& read) {
  static MemoryFile const file;
  return refuse_or_read([&] { read(file.hold(bytes, size)); });
}

}  // namespace attn::testing

/// libFuzzer's entry; in the ordinary tests each target has a name of its own (tests/fuzz/CMakeLists.txt).
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size);
