#include "attn/io/file.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::io::AtomicFile;
using attn::io::create_output_directory;
using attn::io::MappedFile;
using attn::io::write_file;

TEST(AtomicFile, AppearsOnlyWhenItIsComplete) {
  TemporaryDirectory const directory;
  Path const target = directory / "weights";
  AtomicFile file(target);
  file.write("first ");
  EXPECT_FALSE(std::filesystem::exists(target));
  file.write("second");
  EXPECT_FALSE(std::filesystem::exists(target));
  file.commit();
  EXPECT_EQ(content(target), "first second");
  EXPECT_EQ(directory.entries(), 1);
}

TEST(AtomicFile, WithoutCommitKeepsWhatWasThere) {
  TemporaryDirectory const directory;
  Path const target = directory / "weights";
  write_file(target, "old");
  {
    AtomicFile file(target);
    file.write("new");
  }
  EXPECT_EQ(content(target), "old");
  EXPECT_EQ(directory.entries(), 1);
}

TEST(AtomicFile, DiskThatFillsUpKeepsWhatWasThere) {
  TemporaryDirectory const directory;
  Path const target = directory / "weights";
  write_file(target, "old");
  {
    FileSizeLimit const limit(1000);
    EXPECT_ERROR(write_file(target, std::string(1001, 'x')), "cannot write '" + target.string() + "': File too large");
    EXPECT_EQ(content(target), "old");
    EXPECT_EQ(directory.entries(), 1);
    write_file(target, std::string(1000, 'x'));
  }
  EXPECT_EQ(content(target), std::string(1000, 'x'));
}

TEST(AtomicFile, FullFileSystemKeepsWhatWasThere) {
  TinyDisk const disk;
  if (!disk.mounted()) GTEST_SKIP() << "mounting takes privileges";
  write_file(disk / "weights", "old");
  EXPECT_ERROR(write_file(disk / "weights", std::string(100'000, 'x')), "No space left on device");
  EXPECT_EQ(content(disk / "weights"), "old");
  EXPECT_EQ(disk.entries(), 1);
}

TEST(AtomicFile, FullDeviceIsAnErrorAndStaysADevice) {
  EXPECT_ERROR(write_file("/dev/full", "x"), "AtomicFile: cannot write '/dev/full': No space left on device");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
  write_file("/dev/null", "x");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(AtomicFile, DirectoryOrMissingParentIsAnError) {
  TemporaryDirectory const directory;
  EXPECT_ERROR(write_file(directory.path(), "x"), "is a directory");
  EXPECT_ERROR(write_file(directory / "no/such", "x"), "No such file or directory");
  put(directory / "file", "x");
  EXPECT_ERROR(write_file(directory / "file/below", "x"), "Not a directory");
}

TEST(AtomicFile, WritesThroughALinkAndKeepsPermissions) {
  TemporaryDirectory const directory;
  std::filesystem::create_directory(directory / "store");
  Path const real = directory / "store/weights";
  put(real, "old");
  std::filesystem::permissions(real, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::create_symlink("store/weights", directory / "latest");
  write_file(directory / "latest", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(directory / "latest"));
  EXPECT_EQ(content(real), "new");
  EXPECT_EQ(std::filesystem::status(real).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(AtomicFile, TakesARelativeNameAndNoBytes) {
  TemporaryDirectory const directory;
  Path const before = std::filesystem::current_path();
  std::filesystem::current_path(directory.path());
  write_file("empty", "");
  std::filesystem::current_path(before);
  EXPECT_TRUE(std::filesystem::exists(directory / "empty"));
  EXPECT_EQ(std::filesystem::file_size(directory / "empty"), 0u);
}

TEST(OutputDirectory, IsCreatedWithItsParentsAndLeftEmpty) {
  TemporaryDirectory const directory;
  Path const out = directory / "a/b/c";
  create_output_directory(out);
  create_output_directory(out);
  EXPECT_TRUE(std::filesystem::is_empty(out));
}

TEST(OutputDirectory, LosesTheTemporaryFilesOfKilledRuns_AndNoOthers) {
  TemporaryDirectory const directory;
  ::pid_t const dead = ::fork();
  if (dead == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(dead, nullptr, 0), dead);
  std::string const gone = std::to_string(dead), living = std::to_string(::getppid()), own = std::to_string(::getpid());
  std::string const left = ".checkpoint.safetensors." + gone + "-3.tmp";
  std::vector<std::string> const kept = {".plot.png." + living + "-0.tmp",
                                         "notes." + gone + "-1.tmp",
                                         ".a.tmp",
                                         ".a." + gone + ".tmp",
                                         ".a." + gone + "-.tmp",
                                         ".a.-" + gone + "-1.tmp",
                                         ".a." + gone + "-1x.tmp",
                                         ".a." + gone + "-1.tmp.txt"};
  for (auto const& name : kept) std::ofstream(directory / name) << "x";
  std::filesystem::create_directory(directory / (".folder." + gone + "-1.tmp"));
  std::filesystem::create_symlink("elsewhere", directory / (".link." + gone + "-1.tmp"));
  std::ofstream(directory / left) << "half a checkpoint";
  std::ofstream(directory / (".x." + own + "-99.tmp")) << "of a process that had our number";
  AtomicFile mine(directory / "mine");  // unfinished, as that of another thread would be
  create_output_directory(directory.path());
  EXPECT_FALSE(std::filesystem::exists(directory / left));
  EXPECT_FALSE(std::filesystem::exists(directory / (".x." + own + "-99.tmp")));
  for (auto const& name : kept) EXPECT_TRUE(std::filesystem::exists(directory / name)) << name;
  EXPECT_EQ(directory.entries(), int(kept.size()) + 3);
  mine.write("all");
  mine.commit();
  EXPECT_TRUE(std::filesystem::exists(directory / "mine"));
}

TEST(OutputDirectory, ThatCannotBeMadeOrWrittenIsAnError) {
  TemporaryDirectory const directory;
  put(directory / "file", "x");
  EXPECT_ERROR(create_output_directory(directory / "file"), (directory / "file").string() + "' is a file");
  EXPECT_ERROR(create_output_directory(directory / "file/out"), "cannot create");
  EXPECT_ERROR(create_output_directory("/proc/attn/out"), "cannot create '/proc/attn/out'");
  EXPECT_ERROR(create_output_directory("/proc"), "cannot write into '/proc'");
}

TEST(OutputDirectory, OnAFullDiskIsAnError) {
  TinyDisk const disk;
  if (!disk.mounted()) GTEST_SKIP() << "mounting takes privileges";
  create_output_directory(disk.path());
  put(disk / "filler", std::string(200'000, 'x'));
  EXPECT_ERROR(create_output_directory(disk.path()), "No space left on device");
  EXPECT_EQ(disk.entries(), 1);
}

TEST(MappedFile, HoldsTheBytesOfTheFile) {
  TemporaryDirectory const directory;
  std::string const bytes("a\0b\xff", 4);
  put(directory / "file", bytes);
  MappedFile file(directory / "file");
  EXPECT_EQ(file.text(), bytes);
  MappedFile const moved(std::move(file));
  EXPECT_EQ(moved.text(), bytes);
  put(directory / "empty", "");
  EXPECT_EQ(MappedFile(directory / "empty").size(), 0u);
}

TEST(MappedFile, MissingFileAndDirectoryAreErrors) {
  TemporaryDirectory const directory;
  EXPECT_ERROR(MappedFile(directory / "no"), "cannot open '" + (directory / "no").string() + "': No such file");
  EXPECT_ERROR(MappedFile(directory.path()), "give a regular file");
  EXPECT_ERROR(MappedFile("/dev/null"), "give a regular file");
}

}  // namespace
