#include "attn/activation/poly.hpp"
#include "attn/activation/softmax.hpp"
#include "attn/nn/cross_covariance_attention.hpp"
#include "attn/testing/check_module.hpp"

#include <array>
#include <cmath>

#include "nn/golden_core.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::on_host;
using Ctx = nn::Context<attn_test::Exec, double>;
template <class A>
using Xca = nn::Attention<nn::FusedQkv, nn::CrossCovarianceAttention<A>>;

TEST(CrossCovarianceAttention, GivesTheNumbersOfTimm) {
  Ctx ctx;
  Xca<Softmax> const attention(ctx, {.width = 6, .heads = 2});
  attn::testing::expect_golden_core(ctx, attention, "xca", Extents<3>{2, 7, 6});
}

TEST(CrossCovarianceAttention, IsAModuleForEveryKindOfActivation) {
  Ctx a, b;
  Xca<Softmax> const softmax(a / "attn", {.width = 6, .heads = 2});
  EXPECT_EQ(a.parameters.entry("attn.temperature").shape, (std::vector<Index>{2, 1, 1}));
  EXPECT_SOUND(attn::testing::check_module(a, softmax, {2, 3, 2, 6}));
  Xca<Poly<3, DynamicScale>> const cube(b / "attn", {.width = 6, .heads = 2, .scale_per_head = true});
  EXPECT_SOUND(attn::testing::check_module(b, cube, {2, 5, 6}));
}

TEST(CrossCovarianceAttention, NormsAreThoseOfTheWeightsOfChannels) {
  Ctx ctx(1);
  Xca<Softmax> const attention(ctx / "attn", {.width = 6, .heads = 2, .initial = nn::normal(0.6)});
  auto const x = attn_test::random_array<double, 3>({2, 5, 6}, 1);
  auto const forward = attention.forward(ctx, x.tensor());
  auto const norms = on_host(attention.norms(ctx, forward.tape).frobenius);
  auto const w = on_host(attention.weights(ctx, forward.tape, 1));  // (2, 3, 3)
  ASSERT_EQ(w.size(), 18u);
  for (std::size_t head = 0; head < 2; ++head) {
    double squares = 0, sum = 0;
    for (std::size_t i = 0; i < 9; ++i) squares += w[head * 9 + i] * w[head * 9 + i], sum += w[head * 9 + i];
    EXPECT_NEAR(sum, 3, 1e-12);
    EXPECT_NEAR(norms[2 + head], squares, 1e-12);
  }
}

TEST(CrossCovarianceAttention, OfNumbersOfTwoBytesDiffersByTheirRoundings) {
  nn::Context<attn_test::Exec, float> ctx(1);
  nn::Context<attn_test::Exec, BFloat16> narrow(ctx);
  Xca<Softmax> const attention(ctx / "attn", {.width = 34, .heads = 2, .initial = nn::normal(0.3)});
  auto const x = attn_test::random_array<float, 3>({2, 37, 34}, 1);
  auto const run = [&](auto& typed) {
    using T = typename std::remove_reference_t<decltype(typed)>::Scalar;
    ctx.parameters.zero_gradients(ctx.exec);
    auto forward = attention.forward(typed, nn::converted<T>(ctx, nn::ConstTensorOf<decltype(ctx), 3>(x.tensor())));
    EXPECT_EQ(attention.weights(typed, forward.tape, 1).extent(2), 17);
    double const norm = double(on_host(attention.norms(typed, forward.tape).frobenius)[1]);
    auto const d_x = attention.backward(typed, std::move(forward.tape), forward.value);
    return std::array{attn::testing::detail::host_numbers(forward.value), attn::testing::detail::host_numbers(d_x),
                      attn::testing::detail::host_numbers(ctx.parameters.gradients()), std::vector{norm}};
  };
  auto const want = run(ctx), got = run(narrow);
  for (std::size_t i = 0; i < want.size(); ++i) {
    double difference = 0, size = 0;
    for (std::size_t j = 0; j < want[i].size(); ++j) {
      difference += std::pow(got[i][j] - want[i][j], 2);
      size += std::pow(want[i][j], 2);
    }
    EXPECT_LT(std::sqrt(difference), 0x1p-6 * std::sqrt(size)) << i;
    if (i < 3) {
      EXPECT_GT(std::sqrt(difference), 0x1p-14 * std::sqrt(size)) << i << ": it computed in fp32";
    }
  }
}

TEST(CrossCovarianceAttention, ChannelsOfZerosHaveEqualWeights) {
  Ctx ctx(1);
  Xca<Softmax> const attention(ctx / "attn", {.width = 4, .heads = 1});
  auto const zeros = attn_test::Array<double, 3>({1, 3, 4});
  auto forward = attention.forward(ctx, zeros.tensor());
  for (double const w : on_host(attention.weights(ctx, forward.tape, 0))) EXPECT_NEAR(w, 0.25, 1e-15);
  auto const d = on_host(attention.backward(ctx, std::move(forward.tape), forward.value));
  for (double const value : d) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
