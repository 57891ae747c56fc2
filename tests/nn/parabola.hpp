// An activation of a user with several trained numbers, for tests of what keeps them.
#pragma once

#include "attn/activation/concepts.hpp"

namespace attn_test {

/// A user's activation with two trained numbers: a s + b s^2.
template <attn::Real R = float>
struct Parabola {
  static constexpr int n_parameters = 2;
  static constexpr char const* parameter_names[] = {"linear", "square"};

  attn::LearnedParameters<R> learned = {};

  template <class T>
  ATTN_FUNCTION T number(int p, attn::Row row) const {
    return T(attn::RealOf<T>(learned.value[(learned.per_head ? 2 * row.head : 0) + p]));
  }
  template <class T>
  ATTN_FUNCTION T operator()(T s, attn::Row row) const {
    return number<T>(0, row) * s + number<T>(1, row) * s * s;
  }
  ATTN_FUNCTION attn::LearnedParameters<R> parameters() const { return learned; }
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 2> parameter_slopes(T s, attn::Row) const {
    return {s, s * s};
  }
  static Kokkos::Array<double, 2> initial_parameters(int n_keys) { return {0.5, 1.0 / n_keys}; }
  template <attn::Real S>
  Parabola<S> bind(attn::LearnedParameters<S> p) const {
    return {p};
  }
};

}  // namespace attn_test
