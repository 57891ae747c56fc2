#include "attn/optim/adamw.hpp"
#include "attn/testing/check_optimizer.hpp"

#include <algorithm>
#include <fstream>

#include "optim/golden_parameters.hpp"

namespace {

using namespace attn;
using namespace attn::optim;
using golden::Ctx;
using Adam = AdamW<float, Ctx::MemorySpace>;

static_assert(Optimizer<Adam, Ctx>);

TEST(AdamW, FiveStepsOfElevenParameters_AgreeWithTimm) {
  Ctx ctx;
  golden::load(ctx, "weights.safetensors");
  AdamW adamw(ctx, {.weight_decay = 0.05});
  auto const rates = golden::numbers("adamw_learning_rates");
  ASSERT_EQ(rates.size(), 5u);
  for (int step = 1; step <= 5; ++step) {
    golden::load_gradients(ctx, "gradients_" + std::to_string(step) + ".safetensors");
    adamw.learning_rate = rates[static_cast<std::size_t>(step - 1)];
    adamw.step(ctx);
    golden::expect_values("adamw_weights_" + std::to_string(step) + ".safetensors", ctx);
  }
}

TEST(AdamW, WhatDecays_IsWhatTimmDecays) {
  Ctx ctx;
  golden::load(ctx, "weights.safetensors");
  std::ifstream file(golden::path("adamw_decay.txt"));
  std::string name;
  int read = 0;
  for (double decay = 0; file >> name >> decay; ++read) EXPECT_EQ(ctx.parameters.entry(name).decays, decay > 0) << name;
  EXPECT_EQ(read, 11);
}

TEST(AdamW, KeepsThePromisesOfAnOptimizer) {
  EXPECT_EQ(attn::testing::check_optimizer<Ctx>([](Ctx& ctx) { return AdamW(ctx, {.learning_rate = 0.05}); }),
            std::vector<std::string>{});
  EXPECT_EQ(attn::testing::check_optimizer<Ctx>([](Ctx& ctx) {
              return AdamW(ctx, {.learning_rate = 0.05, .beta1 = 0.5, .beta2 = 0.9, .weight_decay = 0.01});
            }),
            std::vector<std::string>{});
}

/// Adam whose state forgets the second moment.
struct Forgetful : Adam {
  using Adam::Adam;
  template <class C>
  auto state(C& ctx) {
    auto all = Adam::state(ctx);
    all.arrays.pop_back();
    return all;
  }
};

/// Decays everything, and what lies between the parameters moves.
struct Careless {
  double learning_rate = 0.1;
  std::uint64_t steps = 0;
  void step(Ctx& ctx) {
    auto const p = ctx.parameters.values();
    auto const g = ctx.parameters.gradients();
    double const rate = learning_rate;
    Kokkos::parallel_for(
        Kokkos::RangePolicy<Ctx::Space>(ctx.exec, 0, ctx.parameters.extent()),
        KOKKOS_LAMBDA(int i) { p(i) -= static_cast<float>(rate * (g(i) + 0.05 * p(i) + 1e-3)); });
  }
  State<float, Ctx::MemorySpace> state(Ctx&) { return {{}, &steps}; }
};

TEST(CheckOptimizer, FindsAForgottenBuffer) {
  EXPECT_EQ(attn::testing::check_optimizer<Ctx>([](Ctx& ctx) { return Forgetful(ctx, {.learning_rate = 0.05}); }),
            std::vector<std::string>{"it does not continue from its own state to the same bits"});
}

TEST(CheckOptimizer, FindsDecayWhereNoneIsDue_AndWritesBetweenParameters) {
  auto const broken = attn::testing::check_optimizer<Ctx>([](Ctx&) { return Careless{}; });
  auto const has = [&](std::string const& part) {
    return std::any_of(broken.begin(), broken.end(), [&](auto const& b) { return b.find(part) != b.npos; });
  };
  EXPECT_TRUE(has("decays bias"));
  EXPECT_TRUE(has("between the parameters"));
  EXPECT_FALSE(has("decays weight"));
}

TEST(CheckOptimizer, FindsWhatIgnoresAttributes) {
  auto const broken = attn::testing::check_optimizer<Ctx>([](Ctx&) { return Careless{}; });
  for (char const* const sentence : {"it changes weight, or its state, which is not trained",
                                     "half the learning rate's factor is not half the rate"}) {
    EXPECT_NE(std::find(broken.begin(), broken.end(), sentence), broken.end()) << sentence;
  }
}

TEST(CheckOptimizer, FindsWhatDoesNotDescend) {
  auto const broken = attn::testing::check_optimizer<Ctx>([](Ctx& ctx) { return AdamW(ctx, {.learning_rate = 1e-6}); });
  EXPECT_EQ(broken, std::vector<std::string>{"it does not descend into a bowl"});
}

TEST(AdamW, ParametersThatAreAddedLater_StartWithoutAHistory) {
  Ctx ctx;
  nn::Builder const root = ctx;
  auto const first = root.add<1>("first", {5}, nn::ones());
  AdamW adamw(ctx, {.learning_rate = 0.5});
  Kokkos::deep_copy(ctx.parameters.gradients().view(), 1.0f);
  adamw.step(ctx);
  auto const second = root.add<1>("second", {3}, nn::ones());
  Kokkos::deep_copy(ctx.parameters.gradients().view(), 1.0f);
  adamw.step(ctx);
  ctx.exec.fence();
  EXPECT_NEAR(ctx.parameters.host_values(ctx.parameters.entry("first"))[4], 0.0, 1e-6);
  EXPECT_LT(ctx.parameters.host_values(ctx.parameters.entry("second"))[2], 1.0);
  EXPECT_GT(second.offset, first.offset);
}

TEST(AdamW, OptionsThatMakeNoSense_AreRefused) {
  Ctx ctx;
  EXPECT_THROW(AdamW(ctx, {.beta1 = 1.0}), Error);
  EXPECT_THROW(AdamW(ctx, {.beta2 = -0.1}), Error);
  EXPECT_THROW(AdamW(ctx, {.epsilon = -1e-8}), Error);
  EXPECT_THROW(AdamW(ctx, {.weight_decay = -1}), Error);
}

TEST(AdamW, WithoutParameters_DoesNothing) {
  Ctx ctx;
  AdamW adamw(ctx);
  adamw.step(ctx);
  EXPECT_EQ(adamw.state(ctx).steps.get(), 1u);
}

}  // namespace
