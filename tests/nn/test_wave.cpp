#include "attn/nn/wave.hpp"
#include "attn/testing/check_module.hpp"

#include <cmath>

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
