/// Softmax: the weights that everybody knows, w_ij = e^(s_ij) / sum_k e^(s_ik).
#pragma once

#include "attn/activation/concepts.hpp"

namespace attn {

/// Gathered online (Milakov and Gimelshein 2018): the running maximum keeps every exponent at or below zero.
struct Softmax {
  template <class T>
  struct Stats {
    T max = T(lowest<T>);
    T sum = T(0);
  };

  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    T const max = attn::max(stats.max, s);
    T const factor = attn::exp(stats.max - max);
    stats.sum = stats.sum * factor + attn::exp(s - max);
    stats.max = max;
    return factor;
  }

  template <class T>
  ATTN_FUNCTION T numerator(T s, Stats<T> const& stats) const {
    return attn::exp(s - stats.max);
  }

  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return stats.sum;
  }

  /// forward: w_j = e^(s_j) / sum_k e^(s_k); hence ds_j = w_j (d_w_j - sum_k w_k d_w_k)
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T delta) const {
    return w * (d_w - delta);
  }
};

}  // namespace attn
