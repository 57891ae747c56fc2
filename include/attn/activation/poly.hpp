/// Poly<P, Scale>: the polynomial c s^P in place of softmax, the paper's subject.
#pragma once

#include "attn/activation/polynomial.hpp"
#include "attn/activation/scale.hpp"

namespace attn {

/// The P of a polynomial whose power is a number that is chosen when the program runs. One compilation then serves all
/// powers; a P that the compiler knows gives the faster kernel.
inline constexpr int any_power = -1;

/// What Poly raises scores to.
template <int P>
struct Exponent {
  template <class T>
  static ATTN_FUNCTION T raise(T s) {
    return power<P>(s);
  }
  /// d(s^P)/ds
  template <class T>
  static ATTN_FUNCTION T slope(T s) {
    return T(P) * power<P - 1>(s);
  }
  static constexpr int degree() { return P; }
};
template <>
struct Exponent<any_power> {
  int power = 3;  ///< at least 1

  template <class T>
  ATTN_FUNCTION T raise(T s) const {
    T result = s;
    for (int i = 1; i < power; ++i) result = result * s;
    return result;
  }
  template <class T>
  ATTN_FUNCTION T slope(T s) const {
    T result = T(RealOf<T>(power));
    for (int i = 1; i < power; ++i) result = result * s;
    return result;
  }
  int degree() const { return power; }
};

/// w = c s^P with s = q.k / sqrt(D). `Scale` chooses c: `NoScale`, `FixedScale`, or `DynamicScale`, which is trained.
/// `Poly<any_power, Scale>{{}, {p}}` takes its power p when the program runs.
template <int P, class Scale = NoScale>
struct Poly {
  static_assert(P >= 1 || P == any_power, "Poly: choose a power of at least 1");
  static constexpr int n_parameters = 1;
  static constexpr char const* parameter_names[] = {"scale"};

  Scale scale = {};
  [[no_unique_address]] Exponent<P> exponent = {};

  template <class T>
  ATTN_FUNCTION T operator()(T s, Row row) const {
    return scale.template value<T>(row) * exponent.raise(s);
  }

  template <class T>
  ATTN_FUNCTION T slope(T s, Row row) const {
    return scale.template value<T>(row) * exponent.slope(s);
  }

  /// The same with a scale that is computed already.
  ATTN_FUNCTION auto for_row(Row row) const requires(!std::same_as<Scale, NoScale>) {
    return Poly<P, KnownScale>{{scale.template value<double>(row)}, exponent};
  }

  /// c (z s)^P = c z^P s^P: small powers are homogeneous without overflow.
  ATTN_FUNCTION auto raw(Row) const requires(P >= 1 && P <= 4) { return Poly<P>{}; }
  template <class T>
  ATTN_FUNCTION T raw_factor(T z, Row row) const {
    return scale.template value<T>(row) * exponent.raise(z);
  }

  /// raw(p) / p, and the power.
  template <class T>
  ATTN_FUNCTION T raw_quotient(T p, Row) const requires(P >= 1 && P <= 4) {
    return power<P - 1>(p);
  }
  static ATTN_FUNCTION constexpr int raw_degree() { return P; }
  /// dw/dc = z^P raw(p)
  template <class T>
  ATTN_FUNCTION T raw_parameter_factor(T z, Row) const {
    return exponent.raise(z);
  }

  // Poly states its polynomial.

  unsigned degrees() const { return detail::degree_bit(exponent.degree()); }
  double coefficient(int, Row row) const { return scale.template value<double>(row); }
  double coefficient_slope(int, int, Row) const { return 1; }

  // With a trained scale, Poly is a LearnableActivation.

  ATTN_FUNCTION auto parameters() const requires requires(Scale s) { s.learned(); }
  { return scale.learned(); }

  /// forward: w = c s^P; hence dw/dc = s^P
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 1> parameter_slopes(T s, Row) const {
    return {exponent.raise(s)};
  }

  static Kokkos::Array<double, 1> initial_parameters(int n_keys) { return {1 / Kokkos::sqrt(double(n_keys))}; }

  template <Real R>
  Poly<P, BasicDynamicScale<R>> bind(LearnedParameters<R> p) const {
    return {{p.value, p.gradient, p.per_head}, exponent};
  }
};

}  // namespace attn
