/// Norms: what one row of weights adds to the squared norms of the attention matrix and of its Jacobian.
///
/// ||A||_F^2 = sum_ij w_ij^2, and ||J||_F^2 is the sum of squares of all derivatives dw_ij / ds_ik. A pointwise
/// activation has derivatives for k = j only, its slopes. A row-normalised one may state the norm of its row by a
/// member
///
///     template <class T> ATTN_FUNCTION T squared_jacobian(T sum_w2, T sum_w3) const;
///
/// given sum_j w_j^2 and sum_j w_j^3; for softmax, dw_j / ds_k = w_j ([j = k] - w_k) makes it
/// sum_w2 - 2 sum_w3 + sum_w2^2. Without that member, norms come from a second pass over the scores, and the pullback.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/attention/options.hpp"

namespace attn::detail {

/// Sums over one row (or over the rows in the lanes of packs) from which both norms follow: of w^2 and of slope^2 for a
/// pointwise activation, of w^2 and w^3 for a row-normalised one.
template <class T>
struct NormSums {
  T w2 = T(0);
  T other = T(0);
};

/// A row-normalised activation that states the squared norm of its Jacobian in closed form.
template <class A, class T>
concept StatesJacobian = requires(A const a, T sum_w2, T sum_w3) {
  { a.squared_jacobian(sum_w2, sum_w3) } -> std::same_as<T>;
};

/// The row's share of ||J||_F^2.
template <class A, class T>
ATTN_FUNCTION T squared_jacobian(A const& a, NormSums<T> const& sums) {
  if constexpr (RowActivation<A, T>) {
    return a.squared_jacobian(sums.w2, sums.other);
  } else {
    return sums.other;
  }
}

template <class Norms>
inline constexpr bool wants_norms = !std::same_as<Norms, NoNorms>;

}  // namespace attn::detail
