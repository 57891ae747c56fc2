#include "attn/data/mix.hpp"
#include "attn/io/npy.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using namespace attn::data;
using attn::RandomKey;

template <class T>
std::vector<T> golden(std::string const& name) {
  return attn::io::read_npy(Path(ATTN_GOLDEN_DIR) / "data" / (name + ".npy")).as<T>();
}

class GoldenMix : public ::testing::TestWithParam<char const*> {};

TEST_P(GoldenMix, ImagesAndTargetsAreThoseOfTimm) {
  std::string const name = GetParam();
  double const ratio = golden<double>(name + "_ratio")[0];
  std::vector<std::int64_t> const centre = golden<std::int64_t>(name + "_centre");
  Mix mix{.kind = name == "mixup" ? MixKind::mixup : MixKind::none, .ratio = ratio};
  if (name.starts_with("cutmix")) mix = cutmix(6, 5, ratio, std::size_t(centre[0]), std::size_t(centre[1]));

  std::vector<float> images = golden<float>("images");
  apply_mix(mix, images.data(), 4, 2, 6, 5);
  std::vector<float> const expected = golden<float>(name + "_images");
  ASSERT_EQ(images.size(), expected.size());
  for (std::size_t i = 0; i < images.size(); ++i)
    EXPECT_NEAR(images[i], expected[i], 4e-7 * (1 + std::abs(expected[i])));

  std::vector<std::int32_t> labels;
  for (std::int64_t const label : golden<std::int64_t>("labels")) labels.push_back(static_cast<std::int32_t>(label));
  std::vector<float> targets(4 * 7);
  fill_targets(labels.data(), 4, 7, 0.1, mix.ratio, targets.data());
  std::vector<float> const expected_targets = golden<float>(name + "_targets");
  for (std::size_t i = 0; i < targets.size(); ++i) EXPECT_NEAR(targets[i], expected_targets[i], 2e-7);
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenMix,
                         ::testing::Values("mixup", "cutmix_inside", "cutmix_corner", "cutmix_whole", "unmixed"));

TEST(Cutmix, BoxesAndRatiosAreThoseOfTimm) {
  std::vector<double> const requests = golden<double>("boxes_requests");
  std::vector<std::int64_t> const edges = golden<std::int64_t>("boxes_edges");
  std::vector<double> const ratios = golden<double>("boxes_ratios");
  for (std::size_t i = 0; i < ratios.size(); ++i) {
    double const* const r = &requests[5 * i];
    Mix const mix = cutmix(std::size_t(r[0]), std::size_t(r[1]), r[2], std::size_t(r[3]), std::size_t(r[4]));
    std::vector<std::int64_t> const found = {std::int64_t(mix.box.top), std::int64_t(mix.box.bottom),
                                             std::int64_t(mix.box.left), std::int64_t(mix.box.right)};
    EXPECT_EQ(found, std::vector<std::int64_t>(edges.begin() + std::ptrdiff_t(4 * i),
                                               edges.begin() + std::ptrdiff_t(4 * i + 4)));
    EXPECT_NEAR(mix.ratio, ratios[i], 1e-6);
  }
}

TEST(Targets, OfAThousandClassesAreThoseOfLabelSmoothing) {
  std::int32_t const labels[] = {3, 999};
  std::vector<double> targets(2000);
  fill_targets(labels, 2, 1000, 0.1, 1.0, targets.data());
  EXPECT_NEAR(targets[3], 0.9001, 1e-12);
  EXPECT_NEAR(targets[4], 0.0001, 1e-12);
  EXPECT_NEAR(targets[1999], 0.9001, 1e-12);
}

TEST(Targets, SumToOneWhateverTheMix) {
  std::int32_t const labels[] = {0, 1, 2, 2, 1};
  for (double const ratio : {0.0, 0.3, 1.0}) {
    for (double const smoothing : {0.0, 0.1}) {
      std::vector<double> targets(5 * 3);
      fill_targets(labels, 5, 3, smoothing, ratio, targets.data());
      for (int b = 0; b < 5; ++b) {
        EXPECT_NEAR(std::accumulate(targets.begin() + 3 * b, targets.begin() + 3 * b + 3, 0.0), 1, 1e-12);
      }
    }
  }
}

TEST(ApplyMix, OddBatchLeavesItsMiddleAlone) {
  std::vector<double> images = {1, 2, 3};
  apply_mix({.kind = MixKind::mixup, .ratio = 0.75}, images.data(), 3, 1, 1, 1);
  EXPECT_EQ(images, (std::vector<double>{1.5, 2, 2.5}));
  std::vector<double> one = {1};
  apply_mix({.kind = MixKind::cutmix, .ratio = 0, .box = {0, 1, 0, 1}}, one.data(), 1, 1, 1, 1);
  EXPECT_EQ(one, std::vector<double>{1});
}

TEST(DrawMix, NeverMixesByDefault) {
  EXPECT_EQ(draw_mix({1, 2}, {}, 8, 8).kind, MixKind::none);
  EXPECT_EQ(draw_mix({1, 2}, {}, 8, 8).ratio, 1.0);
}

TEST(DrawMix, KindsOccurAsOftenAsAskedFor) {
  int const n = 4000;
  auto const count = [&](Mixing const& options, MixKind kind) {
    int found = 0;
    for (std::uint64_t i = 0; i < n; ++i)
      found += draw_mix(attn::subkey(RandomKey{1, 0}, i), options, 8, 8).kind == kind;
    return found;
  };
  Mixing const deit{.mixup_alpha = 0.8, .cutmix_alpha = 1};
  EXPECT_NEAR(count(deit, MixKind::cutmix), n / 2, 4 * std::sqrt(n / 4.0));
  EXPECT_EQ(count(deit, MixKind::none), 0);
  EXPECT_EQ(count({.mixup_alpha = 0.8}, MixKind::mixup), n);
  EXPECT_EQ(count({.cutmix_alpha = 1}, MixKind::cutmix), n);
  EXPECT_NEAR(count({.mixup_alpha = 0.8, .probability = 0.25}, MixKind::none), 0.75 * n, 4 * std::sqrt(n * 0.1875));
  EXPECT_NEAR(count({.mixup_alpha = 0.8, .cutmix_alpha = 1, .cutmix_probability = 0.1}, MixKind::cutmix), 0.1 * n,
              4 * std::sqrt(n * 0.09));
}

TEST(DrawMix, RatioIsTheAreaThatStays) {
  double sum = 0;
  int const n = 4000;
  for (std::uint64_t i = 0; i < n; ++i) {
    Mix const mix = draw_mix(attn::subkey(RandomKey{2, 0}, i), {.cutmix_alpha = 1}, 28, 20);
    ASSERT_TRUE(mix.box.top <= mix.box.bottom && mix.box.bottom <= 28 && mix.box.left <= mix.box.right &&
                mix.box.right <= 20);
    double const area = double((mix.box.bottom - mix.box.top) * (mix.box.right - mix.box.left));
    EXPECT_NEAR(mix.ratio, 1 - area / 560, 1e-12);
    sum += draw_mix(attn::subkey(RandomKey{2, 0}, i), {.mixup_alpha = 0.8}, 28, 20).ratio;
  }
  EXPECT_NEAR(sum / n, 0.5, 4 * 0.31 / std::sqrt(double(n)));
}

TEST(Mixing, RefusesImpossibleOptions) {
  EXPECT_ERROR(Mixing{.mixup_alpha = -1}.check(), "an alpha of at least 0, not -1");
  EXPECT_ERROR(Mixing{.probability = 2}.check(), "probabilities from 0 to 1");
}

}  // namespace
