/// TemperedSoftmax: softmax of scores times a trained temperature, w_ij = e^(t s_ij) / sum_k e^(t s_ik).
#pragma once

#include "attn/activation/softmax.hpp"

namespace attn {

/// Softmax of t s for a t that is known.
///
/// Without tiles: a score that a mask hides must lose whatever the sign of t.
struct KnownTemperature {
  double temperature = 1;

  template <class T>
  using Stats = Softmax::Stats<T>;

  template <class T>
  ATTN_FUNCTION T scaled(T s) const {
    return T(RealOf<T>(temperature)) * s;
  }
  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    return Softmax().absorb(stats, scaled(s));
  }
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 2> merge(Stats<T>& stats, Stats<T> const& others) const {
    return Softmax().merge(stats, others);
  }
  template <class T>
  ATTN_FUNCTION T numerator(T s, Stats<T> const& stats) const {
    return Softmax().numerator(scaled(s), stats);
  }
  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return Softmax().normalizer(stats);
  }
  /// forward: w = softmax(t s); hence d_s = t times the pullback of softmax
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T delta) const {
    return scaled(Softmax().pullback(w, d_w, delta));
  }
  template <class T>
  ATTN_FUNCTION T squared_jacobian(T sum_w2, T sum_w3) const {
    return scaled(scaled(Softmax().squared_jacobian(sum_w2, sum_w3)));
  }
  /// forward: w = softmax(t s); hence d_t = sum_j s_j times the pullback of softmax
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 1> parameter_pullbacks(T s, T w, T d_w, T delta, Stats<T> const&) const {
    return {s * Softmax().pullback(w, d_w, delta)};
  }
};

/// The factor t is trained, one for a layer or one for each head, and starts at 1. As cross-covariance attention
/// (El-Nouby et al. 2021) and Swin's second edition (Liu et al. 2022) have it: a factor, the inverse of a temperature
/// in physics.
template <Real R>
struct BasicTemperedSoftmax {
  template <class T>
  using Stats = Softmax::Stats<T>;
  static constexpr int n_parameters = 1;
  static constexpr char const* parameter_names[] = {"temperature"};

  LearnedParameters<R> numbers = {};

  ATTN_FUNCTION KnownTemperature for_row(Row row) const {
    return {double(numbers.value[numbers.per_head ? row.head : 0])};
  }

  ATTN_FUNCTION LearnedParameters<R> parameters() const { return numbers; }
  static Kokkos::Array<double, 1> initial_parameters(int) { return {1}; }
  template <Real Other>
  BasicTemperedSoftmax<Other> bind(LearnedParameters<Other> other) const {
    return {other};
  }
};
/// softmax(t s) with a trained t, over parameters of `float`.
using TemperedSoftmax = BasicTemperedSoftmax<float>;

}  // namespace attn
