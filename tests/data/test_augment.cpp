#include "attn/data/augment.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "data/images.hpp"
#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::RandomKey;
using attn::data::augment_image;
using attn::data::Augmentation;
using attn::data::Dataset;
using attn::data::normalize_image;
using attn::data::Normalizer;

std::vector<double> augmented(Dataset const& data, Augmentation const& options, std::uint64_t key,
                              std::size_t image = 0) {
  std::vector<double> out(data.image_size(), 1e9);
  augment_image(data, image, Normalizer<double>(data.normalization), options, attn::subkey(RandomKey{1, 0}, key),
                out.data());
  return out;
}

std::vector<double> normalized(Dataset const& data, std::size_t image = 0) {
  std::vector<double> out(data.image_size());
  normalize_image(data, image, Normalizer<double>(data.normalization), out.data());
  return out;
}

TEST(Normalize, SubtractsTheMeanAndDividesByTheDeviationOfTheChannel) {
  Dataset const data = numbered_images(3, 2, 4, 5, 2);
  std::vector<double> const out = normalized(data, 2);
  for (std::size_t c = 0; c < 2; ++c) {
    for (std::size_t p = 0; p < 20; ++p) {
      double const pixel = data.image(2)[c * 20 + p] / 255.0;
      EXPECT_DOUBLE_EQ(out[c * 20 + p],
                       (pixel - double(data.normalization.mean[c])) / double(data.normalization.deviation[c]));
    }
  }
}

TEST(Normalize, GivesMeanZeroAndDeviationOneOverTheData) {
  Dataset const data = numbered_images(20, 1, 6, 6, 2);
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    for (double const value : normalized(data, i)) sum += value, squares += value * value;
  }
  EXPECT_NEAR(sum / 720, 0, 1e-6);
  EXPECT_NEAR(squares / 720, 1, 1e-6);
}

TEST(Augment, WithoutOptionsOnlyNormalizes) {
  Dataset const data = numbered_images(2, 3, 5, 7, 2);
  EXPECT_EQ(augmented(data, {}, 3, 1), normalized(data, 1));
}

TEST(Augment, FlipMirrorsEveryRow) {
  Dataset const data = numbered_images(1, 2, 3, 5, 2);
  std::vector<double> const plain = normalized(data);
  std::vector<double> const flipped = augmented(data, {.flip_probability = 1}, 0);
  for (std::size_t row = 0; row < 6; ++row) {
    for (std::size_t x = 0; x < 5; ++x) EXPECT_EQ(flipped[5 * row + x], plain[5 * row + 4 - x]);
  }
}

TEST(Augment, FlipsHalfOfTheTime) {
  Dataset const data = numbered_images(1, 1, 3, 5, 2);
  std::vector<double> const plain = normalized(data);
  int flips = 0;
  for (std::uint64_t key = 0; key < 2000; ++key) flips += augmented(data, {.flip_probability = 0.5}, key) != plain;
  EXPECT_NEAR(flips, 1000, 4 * std::sqrt(500.0));
}

TEST(Augment, CropIsAShiftWithBlackBorders) {
  Dataset const data = numbered_images(1, 1, 6, 5, 2);
  std::vector<double> const plain = normalized(data);
  double const black = -double(data.normalization.mean[0]) / double(data.normalization.deviation[0]);
  std::set<std::pair<int, int>> shifts;
  for (std::uint64_t key = 0; key < 500; ++key) {
    std::vector<double> const out = augmented(data, {.crop_padding = 2}, key);
    int matches = 0;
    for (int down = -2; down <= 2; ++down) {
      for (int right = -2; right <= 2; ++right) {
        bool same = true;
        for (int y = 0; y < 6; ++y) {
          for (int x = 0; x < 5; ++x) {
            bool const inside = y + down >= 0 && y + down < 6 && x + right >= 0 && x + right < 5;
            double const expected = inside ? plain[std::size_t(5 * (y + down) + x + right)] : black;
            same = same && out[std::size_t(5 * y + x)] == expected;
          }
        }
        if (same) shifts.insert({down, right}), ++matches;
      }
    }
    EXPECT_EQ(matches, 1);
  }
  EXPECT_EQ(shifts.size(), 25u) << "every shift occurs";
}

TEST(Augment, ErasesARectangleOfTheAreaAndShapeAskedFor) {
  Dataset const data = numbered_images(1, 3, 32, 32, 2);
  std::vector<double> const plain = normalized(data);
  Augmentation const options{.erase_probability = 1};
  double noise_sum = 0, noise_squares = 0, noise_count = 0;
  for (std::uint64_t key = 0; key < 300; ++key) {
    std::vector<double> const out = augmented(data, options, key);
    std::size_t top = 32, bottom = 0, left = 32, right = 0, erased = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (out[i] == plain[i]) continue;
      std::size_t const y = i / 32 % 32, x = i % 32;
      top = std::min(top, y), bottom = std::max(bottom, y + 1), left = std::min(left, x),
      right = std::max(right, x + 1);
      ++erased;
      noise_sum += out[i], noise_squares += out[i] * out[i], ++noise_count;
    }
    ASSERT_GT(erased, 0u);
    std::size_t const area = (bottom - top) * (right - left);
    EXPECT_EQ(erased, 3 * area) << "the same rectangle in every channel";
    EXPECT_GT(double(area), 0.02 * 1024 * 0.7);
    EXPECT_LT(double(area), 1024 / 3.0 * 1.2);
    double const aspect = double(bottom - top) / double(right - left);
    EXPECT_TRUE(aspect > 0.2 && aspect < 5) << aspect;
  }
  EXPECT_NEAR(noise_sum / noise_count, 0, 0.02);
  EXPECT_NEAR(noise_squares / noise_count, 1, 0.02);
}

TEST(Augment, ErasesAsOftenAsAskedFor) {
  Dataset const data = numbered_images(1, 1, 16, 16, 2);
  std::vector<double> const plain = normalized(data);
  int erased = 0;
  for (std::uint64_t key = 0; key < 2000; ++key) erased += augmented(data, {.erase_probability = 0.25}, key) != plain;
  EXPECT_NEAR(erased, 500, 4 * std::sqrt(2000 * 0.25 * 0.75));
}

TEST(Augment, SurvivesAnImageOfOnePixel) {
  Dataset const data = numbered_images(1, 1, 1, 1, 1);
  for (std::uint64_t key = 0; key < 20; ++key) {
    augmented(data, {.crop_padding = 3, .flip_probability = 0.5, .erase_probability = 1}, key);
  }
}

TEST(Augment, IsAFunctionOfTheKey) {
  Dataset const data = numbered_images(1, 1, 12, 12, 2);
  Augmentation const all{.crop_padding = 2, .flip_probability = 0.5, .erase_probability = 0.5};
  EXPECT_EQ(augmented(data, all, 5), augmented(data, all, 5));
  EXPECT_NE(augmented(data, all, 5), augmented(data, all, 6));
}

TEST(Augment, RefusesImpossibleOptions) {
  EXPECT_ERROR(Augmentation{.crop_padding = -1}.check(), "crop_padding of at least 0, not -1");
  EXPECT_ERROR(Augmentation{.flip_probability = 1.5}.check(), "probabilities from 0 to 1");
  EXPECT_ERROR(Augmentation{.erase_probability = NAN}.check(), "probabilities from 0 to 1");
  EXPECT_ERROR((Augmentation{.erase_min_area = 0.5, .erase_max_area = 0.2}.check()), "erase_min_area");
}

}  // namespace
