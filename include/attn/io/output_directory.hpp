/// OutputDirectory: the directory that a run leaves its files in, which no other run may use at the same time.
#pragma once

#include "attn/io/file.hpp"

#include <string>
#include <utility>

namespace attn::io {

/// Creates the directory where it is missing, proves that results can be left there, and locks it for as long as this
/// lives. The system lets go of the lock of a process that died, so there are no stale ones.
class OutputDirectory {
 public:
  explicit OutputDirectory(Path path) : path_(std::move(path)) {
    ATTN_CHECK(!path_.empty(), "--out: name a directory, got ''");
    create_output_directory(path_);
    Path const file = lock_path();
    for (;;) {
      detail::Descriptor fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
      ATTN_CHECK(fd.get() >= 0, "--out: cannot lock '", path_.string(), "': ", detail::reason(errno));
      if (int const error = detail::lock_soon(fd.get()); error != 0) {
        ATTN_CHECK(error != EWOULDBLOCK, "--out: another run uses '", path_.string(),
                   "' now; wait for its end, or name another directory");
        return;  // a file system without locks
      }
      struct ::stat mine {
      }, there{};
      bool const is_there = ::fstat(fd.get(), &mine) == 0 && ::stat(file.c_str(), &there) == 0 &&
                            mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
      if (!is_there) continue;  // its last owner removed it between our two calls
      lock_ = std::move(fd);
      return;
    }
  }
  OutputDirectory(OutputDirectory&&) = default;
  ~OutputDirectory() {
    if (lock_.get() >= 0) ::unlink(lock_path().c_str());
  }

  Path const& path() const { return path_; }
  Path operator/(std::string const& name) const { return path_ / name; }

  /// Throws where a training run left its files: what only evaluates must not write over them.
  OutputDirectory const& without_run() const {
    for (char const* const name : {"checkpoint.safetensors", "metrics.csv"}) {
      std::error_code ignored;
      ATTN_CHECK(!std::filesystem::exists(path_ / name, ignored), "--evaluate: '", path_.string(),
                 "' holds a run, which would be written over; name another directory with --out");
    }
    return *this;
  }

 private:
  Path lock_path() const { return path_ / ".lock"; }

  Path path_;
  detail::Descriptor lock_;
};

}  // namespace attn::io
