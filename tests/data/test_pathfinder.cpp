#include "attn/data/pathfinder_generator.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "data/temporary_folder.hpp"

namespace {

using attn::RandomKey;
using attn::data::Sequences;
using attn::testing::message_of;
using attn::testing::TemporaryFolder;
namespace data = attn::data;

TEST(Pathfinder, AFolderOfTheReleaseReadsBack) {
  TemporaryFolder const folder;
  Sequences const written = data::generate_pathfinder(30, RandomKey{.seed = 1});
  auto const difficulty = folder / "lra_release/pathfinder32/curv_contour_length_14";
  data::write_pathfinder_folder(difficulty, written);
  Sequences const read = data::read_pathfinder_folder(difficulty);
  check(read, "test");
  EXPECT_EQ(read.tokens, written.tokens);
  EXPECT_EQ(read.labels, written.labels);

  auto const splits = data::load_pathfinder(folder.path(), RandomKey{.seed = 2});
  EXPECT_EQ(splits.train.count(), 24u);
  EXPECT_EQ(splits.dev.count(), 3u);
  EXPECT_EQ(splits.test.count(), 3u);
  EXPECT_EQ(data::load_pathfinder(difficulty, RandomKey{.seed = 2}).test.tokens, splits.test.tokens);
}

TEST(Pathfinder, EmptyAndUnreadableImagesAreSkippedAndCounted) {
  TemporaryFolder const folder;
  Sequences const written = data::generate_pathfinder(5, RandomKey{.seed = 1});
  data::write_pathfinder_folder(folder.path(), written);
  folder.write("imgs/0/sample_1.png", "");
  auto const whole = data::read_bytes(folder / "imgs/0/sample_2.png");
  folder.write("imgs/0/sample_2.png", std::string(whole.begin(), whole.begin() + std::ptrdiff_t(whole.size() / 2)));
  folder.write("imgs/0/sample_3.png", "this is text");
  Sequences const read = data::read_pathfinder_folder(folder.path());
  EXPECT_EQ(read.count(), 2u);
  EXPECT_EQ(read.skipped, 3u);
  EXPECT_EQ(read.labels[1], written.labels[4]);
}

TEST(Pathfinder, AMalformedLineOfTheMetadataIsNamed) {
  TemporaryFolder const folder;
  data::write_pathfinder_folder(folder.path(), data::generate_pathfinder(1, RandomKey{.seed = 1}));
  std::string const good = "imgs/0 sample_0.png 0 1 1.0 14 4 2 0.5 1 1\n";
  for (char const* line :
       {"imgs/0 sample_0.png 0", "imgs/0 sample_0.png 0 2 1.0", "imgs/0 missing.png 1 0 1.0", "\x93NUMPY\x01"}) {
    folder.write("metadata/0.npy", good + line + "\n");
    std::string const message = message_of<attn::Error>([&] { data::read_pathfinder_folder(folder.path()); });
    EXPECT_NE(message.find("0.npy', line 2"), std::string::npos) << message;
  }
  EXPECT_NE(message_of<attn::Error>([&] { data::read_pathfinder_folder(folder / "none"); }).find("metadata"),
            std::string::npos);
}

TEST(Pathfinder, ImagesAreOfTheReleasesKind) {
  Sequences const images = data::generate_pathfinder(400, RandomKey{.seed = 7});
  int positive = 0;
  double visible = 0;
  for (std::size_t i = 0; i < images.count(); ++i) {
    auto const image = images.sequence(i);
    EXPECT_EQ(*std::max_element(image.begin(), image.end()), 255);
    positive += images.labels[i];
    visible += double(std::count_if(image.begin(), image.end(), [](int p) { return p > 0; })) / 1024;
    // A dash of contrast 1.5 covers half a pixel, so its centre has 0.75; a dot has 1.
    EXPECT_GT(std::count(image.begin(), image.end(), 191), 6);
    EXPECT_GT(std::count(image.begin(), image.end(), 255), 6);
  }
  EXPECT_NEAR(positive / 400.0, 0.5, 4 * 0.5 / 20);  // labels are fair coins
  EXPECT_GT(visible / 400, 0.1);                     // most pixels are black
  EXPECT_LT(visible / 400, 0.35);
}

TEST(Pathfinder, AnImageDependsOnKeyAndNumberAlone) {
  Sequences const few = data::generate_pathfinder(3, RandomKey{.seed = 7});
  Sequences const more = data::generate_pathfinder(10, RandomKey{.seed = 7});
  EXPECT_TRUE(std::equal(few.tokens.begin(), few.tokens.end(), more.tokens.begin()));
  EXPECT_NE(data::generate_pathfinder(3, RandomKey{.seed = 8}).tokens, few.tokens);
}

TEST(Pathfinder, ShorterSnakesMakeAnEasierSet) {
  data::pathfinder::Snakes snakes;
  snakes.contour_length = 6;
  Sequences const images = data::generate_pathfinder(3, RandomKey{.seed = 7}, snakes);
  EXPECT_EQ(images.count(), 3u);
  snakes.contour_length = 0;
  EXPECT_THROW(data::generate_pathfinder(1, {}, snakes), attn::Error);
}

}  // namespace
