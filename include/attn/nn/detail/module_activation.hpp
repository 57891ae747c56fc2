/// An activation inside of a module: its trained numbers, if it has any, are kept among the module's parameters.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/nn/module.hpp"

#include <array>
#include <cstddef>
#include <string>

namespace attn::nn::detail {

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
  template <class Ctx, class Use>
  void bind_gradients(Ctx&, Use const& use) const {
    use(activation_);
  }

 private:
  A activation_;
};

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

/// Parameter `activation.<name>`, of shape (1) or (heads), for each number. Kernels want (heads, numbers) side by side:
/// that is how one number lies already; several are copied.
template <class A>
requires LearnableActivation<A, float>
class ModuleActivation<A> {
 public:
  ModuleActivation(Builder const& builder, A const& activation, Index heads, Index tokens, bool per_head)
      : activation_(activation), per_head_(per_head) {
    auto const initial = A::initial_parameters(static_cast<int>(tokens));
    for (int p = 0; p < n; ++p) {
      numbers_[std::size_t(p)] =
          (builder / "activation").add<1>(A::parameter_names[p], {per_head ? heads : 1}, constant(initial[p]));
    }
  }

  template <class Ctx>
  auto bind(Ctx& ctx) const {
    return bind_to<Ctx>(values(ctx), nullptr);
  }

  /// use(activation), whose backward pass then adds to the parameters' gradients.
  template <class Ctx, class Use>
  void bind_gradients(Ctx& ctx, Use const& use) const {
    using R = typename Ctx::Real;
    if constexpr (n == 1) {
      use(bind_to<Ctx>(values(ctx), ctx.parameters.gradient(numbers_[0]).data()));
    } else {
      auto const packed = ctx.template tensor<R>(sets() * n);
      Kokkos::deep_copy(ctx.exec, packed.view(), R(0));
      use(bind_to<Ctx>(values(ctx), packed.data()));
      for (int p = 0; p < n; ++p) {
        R* const to = ctx.parameters.gradient(numbers_[std::size_t(p)]).data();
        Kokkos::parallel_for("attn::ModuleActivation", range(ctx), UnpackGradient<R>{packed.data() + p, to, n});
      }
    }
  }

 private:
  static constexpr int n = A::n_parameters;

  Index sets() const { return numbers_[0].shape[0]; }

  template <class Ctx>
  auto range(Ctx& ctx) const {
    return Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, sets());
  }

  template <class Ctx>
  typename Ctx::Real const* values(Ctx& ctx) const {
    using R = typename Ctx::Real;
    if constexpr (n == 1) {
      return ctx.parameters.value(numbers_[0]).data();
    } else {
      auto const packed = ctx.template tensor<R>(sets() * n);
      for (int p = 0; p < n; ++p) {
        R const* const from = ctx.parameters.value(numbers_[std::size_t(p)]).data();
        Kokkos::parallel_for("attn::ModuleActivation", range(ctx), PackNumber<R>{from, packed.data() + p, n});
      }
      return packed.data();
    }
  }

  template <class Ctx>
  auto bind_to(typename Ctx::Real const* values, typename Ctx::Real* gradients) const {
    return activation_.bind(LearnedParameters<typename Ctx::Real>{values, gradients, per_head_});
  }

  A activation_;
  bool per_head_;
  std::array<Parameter<1>, std::size_t(n)> numbers_;
};

}  // namespace attn::nn::detail
