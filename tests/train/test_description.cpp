#include "attn/train/description.hpp"

#include <gtest/gtest.h>

#include "train/toy_task.hpp"

namespace {

using namespace attn;
using namespace attn::train;

struct File {
  toy::Folder folder{"description"};
  io::Path path = folder.path / "w.safetensors";

  explicit File(io::Metadata metadata) {
    io::SafetensorsWriter file;
    file.metadata = std::move(metadata);
    file.write(path);
  }
};

std::string message_of(io::Metadata metadata) {
  File const file(std::move(metadata));
  try {
    read_description(file.path, "train_toy");
  } catch (Error const& error) {
    std::string const message = error.what(), start = "--weights: '" + file.path.string() + "' ";
    EXPECT_TRUE(message.starts_with(start)) << message;
    return message.substr(start.size());
  }
  return "";
}

TEST(Description, IsReadAsItWasWritten) {
  io::Json const model = {{"activation", "poly"}, {"power", 3}, {"patch", {2, 2}}};
  File const file(describe_model("train_toy", model));
  EXPECT_EQ(read_description(file.path, "train_toy"), model);
}

TEST(Description, OfAFileThatHasNone_IsNone_AndOldKeysAreRead) {
  EXPECT_EQ(read_description(File(io::Metadata{{"format", "pt"}}).path, "train_toy"), std::nullopt);
  EXPECT_EQ(read_description(File(io::Metadata{{"attn.train_toy", R"({"power": 5})"}}).path, "train_toy"),
            (io::Json{{"power", 5}}));
}

TEST(Description, OfANewerVersion_IsRefused) {
  EXPECT_EQ(
      message_of({{description_key, R"({"version": 2, "program": "train_toy", "model": {}, "more": 1})"}}),
      "describes itself in version 2 of the format, this program knows 1; use the program that wrote it, or a newer "
      "one");
}

TEST(Description, ThatIsNone_IsOneSentence) {
  for (char const* const text : {"", "[]", "null", "{", "{\"x\": 5e5455}", "\xff\xfe"}) {
    EXPECT_EQ(message_of({{description_key, text}}), "describes itself by what is no JSON object") << text;
    EXPECT_EQ(message_of({{"attn.train_toy", text}}), "describes itself by what is no JSON object") << text;
  }
  for (char const* const text : {"{}", R"({"version": "1"})", R"({"version": 0})", R"({"version": -1})",
                                 R"({"version": 1.5})", R"({"version": null})"}) {
    EXPECT_EQ(message_of({{description_key, text}}), "describes itself without a version of the format") << text;
  }
  for (char const* const text : {R"({"version": 1})", R"({"version": 1, "program": 7, "model": {}})",
                                 R"({"version": 1, "program": "train_toy", "model": []})"}) {
    EXPECT_EQ(message_of({{description_key, text}}), "describes itself wrongly: give it a program and a model") << text;
  }
  EXPECT_EQ(message_of(describe_model("train_other", io::Json::object())), "belongs to train_other, not to train_toy");
}

}  // namespace
