/// Relu: max(s, 0) / n_keys (Wortsman, Lee, Gilmer and Kornblith 2023).
#pragma once

#include "attn/activation/concepts.hpp"

namespace attn {

/// w = max(s, 0) / n, n the number of keys.
struct Relu {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row row) const {
    return attn::max(s, T(0)) * T(RealOf<T>(1) / RealOf<T>(row.n_keys));
  }

  template <class T>
  ATTN_FUNCTION T slope(T s, Row row) const {
    return where_largest(s, T(0), T(RealOf<T>(1) / RealOf<T>(row.n_keys)), T(0));
  }
};

}  // namespace attn
