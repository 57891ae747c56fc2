// train_vision on pictures in folders, in exactly ImageNet's layout: grey, CMYK and a PNG called JPEG among them.
#include "attn/io/csv.hpp"
#include "attn/io/json.hpp"
#include "attn/io/npy.hpp"

#include <algorithm>
#include <fstream>

#include "programs/program.hpp"

namespace attn::programs {
namespace {

std::string const program = ATTN_TRAIN_VISION;

class TrainVisionFolders : public testing::Test {
 protected:
  Folder folder;

  TrainVisionFolders() {
    Exit const made = programs::run(ATTN_MAKE_IMAGE_NET, {data().string(), "4", "8", "3", "60"});
    EXPECT_EQ(made.code, 0) << made.err;
  }
  std::filesystem::path data() const { return folder / "imagenet"; }

  Exit run(std::vector<std::string> const& more, std::string const& out = "run") const {
    std::vector<std::string> all = {"--data",       data().string(),
                                    "--model",      "deit_micro",
                                    "--image-size", "16",
                                    "--width",      "16",
                                    "--heads",      "2",
                                    "--depth",      "1",
                                    "--threads",    "1",
                                    "--out",        (folder / out).string()};
    all.insert(all.end(), more.begin(), more.end());
    return programs::run(program, all);
  }
  io::Json result(std::string const& out) const {
    return io::Json::parse(text_of(folder / out / "results.json")).at("runs").at(0);
  }
  std::filesystem::path first_picture(char const* part) const {
    std::vector<std::filesystem::path> all;
    for (auto const& entry : std::filesystem::recursive_directory_iterator(data() / part)) {
      if (entry.is_regular_file()) all.push_back(entry.path());
    }
    return *std::min_element(all.begin(), all.end());
  }
};

TEST_F(TrainVisionFolders, TrainByARecipeAndAnswerByNames) {
  std::vector<std::string> const recipe = {"--recipe", "deit", "--epochs", "2", "--batch", "8",
                                           "--warmup", "1",    "--seed",   "3", "--lr",    "1e-2"};
  Exit const trained = run(recipe);
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_EQ(result("run").at("train_images"), 32);
  auto few = recipe;
  few.insert(few.end(), {"--train-limit", "10", "--test-limit", "5"});
  Exit const limited = run(few, "few");
  ASSERT_EQ(limited.code, 0) << limited.err;
  EXPECT_EQ(result("few").at("train_images"), 10);
  EXPECT_EQ(result("few").at("test_images"), 5);

  auto workers = recipe;
  workers.insert(workers.end(), {"--workers", "3"});
  ASSERT_EQ(run(workers, "workers").code, 0);
  EXPECT_EQ(result("run").at("test_loss"), result("workers").at("test_loss"));

  std::string const weights = (folder / "run" / "weights.safetensors").string();
  Exit const judged = programs::run(
      program, {"--data", data().string(), "--weights", weights, "--evaluate", "--out", (folder / "judged").string()});
  ASSERT_EQ(judged.code, 0) << judged.err;
  EXPECT_EQ(result("judged").at("test_loss"), result("run").at("test_loss"));

  Exit const asked = programs::run(
      program, {"--weights", weights, "--predict", (data() / "val").string(), "--out", (folder / "answers").string()});
  ASSERT_EQ(asked.code, 0) << asked.err;
  EXPECT_EQ(io::read_npy(folder / "answers" / "logits.npy").shape, (io::Shape{12, 4}));
  io::CsvTable const table = io::read_csv(folder / "answers" / "predictions.csv");
  EXPECT_EQ(table.columns, (std::vector<std::string>{"file", "class", "probability"}));
  EXPECT_EQ(table.rows.size(), 12u);
}

TEST_F(TrainVisionFolders, ARunThatIsKilledAndResumed_GivesTheBitsOfOneThatIsNot) {
  std::vector<std::string> flags = {"--recipe", "deit", "--epochs", "30", "--batch", "8", "--checkpoint-every", "5"};
  ASSERT_EQ(run(flags, "whole").code, 0);
  auto killed = flags;
  killed.insert(killed.end(),
                {"--data", data().string(), "--model", "deit_micro", "--image-size", "16", "--width", "16", "--heads",
                 "2", "--depth", "1", "--threads", "1", "--out", (folder / "parts").string()});
  Child child(program, killed);
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(folder / "parts/checkpoint.safetensors"); }));
  child.signal(SIGKILL);
  Exit const end = child.wait();
  flags.insert(flags.end(), {"--workers", "3", "--resume"});
  if (end.code != 0) {
    ASSERT_EQ(run(flags, "parts").code, 0);
  }
  for (std::string const file : {"weights.safetensors", "average.safetensors"}) {
    EXPECT_EQ(text_of(folder / "parts" / file), text_of(folder / "whole" / file)) << file;
  }
}

TEST_F(TrainVisionFolders, AFewPictures_AreOfAllClasses) {
  Exit const trained = run({"--epochs", "1", "--batch", "4", "--train-limit", "8", "--test-limit", "4"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_EQ(result("run").at("train_images"), 8);
  EXPECT_EQ(result("run").at("test_images"), 4);

  // Weights of four classes on a folder of three.
  std::filesystem::remove_all(first_picture("train").parent_path());
  std::filesystem::remove_all(first_picture("val").parent_path());
  std::string const weights = (folder / "run" / "weights.safetensors").string();
  Exit const other = run({"--weights", weights, "--evaluate"}, "judged");
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("(4)"), std::string::npos) << other.err;
  EXPECT_NE(other.err.find("--classes 3"), std::string::npos) << other.err;
}

TEST_F(TrainVisionFolders, APictureThatCannotBeReadStopsTheRunOrIsCounted) {
  auto const broken = first_picture("train");
  std::filesystem::resize_file(broken, std::filesystem::file_size(broken) / 2);
  std::vector<std::string> const little = {"--epochs", "1", "--batch", "8"};
  Exit const stopped = run(little);
  EXPECT_EQ(stopped.code, 2);
  EXPECT_NE(stopped.err.find(broken.filename().string()), std::string::npos) << stopped.err;
  auto skipping = little;
  skipping.push_back("--skip-unreadable");
  Exit const skipped = run(skipping, "skipped");
  EXPECT_EQ(skipped.code, 0) << skipped.err;
  EXPECT_EQ(result("skipped").at("unreadable_images"), 1);
  EXPECT_NE(skipped.err.find(broken.filename().string()), std::string::npos) << skipped.err;
}

TEST_F(TrainVisionFolders, FoldersThatAreNoDataSetAreRefusedByASentence) {
  std::filesystem::rename(data() / "val" / first_picture("val").parent_path().filename(), data() / "val" / "other");
  Exit const unlike = run({"--epochs", "1"});
  EXPECT_EQ(unlike.code, 2);
  EXPECT_NE(unlike.err.find("other"), std::string::npos) << unlike.err;
  std::filesystem::remove_all(data() / "train");
  std::filesystem::create_directory(data() / "train");
  Exit const none = run({"--dataset", "imagefolder", "--epochs", "1"});
  EXPECT_EQ(none.code, 2);
  EXPECT_EQ(none.lines_of_err(), 1u) << none.err;
}

}  // namespace
}  // namespace attn::programs
