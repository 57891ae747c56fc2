// Trainers as several ranks of a job of MPI: the same training, the same files, and what is said when ranks are unlike.
#include "attn/io/csv.hpp"
#include "attn/io/results.hpp"
#include "attn/io/safetensors.hpp"

#include <cmath>

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;

std::string const mpirun = ATTN_MPIRUN, train_vision = ATTN_TRAIN_VISION, train_lra = ATTN_TRAIN_LRA,
                  train_pde = ATTN_TRAIN_PDE;

Arguments operator+(Arguments a, Arguments const& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Arguments out(Path const& path) { return {"--out", path.string()}; }

/// A program and its flags as `ranks` ranks, or without mpirun for none.
Arguments ranks(int count, std::string const& program, Arguments const& flags) {
  return Arguments{"-n", std::to_string(count), program} + flags;
}
Exit run_ranks(int count, std::string const& program, Arguments const& flags) {
  return count == 0 ? run(program, flags) : run(mpirun, ranks(count, program, flags));
}

/// Images, 41 of them to be judged by, and flags of a small training.
struct Images {
  Folder folder;
  Arguments flags;

  explicit Images(std::uint32_t tests = 41) {
    write_tiny_images(folder, tests);
    flags = {"--data",       folder.path.string(),
             "--patch",      "4",
             "--width",      "16",
             "--depth",      "2",
             "--heads",      "2",
             "--batch",      "16",
             "--log-every",  "1",
             "--epochs",     "2",
             "--accumulate", "4"};
  }
  Exit train(int count, std::string const& name, Arguments const& more = {}) const {
    return run_ranks(count, train_vision, merged(flags, out(folder / name)) + more);
  }
  io::CsvTable metrics(std::string const& name) const { return io::read_csv(folder / name / "metrics.csv"); }
  std::string bytes(std::string const& name, char const* file = "weights.safetensors") const {
    return text_of(folder / name / file);
  }
};

/// The largest difference of two files of tensors of the same names, relative to the largest number of each.
double difference(Path const& a, Path const& b) {
  io::Safetensors const first(a), second(b);
  EXPECT_EQ(first.tensors().size(), second.tensors().size());
  double largest = 0;
  for (auto const& [name, _] : first.tensors()) {
    auto const x = first.array(name).as<double>(), y = second.array(name).as<double>();
    double scale = 1e-3;
    for (double const value : x) scale = std::max(scale, std::abs(value));
    for (std::size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]) / scale);
  }
  return largest;
}

Arguments const noise = {"--drop", "0.1", "--mixup", "0.8", "--flip", "0.5", "--repeats", "3", "--ema", "0.9"};

TEST(Ranks, OneTwoAndFour_TrainAlikeButForRounding) {
  Images const images;
  for (int const count : {0, 2, 4}) {
    Exit const exit = images.train(count, std::to_string(count), noise);
    ASSERT_EQ(exit.code, 0) << exit.err;
    EXPECT_EQ(exit.out.find("test accuracy"), exit.out.rfind("test accuracy")) << exit.out;
  }
  auto const alone = images.metrics("0");
  for (std::string const name : {"2", "4"}) {
    auto const shared = images.metrics(name);
    ASSERT_EQ(shared.columns, alone.columns);
    ASSERT_EQ(shared.rows.size(), alone.rows.size());
    // The gradients, by their norm, in the first step and after twelve.
    EXPECT_NEAR(shared.numbers("gradient_norm")[0] / alone.numbers("gradient_norm")[0], 1, 1e-6);
    EXPECT_NEAR(shared.numbers("loss")[0] / alone.numbers("loss")[0], 1, 1e-6);
    EXPECT_NEAR(shared.numbers("gradient_norm").back() / alone.numbers("gradient_norm").back(), 1, 1e-3);
    EXPECT_NEAR(shared.numbers("test_loss").back() / alone.numbers("test_loss").back(), 1, 1e-4);
    EXPECT_EQ(shared.numbers("train_accuracy")[0], alone.numbers("train_accuracy")[0]);
    EXPECT_LT(difference(images.folder / "0/weights.safetensors", images.folder / (name + "/weights.safetensors")),
              1e-3);
    auto const a = io::Safetensors(images.folder / "0/checkpoint.safetensors");
    auto const b = io::Safetensors(images.folder / (name + "/checkpoint.safetensors"));
    ASSERT_EQ(a.tensors().size(), b.tensors().size());
    for (auto const& [tensor, entry] : a.tensors()) EXPECT_EQ(entry.shape, b.entry(tensor).shape) << tensor;
  }
}

TEST(Ranks, TheSameRunTwice_HasTheSameBits_HoweverSumsAreCut) {
  Images const images;
  Arguments const bf16 = {"--precision", "bf16"};
  ASSERT_EQ(images.train(4, "first", noise + bf16).code, 0);
  ASSERT_EQ(images.train(4, "cut", noise + bf16 + Arguments{"--bucket", "0.001"}).code, 0);
  ASSERT_EQ(images.train(4, "sharded", noise + bf16 + Arguments{"--shard-optimizer"}).code, 0);
  EXPECT_EQ(images.bytes("first"), images.bytes("cut"));
  EXPECT_EQ(images.bytes("first"), images.bytes("sharded"));
  auto const whole = io::Safetensors(images.folder / "first/checkpoint.safetensors");
  auto const shards = io::Safetensors(images.folder / "sharded/checkpoint.safetensors");
  for (auto const& [name, _] : whole.tensors()) EXPECT_EQ(whole.array(name).bytes, shards.array(name).bytes) << name;
}

/// Stops a training by two ranks, and by one that resumed it. False if one came to its end before it was looked at, as
/// a short one may where other work keeps the processors.
bool stops_twice(Images const& images, Arguments const& flags) {
  std::size_t rows = 0;
  for (int const count : {2, 0}) {
    Child child(count == 0 ? train_vision : mpirun,
                count == 0 ? flags + Arguments{"--resume", "--shard-optimizer"}
                           : ranks(count, train_vision, flags + Arguments{"--checkpoint-every", "3"}));
    EXPECT_TRUE(wait_until([&] {
      std::string const text = text_of(images.folder / "parts/metrics.csv");
      return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) > rows + 12 || child.ended();
    }));
    child.signal(SIGTERM);  // mpirun gives its ranks no time to write a checkpoint
    if (Exit const exit = child.wait(); exit.code == 0) return false;
    rows = images.metrics("parts").rows.size();
  }
  return true;
}

TEST(Ranks, ResumedByTwoByOneAndByFour_GoesOnAsOne) {
  Images const images;
  int epochs = 60;
  auto const flags = [&](char const* name) {
    return merged(images.flags, {"--epochs", std::to_string(epochs)}) + out(images.folder / name);
  };
  while (!stops_twice(images, flags("parts"))) {
    ASSERT_LT(epochs *= 4, 20000);
    std::filesystem::remove_all(images.folder / "parts");
  }
  Exit const rest = run_ranks(4, train_vision, flags("parts") + Arguments{"--resume", "--shard-optimizer"});
  ASSERT_EQ(rest.code, 0) << rest.err;
  ASSERT_EQ(run_ranks(0, train_vision, flags("whole")).code, 0);
  EXPECT_EQ(images.metrics("parts").rows.size(), images.metrics("whole").rows.size());
  EXPECT_NEAR(images.metrics("parts").numbers("test_loss").back() / images.metrics("whole").numbers("test_loss").back(),
              1, 0.05);
}

TEST(Ranks, ARankThatDies_EndsAllSoonAndLeavesTheCheckpoint) {
  Images const images;
  Child child(mpirun, ranks(2, train_vision,
                            merged(images.flags, {"--epochs", "100000", "--checkpoint-every", "2"}) +
                                out(images.folder / "killed")));
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(images.folder / "killed/checkpoint.safetensors"); }));
  pid_t victim = 0;  // the rank that writes no files: a child of mpirun without the lock's place in its command's past
  for (auto const& entry : std::filesystem::directory_iterator("/proc")) {
    std::string const pid = entry.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::string const command = text_of(entry.path() / "cmdline"), environment = text_of(entry.path() / "environ");
    bool const ours = command.find((images.folder / "killed").string()) != std::string::npos;
    if (ours && environment.find("OMPI_COMM_WORLD_RANK=1") != std::string::npos) victim = std::stoi(pid);
  }
  ASSERT_GT(victim, 0);
  auto const begun = std::chrono::steady_clock::now();
  ::kill(victim, SIGKILL);
  Exit const exit = child.wait();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(15));
  EXPECT_NE(exit.code, 0);
  EXPECT_NE(exit.err.find("signal 9"), std::string::npos) << exit.err;
  EXPECT_NO_THROW(io::Safetensors(images.folder / "killed/checkpoint.safetensors"));
  Exit const resumed = run_ranks(2, train_vision,
                                 merged(images.flags, {"--epochs", "100000", "--checkpoint-every", "2", "--lr", "1"}) +
                                     out(images.folder / "killed") + Arguments{"--resume"});
  EXPECT_NE(resumed.err.find("lr is 1"), std::string::npos) << resumed.err;  // it was read as far as to its settings
}

TEST(Ranks, MoreThanSamples_ShareThem) {
  Images const images(3);
  Arguments const few = {"--batch", "3", "--accumulate", "1", "--epochs", "1", "--train-limit", "12"};
  for (int const count : {0, 4}) {
    Exit const exit =
        run_ranks(count, train_vision, merged(images.flags, few) + out(images.folder / std::to_string(count)));
    ASSERT_EQ(exit.code, 0) << exit.err;
  }
  auto const alone = images.metrics("0"), shared = images.metrics("4");
  for (char const* const column : {"loss", "gradient_norm", "test_loss", "train_accuracy"}) {
    EXPECT_NEAR(shared.numbers(column).back() / alone.numbers(column).back(), 1, 1e-4) << column;
  }
}

TEST(Ranks, ThatAreUnlike_AreNamed) {
  Images const images;
  auto const expect_refused = [&](Arguments const& other, std::string const& sentence) {
    Exit const exit =
        run(mpirun, ranks(1, train_vision, merged(images.flags, out(images.folder / "bad"))) + Arguments{":"} +
                        ranks(1, train_vision, merged(merged(images.flags, out(images.folder / "bad")), other)));
    EXPECT_EQ(exit.code, 2) << exit.err;
    EXPECT_NE(exit.err.find(sentence), std::string::npos) << exit.err;
    EXPECT_EQ(exit.err.find("train_vision: "), exit.err.rfind("train_vision: "))
        << "more than one sentence: " << exit.err;
  };
  expect_refused({"--lr", "0.5"}, ": lr 0.5, not ");
  expect_refused({"--width", "32"}, ": width 32, not 16");
  Images const others(42);
  expect_refused({"--data", others.folder.path.string()}, "41");
}

TEST(Ranks, WhatIsNotShared_IsRefused) {
  Images const images;
  Exit const bad = images.train(2, "bad", {"--no-such-flag", "1"});
  EXPECT_EQ(bad.code, 2) << bad.err;
  EXPECT_EQ(bad.err.find("unknown flag"), bad.err.rfind("unknown flag")) << bad.err;
  Exit const demo = images.train(2, "demo", {"--demo"});
  EXPECT_NE(demo.err.find("--demo: start the program once, got 2 ranks"), std::string::npos) << demo.err;
}

TEST(Ranks, OfSequences_TrainAlike) {
  Folder const folder;
  Arguments const flags = {"--task",       "listops", "--steps",        "6",  "--eval-every", "3", "--batch",     "8",
                           "--accumulate", "2",       "--width",        "16", "--heads",      "2", "--depth",     "1",
                           "--hidden",     "32",      "--eval-batches", "3",  "--log-every",  "1", "--landmarks", "16",
                           "--examples",   "40"};
  for (int const count : {0, 2}) {
    Exit const exit = run_ranks(count, train_lra, flags + out(folder / std::to_string(count)));
    ASSERT_EQ(exit.code, 0) << exit.err;
  }
  auto const alone = io::read_csv(folder / "0/metrics.csv"), shared = io::read_csv(folder / "2/metrics.csv");
  EXPECT_NEAR(shared.numbers("gradient_norm")[0] / alone.numbers("gradient_norm")[0], 1, 1e-5);
  EXPECT_NEAR(shared.numbers("dev_loss").back() / alone.numbers("dev_loss").back(), 1, 1e-4);
  auto const result = [&](char const* name) { return io::Results::read(folder / name / "results.json").runs()[0]; };
  EXPECT_EQ(result("0")["test_examples"], result("2")["test_examples"]);
  EXPECT_NEAR(result("2")["test_loss"].get<double>() / result("0")["test_loss"].get<double>(), 1, 1e-3);
}

TEST(Ranks, OfEquations_AgreeInTheirLineSearch) {
  Folder const folder;
  Arguments const flags = {"--problem",        "convection", "--model",    "pinn", "--steps",    "3",
                           "--max-iterations", "4",          "--x-points", "9",    "--t-points", "7",
                           "--test-points",    "8"};
  for (int const count : {0, 2, 4}) {
    Exit const exit = run_ranks(count, train_pde, flags + out(folder / std::to_string(count)));
    ASSERT_EQ(exit.code, 0) << exit.err;
  }
  auto const alone = io::read_csv(folder / "0/metrics.csv");
  for (char const* const name : {"2", "4"}) {
    auto const shared = io::read_csv(folder / name / "metrics.csv");
    ASSERT_EQ(shared.rows.size(), alone.rows.size());
    EXPECT_EQ(shared.numbers("evaluations"), alone.numbers("evaluations"));
    EXPECT_NEAR(shared.numbers("loss").back() / alone.numbers("loss").back(), 1, 1e-3);
  }
}

}  // namespace
