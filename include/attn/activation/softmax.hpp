/// Softmax: the weights that everybody knows, w_ij = e^(s_ij) / sum_k e^(s_ik).
#pragma once

#include "attn/activation/concepts.hpp"

namespace attn {

/// Gathered online (Milakov and Gimelshein 2018): the running maximum keeps every exponent at or below zero. A score
/// that is NaN may be left out of the maximum: its exponential, and with it the sum, is NaN.
struct Softmax {
  template <class T>
  struct Stats {
    T max = T(lowest<T>);
    T sum = T(0);
  };

  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    T const max = attn::larger_number(stats.max, s);
    T const factor = attn::exp_nonpositive(stats.max - max);
    stats.sum = stats.sum * factor + attn::exp_nonpositive(s - max);
    stats.max = max;
    return factor;
  }

  template <class T, class Scores>
  ATTN_FUNCTION T absorb_tile(Stats<T>& stats, Scores const& scores) const {
    T max = stats.max;
    ATTN_UNROLL
    for (int j = 0; j < scores.size(); ++j) max = attn::larger_number(max, scores[j]);
    max = scores.row_max(max);
    T sum = T(0);
    ATTN_UNROLL
    for (int j = 0; j < scores.size(); ++j) {
      T const w = attn::exp_nonpositive(scores[j] - max);
      scores.set(j, w);
      sum += w;
    }
    sum = scores.row_sum(sum);
    T const factor = attn::exp_nonpositive(stats.max - max);
    stats.sum = stats.sum * factor + sum;
    stats.max = max;
    return factor;
  }

  /// The same with scores z products[j], z > 0: a multiply-add for each before its power of two.
  template <class T, class Products>
  ATTN_FUNCTION T absorb_tile(Stats<T>& stats, Products const& products, T z) const {
    T largest = T(lowest<T>);
    ATTN_UNROLL
    for (int j = 0; j < products.size(); ++j) largest = attn::larger_number(largest, products[j]);
    // As if each row had seen a small number: an infinite one less itself, where all are hidden, would be NaN.
    T const max = attn::larger_number(stats.max, attn::larger_number(products.row_max(largest) * z, T(-1e30f)));
    T const slope = z * T(log2_of_e), at_zero = -max * T(log2_of_e);
    T sum = T(0);
    ATTN_UNROLL
    for (int j = 0; j < products.size(); ++j) {
      T const w = attn::exp2_nonpositive(products[j] * slope + at_zero);
      products.set(j, w);
      sum += w;
    }
    sum = products.row_sum(sum);
    T const factor = attn::exp_nonpositive(stats.max - max);
    stats.sum = stats.sum * factor + sum;
    stats.max = max;
    return factor;
  }

  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 2> merge(Stats<T>& stats, Stats<T> const& others) const {
    T const max = attn::larger_number(stats.max, others.max);
    T const factor = attn::exp_nonpositive(stats.max - max), factor_of_others = attn::exp_nonpositive(others.max - max);
    stats.sum = stats.sum * factor + others.sum * factor_of_others;
    stats.max = max;
    return {factor, factor_of_others};
  }

  template <class T>
  ATTN_FUNCTION T numerator(T s, Stats<T> const& stats) const {
    return attn::exp_nonpositive(s - stats.max);
  }

  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return stats.sum;
  }

  /// w = 2^(s log2 e + c): a multiply-add and a power.
  template <class T>
  ATTN_FUNCTION T complete(Stats<T> const& stats) const {
    return -(stats.max * T(log2_of_e) + attn::log(stats.sum) * T(log2_of_e));
  }
  template <class T>
  ATTN_FUNCTION T complete_weight(T product, T z, T c) const {
    return attn::exp2_nonpositive(product * (z * T(log2_of_e)) + c);
  }

  /// forward: w_j = e^(s_j) / sum_k e^(s_k); hence ds_j = w_j (d_w_j - sum_k w_k d_w_k)
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T delta) const {
    return w * (d_w - delta);
  }

  /// dw_j / ds_k = w_j ([j = k] - w_k)
  template <class T>
  ATTN_FUNCTION T squared_jacobian(T sum_w2, T sum_w3) const {
    return sum_w2 - T(2) * sum_w3 + sum_w2 * sum_w2;
  }
};

}  // namespace attn
