#include "attn/nn/function.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/residual.hpp"
#include "attn/nn/stack.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
using Ctx = nn::Context<Exec, double>;
using Layer = nn::Residual<nn::LayerNorm, nn::Mlp<nn::Gelu>>;

nn::Stack<Layer> make(nn::Builder const& builder, int depth) {
  std::vector<Layer> layers;
  for (int i = 0; i < depth; ++i) {
    layers.push_back(Layer{nn::LayerNorm(builder / i / "norm", {.width = 6}),
                           nn::Mlp<nn::Gelu>(builder / i / "mlp", {.width = 6, .hidden = 8})});
  }
  return nn::Stack<Layer>(std::move(layers));
}

TEST(Stack, IsAModuleOfAnyDepth) {
  for (int const depth : {0, 1, 3}) {
    Ctx ctx;
    EXPECT_SOUND(attn::testing::check_module(ctx, make(ctx, depth), {2, 3, 6}).about(std::to_string(depth)));
  }
}

TEST(Stack, IsAModuleOfLayersThatCannotWorkInPlace) {
  Ctx ctx;
  nn::Stack<nn::Pointwise<nn::Tanh>> const stack(std::vector<nn::Pointwise<nn::Tanh>>(3));
  EXPECT_SOUND(attn::testing::check_module(ctx, stack, {4, 5}));
}

TEST(Stack, MemoryOfTheBackwardPassAndOfEvaluationDoesNotGrowWithItsDepth) {
  auto const x = attn_test::random_array<double, 3>({64, 64, 6}, 1);
  auto const bytes = [&](int depth, bool training) {
    Ctx ctx;
    ctx.training = training;
    auto const stack = make(ctx, depth);
    auto forward = stack.forward(ctx, x.tensor());
    std::size_t const after_forward = ctx.workspace.capacity();
    if (training) stack.backward(ctx, std::move(forward.tape), x.tensor());
    return training ? ctx.workspace.capacity() - after_forward : after_forward;
  };
  EXPECT_EQ(bytes(24, false), bytes(3, false));
  EXPECT_LT(bytes(24, true), 3 * bytes(3, true) + (std::size_t(8) << 20));
  EXPECT_LT(bytes(24, false), std::size_t(4) << 20);
}

TEST(Stack, RefusesATapeThatWasNotKeptOrWasUsed) {
  Ctx ctx;
  auto const stack = make(ctx, 2);
  auto const x = attn_test::random_array<double, 3>({2, 3, 6}, 1);
  auto forward = stack.forward(ctx, x.tensor());
  stack.backward(ctx, std::move(forward.tape), x.tensor());
  EXPECT_NE(attn_test::error_of([&] { stack.backward(ctx, std::move(forward.tape), x.tensor()); }), "");
  ctx.training = false;
  auto evaluated = stack.forward(ctx, x.tensor());
  EXPECT_NE(attn_test::error_of([&] { stack.backward(ctx, std::move(evaluated.tape), x.tensor()); }), "");
}

}  // namespace
