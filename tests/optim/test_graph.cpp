// A step is the same launches each time: those of one, repeated as a CUDA graph repeats them, train as steps do.
#include "attn/nn/dropout.hpp"
#include "attn/optim/adamw.hpp"
#include "attn/optim/clip.hpp"
#include "attn/optim/ema.hpp"
#include "attn/optim/sgd.hpp"

#include <gtest/gtest.h>

#include "optim/recorded_space.hpp"

namespace {

using namespace attn;
using namespace attn::optim;
using Ctx = nn::Context<attn_test::Recorded>;
using Numbers = std::vector<float>;

constexpr Index size = 40'000;  // several blocks: a single one would run without a launch

struct SlopeOfBowl {
  float const* y;
  float* gradient;
  void operator()(Index i) const { gradient[i] = y[i] - 1; }
};

/// Parameters in a bowl, seen through dropout, with stochastic depth of the whole.
template <class Optimizer>
struct Training {
  Ctx ctx{5};
  nn::Dropout dropout{ctx / "drop", 0.3};
  nn::StochasticDepth depth{ctx / "depth", 0.5};
  Optimizer optimizer;
  GradientClip<float, Ctx::MemorySpace> clip{3};
  std::optional<Ema<float, Ctx::MemorySpace>> ema;
  Tensor<float const, 1, Ctx::MemorySpace> factors;

  template <class Options>
  explicit Training(Options const& options) : optimizer(options) {
    nn::Builder(ctx).add<1>("p", {size}, nn::normal(1));
    ema.emplace(ctx);
  }

  void step() {
    ctx.begin_step();
    factors = depth.factors(ctx, 3);
    auto const y = dropout.forward(ctx, ctx.parameters.values()).value;
    attn::launch("slope", Kokkos::RangePolicy<attn_test::Recorded, Kokkos::IndexType<Index>>(ctx.exec, 0, size),
                 SlopeOfBowl{y.data(), ctx.parameters.gradients().data()});
    clip(ctx);
    optimizer.step(ctx);
    ema->update(ctx);
  }

  std::vector<Numbers> state() {
    std::vector<Numbers> all = {host_copy(ctx.parameters.values()), {factors(0), factors(1), factors(2)}};
    for (auto const& state : {optimizer.state(ctx), ema->state(ctx)}) {
      for (auto const& array : state.arrays) all.push_back(host_copy(array.values));
      all.push_back({float(state.steps.get())});
    }
    return all;
  }
};

double rate_of(int step) { return 0.1 / (1 + step); }

template <class Optimizer, class Options>
std::vector<Numbers> stepped(Options const& options, int steps) {
  Training<Optimizer> training(options);
  for (int i = 0; i < steps; ++i, ++training.ctx.step) {
    training.optimizer.learning_rate = rate_of(i);
    training.step();
  }
  return training.state();
}

/// One step, then one whose launches are recorded, then these alone.
template <class Optimizer, class Options>
std::vector<Numbers> replayed(Options const& options, int steps, bool step_is_there = true) {
  Training<Optimizer> training(options);
  nn::StepThere step_there(training.ctx);
  if (!step_is_there) training.ctx.step_there = nullptr;
  std::vector<std::function<void()>> graph;
  for (int i = 0; i < steps; ++i) {
    training.optimizer.learning_rate = rate_of(i);
    training.optimizer.write_rates(training.ctx);
    attn_test::recorded_launches.clear();
    if (i < 2) {
      training.step();
      step_there.next(training.ctx);
      graph = attn_test::recorded_launches;
    } else {
      for (auto const& launch : graph) launch();
    }
  }
  return training.state();
}

TEST(Graph, OfAStepWithAdamW_TrainsAsStepsDo) {
  AdamWOptions const options{.beta1 = 0.8, .weight_decay = 0.05};
  using Optimizer = AdamW<float, Ctx::MemorySpace>;
  EXPECT_EQ(replayed<Optimizer>(options, 6), stepped<Optimizer>(options, 6));
}

TEST(Graph, OfAStepWithSgd_TrainsAsStepsDo) {
  SgdOptions const options{.momentum = 0.9, .weight_decay = 0.05};
  using Optimizer = Sgd<float, Ctx::MemorySpace>;
  EXPECT_EQ(replayed<Optimizer>(options, 6), stepped<Optimizer>(options, 6));
}

TEST(Graph, WithTheStepAmongItsArguments_RepeatsTheNoise) {
  SgdOptions const options;
  using Optimizer = Sgd<float, Ctx::MemorySpace>;
  EXPECT_EQ(replayed<Optimizer>(options, 2, false), stepped<Optimizer>(options, 2));
  EXPECT_NE(replayed<Optimizer>(options, 3, false), stepped<Optimizer>(options, 3));
}

}  // namespace
