// train_detection: the figures of results that are given as files; bad input.
#include "attn/io/csv.hpp"
#include "attn/io/json.hpp"
#include "attn/io/safetensors.hpp"

#include <algorithm>

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;

std::string const program = ATTN_TRAIN_DETECTION;
std::string const golden = std::string(ATTN_GOLDEN_DIR) + "/coco/";

class TrainDetection : public ::testing::Test {
 protected:
  Exit run(Arguments const& files) const {
    return programs::run(program, merged({"--annotations", golden + "plain_annotations.json", "--results",
                                          golden + "plain_results.json", "--out", (folder / "run").string()},
                                         files));
  }
  Exit evaluate(Arguments files) const {
    files.push_back("--evaluate");
    return run(files);
  }
  io::Json results() const { return io::Json::parse(text_of(folder / "run/results.json")); }
  std::string file(std::string const& bytes) const {
    write(folder / "file.json", bytes);
    return (folder / "file.json").string();
  }
  /// Pictures of discs in COCO's layout, and what a tiny detector of them is told.
  void generate(char const* train, char const* val) const {
    write_tiny_garments(folder);
    Exit const exit = programs::run(
        program, {"--generate", (folder / "data").string(), "--source", (folder / "source").string(), "--train-images",
                  train, "--val-images", val, "--least-side", "60", "--most-side", "70", "--seed", "7"});
    ASSERT_EQ(exit.code, 0) << exit.err;
  }
  Exit detect(Arguments const& flags) const {
    return programs::run(program, merged({"--out", (folder / "detector").string(), "--test-side", "64",
                                          "--test-long-side", "96", "--threads", "2"},
                                         flags));
  }
  Exit train(Arguments const& flags) const { return detect(merged(tiny_detector(folder / "data"), flags)); }

  Folder folder;
};

TEST_F(TrainDetection, LeavesTheFiguresOfBoxesAndMasks) {
  io::Json const wanted = io::Json::parse(text_of(golden + "figures.json"));
  for (std::string const name : {"plain", "odd", "many", "masks", "empty"}) {
    Exit const exit =
        evaluate({"--annotations", golden + name + "_annotations.json", "--results", golden + name + "_results.json"});
    ASSERT_EQ(exit.code, 0) << exit.err;
    io::Json const json = results();
    for (char const* const kind : {"bbox", "segm"}) {
      ASSERT_EQ(json.contains(kind), wanted[name].contains(kind)) << name;
      for (std::size_t i = 0; json.contains(kind) && i < 12; ++i) {
        EXPECT_NEAR(json[kind].at(i).get<double>(), wanted[name][kind][i].get<double>(), 1e-9) << name << kind << i;
      }
    }
    bool const masks = json.contains("segm");
    EXPECT_EQ(exit.out.find("masks (segm) are not evaluated: the results have no segmentations") == std::string::npos,
              masks);
    if (name == "odd") {
      EXPECT_EQ(json["notes"].size(), 6u) << json["notes"].dump();
    }
    EXPECT_NE(exit.out.find(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = "),
              std::string::npos);
  }
}

TEST_F(TrainDetection, RefusesBadInputInOneSentence) {
  auto const expect_refused = [](Exit const& exit, std::string const& words) {
    EXPECT_EQ(exit.code, 2) << exit.err;
    EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
    EXPECT_NE(exit.err.find(words), std::string::npos) << exit.err;
  };
  expect_refused(run({}), "give --annotations FILE --results FILE --evaluate");
  expect_refused(evaluate({"--generate", (folder / "data").string()}), "leave out --evaluate");
  expect_refused(evaluate({"--results", (folder / "none").string()}), "none");
  expect_refused(evaluate({"--results", file("")}), "is no JSON");
  expect_refused(evaluate({"--annotations", file("[]")}), "there is no list images");
  expect_refused(
      evaluate({"--results", file(R"([{"image_id": 4711, "category_id": 1, "score": 1, "bbox": [1,2,3,4]}])")}),
      "give results of images that the annotations list, 4711 is none");
  EXPECT_FALSE(std::filesystem::exists(folder / "run/results.json"));
}

TEST_F(TrainDetection, WritesADataSetThatItEvaluates) {
  write_tiny_garments(folder);
  Arguments const flags = {"--generate",     (folder / "data").string(),
                           "--source",       (folder / "source").string(),
                           "--train-images", "3",
                           "--val-images",   "2",
                           "--seed",         "7"};
  Exit const exit = programs::run(program, flags);
  ASSERT_EQ(exit.code, 0) << exit.err;
  for (std::string const name : {"train2017/000000000003.jpg", "val2017/000000000002.jpg"}) {
    EXPECT_GT(std::filesystem::file_size(folder / ("data/" + name)), 500u) << name;
  }
  Exit const again = programs::run(program, flags);
  EXPECT_EQ(again.code, 2);
  EXPECT_NE(again.err.find("holds a data set"), std::string::npos) << again.err;
  Exit const judged = evaluate(
      {"--annotations", (folder / "data/annotations/instances_val2017.json").string(), "--results", file("[]")});
  EXPECT_EQ(judged.code, 0) << judged.err;
  EXPECT_EQ(results()["bbox"][0].get<double>(), 0.0);
  EXPECT_EQ(results()["segm"][0].get<double>(), 0.0);
}

TEST_F(TrainDetection, TrainsJudgesAndLooksAtPictures) {
  generate("10", "3");
  Exit const exit = train({});
  ASSERT_EQ(exit.code, 0) << exit.err;
  Path const out = folder / "detector";
  io::Json const run = io::Json::parse(text_of(out / "results.json"));
  EXPECT_EQ(run["bbox"].size(), 12u);
  EXPECT_EQ(run["segm"].size(), 12u);
  EXPECT_EQ(run["steps"], 8);  // wide pictures and others, two by two
  EXPECT_GT(run["loss_mask"].get<double>(), 0);
  EXPECT_TRUE(std::filesystem::exists(out / "pictures/000000000002.jpg"));

  std::string const weights = (out / "weights.safetensors").string();
  Exit const judged = detect({"--data", (folder / "data").string(), "--weights", weights, "--evaluate", "--out",
                              (folder / "judged").string()});
  ASSERT_EQ(judged.code, 0) << judged.err;
  io::Json const figures = io::Json::parse(text_of(folder / "judged/results.json"));
  EXPECT_EQ(figures["bbox"], run["bbox"]);
  EXPECT_TRUE(text_of(folder / "judged/detections.json") == text_of(out / "detections.json"));
  // What it writes is judged alike by the part of the program that knows nothing of it.
  Exit const again = evaluate({"--annotations", (folder / "data/annotations/instances_val2017.json").string(),
                               "--results", (out / "detections.json").string()});
  ASSERT_EQ(again.code, 0) << again.err;
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_NEAR(results()["segm"][i].get<double>(), figures["segm"][i].get<double>(), 1e-6) << i;
  }

  Exit const seen = detect(
      {"--weights", weights, "--predict", (folder / "data/val2017").string(), "--out", (folder / "seen").string()});
  ASSERT_EQ(seen.code, 0) << seen.err;
  EXPECT_TRUE(text_of(folder / "seen/predictions.json") == text_of(out / "detections.json"));
  EXPECT_TRUE(std::filesystem::exists(folder / "seen/pictures/000000000003.jpg"));

  // Training goes on from weights that say which model they are of.
  Exit const more = detect({"--data", (folder / "data").string(), "--weights", weights, "--sides", "64",
                            "--most-long-side", "96", "--crops", "0", "--batch", "2", "--accumulate", "1", "--epochs",
                            "1", "--out", (folder / "more").string()});
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_EQ(io::Json::parse(text_of(folder / "more/results.json"))["width"], 16);

  // One that cannot be read is named, and the others are looked at.
  programs::write(folder / "data/val2017/000000000002.jpg", "no picture");
  Exit const most = detect(
      {"--weights", weights, "--predict", (folder / "data/val2017").string(), "--out", (folder / "most").string()});
  ASSERT_EQ(most.code, 0) << most.err;
  EXPECT_NE(most.err.find("1 pictures could not be read, the first because: "), std::string::npos) << most.err;
  EXPECT_NE(most.err.find("000000000002.jpg"), std::string::npos) << most.err;
  EXPECT_TRUE(std::filesystem::exists(folder / "most/pictures/000000000003.jpg"));
}

TEST_F(TrainDetection, TakesTheBackboneOfAClassifier) {
  generate("6", "1");
  ASSERT_EQ(train({"--epochs", "1"}).code, 0);
  Path const weights = folder / "detector/weights.safetensors";
  std::string const prefix = "backbone.";
  auto const is_backbone = [&](std::string const& name) {
    return name.starts_with(prefix) && !name.starts_with(prefix + "fpn");
  };
  // The names of a classifier of timm: no prefix, and another word for the embedding of positions.
  auto const write_classifier = [&](Path const& path, std::string const& left_out) {
    io::Safetensors const file(weights);
    std::vector<io::Array> arrays;
    arrays.reserve(file.tensors().size());
    io::SafetensorsWriter classifier;
    for (auto const& [name, _] : file.tensors()) {
      std::string own = name.substr(std::min(prefix.size(), name.size()));
      if (own.starts_with("pos_embeder.")) own = "pos_embed." + own.substr(12);
      if (!is_backbone(name) || own == left_out) continue;
      classifier.add(own, arrays.emplace_back(file.array(name)));
    }
    classifier.write(path);
  };
  Path const classifier = folder / "classifier.safetensors";
  write_classifier(classifier, "");

  // Without learning, parameters stay as they were read; what is no backbone begins anew.
  std::filesystem::rename(weights, folder / "first.safetensors");
  Exit const exit = train({"--epochs", "1", "--lr", "0", "--seed", "1", "--backbone-weights", classifier.string()});
  ASSERT_EQ(exit.code, 0) << exit.err;
  io::Safetensors const first(folder / "first.safetensors"), second(weights);
  int same = 0, other = 0;
  for (auto const& [name, entry] : first.tensors()) {
    bool const is_buffer = name.find("running_") != std::string::npos || name.ends_with("num_batches_tracked");
    if (is_buffer) continue;
    bool const equal = first.array(name).bytes == second.array(name).bytes;
    EXPECT_TRUE(equal || !is_backbone(name)) << name;
    (is_backbone(name) ? same : other) += equal == is_backbone(name) ? 1 : 0;
  }
  EXPECT_GT(same, 30);
  EXPECT_GT(other, 5);

  std::filesystem::rename(weights, folder / "again.safetensors");
  std::filesystem::copy_file(folder / "first.safetensors", weights);
  write_classifier(classifier, "blocks.1.mlp.fc1.weight");
  Exit const incomplete = train({"--backbone-weights", classifier.string()});
  EXPECT_EQ(incomplete.code, 2);
  EXPECT_NE(incomplete.err.find("has no blocks.1.mlp.fc1.weight"), std::string::npos) << incomplete.err;
  write_classifier(classifier, "");
  Exit const wide = train({"--width", "32", "--backbone-weights", classifier.string()});
  EXPECT_EQ(wide.code, 2);
  EXPECT_NE(wide.err.find("of the shape "), std::string::npos) << wide.err;
}

TEST_F(TrainDetection, InBf16_TrainsNearlyAsInFp32_AndWeightsSayThePrecision) {
  generate("6", "2");
  auto const losses = [&](std::string const& precision) {
    Path const out = folder / precision;
    Exit const exit = train({"--epochs", "1", "--precision", precision, "--out", out.string()});
    EXPECT_EQ(exit.code, 0) << exit.err;
    EXPECT_EQ(io::Json::parse(text_of(out / "results.json"))["precision"], precision);
    auto const table = io::read_csv(out / "metrics.csv");
    std::vector<double> first;
    for (char const* const name : {"loss_anchor_class", "loss_anchor_box", "loss_class"}) {
      auto const column = std::ranges::find(table.columns, name) - table.columns.begin();
      first.push_back(std::stod(table.rows.at(0).at(std::size_t(column))));
    }
    return first;
  };
  auto const wide = losses("fp32"), narrow = losses("bf16");
  EXPECT_NE(narrow, wide);
  for (std::size_t i = 0; i < wide.size(); ++i) EXPECT_NEAR(narrow[i], wide[i], 0.03 * wide[i]) << i;
  Exit const judged =
      detect({"--data", (folder / "data").string(), "--weights", (folder / "bf16/weights.safetensors").string(),
              "--evaluate", "--out", (folder / "judged").string()});
  ASSERT_EQ(judged.code, 0) << judged.err;
  EXPECT_TRUE(text_of(folder / "judged/detections.json") == text_of(folder / "bf16/detections.json"));
}

TEST_F(TrainDetection, RefusesBadInputOfADetector) {
  auto const expect_refused = [](Exit const& exit, std::string const& words) {
    EXPECT_EQ(exit.code, 2) << exit.err;
    EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
    EXPECT_NE(exit.err.find(words), std::string::npos) << exit.err;
  };
  generate("4", "1");
  expect_refused(detect({}), "give --data FOLDER to train");
  expect_refused(detect({"--predict", (folder / "data").string()}), "--predict: give --weights");
  expect_refused(train({"--batch", "3", "--accumulate", "2"}), "--accumulate: give a divisor of the batch of 3, got 2");
  expect_refused(train({"--batch", "100"}), "--batch: give at most the ");
  expect_refused(train({"--width", "17"}), "--width: give a multiple of the 2 heads and of 4, got 17");
  expect_refused(detect({"--data", (folder / "nothing").string()}), "instances_train2017.json");
  expect_refused(train({"--backbone-weights", file("{}")}), "");
}

TEST_F(TrainDetection, HelpNamesItsFlags) {
  Exit const exit = programs::run(program, {"--help"});
  EXPECT_EQ(exit.code, 0);
  for (char const* const flag :
       {"--annotations", "--results", "--evaluate", "--out", "--generate", "--data", "--predict"}) {
    EXPECT_NE(exit.out.find(flag), std::string::npos) << flag;
  }
}

}  // namespace
