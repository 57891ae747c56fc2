#include "attn/optim/ema.hpp"

#include "optim/golden_parameters.hpp"

namespace {

using namespace attn;
using namespace attn::optim;
using golden::Ctx;
using Start = EmaOptions::Start;

void set_values(Ctx& ctx, std::string const& file) {
  io::Safetensors const weights(golden::path(file));
  for (auto const& entry : ctx.parameters.entries()) {
    auto const values = weights.array(entry.name).as<float>();
    ctx.parameters.assign(entry, std::span<float const>(values));
  }
}

TEST(Ema, AveragesOfFiveSteps_AreTimms) {
  for (auto const& [name, start] :
       {std::pair<std::string, Start>{"plain", Start::average}, {"step", Start::copy}, {"warmup", Start::warm_up}}) {
    Ctx ctx;
    golden::load(ctx, "weights.safetensors");
    Ema ema(ctx, {.decay = 0.75, .start = start});
    for (int step = 1; step <= 5; ++step) {
      std::string const number = std::to_string(step) + ".safetensors";
      set_values(ctx, "adamw_weights_" + number);
      ema.update(ctx);
      {
        auto const scope = ema.averaged(ctx);
        golden::expect_values("ema_" + name + "_weights_" + number, ctx);
      }
      golden::expect_values("adamw_weights_" + number, ctx);
    }
  }
}

TEST(Ema, TheDecayThatWarmsUp_IsTimms) {
  Ema<float, Ctx::MemorySpace> const ema(EmaOptions{.decay = 0.9999});
  auto const decays = golden::numbers("ema_warmup_decays");
  ASSERT_EQ(decays.size(), 64u);
  for (std::uint64_t update = 1; update <= 64; ++update) {
    EXPECT_NEAR(ema.decay(update), decays[update - 1], 1e-7) << update;
  }
}

TEST(Ema, StateRestoredIntoAnotherObject_ContinuesToTheSameBits) {
  Ctx ctx;
  golden::load(ctx, "weights.safetensors");
  Ema first(ctx, {.decay = 0.9}), second(ctx, {.decay = 0.9});
  set_values(ctx, "adamw_weights_1.safetensors");
  first.update(ctx);
  auto const from = first.state(ctx), to = second.state(ctx);
  ASSERT_EQ(from.arrays.size(), 1u);
  Kokkos::deep_copy(to.arrays[0].values.view(), from.arrays[0].values.view());
  to.steps.set(from.steps.get());
  set_values(ctx, "adamw_weights_2.safetensors");
  first.update(ctx);
  second.update(ctx);
  auto const values = [&](auto& ema) {
    auto const scope = ema.averaged(ctx);
    ctx.exec.fence();
    return ctx.parameters.host_values(ctx.parameters.entry("head.weight"));
  };
  EXPECT_EQ(values(first), values(second));
}

TEST(Ema, BuffersAreAveragedAsParametersAre) {
  Ctx ctx;
  nn::Builder const root = ctx;
  root.add<1>("w", {3}, nn::zeros());
  root.add_buffer<1>("running_mean", {3}, nn::zeros());
  Ema ema(ctx, {.decay = 0.75, .start = Start::average});
  for (float const value : {4.0f, 8.0f}) {
    Kokkos::deep_copy(ctx.parameters.values().view(), value);
    Kokkos::deep_copy(ctx.parameters.buffers().view(), value);
    ema.update(ctx);
  }
  auto const both = [&] {
    ctx.exec.fence();
    return std::pair(ctx.parameters.host_values(ctx.parameters.entry("w"))[2],
                     ctx.parameters.host_values(ctx.parameters.buffer_entry("running_mean"))[2]);
  };
  {
    auto const scope = ema.averaged(ctx);
    EXPECT_EQ(both(), std::pair(2.75f, 2.75f));
  }
  EXPECT_EQ(both(), std::pair(8.0f, 8.0f));
  auto const state = ema.state(ctx);
  ASSERT_EQ(state.arrays.size(), 2u);
  EXPECT_TRUE(state.arrays[1].of_buffers);
}

TEST(Ema, WhatDoesNotChange_KeepsItsBitsInTheAverage) {
  Ctx ctx;
  nn::Builder(ctx).add<1>("w", {40}, nn::normal(1));
  Ema ema(ctx, {.decay = 0.9});
  auto const before = ctx.parameters.host_values(ctx.parameters.entry("w"));
  for (int i = 0; i < 5; ++i) ema.update(ctx);
  auto const scope = ema.averaged(ctx);
  ctx.exec.fence();
  EXPECT_EQ(ctx.parameters.host_values(ctx.parameters.entry("w")), before);
}

TEST(Ema, ADecayOfOne_IsRefused) {
  Ctx ctx;
  EXPECT_THROW(Ema(ctx, {.decay = 1}), Error);
  EXPECT_THROW(Ema(ctx, {.decay = -0.1}), Error);
}

}  // namespace
