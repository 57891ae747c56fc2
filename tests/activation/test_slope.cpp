#include "attn/activation/slope.hpp"
#include "attn/core/pack.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using attn::Row;
using attn::weight_and_slope;

struct Sine {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    return attn::sin(s);
  }
};

struct SineOfAnotherSlope : Sine {
  template <class T>
  ATTN_FUNCTION T slope(T, Row) const {
    return T(42);
  }
};

TEST(WeightAndSlope, ComesFromAJetWhereThereIsNoSlope) {
  auto const result = weight_and_slope(Sine{}, 0.75, Row{});
  EXPECT_DOUBLE_EQ(result.weight, std::sin(0.75));
  EXPECT_DOUBLE_EQ(result.slope, std::cos(0.75));
}

TEST(WeightAndSlope, PrefersTheOwnSlope) {
  auto const result = weight_and_slope(SineOfAnotherSlope{}, 0.75, Row{});
  EXPECT_DOUBLE_EQ(result.weight, std::sin(0.75));
  EXPECT_EQ(result.slope, 42.0);
}

TEST(WeightAndSlope, OfAJetIsAJet) {
  auto const result = weight_and_slope(Sine{}, attn::Jet<double, 1>::variable(0.75), Row{});
  EXPECT_DOUBLE_EQ(result.weight.coefficients[1], std::cos(0.75));
  EXPECT_DOUBLE_EQ(result.slope.coefficients[0], std::cos(0.75));
  EXPECT_DOUBLE_EQ(result.slope.coefficients[1], -std::sin(0.75));
}

TEST(WeightAndSlope, OfAPackIsThatOfEachLane) {
  using P = attn::Pack<float>;
  P s(0.0f);
  for (int lane = 0; lane < P::width; ++lane) s.lanes[lane] = 0.1f * float(lane) - 0.4f;
  auto const result = weight_and_slope(Sine{}, s, Row{});
  for (int lane = 0; lane < P::width; ++lane) {
    EXPECT_NEAR(result.weight[lane], std::sin(s[lane]), 1e-6);
    EXPECT_NEAR(result.slope[lane], std::cos(s[lane]), 1e-6);
  }
}

}  // namespace
