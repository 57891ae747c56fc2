/// An activation inside of a module: its trained numbers, if it has any, are kept among the module's parameters.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/nn/module.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <type_traits>

namespace attn::nn::detail {

template <class T>
struct PackNumber {
  T const* from;
  T* to;
  Index step;
  ATTN_FUNCTION void operator()(Index i) const { to[i * step] = from[i]; }
};

template <class T>
struct UnpackGradient {
  T const* from;
  T* to;
  Index step;
  ATTN_FUNCTION void operator()(Index i) const { to[i] += from[i * step]; }
};

/// Parameter `activation.<name>`, of shape (1) or (heads), for each of at most `Most` numbers. Kernels want
/// (heads, numbers) side by side: that is how one number lies already; several are copied.
template <int Most>
class TrainedNumbers {
 public:
  TrainedNumbers(Builder const& builder, int count, Index heads, bool per_head, auto const& name, auto const& initial)
      : count_(count), sets_(per_head ? heads : 1), per_head_(per_head) {
    for (int p = 0; p < count; ++p) {
      numbers_[std::size_t(p)] = (builder / "activation").add<1>(name(p), {sets_}, constant(initial(p)));
    }
  }

  template <class Ctx>
  using Learned = LearnedParameters<typename Ctx::Real>;

  template <class Ctx>
  Learned<Ctx> values(Ctx& ctx) const {
    using R = typename Ctx::Real;
    if (count_ == 1) return {ctx.parameters.value(numbers_[0]).data(), nullptr, per_head_};
    auto const packed = ctx.template tensor<R>(sets_ * count_);
    for (int p = 0; p < count_; ++p) {
      R const* const from = ctx.parameters.value(numbers_[std::size_t(p)]).data();
      attn::launch("attn::ModuleActivation", range(ctx), PackNumber<R>{from, packed.data() + p, count_});
    }
    return {packed.data(), nullptr, per_head_};
  }

  /// use(numbers), which adds to their gradients.
  template <class Ctx, class Use>
  void with_gradients(Ctx& ctx, Use const& use) const {
    using R = typename Ctx::Real;
    Learned<Ctx> learned = values(ctx);
    if (count_ == 1) {
      learned.gradient = ctx.parameters.gradient(numbers_[0]).data();
      return use(learned);
    }
    auto const packed = ctx.template tensor<R>(sets_ * count_);
    Kokkos::deep_copy(ctx.exec, packed.view(), R(0));
    learned.gradient = packed.data();
    use(learned);
    for (int p = 0; p < count_; ++p) {
      R* const to = ctx.parameters.gradient(numbers_[std::size_t(p)]).data();
      attn::launch("attn::ModuleActivation", range(ctx), UnpackGradient<R>{packed.data() + p, to, count_});
    }
  }

 private:
  template <class Ctx>
  auto range(Ctx& ctx) const {
    return Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, sets_);
  }

  int count_;
  Index sets_;
  bool per_head_;
  std::array<Parameter<1>, std::size_t(Most)> numbers_;
};

/// An activation without trained numbers is used as it is.
template <class A>
class ModuleActivation {
 public:
  ModuleActivation(Builder const&, A const& activation, Index /*heads*/, Index /*tokens*/, bool /*per_head*/)
      : activation_(activation) {}

  template <class Ctx>
  A bind(Ctx&) const {
    return activation_;
  }
  /// use(activation), whose backward pass then adds to the parameters' gradients.
  template <class Ctx, class Use>
  void bind_gradients(Ctx&, Use const& use) const {
    use(activation_);
  }

 private:
  A activation_;
};

/// One with trained numbers is bound to the module's parameters.
template <class A>
requires LearnableActivation<A, float>
class ModuleActivation<A> {
 public:
  ModuleActivation(Builder const& builder, A const& activation, Index heads, Index tokens, bool per_head)
      : activation_(activation),
        numbers_(
            builder, A::n_parameters, heads, per_head, [](int p) { return A::parameter_names[p]; },
            [&](int p) { return A::initial_parameters(static_cast<int>(tokens))[std::size_t(p)]; }) {}

  template <class Ctx>
  auto bind(Ctx& ctx) const {
    return activation_.bind(numbers_.values(ctx));
  }
  template <class Ctx, class Use>
  void bind_gradients(Ctx& ctx, Use const& use) const {
    numbers_.with_gradients(ctx, [&](auto const& learned) { use(activation_.bind(learned)); });
  }

 private:
  A activation_;
  TrainedNumbers<A::n_parameters> numbers_;
};

/// One that is chosen at run time may have trained numbers or none.
template <ErasedActivation A>
class ModuleActivation<A> {
 public:
  ModuleActivation(Builder const& builder, A const& activation, Index heads, Index tokens, bool per_head)
      : activation_(activation),
        numbers_(
            builder, activation.n_parameters(), heads, per_head, [&](int p) { return activation.parameter_name(p); },
            [&](int p) { return activation.initial_parameter(p, static_cast<int>(tokens)); }) {}

  template <class Ctx>
  A bind(Ctx& ctx) const {
    return activation_.n_parameters() == 0 ? activation_ : activation_.bind(numbers_.values(ctx));
  }
  template <class Ctx, class Use>
  void bind_gradients(Ctx& ctx, Use const& use) const {
    if (activation_.n_parameters() == 0) return use(activation_);
    numbers_.with_gradients(ctx, [&](auto const& learned) { use(activation_.bind(learned)); });
  }

 private:
  A activation_;
  TrainedNumbers<A::max_parameters> numbers_;
};

/// An activation as a module of context `Ctx` binds it to its parameters.
template <class Ctx, class A>
using BoundIn = std::remove_cvref_t<decltype(std::declval<ModuleActivation<A> const&>().bind(std::declval<Ctx&>()))>;

}  // namespace attn::nn::detail
