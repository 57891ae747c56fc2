#include "attn/data/evaluation_transform.hpp"
#include "attn/data/source.hpp"
#include "attn/data/train_transform.hpp"
#include "attn/data/transform.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data/golden_images.hpp"
#include "data/images.hpp"
#include "io/files.hpp"

namespace {

using namespace attn::testing;
using namespace attn::data;
using attn::RandomKey;

static_assert(ImageTransform<TrainTransform<float>, float> && ImageTransform<EvaluationTransform<double>, double>);

/// One image of a dataset, changed as the options and the key say.
std::vector<double> augmented(Dataset const& data, Augmentation const& options, std::uint64_t key,
                              std::size_t image = 0) {
  std::vector<double> out(data.image_size(), 1e9);
  ImageSample<double> sample{out.data()};
  DatasetImages<double>(data, options).sample(image, attn::subkey(RandomKey{1, 0}, key), sample);
  return out;
}

std::vector<double> normalized(Dataset const& data, std::size_t image = 0) { return augmented(data, {}, 0, image); }

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

TEST(TrainTransform, WithoutOptionsOnlyNormalizes) {
  Dataset const data = numbered_images(2, 3, 5, 7, 2);
  EXPECT_EQ(augmented(data, {}, 3, 1), normalized(data, 1));
}

TEST(TrainTransform, FlipMirrorsEveryRow) {
  Dataset const data = numbered_images(1, 2, 3, 5, 2);
  std::vector<double> const plain = normalized(data);
  std::vector<double> const flipped = augmented(data, {.flip_probability = 1}, 0);
  for (std::size_t row = 0; row < 6; ++row) {
    for (std::size_t x = 0; x < 5; ++x) EXPECT_EQ(flipped[5 * row + x], plain[5 * row + 4 - x]);
  }
}

TEST(TrainTransform, FlipsHalfOfTheTime) {
  Dataset const data = numbered_images(1, 1, 3, 5, 2);
  std::vector<double> const plain = normalized(data);
  int flips = 0;
  for (std::uint64_t key = 0; key < 2000; ++key) flips += augmented(data, {.flip_probability = 0.5}, key) != plain;
  EXPECT_NEAR(flips, 1000, 4 * std::sqrt(500.0));
}

TEST(TrainTransform, CropIsAShiftWithBlackBorders) {
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

TEST(TrainTransform, ErasesARectangleOfTheAreaAndShapeAskedFor) {
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

TEST(TrainTransform, ErasesAsOftenAsAskedFor) {
  Dataset const data = numbered_images(1, 1, 16, 16, 2);
  std::vector<double> const plain = normalized(data);
  int erased = 0;
  for (std::uint64_t key = 0; key < 2000; ++key) erased += augmented(data, {.erase_probability = 0.25}, key) != plain;
  EXPECT_NEAR(erased, 500, 4 * std::sqrt(2000 * 0.25 * 0.75));
}

TEST(TrainTransform, SurvivesAnImageOfOnePixel) {
  Dataset const data = numbered_images(1, 1, 1, 1, 1);
  for (std::uint64_t key = 0; key < 20; ++key) {
    augmented(data, {.crop_padding = 3, .flip_probability = 0.5, .erase_probability = 1}, key);
  }
}

TEST(TrainTransform, IsAFunctionOfTheKey) {
  Dataset const data = numbered_images(1, 1, 12, 12, 2);
  Augmentation const all{.crop_padding = 2, .flip_probability = 0.5, .erase_probability = 0.5};
  EXPECT_EQ(augmented(data, all, 5), augmented(data, all, 5));
  EXPECT_NE(augmented(data, all, 5), augmented(data, all, 6));
}

TEST(TrainTransform, RefusesImpossibleOptions) {
  EXPECT_ERROR(Augmentation{.crop_padding = -1}.check(), "crop_padding of at least 0, not -1");
  EXPECT_ERROR(Augmentation{.flip_probability = 1.5}.check(), "probabilities from 0 to 1");
  EXPECT_ERROR(Augmentation{.erase_probability = NAN}.check(), "probabilities from 0 to 1");
  EXPECT_ERROR((Augmentation{.erasing = {.min_area = 0.5, .max_area = 0.2}}.check()), "0 < min_area <= max_area");
  EXPECT_ERROR((Augmentation{.crop = {.scale = {0, 1}}}.check()), "a scale with 0 < least");
  EXPECT_ERROR((Augmentation{.crop = {.ratio = {2, 1}}}.check()), "a ratio with 0 < least");
  EXPECT_ERROR((Augmentation{.resized_crop = true, .crop_padding = 4}.check()), "not both");
  EXPECT_ERROR(Augmentation{.color_jitter = -0.1}.check(), "color_jitter of at least 0");
  EXPECT_ERROR(TrainTransform<float>(2, 2, imagenet_normalization(), {.auto_augment = "original"}), "rand-m9");
  EXPECT_ERROR(TrainTransform<float>(2, 2, imagenet_normalization(), {.auto_augment = "rand-q3"}), "\"q3\"");
  EXPECT_ERROR(TrainTransform<float>(0, 2, imagenet_normalization()), "a height and width of at least 1, not 0");
  EXPECT_ERROR(EvaluationTransform<float>(2, 2, imagenet_normalization(), 0), "a crop_fraction from 0.001 to 2");
  EXPECT_ERROR(EvaluationTransform<float>(5, 2, imagenet_normalization(), 2.5), "so that pixels remain, not 2.5");
  EXPECT_ERROR(TrainTransform<float>(2, 2, {.mean = {0, 0}, .deviation = {1, 1}}, {.color_jitter = 1}),
               "images of 1 or 3 channels, not 2");
}

/// Bytes behind normalized numbers of ImageNet's statistics, (height, width, channels).
Image bytes_of(std::vector<float> const& numbers, std::size_t height, std::size_t width) {
  auto const n = imagenet_normalization();
  Image image(height, width, 3);
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t p = 0; p < height * width; ++p) {
      float const pixel = 255 * (numbers[c * height * width + p] * n.deviation[c] + n.mean[c]);
      image.pixels[3 * p + c] = static_cast<std::uint8_t>(std::lround(pixel));
    }
  }
  return image;
}

template <class Transform>
Image transformed(Transform const& transform, Image const& image, std::uint64_t key) {
  RandomKey const own = attn::subkey(RandomKey{.seed = 4}, key);
  std::vector<float> out(3 * transform.height() * transform.width());
  transform(image, transform.box(image.height, image.width, own), own, out.data());
  return bytes_of(out, transform.height(), transform.width());
}

TEST(EvaluationTransform, SeesWhatTimmsSees_ToOneGreyLevel) {
  std::ifstream cases(golden_path("evaluation.txt"));
  std::vector<std::uint8_t> const expected = golden_numbers<std::uint8_t>("evaluation_images");
  std::size_t at = 0;
  std::string picture;
  std::size_t height = 0, width = 0;
  double fraction = 0;
  while (cases >> picture >> height >> width >> fraction) {
    EvaluationTransform<float> const transform(height, width, imagenet_normalization(), fraction);
    Image const seen = transformed(transform, golden_images(picture).front(), 0);
    int largest = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t p = 0; p < height * width; ++p) {
        largest = std::max(largest, std::abs(int(seen.pixels[3 * p + c]) - int(expected[at++])));
      }
    }
    EXPECT_LE(largest, 1) << picture << " " << height << " " << width << " " << fraction;
  }
  EXPECT_EQ(at, expected.size());
}

TEST(RandomCrop, SidesAndTheBoxInTheCentreAreTimms) {
  std::vector<float> const crops = golden_numbers<float>("crops");
  std::vector<std::int64_t> const boxes = golden_numbers<std::int64_t>("boxes");
  std::size_t const cases = boxes.size() / 6;
  ASSERT_EQ(crops.size(), 24 * cases);
  for (std::size_t i = 0; i < cases; ++i) {
    float const* const crop = &crops[24 * i];
    std::int64_t const* const box = &boxes[6 * i];
    auto const height = static_cast<std::size_t>(crop[0]), width = static_cast<std::size_t>(crop[1]);
    bool found = false;
    for (std::size_t attempt = 0; attempt < 10 && !found; ++attempt) {
      double const area = double(crop[4 + 2 * attempt]) * double(height * width);
      auto const sides = detail::sides_of(area, std::exp(double(crop[5 + 2 * attempt])));
      if (sides.height > height || sides.width > width) continue;
      EXPECT_EQ(std::int64_t(sides.height), box[2]) << i;
      EXPECT_EQ(std::int64_t(sides.width), box[3]) << i;
      EXPECT_EQ(std::int64_t(height - sides.height), box[4]) << i;
      EXPECT_EQ(std::int64_t(width - sides.width), box[5]) << i;
      found = true;
    }
    EXPECT_EQ(found, box[4] >= 0) << i;
    if (found) continue;
    RandomCrop const none{.scale = {1, 1}, .ratio = {double(crop[2]), double(crop[3])}};
    ImageBox const centre = random_crop(height, width, none, {.seed = 1});
    EXPECT_EQ(centre.top, double(box[0])) << i;
    EXPECT_EQ(centre.left, double(box[1])) << i;
    EXPECT_EQ(centre.height, double(box[2])) << i;
    EXPECT_EQ(centre.width, double(box[3])) << i;
  }
}

TEST(TrainTransform, ResizesABoxAsIfNothingStoodAroundIt_ToOneGreyLevel) {
  std::vector<std::int64_t> const boxes = golden_numbers<std::int64_t>("resized_boxes");
  std::vector<Image> const expected = golden_images("resized");
  Image const image = golden_images("odd").front();
  std::vector<float> out(3 * 14 * 16);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    auto const how = i % 2 == 0 ? Filter::bicubic : Filter::bilinear;
    TrainTransform<float> const transform(14, 16, imagenet_normalization(),
                                          {.resized_crop = true, .interpolation = how});
    std::int64_t const* const b = &boxes[i / 2 * 4];
    ImageBox const box{.top = double(b[0]), .left = double(b[1]), .height = double(b[2]), .width = double(b[3])};
    transform(image, box, {}, out.data());
    Image const resized = bytes_of(out, 14, 16);
    for (std::size_t p = 0; p < resized.pixels.size(); ++p) {
      ASSERT_NEAR(resized.pixels[p], expected[i].pixels[p], 1) << i << " " << p;
    }
  }
}

TEST(RandomCrop, AreasAndRatiosAreUniformAndPlacesToo) {
  constexpr int n = 4000;
  double area = 0, ratio = 0, place = 0;
  int placed = 0;
  RandomCrop const options{.scale = {0.1, 0.3}};  // small enough that every box fits at once
  for (std::uint64_t i = 0; i < n; ++i) {
    ImageBox const box = random_crop(300, 400, options, attn::subkey(RandomKey{.seed = 9}, i));
    ASSERT_TRUE(box.top >= 0 && box.left >= 0 && box.top + box.height <= 300 && box.left + box.width <= 400);
    area += box.height * box.width / 120000, ratio += std::log(box.width / box.height);
    if (box.height < 300) place += box.top / (300 - box.height), ++placed;
  }
  EXPECT_NEAR(area / n, 0.2, 4 * 0.2 / std::sqrt(12.0 * n) + 1e-3);
  EXPECT_NEAR(ratio / n, 0, 4 * 2 * std::log(4 / 3.0) / std::sqrt(12.0 * n) + 1e-3);
  EXPECT_NEAR(place / placed, 0.5, 4 / std::sqrt(12.0 * placed) + 1e-3);
}

TEST(TrainTransform, WithDeitsRecipe_IsAFunctionOfTheKeyAndChangesEveryImage) {
  Augmentation const deit{.resized_crop = true,
                          .flip_probability = 0.5,
                          .auto_augment = "rand-m9-mstd0.5-inc1",
                          .color_jitter = 0.3,
                          .erase_probability = 0.25};
  TrainTransform<float> const transform(14, 16, imagenet_normalization(), deit);
  Image const image = golden_images("odd").front();
  std::set<std::vector<std::uint8_t>> seen;
  for (std::uint64_t key = 0; key < 60; ++key) {
    Image const out = transformed(transform, image, key);
    EXPECT_EQ(out, transformed(transform, image, key));
    seen.insert(out.pixels);
  }
  EXPECT_EQ(seen.size(), 60u);
}

TEST(TrainTransform, LeavesColorJitterOutWhereRandAugmentIsOn) {
  Image const image(8, 8, 3, 100);
  auto const changes = [&](std::string const& auto_augment) {
    TrainTransform<float> const transform(8, 8, imagenet_normalization(),
                                          {.auto_augment = auto_augment, .color_jitter = 0.4});
    int changed = 0;
    for (std::uint64_t key = 0; key < 20; ++key) changed += transformed(transform, image, key) != image;
    return changed;
  };
  EXPECT_EQ(changes("rand-m9-p0"), 0);
  EXPECT_GE(changes("none"), 18);
  EXPECT_GE(changes("3a"), 18);
}

TEST(TrainTransform, BringsGreyToColorsAndColorsToGrey) {
  Image const grey_image(4, 4, 1, 50), image = golden_images("odd").front();
  TrainTransform<float> const colored(4, 4, imagenet_normalization());
  EXPECT_EQ(transformed(colored, grey_image, 0), Image(4, 4, 3, 50));
  TrainTransform<float> const greyed(17, 21, {.mean = {0}, .deviation = {1}});
  std::vector<float> out(17 * 21);
  greyed(image, greyed.box(17, 21, {}), {}, out.data());
  Image luminance = image;
  grey(luminance);
  for (std::size_t p = 0; p < out.size(); ++p) EXPECT_FLOAT_EQ(255 * out[p], luminance.pixels[3 * p]);
}

}  // namespace
