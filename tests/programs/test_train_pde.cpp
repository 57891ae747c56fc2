// train_pde: every problem, activation and optimiser on small grids; resumption, evaluation, files of MATLAB, bad
// input.
#include "attn/io/csv.hpp"
#include "attn/io/results.hpp"
#include "attn/io/safetensors.hpp"

#include <algorithm>
#include <cmath>

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;

std::string const program = ATTN_TRAIN_PDE;

// A file of MATLAB, version 5, not compressed.

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<char const*>(&value), sizeof value};
}
std::string element(std::uint32_t type, std::string const& data) {
  std::string e = raw(type) + raw(static_cast<std::uint32_t>(data.size())) + data;
  e.resize((e.size() + 7) / 8 * 8, '\0');
  return e;
}
/// `values` with the first index fastest.
std::string matrix(std::string const& name, std::vector<std::int32_t> const& shape, std::vector<double> const& values) {
  std::string extents, numbers;
  for (std::int32_t const n : shape) extents += raw(n);
  for (double const v : values) numbers += raw(v);
  return element(14, element(6, raw(std::uint32_t(6)) + raw(std::uint32_t(0))) + element(5, extents) +
                         element(1, name) + element(9, numbers));
}
std::string mat(std::string const& elements) {
  std::string h = "MATLAB 5.0 MAT-file, made by a test";
  h.resize(124, ' ');
  return h + raw(std::uint16_t(0x0100)) + "IM" + elements;
}

class TrainPde : public ::testing::Test {
 protected:
  Arguments flags(Arguments const& more) const {
    Arguments all = {"--problem",     "convection", "--out",      (folder / "run").string(),
                     "--x-points",    "5",          "--t-points", "4",
                     "--test-points", "7",          "--samples",  "8",
                     "--steps",       "2"};
    auto const optimizer = std::ranges::find(more, "--optimizer");
    if (optimizer == more.end() || optimizer[1].find("lbfgs") != std::string::npos ||
        optimizer[1].find("broyden") != std::string::npos) {
      all.insert(all.end(), {"--max-iterations", "3"});
    }
    return merged(all, more);
  }
  Exit run(Arguments const& more, Surroundings const& surroundings = {}) const {
    return programs::run(program, flags(more), surroundings);
  }
  io::Json only_run(std::string const& out) const {
    return io::Results::read(folder / out / "results.json").runs().at(0);
  }

  io::Json expect_trained(Arguments const& more) const {
    SCOPED_TRACE(more.empty() ? "" : more.back());
    Exit const exit = run(more);
    EXPECT_EQ(exit.code, 0) << exit.err;
    if (exit.code != 0) return {};
    io::Json const result = only_run("run");
    EXPECT_TRUE(std::isfinite(result["loss"].get<double>()));
    EXPECT_GT(result["rmse"].get<double>(), 0.0);
    EXPECT_EQ(io::read_csv(folder / "run/metrics.csv").rows.size(), 2u);
    for (char const* name : {"weights.safetensors", "checkpoint.safetensors", "prediction.npy"}) {
      EXPECT_TRUE(std::filesystem::exists(folder / "run" / name)) << name;
    }
    return result;
  }
  /// Exit code 2 and one line that holds all `words`.
  void expect_refused(Arguments const& more, std::vector<std::string> const& words,
                      Surroundings const& surroundings = {}) const {
    SCOPED_TRACE(more.front() + " " + more.back());
    Exit const exit = run(more, surroundings);
    EXPECT_EQ(exit.code, 2) << exit.err;
    EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
    for (auto const& word : words) EXPECT_NE(exit.err.find(word), std::string::npos) << exit.err;
  }
  std::string file(std::string const& name, std::string const& bytes) const {
    write(folder / name, bytes);
    return (folder / name).string();
  }
  /// `steps` at once and in two parts leave the same weights.
  void expect_resumable(Arguments const& more) const {
    auto const in = [&](char const* out, char const* steps) {
      return merged(more, {"--out", (folder / out).string(), "--steps", steps});
    };
    ASSERT_EQ(run(in("whole", "4")).code, 0);
    ASSERT_EQ(run(in("parts", "2")).code, 0);
    auto rest = flags(in("parts", "4"));
    rest.push_back("--resume");
    Exit const exit = programs::run(program, rest);
    ASSERT_EQ(exit.code, 0) << exit.err;
    EXPECT_EQ(text_of(folder / "parts/weights.safetensors"), text_of(folder / "whole/weights.safetensors"));
    auto const loss = [&](char const* out) { return only_run(out)["loss"].get<double>(); };
    EXPECT_EQ(loss("parts"), loss("whole"));
    EXPECT_EQ(io::read_csv(folder / "parts/metrics.csv").rows.size(), 4u);
  }

  Folder folder;
};

TEST_F(TrainPde, EveryProblemIsTrained) {
  for (std::string const problem :
       {"convection", "reaction", "wave", "burgers", "heat", "allen-cahn", "navier-stokes"}) {
    io::Json const result = expect_trained({"--problem", problem});
    EXPECT_EQ(result["problem"], problem);
  }
}

TEST_F(TrainPde, EveryActivationIsTrained) {
  for (std::string const activation : {"softmax", "relu", "sigmoid"}) {
    EXPECT_EQ(expect_trained({"--activation", activation})["activation"], activation);
  }
  for (std::string const scale : {"none", "fixed", "dynamic"}) {
    EXPECT_EQ(expect_trained({"--activation", "poly", "--power", "2", "--scale", scale})["scale"], scale);
  }
  auto const columns = io::read_csv(folder / "run/metrics.csv").columns;  // the trained scale over training
  EXPECT_TRUE(std::ranges::any_of(columns, [](auto const& c) { return c.ends_with(".activation.scale"); }));
  expect_trained({"--model", "pinn"});
}

TEST_F(TrainPde, DerivativesByColumnAreOthers) {
  double const total = expect_trained({})["loss"];
  double const column = expect_trained({"--derivative", "column"})["loss"];
  EXPECT_NE(total, column);
}

TEST_F(TrainPde, ResumptionContinuesToTheSameBits) {
  expect_resumable({"--activation", "poly", "--scale", "dynamic"});
  expect_resumable({"--optimizer", "adam"});
}

TEST_F(TrainPde, TimesThatComeFirstMayBeLearnedFirst) {
  double const plain = expect_trained({})["loss_residual"];
  io::Json const causal = expect_trained({"--causal", "0.02"});
  EXPECT_EQ(causal["causal"], 0.02);
  EXPECT_LT(causal["loss_residual"].get<double>(), 0.9 * plain);  // points behind the first time weigh less than 1
  auto const least = io::read_csv(folder / "run/metrics.csv").numbers("least_causal_weight");
  EXPECT_GT(least.front(), 0);
  EXPECT_LT(least.front(), 1);
  expect_resumable({"--causal", "0.02", "--problem", "reaction"});
}

TEST_F(TrainPde, ShowsSpectraOfTheTangentKernel) {
  expect_trained({"--spectrum", "3"});
  auto const table = io::read_csv(folder / "run/spectrum.csv");
  // Three points, or pairs, of each term.
  double all = 0, terms = 0;
  auto const values = table.numbers("eigenvalue");
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    if (table.rows[i][0] == "after") (table.rows[i][1] == "all" ? all : terms) += values[i];
  }
  EXPECT_GT(all, 0);
  EXPECT_NEAR(all, terms, 1e-6 * all);  // the trace
  EXPECT_TRUE(std::filesystem::exists(folder / "run/spectrum.csv"));
  EXPECT_EQ(table.rows.size(), 2 * (9 + 3 * 3));
  expect_refused({"--spectrum", "21"}, {"--spectrum", "at most 20 points"});

  // The run is as it was, and its last eigenvalues are those of where it goes on to.
  auto rest = flags({"--spectrum", "3", "--steps", "3"});
  rest.push_back("--resume");
  Exit const exit = programs::run(program, rest);
  ASSERT_EQ(exit.code, 0) << exit.err;
  EXPECT_EQ(io::read_csv(folder / "run/spectrum.csv").rows.size(), table.rows.size());
  expect_refused({"--precision", "bf16"}, {"--precision: leave it at fp32; derivatives of a network need more digits"});
}

TEST_F(TrainPde, SequencesOfOptimizersResumeToTheSameBits) {
  // The part of four steps ends after two: in the middle of a stage, and at the end of one.
  expect_resumable({"--problem", "reaction", "--optimizer", "gauss-newton", "--products", "4", "--step-points", "6"});
  expect_resumable({"--optimizer", "adam:2,gauss-newton", "--products", "3"});
  expect_resumable({"--optimizer", "lbfgs:1,broyden:2,lbfgs"});
  expect_resumable({"--problem", "reaction", "--optimizer", "levenberg-marquardt", "--step-points", "6"});
  expect_resumable({"--optimizer", "lbfgs:2,levenberg-marquardt"});
}

TEST_F(TrainPde, OptimizersLowerTheLoss_WithTheSameBitsForAnyNumberOfThreads) {
  for (std::string const optimizer : {"gauss-newton", "levenberg-marquardt", "broyden"}) {
    Arguments const recipe = {"--problem", "reaction", "--optimizer", optimizer, "--products", "5"};
    Arguments const more(recipe.begin(), recipe.begin() + (optimizer == "gauss-newton" ? 6 : 4));
    io::Json const result = expect_trained(merged(more, {"--threads", "2"}));
    EXPECT_EQ(result["optimizer"], optimizer);
    auto const losses = io::read_csv(folder / "run/metrics.csv").numbers("loss");
    EXPECT_LT(losses.back(), losses.front());
    std::string const weights = text_of(folder / "run/weights.safetensors");
    expect_trained(merged(more, {"--threads", "1"}));
    EXPECT_EQ(text_of(folder / "run/weights.safetensors"), weights) << optimizer;
  }
}

TEST_F(TrainPde, StageThatFindsNoWayDownLeavesTheRestToTheNext) {
  Arguments const flat = {"--weight-residual", "0", "--weight-boundary", "0", "--weight-initial", "0"};
  auto const rows = [&](Arguments const& more) {
    Exit const exit = run(merged(merged(flat, {"--steps", "3"}), more));
    EXPECT_EQ(exit.code, 0) << exit.err;
    return io::read_csv(folder / "run/metrics.csv").rows.size();
  };
  EXPECT_EQ(rows({"--optimizer", "lbfgs"}), 1u);
  EXPECT_EQ(rows({"--optimizer", "lbfgs:100,adam"}), 3u);
}

TEST_F(TrainPde, ErrorsAreWatchedWhileTraining) {
  io::Json const trained = expect_trained({"--problem", "reaction", "--watch-every", "2"});
  auto const metrics = io::read_csv(folder / "run/metrics.csv");
  for (char const* name : {"rmae", "rmse"}) {
    EXPECT_TRUE(std::isnan(metrics.numbers(name)[0])) << name;
    EXPECT_EQ(metrics.numbers(name)[1], trained[name]);
  }
  double parts = 0;
  for (auto const& [work, seconds] : trained["seconds_of"].items()) parts += seconds.get<double>();
  EXPECT_NEAR(parts, trained["seconds"], 0.01);
}

TEST_F(TrainPde, ResumptionKeepsTheWeightsOfTheTerms) { expect_resumable({"--problem", "wave", "--ntk-every", "3"}); }

TEST_F(TrainPde, EvaluationFindsTheErrorsOfTraining) {
  io::Json const trained = expect_trained({"--activation", "poly", "--scale", "fixed"});
  Arguments again = flags({"--activation", "poly", "--scale", "fixed", "--out", (folder / "again").string(),
                           "--weights", (folder / "run/weights.safetensors").string()});
  again.push_back("--evaluate");
  Exit const exit = programs::run(program, again);
  ASSERT_EQ(exit.code, 0) << exit.err;
  for (char const* name : {"rmae", "rmse"}) EXPECT_EQ(only_run("again")[name], trained[name]);
  EXPECT_EQ(text_of(folder / "again/prediction.npy"), text_of(folder / "run/prediction.npy"));
  EXPECT_FALSE(std::filesystem::exists(folder / "again/metrics.csv"));
}

TEST_F(TrainPde, InterruptionKeepsWhatWasReached) {
  Child child(program, flags({"--steps", "100000"}));
  ASSERT_TRUE(wait_until([&] { return text_of(folder / "run/metrics.csv").find("\n1,") != std::string::npos; }));
  expect_refused({"--seed", "1"}, {"another run uses", (folder / "run").string()});
  child.signal(SIGINT);
  Exit const exit = child.wait();
  EXPECT_EQ(exit.code, 128 + SIGINT);
  EXPECT_NE(exit.out.find("interrupted after"), std::string::npos) << exit.out;
  EXPECT_EQ(only_run("run")["finished"], false);
  EXPECT_TRUE(std::filesystem::exists(folder / "run/weights.safetensors"));
}

TEST_F(TrainPde, AnExplosionLeavesTheLastGoodWeights) {
  Exit const exit = run({"--activation", "poly", "--optimizer", "adam", "--learning-rate", "100", "--steps", "200"});
  EXPECT_EQ(exit.code, 1) << exit.err;
  EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
  EXPECT_NE(exit.err.find("last good weights"), std::string::npos) << exit.err;
  EXPECT_NE(exit.err.find("the first residual: term \"residual\", point 0 at (0, 0)"), std::string::npos) << exit.err;
  Arguments evaluate = flags({"--activation", "poly", "--weights", (folder / "run/weights.safetensors").string(),
                              "--out", (folder / "judged").string()});
  evaluate.push_back("--evaluate");
  EXPECT_EQ(programs::run(program, evaluate).code, 0);
}

TEST_F(TrainPde, TheTruthMayBeAFileOfMatlab) {
  std::vector<double> u;
  for (int x = 0; x < 7; ++x) {
    for (int t = 0; t < 7; ++t) u.push_back(std::sin(x * 6.283185307179586 / 6 - 50 * t / 6.0));
  }
  std::string const bytes = mat(matrix("u", {7, 7}, u));
  double const formula = expect_trained({})["rmse"];
  io::Json const from_file = expect_trained({"--solution", file("u.mat", bytes)});
  EXPECT_NEAR(from_file["rmse"].get<double>(), formula, 1e-9);
  EXPECT_EQ(from_file["truth"], "u.mat");

  expect_refused({"--solution", file("cut.mat", bytes.substr(0, bytes.size() - 20))}, {"cut.mat", "truncated"});
  expect_refused({"--solution", file("header.mat", bytes.substr(0, 50))}, {"header.mat", "truncated"});
  expect_refused({"--solution", file("text.mat", std::string(500, 'x'))}, {"text.mat", "version 4 or 5"});
  expect_refused({"--solution", file("other.mat", mat(matrix("v", {7, 7}, u)))}, {"other.mat", "'u'", "v"});
  expect_refused({"--solution", file("u.mat", bytes), "--test-points", "8"}, {"u.mat", "7 x 7", "8 x 8"});
  expect_refused({"--solution", (folder / "nowhere.mat").string()}, {"nowhere.mat"});
  u[10] = NAN;
  expect_refused({"--solution", file("nan.mat", mat(matrix("u", {7, 7}, u)))}, {"nan.mat", "'u'", "finite"});
}

TEST_F(TrainPde, AFlowMayBeAFileOfMatlab) {
  std::vector<double> x, y, t = {0, 0.5, 1}, u(9 * 2 * 3, 0.25), p;
  for (int i = 0; i < 9; ++i) {
    x.push_back(i % 3);
    y.push_back(i / 3);
  }
  for (int i = 0; i < 27; ++i) p.push_back(0.1 * i);
  x.insert(x.end(), y.begin(), y.end());
  std::string const places = matrix("X_star", {9, 2}, x), times = matrix("t", {3, 1}, t);
  std::string const all = places + times + matrix("U_star", {9, 2, 3}, u) + matrix("p_star", {9, 3}, p);
  auto const with = [&](std::string const& path) { return Arguments{"--problem", "navier-stokes", "--data", path}; };
  EXPECT_EQ(expect_trained(with(file("flow.mat", mat(all))))["truth"], "flow.mat");
  expect_refused(with(file("half.mat", mat(places + times))), {"half.mat", "U_star"});
  expect_refused(with(file("unfit.mat", mat(places + times + matrix("U_star", {9, 2, 3}, u) +
                                            matrix("p_star", {9, 2}, std::vector<double>(18, 0))))),
                 {"unfit.mat", "p_star"});
  expect_refused(merged(with(file("flow.mat", mat(all))), {"--samples", "28"}), {"--samples", "27", "28"});
  u[10] = INFINITY;
  expect_refused(with(file("infinite.mat", mat(places + times + matrix("U_star", {9, 2, 3}, u) +
                                               matrix("p_star", {9, 3}, std::vector<double>(27, 0))))),
                 {"infinite.mat", "U_star", "finite"});
}

TEST_F(TrainPde, BadInputIsRefused) {
  expect_refused({"--problem", "convecton"}, {"--problem", "convection"});
  expect_refused({"--x-ponts", "5"}, {"--x-ponts", "--x-points"});
  for (std::string const points : {"0", "1", "-3", "many"}) {
    expect_refused({"--x-points", points}, {"--x-points", points});
    expect_refused({"--t-points", points}, {"--t-points", points});
    expect_refused({"--test-points", points}, {"--test-points", points});
  }
  expect_refused({"--learning-rate", "nan"}, {"--learning-rate", "nan"});
  for (std::string const optimizer :
       {"newton", "", "adam,lbfgs", "adam:0,lbfgs", "adam:5", "adam:x,lbfgs", "adam:5,"}) {
    expect_refused({"--optimizer", optimizer}, {"--optimizer", "adam:1000,gauss-newton", "'" + optimizer + "'"});
  }
  expect_refused({"--optimizer", "gauss-newton", "--step-points", "21"}, {"--step-points", "20", "21"});
  expect_refused({"--step-points", "3"}, {"--step-points", "gauss-newton or levenberg-marquardt"});
  expect_refused({"--optimizer", "gauss-newton", "--history", "5"}, {"--history", "belongs to", "lbfgs or broyden"});
  expect_refused({"--optimizer", "adam", "--max-iterations", "5"}, {"--max-iterations", "lbfgs or broyden"});
  expect_refused({"--optimizer", "gauss-newton", "--learning-rate", "1"}, {"--learning-rate", "broyden or adam"});
  expect_refused({"--problem", "wave", "--derivative", "column"}, {"--derivative", "column"});
  expect_refused({"--data", file("x.mat", "")}, {"--data", "navier-stokes"});
  expect_refused({"--problem", "navier-stokes", "--solution", file("x.mat", "")}, {"--solution", "--data"});
  expect_refused({"--weights", file("x.safetensors", "no weights")}, {"x.safetensors"});
  expect_refused({"--evaluate"}, {"--weights"});
  expect_refused({"--solution", "/dev/zero"}, {"/dev/zero", "regular file"});
  expect_refused({"--weights", "/dev/zero"}, {"/dev/zero", "regular file"});
}

TEST_F(TrainPde, ResumptionRefusesOtherSettings) {
  expect_refused({"--resume"}, {"checkpoint.safetensors"});
  expect_trained({});
  expect_refused({"--seed", "7", "--resume"}, {"seed is 7", "it was 0", "settings of the first run"});
  expect_refused({"--steps", "1", "--resume"}, {"--resume", "step", "2"});
  flip_a_bit(folder / "run/checkpoint.safetensors");
  expect_refused({"--resume"}, {"checkpoint.safetensors", "was damaged since it was written"});
}

TEST_F(TrainPde, EvaluationAdoptsTheModelOfTheWeights_AndRefusesFlagsThatContradictIt) {
  Arguments const recipe = {"--problem", "reaction", "--activation", "poly", "--power",    "3",
                            "--scale",   "fixed",    "--scale-keys", "7",    "--sequence", "3"};
  io::Json const trained = expect_trained(recipe);
  Arguments const bare = {"--weights",
                          (folder / "run/weights.safetensors").string(),
                          "--evaluate",
                          "--test-points",
                          "7",
                          "--out",
                          (folder / "judged").string()};
  Exit const exit = programs::run(program, bare);
  ASSERT_EQ(exit.code, 0) << exit.err;
  for (char const* field : {"problem", "activation", "power", "scale", "scale_keys", "sequence", "rmae", "rmse"}) {
    EXPECT_EQ(only_run("judged")[field], trained[field]) << field;
  }
  for (auto const& [flag, other] : {std::pair{"--activation", "softmax"},
                                    {"--power", "2"},
                                    {"--scale", "dynamic"},
                                    {"--model", "pinn"},
                                    {"--problem", "convection"}}) {
    expect_refused(
        merged(Arguments{"--weights", bare[1], "--out", (folder / "judged").string(), "--problem", "reaction"},
               {flag, other, "--evaluate"}),
        {flag, other});
  }
}

TEST_F(TrainPde, WeightsWithoutADescriptionNeedTheFlagsOfTheirModel) {
  io::Json const trained = expect_trained({"--activation", "poly"});
  io::Safetensors const own(folder / "run/weights.safetensors");
  io::SafetensorsWriter plain;
  std::vector<io::Array> arrays;
  arrays.reserve(own.tensors().size());
  for (auto const& [name, _] : own.tensors()) plain.add(name, arrays.emplace_back(own.array(name)));
  plain.write(folder / "plain.safetensors");
  Arguments evaluate = flags({"--activation", "poly", "--weights", (folder / "plain.safetensors").string(), "--out",
                              (folder / "judged").string()});
  evaluate.push_back("--evaluate");
  ASSERT_EQ(programs::run(program, evaluate).code, 0);
  EXPECT_EQ(only_run("judged")["rmae"], trained["rmae"]);
}

TEST_F(TrainPde, EvaluationLeavesRunsAsTheyAre) {
  expect_trained({});
  std::string const results = text_of(folder / "run/results.json");
  expect_refused({"--weights", (folder / "run/weights.safetensors").string(), "--evaluate"}, {"--evaluate", "--out"});
  EXPECT_EQ(text_of(folder / "run/results.json"), results);
}

TEST_F(TrainPde, SizesThatCannotBeMeant) {
  expect_refused({"--x-points", "100000", "--t-points", "100000"}, {"points", "GB", "--insist"}, small_machine);
  expect_refused({"--chunk", "100000", "--x-points", "1000", "--t-points", "1000", "--problem", "wave"},
                 {"chunk", "GB", "--insist"}, small_machine);
  expect_refused({"--out", ""}, {"--out", "''"});
}

TEST_F(TrainPde, TheMemoryThatItSaysIsWhatItTakes) {
  if (!memory_is_its_own) GTEST_SKIP() << "a sanitizer takes memory of its own";
  auto const compare = [&](Arguments const& more) {
    Arguments const large =
        flags(merged({"--problem", "reaction", "--x-points", "30", "--t-points", "30", "--steps", "1"}, more));
    double const said = memory_that_is_said(program, large);
    Exit const exit = programs::run(program, large);
    ASSERT_EQ(exit.code, 0) << exit.err;
    EXPECT_GT(said, 0.9 * exit.peak);
    EXPECT_LT(said, 1.25 * exit.peak);
  };
  compare({"--chunk", "900", "--max-iterations", "1", "--max-evaluations", "1"});
  compare({"--optimizer", "levenberg-marquardt", "--x-points", "12", "--t-points", "20"});
}

TEST_F(TrainPde, WeightsOfAnotherModelAreRefused) {
  expect_trained({"--model", "pinn"});
  std::string const weights = (folder / "run/weights.safetensors").string();
  expect_refused({"--weights", weights, "--model", "pinnsformer"}, {"--model", "pinn"});
  EXPECT_EQ(expect_trained({"--weights", weights})["model"], "pinn");  // without the flag, the file says what it is
}

}  // namespace
