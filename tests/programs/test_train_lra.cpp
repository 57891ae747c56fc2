// train_lra: every task on small files of its release's formats, resumption, and bad input.
#include "attn/data/listops.hpp"
#include "attn/data/pathfinder_generator.hpp"
#include "attn/io/csv.hpp"
#include "attn/io/results.hpp"
#include "attn/io/safetensors.hpp"

#include <algorithm>

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;

std::string const program = ATTN_TRAIN_LRA;

class TrainLra : public ::testing::Test {
 protected:
  Exit run(Arguments const& more, Surroundings const& surroundings = {}) const {
    Arguments const flags = {"--task",         "listops", "--out",        (folder / "run").string(),
                             "--steps",        "2",       "--eval-every", "1",
                             "--batch",        "4",       "--examples",   "24",
                             "--eval-batches", "1",       "--width",      "16",
                             "--hidden",       "16",      "--landmarks",  "16",
                             "--depth",        "1",       "--log-every",  "1"};
    return programs::run(program, merged(flags, more), surroundings);
  }
  io::Json only_run(Path const& out) const { return io::Results::read(out / "results.json").runs().at(0); }

  void expect_trained(Arguments const& more, std::string const& task) const {
    SCOPED_TRACE(task);
    Exit const exit = run(more);
    ASSERT_EQ(exit.code, 0) << exit.err;
    io::Json const result = only_run(folder / "run");
    EXPECT_EQ(result["task"], task);
    EXPECT_EQ(result["steps"], 2);
    EXPECT_GE(result["test_accuracy"].get<double>(), 0.0);
    EXPECT_TRUE(std::filesystem::exists(folder / "run" / "weights.safetensors"));
    EXPECT_EQ(io::read_csv(folder / "run" / "metrics.csv").rows.size(), 2u);
  }
  void expect_refused(Arguments const& more, std::vector<std::string> const& words,
                      Surroundings const& surroundings = {}) const {
    SCOPED_TRACE(more.front() + " " + more.back());
    Exit const exit = run(more, surroundings);
    EXPECT_EQ(exit.code, 2) << exit.err;
    for (auto const& word : words) EXPECT_NE(exit.err.find(word), std::string::npos) << exit.err;
  }
  /// A run that was interrupted ends as one that was not.
  void expect_resumed(Arguments const& longer) const {
    Folder const folder;
    auto const at = [&](char const* out) { return merged(longer, {"--out", (folder / out).string()}); };
    ASSERT_EQ(run(at("whole")).code, 0);
    Arguments const flags =
        merged({"--task", "listops", "--batch", "4", "--examples", "24", "--eval-batches", "1", "--width", "16",
                "--hidden", "16", "--landmarks", "16", "--depth", "1", "--log-every", "1"},
               at("parts"));
    Child child(program, flags);
    ASSERT_TRUE(wait_until([&] { return text_of(folder / "parts/metrics.csv").find("\n1,") != std::string::npos; }));
    child.signal(SIGINT);
    EXPECT_EQ(child.wait().code, 128 + SIGINT);
    auto resumed = at("parts");
    resumed.push_back("--resume");
    ASSERT_EQ(run(resumed).code, 0);
    EXPECT_EQ(text_of(folder / "parts/weights.safetensors"), text_of(folder / "whole/weights.safetensors"));
  }
  void file(std::string const& name, std::string const& bytes) const {
    std::filesystem::create_directories((folder / name).parent_path());
    std::ofstream(folder / name, std::ios::binary) << bytes;
  }

  Folder folder;
};

TEST_F(TrainLra, InTwoBytes_TrainsNearlyAsInFp32_AndWeightsSayThePrecision) {
  auto const losses = [&](char const* precision) {
    Exit const exit = run({"--attention", "full", "--steps", "4", "--dropout", "0", "--precision", precision});
    EXPECT_EQ(exit.code, 0) << exit.err;
    EXPECT_EQ(only_run(folder / "run")["precision"], precision);
    auto const table = io::read_csv(folder / "run" / "metrics.csv");
    auto const column = std::ranges::find(table.columns, "loss") - table.columns.begin();
    std::vector<double> all;
    for (auto const& row : table.rows) all.push_back(std::stod(row.at(std::size_t(column))));
    return all;
  };
  auto const wide = losses("fp32");
  for (char const* const precision : {"fp16", "bf16"}) {
    auto const narrow = losses(precision);
    ASSERT_EQ(narrow.size(), 4u);
    EXPECT_NE(narrow, wide);
    for (std::size_t i = 0; i < wide.size(); ++i) EXPECT_NEAR(narrow[i], wide[i], 0.02 * wide[i]) << i;
  }
  Exit const judged = run({"--attention", "full", "--evaluate", "--weights",
                           (folder / "run/weights.safetensors").string(), "--out", (folder / "judged").string()});
  EXPECT_EQ(judged.code, 0) << judged.err;
  EXPECT_EQ(only_run(folder / "judged")["precision"], "bf16");
  expect_refused({"--precision", "bf16"}, {"--precision: give --attention full with bf16"});
  expect_refused({"--precision", "fp16"}, {"--precision: give --attention full with fp16"});
  expect_refused({"--loss-scale", "65536"}, {"--loss-scale: belongs to --precision fp16"});
  expect_refused({"--attention", "full", "--precision", "fp16", "--loss-scale", "3"},
                 {"--loss-scale: give a power of two, got 3"});
}

TEST_F(TrainLra, InFp16_LeavesOutStepsWhoseGradientsOverflow) {
  auto const weights = [&](Arguments const& more) {
    Exit const exit = run(merged({"--attention", "full", "--dropout", "0"}, more));
    EXPECT_EQ(exit.code, 0) << exit.err;
    std::vector<float> all;
    io::Safetensors const file(folder / "run/weights.safetensors");
    for (auto const& [name, _] : file.tensors()) {
      auto const values = file.array(name).as<float>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  auto const norms = [&] {
    auto const table = io::read_csv(folder / "run/metrics.csv");
    auto const column = std::ranges::find(table.columns, "gradient_norm") - table.columns.begin();
    std::vector<double> all;
    for (auto const& row : table.rows) all.push_back(std::stod(row.at(std::size_t(column))));
    return all;
  };
  auto const untrained = weights({"--lr", "0"});
  Arguments const large = {"--precision", "fp16", "--loss-scale", "1152921504606846976"};  // 2^60
  EXPECT_EQ(weights(large), untrained);
  for (double const norm : norms()) EXPECT_FALSE(std::isfinite(norm));
  // 2^19, halved until it suits.
  EXPECT_NE(weights({"--precision", "fp16", "--loss-scale", "524288", "--steps", "10"}), untrained);
  auto const found = norms();
  EXPECT_FALSE(std::isfinite(found.front()));
  EXPECT_TRUE(std::isfinite(found.back()));
}

TEST_F(TrainLra, ListopsGeneratesItself) {
  expect_trained({}, "listops");
  expect_trained({"--activation", "poly", "--scale", "dynamic", "--factors", "outer"}, "listops");
  auto const columns = io::read_csv(folder / "run/metrics.csv").columns;  // the trained scale over training
  EXPECT_TRUE(std::ranges::any_of(columns, [](auto const& c) { return c.ends_with(".activation.scale"); }));
  expect_trained({"--attention", "full", "--accumulate", "2"}, "listops");
}

TEST_F(TrainLra, TheReleasedListopsAreRead) {
  auto const data = data::generate_listops(12, {.seed = 1});
  std::filesystem::create_directories(folder / "listops-1000");
  for (char const* name : {"basic_train.tsv", "basic_val.tsv", "basic_test.tsv"}) {
    data::write_listops_tsv(folder / "listops-1000" / name, data);
  }
  expect_trained({"--data", folder.path.string()}, "listops");
  file("listops-1000/basic_val.tsv", "Source\tTarget\r\n[MAX 1 2 ]\t2\r\n[MAX 1 2 ]\r\n");
  expect_refused({"--data", folder.path.string()}, {"basic_val.tsv", "line 3"});
}

TEST_F(TrainLra, TextIsReadAndItsCutsAreSaid) {
  for (std::string const split : {"train", "test"}) {
    for (std::string const label : {"neg", "pos"}) {
      file("aclImdb/" + split + "/" + label + "/0_5.txt", "");  // an empty document
      file("aclImdb/" + split + "/" + label + "/1_5.txt", std::string(300, 'a'));
    }
  }
  expect_trained({"--task", "text", "--data", folder.path.string()}, "text");
  expect_trained({"--task", "text", "--data", folder.path.string(), "--limit", "100"}, "text");
  EXPECT_EQ(only_run(folder / "run")["truncated"], 6);  // development data are the test data
  EXPECT_EQ(only_run(folder / "run")["length"], 128);
}

TEST_F(TrainLra, RetrievalComparesTwoDocuments) {
  for (std::string const split : {"train", "eval", "test"}) {
    file("new_aan_pairs." + split + ".tsv", "1.0\t1\t2\tabc\tdef\n0.0\t3\t4\t\tghi\n1.0\t5\t6\tx\ty\n");
  }
  expect_trained({"--task", "retrieval", "--data", folder.path.string(), "--limit", "64"}, "retrieval");
}

TEST_F(TrainLra, ImageTrainsOnSmallFiles) {
  std::string bytes;
  for (int i = 0; i < 10; ++i) bytes += static_cast<char>(i) + std::string(3072, static_cast<char>(20 * i));
  for (int i = 1; i <= 5; ++i) file("data_batch_" + std::to_string(i) + ".bin", bytes);
  file("test_batch.bin", bytes);
  expect_trained({"--task", "image", "--data", folder.path.string()}, "image");
}

TEST_F(TrainLra, PathfinderGeneratesItselfAndReadsTheRelease) {
  expect_trained({"--task", "pathfinder"}, "pathfinder");
  auto const difficulty = folder / "pathfinder32/curv_contour_length_14";
  data::write_pathfinder_folder(difficulty, data::generate_pathfinder(30, {.seed = 1}));
  std::ofstream(difficulty / "imgs/0/sample_3.png", std::ios::trunc);
  expect_trained({"--task", "pathfinder", "--data", folder.path.string()}, "pathfinder");
  EXPECT_EQ(only_run(folder / "run")["skipped"], 1);
}

TEST_F(TrainLra, ResumptionContinuesToTheSameBits) {
  expect_resumed({"--steps", "6", "--eval-every", "3", "--accumulate", "2"});
  // The scale of losses goes on where it was.
  expect_resumed(
      {"--steps", "16", "--eval-every", "8", "--attention", "full", "--precision", "fp16", "--loss-scale", "1048576"});
}

TEST_F(TrainLra, DroppedWeightsOfAttention_AreTheSameAfterResumption) {
  expect_resumed({"--steps", "6", "--eval-every", "3", "--attention", "full", "--attention-dropout", "0.2"});
  expect_refused({"--attention-dropout", "0.1"}, {"--attention-dropout: give --attention full with it"});
}

TEST_F(TrainLra, ACheckpointThatWasDamagedIsRefused) {
  ASSERT_EQ(run({}).code, 0);
  flip_a_bit(folder / "run/checkpoint.safetensors");
  expect_refused({"--resume"}, {"checkpoint.safetensors", "was damaged since it was written"});
}

TEST_F(TrainLra, ADirectoryThatAnotherRunUsesIsRefused) {
  Child first(program, {"--task",      "listops",     "--batch", "4",        "--examples",
                        "24",          "--width",     "16",      "--hidden", "16",
                        "--landmarks", "16",          "--depth", "1",        "--steps",
                        "1000000",     "--log-every", "1",       "--out",    (folder / "run").string()});
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(folder / "run/metrics.csv"); }));
  expect_refused({"--seed", "1"}, {"another run uses", (folder / "run").string()});
  first.signal(SIGKILL);
  EXPECT_EQ(first.wait().code, 128 + SIGKILL);
}

TEST_F(TrainLra, EvaluationFindsTheAccuracyOfTraining) {
  ASSERT_EQ(run({"--activation", "poly", "--power", "2"}).code, 0);
  auto const trained = only_run(folder / "run")["test_accuracy"].get<double>();
  Exit const exit = run(
      {"--weights", (folder / "run/weights.safetensors").string(), "--out", (folder / "again").string(), "--evaluate"});
  ASSERT_EQ(exit.code, 0) << exit.err;
  EXPECT_EQ(only_run(folder / "again")["test_accuracy"].get<double>(), trained);
  EXPECT_EQ(only_run(folder / "again")["activation"], "poly");
  // The best weights know what they are, too, and they are what is tested.
  Exit const best = run(
      {"--weights", (folder / "run/best.safetensors").string(), "--out", (folder / "again").string(), "--evaluate"});
  ASSERT_EQ(best.code, 0) << best.err;
  EXPECT_EQ(only_run(folder / "again")["test_accuracy"].get<double>(), trained);
  EXPECT_EQ(only_run(folder / "again")["activation"], "poly");
  for (auto const& [flag, other] : {std::pair{"--activation", "softmax"}, {"--power", "3"}, {"--width", "32"}}) {
    expect_refused({"--weights", (folder / "run/weights.safetensors").string(), "--out", (folder / "again").string(),
                    flag, other, "--evaluate"},
                   {flag, other});
  }
  expect_refused({"--weights", (folder / "run/weights.safetensors").string(), "--evaluate"}, {"--evaluate", "--out"});
  // A model of ten classes is not used on two.
  expect_refused({"--weights", (folder / "run/weights.safetensors").string(), "--out", (folder / "again").string(),
                  "--task", "pathfinder", "--evaluate"},
                 {"--task", "listops", "pathfinder"});
}

TEST_F(TrainLra, TheMemoryThatItSaysIsWhatItTakes) {
  if (!memory_is_its_own) GTEST_SKIP() << "a sanitizer takes memory of its own";
  Arguments const large = {"--task",      "pathfinder", "--steps", "1",        "--eval-batches",
                           "1",           "--batch",    "64",      "--hidden", "1024",
                           "--landmarks", "64",         "--width", "64",       "--depth",
                           "1",           "--examples", "64",      "--out",    (folder / "large").string()};
  double const said = memory_that_is_said(program, large);
  Exit const exit = programs::run(program, large);
  ASSERT_EQ(exit.code, 0) << exit.err;
  EXPECT_GT(said, 0.9 * exit.peak);
  EXPECT_LT(said, 1.25 * exit.peak);
}

TEST_F(TrainLra, BadInputIsRefused) {
  expect_refused({"--task", "foo"}, {"--task", "listops", "foo"});
  expect_refused({"--task", "text"}, {"--data"});
  expect_refused({"--task", "text", "--data", "/nowhere"}, {"/nowhere"});
  expect_refused({"--landmarks", "4096"}, {"--landmarks", "2048"});
  expect_refused({"--conv", "4"}, {"--conv", "odd"});
  expect_refused({"--steps", "3", "--eval-every", "2"}, {"--steps", "multiple of the 2"});
  expect_refused({"--accumulate", "3"}, {"--accumulate", "divisor of the batch of 4"});
  expect_refused({"--heads", "3"}, {"--heads", "16"});
  expect_refused({"--out", ""}, {"--out", "''"});
  expect_refused({"--hidden", "1048576", "--batch", "32"}, {"activations", "--insist"}, small_machine);
  expect_refused({"--examples", "100000000"}, {"examples", "--insist"}, small_machine);
  expect_refused({"--steps", "-3"}, {"--steps", "'-3'"});
}

}  // namespace
