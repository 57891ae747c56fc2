#include "attn/activation/sigmoid.hpp"
#include "attn/testing/check_activation.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using attn::Row;
using attn::Sigmoid;

TEST(Sigmoid, IsOneHalfAtZero) {
  EXPECT_EQ(Sigmoid{}(0.0, Row{100, 0}), 0.5);
  EXPECT_EQ(Sigmoid{}.slope(0.0, Row{100, 0}), 0.25);
}

TEST(Sigmoid, HasARowSumNearOneWithItsBias) {
  int const n = 197;
  EXPECT_NEAR(n * Sigmoid{.log_n = 1}(0.0, Row{n, 0}), 1.0, 0.01);
}

TEST(Sigmoid, StaysFiniteFarFromZero) {
  for (float const s : {-1e4f, 1e4f}) {
    EXPECT_EQ(Sigmoid{}(s, Row{}), s > 0 ? 1.0f : 0.0f);
    EXPECT_EQ(Sigmoid{}.slope(s, Row{}), 0.0f);
  }
}

TEST(Sigmoid, IsSound) {
  for (double const log_n : {0.0, 1.0}) {
    auto const report = attn::testing::check_activation(Sigmoid{log_n});
    EXPECT_TRUE(report) << report.message();
  }
}

}  // namespace
