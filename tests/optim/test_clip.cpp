#include "attn/optim/adamw.hpp"
#include "attn/optim/clip.hpp"
#include "attn/optim/loss_scale.hpp"
#include "attn/optim/sgd.hpp"

#include <cstring>
#include <limits>

#include "optim/golden_parameters.hpp"

namespace {

using namespace attn;
using namespace attn::optim;
using golden::Ctx;

double host_norm(Ctx& ctx, GradientClip<float, Ctx::MemorySpace> const& clip) {
  double norm = 0;
  ctx.exec.fence();
  Kokkos::deep_copy(Kokkos::View<double, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>(&norm),
                    Kokkos::subview(clip.norm().view(), 0));
  return norm;
}

TEST(GradientClip, NormAndClippedGradients_AgreeWithTorch) {
  for (std::string const name : {"hard", "idle", "faint"}) {
    Ctx ctx;
    golden::load(ctx, "weights.safetensors");
    golden::load_gradients(ctx, "gradients_1.safetensors", golden::number("clip_" + name + "_factor"));
    GradientClip clip(ctx, golden::number("clip_" + name + "_limit"));
    clip(ctx);
    double const norm = golden::number("clip_" + name + "_norm");
    EXPECT_NEAR(host_norm(ctx, clip), norm, 1e-6 * norm) << name;
    golden::expect_gradients("clip_" + name + "_gradients.safetensors", ctx);
  }
}

TEST(GradientClip, WithoutALimit_MeasuresAndChangesNothing) {
  Ctx ctx;
  golden::load(ctx, "weights.safetensors");
  golden::load_gradients(ctx, "gradients_1.safetensors");
  GradientClip clip(ctx);
  clip(ctx);
  EXPECT_NEAR(host_norm(ctx, clip), golden::number("clip_hard_norm"), 1e-6 * golden::number("clip_hard_norm"));
  golden::expect_gradients("gradients_1.safetensors", ctx);
}

TEST(GradientClip, TheNormOfAnySize_IsThatOfASerialSum) {
  for (Index const size : {1, 2, 13, 16, 17, 1024, 16384, 16411, 300007}) {
    Ctx ctx;
    nn::Builder(ctx).add<1>("p", {size}, nn::normal(1));
    auto const values = ctx.parameters.host_values(ctx.parameters.entry("p"));
    Kokkos::deep_copy(ctx.parameters.gradients().view(), ctx.parameters.values().view());
    double sum = 0;
    for (float const v : values) sum += double(v) * double(v);
    GradientClip clip(ctx);
    clip(ctx);
    EXPECT_NEAR(host_norm(ctx, clip), std::sqrt(sum), 1e-12 * std::sqrt(sum)) << size;
  }
}

TEST(GradientClip, WhatIsNotTrained_DoesNotCount) {
  Ctx ctx;
  nn::Builder const root = ctx;
  root.add<1>("frozen", {40}, nn::ones());
  root.add<1>("w", {4}, nn::ones());
  ctx.parameters.set("frozen", {.trained = false});
  Kokkos::deep_copy(ctx.parameters.gradients().view(), 0.0f);
  Kokkos::deep_copy(ctx.parameters.gradient(ctx.parameters.entry("frozen")).view(),
                    std::numeric_limits<float>::quiet_NaN());
  Kokkos::deep_copy(ctx.parameters.gradient(ctx.parameters.entry("w")).view(), 2.0f);
  GradientClip clip(ctx, 1.0);
  clip(ctx);
  EXPECT_EQ(host_norm(ctx, clip), 4);
  EXPECT_NEAR(ctx.parameters.host_gradients(ctx.parameters.entry("w"))[3], 0.5, 1e-6);
}

TEST(GradientClip, ZeroGradients_StayZero) {
  Ctx ctx;
  golden::load(ctx, "weights.safetensors");
  ctx.parameters.zero_gradients(ctx.exec);
  GradientClip clip(ctx, 1.0);
  clip(ctx);
  EXPECT_EQ(host_norm(ctx, clip), 0);
  for (auto const& entry : ctx.parameters.entries()) {
    for (float const g : ctx.parameters.host_gradients(entry)) EXPECT_EQ(g, 0);
  }
}

TEST(GradientClip, AGradientThatIsNotFinite_ShowsInTheNorm) {
  Ctx ctx;
  nn::Builder(ctx).add<1>("p", {40}, nn::ones());
  auto const entry = ctx.parameters.entry("p");
  Kokkos::deep_copy(Kokkos::subview(ctx.parameters.gradient(entry).view(), 37),
                    std::numeric_limits<float>::quiet_NaN());
  GradientClip clip(ctx, 1.0);
  clip(ctx);
  EXPECT_TRUE(std::isnan(host_norm(ctx, clip)));
  EXPECT_THROW(GradientClip(ctx, -1.0), Error);
}

TEST(LossScale, GradientsAndNormLoseItAgain) {
  Ctx plain, scaled;
  LossScale const scale(scaled, {.initial = 1024});
  for (Ctx* const ctx : {&plain, &scaled}) {
    golden::load(*ctx, "weights.safetensors");
    golden::load_gradients(*ctx, "gradients_1.safetensors", ctx == &scaled ? 1024 : 1);
    GradientClip clip(*ctx, golden::number("clip_hard_limit"));
    clip(*ctx);
    EXPECT_NEAR(host_norm(*ctx, clip), golden::number("clip_hard_norm"), 1e-6 * golden::number("clip_hard_norm"));
  }
  EXPECT_EQ(host_copy(scaled.parameters.gradients()), host_copy(plain.parameters.gradients())) << "powers of two";
}

/// Steps with gradients of 1, of which some are infinite.
template <class Optimizer>
void expect_left_out(Optimizer optimizer) {
  Ctx ctx;
  nn::Builder(ctx).add<1>("p", {40}, nn::ones());
  LossScale const scale(ctx, {.initial = 8, .interval = 3});
  GradientClip clip(ctx);
  auto const numbers = [&] {
    std::vector<std::vector<float>> all = {host_copy(ctx.parameters.values())};
    auto const state = optimizer.state(ctx);
    for (auto const& array : state.arrays) all.push_back(host_copy(array.values));
    all.push_back({float(state.steps.get())});
    return all;
  };
  std::vector<double> scales;
  for (int step = 0; step < 8; ++step) {
    Kokkos::deep_copy(ctx.parameters.gradients().view(), 1.0f);
    bool const breaks = step == 1 || step == 5;
    if (breaks) Kokkos::deep_copy(Kokkos::subview(ctx.parameters.gradients().view(), 7), HUGE_VALF);
    auto const before = numbers();
    clip(ctx);
    optimizer.step(ctx);
    EXPECT_EQ(numbers() == before, breaks) << step;
    scales.push_back(scale.get().first);
  }
  EXPECT_EQ(scales, (std::vector<double>{8, 4, 4, 4, 8, 4, 4, 4}));
  EXPECT_EQ(optimizer.state(ctx).steps.get(), 6u);
}

TEST(LossScale, AStepWhoseGradientOverflows_IsLeftOutAndHalvesIt) {
  expect_left_out(AdamW<float, Ctx::MemorySpace>(AdamWOptions{.weight_decay = 0.1}));
  expect_left_out(Sgd<float, Ctx::MemorySpace>(SgdOptions{.momentum = 0.9, .weight_decay = 0.1}));
}

TEST(LossScale, IsAPowerOfTwo) {
  Ctx ctx;
  EXPECT_THROW(LossScale(ctx, {.initial = 3}), Error);
  EXPECT_THROW(LossScale(ctx, {.initial = 0}), Error);
  EXPECT_THROW(LossScale(ctx, {.initial = HUGE_VAL}), Error);
  EXPECT_THROW(LossScale(ctx, {.interval = 0}), Error);
}

}  // namespace
