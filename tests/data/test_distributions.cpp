#include "attn/data/distributions.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>
#include <vector>

namespace {

using attn::RandomKey;
using attn::data::beta_variate;
using attn::data::Draws;
using attn::data::log_gamma_variate;
using attn::data::shuffle;

constexpr int samples = 20'000;
/// Kolmogorov's distance is beyond 1.95 / sqrt(n) once in a thousand times; the seeds are fixed.
double const largest_distance = 1.95 / std::sqrt(double(samples));

double distance(std::vector<double> values, std::function<double(double)> const& cumulative) {
  std::sort(values.begin(), values.end());
  double largest = 0;
  double const n = static_cast<double>(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    double const c = cumulative(values[i]);
    largest = std::max({largest, std::abs(c - double(i) / n), std::abs(c - double(i + 1) / n)});
  }
  return largest;
}

std::vector<double> beta_samples(double alpha, double beta) {
  std::vector<double> values;
  for (std::uint64_t i = 0; i < samples; ++i) {
    Draws draws(attn::subkey(RandomKey{3, 0}, i));
    values.push_back(beta_variate(draws, alpha, beta));
  }
  return values;
}

TEST(Beta, FollowsItsDistributionWhereThatIsKnownInClosedForm) {
  double const pi = std::numbers::pi;
  EXPECT_LT(distance(beta_samples(1, 1), [](double x) { return x; }), largest_distance);
  EXPECT_LT(distance(beta_samples(0.5, 0.5), [=](double x) { return 2 / pi * std::asin(std::sqrt(x)); }),
            largest_distance);
  EXPECT_LT(distance(beta_samples(2, 2), [](double x) { return x * x * (3 - 2 * x); }), largest_distance);
  EXPECT_LT(distance(beta_samples(3, 1), [](double x) { return x * x * x; }), largest_distance);
  EXPECT_LT(distance(beta_samples(0.2, 1), [](double x) { return std::pow(x, 0.2); }), largest_distance);
  EXPECT_GT(distance(beta_samples(0.8, 0.8), [](double x) { return x; }), largest_distance) << "the test can fail";
}

TEST(Beta, OfMixupHasItsMeanAndVariance) {
  std::vector<double> const values = beta_samples(0.8, 0.8);
  double mean = 0, square = 0;
  for (double const value : values) mean += value / samples, square += value * value / samples;
  EXPECT_NEAR(mean, 0.5, 4 * std::sqrt(1 / (4 * 2.6)) / std::sqrt(double(samples)));
  EXPECT_NEAR(square - mean * mean, 1 / (4 * 2.6), 0.002);  // alpha beta / ((alpha + beta)^2 (alpha + beta + 1))
}

TEST(Beta, StaysInItsRangeForTinyShapes) {
  int low = 0, high = 0;
  for (double const value : beta_samples(1e-4, 1e-4)) {
    ASSERT_TRUE(value >= 0 && value <= 1);
    low += value < 0.01;
    high += value > 0.99;
  }
  EXPECT_NEAR(double(low) / samples, 0.5, 0.02);
  EXPECT_NEAR(double(high) / samples, 0.5, 0.02);
}

TEST(Gamma, HasMeanAndVarianceOfItsShape) {
  for (double const shape : {0.3, 1.0, 2.5, 40.0}) {
    double mean = 0, square = 0;
    Draws draws(RandomKey{5, 1});
    for (int i = 0; i < samples; ++i) {
      double const value = std::exp(log_gamma_variate(draws, shape));
      mean += value / samples;
      square += value * value / samples;
    }
    double const error = 5 * std::sqrt(shape / samples);
    EXPECT_NEAR(mean, shape, error);
    EXPECT_NEAR((square - mean * mean) / shape, 1, 0.12);
  }
}

TEST(Draws, DependOnTheKeyAlone) {
  Draws a(RandomKey{1, 2}), b(RandomKey{1, 2}), c(RandomKey{1, 3});
  double const x = a.uniform();
  double const y = a.normal();
  EXPECT_EQ(b.normal(), y) << "uniform and normal numbers do not share a sequence";
  EXPECT_EQ(b.uniform(), x);
  EXPECT_NE(c.uniform(), x);
}

TEST(Draws, IntegersAreEvenlySpread) {
  Draws draws(RandomKey{7, 0});
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts.at(std::size_t(draws.integer(7)));
  for (int const count : counts) EXPECT_NEAR(count, 10'000, 400);
  EXPECT_EQ(draws.integer(1), 0);
}

TEST(Shuffle, IsAPermutationThatDependsOnTheKey) {
  for (std::size_t const n : {0u, 1u, 97u}) {
    std::vector<std::uint32_t> order(n), again(n), other(n);
    shuffle(RandomKey{1, 0}, order);
    shuffle(RandomKey{1, 0}, again);
    shuffle(RandomKey{1, 1}, other);
    EXPECT_EQ(order, again);
    EXPECT_EQ(order == other, n < 2);
    std::sort(order.begin(), order.end());
    for (std::uint32_t i = 0; i < n; ++i) EXPECT_EQ(order[i], i);
  }
}

TEST(Shuffle, MakesEveryOrderEquallyLikely) {
  std::array<int, 27> counts{};
  for (std::uint64_t i = 0; i < 6000; ++i) {
    std::array<std::uint32_t, 3> order{};
    shuffle(attn::subkey(RandomKey{1, 0}, i), order);
    ++counts[9 * order[0] + 3 * order[1] + order[2]];
  }
  int orders = 0;
  for (int const count : counts) {
    if (count == 0) continue;
    ++orders;
    EXPECT_NEAR(count, 1000, 130);
  }
  EXPECT_EQ(orders, 6);
}

}  // namespace
