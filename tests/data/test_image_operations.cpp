// Every operation on an image equals Pillow's, RandAugment timm's. Golden data: tests/golden/make_augment.py.
#include "attn/data/color_jitter.hpp"
#include "attn/data/image_affine.hpp"
#include "attn/data/image_blur.hpp"
#include "attn/data/image_enhance.hpp"
#include "attn/data/image_tables.hpp"
#include "attn/data/rand_augment.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "data/golden_images.hpp"
#include "io/files.hpp"

namespace {

using namespace attn::testing;
using namespace attn::data;

constexpr Fill fill = {124, 116, 104};  // as in the golden data

using Operation = std::function<void(Image&, double, Filter, ImageScratch&)>;

std::map<std::string, Operation> operations() {
  return {
      {"auto_contrast", [](Image& i, double, auto, auto&) { auto_contrast(i); }},
      {"equalize", [](Image& i, double, auto, auto&) { equalize(i); }},
      {"invert", [](Image& i, double, auto, auto&) { invert(i); }},
      {"posterize", [](Image& i, double v, auto, auto&) { posterize(i, int(v)); }},
      {"solarize", [](Image& i, double v, auto, auto&) { solarize(i, int(v)); }},
      {"solarize_add", [](Image& i, double v, auto, auto&) { solarize_add(i, int(v)); }},
      {"color", [](Image& i, double v, auto, auto& s) { color(i, v, s); }},
      {"contrast", [](Image& i, double v, auto, auto&) { contrast(i, v); }},
      {"brightness", [](Image& i, double v, auto, auto&) { brightness(i, v); }},
      {"sharpness", [](Image& i, double v, auto, auto& s) { sharpness(i, v, s); }},
      {"grey", [](Image& i, double, auto, auto&) { grey(i); }},
      {"gaussian_blur", [](Image& i, double v, auto, auto& s) { gaussian_blur(i, v, s); }},
      {"mirror", [](Image& i, double, auto, auto&) { mirror(i); }},
      {"rotate", [](Image& i, double v, auto how, auto& s) { rotate(i, v, fill, how, s); }},
      {"shear_x", [](Image& i, double v, auto how, auto& s) { shear_x(i, v, fill, how, s); }},
      {"shear_y", [](Image& i, double v, auto how, auto& s) { shear_y(i, v, fill, how, s); }},
      {"translate_x", [](Image& i, double v, auto how, auto& s) { translate_x(i, v, fill, how, s); }},
      {"translate_y", [](Image& i, double v, auto how, auto& s) { translate_y(i, v, fill, how, s); }},
  };
}

/// The largest difference of two bytes at the same place.
int largest_difference(Image const& a, Image const& b) {
  int largest = a.pixels.size() == b.pixels.size() ? 0 : 256;
  for (std::size_t i = 0; i < a.pixels.size() && largest < 256; ++i) {
    largest = std::max(largest, std::abs(int(a.pixels[i]) - int(b.pixels[i])));
  }
  return largest;
}

TEST(ImageOperations, EqualPillowsToTheByte_ThoseThatMovePixelsToOneGreyLevel) {
  auto const table = operations();
  std::set<std::string> seen;
  ImageScratch scratch;
  for (char const* const picture : {"odd", "grey", "thin", "one"}) {
    Image const before = golden_images(picture).front();
    std::vector<Image> const after = golden_images(std::string(picture) + "_results");
    std::ifstream cases(golden_path("operations.txt"));
    std::string name, how;
    double value = 0;
    std::size_t i = 0;
    for (; cases >> name >> value >> how; ++i) {
      ASSERT_LT(i, after.size());
      Image image = before;
      table.at(name)(image, value, how == "bilinear" ? Filter::bilinear : Filter::bicubic, scratch);
      EXPECT_LE(largest_difference(image, after[i]), how == "-" ? 0 : 1)
          << name << " " << value << " " << how << " of " << picture;
      seen.insert(name);
    }
    EXPECT_EQ(i, after.size());
  }
  EXPECT_EQ(seen.size(), table.size());
}

TEST(ImageOperations, EqualizeCutsLevelsAboveTheLargestByte) {
  Image image(1, 510, 1);  // 508 bytes below the highest make steps of one, and levels up to 508
  for (std::size_t i = 0; i < 510; ++i) image.pixels[i] = static_cast<std::uint8_t>(i / 2);
  equalize(image);
  EXPECT_TRUE(std::is_sorted(image.pixels.begin(), image.pixels.end()));
  EXPECT_EQ(image.pixels.back(), 255);
}

TEST(ImageOperations, RefuseWhatTheyCannotDo) {
  Image image(3, 3, 3);
  ImageScratch scratch;
  EXPECT_ERROR(posterize(image, 9), "posterize: keep from 0 to 8 bits, not 9");
  EXPECT_ERROR(gaussian_blur(image, NAN, scratch), "gaussian_blur: give a sigma from 0");
  EXPECT_ERROR(color_jitter(image, -1, {}, scratch), "color_jitter: give a strength of at least 0, not -1");
}

bool moves_pixels(ImageOperation o) { return o == ImageOperation::rotate || o >= ImageOperation::shear_x; }

class RandAugmentText : public ::testing::TestWithParam<char const*> {};

TEST_P(RandAugmentText, WithTimmsDrawsEveryLayerGivesTimmsImage) {
  std::string const text = GetParam();
  RandAugment const options = RandAugment::parse(text);
  Image const before = golden_images("rand_before").front();
  std::vector<Image> const after = golden_images(text + "_images");
  std::vector<float> const draws = golden_numbers<float>(text + "_draws");
  ASSERT_EQ(draws.size(), 4 * after.size());
  ImageScratch scratch;
  for (std::size_t i = 0; i < after.size(); ++i) {
    Image image = i % std::size_t(options.layers) == 0 ? before : after[i - 1];
    float const* const drawn = &draws[4 * i];
    auto const operation = static_cast<ImageOperation>(static_cast<int>(drawn[0]));
    if (drawn[1] != 0) {
      double const magnitude = std::clamp<double>(double(drawn[2]), 0, options.largest);
      apply({operation, magnitude, drawn[3] != 0}, options.increasing, image, fill, Filter::bicubic, scratch);
    }
    EXPECT_LE(largest_difference(image, after[i]), moves_pixels(operation) ? 1 : 0) << text << " " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Texts, RandAugmentText, ::testing::Values("rand-m9-mstd0.5-inc1", "rand-m6-n3-p0.8"));

TEST(RandAugment, ReadsTimmsText) {
  RandAugment const deit = RandAugment::parse("rand-m9-mstd0.5-inc1");
  EXPECT_EQ(deit.magnitude, 9);
  EXPECT_EQ(deit.deviation, 0.5);
  EXPECT_EQ(deit.layers, 2);
  EXPECT_EQ(deit.probability, 0.5);
  EXPECT_EQ(deit.largest, 10);
  EXPECT_TRUE(deit.increasing);
  RandAugment const other = RandAugment::parse("rand-n3-p.25-inc0-mmax30-m15");
  EXPECT_EQ(other.layers, 3);
  EXPECT_EQ(other.probability, 0.25);
  EXPECT_EQ(other.largest, 30);
  EXPECT_EQ(other.magnitude, 15);
  EXPECT_FALSE(other.increasing);
  EXPECT_EQ(RandAugment::parse("rand").magnitude, 10);
}

TEST(RandAugment, SaysWhatIsWrongWithAText) {
  EXPECT_ERROR(RandAugment::parse("randm9"), "write a text like rand-m9-mstd0.5-inc1");
  EXPECT_ERROR(RandAugment::parse("augmix-m3"), "not \"augmix-m3\": it begins with rand");
  EXPECT_ERROR(RandAugment::parse("rand-m9-x3"), "it knows nothing called \"x3\"");
  EXPECT_ERROR(RandAugment::parse("rand-m9.5"), "the m of \"m9.5\" is a whole number from 0 to 100");
  EXPECT_ERROR(RandAugment::parse("rand-p1.5"), "the p of \"p1.5\" is a number from 0 to 1");
  EXPECT_ERROR(RandAugment::parse("rand-m"), "the m of \"m\"");
  EXPECT_ERROR(RandAugment::parse("rand-"), "it knows nothing called \"\"");
}

TEST(RandAugment, DrawsAreDistributedAsTimms) {
  constexpr int n = 30000;
  RandAugment const options = RandAugment::parse("rand-m9-mstd0.5-inc1");
  std::map<ImageOperation, int> counts;
  int applied = 0, negative = 0, cut = 0;
  double sum = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    Draws draws(attn::subkey(attn::RandomKey{.seed = 5}, i));
    auto const drawn = options.draw(draws);
    if (!drawn) continue;
    ++applied, ++counts[drawn->operation];
    negative += drawn->negative;
    cut += drawn->magnitude == 10;
    sum += drawn->magnitude;
  }
  EXPECT_NEAR(applied, n / 2, 4 * std::sqrt(n / 4.0));
  EXPECT_EQ(counts.size(), 15u);
  for (auto const& [operation, count] : counts) EXPECT_NEAR(count, applied / 15.0, 4 * std::sqrt(applied / 15.0));
  EXPECT_NEAR(negative, applied / 2, 4 * std::sqrt(applied / 4.0));
  EXPECT_NEAR(cut, 0.02275 * applied, 4 * std::sqrt(0.0222 * applied));  // two deviations above 9
  EXPECT_NEAR(sum / applied, 9 - 0.5 * 0.00849, 4 * 0.5 / std::sqrt(applied));
}

TEST(RandAugment, AboveADeviationOfAHundredMagnitudesAreUniform) {
  RandAugment const options = RandAugment::parse("rand-m8-mstd101-p1");
  double sum = 0, largest = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    Draws draws(attn::subkey(attn::RandomKey{.seed = 6}, i));
    double const magnitude = options.draw(draws)->magnitude;
    sum += magnitude, largest = std::max(largest, magnitude);
  }
  EXPECT_NEAR(sum / 4000, 4, 4 * 8 / std::sqrt(12 * 4000.0));
  EXPECT_TRUE(largest > 7.9 && largest < 8);
}

TEST(ThreeAugment, IsGreySolarizedOrBlurred_EachInAThird) {
  Image const before = golden_images("odd").front();
  Image greyed = before, solarized = before;
  grey(greyed), solarize(solarized);
  ImageScratch scratch;
  int grey_ones = 0, solarized_ones = 0;
  constexpr int n = 900;
  for (std::uint64_t i = 0; i < n; ++i) {
    Image image = before;
    three_augment(image, attn::subkey(attn::RandomKey{.seed = 7}, i), scratch);
    grey_ones += image == greyed, solarized_ones += image == solarized;
  }
  EXPECT_NEAR(grey_ones, n / 3, 4 * std::sqrt(n * 2 / 9.0));
  EXPECT_NEAR(solarized_ones, n / 3, 4 * std::sqrt(n * 2 / 9.0));
}

TEST(ColorJitter, WithStrengthZeroChangesNothing_ElseStaysWithinItsFactors) {
  Image const before(4, 5, 3, 100);  // without contrast and saturation only brightness counts
  ImageScratch scratch;
  int least = 255, most = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    Image image = before;
    color_jitter(image, 0, attn::subkey(attn::RandomKey{.seed = 8}, i), scratch);
    EXPECT_EQ(image, before);
    color_jitter(image, 0.3, attn::subkey(attn::RandomKey{.seed = 8}, i), scratch);
    least = std::min<int>(least, image.pixels[0]), most = std::max<int>(most, image.pixels[0]);
  }
  EXPECT_TRUE(least >= 69 && least <= 72 && most >= 128 && most <= 130) << least << " " << most;
}

}  // namespace
