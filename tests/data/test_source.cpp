// A data set of one's own, as docs/add_a_data_set.md shows it.
#include "attn/data/batches.hpp"
#include "attn/data/source.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "data/images.hpp"

namespace {

using namespace attn::data;

/// Discs and squares of random size on noise: an endless supply that is drawn when it is asked for.
class Shapes {
 public:
  using Sample = ImageSample<float>;

  std::size_t size() const { return 1000; }
  ImageShape shape() const { return {.channels = 1, .height = 16, .width = 16, .classes = 2}; }

  void sample(std::size_t i, attn::RandomKey key, Sample& out) const {
    Draws draws(key);
    out.label = static_cast<int>(i % 2);
    double const size = draws.uniform(2, 7), x = draws.uniform(6, 10), y = draws.uniform(6, 10);
    for (int p = 0; p < 256; ++p) {
      double const dx = p % 16 - x, dy = p / 16 - y;
      bool const inside = out.label == 0 ? dx * dx + dy * dy < size * size : std::max(dx * dx, dy * dy) < size * size;
      out.pixels[p] = static_cast<float>((inside ? 1 : 0) + 0.1 * draws.normal());
    }
  }
};

static_assert(Source<Shapes> && ImageSource<Shapes, float> && !ImageSource<Shapes, double>);
static_assert(ImageSource<DatasetImages<float>, float> && !Source<Dataset>);

TEST(Source, OfAUserMakesBatches) {
  TrainingBatches batches(Shapes{}, {.batch_size = 64, .key = {.seed = 1}, .workers = 2});
  EvaluationBatches in_order(Shapes{}, 64);
  auto const& batch = batches.next();
  EXPECT_EQ(batches.batches_per_epoch(), 15u);
  EXPECT_EQ(batch.images().extent(2), 16u);
  for (std::size_t b = 0; b < batch.size(); ++b) EXPECT_EQ(batch.labels()(b), int(batch.indices[b] % 2));
  std::size_t images = 0;
  while (auto const* next = in_order.next()) images += next->size();
  EXPECT_EQ(images, 1000u);
}

TEST(Source, IsAskedByAllWorkersWithKeysThatDependOnTheSample) {
  attn::data::Dataset const data = attn::testing::numbered_images(6, 1, 3, 4, 5);
  DatasetImages<float> const images(data, {.crop_padding = 1, .flip_probability = 0.5});
  std::vector<float> first(12), again(12), other(12);
  ImageSample<float> a{first.data()}, b{again.data()}, c{other.data()};
  images.sample(3, {.seed = 1, .stream = 2}, a);
  images.sample(3, {.seed = 1, .stream = 2}, b);
  EXPECT_EQ(first, again);
  EXPECT_EQ(a.label, data.labels[3]);
  bool differs = false;
  for (std::uint64_t stream = 3; stream < 10; ++stream) {
    images.sample(3, {.seed = 1, .stream = stream}, c);
    differs = differs || other != first;
  }
  EXPECT_TRUE(differs);
}

TEST(Shuffled, GivesTheOrderOfAKeyWheneverItIsAsked) {
  Shuffled order(100);
  auto const first = order({.seed = 1}), second = order({.seed = 2});
  EXPECT_NE(first, second);
  EXPECT_EQ(order({.seed = 2}), second);
  EXPECT_EQ(order({.seed = 1}), first);
  auto sorted = first;
  std::sort(sorted.begin(), sorted.end());
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_EQ(sorted[i], i);
}

}  // namespace
