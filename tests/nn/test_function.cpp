#include "attn/nn/function.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::testing::allclose;
using attn::testing::check_module;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

/// A user's own function, whose slope comes from a jet.
struct Cubic {
  template <class T>
  ATTN_FUNCTION T operator()(T x) const {
    return x * x * x - x;
  }
};

template <class F>
void expect_module() {
  for (Index const n : {1, 17}) {
    Ctx<double> ctx;
    attn::nn::Pointwise<F> const module;
    EXPECT_SOUND(check_module(ctx, module, {2, n}));
  }
}

TEST(Pointwise, IsAModuleForEveryFunction) {
  expect_module<attn::nn::Gelu>();
  expect_module<attn::nn::Tanh>();
  expect_module<attn::nn::Silu>();
  expect_module<Cubic>();
}

template <class T>
void expect_gelu() {
  auto const x = attn_test::golden_array<T, 1>("nn/gelu_x");
  auto const in = x.numbers(), y = attn_test::golden("nn/gelu_y"), slope = attn_test::golden("nn/gelu_slope");
  Ctx<T> ctx;
  attn::nn::Pointwise<attn::nn::Gelu> const gelu;
  auto [got, tape] = gelu.forward(ctx, x.tensor());
  ctx.training = false;
  auto const evaluated = gelu.forward(ctx, x.tensor()).value;
  auto const values = attn::testing::detail::host_numbers(got),
             slopes = attn::testing::detail::host_numbers(tape.slope);
  auto const alone = attn::testing::detail::host_numbers(evaluated);
  double const absolute = sizeof(T) == 4 ? 3e-7 : 1e-15, rounding = 6e-8;  // of the files
  for (std::size_t i = 0; i < in.size(); ++i) {
    double const bound = absolute * std::max(1.0, std::abs(in[i])) + rounding * std::abs(y[i]);
    EXPECT_NEAR(values[i], y[i], bound) << "gelu(" << in[i] << ")";
    EXPECT_NEAR(alone[i], y[i], bound) << "gelu(" << in[i] << ")";
    EXPECT_NEAR(slopes[i], slope[i], 2 * absolute + rounding * std::abs(slope[i])) << "gelu'(" << in[i] << ")";
  }
}

TEST(Gelu, IsTheExactOneInValueAndSlope) {
  expect_gelu<float>();
  expect_gelu<double>();
}

TEST(Relu, HasASlopeOfZeroAtItsCorner) {
  attn::nn::Relu const relu;
  EXPECT_EQ(attn::nn::value_and_slope(relu, 0.0).slope, 0.0);
  EXPECT_EQ(attn::nn::value_and_slope(relu, 2.0).slope, 1.0);
  EXPECT_EQ(attn::nn::value_and_slope(relu, -2.0).slope, 0.0);
  EXPECT_EQ(attn::nn::value_and_slope(relu, -2.0).value, 0.0);
}

TEST(ValueAndSlope, ComesFromAJetWhereAFunctionHasNoSlope) {
  auto const r = attn::nn::value_and_slope(Cubic{}, 2.0);
  EXPECT_EQ(r.value, 6.0);
  EXPECT_EQ(r.slope, 11.0);
}

TEST(Pointwise, RefusesATapeThatWasNotKept) {
  Ctx<float> ctx;
  ctx.training = false;
  attn::nn::Pointwise<attn::nn::Tanh> const tanh;
  auto const x = attn_test::random_array<float, 1>({5}, 1);
  auto [y, tape] = tanh.forward(ctx, x.tensor());
  EXPECT_NE(attn_test::error_of([&, &y = y, &tape = tape] { tanh.backward(ctx, std::move(tape), y); }), "");
}

/// What a device runs, on the host: the same bits as one number at a time.
template <class T, class F>
void expect_neighbours_as_alone(F const& f) {
  for (attn::Index const n : {1, 5, 8, 37}) {
    for (attn::Index const shift : {0, 1, 8}) {
      auto const x = attn_test::random_array<T, 1>({n + shift}, 5);
      attn_test::Array<T, 1> const alone({2 * (n + shift)}), together({2 * (n + shift)});
      auto const apply = [&](attn_test::Array<T, 1> const& to) {
        T* const at = to.tensor().data();
        return attn::nn::detail::ApplyFunction<T, F>{f, x.tensor().data() + shift, at + shift, at + n + 2 * shift};
      };
      for (attn::Index i = 0; i < n; ++i) apply(alone)(attn::OneLane<attn::AccumulatorOf<T>>{}, 0, i);
      attn::detail::NeighboursInRow<T, attn::nn::detail::ApplyFunction<T, F>> const kernel(apply(together), n);
      for (attn::Index i = 0; i < kernel.threads(1); ++i) kernel(i);
      EXPECT_EQ(together.numbers(), alone.numbers()) << n << " numbers, " << shift;
    }
  }
}

TEST(Function, OnDevices_GivesNeighboursTheBitsThatEachHasAlone) {
  expect_neighbours_as_alone<float>(attn::nn::Gelu{});
  expect_neighbours_as_alone<attn::BFloat16>(attn::nn::Gelu{});
  expect_neighbours_as_alone<float>(attn::nn::Silu{});  // whose slope is that of a jet
  expect_neighbours_as_alone<double>(attn::nn::Tanh{});
}

}  // namespace
