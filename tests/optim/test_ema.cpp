#include "attn/optim/ema.hpp"

#include "optim/golden_parameters.hpp"

namespace attn::optim {
namespace {

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
  ASSERT_EQ(from.buffers.size(), 1u);
  Kokkos::deep_copy(to.buffers[0].values.view(), from.buffers[0].values.view());
  *to.steps = *from.steps;
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

TEST(Ema, ADecayOfOne_IsRefused) {
  Ctx ctx;
  EXPECT_THROW(Ema(ctx, {.decay = 1}), Error);
  EXPECT_THROW(Ema(ctx, {.decay = -0.1}), Error);
}

}  // namespace
}  // namespace attn::optim
