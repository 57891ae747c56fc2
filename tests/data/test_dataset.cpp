#include "attn/data/dataset.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "data/images.hpp"
#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::data::channel_statistics;
using attn::data::Dataset;

TEST(Dataset, StatisticsAreThoseOfEachChannel) {
  Dataset data{.count = 2, .channels = 2, .height = 1, .width = 2, .classes = 1};
  data.images = {0, 255, 10, 10, 0, 255, 10, 10};  // (image, channel, row, column)
  auto const statistics = channel_statistics(data);
  EXPECT_FLOAT_EQ(statistics.mean[0], 0.5f);
  EXPECT_FLOAT_EQ(statistics.deviation[0], 0.5f);
  EXPECT_FLOAT_EQ(statistics.mean[1], 10.0f / 255);
  EXPECT_EQ(statistics.deviation[1], 1.0f) << "a constant channel can be divided by";
}

TEST(Dataset, StatisticsAgreeWithTheDefinition) {
  Dataset const data = numbered_images(31, 3, 5, 7, 4);
  auto const statistics = channel_statistics(data);
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < 31; ++i) {
      for (std::size_t p = 0; p < 35; ++p) {
        double const value = data.image(i)[c * 35 + p] / 255.0;
        sum += value;
        squares += value * value;
      }
    }
    double const mean = sum / (31 * 35);
    EXPECT_FLOAT_EQ(statistics.mean[c], static_cast<float>(mean));
    EXPECT_NEAR(statistics.deviation[c], std::sqrt(squares / (31 * 35) - mean * mean), 1e-6);
  }
}

TEST(Dataset, NamesAClassByItsNumberWhenItHasNoName) {
  Dataset const data{.classes = 3, .class_names = {"Bag", "Coat"}};
  EXPECT_EQ(data.name_of(1), "Coat");
  EXPECT_EQ(data.name_of(2), "2");
  EXPECT_EQ(data.name_of(-1), "-1");
}

TEST(Dataset, TakeKeepsTheFirstImages) {
  Dataset const data = numbered_images(10, 1, 2, 3, 5);
  Dataset const few = attn::data::take(data, 4);
  EXPECT_EQ(few.images, std::vector<std::uint8_t>(data.images.begin(), data.images.begin() + 24));
  EXPECT_EQ(few.labels.size(), 4u);
  EXPECT_ERROR(attn::data::take(data, 11), "at most 10 images, not 11");
}

TEST(Dataset, CheckNamesWhatDoesNotAgree) {
  Dataset const good = numbered_images(5, 1, 2, 2, 3);
  EXPECT_NO_THROW(attn::data::check(good, "data"));
  Dataset data = good;
  data.images.pop_back();
  EXPECT_ERROR(check(data, "data"), "data: give 5 x 1 x 2 x 2 pixels, not 19");
  data = good;
  data.labels.pop_back();
  EXPECT_ERROR(check(data, "data"), "give 5 labels, not 4");
  data = good;
  data.labels[2] = 3;
  EXPECT_ERROR(check(data, "data"), "label 3 of image 2 is out of range, there are 3 classes");
  data.labels[2] = -1;
  EXPECT_ERROR(check(data, "data"), "label -1 of image 2");
  data = good;
  data.normalization.mean.clear();
  EXPECT_ERROR(check(data, "data"), "mean and deviation for each of the 1 channels");
  data = good;
  data.normalization.deviation[0] = 0;
  EXPECT_ERROR(check(data, "data"), "deviations above 0");
}

}  // namespace
