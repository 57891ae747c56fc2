#include "attn/io/output_directory.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

namespace {

using namespace attn;
using namespace attn::io;

struct Folder {
  Path path = std::filesystem::temp_directory_path() / ("attn_out_" + std::to_string(::getpid()));
  Folder() { std::filesystem::remove_all(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

/// Whether another process may have the directory now.
bool free_for_others(Path const& path) {
  pid_t const child = ::fork();
  if (child == 0) {
    bool good = true;
    try {
      OutputDirectory const mine(path);
    } catch (Error const& error) {
      good = std::string(error.what()).find("another run uses '" + path.string() + "'") == std::string::npos;
    }
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(OutputDirectory, BelongsToOneProcessAtATime_AndLeavesNoLockBehind) {
  Folder const folder;
  {
    OutputDirectory const out(folder.path / "a/b");
    EXPECT_FALSE(free_for_others(out.path()));
    EXPECT_THROW(OutputDirectory(out.path()), Error) << "nor twice in one process";
    EXPECT_TRUE(free_for_others(folder.path / "a"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path / "a/b"));
  EXPECT_TRUE(free_for_others(folder.path / "a/b"));
}

TEST(OutputDirectory, OfAProcessThatWasKilled_IsFree) {
  Folder const folder;
  pid_t const child = ::fork();
  if (child == 0) {
    OutputDirectory const out(folder.path);
    ::raise(SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(std::filesystem::exists(folder.path / ".lock"));
  EXPECT_TRUE(free_for_others(folder.path));
}

// As gnuplot, which a trainer that was killed had just forked.
TEST(OutputDirectory, OfAKilledProcessWhoseChildStillHasItsFiles_IsFreeSoonAndClean) {
  Folder const folder;
  pid_t const child = ::fork();
  if (child == 0) {
    OutputDirectory const out(folder.path);
    AtomicFile const file(out / "figure.png");
    if (::fork() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      ::_exit(0);
    }
    ::raise(SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_GE(std::distance(std::filesystem::directory_iterator(folder.path), {}), 2);  // a lock and half a figure
  EXPECT_TRUE(free_for_others(folder.path));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path));
}

TEST(OutputDirectory, WithoutAName_IsRefused) { EXPECT_THROW(OutputDirectory(""), Error); }

TEST(OutputDirectory, WithARunInIt_IsNotForEvaluation) {
  Folder const folder;
  OutputDirectory const out(folder.path);
  EXPECT_NO_THROW(out.without_run());
  std::ofstream(out / "metrics.csv") << "step\n";
  EXPECT_THROW(out.without_run(), Error);
}

}  // namespace
