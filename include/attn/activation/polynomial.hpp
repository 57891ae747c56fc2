/// StatesPolynomial: activations that are polynomials of the score and say so.
#pragma once

#include "attn/activation/concepts.hpp"

namespace attn {

/// The highest power that kernels which are linear in the number of tokens take.
inline constexpr int max_degree = 4;

namespace detail {

template <class A>
concept StatesCoefficients = requires(A const a, int m, Row row) {
  { a.degrees() } -> std::same_as<unsigned>;
  { a.coefficient(m, row) } -> std::same_as<double>;
};

}  // namespace detail

/// A pointwise activation that is w = sum over m of c_m s^m, and says so: calls of attention may then take a time that
/// is linear in the number of tokens (docs/performance.md).
///
///  1. `a.degrees()` has bit m set where s^m may occur; zero if powers above `max_degree` do. It does not depend on
///     trained numbers.
///  2. `a.coefficient(m, row)` is c_m.
///  3. If it is learnable, `a.coefficient_slope(m, p, row)` is the derivative of c_m by its p-th trained number.
template <class A>
concept StatesPolynomial = detail::StatesCoefficients<A> &&(
    !requires(A const a) { a.parameters(); } ||
    requires(A const a, Row row) {
      { a.coefficient_slope(0, 0, row) } -> std::same_as<double>;
    });

namespace detail {

/// Bit `power`, or none where that is too high.
ATTN_FUNCTION constexpr unsigned degree_bit(int power) { return power >= 0 && power <= max_degree ? 1u << power : 0u; }

}  // namespace detail
}  // namespace attn
