#include "attn/activation/relu.hpp"
#include "attn/testing/check_activation.hpp"

#include <gtest/gtest.h>

namespace {

using attn::Relu;
using attn::Row;

TEST(Relu, IsThePositivePartOverTheNumberOfKeys) {
  EXPECT_EQ(Relu{}(3.0, Row{4, 0}), 0.75);
  EXPECT_EQ(Relu{}(-3.0, Row{4, 0}), 0.0);
  EXPECT_EQ(Relu{}(0.0, Row{4, 0}), 0.0);
}

TEST(Relu, HasNoSlopeAtItsCorner) {
  EXPECT_EQ(Relu{}.slope(0.0, Row{4, 0}), 0.0);
  EXPECT_EQ(Relu{}.slope(1e-30, Row{4, 0}), 0.25);
  EXPECT_EQ(Relu{}(attn::Jet<double, 1>::variable(0.0), Row{4, 0}).coefficients[1], 0.0);
}

TEST(Relu, IsSound) {
  auto const report = attn::testing::check_activation(Relu{});
  EXPECT_TRUE(report) << report.message();
}

}  // namespace
