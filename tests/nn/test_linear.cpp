#include "attn/nn/linear.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::Linear;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

TEST(Linear, IsAModuleWithAndWithoutABias) {
  for (bool const bias : {true, false}) {
    for (auto const [inputs, outputs] : {std::array<Index, 2>{1, 1}, {5, 7}, {17, 3}}) {
      Ctx<double> ctx;
      Linear const linear(ctx / "linear", {.inputs = inputs, .outputs = outputs, .bias = bias});
      EXPECT_SOUND(attn::testing::check_module(ctx, linear, {3, inputs}));
      EXPECT_SOUND(attn::testing::check_module(ctx, linear, {2, 3, inputs}));
      EXPECT_EQ(ctx.parameters.contains("linear.bias"), bias);
    }
  }
}

TEST(Linear, IsTheProductWithTheTransposedWeightPlusTheBias) {
  Ctx<double> ctx;
  Linear const linear(ctx / "l", {.inputs = 2, .outputs = 3});
  std::vector<double> const w = {1, 2, 3, 4, 5, 6}, b = {10, 20, 30};
  ctx.parameters.assign(ctx.parameters.entry("l.weight"), std::span<double const>(w));
  ctx.parameters.assign(ctx.parameters.entry("l.bias"), std::span<double const>(b));
  attn_test::Array<double, 2> const x({2, 2}, {1, 1, 2, -1});
  auto const y = linear.forward(ctx, x.tensor()).value;
  EXPECT_EQ(attn::testing::detail::host_numbers(y), (std::vector<double>{13, 27, 41, 10, 22, 34}));
}

TEST(Linear, TakesAnEmptyBatch) {
  Ctx<float> ctx;
  Linear const linear(ctx / "l", {.inputs = 4, .outputs = 3});
  attn_test::Array<float, 2> const x({0, 4});
  auto [y, tape] = linear.forward(ctx, x.tensor());
  EXPECT_EQ(y.size(), 0);
  EXPECT_EQ(linear.backward(ctx, std::move(tape), y).size(), 0);
  EXPECT_EQ(ctx.parameters.host_gradients(ctx.parameters.entry("l.bias")), std::vector<float>(3, 0.0f));
}

TEST(Linear, StartsFromTheGivenDistributions) {
  Ctx<float> ctx;
  Linear const linear(
      ctx / "l", {.inputs = 4, .outputs = 3, .initial = attn::nn::constant(2), .initial_bias = attn::nn::constant(3)});
  EXPECT_EQ(ctx.parameters.host_values(ctx.parameters.entry("l.weight")), std::vector<float>(12, 2.0f));
  EXPECT_EQ(ctx.parameters.host_values(ctx.parameters.entry("l.bias")), std::vector<float>(3, 3.0f));
}

TEST(Linear, SaysWhichWidthItWants) {
  Ctx<float> ctx;
  Linear const linear(ctx / "l", {.inputs = 4, .outputs = 3});
  attn_test::Array<float, 2> const x({2, 5});
  EXPECT_EQ(attn_test::error_of([&] { linear.forward(ctx, x.tensor()); }),
            "Linear::forward: give a tensor of width 4, got 5");
  attn_test::Array<float, 2> const good({2, 4}), d_y({2, 4});
  auto forward = linear.forward(ctx, good.tensor());
  EXPECT_EQ(attn_test::error_of([&] { linear.backward(ctx, std::move(forward.tape), d_y.tensor()); }),
            "Linear::backward: give a tensor of width 3, got 4");
  EXPECT_NE(attn_test::error_of([&] { Linear(ctx / "m", {.inputs = 0, .outputs = 3}); }), "");
}

TEST(Linear, RefusesATapeThatWasNotKept) {
  Ctx<float> ctx;
  ctx.training = false;
  Linear const linear(ctx / "l", {.inputs = 4, .outputs = 3});
  attn_test::Array<float, 2> const x({2, 4}), d_y({2, 3});
  auto forward = linear.forward(ctx, x.tensor());
  EXPECT_NE(attn_test::error_of([&] {
              linear.backward(ctx, std::move(forward.tape), d_y.tensor());
            }).find("run forward with ctx.training"),
            std::string::npos);
}

// What cuBLASLt may do in its own kernel: of jets, rows behind the values get no bias.
TEST(AddBias, IsAllThatFollowsAProductWhereEveryRowCarriesValues) {
  float y[6] = {}, bias[2] = {};
  attn::nn::detail::AddBias<float> const add{y, bias, 2, 3};
  EXPECT_EQ(add.addends(3).bias, bias);
  EXPECT_EQ(add.addends(3).source, nullptr);
  EXPECT_EQ(add.addends(6).bias, nullptr);
}

}  // namespace
