#include "attn/optim/gauss_newton.hpp"
#include "attn/optim/tangent_kernel.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "optim/squares_of_numbers.hpp"

namespace {

using namespace attn_test::squares;
using attn::optim::GaussNewton;
using attn::optim::GaussNewtonReport;
using Method = GaussNewton<double, Kokkos::HostSpace>;

TEST(GaussNewton, DifferencesOfSecondOrderDoAsWell) {
  Problem problem({-1.2, 1}, rosenbrock);
  GaussNewton newton(problem.ctx, {.difference = {.order = 2}});
  double loss = 1;
  for (int step = 0; step < 60; ++step) loss = newton.step(problem.ctx, problem).loss;
  EXPECT_LT(loss, 1e-18);
}

TEST(GaussNewton, SolvesIllConditionedLeastSquares) {
  Problem problem(Numbers(20, 0.0), ill_conditioned);
  double const loss = last_of<Method>(problem, {.max_products = 100, .tolerance = 1e-10}, 20).loss;
  EXPECT_LT(loss, 1e-16);
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

TEST(GaussNewton, BadOptionsAreRefused) {
  EXPECT_THROW(Method({.max_products = 0}), attn::Error);
  EXPECT_THROW(Method({.tolerance = std::nan("")}), attn::Error);
  EXPECT_THROW(Method({.damping = -1}), attn::Error);
  EXPECT_THROW(Method({.difference = {.order = 3}}), attn::Error);
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
