#include "attn/core/scalar.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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

template <class T>
void expect_that_nan_stays() {
  T const nan = std::numeric_limits<T>::quiet_NaN(), infinity = std::numeric_limits<T>::infinity();
  for (T const x : {T(0), T(-1), T(2), infinity, -infinity, nan}) {
    EXPECT_TRUE(std::isnan(attn::max(nan, x)) && std::isnan(attn::max(x, nan))) << x;
    EXPECT_TRUE(std::isnan(attn::min(nan, x)) && std::isnan(attn::min(x, nan))) << x;
    EXPECT_EQ(attn::where_greater(nan, x, T(1), T(2)), T(2));
    EXPECT_EQ(attn::where_greater(x, nan, T(1), T(2)), T(2));
  }
  EXPECT_EQ(attn::where_largest(nan, T(0), T(1), T(2)), T(1));
  EXPECT_EQ(attn::where_largest(T(0), nan, T(1), T(2)), T(2));
  EXPECT_EQ(attn::max(-infinity, infinity), infinity);
  EXPECT_EQ(attn::min(-infinity, infinity), -infinity);
  for (auto* const f : {attn::abs<T>, attn::exp<T>, attn::log<T>, attn::sqrt<T>, attn::sin<T>, attn::cos<T>,
                        attn::tanh<T>, attn::erf<T>, attn::exp_nonpositive<T>, attn::exp2_nonpositive<T>}) {
    EXPECT_TRUE(std::isnan(f(nan)));
  }
}
TEST(Functions, LetNoNanVanish) {
  expect_that_nan_stays<float>();
  expect_that_nan_stays<double>();
}

TEST(WhereLargest, ChoosesAsMaxDoes) {
  EXPECT_EQ(attn::where_largest(2.0, 1.0, 10.0, 20.0), 10.0);
  EXPECT_EQ(attn::where_largest(1.0, 1.0, 10.0, 20.0), 20.0);
  EXPECT_EQ(attn::where_largest(0.0, 1.0, 10.0, 20.0), 20.0);
  EXPECT_EQ(attn::larger_number(2.0, 1.0), 2.0);
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
  EXPECT_DOUBLE_EQ(attn::exp2_nonpositive(-x), std::exp2(-x));
}

TEST(Accumulators, AreWiderThanNarrowStorage) {
  static_assert(std::is_same_v<attn::AccumulatorOf<float>, float>);
  static_assert(std::is_same_v<attn::AccumulatorOf<double>, double>);
  static_assert(sizeof(attn::AccumulatorOf<Kokkos::Experimental::half_t>) >= 4);
  static_assert(sizeof(attn::AccumulatorOf<Kokkos::Experimental::bhalf_t>) >= 4);
}

}  // namespace
