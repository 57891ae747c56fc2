/// Sigmoid: 1 / (1 + e^(-s)), with a bias that may fall with the number of keys.
#pragma once

#include "attn/activation/concepts.hpp"

namespace attn {

/// w = 1 / (1 + e^-(s + b)), b = -log_n log(n_keys). With `log_n` = 1 a row of equal scores sums to about one, which is
/// what training needs (Ramapuram et al. 2024); with 0, the default, it is the plain sigmoid.
struct Sigmoid {
  double log_n = 0;

  template <class T>
  ATTN_FUNCTION T operator()(T s, Row row) const {
    return T(1) / (T(1) + attn::exp(T(RealOf<T>(log_n) * Kokkos::log(RealOf<T>(row.n_keys))) - s));
  }

  template <class T>
  ATTN_FUNCTION T slope(T s, Row row) const {
    T const w = (*this)(s, row);
    return w * (T(1) - w);
  }
};

}  // namespace attn
