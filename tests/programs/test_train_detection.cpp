// train_detection: the figures of results that are given as files; bad input.
#include "attn/io/json.hpp"

#include "programs/program.hpp"

namespace attn::programs {
namespace {

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
  /// Discs of 28 x 28 in the place of garments.
  void write_tiny_garments() const {
    std::string disc, labels;
    for (int p = 0; p < 784; ++p) {
      double const y = p / 28 - 13.5, x = p % 28 - 13.5;
      disc += y * y + x * x < 150 ? '\x7f' : '\0';
    }
    for (char label = 0; label < 10; ++label) labels += label;
    std::string images;
    for (int i = 0; i < 10; ++i) images += disc;
    std::filesystem::create_directories(folder / "source");
    for (std::string const part : {"train", "t10k"}) {
      write(folder / ("source/" + part + "-images-idx3-ubyte"), idx({10, 28, 28}, images));
      write(folder / ("source/" + part + "-labels-idx1-ubyte"), idx({10}, labels));
    }
  }

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
  expect_refused(run({}), "give --annotations FILE --results FILE --evaluate, or --generate FOLDER");
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
  write_tiny_garments();
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

TEST_F(TrainDetection, HelpNamesItsFlagsAlone) {
  Exit const exit = programs::run(program, {"--help"});
  EXPECT_EQ(exit.code, 0);
  for (char const* const flag : {"--annotations", "--results", "--evaluate", "--out", "--generate"}) {
    EXPECT_NE(exit.out.find(flag), std::string::npos) << flag;
  }
  EXPECT_EQ(exit.out.find("--activation"), std::string::npos);
}

}  // namespace
}  // namespace attn::programs
