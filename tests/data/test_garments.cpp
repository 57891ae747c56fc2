#include "attn/data/garments.hpp"
#include "attn/data/idx_writer.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "io/files.hpp"

namespace {

using namespace attn::data;
using attn::RandomKey;

/// Flat garments, whose kind can be read off a canvas: kind k is a square of grey 20 (k + 1).
Dataset flat_garments() {
  Dataset source{.count = 20, .channels = 1, .height = 28, .width = 28, .classes = 10};
  for (int i = 0; i < 20; ++i) {
    source.images.insert(source.images.end(), 28 * 28, static_cast<std::uint8_t>(20 * (i % 10 + 1)));
    source.labels.push_back(i % 10);
  }
  return source;
}

/// What stands in each cell of a canvas, read off its pixels: the corner is ground, the middle has a garment on it.
struct Seen {
  std::vector<int> grounds, kinds;
};
Seen look(Dataset const& data, std::size_t image, GarmentOptions const& o) {
  Seen seen;
  for (int cell = 0; cell < o.cells(); ++cell) {
    int const top = cell / o.columns * o.cell, left = cell % o.columns * o.cell;
    auto const at = [&](int y, int x) {
      return int(data.image(image)[std::size_t(top + y) * data.width + std::size_t(left + x)]);
    };
    int const ground = at(0, 0), garment = at(o.cell / 2, o.cell / 2) - ground;
    seen.grounds.push_back(ground);
    int kind = -1;
    for (int k = 0; k < int(o.kinds.size()); ++k) {
      if (std::abs(garment - o.contrast * 20 * (o.kinds[std::size_t(k)] + 1)) <= 1) kind = k;
    }
    seen.kinds.push_back(kind);
  }
  return seen;
}

GarmentOptions const options_of[] = {
    {.relation = GarmentRelation::ground},
    {.rows = 1, .columns = 5, .cell = 8, .garment = 6, .relation = GarmentRelation::ground, .kinds = {3, 7}},
    {.relation = GarmentRelation::place},
    {.rows = 3, .columns = 1, .cell = 9, .garment = 5, .relation = GarmentRelation::place, .kinds = {0, 4, 9}},
    {.relation = GarmentRelation::pair},
    {.rows = 2, .columns = 3, .cell = 6, .garment = 4, .relation = GarmentRelation::pair, .kinds = {0, 2, 4, 6, 8}}};

TEST(Garments, LabelsAreWhatTheCanvasShows) {
  for (GarmentOptions const& o : options_of) {
    Dataset const data = compose_garments(flat_garments(), 300, o, RandomKey{.seed = 3});
    ASSERT_EQ(data.count, 300u);
    EXPECT_EQ(data.classes, o.classes());
    std::set<int> labels;
    for (std::size_t i = 0; i < data.count; ++i) {
      Seen const seen = look(data, i, o);
      std::vector<int> meant;  // all labels that the canvas could have
      int number = 0;
      for (int a = 0; a < o.cells(); ++a) {
        for (int b = a + 1; b < o.cells(); ++b, ++number) {
          if (o.relation == GarmentRelation::pair && seen.kinds[std::size_t(a)] == seen.kinds[std::size_t(b)]) {
            meant.push_back(number);
          }
          bool const asks = a == 0 && (o.relation == GarmentRelation::ground
                                           ? seen.grounds[0] == seen.grounds[std::size_t(b)]
                                           : o.relation == GarmentRelation::place && seen.kinds[0] == b - 1);
          if (asks) meant.push_back(seen.kinds[std::size_t(b)]);
        }
      }
      ASSERT_EQ(meant, std::vector<int>{data.labels[i]}) << "image " << i;
      EXPECT_EQ(seen.kinds[0] == -1, o.relation == GarmentRelation::ground);
      labels.insert(data.labels[i]);
    }
    EXPECT_EQ(int(labels.size()), o.classes());
  }
}

TEST(Garments, OfAPairNoCellAloneTellsTheLabel) {
  GarmentOptions const o{.relation = GarmentRelation::pair};
  std::map<std::pair<int, int>, int> together;  // kind in the first cell, label
  int constexpr count = 24000;
  for (int i = 0; i < count; ++i) {
    GarmentScene const scene = draw_garment_scene(o, attn::subkey(RandomKey{.seed = 1}, std::uint64_t(i)));
    ++together[{scene.kinds[0], scene.label}];
  }
  EXPECT_EQ(together.size(), 24u);
  for (auto const& [what, often] : together) EXPECT_NEAR(often, count / 24, 6 * std::sqrt(count / 24));
}

TEST(Garments, AreTheSameFromTheSameSeed_AndOthersFromAnother) {
  GarmentOptions const o{};
  auto const make = [&](std::uint64_t seed) {
    return compose_garments(flat_garments(), 20, o, RandomKey{.seed = seed});
  };
  EXPECT_EQ(make(1).images, make(1).images);
  EXPECT_EQ(make(1).labels, make(1).labels);
  EXPECT_NE(make(1).images, make(2).images);
  Dataset const more = compose_garments(flat_garments(), 40, o, RandomKey{.seed = 1}), few = make(1);
  EXPECT_TRUE(std::equal(few.images.begin(), few.images.end(), more.images.begin()));
}

TEST(Garments, OutlastAFile) {
  attn::testing::TemporaryDirectory const directory;
  Split const source{flat_garments(), flat_garments()};
  Split const split = compose_garments(source, 30, 10, GarmentOptions{}, 5);
  EXPECT_NE(split.test.images, take(split.train, 10).images);
  write_idx_split(split, directory / "new");
  Split const read = load_idx_split(idx_paths(directory / "new"), 4);
  EXPECT_EQ(read.train.images, split.train.images);
  EXPECT_EQ(read.test.images, split.test.images);
  EXPECT_EQ(read.train.labels, split.train.labels);
  EXPECT_EQ(read.test.labels, split.test.labels);
  EXPECT_EQ(read.train.normalization.mean, split.test.normalization.mean);
}

TEST(Garments, BadInput_IsRefused) {
  RandomKey const key{};
  auto const refused = [&](GarmentOptions const& o) {
    EXPECT_THROW((void)compose_garments(flat_garments(), 1, o, key), attn::Error);
  };
  refused({.rows = 1, .columns = 2});
  refused({.rows = 0});
  refused({.cell = 10, .garment = 14});
  refused({.kinds = {1}});
  refused({.kinds = {1, 10}});
  refused({.relation = GarmentRelation::pair, .kinds = {1, 2}});
  refused({.contrast = 0});
  EXPECT_EQ(compose_garments(flat_garments(), 0, GarmentOptions{}, key).count, 0u);
  Dataset colored = flat_garments();
  colored.channels = 3;
  EXPECT_THROW((void)compose_garments(colored, 1, GarmentOptions{}, key), attn::Error);
  Dataset many = flat_garments();
  many.classes = 300;
  EXPECT_THROW(write_idx(many, "/nowhere/a", "/nowhere/b"), attn::Error);
  EXPECT_THROW(write_idx(flat_garments(), "/nowhere/a", "/nowhere/b"), attn::Error);
}

}  // namespace
