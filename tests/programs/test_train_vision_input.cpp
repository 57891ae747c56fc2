// train_vision and bad input: one line, exit code 2, nothing lost.
#include "attn/io/csv.hpp"
#include "attn/io/json.hpp"
#include "attn/io/safetensors.hpp"

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;

std::string const program = ATTN_TRAIN_VISION;

class TrainVisionInput : public ::testing::Test {
 protected:
  TrainVisionInput() { write_tiny_images(folder); }

  Exit run(Arguments const& more, Surroundings const& surroundings = {}) const {
    Arguments const flags = {"--data",   folder.path.string(),
                             "--out",    (folder / "run").string(),
                             "--patch",  "4",
                             "--width",  "16",
                             "--depth",  "1",
                             "--heads",  "2",
                             "--batch",  "16",
                             "--epochs", "1"};
    return programs::run(program, merged(flags, more), surroundings);
  }

  /// Exit code 2 and one line that holds all `words`.
  void expect_refused(Arguments const& more, std::vector<std::string> const& words,
                      Surroundings const& surroundings = {}) const {
    SCOPED_TRACE(more.empty() ? "" : more.front() + " " + more.back());
    Exit const exit = run(more, surroundings);
    EXPECT_EQ(exit.code, 2) << exit.err;
    EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
    EXPECT_TRUE(exit.err.starts_with("train_vision: ")) << exit.err;
    for (auto const& word : words) EXPECT_NE(exit.err.find(word), std::string::npos) << exit.err;
  }

  std::string file(std::string const& name, std::string const& bytes) const {
    write(folder / name, bytes);
    return (folder / name).string();
  }

  Folder folder;
};

TEST_F(TrainVisionInput, FlagsThatMakeNoSense) {
  expect_refused({"--activaton", "softmax"}, {"--activaton", "--activation"});
  expect_refused({"--activation", "sofmax"}, {"--activation", "sofmax", "softmax"});
  expect_refused({"--power", "7"}, {"--power", "7"});
  expect_refused({"--power", "three"}, {"--power", "three"});
  expect_refused({"--scale", "dynamc"}, {"--scale", "dynamic"});
  expect_refused({"--heads", "3"}, {"heads", "16", "3"});
  expect_refused({"--patch", "3"}, {"patch", "3"});
  expect_refused({"--patch", "4by4"}, {"--patch", "4by4"});
  expect_refused({"--epochs", "0"}, {"--epochs"});
  expect_refused({"--batch", "97"}, {"97", "96"});
  expect_refused({"--lr", "nan"}, {"--lr"});
  expect_refused({"--train-limit", "1000"}, {"96", "1000"});
  expect_refused({"--evaluate"}, {"--weights"});
  expect_refused({"--demo", "--activation", "poly"}, {"--demo"});
  expect_refused({"stray"}, {"stray"});
  expect_refused({"--beta2", "1"}, {"--beta2", "from 0 to below 1", "'1'"});
  expect_refused({"--ema", "1"}, {"--ema", "from 0 to below 1", "'1'"});
  expect_refused({"--train-limit", "-1"}, {"--train-limit", "'-1'"});
  expect_refused({"--test-limit", "-1"}, {"--test-limit", "'-1'"});
  expect_refused({"--accumulate", "3"}, {"--accumulate", "divisor of the batch of 16"});
  expect_refused({"--eval-every", "0"}, {"--eval-every", "10m", "'0'"});
  expect_refused({"--checkpoint-every", "often"}, {"--checkpoint-every", "'often'"});
  expect_refused({"--out", ""}, {"--out", "''"});
  expect_refused({"--threads", "513"}, {"--threads", "512", "513"});
}

TEST_F(TrainVisionInput, SizesThatCannotBeMeant) {
  expect_refused({"--width", "65536", "--depth", "1000"}, {"parameters", "PB", "--insist"}, small_machine);
  expect_refused({"--batch", "96", "--mlp-ratio", "100", "--width", "65536"}, {"GB", "--insist"}, small_machine);
  expect_refused({"--train-images", "/dev/zero"}, {"/dev/zero", "regular file"});
}

TEST_F(TrainVisionInput, DataThatIsMissingOrBroken) {
  std::string const images = text_of(folder / "train-images-idx3-ubyte");
  std::string const labels = text_of(folder / "train-labels-idx1-ubyte");
  expect_refused({"--train-images", (folder / "nowhere").string()}, {"nowhere"});
  expect_refused({"--data", (folder / "nowhere").string()}, {"nowhere"});
  expect_refused({"--train-images", file("short", images.substr(0, 1000))}, {"short", "truncated"});
  expect_refused({"--train-images", file("header", images.substr(0, 9))}, {"header", "truncated"});
  expect_refused({"--train-images", file("empty", "")}, {"empty"});
  expect_refused({"--train-images", file("false.gz", "not gzip at all")}, {"false.gz"});
  write_gz(folder / "cut.gz", images);
  std::string const zipped = text_of(folder / "cut.gz");
  expect_refused({"--train-images", file("cut.gz", zipped.substr(0, zipped.size() / 2))}, {"cut.gz", "truncated"});
  expect_refused({"--train-images", (folder / "train-labels-idx1-ubyte").string()}, {"labels"});
  expect_refused({"--train-labels", file("fewer", idx({5}, std::string(5, '\1')))}, {"96", "5"});
  expect_refused({"--test-labels", file("beyond", idx({40}, std::string(40, '\3')))}, {"label 3", "3 classes"});
  expect_refused({"--classes", "2"}, {"label 2", "2 classes"});
  expect_refused({"--test-images", file("size", idx({40, 4, 4}, std::string(640, '\1')))}, {"4 x 4", "8 x 8"});
}

TEST_F(TrainVisionInput, ADirectoryThatCannotBeWritten) {
  std::string const in_the_way = file("in_the_way", "x");
  expect_refused({"--out", in_the_way}, {in_the_way});
  expect_refused({"--out", in_the_way + "/run"}, {in_the_way});
  expect_refused({"--out", "/proc/attn"}, {"/proc/attn"});
}

TEST_F(TrainVisionInput, AFullDisk_LosesNothingThatWasWritten) {
  ASSERT_EQ(run({"--epochs", "2"}).code, 0);
  std::string const weights = text_of(folder / "run" / "weights.safetensors");
  std::string const results = text_of(folder / "run" / "results.json");
  Exit const exit = run({"--epochs", "2"}, {.largest_file = 10000});
  EXPECT_EQ(exit.code, 1) << exit.err;
  EXPECT_NE(exit.err.find("checkpoint.safetensors"), std::string::npos) << exit.err;
  EXPECT_EQ(text_of(folder / "run" / "weights.safetensors"), weights);
  EXPECT_EQ(text_of(folder / "run" / "results.json"), results);
  EXPECT_GT(io::read_csv(folder / "run" / "metrics.csv").rows.size(), 0u);
  EXPECT_NO_THROW(io::Safetensors(folder / "run" / "checkpoint.previous.safetensors"));
}

TEST_F(TrainVisionInput, ADirectoryThatAnotherRunUses) {
  Path const out = folder / "run";
  Child first(program, {"--data", folder.path.string(), "--out", out.string(), "--patch", "4", "--width", "16",
                        "--depth", "1", "--heads", "2", "--batch", "16", "--epochs", "1000000"});
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(out / "metrics.csv"); }));
  expect_refused({}, {"another run uses", out.string()});
  first.signal(SIGKILL);
  EXPECT_EQ(first.wait().code, 128 + SIGKILL);
  EXPECT_EQ(run({}).code, 0) << "the lock of a run that is dead";
}

TEST_F(TrainVisionInput, EvaluationLeavesRunsAsTheyAre) {
  ASSERT_EQ(run({}).code, 0);
  std::string const results = text_of(folder / "run" / "results.json");
  expect_refused({"--weights", (folder / "run/weights.safetensors").string(), "--evaluate"}, {"--evaluate", "--out"});
  EXPECT_EQ(text_of(folder / "run" / "results.json"), results);
}

TEST_F(TrainVisionInput, WeightsThatDescribeThemselvesWrongly) {
  ASSERT_EQ(run({"--activation", "poly"}).code, 0);
  io::Safetensors const good(folder / "run" / "weights.safetensors");
  std::string const key = "attn.description", text = good.metadata().at(key);
  std::vector<io::Array> arrays;
  for (auto const& [name, _] : good.tensors()) arrays.push_back(good.array(name));
  // The description with one field replaced.
  auto const changed = [&](char const* field, io::Json const& value) {
    io::Json description = io::Json::parse(text);
    description["model"][field] = value;
    io::SafetensorsWriter writer;
    writer.metadata[key] = description.dump();
    std::size_t i = 0;
    for (auto const& [name, _] : good.tensors()) writer.add(name, arrays[i++]);
    writer.write(folder / "changed.safetensors");
    return Arguments{"--weights", (folder / "changed.safetensors").string(), "--evaluate"};
  };
  auto const refused = [&](char const* field, io::Json const& value) {
    Arguments arguments = changed(field, value);
    arguments.insert(arguments.end(), {"--data", folder.path.string()});
    Exit const exit = programs::run(program, arguments);  // without flags of the model
    EXPECT_EQ(exit.code, 2) << field << " " << value << " " << exit.err;
    EXPECT_EQ(exit.lines_of_err(), 1u) << exit.err;
    EXPECT_NE(exit.err.find(field), std::string::npos) << exit.err;
  };
  for (io::Json const& power : {io::Json(-1), io::Json(0), io::Json(1e300), io::Json(1.5), io::Json(1ll << 40)}) {
    refused("power", power);
  }
  refused("activation", "sofmax");
  refused("heads", 0);
  refused("depth", "1");
  refused("patch", {1, -1});
  refused("patch", 4);
  refused("mlp_ratio", {1});
  refused("mean", "dark");
  refused("deviation", {"1"});
  refused("factor", "much");
  EXPECT_EQ(programs::run(program, {"--weights", (folder / "run/weights.safetensors").string(), "--evaluate", "--data",
                                    folder.path.string()})
                .code,
            0);
  expect_refused({"--weights", (folder / "run/weights.safetensors").string(), "--evaluate", "--out",
                  (folder / "judged").string(), "--activation", "relu"},
                 {"--activation", "\"poly\"", "\"relu\""});
}

TEST_F(TrainVisionInput, ResumingWhatIsNotThere) {
  expect_refused({"--resume"}, {"checkpoint.safetensors"});
  ASSERT_EQ(run({}).code, 0);
  expect_refused({"--resume", "--width", "32"}, {"width", "16", "32"});
  expect_refused({"--resume", "--seed", "1"}, {"seed"});
  // The checkpoint knows its model: the flags of the recipe are enough.
  Exit const bare = programs::run(program, {"--data", folder.path.string(), "--out", (folder / "run").string(),
                                            "--batch", "16", "--epochs", "1", "--resume"});
  EXPECT_EQ(bare.code, 0) << bare.err;
  std::string const checkpoint = text_of(folder / "run" / "checkpoint.safetensors");
  flip_a_bit(folder / "run" / "checkpoint.safetensors");
  expect_refused({"--resume"}, {"checkpoint.safetensors", "was damaged since it was written"});
  write(folder / "run" / "checkpoint.safetensors", checkpoint.substr(0, checkpoint.size() / 2));
  expect_refused({"--resume"}, {"checkpoint.safetensors"});
}

TEST_F(TrainVisionInput, WeightsThatDoNotFit) {
  ASSERT_EQ(run({}).code, 0);
  io::Safetensors const good(folder / "run" / "weights.safetensors");
  // The weights with one tensor replaced, or left out where there is no new name.
  auto const changed = [&](std::string const& name, std::string const& new_name, io::Array const& array) {
    io::SafetensorsWriter writer;
    std::vector<io::Array> arrays;
    arrays.reserve(good.tensors().size());
    for (auto const& [old_name, _] : good.tensors()) {
      if (old_name != name) writer.add(old_name, arrays.emplace_back(good.array(old_name)));
    }
    if (!new_name.empty()) writer.add(new_name, array);
    writer.write(folder / "changed.safetensors");
    return Arguments{"--evaluate", "--weights", (folder / "changed.safetensors").string(), "--out",
                     (folder / "judged").string()};
  };
  io::Array const bias = good.array("head.bias");
  EXPECT_EQ(run(changed("head.bias", "head.bias", bias)).code, 0);
  expect_refused(changed("head.bias", "head.bais", bias), {"head.bias", "head.bais"});
  expect_refused(changed("head.bias", "", bias), {"head.bias"});
  expect_refused(changed("", "head.more", bias), {"head.more"});
  expect_refused(changed("head.bias", "head.bias", {bias.dtype, {1, 3}, bias.bytes}), {"head.bias", "(1, 3)", "(3)"});
  expect_refused(changed("head.bias", "head.bias", {io::DType::i32, {3}, bias.bytes}), {"head.bias", "I32"});

  auto const evaluate = [&](std::string const& bytes) {
    return Arguments{"--evaluate", "--weights", file("broken.safetensors", bytes), "--out",
                     (folder / "judged").string()};
  };
  std::string const bytes = text_of(folder / "run" / "weights.safetensors");
  expect_refused(evaluate(""), {"broken.safetensors"});
  expect_refused(evaluate("hello"), {"broken.safetensors"});
  expect_refused(evaluate(bytes.substr(0, bytes.size() - 1)), {"broken.safetensors"});
  expect_refused(evaluate(bytes + "x"), {"broken.safetensors"});
  expect_refused(evaluate(std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + bytes.substr(8)), {"header"});
  std::string const overlapping =
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  expect_refused(
      evaluate(std::string(1, static_cast<char>(overlapping.size())) + std::string(7, '\0') + overlapping + "abcd"),
      {"overlap"});
  expect_refused({"--evaluate", "--weights", (folder / "nowhere").string()}, {"nowhere"});
}

}  // namespace
