// Which network is trained: its kind and its activation are chosen at run time.
#pragma once

#include "pde/settings.hpp"

#include "attn/activation/activation.hpp"
#include "attn/models/pinn.hpp"
#include "attn/models/pinnsformer.hpp"

#include <cmath>

namespace train_pde {

/// attn::Poly with its power chosen at run time, so that one compilation serves all powers.
template <class Scale>
struct PowerOf {
  static constexpr int n_parameters = 1;
  static constexpr char const* parameter_names[] = {"scale"};

  int power = 3;
  Scale scale = {};

  template <class T>
  static ATTN_FUNCTION T raised(T s, int power) {
    T result(1);
    for (int i = 0; i < power; ++i) result = result * s;
    return result;
  }
  template <class T>
  ATTN_FUNCTION T operator()(T s, attn::Row row) const {
    return scale.template value<T>(row) * raised(s, power);
  }
  template <class T>
  ATTN_FUNCTION T slope(T s, attn::Row row) const {
    return scale.template value<T>(row) * raised(s, power - 1) * T(attn::RealOf<T>(power));
  }
  ATTN_FUNCTION auto parameters() const
    requires requires(Scale s) { s.learned(); }
  {
    return scale.learned();
  }
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 1> parameter_slopes(T s, attn::Row) const {
    return {raised(s, power)};
  }
  static Kokkos::Array<double, 1> initial_parameters(int n_keys) { return {1 / std::sqrt(double(n_keys))}; }
  template <attn::Real R>
  PowerOf<attn::BasicDynamicScale<R>> bind(attn::LearnedParameters<R> p) const {
    return {power, {p.value, p.gradient, p.per_head}};
  }
};

/// Calls run(model) with the network that the settings ask for.
template <class Ctx, class Run>
int with_network(Ctx& ctx, Settings const& s, int inputs, int outputs, Run const& run) {
  if (s.model == "pinn") {
    return run(attn::models::Pinn<>(ctx, {.inputs = inputs, .outputs = outputs}));
  }
  attn::models::PinnsFormerConfig const config{.inputs = inputs, .outputs = outputs, .scale_tokens = s.scale_keys};
  auto const with = [&]<class A>(A const& activation) {
    return run(attn::models::PinnsFormer<A>(ctx, config, activation));
  };
  if (s.common.activation == "softmax") return with(attn::Softmax{});
  if (s.common.activation == "relu") return with(attn::Relu{});
  if (s.common.activation == "sigmoid") return with(attn::Sigmoid{});
  if (s.common.scale == "dynamic") return with(PowerOf<attn::DynamicScale>{s.common.power, {}});
  double const factor = s.common.scale == "fixed" ? 1 / std::sqrt(double(s.scale_keys)) : 1.0;
  return with(PowerOf<attn::FixedScale>{s.common.power, {factor}});
}

}  // namespace train_pde
