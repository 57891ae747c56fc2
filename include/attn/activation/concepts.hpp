/// The activation protocol: what a type must offer to turn scores into attention weights.
#pragma once

#include "attn/activation/row.hpp"
#include "attn/core/scalar.hpp"

#include <concepts>
#include <utility>

namespace attn {

/// A pointwise activation turns each score into a weight on its own: w_ij = a(s_ij, row).
///
///  1. `a(s, row)` takes any scalar T (`float`, `double`, a `Pack`, a `Jet`) and returns a T; it calls `attn::max`,
///     `attn::exp`, ... and never branches on a score.
///  2. It has no state that the call changes, and is trivially copyable.
///  3. Optional: `a.slope(s, row)`, the derivative dw/ds. Without it, the derivative comes from evaluating `a` on a
///  jet.
///  4. Optional: `a.for_row(row)`, an activation with the same weights in which what depends on the row alone (a root,
///  a
///     logarithm, a number in memory) is computed already. Host kernels ask for it once per block of queries. And
///     `A::ignores_heads`, where it depends on the number of keys alone: a kernel that goes through the heads which
///     share keys then asks once for all of them.
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

/// A pointwise activation that is homogeneous in the score, a(z s, row) = f(z, row) raw(s) with `a.raw(row)` and
/// `a.raw_factor(z, row)`: kernels on tensor cores then give `raw` the products q.k as they are, and multiply the
/// output by f once, where they would multiply each score by z, and each weight by a coefficient. `raw` must not
/// overflow for products that are sqrt(D) times a score.
template <class A, class T>
concept HomogeneousActivation = PointwiseActivation<A, T> && requires(A const a, T z, Row row) {
  { a.raw(row)(z, row) } -> std::same_as<T>;
  { a.raw_factor(z, row) } -> std::same_as<T>;
};

/// A homogeneous activation of degree n = `a.raw_degree()` that states raw(p) / p as `a.raw_quotient(p, row)`. By
/// Euler's theorem n times the quotient is the slope of `raw`: kernels of the backward pass then multiply once for a
/// weight, and once for the gradient of its score. If it is learnable it has one parameter, by which the weight's
/// derivative is `a.raw_parameter_factor(z, row)` raw(p).
template <class A, class T>
concept StatesQuotient = HomogeneousActivation<A, T> && requires(A const a, T p, Row row) {
  { a.raw_quotient(p, row) } -> std::same_as<T>;
  { a.raw_degree() } -> std::same_as<int>;
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

namespace detail {
/// What kernels ask about the scores of one row.
template <class A>
using OfRow = decltype(attn::for_row(std::declval<A const&>(), Row{}));

/// Whether a pointwise activation says that nothing of a row but its number of keys matters.
template <class A>
inline constexpr bool ignores_heads = requires {
  requires A::ignores_heads;
};
}  // namespace detail

/// A row-normalised activation with rule 4 below in its second form.
template <class A, class T>
concept StatesNumeratorSlope = requires(detail::OfRow<A> const a, typename A::template Stats<T> const& stats, T s) {
  { a.numerator_slope(s, stats) } -> std::same_as<T>;
};

/// ... in either form.
template <class A, class T>
concept PullsBack = StatesNumeratorSlope<A, T> || requires(detail::OfRow<A> const a, T w, T d_w, T delta) {
  { a.pullback(w, d_w, delta) } -> std::same_as<T>;
};

/// A row-normalised activation needs statistics of the whole row, which it gathers one score at a time:
/// w_ij = numerator(s_ij, stats_i) / normalizer(stats_i).
///
///  1. `A::Stats<T>` is default-constructible: the statistics of an empty row.
///  2. `absorb(stats, s)` adds one score and returns the factor by which everything that was accumulated before, with
///     the earlier statistics, must be multiplied (for softmax: e^(old maximum - new maximum)).
///  3. `numerator(s, stats)` and `normalizer(stats)` give the weight once the row is complete.
///  4. `pullback(w, d_w, delta)` is ds_ij, given delta_i = sum_j w_ij d_w_ij. Or, where the normalizer is the sum of
///  the
///     numerators' sizes, sum_k |numerator(s_ik)|: `numerator_slope(s, stats)`, the derivative of a numerator, from
///     which kernels derive the pullback and the norm of the Jacobian.
///  5. Packed host kernels want members of type T only in `Stats<T>`.
///  6. Optional, for speed: `absorb_tile(stats, scores)` adds scores[0] ... scores[scores.size() - 1], replaces each by
///     its numerator with `scores.set(j, numerator)`, and returns the factor that `absorb` would. A score that a mask
///     hides reads as the lowest number, and its numerator is not used; it must not matter once a row has seen another.
///     Several threads may share a row, and each sees some of its scores: `scores.row_max(x)` and `scores.row_sum(x)`
///     give the largest and the sum of what all of them pass, in the same order of calls; elsewhere they return x.
///     With a third argument z > 0 it gets products in the place of scores, which are z times these: kernels on tensor
///     cores then leave the multiplication to it.
///     So does, for their backward pass, one number of a complete row, c = `complete(stats)`, from which and a product
///     p `complete_weight(p, z, c)` is the weight of the score z p.
///  7. Optional, for speed: `merge(stats, others)` adds the statistics of other scores of the row, and returns two
///     factors, for what was accumulated with the former and with the latter, as a `Kokkos::Array`. Kernels then share
///     the keys of a few long rows among blocks or threads.
///  8. Optional: `for_row(row)`, which returns what has all of these members but `Stats`, and they may depend on the
///  row:
///     a number that differs between heads, say. `A` needs only `Stats` then; what is returned has the same.
template <class A, class T>
concept RowActivation = std::copyable<A> &&
    requires(detail::OfRow<A> const a, typename A::template Stats<T>& stats, T s) {
  { a.absorb(stats, s) } -> std::same_as<T>;
  { a.numerator(s, stats) } -> std::same_as<T>;
  { a.normalizer(stats) } -> std::same_as<T>;
} && PullsBack<A, T>;

/// ... whose weights follow from one number of the row, and their gradients from the weights.
template <class A, class T>
concept CompletesRows = RowActivation<A, T> && !StatesNumeratorSlope<A, T> &&
                        requires(detail::OfRow<A> const a, typename A::template Stats<T> const& stats, T s) {
  { a.complete(stats) } -> std::same_as<T>;
  { a.complete_weight(s, s, s) } -> std::same_as<T>;
};

/// ... whose rows may be gathered in parts.
template <class A, class T>
concept MergesRows = RowActivation<A, T> && requires(detail::OfRow<A> const a, typename A::template Stats<T>& stats,
                                                     typename A::template Stats<T> const& others) {
  { a.merge(stats, others) } -> std::same_as<Kokkos::Array<T, 2>>;
};

namespace detail {

/// Whether the keys of a row may be taken in parts: weights that need no row just add up.
template <class A, class T>
inline constexpr bool adds_in_parts = !RowActivation<A, T> || MergesRows<A, T>;

/// Stands for the statistics of rows where an activation has none.
struct NoStats {};

template <class A, class T>
struct StatsOfTrait {
  using type = NoStats;
};
template <class A, class T>
requires RowActivation<A, T>
struct StatsOfTrait<A, T> {
  using type = typename A::template Stats<T>;
};
template <class A, class T>
using StatsOf = typename StatsOfTrait<A, T>::type;

}  // namespace detail

/// ds of one score of a complete row, from the weight's gradient. `a` is what `for_row` returned.
template <class T, RowActivation<T> A>
ATTN_FUNCTION T pull_back(A const& a, T s, T w, T d_w, T delta, typename A::template Stats<T> const& stats) {
  if constexpr (StatesNumeratorSlope<A, T>) {
    // forward: w_j = n_j / sum_k |n_k|; hence ds_k = n'_k / sum |n| (d_w_k - sign(n_k) delta)
    return a.numerator_slope(s, stats) / a.normalizer(stats) * (d_w - where_greater(w, T(0), delta, -delta));
  } else {
    return a.pullback(w, d_w, delta);
  }
}

/// Either of the two; what kernels are compiled for.
template <class A, class T>
concept Activation = PointwiseActivation<A, T> || RowActivation<A, T>;

/// An activation that is chosen when the program runs, such as `AnyActivation` (attention/any_activation.hpp): not the
/// score is handed on but the whole call of attention, to kernels that were compiled for what it holds.
template <class A>
concept ErasedActivation = requires {
  typename A::Erased;
};

/// Numbers of an activation that are trained. `value` and `gradient` point to n_parameters numbers, shared by all
/// heads, or to (heads, n_parameters) if `per_head`. They live where the kernel runs. A null `gradient` is not written.
template <Real R>
struct LearnedParameters {
  R const* value = nullptr;
  R* gradient = nullptr;
  bool per_head = false;
};

namespace detail {

template <class A, class T>
concept HasTrainedNumbers = requires(A const a, LearnedParameters<RealOf<T>> parameters) {
  { a.parameters().per_head } -> std::convertible_to<bool>;
  { A::initial_parameters(1) } -> std::convertible_to<Kokkos::Array<double, A::n_parameters>>;
  { A::parameter_names[0] } -> std::convertible_to<char const*>;
  a.bind(parameters);
};

template <class A, class T>
concept StatesParameterSlopes = PointwiseActivation<A, T> && requires(A const a, T s, Row row) {
  { a.parameter_slopes(s, row) } -> std::same_as<Kokkos::Array<T, A::n_parameters>>;
};
template <class A, class T>
concept StatesParameterPullbacks = RowActivation<A, T> &&
    requires(OfRow<A> const a, T s, T w, T d_w, T delta, typename A::template Stats<T> const& stats) {
  { a.parameter_pullbacks(s, w, d_w, delta, stats) } -> std::same_as<Kokkos::Array<T, A::n_parameters>>;
};

}  // namespace detail

/// An activation with numbers that are trained with the network.
///
///  1. `A::n_parameters`, and `A::parameter_names`, an array of as many C strings.
///  2. `a.parameters()` returns its `LearnedParameters`.
///  3. If it is pointwise, `a.parameter_slopes(s, row)` returns the n_parameters derivatives dw/d(parameter) as a
///     `Kokkos::Array`. If it is row-normalised, `parameter_pullbacks(s, w, d_w, delta, stats)` returns, for each
///     parameter, a number whose sum over the keys of a complete row is dloss/d(parameter), from a score, its weight,
///     the gradient of the weight, and delta = sum_k w_k d_w_k. (With w_j = n_j / Z and Z = sum_k n_k: d
///     n_j/d(parameter) / Z (d_w_j - delta).) It stands beside `pullback`: on what `for_row` returns, if there is one.
///  4. `A::initial_parameters(n_keys)` returns their first values.
///  5. `a.bind(parameters)` returns the same activation over other storage, of any real type: a module keeps the
///     numbers among its own parameters and binds the activation to them.
template <class A, class T>
concept LearnableActivation = detail::HasTrainedNumbers<A, T> &&
    (detail::StatesParameterSlopes<A, T> || detail::StatesParameterPullbacks<A, T>);

}  // namespace attn
