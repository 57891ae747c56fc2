// train_vision on data sets as they are published: ImageNet's and Tiny-ImageNet's folders, with grey and CMYK pictures
// and a PNG called JPEG among them, and CIFAR's binary files.
#include "attn/io/csv.hpp"
#include "attn/io/json.hpp"
#include "attn/io/npy.hpp"

#include <algorithm>
#include <fstream>

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;

std::string const program = ATTN_TRAIN_VISION;

class TrainVisionFolders : public ::testing::Test {
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
    return programs::run(program, merged(all, more));
  }
  io::Json result(std::string const& out) const {
    return io::Json::parse(text_of(folder / out / "results.json")).at("runs").at(0);
  }
  /// Exit code 2 and one line that holds all `words`.
  void expect_refused(std::vector<std::string> const& more, std::vector<std::string> const& words) const {
    SCOPED_TRACE(words.front());
    Exit const exit = run(more, "refused");
    EXPECT_EQ(exit.code, 2) << exit.err;
    EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
    for (auto const& word : words) EXPECT_NE(exit.err.find(word), std::string::npos) << exit.err;
  }

  struct Counts {
    int train, test, classes;
  };
  /// Trains on a data set in the folder `name`, by looking at it and by its name, and judges the weights on it again.
  void expect_data_set(Path const& where, std::string const& name, Counts const& counts) const {
    SCOPED_TRACE(where.string());
    std::vector<std::string> const flags = {"--data", where.string(), "--epochs", "1", "--batch", "8"};
    Exit const exit = run(flags, name);
    ASSERT_EQ(exit.code, 0) << exit.err;
    EXPECT_EQ(result(name).at("train_images"), counts.train);
    EXPECT_EQ(result(name).at("test_images"), counts.test);
    EXPECT_EQ(result(name).at("classes"), counts.classes);
    auto named = flags;
    named.insert(named.end(), {"--dataset", name});
    ASSERT_EQ(run(named, "named").code, 0);
    EXPECT_EQ(result("named").at("test_loss"), result(name).at("test_loss"));
    Exit const judged = programs::run(
        program, {"--data", where.string(), "--evaluate", "--weights", (folder / name / "weights.safetensors").string(),
                  "--out", (folder / "judged").string()});
    ASSERT_EQ(judged.code, 0) << judged.err;
    EXPECT_EQ(result("judged").at("test_loss"), result(name).at("test_loss"));
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

TEST_F(TrainVisionFolders, AreThoseOfTinyImageNet) {
  // The pictures of ImageNet's layout in Tiny-ImageNet's own.
  Path const tiny = folder / "tiny";
  std::filesystem::create_directories(tiny / "val" / "images");
  std::string ids, annotations;
  for (auto const& entry : std::filesystem::directory_iterator(data() / "train")) {
    std::string const id = entry.path().filename().string();
    ids = id + "\n" + ids;
    std::filesystem::create_directories(tiny / "train" / id);
    std::filesystem::rename(entry.path(), tiny / "train" / id / "images");
    for (auto const& picture : std::filesystem::directory_iterator(data() / "val" / id)) {
      std::string const name = picture.path().filename().string();
      std::filesystem::copy(picture.path(), tiny / "val" / "images" / name);
      annotations += name + "\t" + id + "\t0\t0\t62\t62\n";
    }
  }
  write(tiny / "wnids.txt", ids);
  write(tiny / "val" / "val_annotations.txt", annotations);
  expect_data_set(tiny, "tiny-imagenet", {.train = 32, .test = 12, .classes = 4});
  Path const pictures = tiny / "val" / "images";
  Exit const asked = programs::run(program, {"--weights", (folder / "tiny-imagenet/weights.safetensors").string(),
                                             "--predict", pictures.string(), "--out", (folder / "answers").string()});
  ASSERT_EQ(asked.code, 0) << asked.err;
  auto const table = io::read_csv(folder / "answers" / "predictions.csv");
  ASSERT_EQ(table.rows.size(), 12u);
  EXPECT_TRUE(ids.find(table.rows[0][1] + "\n") != std::string::npos) << table.rows[0][1];
  write(tiny / "val" / "val_annotations.txt", annotations + "val_0.JPEG\tn00000000\t0\t0\t62\t62\n");
  expect_refused({"--data", tiny.string()}, {"val_annotations.txt", "line 13", "'n00000000' is no class"});
}

/// CIFAR's records: the labels, then 32 x 32 numbers of each color.
std::string cifar_file(int images, int classes) {
  std::string bytes;
  for (int i = 0; i < images; ++i) {
    int const label = i * 7 % classes;
    if (classes == 100) bytes += static_cast<char>(label / 5);
    bytes += static_cast<char>(label);
    for (int p = 0; p < 3 * 1024; ++p) bytes += static_cast<char>((p * (label + 1) + i) % 251);
  }
  return bytes;
}

TEST_F(TrainVisionFolders, AreThoseOfCifar) {
  Path const ten = folder / "ten" / "cifar-10-batches-bin", hundred = folder / "hundred";
  std::filesystem::create_directories(ten);
  std::filesystem::create_directories(hundred);
  for (int i = 1; i <= 5; ++i) write(ten / ("data_batch_" + std::to_string(i) + ".bin"), cifar_file(4, 10));
  write(ten / "test_batch.bin", cifar_file(11, 10));
  write(ten / "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
  expect_data_set(folder / "ten", "cifar", {.train = 20, .test = 11, .classes = 10});
  Exit const asked = programs::run(program, {"--weights", (folder / "cifar/weights.safetensors").string(), "--predict",
                                             (data() / "val").string(), "--out", (folder / "answers").string()});
  ASSERT_EQ(asked.code, 0) << asked.err;
  EXPECT_EQ(io::read_npy(folder / "answers" / "logits.npy").shape, (io::Shape{12, 10}));

  write(hundred / "train.bin", cifar_file(20, 100));
  write(hundred / "test.bin", cifar_file(11, 100));
  std::string const weights_of_ten = (folder / "cifar/weights.safetensors").string();
  expect_refused({"--data", hundred.string(), "--weights", weights_of_ten, "--evaluate"}, {"10 classes", "100"});
  expect_data_set(hundred, "cifar", {.train = 20, .test = 11, .classes = 100});
  write(hundred / "test.bin", cifar_file(11, 100).substr(1));
  expect_refused({"--data", hundred.string()}, {"test.bin", "truncated"});
}

TEST_F(TrainVisionFolders, FoldersThatAreNoDataSetAreRefusedByASentence) {
  auto const in_train = [&](char const* name) { return data() / "train" / name; };
  std::string const id = first_picture("train").parent_path().filename().string();
  std::filesystem::create_directory(in_train("n99999999"));
  expect_refused({}, {"without a picture", "n99999999"});
  std::filesystem::create_directory(in_train("n99999999") / "inner");
  expect_refused({}, {"n99999999", "'inner'"});
  std::filesystem::remove_all(in_train("n99999999"));
  std::filesystem::rename(data() / "val" / id, data() / "val" / "other");
  expect_refused({}, {"only in train: " + id, "only in val: other"});
  for (auto const& entry : std::filesystem::directory_iterator(data() / "train")) {
    if (entry.path().filename() != id) std::filesystem::remove_all(entry.path());
  }
  expect_refused({}, {"at least two classes", id});
  std::filesystem::remove_all(data() / "train");
  std::filesystem::create_directory(data() / "train");
  expect_refused({"--dataset", "imagefolder"}, {"train", "no folder"});
  expect_refused({"--dataset", "tiny-imagenet"}, {"wnids.txt"});
  expect_refused({"--dataset", "cifar"}, {"data_batch_1.bin"});
  std::filesystem::remove_all(data());
  std::filesystem::create_directory(data());
  expect_refused({}, {"has none of them"});
}

/// A grey PNG that says this side and holds a single pixel.
std::string png_of_a_pixel(std::uint32_t side) {
  std::string png("\x89PNG\r\n\x1a\n", 8);
  auto const number = [](unsigned long value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
    return bytes;
  };
  auto const chunk = [&](std::string const& body) {
    auto const crc = ::crc32(0, reinterpret_cast<Bytef const*>(body.data()), static_cast<uInt>(body.size()));
    png += number(body.size() - 4) + body + number(crc);
  };
  chunk("IHDR" + number(side) + number(side) + std::string("\x08\0\0\0\0", 5));
  std::string packed(64, '\0');
  uLongf size = packed.size();
  ::compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<Bytef const*>("\0\x80"), 2);
  chunk("IDAT" + packed.substr(0, size));
  chunk("IEND");
  return png;
}

TEST_F(TrainVisionFolders, PicturesThatAreNoneOrOfUnusualSizes) {
  Path const first = first_picture("train"), other = first.parent_path() / "a.jpg";
  write(other, "This is no picture.\n");
  expect_refused({}, {"a.jpg"});
  write(other, png_of_a_pixel(20000));
  expect_refused({}, {"a.jpg", "20000 x 20000"});
  write(other, png_of_a_pixel(1));
  Exit const exit = run({"--epochs", "1", "--batch", "8"});
  EXPECT_EQ(exit.code, 0) << exit.err;
}

}  // namespace
