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

}  // namespace
