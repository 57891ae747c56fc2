#include "attn/nn/loss.hpp"
#include "attn/nn/precision.hpp"
#include "attn/optim/loss_scale.hpp"

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

/// fp16 has no number below 6e-8: of the gradient of a mean over many rows, nothing is left without a scale.
TEST(LossScale, KeepsGradientsInFp16ThatWouldBeZero) {
  Ctx<float> ctx;
  Ctx<attn::Float16> plain(ctx);
  attn::Index const rows = 50'000, classes = 3;
  Kokkos::View<std::int32_t*, attn_test::Memory> const labels("labels", std::size_t(rows));  // all 0
  attn::Tensor<std::int32_t const, 1> const there(labels);
  std::vector<double> of_right(std::size_t(rows * classes), 0);  // all but certain, and right
  for (std::size_t i = 0; i < of_right.size(); i += classes) of_right[i] = 8;
  attn_test::Array<float, 2> const logits({rows, classes}, of_right);
  auto const gradient = [&](auto& typed) {
    using T = typename std::remove_cvref_t<decltype(typed)>::Scalar;
    auto const x = attn::nn::converted<T>(typed, logits.tensor());
    return attn::testing::detail::host_numbers(attn::nn::cross_entropy(typed, x, there).d_logits)[1];
  };
  double const want = gradient(ctx);
  EXPECT_GT(want, 0);
  EXPECT_EQ(gradient(plain), 0);
  attn::optim::LossScale const scale(ctx, {.initial = 65536});
  Ctx<attn::Float16> scaled(ctx);
  EXPECT_NEAR(gradient(scaled) / 65536, want, 1e-3 * want);
}

}  // namespace
