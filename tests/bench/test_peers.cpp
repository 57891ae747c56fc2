#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "io/files.hpp"
#include "peers.hpp"

namespace {

/// What `Peers` prints of the cases, ours taking 1 s, where `script` is run in the place of Python.
std::string compared(std::string const& script, std::vector<std::string> const& cases) {
  attn::testing::TemporaryDirectory const folder;
  std::filesystem::path const program = folder / "python";
  std::ofstream(program) << "#!/bin/sh\n" << script;
  ::chmod(program.c_str(), 0700);
  std::string arguments[] = {"bench", "--peer=" + program.string(), "--rounds=3", "--other", "--turn=0"};
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  int argc = static_cast<int>(argv.size());
  bench::Peers peers(argc, argv.data(), "attention.py");
  EXPECT_EQ(argc, 2);
  EXPECT_STREQ(argv[1], "--other");
  for (std::string const& name : cases) peers.compare(name, [] { return 1.0; });
  testing::internal::CaptureStdout();
  peers.print();
  return testing::internal::GetCapturedStdout();
}

std::string const answers = R"(
while read -r line; do
  case "$line" in
    *unknown*) echo '{"variants": []}' ;;
    *prepare*) echo '{"variants": ["slow", "fast"], "torch": "9", "threads": 2, "processors": [0, 1]}' ;;
    *fast*) n=$((n + 1)); echo "{\"median\": $n.0}" ;;
    *) echo '{"median": 40.0}' ;;
  esac
done
)";

TEST(Peers, TheFastestVariantIsThePeerByTheMedianOfRatiosInTurns) {
  EXPECT_EQ(compared(answers, {"unknown", "a", "a"}),
            "the peer is PyTorch 9 with 2 threads on the processors [0,1]; 3 rounds\n"
            "a                                                          1000.000 ms: 2.00 (1.50 to 2.50) times as fast "
            "as PyTorch, fast 2000.000 ms, slow 40000.000 ms\n");
}

TEST(Peers, OneThatCannotBeRunIsOneSentence) {
  EXPECT_EQ(compared("echo the packages are missing >&2; exit 1", {"a", "b"}),
            "no peer from attention.py: it ended with status 1\n");
  EXPECT_EQ(
      compared("read -r line; echo '{\"variants\": [\"x\"], \"processors\": []}'; read -r line; kill -9 $$", {"a"}),
      "the peer is PyTorch ? with 0 threads on the processors []; 3 rounds\n"
      "no peer from attention.py: it was ended by signal 9\n");
  EXPECT_EQ(compared("echo 'Traceback'; sleep 9", {"a"}), "no peer from attention.py: it printed 'Traceback'\n");
}

}  // namespace
