#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"
#include "attn/nn/multi_head_attention.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/parabola.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
using attn_test::Parabola;
using Any = BasicAnyActivation<AttentionCall<Exec, double>>;
using Ctx = nn::Context<Exec, double>;

/// Names, extents and values of the parameters, and what a step of training makes of them.
struct Trained {
  std::string layout;
  std::vector<double> values, gradients, d_x;
};

template <class A>
Trained train(A const& activation, bool per_head) {
  Ctx ctx(3);
  nn::MultiHeadAttention<A> const attention(
      ctx / "attn", {.width = 6, .heads = 2, .tokens = 5, .activation = activation, .scale_per_head = per_head});
  attn_test::Array<double, 3> const x({2, 5, 6}, std::vector<double>(60, 0.3));
  ctx.parameters.zero_gradients(ctx.exec);
  auto [y, tape] = attention.forward(ctx, x.tensor());
  auto const d_x = attention.backward(ctx, std::move(tape), y);
  ctx.exec.fence();
  Trained result;
  for (auto const& e : ctx.parameters.entries()) {
    result.layout += e.name;
    for (Index const n : e.shape) result.layout += " " + std::to_string(n);
    result.layout += "\n";
  }
  result.values = attn::testing::detail::host_numbers(ctx.parameters.values());
  result.gradients = attn::testing::detail::host_numbers(ctx.parameters.gradients());
  result.d_x = attn::testing::detail::host_numbers(d_x);
  return result;
}

template <class A>
void expect_same(A const& activation) {
  for (bool const per_head : {false, true}) {
    Trained const concrete = train(activation, per_head), any = train(Any(activation), per_head);
    EXPECT_EQ(any.layout, concrete.layout);
    EXPECT_EQ(any.values, concrete.values);
    EXPECT_EQ(any.gradients, concrete.gradients);
    EXPECT_EQ(any.d_x, concrete.d_x);
  }
}

TEST(ModuleActivation, RegistersAndTrainsWhatAnyActivationHolds) {
  expect_same(Softmax{});
  expect_same(Poly<3, DynamicScale>{});
  expect_same(Parabola<>{});
}

TEST(ModuleActivation, MakesAModuleOfAnyActivation) {
  for (Any const& activation : {Any(Softmax{}), Any(Parabola<>{})}) {
    Ctx ctx;
    nn::MultiHeadAttention<Any> const attention(ctx / "attn",
                                                {.width = 6, .heads = 2, .tokens = 3, .activation = activation});
    EXPECT_SOUND(attn::testing::check_module(ctx, attention, {2, 3, 6}));
  }
}

}  // namespace
