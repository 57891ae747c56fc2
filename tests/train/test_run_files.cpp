#include "attn/train/run_files.hpp"

#include "train/toy_task.hpp"

namespace {

using namespace attn;
using namespace attn::train;
using toy::Ctx;
using toy::Folder;

template <class Call>
std::string sentence_of(Call const& call) {
  try {
    call();
  } catch (Error const& error) {
    return error.what();
  }
  return "";
}

TEST(RunFiles, AreReadAsTheyWereWritten_WithTheSettingsOfTheFirstRun) {
  Folder const folder("run_files");
  Ctx ctx(5);
  toy::Task const task(ctx);
  RunFiles files(folder.path, {{"width", 7}});
  EXPECT_FALSE(files.has_checkpoint());
  EXPECT_NE(sentence_of([&] { files.read_record(); }).find("checkpoint.safetensors' to resume from"),
            std::string::npos);
  files.begin_log({"step"});
  files.log({{"step", 1}});
  files.save(ctx, {}, {{"mine", 3}});
  files.log({{"step", 2}});
  io::Json const record = files.read_record();
  EXPECT_EQ(record["mine"], 3);
  EXPECT_EQ(record["rows"], 1);

  RunFiles resumed(folder.path, {{"width", 7}});
  EXPECT_NO_THROW(resumed.load(ctx, {}));
  resumed.continue_log({"step"}, record["rows"].get<std::size_t>());
  resumed.log({{"step", 5}});
  EXPECT_EQ(io::read_csv(metrics_path(folder.path)).numbers("step"), (std::vector<double>{1, 5}));

  RunFiles const later(folder.path, {{"width", 7}, {"depth", 1}}, true, {{"depth", 1}}),
      deeper(folder.path, {{"width", 7}, {"depth", 2}}, true, {{"depth", 1}});
  EXPECT_NO_THROW(later.read_record());
  EXPECT_THROW(deeper.read_record(), Error);
  RunFiles const wider(folder.path, {{"width", 8}}), more(folder.path, {{"width", 7}, {"depth", 1}}),
      fewer(folder.path, io::Json::object());
  EXPECT_NE(sentence_of([&] { wider.read_record(); }).find("width is 8, but it was 7"), std::string::npos);
  EXPECT_NE(sentence_of([&] { more.read_record(); }).find("depth is 1, but it was not set"), std::string::npos);
  EXPECT_NE(sentence_of([&] { fewer.read_record(); }).find("width is not set, but it was 7"), std::string::npos);
}

TEST(RunFiles, OfANewRun_PutTheCheckpointOfAnotherAside) {
  Folder const folder("run_files_again");
  Ctx ctx(5);
  toy::Task const task(ctx);
  RunFiles first(folder.path, {});
  first.begin_log({"step"});
  first.save(ctx, {}, io::Json::object());
  RunFiles second(folder.path, {});
  second.begin_log({"step"});
  EXPECT_FALSE(second.has_checkpoint());
  EXPECT_TRUE(std::filesystem::exists(folder.path / "checkpoint.previous.safetensors"));
}

TEST(RunFiles, WithoutADirectory_KeepNothing) {
  Ctx ctx(5);
  RunFiles files("", {});
  EXPECT_FALSE(files.keep());
  files.begin_log({"step"});
  EXPECT_NO_THROW(files.log({{"step", 1}}));
  EXPECT_NO_THROW(files.save(ctx, {}, io::Json::object()));
  EXPECT_NE(sentence_of([&] { files.read_record(); }).find("directory"), std::string::npos);
}

}  // namespace
