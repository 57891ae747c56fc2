#include "attn/data/retrieval.hpp"

#include <gtest/gtest.h>

#include "data/temporary_folder.hpp"

namespace {

using attn::testing::message_of;
using attn::testing::TemporaryFolder;
namespace data = attn::data;

TEST(Retrieval, PairsOfDocumentsAreRead) {
  TemporaryFolder const folder;
  for (char const* split : {"train", "eval", "test"}) {
    folder.write(std::string("lra_release/tsv_data/new_aan_pairs.") + split + ".tsv",
                 "1.0\t100\t200\t\"quoted\" text\tsecond\n0.0\t7\t8\t\tb\r\n");
  }
  auto const splits = data::load_retrieval(folder.path());
  check(splits.train, "test");
  ASSERT_EQ(splits.train.count(), 2u);
  EXPECT_EQ(splits.dev.labels, (std::vector<std::int32_t>{1, 0}));
  auto const text = [&](std::size_t i, std::size_t which) {
    auto const s = splits.test.sequence(i, which);
    return std::string(s.begin(), s.end());
  };
  EXPECT_EQ(text(0, 0), "\"quoted\" text");
  EXPECT_EQ(text(0, 1), "second");
  EXPECT_EQ(text(1, 0), "");  // an empty document
  EXPECT_EQ(text(1, 1), "b");
  EXPECT_EQ(splits.train.length, 4096u);
}

TEST(Retrieval, LongDocumentsAreCutAndCounted) {
  TemporaryFolder const folder;
  auto const file = folder.write("a.tsv", "1\t1\t2\t" + std::string(12000, 'x') + "\t" + std::string(4000, 'y') + "\n");
  auto const pairs = data::read_retrieval_tsv(file);
  EXPECT_EQ(pairs.sequence(0, 0).size(), 4000u);
  EXPECT_EQ(pairs.sequence(0, 1).size(), 4000u);
  EXPECT_EQ(pairs.truncated, 1u);
}

TEST(Retrieval, AMalformedLineIsNamed) {
  TemporaryFolder const folder;
  for (char const* line : {"", "1.0\t1\t2\ttext", "2.0\t1\t2\ta\tb", "x\t1\t2\ta\tb", "1.0\t1\t2\ta\tb\tc"}) {
    auto const file = folder.write("bad.tsv", std::string("0.0\t1\t2\ta\tb\n") + line + "\n");
    std::string const message = message_of<attn::Error>([&] { data::read_retrieval_tsv(file); });
    EXPECT_NE(message.find("bad.tsv', line 2"), std::string::npos) << message;
  }
  EXPECT_NE(message_of<attn::Error>([&] { data::read_retrieval_tsv(folder.write("e.tsv", "")); }).find("no pairs"),
            std::string::npos);
}

}  // namespace
