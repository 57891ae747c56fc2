/// LossScale: losses are multiplied so that gradients in fp16 do not become zero, by as much as they bear (Micikevicius
/// et al. 2018).
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/nn/context.hpp"

#include <cmath>
#include <cstdint>
#include <utility>

namespace attn::optim {

/// How losses are scaled.
struct LossScaleOptions {
  double initial = 65536;         ///< a power of two
  std::uint64_t interval = 2000;  ///< good steps after which the scale is doubled
};

/// While one lives, the gradients of losses of `ctx`, and of contexts that are made from it afterwards, are multiplied
/// by a scale, which `GradientClip` takes from the gradients of the parameters again. A step whose gradients are not
/// finite is left out by the optimizer and halves the scale; many that are, one after the other, double it: what
/// PyTorch's GradScaler does.
///
///     attn::optim::LossScale const scale(ctx);
///     attn::nn::Context<Exec, attn::Float16> narrow(ctx);
///     ... forward, loss, backward in `narrow`; clip(ctx); adamw.step(ctx) ...
///
/// It lies in memory: nothing waits for it, and a graph of launches may hold all of a step. Averages of weights (Ema)
/// count steps that are left out.
template <class Ctx>
class LossScale {
 public:
  static constexpr double least = 0x1p-60;  ///< that `set` takes

  explicit LossScale(Ctx& ctx, LossScaleOptions const& options = {})
      : ctx_(ctx), numbers_("attn::optim::LossScale", 1), interval_(options.interval) {
    ATTN_CHECK(options.interval > 0, "LossScale: give an interval of at least one step");
    set(options.initial, 0);
    ctx.loss_scale = numbers_.data();
  }
  ~LossScale() { ctx_.loss_scale = nullptr; }
  LossScale(LossScale const&) = delete;
  LossScale& operator=(LossScale const&) = delete;

  /// The scale, and the good steps since it changed. Waits.
  std::pair<double, std::uint64_t> get() const {
    nn::LossScaleNumbers const now = host_copy<Memory>(numbers_.data(), 1)[0];
    return {now.scale, now.good_steps};
  }
  /// What `get` returned: to go on after an interruption. Waits.
  void set(double scale, std::uint64_t good_steps) {
    int exponent = 0;
    ATTN_CHECK(scale >= least && std::isfinite(scale) && std::frexp(scale, &exponent) == 0.5,
               "LossScale: give a power of two, got ", scale);
    copy_from_host<Memory>(std::vector{nn::LossScaleNumbers{scale, good_steps, interval_, 0}}, numbers_.data());
  }

 private:
  using Memory = typename Ctx::MemorySpace;

  Ctx& ctx_;
  Kokkos::View<nn::LossScaleNumbers*, Memory> numbers_;
  std::uint64_t interval_;
};

}  // namespace attn::optim
