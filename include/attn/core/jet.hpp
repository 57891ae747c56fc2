/// The elementary functions of jets (core/jet_type.hpp): `attn::exp(Jet)` and the others carry derivatives of every
/// order.
#pragma once

#include "attn/core/jet_type.hpp"

namespace attn {

/// The elementary functions of jets. A choice (`max`, `where_greater`) is made by the values.
template <class T, int... Orders>
struct Math<Jet<T, Orders...>> {
  using J = Jet<T, Orders...>;
  static constexpr int degree = J::Layout::degree;

  static ATTN_FUNCTION J where_greater(J const& a, J const& b, J yes, J const& no) {
    for (int i = 0; i < J::size; ++i) {
      yes.coefficients[i] = Math<T>::where_greater(a.value(), b.value(), yes.coefficients[i], no.coefficients[i]);
    }
    return yes;
  }
  static ATTN_FUNCTION J where_largest(J const& a, J const& b, J yes, J const& no) {
    for (int i = 0; i < J::size; ++i) {
      yes.coefficients[i] = Math<T>::where_largest(a.value(), b.value(), yes.coefficients[i], no.coefficients[i]);
    }
    return yes;
  }
  static ATTN_FUNCTION J max(J const& a, J const& b) { return where_largest(a, b, a, b); }
  static ATTN_FUNCTION J min(J const& a, J const& b) { return where_largest(-a, -b, a, b); }
  static ATTN_FUNCTION J larger_number(J const& a, J const& b) { return where_greater(a, b, a, b); }
  static ATTN_FUNCTION J abs(J const& a) {
    T taylor[degree + 1];
    for (int k = 0; k <= degree; ++k) taylor[k] = T(0);
    taylor[0] = Math<T>::abs(a.value());
    if constexpr (degree > 0) {
      T const zero(0);
      taylor[1] =
          Math<T>::where_greater(a.value(), zero, T(1), zero) - Math<T>::where_greater(zero, a.value(), T(1), zero);
    }
    return J::compose(a, taylor);
  }
  static ATTN_FUNCTION J exp(J const& a) {
    T taylor[degree + 1];
    taylor[0] = Math<T>::exp(a.value());
    for (int k = 1; k <= degree; ++k) taylor[k] = taylor[k - 1] * T(RealOf<T>(1) / k);
    return J::compose(a, taylor);
  }
  static ATTN_FUNCTION J log(J const& a) {
    // log^(k)(x) / k! = -(-1/x)^k / k
    T taylor[degree + 1];
    taylor[0] = Math<T>::log(a.value());
    T const inverse = T(1) / a.value();
    T term = T(1);
    for (int k = 1; k <= degree; ++k) {
      term = -term * inverse;
      taylor[k] = -term * T(RealOf<T>(1) / k);
    }
    return J::compose(a, taylor);
  }
  static ATTN_FUNCTION J sqrt(J const& a) {
    // binomial series: t_k = t_(k-1) (3/2 - k) / (k x)
    T taylor[degree + 1];
    taylor[0] = Math<T>::sqrt(a.value());
    T const inverse = T(1) / a.value();
    for (int k = 1; k <= degree; ++k) {
      taylor[k] = taylor[k - 1] * inverse * T((RealOf<T>(1.5) - k) / k);
    }
    return J::compose(a, taylor);
  }
  static ATTN_FUNCTION J sin(J const& a) {
    T sine, cosine;
    attn::sin_cos(a.value(), sine, cosine);
    return oscillation(a, sine, cosine);
  }
  static ATTN_FUNCTION J cos(J const& a) {
    T sine, cosine;
    attn::sin_cos(a.value(), sine, cosine);
    return oscillation(a, cosine, -sine);
  }
  static ATTN_FUNCTION void sin_cos(J const& a, J& sine, J& cosine) {
    T s, c;
    attn::sin_cos(a.value(), s, c);
    sine = oscillation(a, s, c);
    cosine = oscillation(a, c, -s);
  }
  static ATTN_FUNCTION J tanh(J const& a) {
    // y' = 1 - y^2: (k + 1) t_(k+1) = [k = 0] - sum_i t_i t_(k-i)
    T taylor[degree + 1];
    taylor[0] = Math<T>::tanh(a.value());
    for (int k = 0; k < degree; ++k) {
      T square(0);
      for (int i = 0; i <= k; ++i) square += taylor[i] * taylor[k - i];
      taylor[k + 1] = (T(k == 0 ? 1 : 0) - square) * T(RealOf<T>(1) / (k + 1));
    }
    return J::compose(a, taylor);
  }
  static ATTN_FUNCTION J erf(J const& a) {
    // g = erf' = 2/sqrt(pi) e^(-x^2), g' = -2 x g: (k + 1) g_(k+1) = -2 (x g_k + g_(k-1))
    T taylor[degree + 1];
    T const x = a.value();
    taylor[0] = Math<T>::erf(x);
    T previous(0), current = T(RealOf<T>(1.1283791670955126)) * Math<T>::exp(-(x * x));
    for (int k = 0; k < degree; ++k) {
      taylor[k + 1] = current * T(RealOf<T>(1) / (k + 1));
      T const next = (x * current + previous) * T(RealOf<T>(-2) / (k + 1));
      previous = current;
      current = next;
    }
    return J::compose(a, taylor);
  }

 private:
  /// A function with y'' = -y, from its value and first derivative.
  static ATTN_FUNCTION J oscillation(J const& a, T value, T derivative) {
    T taylor[degree + 1];
    taylor[0] = value;
    if constexpr (degree > 0) taylor[1] = derivative;
    for (int k = 2; k <= degree; ++k) taylor[k] = -taylor[k - 2] * T(RealOf<T>(1) / (k * (k - 1)));
    return J::compose(a, taylor);
  }
};

}  // namespace attn
