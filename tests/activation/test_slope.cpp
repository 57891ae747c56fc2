#include "attn/activation/slope.hpp"

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

}  // namespace
