/// check_optimizer: does a type keep the promises of an optimizer (attn/optim/optimizer.hpp)?
#pragma once

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
      Kokkos::parallel_for("attn::testing::BowlGradient",
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
  std::vector<float> flat() { return copy(ctx.parameters.values()); }

  static std::vector<float> copy(Tensor<float, 1, typename Ctx::MemorySpace> const& from) {
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), from.view());
    std::vector<float> to;
    for (Index i = 0; i < from.extent(0); ++i) to.push_back(host(i));
    return to;
  }
  static void copy(std::vector<float> const& from, Tensor<float, 1, typename Ctx::MemorySpace> const& to) {
    using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
    Kokkos::deep_copy(Kokkos::View<float*, typename Ctx::MemorySpace, Unmanaged>(to.data(), from.size()),
                      Kokkos::View<float const*, Kokkos::HostSpace, Unmanaged>(from.data(), from.size()));
  }

  double distance() {
    double sum = 0;
    for (auto const& entry : ctx.parameters.entries()) {
      for (float const v : ctx.parameters.host_values(entry)) sum += (v - 1.0) * (v - 1.0);
    }
    return std::sqrt(sum);
  }
};

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
  Bowl::copy(first.flat(), second.ctx.parameters.values());
  for (std::size_t i = 0; i < saved.buffers.size(); ++i) {
    if (saved.buffers[i].name != restored.buffers[i].name) broken.push_back("its state has other names in each object");
    Bowl::copy(Bowl::copy(saved.buffers[i].values), restored.buffers[i].values);
  }
  *restored.steps = *saved.steps;
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
  return broken;
}

}  // namespace attn::testing
