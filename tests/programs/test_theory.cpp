// theory as a program: what each experiment finds and leaves behind, and what it says to bad input.
#include "attn/io/csv.hpp"
#include "attn/io/results.hpp"

#include <cmath>

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;

Arguments joined(Arguments all, Arguments const& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

class Theory : public ::testing::Test {
 protected:
  Theory() { write_tiny_images(folder); }

  Path out() const { return folder / "out"; }
  Exit run(Arguments arguments) const {
    arguments.insert(arguments.end(), {"--out", out().string(), "--threads", "2"});
    return programs::run(ATTN_THEORY, arguments);
  }
  /// A small network on small images.
  Exit train(Arguments arguments) const {
    arguments.insert(arguments.end(), {"--data", folder.path.string(), "--width", "16", "--depth", "2", "--heads", "2",
                                       "--batch", "16", "--epochs", "1", "--seeds", "1"});
    return run(arguments);
  }
  void expect_files(std::vector<std::string> const& names) const {
    for (auto const& name : names) EXPECT_TRUE(std::filesystem::exists(out() / name)) << name;
    io::Json const results = io::Json::parse(text_of(out() / "results.json"));
    EXPECT_TRUE(results.at("machine").is_string() && results.at("commit").is_string());
    EXPECT_FALSE(results.at("runs").empty());
  }
  void expect_refused(Arguments const& arguments, std::vector<std::string> const& words) const {
    SCOPED_TRACE(arguments.front() + " " + arguments.back());
    Exit const exit = run(arguments);
    EXPECT_EQ(exit.code, 2) << exit.err;
    EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
    EXPECT_TRUE(exit.err.starts_with("theory: ")) << exit.err;
    for (auto const& word : words) EXPECT_NE(exit.err.find(word), std::string::npos) << exit.err;
  }

  Folder folder;
};

TEST_F(Theory, Bounds_HoldForSoftmaxAndAreReachedByOneLargeScoreARow) {
  Exit const exit = run({"bounds", "--tokens-high", "32", "--trials", "2"});
  ASSERT_EQ(exit.code, 0) << exit.err;
  EXPECT_NE(exit.out.find("theorem 4.1 holds on all of them"), std::string::npos) << exit.out;
  expect_files({"bounds.csv", "bounds.png", "bounds.svg"});
  auto const table = io::read_csv(out() / "bounds.csv");
  auto const norms = table.numbers("frobenius"), bounds = table.numbers("bound");
  double nearest = 0;
  for (std::size_t i = 0; i < norms.size(); ++i) nearest = std::max(nearest, norms[i] / bounds[i]);
  EXPECT_NEAR(nearest, 1, 1e-5);
}

TEST_F(Theory, Bounds_DoNotHoldForACube) {
  Exit const exit = run({"bounds", "--tokens-high", "16", "--activation", "poly", "--power", "3", "--trials", "1"});
  EXPECT_NE(exit.out.find("theorem 4.1 does not hold"), std::string::npos) << exit.out;
}

TEST_F(Theory, Growth_OfALinearFunctionIsOneAndOneHalfWithTheScale) {
  Exit const exit = run(
      {"growth", "--tokens-low", "16", "--tokens-high", "64", "--trials", "4", "--width", "32", "--head-width", "32"});
  ASSERT_EQ(exit.code, 0) << exit.err;
  expect_files({"growth.csv", "exponents.csv", "growth.png", "growth.svg", "growth_registered.png"});
  auto const table = io::read_csv(out() / "exponents.csv");
  auto const norm = table.numbers("norm_exponent"), gradient = table.numbers("gradient_exponent");
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    std::string const& name = table.rows[row][0];
    double const expected = name == "x" || name == "identity" ? 1 : name == "x/√N" ? 0.5 : NAN;
    if (std::isnan(expected)) continue;
    EXPECT_NEAR(norm[row], expected, 0.1) << name;
    EXPECT_NEAR(gradient[row], expected, 0.1) << name;
  }
}

TEST_F(Theory, Sweep_FindsABestKForEachLength_AndGoesOnAfterAnInterruption) {
  Arguments const sweep = {"sweep", "--tokens", "8,16", "--k-low", "1", "--k-high", "100", "--k-per-decade", "1"};
  Exit const exit = train(sweep);
  ASSERT_EQ(exit.code, 0) << exit.err;
  expect_files({"runs.csv", "sweep.csv", "best.csv", "sweep.png", "sweep.svg", "best.png"});
  EXPECT_EQ(io::read_csv(out() / "sweep.csv").rows.size(), 6u);
  EXPECT_EQ(io::read_csv(out() / "best.csv").numbers("tokens"), (std::vector<double>{8, 16}));
  auto const first = io::read_csv(out() / "runs.csv");
  EXPECT_EQ(first.rows.size(), 10u);

  // As after a kill in the fifth run: four rows, half of another, and what the fifth had written.
  std::string const all = text_of(out() / "runs.csv");
  std::size_t end = 0;
  for (int line = 0; line < 5; ++line) end = all.find('\n', end) + 1;
  write(out() / "runs.csv", all.substr(0, end + 20));
  Exit const again = train(sweep);
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.out.find(first.rows[3][0] + ":"), std::string::npos) << "a finished run was repeated";
  EXPECT_NE(again.out.find(first.rows[4][0] + ":"), std::string::npos);
  auto const second = io::read_csv(out() / "runs.csv");
  ASSERT_EQ(second.rows.size(), first.rows.size());
  for (std::size_t row = 0; row < first.rows.size(); ++row) {
    for (std::size_t c = 0; c < first.columns.size(); ++c) {
      if (first.columns[c].find("seconds") != std::string::npos) continue;
      EXPECT_EQ(second.rows[row][c], first.rows[row][c]) << first.columns[c];
    }
  }
  expect_refused(joined(sweep, {"--data", folder.path.string(), "--lr", "0.5", "--train-limit", "48", "--test-limit",
                                "40", "--batch", "16", "--seeds", "1"}),
                 {"--out", "other settings"});
}

TEST_F(Theory, NormsAreRecorded_AndTheirWeightsMakeHeatMaps) {
  Exit const exit = train({"norms", "--tokens", "16"});
  ASSERT_EQ(exit.code, 0) << exit.err;
  expect_files({"accuracies.csv", "frobenius.png", "jacobian.svg", "frobenius_all.png", "jacobian_all.png"});
  auto const recorded = io::read_csv(out() / "accuracies.csv");
  auto const norms = recorded.numbers("first_frobenius");
  EXPECT_NEAR(norms.at(0), 1, 0.01);                                          // softmax of small scores is uniform
  EXPECT_NEAR(norms.at(1), norms.at(3) / std::sqrt(17), 1e-3 * norms.at(3));  // x³/√N and x³, with the class token
  EXPECT_NEAR(norms.at(2), norms.at(3) / 17, 1e-3 * norms.at(3));

  // Without attention the class token sees no image: all get the same answer, which is right for all of one class.
  EXPECT_LT(recorded.numbers("last_frobenius").at(4), 1e-25);
  double const right = 40 * recorded.numbers("test_accuracy").at(4);
  std::vector<int> frequencies(10, 0);
  for (char const label : TinyImages(40, 2).labels.substr(8)) ++frequencies.at(std::size_t(label));
  EXPECT_TRUE(std::any_of(frequencies.begin(), frequencies.end(), [&](int n) { return std::abs(right - n) < 0.01; }))
      << right;

  std::string const softmax = (out() / "runs" / "softmax_seed0" / "weights.safetensors").string();
  std::string const cube = (out() / "runs" / "poly3_fixed_seed0" / "weights.safetensors").string();
  Arguments const maps = {"heatmaps", "--weights", softmax, "--data", folder.path.string()};
  Exit const drawn = run(joined(maps, {"--beside", cube, "--heads", "2", "--samples", "9"}));
  ASSERT_EQ(drawn.code, 0) << drawn.err;
  expect_files({"properties.csv", "layer2_head2.png", "layer2_head2.svg", "layer2_head2_1.csv", "layer2_head2_2.csv"});
  auto const table = io::read_csv(out() / "properties.csv");
  auto const sums = table.numbers("row_sum"), negative = table.numbers("negative_share");
  EXPECT_NEAR(sums.at(0), 1, 1e-5);
  EXPECT_EQ(negative.at(0), 0);
  EXPECT_GT(negative.back(), 0);
  EXPECT_LT(std::abs(sums.back()), 0.9);

  expect_refused(joined(maps, {"--layers", "3", "--samples", "2"}), {"--layers", "1 to 2", "3"});
  expect_refused(joined(maps, {"--heads", "3", "--samples", "2"}), {"--heads", "1 to 2", "3"});
  expect_refused(joined(maps, {"--samples", "41"}), {"40 test images"});
}

TEST_F(Theory, Recommend_BringsAnActivationToSoftmaxsNorms) {
  Exit const exit = run({"recommend", "--no-training", "--layers", "2", "--tokens", "16", "--head-width", "16",
                         "--n-heads", "2", "--activation", "taylor_softmax"});
  ASSERT_EQ(exit.code, 0) << exit.err;
  expect_files({"scales.csv", "scales.png", "scales.svg"});
  auto const table = io::read_csv(out() / "scales.csv");
  EXPECT_EQ(table.rows.at(1).at(0), "taylor_softmax");
  EXPECT_NEAR(table.numbers("scale_by_frobenius").at(1), 1, 0.01);
  EXPECT_NEAR(table.numbers("scale_by_jacobian").at(1), 1, 0.01);
  EXPECT_GT(table.numbers("scale_by_jacobian").back(), 10);  // a high power of small scores has almost no slope
}

TEST_F(Theory, Data_WritesImagesThatExperimentsLearnFrom) {
  Exit const exit = run({"data", "--source", folder.path.string(), "--train", "30", "--test", "10", "--relation",
                         "pair", "--kinds", "0,1,2", "--cell", "8", "--garment", "6"});
  ASSERT_EQ(exit.code, 0) << exit.err;
  EXPECT_NE(exit.out.find("30 and 10 images of 16 x 16, 6 classes"), std::string::npos) << exit.out;
  for (char const* const name : {"train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"}) {
    EXPECT_TRUE(std::filesystem::exists(out() / name)) << name;
  }
  expect_refused({"data", "--rows", "1", "--columns", "2"}, {"data", "3 to 1024 cells"});
  expect_refused({"architectures", "--models", "resnet"}, {"--models", "resnet", "xcit"});
}

TEST_F(Theory, BadInput_IsOneLine) {
  expect_refused({"bounds", "--activation", "taylor"}, {"--activation", "taylor_softmax"});
  expect_refused({"growth", "--tokens-low", "9", "--tokens-high", "15"}, {"power of two", "9", "15"});
  expect_refused({"growth", "--tokens-low", "16", "--tokens-high", "16"}, {"at least two"});
  expect_refused({"sweep", "--k-low", "10", "--k-high", "1"}, {"--k-low", "range"});
  expect_refused({"sweep", "--tokens", "12"}, {"--tokens", "8, 16, 64 and 256"});
  expect_refused({"heatmaps"}, {"--weights"});
  expect_refused({"recommend", "--no-training", "--n-heads", "4096", "--head-width", "4096"},
                 {"parameters", "--insist"});
  expect_refused({"bounds", "--evaluate", "--weights", (folder / "train-labels-idx1-ubyte").string()}, {"--evaluate"});
}

}  // namespace
