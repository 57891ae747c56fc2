#include "attn/optim/levenberg_marquardt.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "optim/squares_of_numbers.hpp"

namespace {

using namespace attn_test::squares;
using attn::optim::LevenbergMarquardt;
using Method = LevenbergMarquardt<double, Kokkos::HostSpace>;

TEST(LevenbergMarquardt, TheCorrectionFollowsAValleyThatBends) {
  auto const steps = [](double most_bend) {
    Problem problem({-1.2, 1}, rosenbrock);
    LevenbergMarquardt method(problem.ctx, {.most_bend = most_bend});
    int count = 0;
    while (method.step(problem.ctx, problem).loss > 1e-12 && count < 100) ++count;
    return count;
  };
  EXPECT_LT(steps(2), steps(0));
}

TEST(LevenbergMarquardt, SolvesIllConditionedLeastSquares) {
  Problem problem(Numbers(20, 0.0), ill_conditioned);
  EXPECT_LT(last_of<Method>(problem, {}, 3).loss, 1e-16);
}

TEST(LevenbergMarquardt, MoreResidualsThanParametersAreSolvedToo) {
  // A straight line through points that are on none: slope 0.3 and height 1.1 have the least squares.
  Problem problem({0, 0}, [](Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
    Numbers const y = {1, 2, 1, 2, 3};
    for (std::size_t i = 0; i < y.size(); ++i) {
      r.push_back(x[0] * double(i) + x[1] - y[i]);
      jacobian.push_back({double(i), 1});
    }
  });
  last_of<Method>(problem, {}, 20);
  EXPECT_NEAR(problem.values()[0], 0.4, 1e-6);
  EXPECT_NEAR(problem.values()[1], 1.0, 1e-6);
}

/// A Jacobian that points the wrong way promises what never comes: no change is taken, and the method says so.
TEST(LevenbergMarquardt, WhereNoChangeHelpsTheParametersStay) {
  Problem problem({2.0}, [](Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
    r = {1 + std::abs(x[0] - 2)};
    jacobian = {{1}};
  });
  auto const report = last_of<Method>(problem, {}, 1);
  EXPECT_TRUE(report.converged);
  EXPECT_EQ(report.damping, 0);
  EXPECT_EQ(problem.values(), Numbers{2.0});
}

TEST(LevenbergMarquardt, WhatIsNotFiniteIsNamed) {
  double const nan = std::numeric_limits<double>::quiet_NaN();
  auto const message = [&](double residual, double derivative) {
    Problem problem({1.0, 2.0}, [=](Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
      r = {x[0], residual, x[1]};
      jacobian = {{1, 0}, {0, derivative}, {0, 1}};
    });
    std::string text;
    LevenbergMarquardt method(problem.ctx);
    try {
      method.step(problem.ctx, problem);
    } catch (attn::Error const& e) {
      text = e.what();
    }
    EXPECT_EQ(problem.values(), (Numbers{1.0, 2.0}));
    return text;
  };
  EXPECT_NE(message(nan, 0).find("LevenbergMarquardt: residual 1 (the place 1) became nan"), std::string::npos);
  EXPECT_NE(message(1, nan).find("LevenbergMarquardt: the derivatives of the residuals became nan"), std::string::npos);
}

/// log(x) = 0 from x = 6: the change without damping leads to x < 0.
TEST(LevenbergMarquardt, DampingsThatLeadToNanAreNotTaken) {
  Problem problem({6.0}, [](Numbers const& x, Numbers& r, std::vector<Numbers>& jacobian) {
    r = {std::log(x[0])};
    jacobian = {{1 / x[0]}};
  });
  EXPECT_LT(last_of<Method>(problem, {}, 20).loss, 1e-20);
}

/// Rosenbrock's residuals, each twice: sums of the two stand for them.
struct Twice : Problem {
  using Problem::Problem;
  std::size_t size() { return 2 * Problem::size(); }
  void residuals(Numbers& r) {
    Numbers once;
    Problem::residuals(once);
    r.clear();
    for (double const x : once) r.insert(r.end(), {x, x});
  }
  Numbers sums(Numbers const& r) {
    Numbers all;
    for (std::size_t i = 0; i < r.size(); i += 2) all.push_back((r[i] + r[i + 1]) / std::sqrt(2.0));
    return all;
  }
  void for_rows(std::function<void()> const& row) {
    Numbers w(Problem::size(), 0.0);
    for (double& wi : w) {
      wi = std::sqrt(2.0);
      Problem::pull_back(w);
      wi = 0;
      row();
    }
  }
};

TEST(LevenbergMarquardt, SumsStandForResidualsThatAreAlike) {
  Twice twice({-1.2, 1}, rosenbrock);
  Problem once({-1.2, 1}, rosenbrock);
  LevenbergMarquardt a(twice.ctx), b(once.ctx);
  for (int step = 0; step < 5; ++step) {
    double const loss = a.step(twice.ctx, twice).loss, expected = 2 * b.step(once.ctx, once).loss;
    EXPECT_NEAR(loss, expected, 1e-9 * expected + 1e-20);
  }
}

TEST(LevenbergMarquardt, BadOptionsAreRefused) {
  EXPECT_THROW(Method({.damping = 0}), attn::Error);
  EXPECT_THROW(Method({.factor = 1}), attn::Error);
  EXPECT_THROW(Method({.max_trials = 0}), attn::Error);
  EXPECT_THROW(Method({.most_bend = std::nan("")}), attn::Error);
}

}  // namespace
