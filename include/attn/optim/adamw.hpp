/// AdamW: Adam with weight decay apart from the gradient (Kingma and Ba 2015; Loshchilov and Hutter 2019).
#pragma once

#include "attn/optim/detail/attributes.hpp"
#include "attn/optim/detail/elementwise.hpp"
#include "attn/optim/optimizer.hpp"

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace attn::optim {

/// What AdamW can be told.
struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  ///< of the parameters whose entry says that it `decays`
};

namespace detail {

/// What changes from step to step, where the kernels are: so that all steps are the same launches.
template <class T>
struct AdamWMemory {
  std::uint64_t steps;                                   // so far
  double learning_rate, beta1;                           // of the step to come
  T momentum, rest, step_size, root_factor, decay_rate;  // of the step that runs
  bool skips;                                            // it
};

template <class T>
struct SetAdamWRates {
  AdamWMemory<T>* memory;
  double learning_rate, beta1;
  ATTN_FUNCTION void operator()(Index) const {
    memory->learning_rate = learning_rate;
    memory->beta1 = beta1;
  }
};

/// Counts the step, and makes its numbers.
template <class T>
struct BeginAdamWStep {
  AdamWMemory<T>* memory;
  double beta2, weight_decay;
  nn::LossScaleNumbers const* loss_scale;
  ATTN_FUNCTION void operator()(Index) const {
    AdamWMemory<T>& m = *memory;
    m.skips = loss_scale != nullptr && loss_scale->skips != 0;
    if (m.skips) return;
    double const steps = static_cast<double>(++m.steps);
    double const correction1 = 1 - Kokkos::pow(m.beta1, steps), correction2 = 1 - Kokkos::pow(beta2, steps);
    m.momentum = T(m.beta1);
    m.rest = T(1 - m.beta1);
    m.step_size = T(m.learning_rate / correction1);
    m.root_factor = T(1 / Kokkos::sqrt(correction2));
    m.decay_rate = T(m.learning_rate * weight_decay);
  }
};

template <class T, class Rates>
struct AdamWUpdate {
  T* value;
  T const* gradient;
  T* first;
  T* second;
  T const* decays;
  Rates rates;
  AdamWMemory<T> const* memory;
  T beta2, rest2;  // rest = 1 - beta, which float would round away
  T epsilon;

  /// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p (1 - rate decay) - rate m^ / (sqrt(v^) + epsilon), where
  /// m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t)
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using S = typename Lanes::Value;
    if (!rates.trained(row)) return;
    AdamWMemory<T> const now = *memory;
    if (now.skips) return;
    T const rate = rates.factor(row);
    Index const i = row * granule + column;
    S const g = lanes.load(gradient + i);
    S const m = S(now.momentum) * lanes.load(first + i) + S(now.rest) * g;
    S const v = S(beta2) * lanes.load(second + i) + S(rest2) * g * g;
    S const p = lanes.load(value + i) * S(1 - now.decay_rate * decays[row] * rate);
    lanes.store(first + i, m);
    lanes.store(second + i, v);
    lanes.store(value + i, p - S(now.step_size * rate) * m / (attn::sqrt(v) * S(now.root_factor) + S(epsilon)));
  }
};

}  // namespace detail

/// `attn::optim::AdamW adamw(ctx, {.weight_decay = 0.05})`: one kernel over the flat buffer, 7 reads or writes of a
/// number per parameter. Without weight decay it is Adam.
template <Real T, class Memory>
class AdamW {
 public:
  explicit AdamW(AdamWOptions const& options = {})
      : learning_rate(options.learning_rate), beta1(options.beta1), options_(options) {
    ATTN_CHECK(options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 && options.beta2 < 1,
               "AdamW: give betas from 0 to below 1, got ", options.beta1, " and ", options.beta2);
    ATTN_CHECK(options.epsilon >= 0, "AdamW: give an epsilon that is not negative, got ", options.epsilon);
    ATTN_CHECK(options.weight_decay >= 0, "AdamW: give a weight decay that is not negative, got ",
               options.weight_decay);
  }
  template <class Ctx>
  explicit AdamW(Ctx const&, AdamWOptions const& options = {}) : AdamW(options) {}

  double learning_rate;
  double beta1;  ///< of the next step: schedules may set it as well

  template <class Ctx>
  void step(Ctx& ctx) {
    ProfilingRegion const region("attn::optim::AdamW");
    auto& parameters = ctx.parameters;
    prepare(parameters);
    write_rates(ctx);
    attn::detail::run_once(
        ctx.exec, "attn::optim::AdamW::begin",
        detail::BeginAdamWStep<T>{memory_.data(), options_.beta2, options_.weight_decay, detail::loss_scale_of(ctx)});
    attributes_.with_rates([&](auto const& rates) {
      detail::AdamWUpdate<T, std::decay_t<decltype(rates)>> const update{.value = parameters.values().data(),
                                                                         .gradient = parameters.gradients().data(),
                                                                         .first = first_.data(),
                                                                         .second = second_.data(),
                                                                         .decays = attributes_.decays(),
                                                                         .rates = rates,
                                                                         .memory = memory_.data(),
                                                                         .beta2 = T(options_.beta2),
                                                                         .rest2 = T(1 - options_.beta2),
                                                                         .epsilon = T(options_.epsilon)};
      detail::for_each_element<T>(ctx.exec, "attn::optim::AdamW", parameters.extent(), update);
    });
  }

  /// Puts `learning_rate` and `beta1` where the next step reads them, by a launch, if they changed. `step` does so by
  /// itself; whoever replays it from a graph calls this before, since a graph repeats what it recorded.
  template <class Ctx>
  void write_rates(Ctx& ctx) {
    prepare(ctx.parameters);
    if (written_ == std::pair(learning_rate, beta1)) return;
    written_ = std::pair(learning_rate, beta1);
    attn::detail::run_once(ctx.exec, "attn::optim::AdamW::rates",
                           detail::SetAdamWRates<T>{memory_.data(), learning_rate, beta1});
  }

  template <class Ctx>
  State<T, Memory> state(Ctx& ctx) {
    prepare(ctx.parameters);
    return {{{"first_moment", first_}, {"second_moment", second_}}, StepCount<Memory>::there(&memory_.data()->steps)};
  }

 private:
  template <class Parameters>
  void prepare(Parameters const& parameters) {
    attributes_.prepare(parameters);
    if (memory_.extent(0) == 0) memory_ = Kokkos::View<detail::AdamWMemory<T>*, Memory>("attn::optim::AdamW", 1);
    detail::fit_to(first_, parameters.extent(), "attn::optim::AdamW::first");
    detail::fit_to(second_, parameters.extent(), "attn::optim::AdamW::second");
  }

  AdamWOptions options_;
  std::optional<std::pair<double, double>> written_;
  Kokkos::View<detail::AdamWMemory<T>*, Memory> memory_;
  Kokkos::View<T*, Memory> first_, second_;
  detail::GranuleAttributes<T, Memory> attributes_;
};

template <class Ctx>
AdamW(Ctx const&, AdamWOptions const& = {}) -> AdamW<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
