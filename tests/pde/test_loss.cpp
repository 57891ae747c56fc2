#include "attn/optim/gauss_newton.hpp"
#include "attn/optim/levenberg_marquardt.hpp"
#include "attn/optim/tangent_kernel.hpp"
#include "attn/pde/causal_weights.hpp"

#include "pde/check_loss.hpp"

namespace {

TEST(PdeLoss, GradientsOfSoftmaxAreThoseOfFiniteDifferences) { check(attn::Softmax{}); }
TEST(PdeLoss, GradientsOfAUsersActivationAreThoseOfFiniteDifferences) { check(MyActivation{}); }
TEST(PdeLoss, GradientsOfTheCubeAreThoseOfFiniteDifferences) { check(attn::Poly<3>{}); }
TEST(PdeLoss, GradientsOfTheCubeWithATrainedScaleAreThoseOfFiniteDifferences) {
  check(attn::Poly<3, attn::DynamicScale>{});
}

TEST(PdeLoss, ADerivativeAlongADirectionHasTheGradientOfFiniteDifferences) {
  for (auto const derivative : {Derivative::total, Derivative::column}) {
    EXPECT_LT((worst_relative_error<AlongOneDirection<true>>(derivative, attn::Softmax{}, 2)), 1e-6);
  }
  EXPECT_LT((worst_relative_error<AlongOneDirection<false>>(Derivative::total, attn::Softmax{}, 2)), 1e-6);
}

TEST(PdeLoss, ADerivativeAlongADirectionIsTheSumOfThoseByCoordinates) {
  auto const loss_of = [](auto const& residual) {
    using Residual = std::remove_cvref_t<decltype(residual)>;
    Ctx ctx(7);
    attn::models::PinnsFormer<attn::Softmax> const model(ctx,
                                                         {.width = 8, .heads = 2, .hidden = 12, .head_hidden = 10});
    auto const terms = std::tuple(attn::pde::Term<Residual>{"equation", {}, some_points()});
    return attn::pde::loss_and_gradient<typename Residual::Orders>(ctx, model, terms, {.sequence = {3, 0.05}}).total;
  };
  double const expected = loss_of(AlongAsASum{});
  EXPECT_NEAR(loss_of(AlongOneDirection<true>{}), expected, 1e-13 * expected);
}

/// u minus a number that was measured.
struct Measured {
  template <class U>
  auto operator()(U const& u) const {
    return d<0, 0>(u) - attn::pde::data(u, 0);
  }
};

struct MeasuredProblem {
  Ctx ctx{7};
  attn::models::PinnsFormer<attn::Softmax> model{ctx, small};
  std::tuple<attn::pde::Term<FirstOrder>, attn::pde::Term<Measured>> terms{{"equation", {}, some_points()},
                                                                           {"measured", {}, some_points(), true}};

  MeasuredProblem() {
    auto& points = std::get<1>(terms).points;
    points.columns = 1;
    points.data.assign(points.size(), 0.5);
  }
  auto residuals() {
    return attn::pde::residuals_of<FirstOrder::Orders>(ctx, model, terms, some_options(Derivative::total));
  }
};

TEST(PdeResiduals, GaussNewtonLowersALossFasterThanItsGradientCould) {
  MeasuredProblem problem;
  auto residuals = problem.residuals();
  attn::optim::GaussNewton newton(problem.ctx);
  attn::optim::GaussNewtonReport report;
  double const first = newton.step(problem.ctx, residuals).first_loss;
  for (int step = 0; step < 5; ++step) {
    report = newton.step(problem.ctx, residuals);
    EXPECT_LT(report.mismatch, 1e-8);
  }
  EXPECT_LT(report.loss, 1e-3 * first);
}

TEST(PdeResiduals, LevenbergAndMarquardtGoDownToNothing) {
  MeasuredProblem problem;
  auto residuals = problem.residuals();
  attn::optim::LevenbergMarquardt method(problem.ctx);
  double const first = method.step(problem.ctx, residuals).first_loss;
  for (int step = 0; step < 5; ++step) method.step(problem.ctx, residuals);
  std::vector<double> r;
  residuals.residuals(r);
  EXPECT_EQ(method.residuals(), r);
  EXPECT_LT(residuals.value(r).total, 1e-5 * first);
}

/// Sums of residuals are orthonormal combinations of them, and their rows what pulls these back.
template <class Ord, class Problem>
void expect_rows_of_sums(Ctx& ctx, Problem& problem, std::size_t count) {
  std::size_t const n = problem.size();
  std::vector<std::vector<double>> columns;  // of C
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> unit(n, 0.0);
    unit[i] = 1;
    columns.push_back(problem.sums(unit));
    ASSERT_EQ(columns.back().size(), count);
  }
  std::vector<std::vector<double>> rows;
  problem.for_rows([&] { rows.push_back(attn::host_copy(ctx.parameters.gradients())); });
  ASSERT_EQ(rows.size(), count);
  for (std::size_t a = 0; a < count; ++a) {
    std::vector<double> w(n);
    for (std::size_t b = 0; b < count; ++b) {
      double product = 0;
      for (std::size_t i = 0; i < n; ++i) product += columns[i][a] * columns[i][b];
      EXPECT_NEAR(product, a == b ? 1 : 0, 1e-14);
    }
    for (std::size_t i = 0; i < n; ++i) w[i] = columns[i][a];
    problem.pull_back(w);
    auto const expected = attn::host_copy(ctx.parameters.gradients());
    double const length = std::sqrt(attn::optim::detail::dot(expected, expected));
    ASSERT_GT(length, 0);
    for (std::size_t k = 0; k < expected.size(); ++k) ASSERT_NEAR(rows[a][k], expected[k], 1e-12 * length);
  }
}

struct TwoEquations {
  using Orders = attn::pde::Orders<1, 1>;
  template <class U>
  auto operator()(U const& u) const {
    using S = decltype(d<1, 0>(u) * d<0, 0>(u));
    return Kokkos::Array<S, 2>{d<1, 0>(u) * d<0, 0>(u), d<0, 1>(u) + d<0, 0>(u)};
  }
};

TEST(PdeResiduals, SumsOverStepsHaveTheRowsOfTheirResiduals) {
  Ctx ctx(7);
  attn::models::PinnsFormer<attn::Softmax> const model(ctx, small);
  attn::pde::Points const points =
      attn::pde::detail::selected<FirstOrder::Orders>(attn::pde::Term<FirstOrder>{"", {}, some_points()}, {0, 3, 5, 6})
          .points;
  std::tuple const terms(attn::pde::Term<TwoEquations>{"two equations", {}, points, false, 0.7},
                         attn::pde::Term<Periodic>{"pairs", {}, points, false, 2},
                         attn::pde::Term<FirstOrder>{"first step", {}, points, true, 1, {1, 0.5, 2, 3}});
  for (Derivative const derivative : {Derivative::total, Derivative::column}) {
    auto problem = attn::pde::residuals_of<FirstOrder::Orders>(ctx, model, terms, some_options(derivative));
    expect_rows_of_sums<FirstOrder::Orders>(ctx, problem, 4 * 2 + 2 + 4);
  }
}

TEST(PdeResiduals, OneThatIsNotFiniteIsNamed) {
  MeasuredProblem problem;
  std::get<1>(problem.terms).points.data[3] = std::nan("");
  auto residuals = problem.residuals();
  attn::optim::GaussNewton newton(problem.ctx);
  try {
    newton.step(problem.ctx, residuals);
    FAIL();
  } catch (attn::Error const& e) {
    EXPECT_NE(std::string(e.what()).find("term \"measured\", point 3 at (0.412118, 0.3)"), std::string::npos)
        << e.what();
  }
}

TEST(PdeResiduals, ARandomPartHasTheSizesAndThePlacesOfTheWhole) {
  MeasuredProblem problem;
  auto residuals = problem.residuals();
  std::vector<double> all, part, again;
  residuals.residuals(all);
  residuals.draw(4, {.seed = 1});
  EXPECT_EQ(residuals.size(), 4u * 3 + 4);
  residuals.residuals(part);
  for (double const r : part) {  // a mean over 4 points, not over 11
    bool known = false;
    for (double const other : all) known = known || std::abs(r * std::sqrt(4.0 / 11) - other) < 1e-14;
    EXPECT_TRUE(known);
  }
  residuals.draw(4, {.seed = 2});
  residuals.residuals(again);
  EXPECT_NE(part, again);
  residuals.draw(4, {.seed = 1});
  residuals.residuals(again);
  EXPECT_EQ(part, again);
  residuals.draw(0, {});
  residuals.residuals(again);
  EXPECT_EQ(all, again);
  EXPECT_THROW(residuals.draw(12, {}), attn::Error);
}

/// A term's points with weights are so many terms of one point each.
template <class Residual>
void expect_sum_of_points(Derivative derivative, attn::pde::Points const& points, std::size_t groups) {
  using Ord = typename Residual::Orders;
  Ctx ctx(7);
  attn::models::PinnsFormer<attn::Softmax> const model(ctx, small);
  auto const options = some_options(derivative);
  attn::pde::Term<Residual> whole{"equation", {}, points, false, 0.7};
  auto const evaluate = [&](auto const& term) {
    double const loss = attn::pde::loss_and_gradient<Ord>(ctx, model, std::tuple(term), options).total;
    return std::pair(loss, attn::host_copy(ctx.parameters.gradients()));
  };
  double loss = 0;
  std::vector<double> gradient;
  for (std::size_t i = 0; i < groups; ++i) {
    whole.weights.push_back(std::sin(1.0 + double(i)) + 1);
    auto const [one, d_one] = evaluate(attn::pde::detail::selected<Ord>(
        attn::pde::Term<Residual>{"equation", {}, points, false, 0.7 * whole.weights[i] / double(groups)}, {i}));
    loss += one;
    gradient.resize(d_one.size());
    for (std::size_t k = 0; k < d_one.size(); ++k) gradient[k] += d_one[k];
  }
  auto const [all, d_all] = evaluate(whole);
  EXPECT_NEAR(all, loss, 1e-13 * loss);
  double apart = 0, length = 0;
  for (std::size_t k = 0; k < gradient.size(); ++k) {
    apart += std::pow(d_all[k] - gradient[k], 2);
    length += std::pow(gradient[k], 2);
  }
  EXPECT_LT(apart, 1e-24 * length);
  std::vector<double> r;
  auto problem = attn::pde::residuals_of<Ord>(ctx, model, std::tuple(whole), options);
  problem.residuals(r);
  EXPECT_NEAR(problem.value(r).total, all, 1e-13 * all);
  problem.pull_back(r);
  auto const half = attn::host_copy(ctx.parameters.gradients());
  for (std::size_t k = 0; k < half.size(); k += 17) EXPECT_NEAR(2 * half[k], d_all[k], 1e-12 * std::sqrt(length));
  whole.weights.back() = -1;
  EXPECT_THROW(evaluate(whole), attn::Error);
  whole.weights.pop_back();
  EXPECT_THROW(evaluate(whole), attn::Error);
}

TEST(PdeLoss, PointsMayHaveWeights) {
  expect_sum_of_points<FirstOrder>(Derivative::total, some_points(), 11);
  expect_sum_of_points<FirstOrder>(Derivative::column, some_points(), 11);
}

TEST(CausalWeights, FallWithTheResidualsOfEarlierTimes) {
  MeasuredProblem problem;
  auto term = std::get<0>(problem.terms);
  term.points = attn::pde::grid({.x_low = -1, .x_high = 1, .t_low = 0, .t_high = 2}, 3, 4);
  std::swap_ranges(&term.points.coordinates[0], &term.points.coordinates[2], &term.points.coordinates[20]);  // no order
  auto const options = some_options(Derivative::total);
  using Ord = FirstOrder::Orders;
  std::vector<double> r;
  attn::pde::residuals_of<Ord>(problem.ctx, problem.model, std::tuple(term), options).residuals(r);
  ASSERT_EQ(r.size(), 12u * 3);
  auto const mean_at = [&](double time) {  // over three points and three steps, of which r has the root
    double sum = 0;
    for (std::size_t i = 0; i < r.size(); ++i) sum += term.points[i / 3][1] == time ? r[i] * r[i] : 0;
    return sum * 36 / 9;
  };
  term.weight = 3;  // matters no more than weights that are there already
  term.weights.assign(12, 0.5);
  auto const weights = attn::pde::causal_weights<Ord>(problem.ctx, problem.model, term, options, 2.0);
  auto const times = attn::pde::linspace(0, 2, 4);
  for (std::size_t i = 0; i < 12; ++i) {
    double before = 0;
    for (double const time : times) before += time < term.points[i][1] ? mean_at(time) : 0;
    EXPECT_NEAR(weights[i], std::exp(-2 * before), 1e-13) << i;
  }
  EXPECT_EQ(*std::max_element(weights.begin(), weights.end()), 1);
  EXPECT_LT(*std::min_element(weights.begin(), weights.end()), 0.9);
  EXPECT_THROW(attn::pde::causal_weights<Ord>(problem.ctx, problem.model, term, options, -1.0), attn::Error);
  auto measured = std::get<1>(problem.terms);
  measured.points.data[4] = std::nan("");
  EXPECT_THROW(attn::pde::causal_weights<Ord>(problem.ctx, problem.model, measured, options, 1.0), attn::Error);
}

TEST(TangentKernel, OfANetworkHasTheLengthsOfItsPulledBackResiduals) {
  MeasuredProblem problem;
  auto residuals = problem.residuals();
  residuals.draw(2, {.seed = 3});
  auto const sizes = residuals.sizes();
  EXPECT_EQ(sizes, (std::array<std::size_t, 2>{6, 2}));
  auto const kernel = attn::optim::tangent_kernel(problem.ctx, residuals);
  ASSERT_EQ(kernel.size(), 64u);
  std::vector<double> w(8);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::sin(1.0 + 7 * double(i));
  residuals.pull_back(w);
  double length = 0, expected = 0;
  for (double const g : attn::host_copy(problem.ctx.parameters.gradients())) length += g * g;
  for (std::size_t i = 0; i < 64; ++i) expected += w[i / 8] * kernel[i] * w[i % 8];
  EXPECT_NEAR(length, expected, 1e-12 * expected);

  // Of sums over steps: the same, summed on both sides.
  EXPECT_EQ(residuals.sum_sizes(), (std::array<std::size_t, 2>{2, 2}));
  auto const of_sums = attn::optim::tangent_kernel_of_sums(problem.ctx, residuals);
  ASSERT_EQ(of_sums.size(), 16u);
  std::array<std::vector<double>, 4> half;  // C K
  for (std::size_t k = 0; k < 8; ++k) {
    auto const column =
        residuals.sums({kernel.begin() + std::ptrdiff_t(8 * k), kernel.begin() + std::ptrdiff_t(8 * k + 8)});
    for (std::size_t i = 0; i < 4; ++i) half[i].push_back(column[i]);
  }
  for (std::size_t i = 0; i < 16; ++i) EXPECT_NEAR(of_sums[i], residuals.sums(half[i / 4])[i % 4], 1e-12 * length) << i;

  problem.ctx.parameters.set("*", {.trained = false});
  for (double const k : attn::optim::tangent_kernel(problem.ctx, residuals)) EXPECT_EQ(k, 0);
}

}  // namespace
