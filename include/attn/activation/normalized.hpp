/// Normalized<Numerator>: any pointwise function of the score, divided by the sum of its sizes over the row.
#pragma once

#include "attn/activation/slope.hpp"

#include <limits>

namespace attn {

/// w_j = n(s_j) / sum_k |n(s_k)|. `Numerator` is a `PointwiseActivation`; it is asked for a row of one key, since what
/// would depend on the row's length cancels. A row whose numerators are all zero has weights of zero.
///
/// For numerators that are never negative, weights sum to one as softmax's do: `Normalized` is the general form of "the
/// exponential of softmax, replaced". Negative numerators give weights whose sizes sum to one.
template <class Numerator>
struct Normalized {
  Numerator function = {};

  template <class T>
  struct Stats {
    T sum = T(0);
  };

  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    stats.sum = stats.sum + attn::abs(function(s, Row{}));
    return T(1);
  }
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 2> merge(Stats<T>& stats, Stats<T> const& others) const {
    stats.sum = stats.sum + others.sum;
    return {T(1), T(1)};
  }
  template <class T>
  ATTN_FUNCTION T numerator(T s, Stats<T> const&) const {
    return function(s, Row{});
  }
  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return attn::max(stats.sum, T(std::numeric_limits<RealOf<T>>::min()));
  }
  template <class T>
  ATTN_FUNCTION T numerator_slope(T s, Stats<T> const&) const {
    return weight_and_slope(function, s, Row{}).slope;
  }
};

}  // namespace attn
