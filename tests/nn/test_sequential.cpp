#include "attn/nn/function.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/linear.hpp"
#include "attn/nn/sequential.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
using Ctx = nn::Context<Exec, double>;

TEST(Sequential, IsAModuleOfDifferentModules) {
  Ctx ctx;
  nn::Sequential const net{nn::Linear(ctx / "0", {.inputs = 3, .outputs = 8}), nn::Pointwise<nn::Tanh>(),
                           nn::LayerNorm(ctx / "2", {.width = 8}), nn::Linear(ctx / "3", {.inputs = 8, .outputs = 2})};
  EXPECT_SOUND(attn::testing::check_module(ctx, net, {5, 3}));
  EXPECT_EQ(ctx.parameters.entries()[0].name, "0.weight");
  EXPECT_EQ(ctx.parameters.entries().back().name, "3.bias");
  EXPECT_EQ(net.get<3>().outputs(), 2);
}

TEST(Sequential, OfOneModuleIsThatModule) {
  Ctx ctx;
  nn::Linear const linear(ctx / "0", {.inputs = 3, .outputs = 2});
  nn::Sequential const net{linear};
  EXPECT_SOUND(attn::testing::check_module(ctx, net, {5, 3}));
  auto const x = attn_test::random_array<double, 2>({5, 3}, 1);
  EXPECT_SOUND(attn::testing::same_bits(net.forward(ctx, x.tensor()).value, linear.forward(ctx, x.tensor()).value));
}

}  // namespace
