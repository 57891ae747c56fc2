// Pictures of garments in COCO's layout: what is drawn, written, and read again.
#include "attn/data/decode_image.hpp"
#include "attn/detection/coco_json.hpp"
#include "attn/detection/garment_folder.hpp"

#include <gtest/gtest.h>

#include "data/temporary_folder.hpp"

namespace {

using namespace attn::detection;
using attn::testing::message_of;

/// Rings and discs of 28 x 28.
attn::data::Dataset source() {
  attn::data::Dataset all{.count = 12, .height = 28, .width = 28, .classes = 3, .class_names = {"a", "b", "c"}};
  for (int i = 0; i < 12; ++i) {
    all.labels.push_back(i % 3);
    for (int p = 0; p < 784; ++p) {
      double const y = p / 28 - 13.5, x = p % 28 - 13.5, r = y * y * (1 + i % 3) + x * x;
      all.images.push_back(r < 150 && (i % 2 == 0 || r > 30) ? std::uint8_t(100 + i * 10) : 0);
    }
  }
  return all;
}

std::vector<std::uint8_t> pixels_of(std::string const& picture) {
  std::vector<std::uint8_t> pixels;
  for (char const c : picture) pixels.push_back(c == '#' ? 1 : 0);
  return pixels;
}

TEST(Outlines, GoRoundPixelsAndFillHoles) {
  MaskRle const mask = encode_mask(pixels_of("##.####"
                                             "##.#..#"
                                             "..###.#"
                                             "##.####"
                                             "#......"),
                                   5, 7);
  auto const polygons = outlines(mask);
  ASSERT_EQ(polygons.size(), 3u);
  EXPECT_EQ(polygons[0], (Polygon{0, 0, 2, 0, 2, 2, 0, 2}));
  EXPECT_EQ(polygons[2], (Polygon{0, 3, 2, 3, 2, 4, 1, 4, 1, 5, 0, 5}));
  EXPECT_EQ(mask_of(polygons, 5, 7), encode_mask(pixels_of("##.####"
                                                           "##.####"
                                                           "..#####"
                                                           "##.####"
                                                           "#......"),
                                                 5, 7));
  EXPECT_TRUE(outlines({3, 2, {6}}).empty());
}

TEST(Outlines, OfAnyPixelsBecomeAMaskThatHoldsThem) {
  std::uint32_t seed = 3;
  for (int i = 0; i < 50; ++i) {
    std::vector<std::uint8_t> pixels(11 * 13);
    for (auto& p : pixels) p = (seed = seed * 1664525u + 1013904223u) >> 24 < 60 + 3u * unsigned(i) ? 1 : 0;
    MaskRle const masks[] = {encode_mask(pixels, 11, 13), mask_of(outlines(encode_mask(pixels, 11, 13)), 11, 13)};
    EXPECT_EQ(intersect(masks), masks[0]) << i;
    EXPECT_EQ(mask_of(outlines(masks[1]), 11, 13), masks[1]) << i;
  }
}

TEST(GarmentFolder, IsReadAsItWasWritten) {
  attn::testing::TemporaryFolder const folder;
  auto const garments = source();
  GarmentSceneOptions const options{.share_empty = 0.2, .share_crowds = 0.5};
  auto const written = write_garment_images(garments, 20, options, {.seed = 1}, folder.path(), "val2017");
  auto const read = read_coco_annotations(folder / "annotations/instances_val2017.json");
  EXPECT_TRUE(read.notes.all().empty());
  ASSERT_EQ(read.images.size(), 20u);
  ASSERT_EQ(read.categories.size(), 3u);
  EXPECT_EQ(read.categories[2].id, 19);
  EXPECT_EQ(read.categories[2].name, "c");
  ASSERT_EQ(read.annotations.size(), written.annotations.size());
  std::size_t crowds = 0, with_objects = 0;
  std::int64_t before = 0;
  for (std::size_t i = 0; i < read.annotations.size(); ++i) {
    CocoAnnotation const &a = read.annotations[i], &wanted = written.annotations[i];
    CocoImage const& image = read.images[std::size_t(a.image - 1)];
    MaskRle const mask = mask_of(a.segmentation, image.height, image.width);
    EXPECT_EQ(mask, mask_of(wanted.segmentation, image.height, image.width));
    EXPECT_EQ(a.area, double(area(mask)));
    EXPECT_GT(a.area, 0);
    EXPECT_EQ(a.box, bounding_box(mask));
    EXPECT_EQ(a.crowd, a.segmentation.mask.has_value());
    crowds += a.crowd;
    with_objects += a.image != before;
    before = a.image;
  }
  EXPECT_GT(crowds, 3u);
  EXPECT_LT(with_objects, 20u);  // some show nothing
  auto const picture = attn::data::read_image(folder / "val2017/000000000007.jpg");
  EXPECT_EQ(picture.height, read.images[6].height);
  EXPECT_EQ(picture.width, read.images[6].width);
}

TEST(GarmentFolder, DependsOnTheKeyAlone) {
  auto const garments = source();
  auto const one = draw_garments(garments, {}, {.seed = 5}), other = draw_garments(garments, {}, {.seed = 6});
  EXPECT_EQ(one.image, draw_garments(garments, {}, {.seed = 5}).image);
  EXPECT_NE(one.image, other.image);
}

TEST(GarmentFolder, RefusesWhatCannotBeDrawn) {
  auto const garments = source();
  auto const error = [&](GarmentSceneOptions const& o) {
    return message_of<attn::Error>([&] { draw_garments(garments, o, {}); });
  };
  EXPECT_EQ(error({.least_side = 8}), "draw_garments: give sides from 32 to 4096 pixels, got 8 to 160");
  EXPECT_NE(error({.most_objects = 0}).find("1 to 1000 objects"), std::string::npos);
  EXPECT_NE(error({.smallest = 0.7}).find("got 0.7 to 0.6"), std::string::npos);
  EXPECT_NE(message_of<attn::Error>([] { draw_garments({}, {}, {}); }).find("got 0 of 1 channels"), std::string::npos);
}

TEST(EncodeJpeg, IsDecodedToTheSamePicture) {
  attn::data::Image image(19, 31, 3);
  for (std::size_t y = 0; y < 19; ++y) {
    for (std::size_t x = 0; x < 31; ++x) {
      for (std::size_t c = 0; c < 3; ++c) image.at(y, x)[c] = std::uint8_t(60 + 4 * x + 3 * y + 10 * c);
    }
  }
  std::string const bytes = attn::data::encode_jpeg(image, 95);
  std::span const span(reinterpret_cast<unsigned char const*>(bytes.data()), bytes.size());
  auto const decoded = attn::data::decode_image(span, "image");
  ASSERT_EQ(decoded.pixels.size(), image.pixels.size());
  for (std::size_t i = 0; i < image.pixels.size(); ++i) ASSERT_NEAR(decoded.pixels[i], image.pixels[i], 8) << i;
  EXPECT_EQ(message_of<attn::Error>([&] { attn::data::encode_jpeg(image, 0); }),
            "encode_jpeg: give a quality from 1 to 100, got 0");
  EXPECT_NE(message_of<attn::Error>([] { attn::data::encode_jpeg({}); }).find("at least one pixel"), std::string::npos);
}

}  // namespace
