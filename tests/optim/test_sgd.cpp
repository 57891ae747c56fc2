#include "attn/optim/sgd.hpp"
#include "attn/testing/check_optimizer.hpp"

#include <gtest/gtest.h>

namespace {

using namespace attn;
using namespace attn::optim;
using Ctx = nn::Context<Kokkos::DefaultExecutionSpace>;

static_assert(Optimizer<Sgd<float, Ctx::MemorySpace>, Ctx>);

TEST(Sgd, KeepsThePromisesOfAnOptimizer) {
  for (SgdOptions const options :
       {SgdOptions{.learning_rate = 0.05}, SgdOptions{.learning_rate = 0.02, .momentum = 0.9},
        SgdOptions{.learning_rate = 0.02, .momentum = 0.9, .nesterov = true},
        SgdOptions{.learning_rate = 0.05, .momentum = 0.5, .weight_decay = 1e-3}}) {
    EXPECT_EQ(attn::testing::check_optimizer<Ctx>([&](Ctx& ctx) { return Sgd(ctx, options); }),
              std::vector<std::string>{});
  }
}

// Three steps with gradients 1, 2, 3 from p = 0, by hand.
std::vector<float> three_steps(SgdOptions const& options) {
  Ctx ctx;
  nn::Builder const root = ctx;
  root.add<2>("weight", {3, 1}, nn::zeros());
  Sgd sgd(ctx, options);
  std::vector<float> values;
  for (float const gradient : {1.0f, 2.0f, 3.0f}) {
    Kokkos::deep_copy(ctx.parameters.gradients().view(), gradient);
    sgd.step(ctx);
    ctx.exec.fence();
    values.push_back(ctx.parameters.host_values(ctx.parameters.entry("weight"))[2]);
  }
  return values;
}

TEST(Sgd, ThreeSteps_AreTheFormula) {
  EXPECT_EQ(three_steps({.learning_rate = 1}), (std::vector<float>{-1, -3, -6}));
  EXPECT_EQ(three_steps({.learning_rate = 1, .momentum = 0.5}), (std::vector<float>{-1, -3.5, -7.75}));
  EXPECT_EQ(three_steps({.learning_rate = 1, .momentum = 0.5, .nesterov = true}),
            (std::vector<float>{-1.5, -4.75, -9.875}));
  EXPECT_EQ(three_steps({.learning_rate = 1, .weight_decay = 0.5}), (std::vector<float>{-1, -2.5, -4.25}));
}

TEST(Sgd, OptionsThatMakeNoSense_AreRefused) {
  Ctx ctx;
  EXPECT_THROW(Sgd(ctx, {.momentum = 1.5}), Error);
  EXPECT_THROW(Sgd(ctx, {.weight_decay = -1}), Error);
}

}  // namespace
