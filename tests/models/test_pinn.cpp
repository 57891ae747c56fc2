#include "attn/models/pinn.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using Exec = Kokkos::DefaultHostExecutionSpace;

TEST(Pinn, HasTheParametersOfTheBaseline) {
  attn::nn::Context<Exec> ctx;
  attn::models::Pinn<> const model(ctx, {});
  EXPECT_EQ(ctx.parameters.count(), 527361);
  EXPECT_TRUE(ctx.parameters.contains("linear.0.weight"));
  EXPECT_TRUE(ctx.parameters.contains("linear.6.bias"));
  EXPECT_THROW((attn::models::Pinn<>(ctx, {.layers = 1})), attn::Error);
}

TEST(Pinn, IsAModule) {
  attn::nn::Context<attn_test::Exec, double> ctx;
  attn::models::Pinn<> const model(ctx, {.inputs = 2, .outputs = 2, .width = 5, .layers = 3});
  EXPECT_SOUND(attn::testing::check_module(ctx, model, {3, 1, 2}));
}

// u(x) of a network by jets, against differences of the same network in plain numbers.
TEST(Pinn, DerivativesOfSecondOrderAreThoseOfTheFunction) {
  using J = attn::Jet<double, 2>;
  attn::nn::Context<Exec, double> ctx(3);
  attn::models::Pinn<> const model(ctx, {.inputs = 1, .width = 7, .layers = 3});
  auto const value = [&](double x) {
    ctx.begin_step();
    auto const points = ctx.tensor(1, 1, 1);
    points(0, 0, 0) = x;
    return double(model.forward(ctx, points).value(0, 0, 0));
  };
  double const x = 0.4, h = 1e-3;
  double const first = (value(x + h) - value(x - h)) / (2 * h),
               second = (value(x + h) - 2 * value(x) + value(x - h)) / (h * h);
  double const at = value(x);
  ctx.begin_step();
  attn::nn::Context<Exec, J> jets(ctx);
  auto const points = jets.tensor(1, 1, 1);
  points(0, 0, 0) = J::variable<0>(x);
  J const u = model.forward(jets, points).value(0, 0, 0);
  EXPECT_NEAR(u.coefficients[0], at, 1e-14);
  EXPECT_NEAR(u.coefficients[1], first, 1e-6);
  EXPECT_NEAR(2 * u.coefficients[2], second, 1e-6);
}

}  // namespace
