#include "attn/activation/related.hpp"
#include "attn/testing/check_activation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace {

using namespace attn;

template <class A>
std::vector<double> weights(A const& a, std::vector<double> const& scores) {
  typename A::template Stats<double> stats;
  for (double const s : scores) a.absorb(stats, s);
  std::vector<double> w;
  for (double const s : scores) w.push_back(a.numerator(s, stats) / a.normalizer(stats));
  return w;
}

std::vector<double> const scores = {-2.5, -1, -0.25, 0.5, 1, 3};

TEST(Related, Formulas_AreThoseOfTheirSources) {
  EXPECT_EQ(Identity{}(-1.5, Row{}), -1.5);
  EXPECT_EQ(SquaredRelu{}(3.0, Row{4, 0}), 2.25);
  EXPECT_EQ(SquaredRelu{}(-3.0, Row{4, 0}), 0.0);
  EXPECT_EQ(TaylorExponential{}(2.0, Row{}), 5.0);
  EXPECT_EQ(TaylorExponential{}(-1.0, Row{}), 0.5);
  EXPECT_EQ(EluPlusOne{}(2.0, Row{}), 3.0);
  EXPECT_DOUBLE_EQ(EluPlusOne{}(-2.0, Row{}), std::exp(-2.0));
  EXPECT_DOUBLE_EQ(RaisedCosine{}(0.0, Row{}), 2.0);
  EXPECT_EQ(AbsolutePower{3}(-2.0, Row{}), 8.0);
}

template <class A>
void expect_sound(A const& a, char const* name) {
  auto const report = attn::testing::check_activation(a, {.largest_score = 30});
  EXPECT_TRUE(report) << name << ": " << report.message();
}

TEST(Related, PointwiseActivations_AreSound) {
  expect_sound(Identity{}, "identity");
  expect_sound(SquaredRelu{}, "squared relu");
  expect_sound(TaylorExponential{}, "Taylor exponential");
  expect_sound(EluPlusOne{}, "elu + 1");
  expect_sound(RaisedCosine{}, "raised cosine");
  expect_sound(AbsolutePower{2}, "|s|^2");
  expect_sound(AbsolutePower{5}, "|s|^5");
}

TEST(Normalized, Activations_AreSound) {
  expect_sound(TaylorSoftmax{}, "Taylor softmax");
  expect_sound(L1Normalized{}, "l1");
  expect_sound(EluAttention{}, "elu + 1");
  expect_sound(CosineAttention{}, "cosine");
  expect_sound(PowerSoftmax{{3}}, "|s|^3");
}

TEST(Normalized, PositiveNumerators_SumToOne) {
  auto const sums_to_one = [](auto const& a) {
    auto const w = weights(a, scores);
    EXPECT_NEAR(std::accumulate(w.begin(), w.end(), 0.0), 1, 1e-15);
  };
  sums_to_one(TaylorSoftmax{});
  sums_to_one(EluAttention{});
  sums_to_one(CosineAttention{});
  sums_to_one(PowerSoftmax{{2}});
}

TEST(Normalized, NumeratorsOfBothSigns_KeepThemAndTheirSizesSumToOne) {
  auto const w = weights(L1Normalized{}, scores);
  double size = 0;
  for (std::size_t j = 0; j < w.size(); ++j) {
    EXPECT_EQ(w[j] > 0, scores[j] > 0);
    size += std::abs(w[j]);
  }
  EXPECT_NEAR(size, 1, 1e-15);
}

TEST(Normalized, ARowWithoutNumerators_HasNoWeight) {
  for (double const w : weights(L1Normalized{}, {0, 0, 0})) EXPECT_EQ(w, 0);
  for (double const w : weights(Normalized<SquaredRelu>{}, {-1, -2})) EXPECT_EQ(w, 0);
}

TEST(Normalized, ScalingTheNumerator_ChangesNothing) {
  auto const of_many_keys = weights(Normalized<SquaredRelu>{}, scores);
  double sum = 0;
  for (double const s : scores) sum += s > 0 ? s * s : 0;
  for (std::size_t j = 0; j < scores.size(); ++j) {
    EXPECT_DOUBLE_EQ(of_many_keys[j], scores[j] > 0 ? scores[j] * scores[j] / sum : 0);
  }
}

}  // namespace
