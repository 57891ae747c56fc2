#include "attn/optim/gauss_newton.hpp"
#include "attn/optim/tangent_kernel.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "optim/squares_of_numbers.hpp"

namespace {

using attn::optim::GaussNewton;
using attn::optim::GaussNewtonOptions;
using attn::optim::GaussNewtonReport;

GaussNewtonReport last_of(Problem& problem, GaussNewtonOptions const& options, int steps) {
  GaussNewton newton(problem.ctx, options);
  GaussNewtonReport report;
  for (int step = 0; step < steps && !report.converged; ++step) {
    report = newton.step(problem.ctx, problem);
    EXPECT_LE(report.products, options.max_products);
    EXPECT_LE(report.loss, report.first_loss);
    EXPECT_LT(report.mismatch, 1e-8);  // 1e-12, over the part of |J| |v| that J v is
    EXPECT_LE(report.evaluations(), 2.5 * report.products + 3);
  }
  return report;
}

TEST(GaussNewton, FindsTheEndOfValleys) {
  for (Numbers const& start : {Numbers{-1.2, 1}, Numbers(6, -0.5)}) {
    Problem problem(start, rosenbrock);
    EXPECT_LT(last_of(problem, {}, 100).loss, 1e-20);
    for (double const x : problem.values()) EXPECT_NEAR(x, 1, 1e-9);
  }
}

TEST(GaussNewton, DifferencesOfSecondOrderDoAsWell) {
  Problem problem({-1.2, 1}, rosenbrock);
  GaussNewton newton(problem.ctx, {.difference = {.order = 2}});
  double loss = 1;
  for (int step = 0; step < 60; ++step) loss = newton.step(problem.ctx, problem).loss;
  EXPECT_LT(loss, 1e-18);
}

TEST(GaussNewton, SolvesIllConditionedLeastSquares) {
  Problem problem(Numbers(20, 0.0), ill_conditioned);
  double const loss = last_of(problem, {.max_products = 100, .tolerance = 1e-10}, 20).loss;
  EXPECT_LT(loss, 1e-16);
}

/// Only the sum of the numbers is determined: the change has no part across.
TEST(GaussNewton, AJacobianWithoutFullRankMovesAlongItsRowsOnly) {
  Problem problem({3.0, -1.0, 0.0}, [](Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
    double const sum = x[0] + x[1] + x[2];
    r = {sum * sum * sum - 1, 2 * sum - 2, 0};
    double const slope = 3 * sum * sum;
    jacobian = {{slope, slope, slope}, {2, 2, 2}, {0, 0, 0}};
  });
  EXPECT_LT(last_of(problem, {}, 50).loss, 1e-20);
  auto const x = problem.values();
  EXPECT_NEAR(x[0] + x[1] + x[2], 1, 1e-9);
  EXPECT_NEAR(x[0] - x[1], 4, 1e-9);
  EXPECT_NEAR(x[0] - x[2], 3, 1e-9);
}

TEST(GaussNewton, WhereThereIsNoGradientItStops) {
  Problem problem({2.0}, [](Numbers const&, Numbers& r, std::vector<Numbers>& jacobian) {
    r = {3};
    jacobian = {{0}};
  });
  GaussNewton newton(problem.ctx);
  auto const report = newton.step(problem.ctx, problem);
  EXPECT_TRUE(report.converged);
  EXPECT_EQ(report.loss, 9);
  EXPECT_EQ(problem.values(), Numbers{2.0});
}

/// A Jacobian that points the wrong way promises what never comes: no change is taken, and the method says so.
TEST(GaussNewton, WhereNoChangeHelpsTheParametersStay) {
  Problem problem({2.0}, [](Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
    r = {1 + std::abs(x[0] - 2)};
    jacobian = {{1}};
  });
  GaussNewton newton(problem.ctx, {.difference = {.order = 2, .step = 1e-3}});
  GaussNewtonReport report;
  int steps = 0;
  while (!report.converged && ++steps < 100) report = newton.step(problem.ctx, problem);
  EXPECT_TRUE(report.converged);
  EXPECT_EQ(problem.values(), Numbers{2.0});
}

TEST(GaussNewton, AResidualThatIsNotFiniteIsNamed) {
  Problem problem({1.0, 2.0}, [](Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
    r = {x[0], std::numeric_limits<double>::quiet_NaN(), x[1]};
    jacobian = {{1, 0}, {0, 0}, {0, 1}};
  });
  GaussNewton newton(problem.ctx);
  try {
    newton.step(problem.ctx, problem);
    FAIL();
  } catch (attn::Error const& e) {
    EXPECT_NE(std::string(e.what()).find("GaussNewton: residual 1 (the place 1) became nan"), std::string::npos)
        << e.what();
  }
  EXPECT_EQ(problem.values(), (Numbers{1.0, 2.0}));
}

/// log(x) = 0 from x = 6: the whole change leads to x < 0.
TEST(GaussNewton, AChangeThatLeadsToNanIsHalved) {
  Problem problem({6.0}, [](Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
    r = {std::log(x[0])};
    jacobian = {{1 / x[0]}};
  });
  GaussNewton newton(problem.ctx);
  auto const report = newton.step(problem.ctx, problem);
  EXPECT_LT(report.loss, report.first_loss);
  EXPECT_LT(report.fraction, 1);
  EXPECT_GT(problem.values()[0], 0);
  double loss = 1;
  for (int step = 0; step < 20; ++step) loss = newton.step(problem.ctx, problem).loss;
  EXPECT_LT(loss, 1e-20);
}

TEST(GaussNewton, ARestoredCheckpointContinuesToTheSameBits) {
  Problem one({-1.2, 1}, rosenbrock), two({-1.2, 1}, rosenbrock);
  GaussNewton a(one.ctx), b(two.ctx);
  a.step(one.ctx, one);
  two.ctx.parameters.assign<double>(two.entry, one.values());
  b.restore(a.numbers());
  b.state(two.ctx).steps.set(a.steps());
  for (int step = 0; step < 3; ++step) {
    EXPECT_EQ(a.step(one.ctx, one).loss, b.step(two.ctx, two).loss);
  }
  EXPECT_EQ(one.values(), two.values());
  EXPECT_EQ(b.steps(), 4u);
  EXPECT_THROW(b.restore({1}), attn::Error);
}

TEST(GaussNewton, WhatIsNotTrainedStays) {
  Problem problem({-1.2, 1}, rosenbrock);
  attn::nn::Builder(problem.ctx).add<1>("frozen", {20}, attn::nn::normal(1));
  auto const frozen = problem.ctx.parameters.entry("frozen");
  auto const before = problem.ctx.parameters.host_values(frozen);
  problem.ctx.parameters.set("frozen", {.trained = false});
  EXPECT_LT(last_of(problem, {}, 100).loss, 1e-20);
  EXPECT_EQ(problem.ctx.parameters.host_values(frozen), before);
  problem.ctx.parameters.set("x", {.learning_rate_factor = 0.5});
  EXPECT_THROW(last_of(problem, {}, 1), attn::Error);
}

TEST(GaussNewton, BadOptionsAreRefused) {
  using Newton = GaussNewton<double, Kokkos::HostSpace>;
  EXPECT_THROW(Newton({.max_products = 0}), attn::Error);
  EXPECT_THROW(Newton({.tolerance = std::nan("")}), attn::Error);
  EXPECT_THROW(Newton({.damping = -1}), attn::Error);
  EXPECT_THROW(Newton({.difference = {.order = 3}}), attn::Error);
}

TEST(TangentKernel, IsTheJacobianTimesItself) {
  Problem problem({1, 2, -1}, rosenbrock);
  auto const jacobian = problem.evaluate().second;
  auto const kernel = attn::optim::tangent_kernel(problem.ctx, problem);
  std::size_t const n = jacobian.size();
  ASSERT_EQ(kernel.size(), n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double expected = 0;
      for (std::size_t k = 0; k < 3; ++k) expected += jacobian[i][k] * jacobian[j][k];
      EXPECT_EQ(kernel[i * n + j], expected);
    }
  }
  Problem nothing({1}, [](Numbers const&, Numbers&, std::vector<Numbers>&) {});
  EXPECT_THROW(attn::optim::tangent_kernel(nothing.ctx, nothing), attn::Error);
}

}  // namespace
