#include "attn/data/text.hpp"

#include <gtest/gtest.h>

#include "data/temporary_folder.hpp"

namespace {

using attn::testing::message_of;
using attn::testing::TemporaryFolder;
namespace data = attn::data;

TEST(Text, FoldersOfReviewsAreReadByteByByte) {
  TemporaryFolder const folder;
  for (char const* split : {"train", "test"}) {
    folder.write(std::string("aclImdb/") + split + "/neg/0_2.txt", "bad <br />\n");
    folder.write(std::string("aclImdb/") + split + "/pos/0_9.txt", "gut \xc3\xa9");
    folder.write(std::string("aclImdb/") + split + "/pos/1_10.txt", "");
    folder.write(std::string("aclImdb/") + split + "/unsup/0_0.txt", "unlabelled");
  }
  auto const splits = data::load_text(folder.path());
  check(splits.train, "test");
  ASSERT_EQ(splits.train.count(), 3u);
  EXPECT_EQ(splits.train.labels, (std::vector<std::int32_t>{0, 1, 1}));
  auto const first = splits.train.sequence(0);
  EXPECT_EQ(std::string(first.begin(), first.end()), "bad <br />\n");
  EXPECT_EQ(splits.train.sequence(1).back() + splits.train.first_id, 0xa9 + 1);  // ids are bytes plus one
  EXPECT_TRUE(splits.train.sequence(2).empty());
  EXPECT_EQ(splits.dev.tokens, splits.test.tokens);
  EXPECT_EQ(splits.train.length, 1024u);
}

TEST(Text, LongReviewsAreCutAndCounted) {
  TemporaryFolder const folder;
  folder.write("neg/0_1.txt", std::string(1001, 'a'));
  folder.write("pos/0_9.txt", std::string(1000, 'b'));
  auto const reviews = data::read_text_folder(folder.path());
  EXPECT_EQ(reviews.sequence(0).size(), 1000u);
  EXPECT_EQ(reviews.truncated, 1u);
  auto const longer = data::read_text_folder(folder.path(), {.limit = 4000, .padding = 96});
  EXPECT_EQ(longer.truncated, 0u);
  EXPECT_EQ(longer.length, 4096u);
}

TEST(Text, AMissingOrEmptyFolderIsNamed) {
  TemporaryFolder const folder;
  EXPECT_NE(message_of<attn::Error>([&] { data::load_text(folder.path()); }).find("train"), std::string::npos);
  folder.write("train/neg/0_1.txt", "a");
  EXPECT_NE(message_of<attn::Error>([&] { data::load_text(folder.path()); }).find("pos"), std::string::npos);
  std::filesystem::create_directories(folder / "train/pos");
  EXPECT_NE(message_of<attn::Error>([&] { data::load_text(folder.path()); }).find("no .txt"), std::string::npos);
}

}  // namespace
