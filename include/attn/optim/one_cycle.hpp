/// OneCycle: up to the highest rate, then down to almost nothing, in straight lines, with the momentum going the other
/// way (Smith and Topin 2019, as the common framework implements it).
#pragma once

#include "attn/optim/adamw.hpp"
#include "attn/optim/schedule.hpp"

#include <utility>

namespace attn::optim {

/// A schedule of `total` steps. The rate rises from base / 25 at step 0 to base at step warmup - 1 and falls to
/// base / 250000 at step total - 1; the momentum falls from 0.95 to 0.85 and rises again at the same times.
struct OneCycle {
  double base = 1e-3;
  Index total = 2;
  Index warmup = 1;
  double start_factor = 1.0 / 25;
  double end_factor = 1e-4;  ///< of the start
  double highest_momentum = 0.95;
  double lowest_momentum = 0.85;

  double operator()(Index t) const { return at(t, base * start_factor, base, base * start_factor * end_factor); }
  double momentum(Index t) const { return at(t, highest_momentum, lowest_momentum, highest_momentum); }

 private:
  double at(Index t, double start, double peak, double end) const {
    double const step = static_cast<double>(std::clamp(t, Index(0), std::max(total - 1, Index(0))));
    double const up = static_cast<double>(warmup) - 1, down = static_cast<double>(total) - 1;
    if (step < up) return start + (peak - start) * step / up;
    if (down <= up) return peak;
    return peak + (end - peak) * (step - std::max(up, 0.0)) / (down - std::max(up, 0.0));
  }
};

/// AdamW whose beta1 follows the momentum of the cycle. The learning rate is set from outside, as for all optimizers.
template <Real T, class Memory>
class OneCycleAdamW {
 public:
  template <class Ctx>
  OneCycleAdamW(Ctx const& ctx, OneCycle const& cycle, AdamWOptions const& options)
      : learning_rate(options.learning_rate), adamw_(ctx, options), cycle_(cycle) {}

  double learning_rate;

  /// The step's number is that of `ctx`.
  template <class Ctx>
  void step(Ctx& ctx) {
    adamw_.learning_rate = learning_rate;
    adamw_.beta1 = cycle_.momentum(static_cast<Index>(ctx.step));
    adamw_.step(ctx);
  }

  template <class Ctx>
  State<T, Memory> state(Ctx& ctx) {
    return adamw_.state(ctx);
  }

 private:
  AdamW<T, Memory> adamw_;
  OneCycle cycle_;
};

template <class Ctx>
OneCycleAdamW(Ctx const&, OneCycle const&, AdamWOptions const&)
    -> OneCycleAdamW<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
