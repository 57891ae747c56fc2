/// Ema: an exponential moving average of the weights, and how to evaluate with it.
#pragma once

#include "attn/optim/detail/elementwise.hpp"
#include "attn/optim/optimizer.hpp"

#include <cstdint>

namespace attn::optim {

/// How weights are averaged.
struct EmaOptions {
  double decay = 0.9999;
  /// What the first updates do. `average` is for averages that start at the initial weights; `copy` forgets them, the
  /// first update takes the weights as they are; `warm_up` does so too and lets the decay grow, after n more updates to
  /// 1 - (1 + n)^(-2/3), until it reaches `decay`: short runs would otherwise average over times long gone.
  enum class Start { average, copy, warm_up } start = Start::warm_up;
};

namespace detail {

/// The decay of update number 1, 2, ...
struct EmaDecay {
  EmaOptions options;

  ATTN_FUNCTION double operator()(std::uint64_t update) const {
    if (options.start == EmaOptions::Start::average) return options.decay;
    if (update <= 1) return 0;
    if (options.start == EmaOptions::Start::copy) return options.decay;
    return attn::min(options.decay, 1 - Kokkos::pow(static_cast<double>(update), -2.0 / 3.0));
  }
};

/// What changes from update to update, where the kernels are: so that all updates are the same launches.
template <class T>
struct EmaMemory {
  std::uint64_t updates;  // so far
  T rest;                 // 1 - decay of this update, which float would round away
};

template <class T>
struct BeginEmaUpdate {
  EmaMemory<T>* memory;
  EmaDecay decay;
  ATTN_FUNCTION void operator()(Index) const { memory->rest = T(1 - decay(++memory->updates)); }
};

template <class T>
struct AverageUpdate {
  T* average;
  T const* value;
  EmaMemory<T> const* memory;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using S = typename Lanes::Value;
    Index const i = row * granule + column;
    S const a = lanes.load(average + i);
    lanes.store(average + i, a + S(memory->rest) * (lanes.load(value + i) - a));
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
/// `ema.update(ctx)` after each step of the optimizer. Buffers (running statistics) are averaged as parameters are,
/// which is what timm's ModelEmaV2 does, and its ModelEmaV3 unless told otherwise. What never changes, such as a
/// parameter that is not trained, has an average of the same bits.
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
  double decay(std::uint64_t update) const { return detail::EmaDecay{options_}(update); }

  /// Asynchronous on `ctx.exec`.
  template <class Ctx>
  void update(Ctx& ctx) {
    ProfilingRegion const region("attn::optim::Ema");
    prepare(ctx);
    attn::detail::run_once(ctx.exec, "attn::optim::Ema::begin",
                           detail::BeginEmaUpdate<T>{memory_.data(), detail::EmaDecay{options_}});
    for_each_kind(ctx, [&](auto const& average, auto const& values) {
      detail::for_each_element<T>(ctx.exec, "attn::optim::Ema", values.extent(0),
                                  detail::AverageUpdate<T>{average.data(), values.data(), memory_.data()});
    });
  }

  /// While it lives, the parameters and buffers of `ctx` hold the averages.
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
    State<T, Memory> state{{{"average", average_}}, StepCount<Memory>::there(&memory_.data()->updates)};
    if (ctx.parameters.buffer_extent() > 0) state.arrays.push_back({"average", buffer_average_, /*of_buffers=*/true});
    return state;
  }

 private:
  using Average = Kokkos::View<T*, Memory>;

  template <class Ctx>
  void prepare(Ctx& ctx) {
    auto& parameters = ctx.parameters;
    if (memory_.extent(0) == 0) memory_ = Kokkos::View<detail::EmaMemory<T>*, Memory>("attn::optim::Ema", 1);
    if (Index(average_.extent(0)) < parameters.extent()) grow(ctx, average_, parameters.values());
    if (Index(buffer_average_.extent(0)) < parameters.buffer_extent()) grow(ctx, buffer_average_, parameters.buffers());
  }

  /// Makes room for the average of all `values`; that of what is new starts at what it has now.
  template <class Ctx>
  static void grow(Ctx& ctx, Average& average, Tensor<T, 1, Memory> const& values) {
    std::pair const added(average.extent(0), static_cast<std::size_t>(values.extent(0)));
    detail::fit_to(average, values.extent(0), "attn::optim::Ema::average");
    Kokkos::View<T*, Memory, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const from(values.data(), added.second);
    Kokkos::deep_copy(ctx.exec, Kokkos::subview(average, added), Kokkos::subview(from, added));
  }

  /// Calls f(average, values) for parameters, then for buffers.
  template <class Ctx, class Function>
  void for_each_kind(Ctx& ctx, Function const& f) {
    f(average_, ctx.parameters.values());
    f(buffer_average_, ctx.parameters.buffers());
  }

  template <class Ctx>
  void swap(Ctx& ctx) {
    prepare(ctx);
    for_each_kind(ctx, [&](auto const& average, auto const& values) {
      detail::for_each_element<T>(ctx.exec, "attn::optim::Ema::swap", values.extent(0),
                                  detail::SwapUpdate<T>{average.data(), values.data()});
    });
  }

  EmaOptions options_;
  Kokkos::View<detail::EmaMemory<T>*, Memory> memory_;
  Average average_, buffer_average_;
};

template <class Ctx>
Ema(Ctx&, EmaOptions const& = {}) -> Ema<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
