/// SGD: stochastic gradient descent with momentum.
#pragma once

#include "attn/optim/detail/attributes.hpp"
#include "attn/optim/detail/elementwise.hpp"
#include "attn/optim/optimizer.hpp"

#include <cstdint>
#include <optional>
#include <type_traits>

namespace attn::optim {

/// What SGD can be told.
struct SgdOptions {
  double learning_rate = 1e-2;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;  ///< added to the gradient of the parameters whose entry says that it `decays`
};

namespace detail {

/// What changes from step to step, where the kernels are: so that all steps are the same launches.
struct SgdMemory {
  std::uint64_t steps;   // so far
  double learning_rate;  // of the step to come
  bool skips;            // the step that runs
};

struct SetSgdRate {
  SgdMemory* memory;
  double learning_rate;
  ATTN_FUNCTION void operator()(Index) const { memory->learning_rate = learning_rate; }
};

struct CountSgdStep {
  SgdMemory* memory;
  nn::LossScaleNumbers const* loss_scale;
  ATTN_FUNCTION void operator()(Index) const {
    memory->skips = loss_scale != nullptr && loss_scale->skips != 0;
    if (!memory->skips) ++memory->steps;
  }
};

template <class T, class Rates>
struct SgdUpdate {
  T* value;
  T const* gradient;
  T* velocity;
  T const* decays;
  Rates rates;
  SgdMemory const* memory;
  T momentum, decay;
  bool nesterov;

  /// g' = g + decay p;  u = momentum u + g';  p -= rate u, or rate (g' + momentum u) after Nesterov
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using S = typename Lanes::Value;
    if (!rates.trained(row) || memory->skips) return;
    Index const i = row * granule + column;
    S const p = lanes.load(value + i);
    S const g = lanes.load(gradient + i) + S(decay * decays[row]) * p;
    S const u = S(momentum) * lanes.load(velocity + i) + g;
    lanes.store(velocity + i, u);
    lanes.store(value + i, p - S(T(memory->learning_rate) * rates.factor(row)) * (nesterov ? g + S(momentum) * u : u));
  }
};

}  // namespace detail

/// One kernel over the flat buffer. `attn::optim::Sgd sgd(ctx, {.momentum = 0.9})`.
template <Real T, class Memory>
class Sgd {
 public:
  explicit Sgd(SgdOptions const& options = {}) : learning_rate(options.learning_rate), options_(options) {
    ATTN_CHECK(options.momentum >= 0 && options.momentum < 1, "Sgd: give a momentum from 0 to below 1, got ",
               options.momentum);
    ATTN_CHECK(options.weight_decay >= 0, "Sgd: give a weight decay that is not negative, got ", options.weight_decay);
  }
  template <class Ctx>
  explicit Sgd(Ctx const&, SgdOptions const& options = {}) : Sgd(options) {}

  double learning_rate;

  template <class Ctx>
  void step(Ctx& ctx) {
    ProfilingRegion const region("attn::optim::Sgd");
    auto& parameters = ctx.parameters;
    prepare(parameters);
    write_rates(ctx);
    attn::detail::run_once(ctx.exec, "attn::optim::Sgd::begin",
                           detail::CountSgdStep{memory_.data(), detail::loss_scale_of(ctx)});
    attributes_.with_rates([&](auto const& rates) {
      detail::SgdUpdate<T, std::decay_t<decltype(rates)>> const update{.value = parameters.values().data(),
                                                                       .gradient = parameters.gradients().data(),
                                                                       .velocity = velocity_.data(),
                                                                       .decays = attributes_.decays(),
                                                                       .rates = rates,
                                                                       .memory = memory_.data(),
                                                                       .momentum = T(options_.momentum),
                                                                       .decay = T(options_.weight_decay),
                                                                       .nesterov = options_.nesterov};
      detail::for_each_element<T>(ctx.exec, "attn::optim::Sgd", parameters.extent(), update);
    });
  }

  /// Puts `learning_rate` where the next step reads it, by a launch, if it changed. `step` does so by itself; whoever
  /// replays it from a graph calls this before, since a graph repeats what it recorded.
  template <class Ctx>
  void write_rates(Ctx& ctx) {
    prepare(ctx.parameters);
    if (written_ == learning_rate) return;
    written_ = learning_rate;
    attn::detail::run_once(ctx.exec, "attn::optim::Sgd::rates", detail::SetSgdRate{memory_.data(), learning_rate});
  }

  template <class Ctx>
  State<T, Memory> state(Ctx& ctx) {
    prepare(ctx.parameters);
    return {{{"velocity", velocity_}}, StepCount<Memory>::there(&memory_.data()->steps)};
  }

 private:
  template <class Parameters>
  void prepare(Parameters const& parameters) {
    attributes_.prepare(parameters);
    if (memory_.extent(0) == 0) memory_ = Kokkos::View<detail::SgdMemory*, Memory>("attn::optim::Sgd", 1);
    detail::fit_to(velocity_, parameters.extent(), "attn::optim::Sgd::velocity");
  }

  SgdOptions options_;
  std::optional<double> written_;
  Kokkos::View<detail::SgdMemory*, Memory> memory_;
  Kokkos::View<T*, Memory> velocity_;
  detail::GranuleAttributes<T, Memory> attributes_;
};

template <class Ctx>
Sgd(Ctx const&, SgdOptions const& = {}) -> Sgd<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
