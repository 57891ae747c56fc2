#include "attn/optim/gauss_newton.hpp"

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

}  // namespace
