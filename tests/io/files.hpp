/// What tests of files need: a directory that goes away, disks that fill up, errors by their sentence.
#pragma once

#include "attn/core/check.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace attn::testing {

using Path = std::filesystem::path;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "attn-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TemporaryDirectory(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Path operator/(std::string const& name) const { return path_ / name; }
  Path const& path() const { return path_; }

  /// Files and directories in it, hidden ones included.
  int entries() const {
    return static_cast<int>(
        std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  Path path_;
};

/// While it lives, no file of this process can grow beyond so many bytes: a disk that is full in the middle of a write.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(std::size_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    previous_ = ::signal(SIGXFSZ, SIG_IGN);
    struct ::rlimit const limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(FileSizeLimit&&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, previous_);
  }

 private:
  struct ::rlimit before_ {};
  ::sighandler_t previous_ = nullptr;
};

/// A file system of 64 KiB. Making one takes privileges: `mounted()` tells whether it worked.
class TinyDisk {
 public:
  TinyDisk() : mounted_(::mount("none", directory_.path().c_str(), "tmpfs", 0, "size=64k") == 0) {}
  TinyDisk(TinyDisk&&) = delete;
  ~TinyDisk() {
    if (mounted_) ::umount(directory_.path().c_str());
  }
  bool mounted() const { return mounted_; }
  Path operator/(std::string const& name) const { return directory_ / name; }
  Path const& path() const { return directory_.path(); }
  int entries() const { return directory_.entries(); }

 private:
  TemporaryDirectory directory_;
  bool mounted_;
};

inline std::string content(Path const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void put(Path const& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// The message of the attn::Error that `f` throws; an empty one when it throws none.
template <class F>
std::string error_of(F const& f) {
  try {
    f();
  } catch (Error const& error) {
    return error.what();
  }
  return "";
}

}  // namespace attn::testing

/// The statement throws an attn::Error whose message contains the text.
#define EXPECT_ERROR(statement, text)                                                           \
  do {                                                                                          \
    std::string const message = ::attn::testing::error_of([&] { statement; });                  \
    EXPECT_NE(message.find(text), std::string::npos) << "the error was: \"" << message << "\""; \
  } while (false)
