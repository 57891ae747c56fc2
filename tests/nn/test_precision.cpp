#include "attn/nn/precision.hpp"

#include "support.hpp"

namespace {

template <class T>
using Ctx = attn::nn::Context<attn_test::Exec, T>;

TEST(Converted, CopiesOnlyWhatHasAnotherScalar) {
  Ctx<float> ctx;
  Ctx<attn::BFloat16> narrow(ctx);
  auto const x = attn_test::random_array<float, 3>({2, 3, 37}, 1);
  EXPECT_EQ(attn::nn::converted<float>(ctx, x.tensor()).data(), x.tensor().data());
  auto const there = attn::nn::converted<attn::BFloat16>(narrow, x.tensor());
  auto const back = attn::nn::converted<float>(ctx, there);
  EXPECT_NE(back.data(), x.tensor().data());
  EXPECT_SOUND(attn::testing::allclose(back, x.tensor(), 0x1p-8));
}

TEST(Factor, IsTheParameterOrACopyInTheScalarOfTheComputation) {
  Ctx<float> ctx;
  auto const parameter = attn::nn::Builder(ctx).add<2>("weight", {3, 5}, attn::nn::constant(1 + 0x1p-9));
  EXPECT_EQ(attn::nn::factor(ctx, parameter).data(), ctx.parameters.value(parameter).data());
  Ctx<attn::Float16> half(ctx);
  Ctx<attn::BFloat16> narrow(ctx);
  auto const first = [](auto const& x) { return attn::testing::detail::host_numbers(x).front(); };
  EXPECT_EQ(first(attn::nn::factor(half, parameter)), 1 + 0x1p-9);
  EXPECT_EQ(first(attn::nn::factor(narrow, parameter)), 1);
}

}  // namespace
