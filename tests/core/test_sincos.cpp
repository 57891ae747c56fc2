#include "attn/core/pack.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

using P = attn::Pack<float>;

double worst_error(double low, double high, int steps) {
  double worst = 0;
  for (int i = 0; i <= steps; ++i) {
    float const x = static_cast<float>(low + (high - low) * i / steps);
    P sine, cosine;
    attn::sin_cos(P(x), sine, cosine);
    worst = std::max(worst, std::abs(double(sine[0]) - std::sin(double(x))));
    worst = std::max(worst, std::abs(double(cosine[P::width - 1]) - std::cos(double(x))));
  }
  return worst;
}

TEST(SinCos, IsAccurateToAUnitInTheLastPlaceUpToTenThousand) {
  EXPECT_LT(worst_error(-8, 8, 200000), 1e-7);
  EXPECT_LT(worst_error(-1e4, 1e4, 1000003), 1e-7);
}

TEST(SinCos, DegradesSlowlyBeyond) { EXPECT_LT(worst_error(1e4, 1e5, 1000003), 1e-6); }

TEST(SinCos, KeepsSmallArgumentsAndTheirSigns) {
  for (float x : {1e-30f, -1e-30f, 1e-4f, -0.0f, 0.0f}) {
    P sine, cosine;
    attn::sin_cos(P(x), sine, cosine);
    EXPECT_NEAR(sine[0], std::sin(x), 1e-7 * std::abs(x));
    EXPECT_EQ(cosine[0], std::cos(x));
  }
}

TEST(SinCos, HasNoSineOfInfinity) {
  float const infinity = std::numeric_limits<float>::infinity();
  for (float x : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    P sine, cosine;
    attn::sin_cos(P(x), sine, cosine);
    EXPECT_TRUE(std::isnan(sine[0]));
    EXPECT_TRUE(std::isnan(cosine[0]));
  }
}

}  // namespace
