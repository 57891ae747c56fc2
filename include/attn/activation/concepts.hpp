/// The activation protocol: what a type must offer to turn scores into attention weights.
#pragma once

#include "attn/activation/row.hpp"
#include "attn/core/scalar.hpp"

#include <concepts>

namespace attn {

/// A pointwise activation turns each score into a weight on its own: w_ij = a(s_ij, row).
///
///  1. `a(s, row)` takes any scalar T (`float`, `double`, a `Pack`, a `Jet`) and returns a T; it calls `attn::max`,
///     `attn::exp`, ... and never branches on a score.
///  2. It has no state that the call changes, and is trivially copyable.
///  3. Optional: `a.slope(s, row)`, the derivative dw/ds. Without it, the derivative comes from evaluating `a` on a jet.
///  4. Optional: `a.for_row(row)`, an activation with the same weights in which what depends on the row alone (a root, a
///     logarithm, a number in memory) is computed already. Host kernels ask for it once per block of queries.
///
/// The smallest model:
///
///     struct Identity {
///       template <class T> ATTN_FUNCTION T operator()(T score, attn::Row) const { return score; }
///     };
template <class A, class T>
concept PointwiseActivation = std::copyable<A> && requires(A const a, T s, Row row) {
  { a(s, row) } -> std::same_as<T>;
};

/// `a.for_row(row)`, or `a` itself where it has no such member.
template <class A>
ATTN_FUNCTION auto for_row(A const& a, Row row) {
  if constexpr (requires { a.for_row(row); }) {
    return a.for_row(row);
  } else {
    return a;
  }
}

/// A row-normalised activation needs statistics of the whole row, which it gathers one score at a time:
/// w_ij = numerator(s_ij, stats_i) / normalizer(stats_i).
///
///  1. `A::Stats<T>` is default-constructible: the statistics of an empty row.
///  2. `absorb(stats, s)` adds one score and returns the factor by which everything that was accumulated before, with
///     the earlier statistics, must be multiplied (for softmax: e^(old maximum - new maximum)).
///  3. `numerator(s, stats)` and `normalizer(stats)` give the weight once the row is complete.
///  4. `pullback(w, d_w, delta)` is ds_ij, given delta_i = sum_j w_ij d_w_ij.
///  5. Packed host kernels want members of type T only in `Stats<T>`.
///  6. Optional, for speed: `absorb_tile(stats, scores)` adds scores[0] ... scores[scores.size() - 1], replaces each by
///     its numerator with `scores.set(j, numerator)`, and returns the factor that `absorb` would. A score that a mask
///     hides reads as the lowest number, and its numerator is not used; it must not matter once a row has seen another.
template <class A, class T>
concept RowActivation =
    std::copyable<A> && requires(A const a, typename A::template Stats<T>& stats, T s, T w, T d_w, T delta) {
      { a.absorb(stats, s) } -> std::same_as<T>;
      { a.numerator(s, stats) } -> std::same_as<T>;
      { a.normalizer(stats) } -> std::same_as<T>;
      { a.pullback(w, d_w, delta) } -> std::same_as<T>;
    };

/// Either of the two; what `attention` takes.
template <class A, class T>
concept Activation = PointwiseActivation<A, T> || RowActivation<A, T>;

/// Numbers of an activation that are trained. `value` and `gradient` point to n_parameters numbers, shared by all
/// heads, or to (heads, n_parameters) if `per_head`. They live where the kernel runs. A null `gradient` is not written.
template <Real R>
struct LearnedParameters {
  R const* value = nullptr;
  R* gradient = nullptr;
  bool per_head = false;
};

/// A pointwise activation with numbers that are trained with the network.
///
///  1. `A::n_parameters`, and `A::parameter_names`, an array of as many C strings.
///  2. `a.parameters()` returns its `LearnedParameters`.
///  3. `a.parameter_slopes(s, row)` returns the n_parameters derivatives dw/d(parameter) as a `Kokkos::Array`.
///  4. `A::initial_parameters(n_keys)` returns their first values.
///  5. `a.bind(parameters)` returns the same activation over other storage, of any real type: a module keeps the
///     numbers among its own parameters and binds the activation to them.
template <class A, class T>
concept LearnableActivation =
    PointwiseActivation<A, T> && requires(A const a, T s, Row row, LearnedParameters<RealOf<T>> parameters) {
      { a.parameters().per_head } -> std::convertible_to<bool>;
      { a.parameter_slopes(s, row) } -> std::same_as<Kokkos::Array<T, A::n_parameters>>;
      { A::initial_parameters(1) } -> std::convertible_to<Kokkos::Array<double, A::n_parameters>>;
      { A::parameter_names[0] } -> std::convertible_to<char const*>;
      a.bind(parameters);
    };

}  // namespace attn
