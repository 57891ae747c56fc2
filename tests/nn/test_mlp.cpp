#include "attn/nn/mlp.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::Gelu;
using attn::nn::Mlp;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

TEST(Mlp, IsAModuleForEveryFunction) {
  for (auto const [width, hidden] : {std::array<Index, 2>{1, 1}, {5, 17}, {16, 7}}) {
    Ctx<double> a, b;
    Mlp<Gelu> const gelu(a / "mlp", {.width = width, .hidden = hidden});
    EXPECT_SOUND(attn::testing::check_module(a, gelu, {2, 3, width}));
    Mlp<attn::nn::Tanh> const tanh(b / "mlp", {.width = width, .hidden = hidden});
    EXPECT_SOUND(attn::testing::check_module(b, tanh, {2, 3, width}));
  }
}

TEST(Mlp, IsAModuleWithDropout) {
  Ctx<double> ctx;
  Mlp<Gelu> const mlp(ctx / "mlp", {.width = 5, .hidden = 17, .dropout = 0.3});
  EXPECT_SOUND(attn::testing::check_module(ctx, mlp, {2, 3, 5}, {.noisy = true}));
}

TEST(Mlp, AddsOntoASourceSampleBySample) {
  Ctx<double> ctx;
  Mlp<Gelu> const mlp(ctx / "mlp", {.width = 5, .hidden = 9, .initial = attn::nn::normal(0.5)});
  auto const x = attn_test::random_array<double, 3>({2, 3, 5}, 1),
             source = attn_test::random_array<double, 3>({2, 3, 5}, 2);
  attn_test::Array<double, 1> const factors({2}, {3, 0});
  auto const alone = attn::testing::detail::host_numbers(mlp.forward(ctx, x.tensor()).value);
  auto const sum = attn::testing::detail::host_numbers(
      mlp.forward(ctx, x.tensor(), attn::nn::Onto<Ctx<double>>{source.tensor(), factors.tensor()}).value);
  auto const from = source.numbers();
  for (std::size_t i = 0; i < sum.size(); ++i) EXPECT_NEAR(sum[i], from[i] + (i < 15 ? 3 : 0) * alone[i], 1e-13);
}

TEST(Mlp, SaysWhichWidthItWants) {
  Ctx<float> ctx;
  Mlp<Gelu> const mlp(ctx / "mlp", {.width = 5, .hidden = 9});
  attn_test::Array<float, 3> const wrong({2, 3, 4});
  EXPECT_EQ(attn_test::error_of([&] { mlp.forward(ctx, wrong.tensor()); }),
            "Mlp::forward: give a contiguous (B, N, 5) tensor, got (2, 3, 4)");
}

}  // namespace
