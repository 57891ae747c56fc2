#include "attn/activation/softmax.hpp"
#include "attn/testing/check_activation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace {

using attn::Softmax;

template <class T>
std::vector<T> softmax(std::vector<T> const& scores) {
  Softmax::Stats<T> stats;
  for (T const s : scores) (void)Softmax{}.absorb(stats, s);
  std::vector<T> w;
  for (T const s : scores) w.push_back(Softmax{}.numerator(s, stats) / Softmax{}.normalizer(stats));
  return w;
}

TEST(Softmax, IsTheQuotientOfExponentials) {
  std::vector<double> const scores = {0.5, -1, 2, 2, 0};
  double sum = 0;
  for (double const s : scores) sum += std::exp(s);
  auto const w = softmax(scores);
  for (std::size_t j = 0; j < scores.size(); ++j) EXPECT_NEAR(w[j], std::exp(scores[j]) / sum, 1e-15);
}

TEST(Softmax, OfARowThatIsShiftedIsTheSame) {
  auto const w = softmax<double>({0.5, -1, 2}), shifted = softmax<double>({1000.5, 999, 1002});
  for (std::size_t j = 0; j < 3; ++j) EXPECT_NEAR(w[j], shifted[j], 1e-12);
}

TEST(Softmax, OfScoresThatOverflowTheExponentialIsFinite) {
  EXPECT_EQ(softmax<float>({1e30f, 1e30f, -1e30f}), (std::vector<float>{0.5f, 0.5f, 0.0f}));
  EXPECT_EQ(softmax<float>({-1e38f}), std::vector<float>{1.0f});
  EXPECT_EQ(softmax<float>({-3e38f, 3e38f}), (std::vector<float>{0.0f, 1.0f}));
}

TEST(Softmax, PullsBackThroughTheJacobian) {
  // ds_k = sum_j dw_j w_j ([j = k] - w_k)
  std::vector<double> const w = softmax<double>({0.5, -1, 2}), d_w = {0.3, -2, 1};
  double delta = 0;
  for (std::size_t j = 0; j < 3; ++j) delta += w[j] * d_w[j];
  for (std::size_t k = 0; k < 3; ++k) {
    double expected = 0;
    for (std::size_t j = 0; j < 3; ++j) expected += d_w[j] * w[j] * ((j == k) - w[k]);
    EXPECT_NEAR(Softmax{}.pullback(w[k], d_w[k], delta), expected, 1e-15);
  }
}

TEST(Softmax, IsSound) {
  auto const report = attn::testing::check_activation(Softmax{});
  EXPECT_TRUE(report) << report.message();
}

}  // namespace
