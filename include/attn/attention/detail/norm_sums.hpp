/// What one row of weights adds to the squared norms of the attention matrix and of its Jacobian, and what else is
/// known of the row: kernels gather it while they gather the row.
///
/// ||A||_F^2 = sum_ij w_ij^2, and ||J||_F^2 is the sum of squares of all derivatives dw_ij / ds_ik. A pointwise
/// activation has derivatives for k = j only, its slopes. For a row-normalised one, `docs/attention_math.md` derives
/// what is used here.
#pragma once

#include "attn/activation/slope.hpp"
#include "attn/attention/options.hpp"

#include <limits>

namespace attn::detail {

/// Sums over one row (or over the rows in the lanes of packs) from which both norms follow: of w^2, and
///   of slope^2 for a pointwise activation,
///   of w^3 for a row-normalised one with a closed form,
///   of n'^2 and n'^2 |n| for one that states the slope n' of its numerator n.
template <class T>
struct NormSums {
  T w2 = T(0);
  T second = T(0);
  T third = T(0);
};

/// A row-normalised activation that states the squared norm of its Jacobian in closed form.
template <class A, class T>
concept StatesJacobian = requires(OfRow<A> const a, T sum_w2, T sum_w3) {
  { a.squared_jacobian(sum_w2, sum_w3) } -> std::same_as<T>;
};

/// Norms can be gathered while a row is still incomplete.
template <class A, class T>
concept NormsFollowFromSums = !RowActivation<A, T> || StatesJacobian<A, T> || StatesNumeratorSlope<A, T>;

/// The row's share of ||J||_F^2, from the sums over its complete weights.
template <class A, class T>
ATTN_FUNCTION T squared_jacobian(A const& a, NormSums<T> const& sums) {
  if constexpr (!RowActivation<A, T>) {
    return sums.second;
  } else if constexpr (StatesNumeratorSlope<A, T>) {
    // w_j = n_j / Z, Z = sum |n|: dw_j / ds_k = n'_k / Z ([j = k] - w_j sign n_k), and w_k sign n_k = |w_k|
    return sums.second - T(2) * sums.third + sums.w2 * sums.second;
  } else {
    return a.squared_jacobian(sums.w2, sums.third);
  }
}

template <class Norms>
inline constexpr bool wants_norms = !std::same_as<Norms, NoNorms>;
template <class Norms>
inline constexpr bool wants_rows = requires(Norms norms) {
  norms.entropy;
};

/// What is known of a row of weights, or of numerators whose normalizer is not known yet.
template <class T>
struct RowSums {
  static constexpr RealOf<T> nothing = std::numeric_limits<RealOf<T>>::max();

  T sum = T(0);
  T minimum = T(nothing);  ///< of nothing, so far
  T maximum = T(-nothing);
  T positive = T(0);
  T negative = T(0);
  T size = T(0);      ///< sum of |w|
  T size_log = T(0);  ///< sum of |w| log |w|

  /// Adds a weight that the row's query sees.
  ATTN_FUNCTION void add(T w, bool with_entropy) {
    T const zero(0), one(1);
    sum += w;
    minimum = attn::min(minimum, w);
    maximum = attn::max(maximum, w);
    positive += where_greater(w, zero, one, zero);
    negative += where_greater(zero, w, one, zero);
    if (with_entropy) add_entropy(w);
  }
  ATTN_FUNCTION void add_entropy(T w) {
    T const x = attn::abs(w);
    size += x;
    size_log += x * log_of_normal(x);
  }

  /// All numerators so far are to be multiplied by `factor`, which is not negative. One of zero leaves no weight.
  ATTN_FUNCTION void rescale(T factor) {
    T const zero(0);
    sum *= factor;
    minimum = where_greater(T(nothing), minimum, minimum * factor, minimum);
    maximum = where_greater(maximum, T(-nothing), maximum * factor, maximum);
    positive = where_greater(factor, zero, positive, zero);
    negative = where_greater(factor, zero, negative, zero);
    size_log = factor * (size_log + size * log_of_normal(factor));
    size *= factor;
  }

  /// -sum_j p_j log p_j with p_j = |w_j| / sum_k |w_k|; zero for a row without weight.
  ATTN_FUNCTION T entropy() const {
    T const zero(0), one(1), some = where_greater(size, zero, size, one);
    T const h = attn::log(some) - size_log / some;
    return where_largest(size, zero, attn::max(h, zero), zero);
  }

  /// log x of what is at least the smallest normal number; for less, the logarithm of that.
  static ATTN_FUNCTION T log_of_normal(T x) {
    T const normal = attn::max(x, T(std::numeric_limits<RealOf<T>>::min()));
    if constexpr (requires { Math<T>::log_normal(normal); }) {
      return Math<T>::log_normal(normal);
    } else {
      return attn::log(normal);
    }
  }
};

}  // namespace attn::detail
