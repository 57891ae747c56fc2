// Masks as run lengths, their text, and polygons that become masks.
#include "attn/detection/mask_text.hpp"
#include "attn/detection/polygon.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "data/temporary_folder.hpp"

namespace {

using namespace attn::detection;
using attn::testing::message_of;
using Pixels = std::vector<std::uint8_t>;

std::string error_of(auto const& work) { return message_of<attn::Error>(work); }

/// Pixels without a pattern, about a third inside.
Pixels some_pixels(std::size_t count, std::uint32_t seed) {
  Pixels pixels(count);
  for (auto& p : pixels) p = (seed = seed * 1664525u + 1013904223u) >> 24 < 85 ? 1 : 0;
  return pixels;
}

TEST(MaskRle, CountsRunsDownTheColumns) {
  Pixels const pixels = {0, 1, 1,  //
                         1, 1, 0};
  EXPECT_EQ(encode_mask(pixels, 2, 3), (MaskRle{2, 3, {1, 4, 1}}));
  EXPECT_EQ(encode_mask(Pixels{7, 0}, 1, 2), (MaskRle{1, 2, {0, 1, 1}}));
  EXPECT_EQ(encode_mask(Pixels(6, 0), 2, 3), (MaskRle{2, 3, {6}}));
}

TEST(MaskRle, DecodesWhatWasEncoded) {
  for (auto const& [height, width] : {std::pair(0, 0), {0, 3}, {1, 1}, {1, 7}, {13, 1}, {13, 17}}) {
    Pixels const pixels = some_pixels(std::size_t(height * width), 1);
    MaskRle const mask = encode_mask(pixels, std::uint32_t(height), std::uint32_t(width));
    EXPECT_EQ(decode_mask(mask), pixels) << height << " x " << width;
    EXPECT_EQ(mask_from_text(to_text(mask), height, width), mask) << height << " x " << width;
    EXPECT_EQ(area(mask), std::uint64_t(std::count(pixels.begin(), pixels.end(), 1)));
  }
}

TEST(MaskRle, CombinesPixelByPixel) {
  Pixels const a = some_pixels(11 * 5, 1), b = some_pixels(11 * 5, 2);
  Pixels either = a, both = a;
  for (std::size_t i = 0; i < a.size(); ++i) either[i] = a[i] | b[i], both[i] = a[i] & b[i];
  MaskRle const masks[] = {encode_mask(a, 11, 5), encode_mask(b, 11, 5)};
  EXPECT_EQ(unite(masks), encode_mask(either, 11, 5));
  EXPECT_EQ(intersect(masks), encode_mask(both, 11, 5));
  double const n_both = double(std::count(both.begin(), both.end(), 1));
  EXPECT_DOUBLE_EQ(iou(masks[0], masks[1]), n_both / double(area(unite(masks))));
  EXPECT_DOUBLE_EQ(iou(masks[0], masks[1], true), n_both / double(area(masks[0])));
}

TEST(MaskRle, IsComputedWithoutItsPixels) {
  std::vector<Polygon> const object = {{2, 1, 9, 1, 9, 6, 2, 6}, {11, 2, 14, 2, 14, 5}};
  MaskRle const truth = mask_of(object, 10, 16);           // height 10, width 16
  MaskRle const found = mask_of(Box{3, 1, 6, 5}, 10, 16);  // x, y, width, height
  double const overlap = iou(found, truth);                // intersection over union
  MaskRle const masks[] = {truth, found};
  std::string const text = to_text(intersect(masks));                                  // COCO's compressed string
  std::vector<std::uint8_t> const pixels = decode_mask(mask_from_text(text, 10, 16));  // row by row
  EXPECT_GT(overlap, 0.7);
  EXPECT_EQ(std::count(pixels.begin(), pixels.end(), 1), 30);
}

TEST(MaskRle, ABoxHoldsAllPixelsInside) {
  EXPECT_EQ(bounding_box({4, 3, {5, 2, 5}}), (Box{1, 1, 1, 2}));
  EXPECT_EQ(bounding_box({4, 3, {5, 5, 2}}), (Box{1, 0, 2, 4}));  // goes on in the next column
  EXPECT_EQ(bounding_box({4, 3, {12}}), (Box{}));
  EXPECT_EQ(bounding_box({4, 3, {5, 0, 7}}), (Box{}));
}

TEST(MaskRle, OfNothingOverlapsNothing) {
  MaskRle const none{4, 3, {12}}, all{4, 3, {0, 12}};
  EXPECT_EQ(iou(none, all), 0);
  EXPECT_EQ(iou(none, none), 0);
  EXPECT_EQ(iou(none, all, true), 0);
  EXPECT_EQ(iou(all, all), 1);
}

TEST(MaskRle, RefusesRunsThatDoNotAddUp) {
  EXPECT_EQ(error_of([] {
              decode_mask({2, 3, {1, 2}});
            }),
            "decode_mask: give runs that add up to the 2 x 3 pixels of their mask, got 3 pixels in 2 runs");
  EXPECT_NE(error_of([] {
              decode_mask({2, 3, {4000000000u, 4000000000u}});
            }).find("got 8000000000"),
            std::string::npos);
  EXPECT_EQ(error_of([] { encode_mask(Pixels(5), 2, 3); }), "encode_mask: give 2 x 3 pixels, got 5");
  EXPECT_EQ(error_of([] { encode_mask({}, 100000, 100000); }),
            "encode_mask: give a mask at most 100000000 pixels, got 100000 x 100000");
  EXPECT_EQ(error_of([] {
              iou(MaskRle{2, 3, {6}}, MaskRle{3, 2, {6}});
            }),
            "iou: give masks of one size, got 2 x 3 and 3 x 2");
  EXPECT_EQ(error_of([] { unite({}); }), "unite: give at least one mask");
}

TEST(MaskText, RefusesWhatCannotBeMeant) {
  EXPECT_NE(error_of([] { mask_from_text("5 ", 2, 3); }).find("after '5' comes something else"), std::string::npos);
  EXPECT_NE(error_of([] { mask_from_text("T", 2, 3); }).find("comes something else"),
            std::string::npos);  // ends too early
  EXPECT_NE(error_of([] { mask_from_text("oooooooooooo0", 2, 3); }).find("at most 40 bits"), std::string::npos);
  EXPECT_NE(error_of([] { mask_from_text("O", 2, 3); }).find("give runs from 0"), std::string::npos);  // -1
  EXPECT_NE(error_of([] { mask_from_text("12", 2, 3); }).find("got 3 pixels in 2 runs"), std::string::npos);
  EXPECT_NE(error_of([] { mask_from_text("6", -2, -3); }).find("got -2 x -3"), std::string::npos);
}

TEST(Polygon, MasksEqualThoseOfThePublishedCode) {
  std::ifstream file(std::string(ATTN_GOLDEN_DIR) + "/coco/polygons.txt");
  int cases = 0;
  MaskRle before;
  for (std::string line; std::getline(file, line); ++cases) {
    std::istringstream in(line);
    std::uint32_t height = 0, width = 0;
    std::size_t count = 0;
    in >> height >> width >> count;
    std::vector<Polygon> polygons(count);
    for (Polygon& polygon : polygons) {
      in >> count;
      polygon.resize(count);
      for (double& v : polygon) in >> v;
    }
    std::string text;
    std::uint64_t pixels = 0;
    Box box;
    double plain = 0, of_crowd = 0;
    in >> text >> pixels >> box.x >> box.y >> box.width >> box.height >> plain >> of_crowd;
    ASSERT_TRUE(in) << line;
    MaskRle const mask = mask_of(polygons, height, width);
    if (cases % 8 == 0) before = mask;
    EXPECT_EQ(to_text(mask), text) << line;
    EXPECT_EQ(mask_from_text(text, height, width), mask);
    EXPECT_EQ(area(mask), pixels);
    EXPECT_EQ(bounding_box(mask), box);
    EXPECT_EQ(iou(mask, before), plain) << line;
    EXPECT_EQ(iou(mask, before, true), of_crowd) << line;
    before = mask;
  }
  EXPECT_EQ(cases, 96);
}

TEST(Polygon, AlongTheBordersOfPixelsHoldsThesePixels) {
  EXPECT_EQ(decode_mask(mask_of(Polygon{1, 0, 3, 0, 3, 2, 1, 2}, 3, 4)), (Pixels{0, 1, 1, 0,  //
                                                                                 0, 1, 1, 0,  //
                                                                                 0, 0, 0, 0}));
  EXPECT_EQ(mask_of(Box{1, 0, 2, 2}, 3, 4), mask_of(Polygon{1, 0, 3, 0, 3, 2, 1, 2}, 3, 4));
}

TEST(Polygon, FarOutsideTakesNoTimeAndNoMemory) {
  MaskRle const mask = mask_of(Polygon{-1e6, -1e6, 1e6, -1e6, 1e6, 1e6, -1e6, 1e6}, 5, 7);
  EXPECT_EQ(mask, (MaskRle{5, 7, {0, 35}}));
  EXPECT_EQ(mask_of(Polygon{1e6, 0, 1e6, 9, 9e5, 4}, 5, 7), (MaskRle{5, 7, {35}}));
  Polygon zigzag;  // 300,000 crossings of 7,000 pixels
  for (int i = 0; i < 300; ++i) zigzag.insert(zigzag.end(), {0.0, i % 7 * 1.0, 1000.0, (i + 3) % 7 * 1.0});
  EXPECT_EQ(mask_of(zigzag, 7, 1000).height, 7u);
}

TEST(Polygon, RefusesWhatIsNone) {
  EXPECT_EQ(error_of([] {
              mask_of(Polygon{1, 2, 3, 4}, 5, 5);
            }),
            "mask_of: give a polygon x and y of at least three points, got 4 numbers");
  EXPECT_NE(error_of([] { mask_of(Polygon{1, 2, 3, 4, 5, 6, 7}, 5, 5); }).find("got 7 numbers"), std::string::npos);
  EXPECT_NE(error_of([] { mask_of(Polygon{1, 2, 3, 4, 5, std::nan("")}, 5, 5); }).find("nan"), std::string::npos);
  EXPECT_NE(error_of([] {
              mask_of(Polygon{1, 2, 3, 4, 5, 1e300}, 5, 5);
            }).find("at most a million"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              mask_of(Polygon{1, 2, 3, 4, 5, 6}, 1u << 31, 4);
            }).find("at most 100000000"),
            std::string::npos);
}

}  // namespace
