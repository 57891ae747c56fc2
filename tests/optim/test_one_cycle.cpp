#include "attn/nn/context.hpp"
#include "attn/optim/one_cycle.hpp"

#include <gtest/gtest.h>

#include <span>
#include <vector>

namespace {

using attn::Index;
using attn::optim::OneCycle;

TEST(OneCycle, RatesAreThoseOfTheCommonFramework) {
  // torch.optim.lr_scheduler.OneCycleLR(max_lr=1e-2, pct_start=4/12, anneal_strategy="linear", total_steps=12)
  OneCycle const cycle{.base = 1e-2, .total = 12, .warmup = 4};
  double const rates[] = {0.0004,      0.0036,     0.0068,      0.01,       0.008750005, 0.00750001,
                          0.006250015, 0.00500002, 0.003750025, 0.00250003, 0.001250035, 4e-8};
  double const momenta[] = {
      0.95, 0.916666666666667, 0.883333333333333, 0.85, 0.8625, 0.875, 0.8875, 0.9, 0.9125, 0.925, 0.9375, 0.95};
  for (int t = 0; t < 12; ++t) {
    EXPECT_NEAR(cycle(t), rates[t], 1e-15) << t;
    EXPECT_NEAR(cycle.momentum(t), momenta[t], 1e-14) << t;
  }
}

TEST(OneCycle, TheEndsOfListOpsAreThePublishedOnes) {
  OneCycle const cycle{.base = 1e-4, .total = 5000, .warmup = 1000};
  EXPECT_DOUBLE_EQ(cycle(0), 4e-6);
  EXPECT_DOUBLE_EQ(cycle(999), 1e-4);
  EXPECT_NEAR(cycle(4999), 4e-10, 1e-18);
  EXPECT_DOUBLE_EQ(cycle.momentum(0), 0.95);
  EXPECT_DOUBLE_EQ(cycle.momentum(999), 0.85);
}

TEST(OneCycle, ShortCyclesAreFinite) {
  for (OneCycle const& cycle : {OneCycle{.total = 1, .warmup = 1}, OneCycle{.total = 2, .warmup = 0},
                                OneCycle{.total = 3, .warmup = 3}, OneCycle{.total = 3, .warmup = 5}}) {
    for (Index t = 0; t < 6; ++t) {
      EXPECT_GE(cycle(t), 0);
      EXPECT_LE(cycle(t), cycle.base);
    }
  }
}

TEST(OneCycle, AdamWFollowsTheMomentum) {
  // The same optimizer and schedule in PyTorch, in double: x starts at (1, -2), the loss is sum x^4.
  attn::nn::Context<Kokkos::DefaultExecutionSpace, double> ctx;
  attn::nn::Builder const root = ctx;
  root.add<1>("x", {2}, attn::nn::zeros());
  auto const& entry = ctx.parameters.entry("x");
  std::vector<double> x{1, -2};
  ctx.parameters.assign(entry, std::span<double const>(x));
  OneCycle const cycle{.base = 1e-2, .total = 12, .warmup = 4};
  attn::optim::OneCycleAdamW adamw(ctx, cycle, {.epsilon = 1e-6});
  for (int t = 0; t < 12; ++t, ++ctx.step) {
    x = ctx.parameters.host_values(entry);
    std::vector<double> d{4 * x[0] * x[0] * x[0], 4 * x[1] * x[1] * x[1]};
    Kokkos::deep_copy(
        Kokkos::View<double*, Kokkos::DefaultExecutionSpace::memory_space>(ctx.parameters.gradient(entry).data(), 2),
        Kokkos::View<double*, Kokkos::HostSpace>(d.data(), 2));
    adamw.learning_rate = cycle(t);
    adamw.step(ctx);
    ctx.exec.fence();
  }
  x = ctx.parameters.host_values(entry);
  EXPECT_NEAR(x[0], 0.95007680824209872, 1e-12);
  EXPECT_NEAR(x[1], -1.9498483763617558, 1e-12);
}

}  // namespace
