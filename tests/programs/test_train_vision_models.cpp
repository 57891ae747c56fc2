// train_vision's models by name, recipes, fine-tuning, distillation and prediction.
#include "attn/io/csv.hpp"
#include "attn/io/json.hpp"
#include "attn/io/npy.hpp"
#include "attn/io/safetensors.hpp"

#include <cmath>
#include <map>

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;

std::string const program = ATTN_TRAIN_VISION;

io::Json run_of(Path const& out) { return io::Json::parse(text_of(out / "results.json")).at("runs").at(0); }

io::Array array_of(io::Shape const& shape, std::vector<float> const& numbers) {
  io::Array array{io::DType::f32, shape, std::vector<std::byte>(numbers.size() * sizeof(float))};
  std::memcpy(array.bytes.data(), numbers.data(), array.bytes.size());
  return array;
}

class TrainVisionModels : public ::testing::Test {
 protected:
  TrainVisionModels() { write_tiny_images(folder); }

  Arguments flags(std::string const& out, Arguments const& more) const {
    return merged({"--data", folder.path.string(), "--out", (folder / out).string(), "--batch", "16", "--epochs", "1"},
                  more);
  }
  Exit run(std::string const& out, Arguments const& more) const { return programs::run(program, flags(out, more)); }

  void expect_refused(Arguments const& more, std::vector<std::string> const& words) const {
    SCOPED_TRACE(more.back());
    Exit const exit = run("refused", more);
    EXPECT_EQ(exit.code, 2) << exit.err;
    EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
    for (auto const& word : words) EXPECT_NE(exit.err.find(word), std::string::npos) << exit.err;
  }

  std::string weights(std::string const& out) const { return (folder / out / "weights.safetensors").string(); }

  Folder folder;
};

TEST_F(TrainVisionModels, AreListedByName) {
  Exit const exit = programs::run(program, {"--list-models"});
  EXPECT_EQ(exit.code, 0) << exit.err;
  for (std::string const words : {"vit_base_patch16_224 86567656 224", "deit_base_distilled_patch16_224 87338192 224",
                                  "xcit_tiny_12_p16_224 6716272 224", "xcit_medium_24_p16_224 84395752 224",
                                  "swin_base_patch4_window7_224 87768224 224", "deit_micro - any"}) {
    std::string text;  // one space for many
    for (char const c : exit.out) {
      if (c != ' ' || text.empty() || text.back() != ' ') text += c;
    }
    EXPECT_NE(text.find(words), std::string::npos) << words;
  }
  expect_refused({"--model", "vit_bas_patch16_224"}, {"vit_bas_patch16_224", "vit_base_patch16_224", "--list-models"});
}

TEST_F(TrainVisionModels, OfEveryFamily_LearnAndAnswerAgain) {
  std::map<std::string, Arguments> const models = {
      {"deit_micro_distilled", {"--width", "16", "--heads", "2", "--depth", "2"}},
      {"xcit_micro", {"--width", "16", "--heads", "2", "--depth", "1", "--patch", "2"}}};
  for (auto const& [name, sizes] : models) {
    SCOPED_TRACE(name);
    Arguments more = {"--model", name, "--activation", "poly", "--scale", "dynamic"};
    more.insert(more.end(), sizes.begin(), sizes.end());
    Exit const exit = run(name, more);
    ASSERT_EQ(exit.code, 0) << exit.err;
    io::Json const trained = run_of(folder / name);
    EXPECT_GT(io::read_csv(folder / name / "metrics.csv").numbers("frobenius_norm_0").back(), 0);

    // The weights know their model.
    Exit const judged = programs::run(program, {"--data", folder.path.string(), "--out", (folder / "judged").string(),
                                                "--weights", weights(name), "--evaluate"});
    ASSERT_EQ(judged.code, 0) << judged.err;
    EXPECT_EQ(run_of(folder / "judged").at("test_loss"), trained.at("test_loss"));

    io::write_npy(folder / "X.npy", array_of({2, 1, 8, 8}, std::vector<float>(128, 0.5f)));
    Exit const asked = programs::run(program, {"--out", (folder / "answers").string(), "--weights", weights(name),
                                               "--predict", (folder / "X.npy").string()});
    ASSERT_EQ(asked.code, 0) << asked.err;
    io::Array const logits = io::read_npy(folder / "answers" / "logits.npy");
    EXPECT_EQ(logits.shape, (io::Shape{2, 3}));
    auto const numbers = logits.as<float>();
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(numbers[i], numbers[3 + i]) << "the same image twice";
    if (name == "deit_micro_distilled") {
      auto const own = io::read_npy(folder / "answers" / "logits_class.npy").as<float>();
      auto const teacher = io::read_npy(folder / "answers" / "logits_teacher.npy").as<float>();
      for (std::size_t i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(numbers[i], (own[i] + teacher[i]) / 2);
    }
  }
  expect_refused({"--model", "xcit_micro", "--weights", weights("deit_micro_distilled"), "--evaluate"},
                 {"family", "vit", "xcit"});
}

TEST_F(TrainVisionModels, InBf16_LearnWhatTheyLearnInFp32) {
  for (std::string const model : {"deit_micro_distilled", "swin_micro", "xcit_micro"}) {
    SCOPED_TRACE(model);
    Arguments flags = {"--model", model,  "--width",      "16",   "--heads",  "2",
                       "--depth", "2",    "--patch",      "2",    "--epochs", "6",
                       "--lr",    "3e-3", "--activation", "poly", "--scale",  "dynamic"};
    if (model == "swin_micro") flags = merged(flags, {"--depth", "1,1", "--heads", "1,2", "--window", "2"});
    ASSERT_EQ(run("fp32", flags).code, 0);
    Exit const exit = run("bf16", merged(flags, {"--precision", "bf16"}));
    ASSERT_EQ(exit.code, 0) << exit.err;
    io::Json const wide = run_of(folder / "fp32"), narrow = run_of(folder / "bf16");
    EXPECT_EQ(wide.at("precision"), "fp32");
    EXPECT_EQ(narrow.at("precision"), "bf16");
    EXPECT_NE(narrow.at("train_loss"), wide.at("train_loss"));
    EXPECT_NEAR(narrow.at("test_loss"), wide.at("test_loss"), 0.05 * wide.at("test_loss").get<double>());
    EXPECT_NEAR(narrow.at("test_accuracy"), wide.at("test_accuracy"), 0.06);

    // The weights say in which precision they were trained; whoever asks may choose the other.
    std::vector<float> images(20 * 64);
    for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<float>(i * 37 % 101) / 50.0f - 1;
    io::write_npy(folder / "X.npy", array_of({20, 1, 8, 8}, images));
    auto const logits = [&](Arguments const& more) {
      Arguments all = {"--out",     (folder / "answers").string(), "--weights", weights("bf16"),
                       "--predict", (folder / "X.npy").string()};
      all.insert(all.end(), more.begin(), more.end());
      Exit const asked = programs::run(program, all);
      EXPECT_EQ(asked.code, 0) << asked.err;
      return io::read_npy(folder / "answers" / "logits.npy").as<float>();
    };
    auto const as_trained = logits({}), exact = logits({"--precision", "fp32"});
    EXPECT_EQ(as_trained, logits({"--precision", "bf16"}));
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      difference += std::pow(as_trained[i] - exact[i], 2);
      size += std::pow(exact[i], 2);
    }
    EXPECT_LT(std::sqrt(difference), 0x1p-5 * std::sqrt(size));
    EXPECT_GT(std::sqrt(difference), 0x1p-12 * std::sqrt(size)) << "it computed in fp32";
    Arguments const evaluate = {"--weights", weights("bf16"), "--evaluate"};
    ASSERT_EQ(run("judged", evaluate).code, 0);
    EXPECT_EQ(run_of(folder / "judged").at("test_loss"), narrow.at("test_loss"));
    EXPECT_EQ(run_of(folder / "judged").at("precision"), "bf16");
  }
}

TEST_F(TrainVisionModels, InBf16_AreResumedInBf16) {
  Arguments const flags = {"--model", "deit_micro", "--width", "16", "--heads", "2", "--depth", "1"};
  ASSERT_EQ(run("run", merged(flags, {"--precision", "bf16"})).code, 0);
  Exit const resumed = run("run", merged(flags, {"--resume"}));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(run_of(folder / "run").at("precision"), "bf16");
  expect_refused(merged(flags, {"--precision", "fp32", "--out", (folder / "run").string(), "--resume"}), {"precision"});
}

TEST_F(TrainVisionModels, WeightsOfOthers_AreKnownByTheirNames) {
  Arguments const small = {"--width", "16", "--heads", "2", "--depth", "1", "--patch", "2"};
  ASSERT_EQ(run("xcit", merged(small, {"--model", "xcit_micro"})).code, 0);
  io::Safetensors const own(folder / "xcit" / "weights.safetensors");
  io::SafetensorsWriter published;
  std::vector<io::Array> arrays;
  arrays.reserve(own.tensors().size());
  for (auto const& [name, _] : own.tensors()) published.add(name, arrays.emplace_back(own.array(name)));
  published.write(folder / "published.safetensors");
  Arguments const evaluate = {"--weights", (folder / "published.safetensors").string(), "--evaluate"};
  EXPECT_EQ(run("judged", merged(merged(small, {"--model", "xcit_micro"}), evaluate)).code, 0);
  expect_refused(merged(merged(small, {"--model", "deit_micro"}), evaluate), {"look like those of an XCiT", "a ViT"});
}

TEST_F(TrainVisionModels, TrainedScales_StartWhereTheirKeysAreCounted) {
  for (std::string const model : {"deit_micro", "swin_micro", "xcit_micro"}) {
    SCOPED_TRACE(model);
    Arguments flags = {"--model", model,     "--width", "16", "--heads",      "2",  "--depth",      "1",
                       "--lr",    "0",       "--patch", "2",  "--min-lr",     "0",  "--warmup-lr",  "0",
                       "--scale", "dynamic", "--power", "3",  "--scale-keys", "16", "--activation", "poly"};
    if (model == "swin_micro") flags = merged(flags, {"--depth", "1,1", "--heads", "1,2", "--window", "2"});
    ASSERT_EQ(run(model, flags).code, 0);
    std::size_t scales = 0;
    io::Safetensors const file(weights(model));
    for (auto const& [name, _] : file.tensors()) {
      if (!name.ends_with("attn.activation.scale")) continue;
      EXPECT_EQ(file.get<float>(name, {1}).at(0), 0.25f) << name;
      ++scales;
    }
    EXPECT_EQ(scales, model == "deit_micro" ? 1u : model == "swin_micro" ? 2u : 3u);
  }
}

TEST_F(TrainVisionModels, WindowsThatDoNotDivideAMap_AreSaid) {
  Exit const exit = run("run", {"--model", "swin_micro", "--width", "16", "--depth", "1,1", "--heads", "1,2", "--patch",
                                "2", "--window", "3"});
  EXPECT_EQ(exit.code, 0) << exit.err;
  EXPECT_NE(exit.err.find("windows of 3 do not divide the 4 x 4 tokens of stage 1"), std::string::npos) << exit.err;
}

TEST_F(TrainVisionModels, KeysThatAreSaidCountAlsoForWeightsThatDescribeThemselves) {
  Arguments const cube = {"--activation", "poly", "--power", "3", "--scale", "fixed"};
  Arguments const tiny = {"--model", "deit_micro", "--width", "16", "--heads", "2", "--depth", "1", "--patch", "2"};
  ASSERT_EQ(run("own", merged(tiny, cube)).code, 0);
  Exit const exit = run("counted", {"--weights", weights("own"), "--scale-keys", "196"});
  ASSERT_EQ(exit.code, 0) << exit.err;
  EXPECT_TRUE(run_of(folder / "own").at("factor").is_null());
  EXPECT_DOUBLE_EQ(run_of(folder / "counted").at("factor"), 1.0 / 14);
}

/// Numbers of the published recipes: Touvron et al. 2021, Liu et al. 2021, El-Nouby et al. 2021, Dosovitskiy et al.
/// 2020.
TEST_F(TrainVisionModels, Recipes_SetThePublishedNumbers) {
  io::Json const deit = {{"epochs", 300},
                         {"batch", 1024},
                         {"lr", 5e-4},
                         {"lr-batch", 512},
                         {"lr-scaling", "peak"},
                         {"min-lr", 1e-5},
                         {"warmup", 5},
                         {"warmup-lr", 1e-6},
                         {"schedule", "cosine"},
                         {"schedule-by", "epoch"},
                         {"schedule-late", true},
                         {"warmup-prefix", false},
                         {"weight-decay", 0.05},
                         {"beta2", 0.999},
                         {"clip", 0},
                         {"label-smoothing", 0.1},
                         {"mixup", 0.8},
                         {"cutmix", 1},
                         {"flip", 0.5},
                         {"crop-area", 0.08},
                         {"auto-augment", "rand-m9-mstd0.5-inc1"},
                         {"erase", 0.25},
                         {"repeats", 3},
                         {"crop-fraction", 0.875},
                         {"ema", 0.99996},
                         {"ema-use", "store"},
                         {"drop-path", 0.1}};
  auto with = [&](io::Json const& more) {
    io::Json all = deit;
    all.update(more);
    return all;
  };
  std::map<std::string, io::Json> const recipes = {
      {"deit", with({{"model", "deit_base_patch16_224"}})},
      {"xcit", with({{"model", "xcit_medium_24_p16_224"}, {"epochs", 400}, {"drop-path", 0.15}})},
      {"swin", with({{"model", "swin_base_patch4_window7_224"},
                     {"lr-scaling", "all"},
                     {"min-lr", 5e-6},
                     {"warmup", 20},
                     {"warmup-lr", 5e-7},
                     {"schedule-by", "step"},
                     {"warmup-prefix", true},
                     {"clip", 5},
                     {"repeats", 1},
                     {"ema", 0},
                     {"ema-use", "judge"},
                     {"drop-path", 0.5}})},
      {"vit",
       {{"epochs", 300},
        {"batch", 4096},
        {"lr", 3e-3},
        {"warmup-steps", 10000},
        {"weight-decay", 0.3},
        {"drop", 0.1},
        {"clip", 1},
        {"mixup", 0}}},
      {"tiny-imagenet", {{"epochs", 200}, {"patch", "4"}, {"image-size", "64"}}}};
  for (auto const& [name, expected] : recipes) {
    SCOPED_TRACE(name);
    Exit const exit = programs::run(program, {"--recipe", name, "--print-recipe"});
    ASSERT_EQ(exit.code, 0) << exit.err;
    std::map<std::string, std::string> said;
    std::istringstream lines(exit.out);
    for (std::string line, flag, value; std::getline(lines, line);) {
      std::istringstream(line) >> flag >> value;
      said[flag.substr(2)] = value;
    }
    for (auto const& [flag, value] : expected.items()) {
      ASSERT_TRUE(said.contains(flag)) << flag;
      if (value.is_number()) {
        EXPECT_DOUBLE_EQ(std::stod(said[flag]), value.get<double>()) << flag;
      } else {
        EXPECT_EQ(said[flag], value.is_string() ? value.get<std::string>() : value.dump()) << flag;
      }
    }
  }
}

TEST_F(TrainVisionModels, ARecipe_IsWhatARunDoes_AndFlagsChangeIt) {
  Arguments const flags = {"--recipe", "deit",    "--model", "deit_micro", "--width",     "16",      "--heads",
                           "2",        "--depth", "1",       "--epochs",   "3",           "--mixup", "0.5",
                           "--seed",   "3",       "--ema",   "0.99",       "--log-every", "1"};
  ASSERT_EQ(run("run", flags).code, 0);
  io::Json const trained = run_of(folder / "run");
  EXPECT_EQ(trained.at("recipe"), "deit");
  EXPECT_EQ(trained.at("lr"), 5e-4);
  EXPECT_DOUBLE_EQ(trained.at("learning_rate").get<double>(), 5e-4 * 16 / 512);
  EXPECT_EQ(trained.at("mixup"), 0.5);
  EXPECT_EQ(trained.at("cutmix"), 1);
  EXPECT_EQ(trained.at("auto_augment"), "rand-m9-mstd0.5-inc1");
  EXPECT_EQ(trained.at("repeats"), 3);
  EXPECT_EQ(trained.at("ema_use"), "store");
  // Epochs 0 and 1 train with the rate of the warm-up's start, epoch 2 with that which was meant for epoch 1.
  auto const table = io::read_csv(folder / "run" / "metrics.csv");
  auto const rates = table.numbers("learning_rate"), epochs = table.numbers("epoch");
  for (std::size_t i = 0; i < rates.size(); ++i) {
    double const expected = epochs[i] <= 2 ? 1e-6 : 1e-6 + (5e-4 * 16 / 512 - 1e-6) / 5;
    EXPECT_DOUBLE_EQ(rates[i], expected) << epochs[i];
  }
  // The average is beside the weights, which are what was judged.
  io::Safetensors const last(folder / "run" / "weights.safetensors"), mean(folder / "run" / "average.safetensors");
  EXPECT_NE(last.get<float>("head.weight", {3, 16}), mean.get<float>("head.weight", {3, 16}));
}

TEST_F(TrainVisionModels, FineTuning_DrawsANewHead_AndFreezesWhatItIsTold) {
  Arguments const small = {"--width", "16", "--heads", "2", "--depth", "2", "--patch", "4"};
  ASSERT_EQ(run("first", small).code, 0);
  Exit const tuned = run("tuned", {"--weights", weights("first"), "--classes", "5", "--freeze",
                                   "patch_embed.*,blocks.0.*", "--layer-decay", "0.5"});
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  EXPECT_NE(tuned.err.find("head.weight was drawn anew, for 5 classes instead of the file's 3"), std::string::npos)
      << tuned.err;
  io::Safetensors const before(weights("first")), after(weights("tuned"));
  auto const same = [&](std::string const& name) { return before.array(name).bytes == after.array(name).bytes; };
  EXPECT_TRUE(same("blocks.0.attn.qkv.weight"));
  EXPECT_TRUE(same("patch_embed.proj.bias"));
  EXPECT_FALSE(same("blocks.1.attn.qkv.weight"));
  EXPECT_EQ(after.entry("head.weight").shape, (io::Shape{5, 16}));
  expect_refused({"--weights", weights("first"), "--freeze", "blocks.7.*"}, {"blocks.7.*"});
  expect_refused({"--weights", weights("tuned"), "--evaluate", "--classes", "3"}, {"--classes", "5", "3"});
  // A model that knows more classes than the data have is used, but not without a word.
  std::string const note = "the model knows 5 classes, the labels of the test images only 3";
  for (Arguments const& use :
       {Arguments{"--weights", weights("tuned"), "--evaluate"}, {"--weights", weights("tuned")}}) {
    Exit const exit = run("used", use);
    ASSERT_EQ(exit.code, 0) << exit.err;
    EXPECT_NE(exit.err.find(note), std::string::npos) << exit.err;
  }
}

TEST_F(TrainVisionModels, ATeacher_ChangesWhatIsLearned) {
  std::vector<float> logits(96 * 3);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 7 % 5);
  io::write_npy(folder / "teacher.npy", array_of({96, 3}, logits));
  io::write_npy(folder / "short.npy", array_of({95, 3}, std::vector<float>(95 * 3, 1.0f)));
  Arguments const small = {"--width", "16", "--heads", "2", "--depth", "1"};
  std::string const teacher = (folder / "teacher.npy").string();
  for (std::string const model : {"deit_micro", "deit_micro_distilled"}) {
    Arguments const alone = merged(small, {"--model", model});
    std::map<std::string, std::string> bytes;
    for (std::string const kind : {"none", "hard", "soft"}) {
      Arguments const more =
          kind == "none"
              ? alone
              : merged(alone, {"--teacher", teacher, "--distillation", kind, "--temperature", "3", "--mixup", "0.8"});
      Exit const exit = run(kind, more);
      ASSERT_EQ(exit.code, 0) << exit.err;
      bytes[kind] = text_of(weights(kind));
    }
    EXPECT_NE(bytes["none"], bytes["hard"]);
    EXPECT_NE(bytes["soft"], bytes["hard"]);
  }
  expect_refused(merged(small, {"--teacher", (folder / "short.npy").string()}), {"--teacher", "96", "(95, 3)"});
}

TEST_F(TrainVisionModels, TakeTheMemoryThatIsSaid) {
  if (!memory_is_its_own) GTEST_SKIP() << "a sanitizer takes memory of its own";
  auto const expect_near_what_is_said = [](Arguments const& arguments) {
    double const said = memory_that_is_said(program, arguments);
    Exit const exit = programs::run(program, arguments, {.path_variable = "/nowhere"});  // without figures
    ASSERT_EQ(exit.code, 0) << exit.err;
    EXPECT_GT(said, 0.8 * exit.peak) << arguments.back();
    EXPECT_LT(said, 1.3 * exit.peak) << arguments.back();
  };
  for (std::string const model : {"deit_micro_distilled", "swin_micro", "xcit_micro"}) {
    SCOPED_TRACE(model);
    Arguments const large = flags("large", {"--model", model, "--image-size", "64", "--batch", "64", "--train-limit",
                                            "64", "--test-limit", "40"});
    expect_near_what_is_said(merged(large, {"--precision", "bf16"}));
    expect_near_what_is_said(large);
    expect_near_what_is_said({"--data", folder.path.string(), "--weights", weights("large"), "--image-size", "64",
                              "--test-limit", "40", "--evaluate"});
  }
}

TEST_F(TrainVisionModels, ImagesThatCannotBePredicted) {
  ASSERT_EQ(run("run", {"--width", "16", "--heads", "2", "--depth", "1", "--patch", "4"}).code, 0);
  io::write_npy(folder / "flat.npy", array_of({2, 64}, std::vector<float>(128, 1.0f)));
  io::write_npy(folder / "rgb.npy", array_of({1, 3, 8, 8}, std::vector<float>(192, 1.0f)));
  auto const predict = [&](std::string const& file) {
    return Arguments{"--weights", weights("run"), "--predict", (folder / file).string()};
  };
  expect_refused(predict("flat.npy"), {"--predict", "(2, 64)"});
  expect_refused(predict("rgb.npy"), {"patch_embed.proj.weight"});
  expect_refused(predict("nowhere.npy"), {"nowhere.npy"});
  expect_refused({"--predict", (folder / "rgb.npy").string()}, {"--weights"});
}

}  // namespace
