/// Schedules: the learning rate as a function of time, and what time means to a training loop.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/concepts.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <numbers>

namespace attn::optim {

/// A schedule is a value: `schedule(t)` is the learning rate at time t = 0, 1, 2, ...; the loop calls it with the
/// number of the step that is about to run. It carries no state, so a resumed run needs none.
template <class S>
concept Schedule = std::copyable<S> && requires(S const schedule, Index t) {
  { schedule(t) } -> std::convertible_to<double>;
};

/// The same rate at all times.
struct Constant {
  double rate = 1e-3;

  double operator()(Index) const { return rate; }
};

/// Linear from `start` to `rate` over the first `warmup` times, `rate` after.
struct LinearWarmup {
  double rate = 1e-3;
  Index warmup = 0;
  double start = 0;

  double operator()(Index t) const {
    return t < warmup ? start + (rate - start) * static_cast<double>(t) / static_cast<double>(warmup) : rate;
  }
};

/// timm's cosine schedule.
///
///   t < warmup   rate(t) = start + (base - start) t / warmup
///   t < total    rate(t) = minimum + (base - minimum) (1 + cos(pi t / total)) / 2
///   otherwise    rate(t) = minimum
///
/// The cosine is evaluated at the absolute time, so the rate drops a little where the warm-up ends. With `prefix` the
/// cosine begins after the warm-up instead, and takes `total` times from there.
struct Cosine {
  double base = 1e-3;
  Index total = 1;
  double minimum = 0;
  Index warmup = 0;
  double start = 1e-6;
  bool prefix = false;

  double operator()(Index t) const {
    if (t < warmup) return LinearWarmup{.rate = base, .warmup = warmup, .start = start}(t);
    Index const elapsed = prefix ? t - warmup : t;
    if (elapsed >= total) return minimum;
    double const angle = std::numbers::pi * static_cast<double>(elapsed) / static_cast<double>(total);
    return minimum + 0.5 * (base - minimum) * (1 + std::cos(angle));
  }
};

/// The same, one time later: schedule(t - 1), and schedule(0) at the first two times.
///
/// The published programs of DeiT, XCiT and Swin tell their schedule of an epoch, or of a step, when it is over, so
/// that each trains with the rate that was meant for the one before.
template <Schedule S>
struct Late {
  S schedule = {};

  double operator()(Index t) const { return schedule(std::max(t - 1, Index(0))); }
};

/// Changes the rate once an epoch: `schedule` counts epochs, the loop counts steps. With DeiT's program a step has the
/// rate of PerEpoch<Late<Cosine>>, with Swin's that of Late<Cosine>, its warm-up a prefix.
template <Schedule S>
struct PerEpoch {
  S schedule = {};
  Index steps_per_epoch = 1;

  double operator()(Index step) const { return schedule(step / steps_per_epoch); }
};

}  // namespace attn::optim
