#include "attn/nn/initialize.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace {

using attn::nn::draw;
using attn::nn::Initializer;

std::vector<double> sample(Initializer const& initializer, int n = 100'000) {
  std::vector<double> values;
  for (int i = 0; i < n; ++i) values.push_back(draw(initializer, {.seed = 5}, std::uint64_t(i)));
  return values;
}
double mean(std::vector<double> const& x) {
  double sum = 0;
  for (double const v : x) sum += v;
  return sum / double(x.size());
}
double deviation(std::vector<double> const& x) {
  double sum = 0, m = mean(x);
  for (double const v : x) sum += (v - m) * (v - m);
  return std::sqrt(sum / double(x.size()));
}

TEST(Initializer, ConstantsAreConstant) {
  EXPECT_EQ(draw(attn::nn::zeros(), {}, 3), 0.0);
  EXPECT_EQ(draw(attn::nn::ones(), {}, 3), 1.0);
  EXPECT_EQ(draw(attn::nn::constant(0.25), {}, 3), 0.25);
}

TEST(Initializer, UniformFillsItsInterval) {
  auto const x = sample(attn::nn::uniform(0.3));
  auto const [low, high] = std::minmax_element(x.begin(), x.end());
  EXPECT_GE(*low, -0.3);
  EXPECT_LT(*high, 0.3);
  EXPECT_NEAR(*low, -0.3, 1e-3);
  EXPECT_NEAR(*high, 0.3, 1e-3);
  EXPECT_NEAR(deviation(x), 0.3 / std::sqrt(3.0), 1e-3);
}

TEST(Initializer, FanInUniformIsBoundedByTheRootOfItsFan) {
  auto const x = sample(attn::nn::fan_in_uniform(16));
  EXPECT_NEAR(*std::max_element(x.begin(), x.end()), 0.25, 1e-3);
}

TEST(Initializer, XavierUniformHasTheVarianceOfGlorotAndBengio) {
  EXPECT_NEAR(deviation(sample(attn::nn::xavier_uniform(30, 20))), std::sqrt(2.0 / 50), 2e-3);
}

TEST(Initializer, NormalHasItsDeviation) {
  auto const x = sample(attn::nn::normal(0.02));
  EXPECT_NEAR(deviation(x), 0.02, 2e-4);
  EXPECT_NEAR(mean(x), 0, 4e-4);
}

TEST(Initializer, TruncatedNormalStaysWithinItsAbsoluteBounds) {
  auto const x = sample(attn::nn::truncated_normal(1.0, -0.5, 1.5));
  auto const [low, high] = std::minmax_element(x.begin(), x.end());
  EXPECT_GE(*low, -0.5);
  EXPECT_LE(*high, 1.5);
  // of the normal distribution on [-0.5, 1.5]: (phi(-0.5) - phi(1.5)) / (Phi(1.5) - Phi(-0.5))
  EXPECT_NEAR(mean(x), (0.3520653 - 0.1295176) / (0.9331928 - 0.3085375), 0.01);
  EXPECT_NEAR(deviation(sample(attn::nn::truncated_normal(0.02))), 0.02, 2e-4);
}

TEST(Initializer, TruncatedNormalWantsBoundsAroundZero) {
  EXPECT_THROW(attn::nn::truncated_normal(1.0, 0.5, 1.5), attn::Error);
}

}  // namespace
