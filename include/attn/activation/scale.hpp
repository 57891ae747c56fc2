/// The scale c in front of a polynomial: none, fixed, or trained.
///
/// The paper's theorem 4.2 bounds the Frobenius norm of a polynomial's attention matrix by O(N); the factor 1/sqrt(N)
/// brings it to softmax's O(sqrt(N)) (corollary 4.3).
#pragma once

#include "attn/activation/concepts.hpp"

namespace attn {

/// c = 1.
struct NoScale {
  template <class T>
  ATTN_FUNCTION T value(Row) const {
    return T(1);
  }
};

/// c = 1/sqrt(n_keys), or the number given.
struct FixedScale {
  double number = 0;  ///< 0 means 1/sqrt(n_keys)

  template <class T>
  ATTN_FUNCTION T value(Row row) const {
    using R = RealOf<T>;
    return T(number != 0 ? R(number) : R(1) / Kokkos::sqrt(R(row.n_keys)));
  }
};

/// c is trained, one for a layer, or one for each head. `nn::MultiHeadAttention` keeps it and starts it at
/// 1/sqrt(n_keys); elsewhere, give a pointer to it and, for a backward pass, a pointer to its gradient, which is added
/// to.
template <Real R>
struct BasicDynamicScale {
  R const* number = nullptr;
  R* gradient = nullptr;
  bool per_head = false;

  template <class T>
  ATTN_FUNCTION T value(Row row) const {
    return T(RealOf<T>(number[per_head ? row.head : 0]));
  }

  ATTN_FUNCTION LearnedParameters<R> learned() const { return {number, gradient, per_head}; }
};
/// A trained scale over parameters of `float`.
using DynamicScale = BasicDynamicScale<float>;

/// What one of the above is for a row, once that is known.
struct KnownScale {
  double number = 1;

  template <class T>
  ATTN_FUNCTION T value(Row) const {
    return T(RealOf<T>(number));
  }
};

}  // namespace attn
