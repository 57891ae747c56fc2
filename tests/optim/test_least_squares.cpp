#include "attn/optim/gauss_newton.hpp"
#include "attn/optim/least_squares.hpp"
#include "attn/optim/levenberg_marquardt.hpp"

#include <gtest/gtest.h>

#include "optim/squares_of_numbers.hpp"

namespace {

using namespace attn_test::squares;

/// What every method for sums of squares does.
template <class Method>
struct LeastSquares : ::testing::Test {};
using Methods = ::testing::Types<attn::optim::GaussNewton<double, Kokkos::HostSpace>,
                                 attn::optim::LevenbergMarquardt<double, Kokkos::HostSpace>>;
TYPED_TEST_SUITE(LeastSquares, Methods);

TYPED_TEST(LeastSquares, FindsTheEndOfValleys) {
  for (Numbers const& start : {Numbers{-1.2, 1}, Numbers(6, -0.5)}) {
    Problem problem(start, rosenbrock);
    EXPECT_LT(last_of<TypeParam>(problem, {}, 100).loss, 1e-20);
    for (double const x : problem.values()) EXPECT_NEAR(x, 1, 1e-9);
  }
}

/// Only the sum of the numbers is determined: the change has no part across.
TYPED_TEST(LeastSquares, AJacobianWithoutFullRankMovesAlongItsRowsOnly) {
  Problem problem({3.0, -1.0, 0.0}, [](Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
    double const sum = x[0] + x[1] + x[2];
    r = {sum * sum * sum - 1, 2 * sum - 2, 0};
    double const slope = 3 * sum * sum;
    jacobian = {{slope, slope, slope}, {2, 2, 2}, {0, 0, 0}};
  });
  EXPECT_LT(last_of<TypeParam>(problem, {}, 50).loss, 1e-20);
  auto const x = problem.values();
  EXPECT_NEAR(x[0] + x[1] + x[2], 1, 1e-9);
  EXPECT_NEAR(x[0] - x[1], 4, 1e-9);
  EXPECT_NEAR(x[0] - x[2], 3, 1e-9);
}

TYPED_TEST(LeastSquares, WhereThereIsNoGradientItStops) {
  Problem problem({2.0}, [](Numbers const&, Numbers& r, std::vector<Numbers>& jacobian) {
    r = {3};
    jacobian = {{0}};
  });
  TypeParam method(problem.ctx);
  auto const report = method.step(problem.ctx, problem);
  EXPECT_TRUE(report.converged);
  EXPECT_EQ(report.loss, 9);
  EXPECT_EQ(problem.values(), Numbers{2.0});
}

TYPED_TEST(LeastSquares, WhatIsNotTrainedStays) {
  Problem problem({-1.2, 1}, rosenbrock);
  attn::nn::Builder(problem.ctx).add<1>("frozen", {20}, attn::nn::normal(1));
  auto const frozen = problem.ctx.parameters.entry("frozen");
  auto const before = problem.ctx.parameters.host_values(frozen);
  problem.ctx.parameters.set("frozen", {.trained = false});
  EXPECT_LT(last_of<TypeParam>(problem, {}, 100).loss, 1e-20);
  EXPECT_EQ(problem.ctx.parameters.host_values(frozen), before);
  problem.ctx.parameters.set("x", {.learning_rate_factor = 0.5});
  EXPECT_THROW(last_of<TypeParam>(problem, {}, 1), attn::Error);
}

TYPED_TEST(LeastSquares, ARestoredCheckpointContinuesToTheSameBits) {
  Problem one({-1.2, 1}, rosenbrock), two({-1.2, 1}, rosenbrock);
  TypeParam a(one.ctx), b(two.ctx);
  a.step(one.ctx, one);
  a.step(one.ctx, one);
  two.ctx.parameters.assign<double>(two.entry, one.values());
  b.restore(a.numbers());
  b.state(two.ctx).steps.set(a.steps());
  for (int step = 0; step < 3; ++step) {
    EXPECT_EQ(a.step(one.ctx, one).loss, b.step(two.ctx, two).loss);
  }
  EXPECT_EQ(one.values(), two.values());
  EXPECT_EQ(b.steps(), 5u);
  EXPECT_THROW(b.restore({1, 2, 3}), attn::Error);
}

}  // namespace
