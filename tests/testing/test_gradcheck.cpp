#include "attn/testing/gradcheck.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace {

using attn::testing::gradcheck;

/// sum_i sin(i + x_i) at x = 0.
double loss(std::size_t at, double shift) {
  double sum = 0;
  for (std::size_t i = 0; i < 100; ++i) sum += std::sin(double(i) + (i == at ? shift : 0));
  return sum;
}
std::vector<double> gradient() {
  std::vector<double> g;
  for (int i = 0; i < 100; ++i) g.push_back(std::cos(double(i)));
  return g;
}

TEST(Gradcheck, AcceptsTheGradient) { EXPECT_TRUE(gradcheck(loss, gradient(), {.at_most = 100})); }

TEST(Gradcheck, FindsOneWrongElementAmongMany) {
  auto g = gradient();
  g[37] += 1e-5;
  auto const verdict = gradcheck(loss, g, {.at_most = 100});
  EXPECT_FALSE(verdict);
  EXPECT_NE(verdict.message().find("1 of 100 elements"), std::string::npos) << verdict.message();
  EXPECT_NE(verdict.message().find("[37]"), std::string::npos) << verdict.message();
}

TEST(Gradcheck, TriesAtMostAboutSoManyElements) {
  int calls = 0;
  auto const counting = [&](std::size_t i, double shift) {
    ++calls;
    return loss(i, shift);
  };
  EXPECT_TRUE(gradcheck(counting, gradient(), {.at_most = 10}));
  EXPECT_EQ(calls, 40);
}

TEST(Gradcheck, FindsNaN) {
  auto g = gradient();
  g[0] = std::nan("");
  EXPECT_FALSE(gradcheck(loss, g));
}

}  // namespace
