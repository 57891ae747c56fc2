#include "attn/nn/wave.hpp"
#include "attn/testing/check_module.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <cmath>
#include <span>
#include <vector>

#include "nn/packed_batch.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::on_host;
using Ctx = nn::Context<attn_test::Exec, double>;

TEST(Wave, IsAModule) {
  Ctx ctx;
  nn::Wave const wave(ctx / "act");
  EXPECT_SOUND(attn::testing::check_module(ctx, wave, {2, 3, 5}));
  EXPECT_SOUND(attn::testing::check_module(ctx, wave, {0, 3}));
}

TEST(Wave, IsASineAndACosineAtFirst) {
  Ctx ctx;
  nn::Wave const wave(ctx / "act");
  auto const x = attn_test::random_array<double, 2>({3, 7}, 1);
  auto const y = on_host(wave.forward(ctx, x.tensor()).value);
  auto const from = x.numbers();
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], std::sin(from[i]) + std::cos(from[i]), 1e-15);
}

/// Forward and backward on a host against the arithmetic of jets; they look at what is kept alone.
template <int... Orders>
void expect_products_of_jets(std::vector<std::array<int, sizeof...(Orders)>> const& wanted) {
  using J = Jet<double, Orders...>;
  nn::Context<Kokkos::DefaultHostExecutionSpace, J> ctx;
  nn::Wave const wave(ctx / "act");
  auto const& weights = ctx.parameters.entries();
  ctx.parameters.assign(weights[0], std::span<double const>(std::array{0.7}));
  ctx.parameters.assign(weights[1], std::span<double const>(std::array{-1.3}));
  std::bitset<std::size_t(J::size)> kept;
  for (auto const& powers : wanted) kept.set(std::size_t(J::Layout::index(powers)));
  ctx.planes = JetPlanes<J>::closure_of(kept);
  Index const n = 37;
  auto const random = [&](unsigned seed) {
    auto const t = ctx.tensor(n);
    auto const from = attn_test::random_array<double, 2>({ctx.planes.count, n}, seed).numbers();
    std::copy(from.begin(), from.end(), t.data().first());
    return t;
  };
  auto const x = random(1);
  auto [y, tape] = wave.forward(ctx, x);
  auto const planes = ctx.planes;
  ctx.planes = planes.adjoint();
  auto const d_y = random(2), base = random(3);
  auto const d_x = wave.backward(ctx, std::move(tape), d_y, base);
  double d_w1 = 0, d_w2 = 0;
  for (Index i = 0; i < n; ++i) {
    J sine, cosine, sum = y(i);
    attn::sin_cos(J(x(i)), sine, cosine);
    J const at_i = sine * 0.7 - cosine * 1.3;
    J const gradient = (cosine * 0.7 + sine * 1.3) * J(d_y(i)) + J(base(i)), found = d_x(i);
    for (int c = 0; c < J::size; ++c) {
      if (planes[c] >= 0) {
        EXPECT_NEAR(sum.coefficients[c], at_i.coefficients[c], 1e-14) << c;
      }
      if (ctx.planes[c] >= 0) {
        EXPECT_NEAR(found.coefficients[c], gradient.coefficients[c], 1e-13) << c;
      }
    }
    d_w1 += (sine * J(d_y(i))).coefficients[J::size - 1];
    d_w2 += (cosine * J(d_y(i))).coefficients[J::size - 1];
  }
  EXPECT_NEAR(ctx.parameters.host_gradients(weights[0])[0], d_w1, 1e-12);
  EXPECT_NEAR(ctx.parameters.host_gradients(weights[1])[0], d_w2, 1e-12);
}

TEST(Wave, TakesJets) {
  expect_products_of_jets<1>({{1}});
  expect_products_of_jets<1, 1>({{1, 0}, {0, 1}});
  expect_products_of_jets<2, 2>({{2, 0}, {0, 2}});  // u_tt and u_xx
  expect_products_of_jets<1, 2>({{1, 0}, {0, 2}});  // u_t and u_xx
  expect_products_of_jets<0, 2, 1>({{0, 2, 0}, {0, 0, 1}});
  expect_products_of_jets<2, 2>({{1, 1}});
  expect_products_of_jets<3, 1>({{3, 0}, {0, 1}});
  expect_products_of_jets<3, 3, 1>(
      {{3, 0, 0}, {2, 1, 0}, {1, 2, 0}, {0, 3, 0}, {1, 0, 1}, {0, 1, 1}});  // of a stream function
  expect_products_of_jets<2, 2, 1>({{2, 2, 1}});
}

TEST(Wave, AddsAGradientFromElsewhere) {
  Ctx ctx;
  nn::Wave const wave(ctx / "act");
  auto const x = attn_test::random_array<double, 2>({3, 7}, 1), base = attn_test::random_array<double, 2>({3, 7}, 2);
  auto first = wave.forward(ctx, x.tensor()), second = wave.forward(ctx, x.tensor());
  auto const alone = on_host(wave.backward(ctx, std::move(first.tape), first.value));
  auto const both = on_host(wave.backward(ctx, std::move(second.tape), second.value, base.tensor()));
  auto const from = base.numbers();
  for (std::size_t i = 0; i < both.size(); ++i) EXPECT_NEAR(both[i], alone[i] + from[i], 1e-14);
}

}  // namespace
