/// The derivative of a pointwise activation: its own `slope` if it has one, else one evaluation on a jet.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/core/jet.hpp"

namespace attn {

/// A pointwise activation that states its derivative.
template <class A, class T>
concept StatesSlope = requires(A const a, T s, Row row) {
  { a.slope(s, row) } -> std::same_as<T>;
};

namespace detail {

/// A sentence for a pointwise activation that has no derivative.
template <class A, class T>
constexpr void check_slope() {
  static_assert(StatesSlope<A, T> || PointwiseActivation<A, Jet<T, 1>>,
                "activation: write operator() as a template over the score's type, so that it also takes a jet, or "
                "add a member slope(score, row)");
}

}  // namespace detail

/// A weight and its derivative by the score.
template <class T>
struct WeightAndSlope {
  T weight;
  T slope;
};

/// w = a(s, row) and dw/ds.
template <class T, PointwiseActivation<T> A>
ATTN_FUNCTION WeightAndSlope<T> weight_and_slope(A const& a, T s, Row row) {
  if constexpr (StatesSlope<A, T>) {
    return {a(s, row), a.slope(s, row)};
  } else {
    detail::check_slope<A, T>();
    auto const w = a(Jet<T, 1>::variable(s), row);
    return {w.coefficients[0], w.coefficients[1]};
  }
}

}  // namespace attn
