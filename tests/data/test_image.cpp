#include "attn/data/image.hpp"

#include <gtest/gtest.h>

namespace {

using attn::data::Image;

TEST(Image, PixelsLieRowByRowWithTheirChannelsTogether) {
  Image image(2, 3, 3);
  image.at(1, 2)[1] = 7;
  EXPECT_EQ(image.pixels[(1 * 3 + 2) * 3 + 1], 7);
  EXPECT_NO_THROW(attn::data::check(image, "test"));
}

TEST(Image, SizesThatDoNotFitTheBytesAreNamed) {
  Image image(2, 3, 1);
  image.pixels.pop_back();
  EXPECT_THROW(attn::data::check(image, "test"), attn::Error);
  EXPECT_THROW(attn::data::check(Image(1, 1, 2), "test"), attn::Error);
  EXPECT_THROW(attn::data::check(Image(0, 4, 3), "test"), attn::Error);
}

}  // namespace
