/// Reading and writing whole files: a write that fails leaves what was there before, and every error names the file.
#pragma once

#include "attn/core/check.hpp"
#include "attn/io/failed_run.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

namespace attn::io {

/// Where a file is.
using Path = std::filesystem::path;

namespace detail {

/// The system's words for an `errno`.
inline std::string reason(int error) { return std::generic_category().message(error); }

/// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }

  /// Closes now and returns the error that a destructor would have hidden (0 when there was none).
  int close() { return ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno; }

 private:
  int fd_;
};

/// Writes all of `bytes`, or returns the `errno` that stopped it.
inline int write_all(int fd, std::string_view bytes) {
  constexpr std::size_t largest = std::size_t(1) << 30;  // Linux writes at most 2 GiB a call
  while (!bytes.empty()) {
    ::ssize_t const n = ::write(fd, bytes.data(), std::min(bytes.size(), largest));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

/// Throws unless a write went well. Where the file could be opened, the disk is at fault (full, say), not what the user
/// asked for: that is a run that failed.
inline void check_written(int error, char const* function, std::filesystem::path const& path) {
  if (error == 0) return;
  throw FailedRun(std::string(function) + ": cannot write '" + path.string() + "': " + reason(error));
}

/// Flushes to the disk; pipes and devices that cannot be flushed are in order. 0 or an `errno`.
inline int flush(int fd) {
  if (::fsync(fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP) return 0;
  return errno;
}

/// Takes the lock of a file, or waits for it for half a second: a program that a killed process was about to start has
/// the locks of that process until it runs. 0 or an `errno`.
inline int lock_soon(int fd) {
  for (int tries = 50;; --tries) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if ((errno != EWOULDBLOCK && errno != EINTR) || tries == 0) return errno;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

inline Path temporary_beside(Path const& target) {
  static std::atomic<unsigned> counter{0};
  std::string const tag = std::to_string(::getpid()) + "-" + std::to_string(counter++);
  std::string name = ".";
  name += target.filename().string() + "." + tag + ".tmp";
  return target.parent_path() / name;
}

/// The process whose `temporary_beside` gave this name, or -1 where it gave none.
inline ::pid_t owner_of_temporary(std::string_view name) {
  if (!name.starts_with('.') || !name.ends_with(".tmp")) return -1;
  name.remove_suffix(4);
  name.remove_prefix(std::min(name.size(), name.rfind('.') + 1));
  ::pid_t owner = -1;
  auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), owner);
  bool const good = error == std::errc() && owner > 0 && end + 1 < name.data() + name.size() && *end == '-' &&
                    std::all_of(end + 1, name.data() + name.size(), [](char c) { return c >= '0' && c <= '9'; });
  return good ? owner : -1;
}

/// Removes the temporary files that killed processes left in a directory. Those of a process that lives stay, also
/// where it lives on another machine or in a container and holds the file's lock; an error leaves them for the next
/// time.
inline void remove_abandoned_temporaries(Path const& directory) {
  std::error_code ignored;
  for (auto const& file : std::filesystem::directory_iterator(directory, ignored)) {
    ::pid_t const owner = owner_of_temporary(file.path().filename().string());
    if (owner < 0 || (owner != ::getpid() && (::kill(owner, 0) == 0 || errno != ESRCH))) continue;
    Descriptor const fd(::open(file.path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct ::stat status {};
    if (fd.get() < 0 || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    int const locked = owner == ::getpid() ? ::flock(fd.get(), LOCK_EX | LOCK_NB) : lock_soon(fd.get());
    if (locked == 0) ::unlink(file.path().c_str());
  }
}

}  // namespace detail

/// The bytes of a regular file, mapped into memory for as long as this lives; nothing is copied.
class MappedFile {
 public:
  explicit MappedFile(Path const& path) {
    detail::Descriptor const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ATTN_CHECK(fd.get() >= 0, "MappedFile: cannot open '", path.string(), "': ", detail::reason(errno));
    struct ::stat status {};
    ATTN_CHECK(::fstat(fd.get(), &status) == 0, "MappedFile: cannot read '", path.string(),
               "': ", detail::reason(errno));
    ATTN_CHECK(S_ISREG(status.st_mode), "MappedFile: give a regular file, '", path.string(), "' is not one");
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ == 0) return;  // an empty mapping is an error to the system, not to us
    void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    ATTN_CHECK(address != MAP_FAILED, "MappedFile: cannot map '", path.string(), "': ", detail::reason(errno));
    data_ = static_cast<std::byte const*>(address);
  }
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  std::byte const* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<char const*>(data_), size_}; }

 private:
  std::byte const* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A file that appears under its name complete or not at all. `write` goes to a hidden temporary file in the same
/// directory, `commit` flushes it to the disk and renames it over the target; without `commit` (an exception, say) the
/// temporary file goes and the target stays as it was. A target that is a link is written where it leads. A target
/// that is a device or pipe cannot be replaced and is written directly.
class AtomicFile {
 public:
  explicit AtomicFile(Path target) : target_(std::move(target)) {
    std::error_code ignored;
    if (std::filesystem::is_symlink(target_, ignored)) {
      Path const resolved = std::filesystem::weakly_canonical(target_, ignored);
      if (!ignored) target_ = resolved;
    }
    struct ::stat status {};
    bool const exists = ::stat(target_.c_str(), &status) == 0;
    ATTN_CHECK(!exists || !S_ISDIR(status.st_mode), "AtomicFile: give a file to write, '", target_.string(),
               "' is a directory");
    if (exists && !S_ISREG(status.st_mode)) {
      fd_ = detail::Descriptor(::open(target_.c_str(), O_WRONLY | O_CLOEXEC));
    } else {
      temporary_ = detail::temporary_beside(target_);
      bool const writable = !exists || ::access(target_.c_str(), W_OK) == 0;
      if (writable) fd_ = detail::Descriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
      if (fd_.get() >= 0) std::ignore = ::flock(fd_.get(), LOCK_EX | LOCK_NB);  // whoever lives keeps it
    }
    ATTN_CHECK(fd_.get() >= 0, "AtomicFile: cannot write '", target_.string(), "': ", detail::reason(errno));
    if (exists && !temporary_.empty()) std::ignore = ::fchmod(fd_.get(), status.st_mode & 07777);
  }
  AtomicFile(AtomicFile&&) = delete;
  ~AtomicFile() {
    if (!committed_ && !temporary_.empty()) ::unlink(temporary_.c_str());
  }

  /// Appends bytes.
  void write(std::string_view bytes) {
    detail::check_written(detail::write_all(fd_.get(), bytes), "AtomicFile", target_);
  }
  void write(void const* data, std::size_t bytes) { write({static_cast<char const*>(data), bytes}); }

  /// Puts the file under its name. Call it once, last.
  void commit() {
    int error = detail::flush(fd_.get());
    if (int const closing = fd_.close(); error == 0) error = closing;
    if (error == 0 && !temporary_.empty() && ::rename(temporary_.c_str(), target_.c_str()) != 0) error = errno;
    detail::check_written(error, "AtomicFile", target_);
    committed_ = true;
    Path const directory = target_.has_parent_path() ? target_.parent_path() : Path(".");
    detail::Descriptor const entry(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (entry.get() >= 0) detail::flush(entry.get());  // makes the new name itself durable, where the system can
  }

 private:
  Path target_;
  Path temporary_;  // empty when the target is written directly
  detail::Descriptor fd_;
  bool committed_ = false;
};

/// Replaces a file by `bytes`, or throws and leaves it as it was.
inline void write_file(Path const& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

/// Creates a directory and its parents where they do not exist, and proves by writing (and removing) a small file
/// that results can be left there: call it before hours of work, not after. What killed runs left half written goes.
inline void create_output_directory(Path const& path) {
  Path const directory = path.empty() ? Path(".") : path;
  std::error_code error;
  bool const is_file = std::filesystem::exists(directory, error) && !std::filesystem::is_directory(directory, error);
  ATTN_CHECK(!is_file, "create_output_directory: give a directory, '", directory.string(), "' is a file");
  std::filesystem::create_directories(directory, error);
  ATTN_CHECK(!error, "create_output_directory: cannot create '", directory.string(), "': ", error.message());
  detail::remove_abandoned_temporaries(directory);
  Path const probe = detail::temporary_beside(directory / "probe");
  detail::Descriptor fd(::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  int failure = fd.get() < 0 ? errno : detail::write_all(fd.get(), "probe");
  if (fd.get() >= 0) {
    if (failure == 0) failure = detail::flush(fd.get());
    if (int const closing = fd.close(); failure == 0) failure = closing;
    ::unlink(probe.c_str());
  }
  bool const full = failure == ENOSPC || failure == EDQUOT;
  if (full) detail::check_written(failure, "create_output_directory", directory);
  ATTN_CHECK(failure == 0, "create_output_directory: cannot write into '", directory.string(),
             "': ", detail::reason(failure));
}

}  // namespace attn::io
