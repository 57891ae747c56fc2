#include "attn/data/resample.hpp"
#include "attn/data/transform.hpp"
#include "attn/io/npy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace attn::data;

std::filesystem::path golden(char const* name) { return std::filesystem::path(ATTN_GOLDEN_DIR) / "resample" / name; }

/// Takes images out of a file of pixels, one after another.
class Pixels {
 public:
  explicit Pixels(char const* name) {
    std::ifstream file(golden(name), std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }
  Image next(std::size_t height, std::size_t width, std::size_t channels) {
    Image image(height, width, channels);
    EXPECT_LE(at_ + image.pixels.size(), bytes_.size());
    if (at_ + image.pixels.size() > bytes_.size()) return image;
    std::copy_n(bytes_.begin() + std::ptrdiff_t(at_), image.pixels.size(), image.pixels.begin());
    at_ += image.pixels.size();
    return image;
  }

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

TEST(Resample, EqualsPillowToTheByte) {
  auto const sizes = attn::io::read_npy(golden("sizes.npy")).as<std::int64_t>();
  auto const cases = attn::io::read_npy(golden("cases.npy")).as<float>();
  Pixels inputs("inputs"), results("results");
  Image out;
  for (std::size_t channels : {1, 3}) {
    std::vector<Image> images;
    for (std::size_t i = 0; i < sizes.size(); i += 2) {
      images.push_back(inputs.next(std::size_t(sizes[i]), std::size_t(sizes[i + 1]), channels));
    }
    for (std::size_t i = 0; i < cases.size(); i += 7) {
      ImageBox const box = {.top = cases[i + 1], .left = cases[i + 2], .height = cases[i + 3], .width = cases[i + 4]};
      auto const height = std::size_t(cases[i + 5]), width = std::size_t(cases[i + 6]);
      for (Filter const filter : {Filter::bilinear, Filter::bicubic}) {
        resample(images[std::size_t(cases[i])], box, height, width, filter, out);
        EXPECT_EQ(out, results.next(height, width, channels)) << "case " << i / 7 << ", channels " << channels;
      }
    }
  }
}

TEST(Resample, LeavesOneColorAlone) {
  Image const image(13, 57, 3, 201);
  for (Filter const filter : {Filter::bilinear, Filter::bicubic}) {
    EXPECT_EQ(resample(image, {.top = 0.3, .left = 1.1, .height = 12, .width = 50}, 29, 5, filter),
              Image(29, 5, 3, 201));
  }
}

std::string fault(ImageBox const& box, std::size_t height, std::size_t width) {
  try {
    resample(Image(8, 6, 3), box, height, width, Filter::bilinear);
  } catch (attn::Error const& e) {
    return e.what();
  }
  return "";
}

TEST(Resample, ReadsAllThatCountsWhereABoxBeginsAtTheMiddleOfAPixel) {
  for (std::size_t const channels : {1, 3}) {
    Image ramp(8, 8, channels);
    for (std::size_t y = 0; y < 8; ++y) {
      for (std::size_t i = 0; i < 8 * channels; ++i)
        ramp.at(y, 0)[i] = static_cast<std::uint8_t>(20 * (i / channels + y));
    }
    ImageBox const box{.top = 2.25, .left = 2.25, .height = 1.5, .width = 1.5};  // from (2.5, 2.5) on, in steps of 0.5
    Image const out = resample(ramp, box, 3, 3, Filter::bicubic);
    for (std::size_t y = 0; y < 3; ++y) {
      for (std::size_t x = 0; x < 3; ++x) EXPECT_EQ(out.at(y, x)[0], 80 + 10 * (x + y)) << y << " " << x;
    }
  }
}

TEST(Resample, RefusesBoxesOutsideAndSizesOfZero) {
  double const nan = std::numeric_limits<double>::quiet_NaN(), huge = 1e300;
  ImageBox const boxes[] = {
      {.top = -1, .left = 0, .height = 4, .width = 4},  {.top = 0, .left = 3, .height = 4, .width = 4},
      {.top = 0, .left = 0, .height = 0, .width = 4},   {.top = 5, .left = 0, .height = 4, .width = 4},
      {.top = nan, .left = 0, .height = 4, .width = 4}, {.top = 0, .left = 0, .height = huge, .width = 4}};
  for (ImageBox const& box : boxes) EXPECT_NE(fault(box, 3, 3).find("8 x 6 image"), std::string::npos);
  ImageBox const all = whole(Image(8, 6, 3));
  EXPECT_EQ(fault(all, 3, 3), "");
  EXPECT_NE(fault(all, 0, 3), "");
  EXPECT_NE(fault(all, 3, std::size_t(1) << 40), "");
}

/// The smallest transform.
struct Centre {
  std::size_t height() const { return 2; }
  std::size_t width() const { return 2; }
  ImageBox box(std::size_t height, std::size_t width, attn::RandomKey) const {
    return {.height = double(height), .width = double(width)};
  }
  void operator()(Image const&, ImageBox, attn::RandomKey, float*) const {}
};
static_assert(ImageTransform<Centre, float> && !ImageTransform<Image, float>);

}  // namespace
