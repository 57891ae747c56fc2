#include "attn/optim/broyden.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "optim/function_of_parameters.hpp"

namespace {

using namespace attn_test::functions;
using attn::optim::Broyden;
using attn::optim::BroydenOptions;
using attn::optim::BroydenUpdate;
using Update = BroydenOptions::Update;

/// The members of the family that have a name, and that of the papers for the numbers below.
TEST(Broyden, TheUpdateIsThatOfItsFamily) {
  // After y.s = 2, y.u = 3, s.B s = 4: h = 3/2, b = 2, a = 2.
  auto const bfgs = BroydenUpdate::of(2, 3, 4, 5, false, Update::bfgs);
  double const tau = 0.5;  // min(1, 1/b)
  EXPECT_DOUBLE_EQ(bfgs.keep, 1 / tau);
  EXPECT_DOUBLE_EQ(bfgs.ss, 3 / (tau * 4) + 0.5);
  EXPECT_DOUBLE_EQ(bfgs.su, -1 / (tau * 2));
  EXPECT_DOUBLE_EQ(bfgs.uu, 0);
  auto const first = BroydenUpdate::of(2, 3, 4, 5, true, Update::bfgs);
  EXPECT_DOUBLE_EQ(first.keep, 2.0 / 3);

  double const lowest = 1.5 * (1 - std::sqrt(2.0 / 3));
  double const theta = std::max((lowest - 1) / 2, -0.5), sigma = 1 + 2 * theta, phi = (1 - theta) / sigma;
  ASSERT_LT(theta, 0);
  double const scale = std::min(0.5 * std::pow(sigma, -0.25), sigma);
  auto const chosen = BroydenUpdate::of(2, 3, 4, 5, false, Update::broyden);
  EXPECT_NEAR(chosen.keep, 1 / scale, 1e-14);
  EXPECT_NEAR(chosen.uu, (phi - 1) / (scale * 3), 1e-14);
}

/// H y = s is what makes a method quasi-Newton.
TEST(Broyden, EveryUpdateSatisfiesTheSecantEquation) {
  for (Update const kind : {Update::broyden, Update::bfgs}) {
    for (double const sbs : {0.1, 0.7, 2.0, 50.0}) {
      double const ys = 2, yu = 4 / sbs * 1.3;  // (y.s)^2 <= (y.u) (s.B s)
      for (bool const first : {false, true}) {
        auto const u = BroydenUpdate::of(ys, yu, sbs, 10, first, kind);
        // H+ y = keep u + (ss y.s + su y.u) s + (su y.s + uu y.u) u
        EXPECT_NEAR(u.ss * ys + u.su * yu, 1, 1e-12);
        EXPECT_NEAR(u.keep + u.su * ys + u.uu * yu, 0, 1e-12 * u.keep);
      }
    }
  }
}

TEST(Broyden, FindsTheEndOfValleys) {
  for (Update const kind : {Update::broyden, Update::bfgs}) {
    for (std::vector<double> const& start : {std::vector<double>{-1.2, 1}, std::vector<double>(10, -0.5)}) {
      Problem problem(start, rosenbrock);
      Broyden broyden(problem.ctx, {.max_iterations = 400, .update = kind});
      auto const report = broyden.step(problem.ctx, problem);
      EXPECT_LT(report.loss, 1e-15) << report.iterations;
      EXPECT_LT(report.iterations, 200);
    }
  }
}

/// Curvatures from 1 to 1e8, in directions that are no axes.
double quadratic(std::vector<double> const& x, std::vector<double>& gradient) {
  std::size_t const n = x.size();
  double mean = 0, loss = 0;
  for (double const value : x) mean += value / double(n);
  for (std::size_t i = 0; i < n; ++i) {  // a reflection, then a diagonal
    double const curvature = std::pow(10.0, 8.0 * double(i) / double(n - 1)), z = x[i] - 2 * mean - 1;
    loss += curvature * z * z / 2;
    gradient[i] += curvature * z;
    for (double& g : gradient) g -= 2 * curvature * z / double(n);
  }
  return loss;
}

TEST(Broyden, SolvesAnIllConditionedQuadratic) {
  Problem problem(std::vector<double>(20, 0.0), quadratic);
  Broyden broyden(problem.ctx, {.max_iterations = 500});
  auto const report = broyden.step(problem.ctx, problem);
  EXPECT_LT(report.loss, 1e-12 * report.first_loss) << report.iterations;
}

TEST(Broyden, BeginsAnewWhereItsHistoryIsFull) {
  Problem problem(std::vector<double>(10, -0.5), rosenbrock);
  Broyden broyden(problem.ctx, {.max_iterations = 600, .history = 7});
  EXPECT_LT(broyden.step(problem.ctx, problem).loss, 1e-12);
  EXPECT_LE(broyden.remembered(), 7);
}

TEST(Broyden, BeginsAnewFromHalfOfItsUpdatesWhereALineSearchFindsNoWayDown) {
  std::vector<double> stands;  // with walls around it
  bool walled = false;
  Problem problem(std::vector<double>(10, -0.5), [&](auto const& x, auto& gradient) {
    double const loss = rosenbrock(x, gradient);
    return walled && x != stands ? 1e6 : loss;
  });
  Broyden broyden(problem.ctx, {.max_iterations = 12});
  broyden.step(problem.ctx, problem);
  stands = problem.values();
  broyden.options.max_iterations = 1;
  walled = true;
  double const loss = broyden.step(problem.ctx, problem).loss;
  int const before = broyden.remembered();
  EXPECT_EQ(problem.values(), stands);
  walled = false;
  EXPECT_LT(broyden.step(problem.ctx, problem).loss, loss);
  EXPECT_EQ(broyden.remembered(), before / 2);
  EXPECT_GT(before, 5);
}

TEST(Broyden, ARestoredCheckpointContinuesToTheSameBits) {
  std::vector<double> const start(10, -0.5);
  for (int const iterations : {0, 3, 5, 12, 17}) {  // of 10 updates that are kept
    Problem one(start, rosenbrock), two(start, rosenbrock);
    Broyden a(one.ctx, {.max_iterations = std::max(iterations, 1), .history = 10}), b(two.ctx, a.options);
    if (iterations > 0) a.step(one.ctx, one);
    two.ctx.parameters.assign<double>(two.entry, one.values());
    b.restore(two.ctx, a.numbers());
    auto const saved = a.state(one.ctx), to = b.state(two.ctx);
    ASSERT_EQ(to.arrays.size(), saved.arrays.size());
    to.steps.set(saved.steps.get());
    for (std::size_t i = 0; i < to.arrays.size(); ++i) {
      EXPECT_EQ(to.arrays[i].name, saved.arrays[i].name);
      Kokkos::deep_copy(to.arrays[i].values.view(), saved.arrays[i].values.view());
    }
    a.step(one.ctx, one);
    b.step(two.ctx, two);
    EXPECT_EQ(one.values(), two.values());
    EXPECT_EQ(a.numbers(), b.numbers());
  }
  Problem problem(start, rosenbrock);
  Broyden broyden(problem.ctx, {.history = 10});
  EXPECT_THROW(broyden.restore(problem.ctx, std::vector<double>(3)), attn::Error);
  EXPECT_THROW(broyden.restore(problem.ctx, std::vector<double>(45)), attn::Error);
}

TEST(Broyden, ALossThatBecomesNanKeepsTheLastGoodParameters) {
  Problem problem({1.0, 2.0}, [](auto const& x, auto& g) {
    double const loss = rosenbrock(x, g);
    return x[0] == 1.0 ? loss : std::numeric_limits<double>::quiet_NaN();
  });
  Broyden broyden(problem.ctx);
  try {
    broyden.step(problem.ctx, problem);
    FAIL();
  } catch (attn::Error const& e) {
    EXPECT_NE(std::string(e.what()).find("Broyden: the loss became nan"), std::string::npos) << e.what();
  }
  EXPECT_EQ(problem.values(), (std::vector<double>{1.0, 2.0}));
}

TEST(Broyden, BadOptionsAreRefused) {
  EXPECT_THROW((Broyden<double, Kokkos::HostSpace>({.max_iterations = 0})), attn::Error);
  EXPECT_THROW((Broyden<double, Kokkos::HostSpace>({.history = 0})), attn::Error);
  EXPECT_THROW((Broyden<double, Kokkos::HostSpace>({.learning_rate = std::nan("")})), attn::Error);
}

}  // namespace
