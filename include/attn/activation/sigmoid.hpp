/// Sigmoid: 1 / (1 + e^(-s)), with a bias that may fall with the number of keys.
#pragma once

#include "attn/activation/concepts.hpp"

namespace attn {

/// w = 1 / (1 + e^-(s + b)), b = -log_n log(n_keys). With `log_n` = 1 a row of equal scores sums to about one, which is
/// what training needs (Ramapuram et al. 2024); with 0, the default, it is the plain sigmoid.
struct Sigmoid {
  static constexpr bool ignores_heads = true;
  double log_n = 0;

  /// 1 / (1 + e^-(s + b)) for a b that is known.
  struct Biased {
    double bias = 0;

    template <class T>
    ATTN_FUNCTION T operator()(T s, Row) const {
      return T(1) / (T(1) + attn::exp(T(RealOf<T>(-bias)) - s));
    }
    template <class T>
    ATTN_FUNCTION T slope(T s, Row row) const {
      T const w = (*this)(s, row);
      return w * (T(1) - w);
    }
  };

  ATTN_FUNCTION Biased for_row(Row row) const { return {-log_n * Kokkos::log(double(row.n_keys))}; }

  template <class T>
  ATTN_FUNCTION T operator()(T s, Row row) const {
    return for_row(row)(s, row);
  }

  template <class T>
  ATTN_FUNCTION T slope(T s, Row row) const {
    return for_row(row).slope(s, row);
  }
};

}  // namespace attn
