// bench/on_gpu.sh where there is no GPU: stages that fail are said and end nothing, and what was measured becomes a
// table.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "child.hpp"
#include "gpu_table.hpp"
#include "io/files.hpp"

namespace {

using attn::testing::TemporaryDirectory;

std::string const script = ATTN_SOURCE_DIR "/bench/on_gpu.sh";

void write_program(std::filesystem::path const& path, std::string const& shell) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << "#!/bin/sh\n" << shell << "\n";
  ::chmod(path.c_str(), 0700);
}

std::string joined(std::vector<std::string> const& lines) {
  std::string text;
  for (std::string const& line : lines) text += line + "\n";
  return text;
}

TEST(OnGpu, GoesOnBehindStagesThatFail_AndMakesATableOfTheOthers) {
  TemporaryDirectory const folder;
  std::string const build = folder / "build", out = folder / "out";
  write_program(build + "/tests/nn/test_right", "exit 0");
  write_program(build + "/tests/nn/test_wrong", "exit 1");
  write_program(build + "/bench/attention_cuda", R"SH(for a; do case $a in --benchmark_out=*) cat > "${a#*=}" <<'END'
{"benchmarks": [{"name": "attention_cuda/poly3/bf16/forward/64/4096/64/manual_time", "best_ms": 1.5, "TFLOP/s": 500.0,
                 "of_gemm": 0.75, "real_time": 1.6, "label": "attn::attention (Hopper)"}]}
END
esac; done)SH");
  write_program(build + "/bench/gpu_table", "echo table of $1");
  auto const run = bench::run_child(
      {script, "environment", "tests", "attention", "training", "table", "--build", build, "--out", out}, 60);
  EXPECT_EQ(run.fault, "it ended with status 1") << "for tests failed, and there is no train_step";
  std::string const said = joined(run.lines);
  for (std::string const part : {"tests: failed (1)", "attention: done", "training: failed (1)", "table: done"}) {
    EXPECT_NE(said.find(part), std::string::npos) << part << " in\n" << said;
  }
  auto const tests = bench::read_json(out + "/tests.json");
  EXPECT_EQ(tests.dump(), R"({"failed":["tests/nn/test_wrong"],"passed":1})");

  std::ofstream(out + "/attention.3.compared.json")
      << R"([{"name": "attention_cuda/poly3/bf16/forward/64/4096/64", "ratio": [1.1, 1.25, 1.3],
              "variants": {"compiled": 0.003, "softmax by flash": 0.0019}}])";
  std::ostringstream table;
  bench::GpuTable(out).write(table);
  for (std::string const part :
       {"Tests: 1 passed, failed: [\"tests/nn/test_wrong\"]",
        "| attention_cuda/poly3/bf16/forward/64/4096/64 | 1.5 | 500 | 0.75 | 1.25 (1.1 to 1.3) | compiled 3 softmax by "
        "flash 1.9 | attn::attention (Hopper) |",
        "## training\n\nnot run"}) {
    EXPECT_NE(table.str().find(part), std::string::npos) << part << " in\n" << table.str();
  }
}

TEST(OnGpu, AStageThatIsStopped_LeavesWhatItHad) {
  TemporaryDirectory const folder;
  std::string const build = folder / "build", out = folder / "out";
  write_program(build + "/tests/cuda/test_cuda_device", "exit 0");
  write_program(build + "/tests/activation/test_endless", "sleep 20");
  write_program(build + "/tests/core/test_later", "exit 0");
  EXPECT_NE(bench::run_child({script, "tests", "--build", build, "--out", out}, 2).fault, "");
  EXPECT_EQ(bench::read_json(out + "/tests.json").dump(),
            R"({"failed":[],"passed":1,"running":"tests/activation/test_endless"})")
      << "tests on devices come first";

  // Whichever part is the second is not there.
  write_program(build + "/bench/attention_cuda", R"SH(for a; do case $a in
--benchmark_out=*.2.json) sleep 20 ;;
--benchmark_out=*) echo '{"benchmarks": [{"name": "attention_cuda/softmax/bf16/forward/4/16/64"}]}' > "${a#*=}" ;;
esac; done)SH");
  EXPECT_NE(bench::run_child({script, "attention", "--build", build, "--out", out}, 2).fault, "");
  std::ostringstream table;
  bench::GpuTable(out).write(table);
  for (std::string const part : {"1 passed, failed: [], stopped in \"tests/activation/test_endless\"",
                                 "| attention_cuda/softmax/bf16/forward/4/16/64 |"}) {
    EXPECT_NE(table.str().find(part), std::string::npos) << part << " in\n" << table.str();
  }
}

TEST(OnGpu, PacksProgramsToCarry_AndNamesThoseThatAreMissing) {
  TemporaryDirectory const folder;
  std::string const build = folder / "build", archive = folder / "attn.tar.xz";
  std::vector<std::string> const programs = {"bench/attention_cuda",
                                             "bench/train_step",
                                             "bench/pde_step",
                                             "bench/gpu_table",
                                             "tests/cuda/test_cuda_device",
                                             "tests/cuda/test_cuda_each_kernel",
                                             "tests/cuda/test_cuda_differential"};
  for (std::string const& program : programs) {
    std::filesystem::create_directories(std::filesystem::path(build + "/" + program).parent_path());
    EXPECT_EQ(bench::run_child({script, "pack", "--build", build, archive}, 20).fault, "it ended with status 2");
    std::filesystem::copy_file("/bin/true", build + "/" + program);
  }
  auto const packed = bench::run_child({script, "pack", "--build", build, archive}, 60);
  EXPECT_EQ(packed.fault, "") << joined(packed.lines);
  std::string const listed = joined(bench::run_child({"tar", "-tf", archive}, 20).lines);
  for (std::string const& program : programs)
    EXPECT_NE(listed.find("attn/" + program + "\n"), std::string::npos) << listed;
  for (std::string const file : {"attn/on_gpu.sh", "attn/bench/peers/attention_cuda.py", "attn/lib/"}) {
    EXPECT_NE(listed.find(file), std::string::npos) << file << " in\n" << listed;
  }
}

TEST(OnGpu, SaysWhatIsWrongWithItsArguments) {
  for (auto const& arguments : std::vector<std::vector<std::string>>{{script},
                                                                     {script, "nothing"},
                                                                     {script, "tests", "--minutes", "x"},
                                                                     {script, "tests", "--build", "/nowhere"}}) {
    EXPECT_EQ(bench::run_child(arguments, 20).fault, "it ended with status 2");
  }
}

}  // namespace
