// Pictures with their objects: plans, the folder in COCO's layout, batches.
#include "attn/data/encode_jpeg.hpp"
#include "attn/detection/detection_batches.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "data/temporary_folder.hpp"

namespace {

using namespace attn;
using namespace attn::detection;
using attn::testing::message_of;
using attn::testing::TemporaryFolder;

/// Five pictures of 40 x 60 or 60 x 40 pixels: grey, with a white rectangle that is an object. The fourth has none, and
/// a crowd in its place.
class CocoFolder : public ::testing::Test {
 protected:
  CocoFolder() {
    coco.categories = {{3, "three"}, {7, "seven"}};
    for (std::int64_t id = 1; id <= 5; ++id) {
      bool const wide = id % 2 == 1;
      std::uint32_t const height = wide ? 40 : 60, width = wide ? 60 : 40;
      coco.images.push_back({id, std::to_string(id) + ".jpg", height, width});
      double const x = 4 + double(id), y = 7, w = 20, h = 12;
      data::Image picture(height, width, 3, 90);
      for (std::size_t r = 7; r < 19; ++r) {
        for (std::size_t c = std::size_t(x); c < std::size_t(x) + 20; ++c) std::fill_n(picture.at(r, c), 3, 250);
      }
      std::ofstream(folder / (std::to_string(id) + ".jpg"), std::ios::binary) << data::encode_jpeg(picture, 95);
      CocoAnnotation object{.id = id, .image = id, .category = id < 3 ? 7 : 3, .box = {x, y, w, h}, .area = w * h};
      object.segmentation.polygons = {{x, y, x + w, y, x + w, y + h, x, y + h}};
      if (id == 4) {
        object.crowd = true;
        object.segmentation = {{}, mask_of(object.box, height, width)};
      }
      if (id == 5) object.segmentation = {{}, mask_of(object.box, height, width)};
      coco.annotations.push_back(object);
    }
  }
  static PictureSizes sizes() {
    return {.short_sides = {48, 64}, .most_long_side = 80, .crop_sides = {50}, .least_crop = 30, .most_crop = 45};
  }

  TemporaryFolder folder;
  CocoAnnotations coco;
};

TEST(PicturePlan, HasThePublishedSizes) {
  EXPECT_EQ(scaled_size({480, 640}, 800, 1333), nn::Size2(800, 1067));
  EXPECT_EQ(scaled_size({1000, 400}, 800, 1333), nn::Size2(1333, 533));
  auto const plan = plan_picture({480, 640}, evaluation_sizes(), {});
  EXPECT_EQ(plan.size, nn::Size2(800, 1067));
  EXPECT_FALSE(plan.flipped);
  EXPECT_EQ(plan.part, (data::ImageBox{0, 0, 480, 640}));
}

TEST(PicturePlan, MovesBoxesAndMasksWithThePicture) {
  int cut = 0, flipped = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    auto const plan = plan_picture({300, 500},
                                   {.short_sides = {120, 200},
                                    .most_long_side = 400,
                                    .crop_sides = {150, 260},
                                    .least_crop = 90,
                                    .most_crop = 160},
                                   {.seed = seed});
    cut += plan.part.height < 300 ? 1 : 0;
    flipped += plan.flipped ? 1 : 0;
    EXPECT_LE(std::max(plan.size.height, plan.size.width), 400);
    EXPECT_LE(plan.part.top + plan.part.height, 300 + 1e-9);
    Box const truth{150.5, 80.25, 130, 99.5};
    CornerBox const box = plan.box(truth);
    double const right = truth.x + truth.width, bottom = truth.y + truth.height;
    Segmentation object{.polygons = {{truth.x, truth.y, right, truth.y, right, bottom, truth.x, bottom}}};
    Box const drawn = bounding_box(plan.mask(object));
    Segmentation const as_mask{.mask = mask_of(object.polygons, 300, 500)};
    Box const moved = bounding_box(plan.mask(as_mask));
    if (box.width() < 3 || box.height() < 3) continue;  // hardly seen
    for (Box const& b : {drawn, moved}) {
      double const tolerance = 1.5 + double(plan.size.height) / plan.part.height;
      EXPECT_NEAR(b.x, box.left, tolerance);
      EXPECT_NEAR(b.y, box.top, tolerance);
      EXPECT_NEAR(b.x + b.width, box.right, tolerance);
      EXPECT_NEAR(b.y + b.height, box.bottom, tolerance);
    }
  }
  EXPECT_NEAR(cut, 100, 30);
  EXPECT_NEAR(flipped, 100, 30);
}

TEST_F(CocoFolder, LeavesOutPicturesWithoutObjectsToLearn) {
  CocoImages const train(coco, folder.path());
  EXPECT_EQ(train.size(), 4u);
  EXPECT_EQ(CocoImages(coco, folder.path(), {.for_training = false}).size(), 5u);
  coco.images[0].height = 31;
  EXPECT_EQ(CocoImages(coco, folder.path()).size(), 3u);
}

TEST_F(CocoFolder, ShowsTheObjectWhereItsBoxAndItsMaskAre) {
  CocoImages const train(coco, folder.path(), {.sizes = sizes()});
  DetectionSample sample;
  for (std::size_t i = 0; i < train.size(); ++i) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      train.sample(i, {.seed = seed}, sample);
      ASSERT_EQ(sample.pixels.size(), std::size_t(3 * sample.plan.size.area()));
      ASSERT_EQ(sample.masks.size(), sample.boxes.size());
      for (std::size_t g = 0; g < sample.boxes.size(); ++g) {
        EXPECT_EQ(sample.labels[g], sample.number < 2 ? 1 : 0);
        auto const mask = decode_mask(sample.masks[g]);
        double inside = 0, outside = 0;  // pixels that are on the wrong side, those of the border apart
        for (std::size_t p = 0; p < mask.size(); ++p) {
          bool const white = sample.pixels[p] > (170 - 123.675f) / 58.395f;
          inside += mask[p] != 0 && !white ? 1 : 0;
          outside += mask[p] == 0 && white ? 1 : 0;
        }
        double const border = 2 * double(sample.boxes[g].width() + sample.boxes[g].height()) + 8;
        EXPECT_LT(inside, border);
        EXPECT_LT(outside, border);
      }
    }
  }
}

TEST_F(CocoFolder, MakesTheSameBatchesWithAnyNumberOfWorkersAndAfterAResumption) {
  CocoImages const train(coco, folder.path(), {.sizes = sizes()});
  using Batches = DetectionBatches<CocoImages>;
  EXPECT_EQ(Batches::batches(train, 1), 4u);
  EXPECT_EQ(Batches::batches(train, 2), 1u);  // three wide pictures, one that is not
  auto const run = [&](std::size_t workers, std::uint64_t first, int count) {
    Batches batches(train, {.batch_size = 2, .key = {.seed = 3}, .workers = workers, .first_batch = first});
    std::vector<float> numbers;
    for (int i = 0; i < count; ++i) {
      auto const& batch = batches.next();
      EXPECT_EQ(batch.pixels.size(), std::size_t(2 * 3 * batch.size.area()));
      EXPECT_EQ(batch.size.height % 32, 0);
      EXPECT_EQ(batch.first.back(), Index(batch.labels.size()));
      EXPECT_EQ(batch.masks.size(), batch.labels.size() * std::size_t(batch.size.area()));
      if (i < count - 2) continue;
      numbers.insert(numbers.end(), batch.pixels.begin(), batch.pixels.end());
      numbers.insert(numbers.end(), batch.boxes.begin(), batch.boxes.end());
    }
    return numbers;
  };
  auto const alone = run(1, 0, 5);
  EXPECT_EQ(run(3, 0, 5), alone);
  EXPECT_EQ(run(2, 3, 2), alone);
}

TEST_F(CocoFolder, SaysWhichPictureCannotBeRead) {
  std::ofstream(folder / "2.jpg", std::ios::binary) << "no picture";
  CocoImages const strict(coco, folder.path(), {.sizes = sizes()});
  DetectionSample sample;
  EXPECT_NE(
      message_of<Error>([&] { strict.sample(1, {}, sample); }).find("2.jpg' is neither a JPEG nor a PNG but text"),
      std::string::npos);
  data::UnreadableImages unreadable;
  CocoImages const lenient(coco, folder.path(), {.sizes = sizes(), .unreadable = &unreadable});
  lenient.sample(1, {}, sample);
  EXPECT_EQ(sample.number, 2u);  // the next one
  EXPECT_EQ(unreadable.count(), 1u);
  coco.images[2].width = 61;
  EXPECT_NE(message_of<Error>([&] {
              strict.sample(2, {}, sample);
            }).find("3.jpg' has 40 x 60 pixels, its annotations say 40 x 61"),
            std::string::npos);
  coco.annotations.clear();
  EXPECT_EQ(message_of<Error>([&] { CocoImages(coco, folder.path()); }),
            "CocoImages: give annotations of at least one picture that can be used, got 5 pictures and 0 objects");
}

}  // namespace
