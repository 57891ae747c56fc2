/// Poly<P, Scale>: the polynomial c s^P in place of softmax, the paper's subject.
#pragma once

#include "attn/activation/scale.hpp"

namespace attn {

/// w = c s^P with s = q.k / sqrt(D). `Scale` chooses c: `NoScale`, `FixedScale`, or `DynamicScale`, which is trained.
template <int P, class Scale = NoScale>
struct Poly {
  static_assert(P >= 1, "Poly: choose a power of at least 1");
  static constexpr int n_parameters = 1;
  static constexpr char const* parameter_names[] = {"scale"};

  Scale scale = {};

  template <class T>
  ATTN_FUNCTION T operator()(T s, Row row) const {
    return scale.template value<T>(row) * power<P>(s);
  }

  template <class T>
  ATTN_FUNCTION T slope(T s, Row row) const {
    return scale.template value<T>(row) * T(P) * power<P - 1>(s);
  }

  /// The same with a scale that is computed already.
  ATTN_FUNCTION auto for_row(Row row) const
    requires(!std::same_as<Scale, NoScale>)
  {
    return Poly<P, KnownScale>{{scale.template value<double>(row)}};
  }

  // With a trained scale, Poly is a LearnableActivation.

  ATTN_FUNCTION auto parameters() const
    requires requires(Scale s) { s.learned(); }
  {
    return scale.learned();
  }

  /// forward: w = c s^P; hence dw/dc = s^P
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 1> parameter_slopes(T s, Row) const {
    return {power<P>(s)};
  }

  static Kokkos::Array<double, 1> initial_parameters(int n_keys) { return {1 / Kokkos::sqrt(double(n_keys))}; }

  template <Real R>
  Poly<P, BasicDynamicScale<R>> bind(LearnedParameters<R> p) const {
    return {{p.value, p.gradient, p.per_head}};
  }
};

}  // namespace attn
