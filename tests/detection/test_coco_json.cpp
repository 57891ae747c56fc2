// Annotations and results in COCO's JSON, the figures that come of them, and a data set that is drawn.
#include "attn/detection/coco_json.hpp"
#include "attn/detection/evaluation.hpp"
#include "attn/detection/garment_folder.hpp"

#include <gtest/gtest.h>

#include <string>

#include "data/temporary_folder.hpp"

namespace {

using namespace attn::detection;

std::string const folder = std::string(ATTN_GOLDEN_DIR) + "/coco/";

/// An annotation of image 1 and category 3 with other fields put in.
std::string annotations(std::string const& changed, std::string const& more_images = "") {
  return R"({"info": {"year": 1, "list": [1]}, "images": [{"id": 1, "height": 10, "width": 20, "file_name": "a.jpg"})" +
         more_images + R"(], "categories": [{"id": 3, "name": "cat"}], "annotations": [{"id": 5, "image_id": 1,
         "category_id": 3, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0)" +
         changed + "}]}";
}
CocoAnnotations read(std::string const& changed) { return parse_coco_annotations(annotations(changed), "A.json"); }
CocoResults results(std::string const& text) { return parse_coco_results(text, "R.json", read("")); }

std::string error_of(auto const& work) { return attn::testing::message_of<attn::Error>(work); }
std::string annotation_error(std::string const& changed) {
  return error_of([&] { read(changed); });
}
std::string result_error(std::string const& text) {
  return error_of([&] { results(text); });
}

TEST(CocoEvaluation, FiguresEqualThoseOfThePublishedCode) {
  attn::io::MappedFile const file(folder + "figures.json");
  attn::io::Json const figures = attn::io::Json::parse(file.text());
  int compared = 0;
  for (auto const& [name, kinds] : figures.items()) {
    CocoAnnotations const coco = read_coco_annotations(folder + name + "_annotations.json");
    CocoResults const found = read_coco_results(folder + name + "_results.json", coco);
    for (auto const& [kind, wanted] : kinds.items()) {
      auto const evaluation = evaluate_coco(coco, found, kind == "bbox" ? CocoRegion::box : CocoRegion::mask);
      for (std::size_t i = 0; i < 12; ++i, ++compared) {
        EXPECT_NEAR(evaluation.figures[i], wanted[i].get<double>(), 1e-12) << name << " " << kind << " " << i;
      }
      EXPECT_EQ(evaluation.category_precision.size(), coco.categories.size());
    }
  }
  EXPECT_EQ(compared, 9 * 12);
}

TEST(CocoEvaluation, TakesAFewLines) {
  std::string const annotations_file = folder + "plain_annotations.json", results_file = folder + "plain_results.json";
  CocoAnnotations const coco = read_coco_annotations(annotations_file);
  CocoResults const results = read_coco_results(results_file, coco);
  CocoEvaluation const boxes = evaluate_coco(coco, results, CocoRegion::box);
  CocoEvaluation const masks = evaluate_coco(coco, results, CocoRegion::mask);
  std::string const table = coco_table(masks.figures);
  double const ap50 = boxes.figures[1], ap_of_first_category = boxes.category_precision[0];
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 12);
  EXPECT_TRUE(ap50 > 0 && ap_of_first_category >= -1);
}

TEST(CocoEvaluation, WhatIsRightCountsFully) {
  auto const found = results(R"([{"image_id": 1, "category_id": 3, "score": 0.5, "bbox": [1, 2, 3, 4]}])");
  auto const figures = evaluate_coco(read(""), found, CocoRegion::box).figures;
  std::array<double, 12> const wanted = {1, 1, 1, 1, -1, -1, 1, 1, 1, 1, -1, -1};
  for (std::size_t i = 0; i < 12; ++i) EXPECT_NEAR(figures[i], wanted[i], 1e-12) << i;
  auto const table = coco_table(figures);
  EXPECT_EQ(table.substr(0, table.find('\n')),
            " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000");
  EXPECT_EQ(table.substr(table.rfind('\n', table.size() - 2) + 1),
            " Average Recall     (AR) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = -1.000\n");
}

TEST(CocoEvaluation, ABoxOfAnOverlapOf062CountsAtThreeThresholds) {
  auto const found = results(R"([{"image_id": 1, "category_id": 3, "score": 0.5, "bbox": [1, 2, 3, 2.48]}])");
  EXPECT_NEAR(evaluate_coco(read(""), found, CocoRegion::box).figures[0], 0.3, 1e-12);
}

TEST(CocoEvaluation, OfNothingIsDefined) {
  auto const none = results("[]");
  EXPECT_EQ(evaluate_coco(read(""), none, CocoRegion::box).figures,
            (std::array<double, 12>{0, 0, 0, 0, -1, -1, 0, 0, 0, 0, -1, -1}));
  auto const crowd = read(R"(, "iscrowd": 1)");
  EXPECT_EQ(evaluate_coco(crowd, none, CocoRegion::box).figures[0], -1);
}

TEST(CocoEvaluation, OfMasksTakesMasks) {
  auto const none = results("[]");
  EXPECT_EQ(error_of([&] { evaluate_coco(read(""), none, CocoRegion::mask); }),
            "evaluate_coco: give each annotation a segmentation to compare masks, number 5 has none");
  auto const coco = parse_coco_annotations(
      annotations(R"(, "image_id": 2, "segmentation": [[1, 1, 5, 1, 5, 5]])", R"(, {"id": 2})"), "A.json");
  EXPECT_EQ(error_of([&] { evaluate_coco(coco, none, CocoRegion::mask); }),
            "evaluate_coco: give image 2 its height and width, which its polygons are drawn in");
}

TEST(CocoJson, ReadsEveryField) {
  auto const coco =
      read(R"(, "iscrowd": 1, "ignore": true, "segmentation": {"size": [10, 20], "counts": [8, 3, 189]})");
  ASSERT_EQ(coco.images.size(), 1u);
  EXPECT_EQ(coco.images[0].file, "a.jpg");
  EXPECT_EQ(coco.images[0].height, 10u);
  EXPECT_EQ(coco.images[0].width, 20u);
  ASSERT_EQ(coco.categories.size(), 1u);
  EXPECT_EQ(coco.categories[0].name, "cat");
  ASSERT_EQ(coco.annotations.size(), 1u);
  CocoAnnotation const& a = coco.annotations[0];
  EXPECT_EQ(a.box, (Box{1, 2, 3, 4}));
  EXPECT_EQ(a.area, 12);
  EXPECT_TRUE(a.crowd && a.ignore);
  EXPECT_EQ(a.segmentation.mask, (MaskRle{10, 20, {8, 3, 189}}));
  EXPECT_FALSE(is_learned(a, coco.images[0]));
  EXPECT_TRUE(is_learned(read("").annotations[0], coco.images[0]));
  EXPECT_FALSE(is_learned(read(R"(, "bbox": [1, 2, 0.5, 9])").annotations[0], coco.images[0]));
  EXPECT_FALSE(is_learned(read(R"(, "bbox": [25, 2, 5, 9])").annotations[0], coco.images[0]));
  EXPECT_TRUE(coco.notes.all().empty());

  auto const polygons = read(R"(, "segmentation": [[1, 1, 5, 1, 5, 5], [0, 0, 1, 0, 1, 1, 0, 1]])");
  EXPECT_EQ(polygons.annotations[0].segmentation.polygons.size(), 2u);
  auto const text = read(R"(, "segmentation": {"size": [10, 20], "counts": "83m5"})");
  EXPECT_EQ(text.annotations[0].segmentation.mask, (MaskRle{10, 20, {8, 3, 189}}));
}

TEST(CocoJson, AreasComeFromWhatTheFirstResultHas) {
  std::string const mask = R"("segmentation": {"size": [10, 20], "counts": [8, 3, 189]})";
  std::string const start = R"({"image_id": 1, "category_id": 3, "score": 1, )";
  EXPECT_EQ(results("[" + start + R"("bbox": [1, 2, 3, 5], )" + mask + "}]").results[0].area, 15);
  auto const of_mask = results("[" + start + mask + "}]");
  EXPECT_EQ(of_mask.results[0].area, 3);
  EXPECT_EQ(of_mask.results[0].box, (Box{0, 0, 2, 10}));
  EXPECT_TRUE(of_mask.has_masks);
}

TEST(CocoJson, CountsAndNamesWhatIsPassedOver) {
  auto const notes = [](CocoNotes const& all) {
    std::string text;
    for (CocoNote const& note : all.all()) text += note.text() + "\n";
    return text;
  };
  EXPECT_EQ(notes(read(R"(, "image_id": 9, "category_id": 91, "bbox": [1, 2, 0, 4]}, {"id": 5, "image_id": 9,
                   "category_id": 3, "bbox": [1, 2, 3, 4], "area": 1)")
                      .notes),
            "annotations of images that are not listed: 2 (the first: annotation 5, image 9)\n"
            "annotations of categories that are not listed: 1 (the first: annotation 5, category 91)\n"
            "boxes of no area: 1 (the first: annotation 5)\n"
            "annotations with the id of another, of which the last counts for each: 1 (the first: annotation 5)\n");
  EXPECT_EQ(
      notes(read(R"(, "bbox": [-9, 2, 3, 4], "id": 0)").notes),
      "annotations of id 0, whose matches the published evaluation takes for misses: 1 (the first: annotation 0)\n"
      "boxes outside of their images: 1 (the first: annotation 0)\n");
  auto const twice = parse_coco_annotations(annotations("", R"(, {"id": 1, "height": 7, "width": 7})"), "A.json");
  EXPECT_EQ(notes(twice.notes), "images listed twice, of which the last counts: 1 (the first: id 1)\n");
  EXPECT_EQ(twice.images.size(), 1u);
  EXPECT_EQ(twice.images[0].height, 7u);
  EXPECT_EQ(notes(results(R"([{"image_id": 1, "category_id": 91, "score": 1, "bbox": [1, 2, 0, 5],
                          "segmentation": {"size": [2, 2], "counts": [4]}}])")
                      .notes),
            "results of categories that are not listed: 1 (the first: 'R.json', results[0], category 91)\n"
            "results with boxes of no area: 1 (the first: 'R.json', results[0])\n"
            "masks of another size than their images, which match nothing: 1 (the first: 'R.json', results[0])\n");
}

TEST(CocoJson, OneSentenceSaysWhatCannotBeRead) {
  std::string const at = "'A.json', annotations[0] (id 5): ";
  EXPECT_EQ(annotation_error(R"(, "segmentation": [[1, 2, 3, 4]])"),
            at + "segmentation: give a polygon x and y of at least three points, got 4 numbers");
  EXPECT_EQ(annotation_error(R"(, "segmentation": {"size": [10, 20], "counts": [8, 3]})"),
            at + "counts: give runs that add up to the 10 x 20 pixels of their mask, got 11 pixels in 2 runs");
  EXPECT_EQ(annotation_error(R"(, "segmentation": {"size": [1e6, 1e6], "counts": [1]})"),
            at + "size: give a mask at most 100000000 pixels, got 1000000 x 1000000");
  EXPECT_EQ(annotation_error(R"(, "segmentation": {"size": [10, 20], "counts": [8, -3, 195]})"),
            at + "counts: give whole numbers from 0 to 100000000, got -3");
  EXPECT_EQ(annotation_error(R"(, "segmentation": {"size": [10], "counts": [200]})"),
            at + "size: give two whole numbers, height and width, got [10]");
  EXPECT_EQ(annotation_error(R"(, "segmentation": 7)"),
            at + "segmentation: give polygons, or an object with size and counts");
  EXPECT_EQ(annotation_error(R"(, "bbox": [1, 2, 3])"), at + "bbox: give four numbers, x, y, width and height, got 3");
  EXPECT_EQ(annotation_error(R"(, "bbox": [1, 2, 3, null])"), at + "bbox: give a list of numbers, got [1,2,3,null]");
  EXPECT_EQ(annotation_error(R"(, "image_id": "one")"), at + "give image_id a number, got \"one\"");
  EXPECT_EQ(annotation_error(R"(, "category_id": 1.5)"), at + "give category_id a whole number, got 1.5");
  EXPECT_EQ(annotation_error(R"(}, {"id": 8)"), "'A.json', annotations[1] (id 8): give it a field 'image_id'");
  EXPECT_NE(
      annotation_error(R"(, "bbox": [1, 2, 3, NaN])").find("'A.json' is no JSON that can be read, which has no NaN"),
      std::string::npos);
  EXPECT_NE(error_of([] {
              parse_coco_annotations(annotations("", R"(, {"id": 2, "height": -1, "width": 5})"), "A.json");
            }).find("'A.json', images[1] (id 2): give height and width from 0"),
            std::string::npos);
  EXPECT_EQ(annotation_error("}, 7, {"), "'A.json', annotations: give objects in this list");
  EXPECT_EQ(error_of([] { parse_coco_annotations(R"({"images": [], "annotations": []})", "A.json"); }),
            "'A.json': give annotations an object with the lists images, categories and annotations; there is no list "
            "categories");
  EXPECT_NE(error_of([] { parse_coco_annotations("", "A.json"); }).find("'A.json' is no JSON"), std::string::npos);

  EXPECT_EQ(result_error(R"([{"image_id": 2, "category_id": 3, "score": 1, "bbox": [1, 2, 3, 4]}])"),
            "'R.json', results[0]: give results of images that the annotations list, 2 is none");
  EXPECT_EQ(result_error(R"([{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}])"),
            "'R.json', results[0]: give it a field 'score'");
  EXPECT_EQ(result_error(R"([{"image_id": 1, "category_id": 3, "score": 1}])"),
            "'R.json', results[0]: give a bbox or a segmentation");
  EXPECT_EQ(result_error(R"([{"image_id": 1, "category_id": 3, "score": 1, "bbox": [1, 2, 3, 4]},
                          {"image_id": 1, "category_id": 3, "score": 1, "segmentation": {"size": [1, 1], "counts": [1]}}])"),
            "'R.json', results[1]: give a bbox, as the first result has");
  EXPECT_EQ(result_error(R"({"annotations": []})"), "'R.json': give a list of results");
}

/// Rings and discs of 28 x 28.
attn::data::Dataset garments_of_test() {
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
  attn::testing::TemporaryFolder const written_to;
  auto const garments = garments_of_test();
  GarmentSceneOptions const options{.share_empty = 0.2, .share_crowds = 0.5};
  auto const written = write_garment_images(garments, 20, options, {.seed = 1}, written_to.path(), "val2017");
  auto const read = read_coco_annotations(written_to / "annotations/instances_val2017.json");
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
  attn::io::MappedFile const picture(written_to / "val2017/000000000007.jpg");
  EXPECT_TRUE(picture.text().starts_with("\xff\xd8") && picture.text().ends_with("\xff\xd9"));
}

TEST(GarmentFolder, DependsOnTheKeyAlone) {
  auto const garments = garments_of_test();
  auto const one = draw_garments(garments, {}, {.seed = 5}), other = draw_garments(garments, {}, {.seed = 6});
  EXPECT_EQ(one.image, draw_garments(garments, {}, {.seed = 5}).image);
  EXPECT_NE(one.image, other.image);
}

TEST(GarmentFolder, RefusesWhatCannotBeDrawn) {
  auto const garments = garments_of_test();
  auto const error = [&](GarmentSceneOptions const& o) { return error_of([&] { draw_garments(garments, o, {}); }); };
  EXPECT_EQ(error({.least_side = 8}), "draw_garments: give sides from 32 to 4096 pixels, got 8 to 160");
  EXPECT_NE(error({.most_objects = 0}).find("1 to 1000 objects"), std::string::npos);
  EXPECT_NE(error({.smallest = 0.7}).find("got 0.7 to 0.6"), std::string::npos);
  EXPECT_NE(error_of([] { draw_garments({}, {}, {}); }).find("got 0 of 1 channels"), std::string::npos);
}

}  // namespace
