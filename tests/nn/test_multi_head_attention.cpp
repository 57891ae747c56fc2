#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/nn/multi_head_attention.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/parabola.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
using attn_test::Parabola;
using nn::MultiHeadAttention;
template <class T>
using Ctx = nn::Context<Exec, T>;

template <class A>
void expect_module(A const& activation, bool per_head = false) {
  for (Index const tokens : {1, 2, 7}) {
    Ctx<double> ctx;
    MultiHeadAttention<A> const attention(
        ctx / "attn", {.width = 6, .heads = 2, .tokens = tokens, .activation = activation, .scale_per_head = per_head});
    EXPECT_SOUND(attn::testing::check_module(ctx, attention, {2, tokens, 6}).about(std::to_string(tokens) + " tokens"));
  }
}

TEST(MultiHeadAttention, IsAModuleForEveryKindOfActivation) {
  expect_module(Softmax{});
  expect_module(Poly<3, DynamicScale>{});
  expect_module(Poly<3, DynamicScale>{}, true);
  expect_module(Parabola<>{});
  expect_module(Parabola<>{}, true);
}

TEST(MultiHeadAttention, IsAModuleWithDropoutMaskAndWithoutQkvBias) {
  Ctx<double> ctx;
  MultiHeadAttention<Softmax, Causal> const attention(ctx / "attn",
                                                      {.width = 12, .heads = 3, .qkv_bias = false, .dropout = 0.3});
  EXPECT_SOUND(attn::testing::check_module(ctx, attention, {2, 5, 12}, {.noisy = true}));
  EXPECT_FALSE(ctx.parameters.contains("attn.qkv.bias"));
}

TEST(MultiHeadAttention, KeepsTheTrainedNumbersOfItsActivationAmongItsParameters) {
  Ctx<float> ctx;
  MultiHeadAttention<Poly<3, DynamicScale>> const layer(ctx / "a", {.width = 8, .heads = 2, .tokens = 16});
  MultiHeadAttention<Poly<3, DynamicScale>> const heads(ctx / "b",
                                                        {.width = 8, .heads = 2, .tokens = 16, .scale_per_head = true});
  MultiHeadAttention<Parabola<>> const two(ctx / "c", {.width = 8, .heads = 2, .tokens = 4});
  auto const& a = ctx.parameters.entry("a.activation.scale");
  EXPECT_EQ(a.shape, std::vector<Index>{1});
  EXPECT_FALSE(a.decays);
  EXPECT_EQ(ctx.parameters.host_values(a), std::vector<float>{0.25f});
  EXPECT_EQ(ctx.parameters.host_values(ctx.parameters.entry("b.activation.scale")), (std::vector<float>{0.25f, 0.25f}));
  EXPECT_EQ(ctx.parameters.host_values(ctx.parameters.entry("c.activation.linear")), std::vector<float>{0.5f});
  EXPECT_EQ(ctx.parameters.host_values(ctx.parameters.entry("c.activation.square")), std::vector<float>{0.25f});
}

TEST(MultiHeadAttention, RegistersTheLayoutOfTimm) {
  Ctx<float> ctx;
  MultiHeadAttention<Softmax> const attention(ctx / "attn", {.width = 8, .heads = 2});
  std::vector<std::string> names;
  for (auto const& e : ctx.parameters.entries()) names.push_back(e.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias"}));
  EXPECT_EQ(ctx.parameters.entry("attn.qkv.weight").shape, (std::vector<Index>{24, 8}));
}

TEST(MultiHeadAttention, WeightsOfSoftmaxSumToOneAndNormsAreTheirs) {
  Ctx<double> ctx(1);
  MultiHeadAttention<Softmax> const attention(ctx / "attn", {.width = 8, .heads = 2, .initial = nn::normal(0.6)});
  auto const x = attn_test::random_array<double, 3>({3, 5, 8}, 1);
  auto const forward = attention.forward(ctx, x.tensor());
  auto const norms = attention.norms(ctx, forward.tape);
  auto const frobenius = attn::testing::detail::host_numbers(norms.frobenius);
  auto const jacobian = attn::testing::detail::host_numbers(norms.jacobian);
  ASSERT_EQ(frobenius.size(), 6u);
  for (Index sample = 0; sample < 3; ++sample) {
    auto const w = attn::testing::detail::host_numbers(attention.weights(ctx, forward.tape, sample));  // (2, 5, 5)
    ASSERT_EQ(w.size(), 50u);
    for (Index head = 0; head < 2; ++head) {
      double all = 0, slopes = 0;
      for (Index i = 0; i < 5; ++i) {
        double sum = 0, s2 = 0, s3 = 0;
        for (Index j = 0; j < 5; ++j) {
          double const v = w[std::size_t((head * 5 + i) * 5 + j)];
          sum += v;
          s2 += v * v;
          s3 += v * v * v;
        }
        EXPECT_NEAR(sum, 1, 1e-12);
        all += s2;
        slopes += s2 - 2 * s3 + s2 * s2;
      }
      EXPECT_NEAR(frobenius[std::size_t(sample * 2 + head)], all, 1e-12);
      EXPECT_NEAR(jacobian[std::size_t(sample * 2 + head)], slopes, 1e-12);
    }
  }
}

TEST(MultiHeadAttention, AddsOntoASourceSampleBySample) {
  Ctx<double> ctx(1);
  MultiHeadAttention<Softmax> const attention(ctx / "attn", {.width = 8, .heads = 2, .initial = nn::normal(0.6)});
  auto const x = attn_test::random_array<double, 3>({2, 5, 8}, 1),
             source = attn_test::random_array<double, 3>({2, 5, 8}, 2);
  attn_test::Array<double, 1> const factors({2}, {0, 2});
  auto const alone = attn::testing::detail::host_numbers(attention.forward(ctx, x.tensor()).value);
  auto const plain = attn::testing::detail::host_numbers(
      attention.forward(ctx, x.tensor(), nn::Onto<Ctx<double>>{source.tensor()}).value);
  auto const scaled = attn::testing::detail::host_numbers(
      attention.forward(ctx, x.tensor(), nn::Onto<Ctx<double>>{source.tensor(), factors.tensor()}).value);
  auto const from = source.numbers();
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_NEAR(plain[i], from[i] + alone[i], 1e-13);
    EXPECT_NEAR(scaled[i], from[i] + (i < 40 ? 0 : 2) * alone[i], 1e-13);
  }
}

TEST(MultiHeadAttention, SaysWhichSizesItWants) {
  Ctx<float> ctx;
  EXPECT_EQ(attn_test::error_of([&] { MultiHeadAttention<Softmax>(ctx / "a", {.width = 10, .heads = 3}); }),
            "Attention: make the width a multiple of the heads, got width 10 and 3 heads");
  EXPECT_EQ(ctx.parameters.entries().size(), 0u);
  MultiHeadAttention<Softmax> const attention(ctx / "b", {.width = 8, .heads = 2});
  attn_test::Array<float, 3> const wrong({2, 3, 7}), x({2, 3, 8});
  EXPECT_EQ(attn_test::error_of([&] { attention.forward(ctx, wrong.tensor()); }),
            "Attention::forward: give a contiguous (B, N, 8) tensor, got (2, 3, 7)");
  auto const forward = attention.forward(ctx, x.tensor());
  EXPECT_NE(attn_test::error_of([&] { attention.weights(ctx, forward.tape, 2); }), "");
  ctx.training = false;
  auto evaluated = attention.forward(ctx, x.tensor());
  EXPECT_NE(attn_test::error_of([&] { attention.backward(ctx, std::move(evaluated.tape), x.tensor()); }), "");
}

}  // namespace
