#include "attn/core/jet_tensor.hpp"
#include "attn/pde/allen_cahn.hpp"
#include "attn/pde/navier_stokes.hpp"
#include "attn/pde/problems.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>

namespace {

using namespace attn::pde;

/// The residual of a problem at its own solution, whose derivatives come from finite differences.
template <class P>
double residual_of_exact(P const& problem, double x, double t) {
  double constexpr h = 1e-3;
  auto const u = [&](double a, double b) { return problem.exact(a, b); };
  using Orders = typename P::Orders;
  detail::Evaluation<Orders, P> evaluation(problem, 1);
  using Layout = typename Orders::template Jet<double>::Layout;
  auto const first = [&](auto const& f) { return (f(-2 * h) - 8 * f(-h) + 8 * f(h) - f(2 * h)) / (12 * h); };
  auto const second = [&](auto const& f) {
    return (-f(-2 * h) + 16 * f(-h) - 30 * f(0) + 16 * f(h) - f(2 * h)) / (12 * h * h);
  };
  auto const in_x = [&](double s) { return u(x + s, t); };
  auto const in_t = [&](double s) { return u(x, t + s); };
  auto& c = evaluation.coefficients[0];
  c[std::size_t(Layout::index({0, 0}))] = u(x, t);
  c[std::size_t(Layout::index({1, 0}))] = first(in_x);
  c[std::size_t(Layout::index({0, 1}))] = first(in_t);
  if (Layout::orders[0] > 1) c[std::size_t(Layout::index({2, 0}))] = second(in_x) / 2;
  if (Layout::orders[1] > 1) c[std::size_t(Layout::index({0, 2}))] = second(in_t) / 2;
  double const at[] = {x, t};
  return std::sqrt(evaluation({at}, {nullptr}));
}

TEST(Problems, ExactSolutionsHaveNoResidual) {
  for (double x : {0.1, 0.37, 0.8}) {
    for (double t : {0.11, 0.5, 0.93}) {
      EXPECT_LT(residual_of_exact(Convection{}, x * 6, t), 2e-3);
      EXPECT_LT(residual_of_exact(Reaction{}, x * 6, t), 1e-8);
      EXPECT_LT(residual_of_exact(Heat{}, x, t), 1e-8);
      EXPECT_LT(residual_of_exact(WaveEquation{}, x, t), 1e-4);
      EXPECT_LT(residual_of_exact(Burgers{}, x, t), 1e-5);
      EXPECT_LT(residual_of_exact(Burgers{}, -x, t), 1e-5);
    }
  }
}

TEST(Problems, SeriesOfAllenAndCahnHasNoResidual) {
  AllenCahn const problem;
  for (double x : {-0.61, 0.0, 0.37, 1.0}) {
    EXPECT_EQ(problem.exact(x, 0), x * x * std::cos(pi * x));
    EXPECT_EQ(problem.exact(x, 0.3), problem.exact(-x, 0.3));
    for (double t : {0.11, 0.5}) EXPECT_LT(residual_of_exact(problem, x, t), 2e-5) << x << " " << t;
  }
  // Where nothing diffuses each place reacts alone.
  double const before = 0.25 * 0.25 * std::cos(pi * 0.25), grown = std::exp(5.0);
  EXPECT_NEAR(AllenCahn{0}.exact(0.25, 1), before * grown / std::sqrt(1 + before * before * (grown * grown - 1)), 1e-3);
}

TEST(Problems, OtherFunctionsHaveAResidual) {
  detail::Evaluation<Reaction::Orders, Reaction> evaluation(Reaction{}, 1);
  evaluation.coefficients[0] = {0.5, 0.0, 0.0, 0.0};
  double const at[] = {1, 1};
  EXPECT_NEAR(evaluation({at}, {nullptr}), 1.25 * 1.25, 1e-15);  // (0 - 5 u (1 - u))^2
  EXPECT_NEAR(evaluation.slopes[0][0], -1.25 * 5 * (2 * 0.5 - 1) * -1, 1e-15);
  EXPECT_NEAR(evaluation.slopes[0][1], -1.25, 1e-15);  // r dr/du_t
}

TEST(Problems, TheBellOfReactionIsABell) {
  EXPECT_NEAR(Reaction{}.exact(pi, 0), 1, 1e-12);
  EXPECT_NEAR(Reaction{}.exact(0, 0), std::exp(-8), 1e-12);  // the sign of its exponent is negative
  EXPECT_EQ(Reaction{1e6}.exact(0, 1), 1);
  EXPECT_EQ(Reaction{-1e6}.exact(0, 1), 0);
  EXPECT_EQ(Reaction{-1e6}.exact(pi, 1), 1);
}

TEST(Problems, BurgersSteepensToTheKnownSlope) {
  // Basdevant et al. (1986): the slope at x = 0 reaches -152.00516 at t = 1.6037 / pi.
  double const t = 1.6037 / pi, h = 1e-5;
  EXPECT_NEAR((Burgers{}.exact(h, t) - Burgers{}.exact(-h, t)) / (2 * h), -152.005, 0.05);
}

TEST(Problems, OnlyTheDerivativesThatAreAskedForAreKept) {
  EXPECT_EQ(detail::used_derivatives<Convection::Orders>(Convection{}).count(), 2u);
  EXPECT_EQ(detail::used_derivatives<Reaction::Orders>(Reaction{}).count(), 2u);
  EXPECT_EQ(detail::used_derivatives<NavierStokes::Orders>(NavierStokes{}).count(), 11u);
  using Planes = attn::JetPlanes<attn::Jet<float, 3, 3, 1>>;
  EXPECT_EQ(Planes::closure_of(detail::used_derivatives<NavierStokes::Orders>(NavierStokes{})).count, 13);
}

template <class... S>
struct Along {
  template <class U>
  auto operator()(U const& u) const {
    return (d<0, 0>(u) + ... + along(u, S::value, 1));
  }
};
template <int I>
using Number = std::integral_constant<int, I>;

TEST(Problems, OneDirectionAloneNeedsOneDerivative) {
  using Ord = Orders<1, 1>;
  EXPECT_EQ(detail::only_direction<Ord>(Convection{}), (std::array{50.0, 1.0}));
  EXPECT_TRUE(detail::only_direction<Ord>(Along<Number<0>, Number<0>>{}));
  EXPECT_FALSE((detail::only_direction<Ord>(Along<Number<2>, Number<3>>{})));
  EXPECT_FALSE(detail::only_direction<Ord>(Reaction{}));
  EXPECT_FALSE(detail::only_direction<Ord>([](auto const& u) { return along(u, 0, 0); }));
  EXPECT_FALSE(detail::only_direction<Ord>([](auto const& u) { return along(u, 1, 2) + d<1, 0>(u); }));
}

TEST(Problems, TermsHaveTheReferencesPoints) {
  auto const [residual, boundary, initial] = Convection{}.terms(51, 51);
  EXPECT_EQ(residual.points.size(), 2601u);
  EXPECT_EQ(boundary.points.size(), 102u);
  EXPECT_EQ(initial.points.size(), 51u);
  EXPECT_TRUE(initial.first_step_only);
  EXPECT_EQ(residual.points[1][1], 0);  // for each t all x
  EXPECT_DOUBLE_EQ(residual.points[50][0], 2 * pi);
  EXPECT_EQ(boundary.points[0][0], 2 * pi);
  EXPECT_EQ(boundary.points[51][0], 0);
}

TEST(Problems, GridsNeedTwoPointsInEachCoordinate) {
  for (int n : {-1, 0, 1}) {
    EXPECT_THROW(Convection{}.terms(n, 51), attn::Error);
    EXPECT_THROW(Convection{}.terms(51, n), attn::Error);
  }
  EXPECT_EQ(grid(Domain{}, 2, 2).size(), 4u);
}

TEST(Problems, PseudoSequencesMoveInTimeOnly) {
  PseudoSequence const sequence{.length = 5, .step = 1e-4};
  double const point[] = {0.25, 1};
  EXPECT_EQ(sequence.at(point, 2, 0, 4), 0.25);
  EXPECT_DOUBLE_EQ(sequence.at(point, 2, 1, 4), 1.0004);
  EXPECT_THROW((PseudoSequence{.length = 0}.check()), attn::Error);
  EXPECT_THROW((PseudoSequence{.length = 2, .step = 0}.check()), attn::Error);
}

// psi = cos x cos y F has u = psi_y = -cos x sin y F and v = -psi_x = sin x cos y F.
TEST(NavierStokesEquations, TaylorsVorticesSolveThem) {
  NavierStokes const equations{.viscosity = 0.01};
  using Orders = NavierStokes::Orders;
  using J = attn::Jet<double, 3, 3, 1>;
  detail::Evaluation<Orders, NavierStokes> evaluation(equations, 2);
  for (double x : {0.3, 1.7, 4.0}) {
    for (double t : {0.0, 0.6}) {
      double const y = 1.1 + x / 3;
      J const a = J::variable<0>(x), b = J::variable<1>(y), c = J::variable<2>(t);
      J const decay = attn::exp(c * (-2 * 0.01));
      J const psi = attn::cos(a) * attn::cos(b) * decay;
      J const p = (attn::cos(a + a) + attn::cos(b + b)) * decay * decay * -0.25;
      for (int i = 0; i < J::size; ++i) {
        evaluation.coefficients[0][std::size_t(i)] = psi.coefficients[i];
        evaluation.coefficients[0][std::size_t(J::size + i)] = p.coefficients[i];
      }
      double const at[] = {x, y, t};
      EXPECT_LT(std::sqrt(evaluation({at}, {nullptr})), 1e-14);
      J const wrong = p * 1.1;
      for (int i = 0; i < J::size; ++i) evaluation.coefficients[0][std::size_t(J::size + i)] = wrong.coefficients[i];
      EXPECT_GT(std::sqrt(evaluation({at}, {nullptr})), 1e-3);
    }
  }
}

TEST(NavierStokesEquations, SamplesAreDrawnWithoutRepetition) {
  Flow const flow = taylor_vortices(0.01, 4, 3);
  auto const points = sample_flow(flow, 48, {.seed = 1});
  EXPECT_EQ(points.size(), 48u);
  std::vector<std::array<double, 3>> all;
  for (std::size_t i = 0; i < points.size(); ++i) all.push_back({points[i][0], points[i][1], points[i][2]});
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
  EXPECT_THROW(sample_flow(flow, 49, {}), attn::Error);
  EXPECT_THROW(taylor_vortices(0.01, 1, 3), attn::Error);
}

}  // namespace
