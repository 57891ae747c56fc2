// What is on the disk when the power fails? The calls that make a file durable are put in the place of those of the C
// library: they are written down, done, and made to fail where a test says so.
#include "attn/optim/adamw.hpp"
#include "attn/train/checkpoint.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "io/files.hpp"
#include "train/toy_task.hpp"

namespace {

std::filesystem::path watched;   // calls for files in this folder are written down
std::vector<std::string> calls;  // "write t", "flush t", "rename t weights", "flush .": t is a temporary file
int flush_error = 0;             // what flushing a file answers, 0: what the system says

/// The name of a file in the watched folder, "." for the folder, "" for others.
std::string watched_name(std::filesystem::path const& path) {
  if (watched.empty()) return "";
  if (path == watched) return ".";
  if (path.parent_path() != watched) return "";
  std::string const name = path.filename().string();
  return name.ends_with(".tmp") ? "t" : name;
}

std::string watched_name(int fd) {
  if (watched.empty()) return "";
  std::error_code ignored;
  return watched_name(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored));
}

void note(std::string const& call) {
  if (calls.empty() || calls.back() != call) calls.push_back(call);
}

}  // namespace

extern "C" {

ssize_t write(int fd, void const* data, size_t bytes) {
  if (std::string const name = watched_name(fd); !name.empty()) note("write " + name);
  return ::syscall(SYS_write, fd, data, bytes);
}

int fsync(int fd) {
  std::string const name = watched_name(fd);
  if (!name.empty()) note("flush " + name);
  if (!name.empty() && name != "." && flush_error != 0) return errno = flush_error, -1;
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

int rename(char const* from, char const* to) noexcept {
  if (std::string const name = watched_name(std::filesystem::path(to)); !name.empty()) {
    note("rename " + watched_name(std::filesystem::path(from)) + " " + name);
  }
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

}  // extern "C"

namespace {

using namespace attn::testing;
using attn::io::write_file;

/// Writes down what happens in a folder while it lives.
struct Watch {
  explicit Watch(std::filesystem::path const& folder) {
    watched = std::filesystem::canonical(folder);
    calls.clear();
  }
  ~Watch() { watched.clear(), flush_error = 0; }
};

using Calls = std::vector<std::string>;

TEST(Durability, FileIsOnTheDiskBeforeItsNameAndThenItsNameIs) {
  TemporaryDirectory const directory;
  Watch const watch(directory.path());
  write_file(directory / "weights", "new");
  EXPECT_EQ(calls, (Calls{"write t", "flush t", "rename t weights", "flush ."}));
}

TEST(Durability, FileThatCannotBeFlushedKeepsWhatWasThere) {
  TemporaryDirectory const directory;
  write_file(directory / "weights", "old");
  Watch const watch(directory.path());
  flush_error = EIO;
  EXPECT_ERROR(write_file(directory / "weights", "new"),
               "cannot write '" + (directory / "weights").string() + "': Input/output error");
  EXPECT_EQ(calls, (Calls{"write t", "flush t"}));
  EXPECT_EQ(content(directory / "weights"), "old");
  EXPECT_EQ(directory.entries(), 1);
}

TEST(Durability, CheckpointOfBeforeStaysUntilTheNewOneIsOnTheDisk) {
  TemporaryDirectory const directory;
  attn::train::toy::Ctx ctx(9);
  attn::train::toy::Task const task(ctx);
  attn::optim::AdamW<float, decltype(ctx)::MemorySpace> adamw(ctx);
  attn::train::CheckpointParts<decltype(ctx)> const parts{{"optimizer", adamw.state(ctx)}};
  auto const path = directory / "c.safetensors";
  auto const save = [&](int epoch) { attn::train::save_checkpoint(path, ctx, parts, {{"epoch", epoch}}); };
  save(1);
  Watch const watch(directory.path());
  save(2);
  EXPECT_EQ(calls, (Calls{"write t", "flush t", "rename t c.safetensors", "flush ."}));
  flush_error = EIO;
  EXPECT_ERROR(save(3), "Input/output error");
  EXPECT_EQ(attn::train::read_checkpoint_record(path), (attn::io::Json{{"epoch", 2}}));
}

}  // namespace
