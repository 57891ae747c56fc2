#include "attn/core/scalar.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

TEST(Power, IsRepeatedMultiplication) {
  EXPECT_EQ(attn::power<0>(7.0), 1.0);
  EXPECT_EQ(attn::power<0>(0.0), 1.0);
  EXPECT_EQ(attn::power<1>(-3.0), -3.0);
  EXPECT_EQ(attn::power<2>(-3.0), 9.0);
  EXPECT_EQ(attn::power<3>(-3.0), -27.0);
  EXPECT_EQ(attn::power<6>(-2.0), 64.0);
  EXPECT_EQ(attn::power<13>(2), 8192);
}

TEST(Power, IsAConstantExpression) { static_assert(attn::power<5>(2) == 32); }

TEST(MaxAndMin, ReturnTheSecondOfTwoEqualArguments) {
  // -0 and +0 compare equal and tell which argument came back.
  EXPECT_TRUE(std::signbit(attn::max(0.0, -0.0)));
  EXPECT_FALSE(std::signbit(attn::max(-0.0, 0.0)));
  EXPECT_TRUE(std::signbit(attn::min(0.0, -0.0)));
  EXPECT_EQ(attn::max(2.0f, 3.0f), 3.0f);
  EXPECT_EQ(attn::min(2.0f, 3.0f), 2.0f);
}

TEST(WhereGreater, ChoosesByStrictComparison) {
  EXPECT_EQ(attn::where_greater(2.0, 1.0, 10.0, 20.0), 10.0);
  EXPECT_EQ(attn::where_greater(1.0, 1.0, 10.0, 20.0), 20.0);
}

TEST(Functions, AreThoseOfTheStandardLibrary) {
  double const x = 0.7;
  EXPECT_EQ(attn::abs(-x), x);
  EXPECT_DOUBLE_EQ(attn::exp(x), std::exp(x));
  EXPECT_DOUBLE_EQ(attn::log(x), std::log(x));
  EXPECT_DOUBLE_EQ(attn::sqrt(x), std::sqrt(x));
  EXPECT_DOUBLE_EQ(attn::sin(x), std::sin(x));
  EXPECT_DOUBLE_EQ(attn::cos(x), std::cos(x));
  EXPECT_DOUBLE_EQ(attn::tanh(x), std::tanh(x));
  EXPECT_DOUBLE_EQ(attn::erf(x), std::erf(x));
  EXPECT_DOUBLE_EQ(attn::exp_nonpositive(-x), std::exp(-x));
}

TEST(Accumulators, AreWiderThanNarrowStorage) {
  static_assert(std::is_same_v<attn::AccumulatorOf<float>, float>);
  static_assert(std::is_same_v<attn::AccumulatorOf<double>, double>);
  static_assert(sizeof(attn::AccumulatorOf<Kokkos::Experimental::half_t>) >= 4);
  static_assert(sizeof(attn::AccumulatorOf<Kokkos::Experimental::bhalf_t>) >= 4);
}

}  // namespace
