/// Ema: an exponential moving average of the weights, and how to evaluate with it.
#pragma once

#include "attn/optim/detail/elementwise.hpp"
#include "attn/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>

namespace attn::optim {

struct EmaOptions {
  double decay = 0.9999;
  /// What the first updates do. `average` is for averages that start at the initial weights; `copy` forgets them, the
  /// first update takes the weights as they are; `warm_up` does so too and lets the decay grow, after n more updates to
  /// 1 - (1 + n)^(-2/3), until it reaches `decay`: short runs would otherwise average over times long gone.
  enum class Start { average, copy, warm_up } start = Start::warm_up;
};

namespace detail {

template <class T>
struct AverageUpdate {
  T* average;
  T const* value;
  T rest;  // 1 - decay, which float would round away

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using S = typename Lanes::Value;
    Index const i = row * granule + column;
    S const a = lanes.load(average + i);
    lanes.store(average + i, a + S(rest) * (lanes.load(value + i) - a));
  }
};

template <class T>
struct SwapUpdate {
  T* a;
  T* b;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const i = row * granule + column;
    auto const from_a = lanes.load(a + i);
    lanes.store(a + i, lanes.load(b + i));
    lanes.store(b + i, from_a);
  }
};

}  // namespace detail

/// average = decay average + (1 - decay) weights, once a step: `attn::optim::Ema ema(ctx, {.decay = 0.999});`, then
/// `ema.update(ctx)` after each step of the optimizer.
template <Real T, class Memory>
class Ema {
 public:
  explicit Ema(EmaOptions const& options = {}) : options_(options) {
    ATTN_CHECK(options.decay >= 0 && options.decay < 1, "Ema: give a decay from 0 to below 1, got ", options.decay);
  }
  /// Starts at the weights that `ctx` has now.
  template <class Ctx>
  explicit Ema(Ctx& ctx, EmaOptions const& options = {}) : Ema(options) {
    prepare(ctx);
  }

  /// The decay of update number `update` = 1, 2, ...
  double decay(std::uint64_t update) const {
    if (options_.start == EmaOptions::Start::average) return options_.decay;
    if (update <= 1) return 0;
    if (options_.start == EmaOptions::Start::copy) return options_.decay;
    return std::min(options_.decay, 1 - std::pow(static_cast<double>(update), -2.0 / 3.0));
  }

  /// Asynchronous on `ctx.exec`.
  template <class Ctx>
  void update(Ctx& ctx) {
    ProfilingRegion const region("attn::optim::Ema");
    prepare(ctx);
    detail::AverageUpdate<T> const update{average_.data(), ctx.parameters.values().data(), T(1 - decay(++updates_))};
    detail::for_each_element<T>(ctx.exec, "attn::optim::Ema", ctx.parameters.extent(), update);
  }

  /// While it lives, the parameters of `ctx` hold the averages.
  template <class Ctx>
  class Averaged {
   public:
    Averaged(Ema& ema, Ctx& ctx) : ema_(ema), ctx_(ctx) { ema_.swap(ctx_); }
    ~Averaged() { ema_.swap(ctx_); }
    Averaged(Averaged const&) = delete;
    Averaged& operator=(Averaged const&) = delete;

   private:
    Ema& ema_;
    Ctx& ctx_;
  };

  /// `auto const scope = ema.averaged(ctx);` evaluates with the averages until the scope ends.
  template <class Ctx>
  Averaged<Ctx> averaged(Ctx& ctx) {
    return {*this, ctx};
  }

  template <class Ctx>
  State<T, Memory> state(Ctx& ctx) {
    prepare(ctx);
    return {{{"average", average_}}, &updates_};
  }

 private:
  template <class Ctx>
  void prepare(Ctx& ctx) {
    Index const known = Index(average_.extent(0)), extent = ctx.parameters.extent();
    if (known >= extent) return;
    detail::fit_to(average_, extent, "attn::optim::Ema::average");
    std::pair const added(static_cast<std::size_t>(known), static_cast<std::size_t>(extent));
    Kokkos::View<T*, Memory, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const values(ctx.parameters.values().data(),
                                                                                   static_cast<std::size_t>(extent));
    Kokkos::deep_copy(ctx.exec, Kokkos::subview(average_, added), Kokkos::subview(values, added));
  }

  template <class Ctx>
  void swap(Ctx& ctx) {
    prepare(ctx);
    detail::for_each_element<T>(ctx.exec, "attn::optim::Ema::swap", ctx.parameters.extent(),
                                detail::SwapUpdate<T>{average_.data(), ctx.parameters.values().data()});
  }

  EmaOptions options_;
  std::uint64_t updates_ = 0;
  Kokkos::View<T*, Memory> average_;
};

template <class Ctx>
Ema(Ctx&, EmaOptions const& = {}) -> Ema<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
