/// check_optimizer: does a type keep the promises of an optimizer (attn/optim/optimizer.hpp)?
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/core/launch.hpp"
#include "attn/nn/context.hpp"

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace attn::testing {

namespace detail {

/// Gradients of the bowl f(p) = sum (p - 1)^2 / 2, and of nothing for parameters that are to stay.
struct BowlGradient {
  float const* value;
  float* gradient;
  float slope;

  ATTN_FUNCTION void operator()(Index i) const { gradient[i] = slope * (value[i] - 1.0f); }
};

/// A registry with what optimizers can get wrong: a size of 1, a prime, whole granules, parameters that do not decay.
template <class Ctx>
struct Bowl {
  Ctx ctx{3};

  Bowl() {
    nn::Builder const root = ctx;
    root.add<1>("scale", {1}, nn::normal(1));
    root.add<2>("weight", {7, 5}, nn::normal(1));
    root.add<1>("bias", {13}, nn::normal(1));
    root.add<2>("long.weight", {16, 48}, nn::normal(1));
  }

  void gradients(float slope) {
    auto const value = ctx.parameters.values();
    auto const gradient = ctx.parameters.gradients();
    for (auto const& entry : ctx.parameters.entries()) {
      attn::launch("attn::testing::BowlGradient",
                   Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, entry.size),
                   BowlGradient{value.data() + entry.offset, gradient.data() + entry.offset, slope});
    }
  }

  template <class Optimizer>
  void run(Optimizer& optimizer, int steps, float slope = 1) {
    for (int i = 0; i < steps; ++i) {
      gradients(slope);
      optimizer.step(ctx);
    }
    ctx.exec.fence();
  }

  /// All numbers of the flat buffer, those between the parameters too.
  std::vector<float> flat() { return host_copy(ctx.parameters.values()); }

  double distance() {
    double sum = 0;
    for (auto const& entry : ctx.parameters.entries()) {
      for (float const v : ctx.parameters.host_values(entry)) sum += (v - 1.0) * (v - 1.0);
    }
    return std::sqrt(sum);
  }
};

/// Whether the elements of one entry have the same bits in both arrays.
inline bool same_entry(nn::ParameterEntry const& entry, std::vector<float> const& a, std::vector<float> const& b) {
  return std::memcmp(a.data() + entry.offset, b.data() + entry.offset, std::size_t(entry.size) * sizeof(float)) == 0;
}

}  // namespace detail

/// The promises that an optimizer breaks, a sentence each; none if it is sound. `make(ctx)` gives a new optimizer with
/// a learning rate at which it converges on a sphere within `steps` steps.
///
///     EXPECT_EQ(check_optimizer<Context>([](auto& ctx) { return AdamW(ctx, {.learning_rate = 0.05}); }),
///               std::vector<std::string>{});
template <class Ctx, class Make>
std::vector<std::string> check_optimizer(Make const& make, int steps = 400) {
  using Bowl = detail::Bowl<Ctx>;
  std::vector<std::string> broken;
  auto const same = [](std::vector<float> const& a, std::vector<float> const& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };

  Bowl whole;
  auto optimizer = make(whole.ctx);
  double const before = whole.distance();
  whole.run(optimizer, 7);
  auto const at_seven = whole.flat();
  whole.run(optimizer, steps - 7);
  if (!(whole.distance() < 0.1 * before)) broken.push_back("it does not descend into a bowl");

  Bowl again;
  auto same_optimizer = make(again.ctx);
  again.run(same_optimizer, 7);
  if (!same(again.flat(), at_seven)) broken.push_back("the same steps give other bits");

  std::vector<bool> used(at_seven.size(), false);
  for (auto const& entry : whole.ctx.parameters.entries()) {
    for (Index i = 0; i < entry.size; ++i) used[static_cast<std::size_t>(entry.offset + i)] = true;
  }
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i] || at_seven[i] == 0) continue;
    broken.push_back("it writes between the parameters");
    break;
  }

  // What `state` names after 3 steps, put into another optimizer, must continue to the same bits.
  Bowl first, second;
  auto interrupted = make(first.ctx), resumed = make(second.ctx);
  first.run(interrupted, 3);
  auto const saved = interrupted.state(first.ctx);
  auto const restored = resumed.state(second.ctx);
  copy_from_host(first.flat(), second.ctx.parameters.values());
  for (std::size_t i = 0; i < saved.arrays.size(); ++i) {
    if (saved.arrays[i].name != restored.arrays[i].name) broken.push_back("its state has other names in each object");
    copy_from_host(host_copy(saved.arrays[i].values), restored.arrays[i].values);
  }
  restored.steps.set(saved.steps.get());
  second.run(resumed, 4);
  if (!same(second.flat(), at_seven)) broken.push_back("it does not continue from its own state to the same bits");

  Bowl still;
  auto idle = make(still.ctx);
  idle.learning_rate = 0;
  auto const untouched = still.flat();
  still.run(idle, 2);
  if (!same(still.flat(), untouched)) broken.push_back("a learning rate of 0 changes the parameters");

  // Without gradients only decay moves a parameter, and only one that decays, toward zero.
  Bowl decaying;
  auto optimizer_of_zeros = make(decaying.ctx);
  auto const initial = decaying.flat();
  decaying.run(optimizer_of_zeros, 2, 0);
  auto const decayed = decaying.flat();
  for (auto const& entry : decaying.ctx.parameters.entries()) {
    bool moved = false, grew = false;
    for (auto i = static_cast<std::size_t>(entry.offset); i < static_cast<std::size_t>(entry.offset + entry.size);
         ++i) {
      moved = moved || decayed[i] != initial[i];
      grew = grew || std::abs(decayed[i]) > std::abs(initial[i]);
    }
    if (moved && !entry.decays) broken.push_back("it decays " + entry.name + ", which must not");
    if (grew) broken.push_back("without a gradient " + entry.name + " moves away from zero");
  }

  // A parameter that is frozen after some steps keeps its bits, and what is remembered of it, whatever its gradient.
  Bowl partly;
  auto freezing = make(partly.ctx);
  partly.run(freezing, 2);
  auto const numbers = [&] {
    std::vector<std::vector<float>> all = {partly.flat()};
    for (auto const& array : freezing.state(partly.ctx).arrays) all.push_back(host_copy(array.values));
    return all;
  };
  auto const frozen_at = numbers();
  partly.ctx.parameters.set("*weight", {.trained = false});
  partly.run(freezing, 2);
  auto const afterwards = numbers();
  for (auto const& entry : partly.ctx.parameters.entries()) {
    if (entry.trained) {
      bool const stays = detail::same_entry(entry, afterwards[0], frozen_at[0]);
      if (stays) broken.push_back("it does not train " + entry.name + " when others are not trained");
      continue;
    }
    for (std::size_t i = 0; i < frozen_at.size(); ++i) {
      if (detail::same_entry(entry, afterwards[i], frozen_at[i])) continue;
      broken.push_back("it changes " + entry.name + ", or its state, which is not trained");
      break;
    }
  }

  // Half the factor is half the learning rate: to the bit, since a power of two rounds nothing away.
  Bowl factors, rates;
  auto with_factor = make(factors.ctx), with_rate = make(rates.ctx);
  factors.ctx.parameters.set("*", {.learning_rate_factor = 0.5});
  with_rate.learning_rate *= 0.5;
  factors.run(with_factor, 3);
  rates.run(with_rate, 3);
  if (!same(factors.flat(), rates.flat())) broken.push_back("half the learning rate's factor is not half the rate");
  return broken;
}

}  // namespace attn::testing
