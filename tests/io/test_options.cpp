// Kokkos starts once in a process, and `run_main` starts it: so this test has a main() without Kokkos, and runs each
// command line in a process of its own.
#include "attn/io/options.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using attn::io::CommonOptions;
using attn::io::run_main;
using attn::io::SettingList;

struct Trainer {
  CommonOptions common;
  SettingList settings;
  int batch = 64;
  float rate = 0.001f;
  std::string fail;

  void add_options(CLI::App& app) {
    app.description("Trains.");
    settings("batch", batch, {.help = "Images a step", .range = {1, 4096}});
    settings("learning-rate", rate, {.help = "Highest learning rate", .range = {0, 10}});
    settings("fail", fail, {.help = "How to fail"});
  }
  int run() const {
    if (fail == "input") throw attn::Error("cannot read\nthe file");
    if (fail == "run") throw attn::io::FailedRun("the loss became NaN at step 7");
    if (fail == "memory") throw std::bad_alloc();
    if (fail == "other") throw std::runtime_error("something else");
    std::cerr << common.activation << " " << common.power << " " << common.scale << " " << common.seed << " " << batch
              << " " << rate << " " << common.evaluate << " " << common.weights << " " << common.out << " threads "
              << (common.threads > 0 ? Kokkos::DefaultHostExecutionSpace().concurrency() : 0) << "\n";
    return fail == "code" ? 5 : 0;
  }
};

struct SharingTrainer : Trainer {
  static constexpr bool shares = true;
};

/// Runs a command line and leaves the process with its code.
template <class Program = Trainer>
[[noreturn]] void exit_with(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "/some/where/train");
  std::vector<char const*> argv;
  for (std::string const& argument : arguments) argv.push_back(argument.c_str());
  Program trainer;
  std::_Exit(run_main(static_cast<int>(argv.size()), argv.data(), trainer));
}

/// The command line ends with this code and exactly this line on the standard error.
void expect_line(std::vector<std::string> const& arguments, int code, std::string const& line) {
  std::string pattern = "^";
  for (char const c : line)
    pattern += std::string(".*+?()[]{}|^$\\").find(c) == std::string::npos ? std::string(1, c) : std::string("\\") + c;
  EXPECT_EXIT(exit_with(arguments), ::testing::ExitedWithCode(code), pattern + "\n$");
}

TEST(Options, ReachTheProgram) {
  std::string const weights = ::testing::TempDir() + "attn-weights.safetensors";
  std::ofstream(weights) << "x";
  expect_line(
      {"--activation", "poly", "--power", "5", "--scale=dynamic", "--seed", "18446744073709551615", "--out",
       "somewhere", "--weights", weights, "--evaluate", "--threads", "1", "--batch", "7", "--learning-rate", "1e-2"},
      0, "poly 5 dynamic 18446744073709551615 7 0.01 1 \"" + weights + "\" \"somewhere\" threads 1");
  std::remove(weights.c_str());
}

TEST(Options, HaveDefaults) { expect_line({}, 0, "softmax 3 none 0 64 0.001 0 \"\" \"\" threads 0"); }

TEST(Options, ExitCodeIsTheProgramsOwn) {
  EXPECT_EXIT(exit_with({"--fail", "code"}), ::testing::ExitedWithCode(5), "");
}

TEST(Options, MistypedFlagOrWordNamesTheNearest) {
  expect_line({"--activaton", "poly"}, 2, "train: unknown flag --activaton; did you mean --activation?");
  expect_line({"--sed=3"}, 2, "train: unknown flag --sed; did you mean --seed?");
  expect_line({"-seed", "3"}, 2, "train: unknown flag -seed; did you mean --seed?");
  expect_line({"--frobnicate"}, 2, "train: unknown flag --frobnicate; --help lists the flags");
  expect_line({"--activation", "sofmax"}, 2,
              "train: --activation: use softmax|poly|relu|sigmoid, got 'sofmax'; did you mean softmax?");
  expect_line({"--scale", "x"}, 2, "train: --scale: use none|fixed|dynamic, got 'x'");
}

TEST(Options, BadValuesAreOneLineAndCodeTwo) {
  expect_line({"--power", "7"}, 2, "train: --power: use a whole number from 1 to 6, got '7'");
  expect_line({"--power", "2.5"}, 2, "train: --power: use a whole number from 1 to 6, got '2.5'");
  expect_line({"--power", "three"}, 2, "train: --power: use a whole number from 1 to 6, got 'three'");
  expect_line({"--batch", "0"}, 2, "train: --batch: use a whole number from 1 to 4096, got '0'");
  expect_line({"--learning-rate", "nan"}, 2, "train: --learning-rate: use a number from 0 to 10, got 'nan'");
  expect_line({"--weights", "/no/file"}, 2, "train: --weights: there is no file '/no/file'");
  expect_line({"stray"}, 2, "train: unexpected argument 'stray'; --help lists the flags");
  expect_line({"--evaluate"}, 2, "train: --evaluate requires --weights");
  for (char const* const seed : {"-1", "1x", "18446744073709551616", "1.5"}) {
    expect_line({"--seed", seed}, 2,
                std::string("train: --seed: use a whole number from 0 to 18446744073709551615, got '") + seed + "'");
  }
  EXPECT_EXIT(exit_with({"--seed"}), ::testing::ExitedWithCode(2), "^train: --seed[^\n]*\n$");
  EXPECT_EXIT(exit_with({"--seed", "1", "--seed", "2"}), ::testing::ExitedWithCode(2), "^train: --seed[^\n]*\n$");
  EXPECT_EXIT(exit_with({"--", "3"}), ::testing::ExitedWithCode(2), "^train: unexpected argument[^\n]*\n$");
}

TEST(Options, StartedAsSeveralProcesses_IsRefusedByOneOfThem) {
  auto const started = [](char const* size, char const* rank, char const* how) {
    ::setenv(size, "4", 1);
    ::setenv(rank, how, 1);
  };
  EXPECT_EXIT((started("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "0"), exit_with<SharingTrainer>({})),
              ::testing::ExitedWithCode(2),
              "^train: mpirun started this program 4 times, but it was built without MPI; build it with "
              "-DATTN_ENABLE_MPI=ON, or start it once\n$");
  EXPECT_EXIT((started("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "0"), exit_with({})), ::testing::ExitedWithCode(2),
              "^train: srun started this program 4 times, but it does not share its work; start it once\n$");
  EXPECT_EXIT((started("PMI_SIZE", "PMI_RANK", "3"), exit_with({})), ::testing::ExitedWithCode(2), "^$");
  EXPECT_EXIT((started("SLURM_NTASKS", "SLURM_PROCID", "0"), exit_with({})), ::testing::ExitedWithCode(0), "");
}

TEST(Options, MoreThreadsThanThereIsRoomForAreRefusedBeforeKokkosStarts) {
  expect_line({"--threads", "513"}, 2, "train: --threads: use a whole number from 0 to 512, got '513'");
  expect_line({"--threads", "-1"}, 2, "train: --threads: use a whole number from 0 to 512, got '-1'");
  for (char const* const variable : {"OMP_NUM_THREADS", "KOKKOS_NUM_THREADS"}) {
    for (char const* const number : {"513", "65536", "99999999999999999999999", " 600,2"}) {
      EXPECT_EXIT(
          {
            ::setenv(variable, number, 1);
            exit_with({});
          },
          ::testing::ExitedWithCode(2), std::string("^train: ") + variable + ": use at most 512 threads, got");
    }
  }
}

TEST(Options, AnOutThatIsEmptyIsRefusedAtOnce) {
  expect_line({"--out", ""}, 2, "train: --out: name a file or folder, got ''");
}

TEST(Options, ErrorsAreOneLineAndTellInputFromFailure) {
  expect_line({"--fail", "input"}, 2, "train: cannot read the file");
  expect_line({"--fail", "run"}, 1, "train: the loss became NaN at step 7");
  expect_line({"--fail", "memory"}, 1, "train: out of memory");
  expect_line({"--fail", "other"}, 1, "train: something else");
}

TEST(Options, HelpExplainsEveryFlagOnStandardOutput) {
  EXPECT_EXIT(exit_with({"--help"}), ::testing::ExitedWithCode(0), "^$");
  CLI::App app("", "train");
  Trainer trainer;
  describe(trainer.settings, trainer.common);
  trainer.add_options(app);
  attn::io::add_options(app, trainer.settings);
  std::string const help = app.help();
  for (CLI::Option const* option : app.get_options()) {
    EXPECT_NE(help.find(option->get_name()), std::string::npos);
    EXPECT_FALSE(option->get_description().empty()) << option->get_name();
  }
  for (char const* const flag :
       {"--activation", "--power", "--scale", "--seed", "--out", "--weights", "--evaluate", "--threads"}) {
    EXPECT_NE(help.find(flag), std::string::npos) << flag;
  }
}

TEST(Options, ProgramMayOfferItsOwnActivation) {
  CommonOptions common;
  common.activations.push_back("squared_relu");
  CLI::App app;
  SettingList settings;
  describe(settings, common);
  attn::io::add_options(app, settings);
  std::vector<char const*> const argv = {"train", "--activation", "squared_relu"};
  EXPECT_FALSE(attn::io::detail::parse(app, 3, argv.data()));
  EXPECT_EQ(common.activation, "squared_relu");
}

TEST(Options, FullStandardOutputIsAFailure) {
  EXPECT_EXIT(
      {
        std::ofstream full("/dev/full");
        std::cout.rdbuf(full.rdbuf());
        std::cout << "lost";
        exit_with({});
      },
      ::testing::ExitedWithCode(1), "cannot write to the standard output\n$");
}

/// What this program prints with --waiting in such surroundings, or with --places.
std::string waiting_of(std::string const& surroundings, std::string const& what = "--waiting") {
  std::string const self = std::filesystem::read_symlink("/proc/self/exe").string();
  std::FILE* const child = ::popen((surroundings + " '" + self + "' " + what + " 'a b'").c_str(), "r");
  char text[80] = {};
  std::size_t const size = std::fread(text, 1, sizeof text - 1, child);
  EXPECT_EQ(::pclose(child), 0);
  return std::string(text, size);
}

TEST(LimitSpinning, StartsTheProgramAnewWithItsArguments) {
  std::string const nothing = "env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT -u KMP_BLOCKTIME";
  EXPECT_EQ(waiting_of(nothing), "1000 a b");
  EXPECT_EQ(waiting_of(nothing + " GOMP_SPINCOUNT=7"), "7 a b");
  EXPECT_EQ(waiting_of(nothing + " OMP_WAIT_POLICY=active"), "unset a b");
}

#ifdef KOKKOS_ENABLE_OPENMP
// Bound threads find as many places in the program that was started anew as in one that was not.
TEST(LimitSpinning, LeavesThreadsAllTheirPlaces) {
  std::string const bound =
      "env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT -u KMP_BLOCKTIME OMP_PROC_BIND=true OMP_PLACES=threads";
  std::string const places = waiting_of(bound + " GOMP_SPINCOUNT=1000", "--places");
  EXPECT_GE(std::stoi(places), 1);
  EXPECT_EQ(waiting_of(bound, "--places"), places);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--waiting") {
    attn::io::limit_spinning(argv);
    char const* const count = std::getenv("GOMP_SPINCOUNT");
    std::printf("%s %s", count == nullptr ? "unset" : count, argv[2]);
    return 0;
  }
#ifdef KOKKOS_ENABLE_OPENMP
  if (argc == 3 && std::string(argv[1]) == "--places") {
    attn::io::limit_spinning(argv);
    std::printf("%d", omp_get_num_places());
    return 0;
  }
#endif
  ::setenv("OMP_WAIT_POLICY", "passive", 0);  // what the tests run is not to start this program anew
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
