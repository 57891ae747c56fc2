// train_vision as a program: what it leaves behind, that it resumes, and what it says to bad input.
#include "attn/io/csv.hpp"
#include "attn/io/results.hpp"
#include "attn/io/safetensors.hpp"

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;

std::string const program = ATTN_TRAIN_VISION;

/// A folder with data, and the flags of a small run on them.
struct Setting {
  Folder folder;
  Arguments flags;

  Setting() {
    TinyImages const train(96, 1), test(40, 2);
    write(folder / "train-images-idx3-ubyte", train.images);
    write_gz(folder / "train-labels-idx1-ubyte.gz", train.labels);
    write(folder / "t10k-images-idx3-ubyte", test.images);
    write(folder / "t10k-labels-idx1-ubyte", test.labels);
    flags = {"--data",      folder.path.string(),
             "--patch",     "4",
             "--width",     "16",
             "--depth",     "2",
             "--heads",     "2",
             "--batch",     "16",
             "--lr",        "0.003",
             "--log-every", "2",
             "--epochs",    "8"};
  }

  Arguments with(Arguments const& more) const { return merged(flags, more); }
  Exit run(Arguments const& more, Surroundings const& surroundings = {}) const {
    return programs::run(program, with(more), surroundings);
  }
};

Arguments out(Path const& path) { return {"--out", path.string()}; }

Arguments operator+(Arguments a, Arguments const& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

io::Json results_of(Path const& out) { return io::Json::parse(text_of(out / "results.json")); }

/// metrics.csv without what depends on the clock.
std::vector<std::vector<std::string>> rows_of(Path const& out) {
  auto table = io::read_csv(out / "metrics.csv");
  auto const column = std::find(table.columns.begin(), table.columns.end(), "items_per_second");
  for (auto& row : table.rows) row.at(static_cast<std::size_t>(column - table.columns.begin())) = "";
  return table.rows;
}

TEST(TrainVision, ASmallRun_LearnsAndLeavesItsFiles) {
  Setting const setting;
  Path const folder = setting.folder / "run";
  Exit const exit = setting.run(out(folder) + Arguments{"--activation", "poly", "--scale", "dynamic", "--seed", "7"});
  ASSERT_EQ(exit.code, 0) << exit.err;
  io::Json const results = results_of(folder);
  EXPECT_TRUE(results.at("machine").is_string());
  EXPECT_TRUE(results.at("commit").is_string());
  ASSERT_EQ(results.at("runs").size(), 1u);
  io::Json const& run = results["runs"][0];
  EXPECT_EQ(run.at("activation"), "poly");
  EXPECT_EQ(run.at("power"), 3);
  EXPECT_EQ(run.at("scale"), "dynamic");
  EXPECT_EQ(run.at("seed"), 7);
  EXPECT_EQ(run.at("width"), 16);
  EXPECT_EQ(run.at("epochs"), 8);
  EXPECT_EQ(run.at("classes"), 3);
  EXPECT_EQ(run.at("steps"), 48);
  EXPECT_GT(run.at("test_accuracy").get<double>(), 0.9);
  EXPECT_GT(run.at("seconds").get<double>(), 0);

  auto const table = io::read_csv(folder / "metrics.csv");
  EXPECT_EQ(table.numbers("step").back(), 48);
  EXPECT_EQ(table.numbers("test_accuracy").back(), run.at("test_accuracy").get<double>());
  for (double const norm : table.numbers("frobenius_norm_1")) EXPECT_GT(norm, 0);

  io::Safetensors const weights(folder / "weights.safetensors");
  EXPECT_EQ(weights.entry("head.weight").shape, (io::Shape{3, 16}));
  EXPECT_EQ(weights.entry("pos_embed").shape, (io::Shape{1, 5, 16}));
  EXPECT_TRUE(weights.contains("blocks.1.attn.qkv.bias"));
}

TEST(TrainVision, TheSameSeed_GivesTheSameBitsWithOneAndTwoThreads) {
  Setting const setting;
  Arguments const noisy = {"--drop",         "0.1", "--drop-path", "0.2", "--flip",   "0.5",
                           "--crop-padding", "1",   "--mixup",     "0.8", "--cutmix", "1",
                           "--erase",        "0.2", "--ema",       "0.9", "--epochs", "2"};
  for (Arguments const& activation :
       {Arguments{"--activation", "softmax"}, Arguments{"--activation", "poly", "--scale", "dynamic"}}) {
    auto const weights = [&](std::string const& name, Arguments const& more) {
      Exit const exit = setting.run(out(setting.folder / name) + noisy + activation + more);
      EXPECT_EQ(exit.code, 0) << exit.err;
      return text_of(setting.folder / name / "weights.safetensors");
    };
    std::string const one = weights("one", {"--threads", "1"});
    EXPECT_EQ(one, weights("two", {"--threads", "2"}));
    EXPECT_EQ(rows_of(setting.folder / "one"), rows_of(setting.folder / "two"));
    EXPECT_NE(one, weights("seed", {"--threads", "2", "--seed", "1"}));
  }
}

TEST(TrainVision, InterruptedAndResumed_GivesTheBitsOfAnUninterruptedRun) {
  Setting const setting;
  Arguments const flags = {"--activation", "poly",   "--scale", "fixed", "--epochs", "40",       "--drop",
                           "0.1",          "--flip", "0.5",     "--ema", "0.95",     "--cutmix", "1"};
  Path const whole = setting.folder / "whole", parts = setting.folder / "parts";
  Exit const exit = setting.run(out(whole) + flags + Arguments{"--threads", "2"});
  ASSERT_EQ(exit.code, 0) << exit.err;

  std::size_t rows = 0;
  for (int const signal : {SIGINT, SIGTERM}) {
    Child child(program, setting.with(out(parts) + flags + Arguments{"--threads", signal == SIGINT ? "2" : "1"} +
                                      (signal == SIGINT ? Arguments{} : Arguments{"--resume"})));
    std::size_t const enough = rows + 12;
    ASSERT_TRUE(wait_until([&] {
      std::string const text = text_of(parts / "metrics.csv");
      return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) > enough;
    }));
    child.signal(signal);
    Exit const interrupted = child.wait();
    ASSERT_EQ(interrupted.code, 128 + signal) << interrupted.err;
    EXPECT_NE(interrupted.err.find("--resume"), std::string::npos) << interrupted.err;
    EXPECT_FALSE(std::filesystem::exists(parts / "weights.safetensors"));
    EXPECT_NO_THROW(io::Safetensors(parts / "checkpoint.safetensors"));
    rows = io::read_csv(parts / "metrics.csv").rows.size();
    EXPECT_LT(rows, io::read_csv(whole / "metrics.csv").rows.size());
  }
  Exit const resumed = setting.run(out(parts) + flags + Arguments{"--resume"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(text_of(parts / "weights.safetensors"), text_of(whole / "weights.safetensors"));
  EXPECT_EQ(rows_of(parts), rows_of(whole));
  EXPECT_EQ(results_of(parts)["runs"][0]["test_accuracy"], results_of(whole)["runs"][0]["test_accuracy"]);
  EXPECT_EQ(results_of(parts)["runs"][0]["train_loss"], results_of(whole)["runs"][0]["train_loss"]);
}

TEST(TrainVision, Evaluate_FindsWhatTrainingFound) {
  Setting const setting;
  Path const run = setting.folder / "run", judged = setting.folder / "judged";
  ASSERT_EQ(setting.run(out(run) + Arguments{"--activation", "poly", "--power", "2", "--pool", "mean"}).code, 0);
  Arguments const evaluate = {"--weights", (run / "weights.safetensors").string(), "--evaluate"};
  io::Json const expected = results_of(run)["runs"][0];

  ASSERT_EQ(
      setting.run(out(judged) + evaluate + Arguments{"--activation", "poly", "--power", "2", "--pool", "mean"}).code,
      0);
  EXPECT_EQ(results_of(judged)["runs"][0]["test_accuracy"], expected["test_accuracy"]);
  EXPECT_EQ(results_of(judged)["runs"][0]["test_loss"], expected["test_loss"]);
  EXPECT_EQ(results_of(judged)["runs"][0]["activation"], "poly");

  // The weights know their model, so neither its flags nor the training data are needed.
  std::filesystem::remove(setting.folder / "train-images-idx3-ubyte");
  Exit const bare = programs::run(program, evaluate + Arguments{"--data", setting.folder.path.string()} + out(judged));
  ASSERT_EQ(bare.code, 0) << bare.err;
  EXPECT_EQ(results_of(judged)["runs"][0]["test_accuracy"], expected["test_accuracy"]);
}

TEST(TrainVision, ABatchInParts_IsTheSameBatch) {
  Setting const setting;
  Arguments const flags = {"--epochs", "2", "--eval-every", "5", "--checkpoint-every", "10m"};
  ASSERT_EQ(setting.run(out(setting.folder / "whole") + flags).code, 0);
  ASSERT_EQ(setting.run(out(setting.folder / "parts") + flags + Arguments{"--accumulate", "4"}).code, 0);
  auto const whole = io::read_csv(setting.folder / "whole/metrics.csv").numbers("loss");
  auto const parts = io::read_csv(setting.folder / "parts/metrics.csv").numbers("loss");
  ASSERT_EQ(whole.size(), parts.size());
  EXPECT_NEAR(parts[0], whole[0], 1e-5);  // the same images; the sums are in another order
  EXPECT_NEAR(parts.back(), whole.back(), 1e-2);
  EXPECT_EQ(io::read_csv(setting.folder / "whole/metrics.csv").numbers("test_loss").size(), whole.size());
  EXPECT_EQ(results_of(setting.folder / "parts")["runs"][0]["accumulate"], 4);
}

TEST(TrainVision, WeightsWithoutADescription_NeedTheFlagsOfTheirModel) {
  Setting const setting;
  Path const run = setting.folder / "run";
  ASSERT_EQ(setting.run(out(run) + Arguments{"--epochs", "1"}).code, 0);
  io::Safetensors const own(run / "weights.safetensors");
  io::SafetensorsWriter published;
  std::vector<io::Array> arrays;
  arrays.reserve(own.tensors().size());
  for (auto const& [name, _] : own.tensors()) published.add(name, arrays.emplace_back(own.array(name)));
  published.write(setting.folder / "published.safetensors");
  Arguments const evaluate = {"--weights", (setting.folder / "published.safetensors").string(), "--evaluate"};
  Exit const good = setting.run(evaluate + out(setting.folder / "judged"));
  ASSERT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(results_of(setting.folder / "judged")["runs"][0]["test_accuracy"],
            results_of(run)["runs"][0]["test_accuracy"]);
  Exit const bad = setting.run(evaluate + out(setting.folder / "judged") + Arguments{"--width", "32"});
  EXPECT_EQ(bad.code, 2);
  EXPECT_NE(bad.err.find("pos_embed is (1, 5, 16), not (1, 5, 32)"), std::string::npos) << bad.err;
}

TEST(TrainVision, StartedFromWeights_IsBetterThanFromNothing) {
  Setting const setting;
  Path const first = setting.folder / "first", second = setting.folder / "second";
  ASSERT_EQ(setting.run(out(first)).code, 0);
  Exit const exit = setting.run(out(second) + Arguments{"--weights", (first / "weights.safetensors").string()});
  ASSERT_EQ(exit.code, 0) << exit.err;
  EXPECT_LT(io::read_csv(second / "metrics.csv").numbers("loss")[0],
            io::read_csv(first / "metrics.csv").numbers("loss")[0]);
}

TEST(TrainVision, WhenFiguresCannotBeDrawn_TheRunIsComplete) {
  Setting const setting;
  Path const bin = setting.folder / "bin", run = setting.folder / "run";
  std::filesystem::create_directories(bin);
  write(bin / "gnuplot", "#!/bin/sh\necho broken >&2\nexit 1\n");
  std::filesystem::permissions(bin / "gnuplot", std::filesystem::perms::owner_all);
  for (std::string const& path : {bin.string() + ":/usr/bin:/bin", std::string("/nowhere")}) {
    Exit const exit = setting.run(out(run) + Arguments{"--epochs", "1"}, {.path_variable = path});
    EXPECT_EQ(exit.code, 0) << exit.err;
    EXPECT_NE(exit.err.find("gnuplot"), std::string::npos) << exit.err;
    EXPECT_TRUE(results_of(run)["runs"][0].contains("test_accuracy"));
    EXPECT_TRUE(std::filesystem::exists(run / "weights.safetensors"));
    EXPECT_FALSE(std::filesystem::exists(run / "loss.png"));
  }
}

TEST(TrainVision, ALossThatIsNotANumber_NamesTheStepAndExitsWithOne) {
  Setting const setting;
  Exit const exit = setting.run(out(setting.folder / "run") +
                                Arguments{"--lr", "1e30", "--warmup", "0", "--clip", "0", "--warmup-lr", "1e30"});
  EXPECT_EQ(exit.code, 1);
  EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
  EXPECT_NE(exit.err.find("step 2"), std::string::npos) << exit.err;
  EXPECT_FALSE(std::filesystem::exists(setting.folder / "run" / "checkpoint.safetensors"));
}

TEST(TrainVision, TheDemo_ComparesFourActivations) {
  Setting const setting;
  Path const demo = setting.folder / "demo";
  Arguments const flags = {"--demo", "--epochs", "2"};
  Exit const exit = setting.run(out(demo) + flags);
  ASSERT_EQ(exit.code, 0) << exit.err;
  io::Json const runs = results_of(demo).at("runs");
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[0]["activation"], "softmax");
  for (std::size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(runs[i]["activation"], "poly");
    EXPECT_EQ(runs[i]["power"], 3);
    EXPECT_EQ(runs[i]["scale"], (std::vector<std::string>{"none", "fixed", "dynamic"}[i - 1]));
  }
  auto const table = io::read_csv(demo / "metrics.csv");
  EXPECT_EQ(table.columns.front(), "run");
  EXPECT_EQ(table.rows.size(), 4 * io::read_csv(demo / "softmax" / "metrics.csv").rows.size());
  EXPECT_NE(text_of(demo / "report.html").find("x³ dynamic"), std::string::npos);
  EXPECT_NE(exit.out.find("test accuracy"), std::string::npos);
  EXPECT_NE(exit.out.find("standard error of an accuracy on 40 test images"), std::string::npos) << exit.out;
  auto const scales = table.numbers("blocks.0.attn.activation.scale");
  EXPECT_TRUE(std::isnan(scales.front()) && std::isfinite(scales.back()));
  // Of the rows of labels, the diagonal holds the right answers.
  auto const classes = io::read_csv(demo / "poly3_dynamic" / "classes.csv");
  ASSERT_EQ(classes.rows.size(), 3u);
  double right = 0, all = 0;
  for (std::size_t answer = 0; answer < 3; ++answer) {
    auto const counts = classes.numbers("taken_for_" + std::to_string(answer));
    right += counts[answer];
    for (double const count : counts) all += count;
  }
  EXPECT_EQ(all, 40);
  EXPECT_NEAR(right / all, runs[3]["test_accuracy"].get<double>(), 1e-9);

  // Interrupted and resumed, it tells the same.
  Child child(program, setting.with(out(setting.folder / "parts") + flags));
  ASSERT_TRUE(
      wait_until([&] { return std::filesystem::exists(setting.folder / "parts/poly3/checkpoint.safetensors"); }));
  child.signal(SIGINT);
  Exit const interrupted = child.wait();
  if (interrupted.code != 0) {
    EXPECT_EQ(interrupted.code, 128 + SIGINT) << interrupted.err;
    Exit const resumed = setting.run(out(setting.folder / "parts") + flags + Arguments{"--resume"});
    ASSERT_EQ(resumed.code, 0) << resumed.err;
  }
  for (std::string const name : {"softmax", "poly3", "poly3_fixed", "poly3_dynamic"}) {
    EXPECT_EQ(text_of(setting.folder / "parts" / name / "weights.safetensors"),
              text_of(demo / name / "weights.safetensors"))
        << name;
  }
}

TEST(TrainVision, Help_ExplainsEveryFlag) {
  Exit const exit = run(program, {"--help"});
  EXPECT_EQ(exit.code, 0);
  for (std::string const flag :
       {"--activation",   "--power",        "--scale",       "--seed",         "--out",        "--weights",
        "--evaluate",     "--threads",      "--patch",       "--width",        "--depth",      "--heads",
        "--mlp-ratio",    "--drop",         "--drop-path",   "--pool",         "--epochs",     "--batch",
        "--lr",           "--weight-decay", "--warmup",      "--min-lr",       "--clip",       "--label-smoothing",
        "--mixup",        "--cutmix",       "--flip",        "--crop-padding", "--ema",        "--train-images",
        "--train-labels", "--test-images",  "--test-labels", "--train-limit",  "--test-limit", "--resume",
        "--demo"}) {
    EXPECT_NE(exit.out.find(flag + " "), std::string::npos) << flag;
  }
}

}  // namespace
