/// What others have put in place of softmax, each as a policy of a few lines. ReLU / N and the sigmoid have headers of
/// their own.
///
/// Those that a work normalises over the row are numerators here: `Normalized<TaylorExponential>` is Taylor softmax.
#pragma once

#include "attn/activation/normalized.hpp"
#include "attn/activation/polynomial.hpp"

namespace attn {

/// w = s: linear attention without feature maps (Katharopoulos, Vyas, Pappas and Fleuret 2020; Schlag, Irie and
/// Schmidhuber 2021).
struct Identity {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    return s;
  }
  unsigned degrees() const { return detail::degree_bit(1); }
  double coefficient(int, Row) const { return 1; }
};

/// w = max(s, 0)^2 / n_keys (So et al. 2021; Hua, Dai, Liu and Le 2022, in attention).
struct SquaredRelu {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row row) const {
    T const positive = attn::max(s, T(0));
    return positive * positive * T(RealOf<T>(1) / RealOf<T>(row.n_keys));
  }
};

/// w = 1 + s + s^2 / 2, which is positive for every score (de Brébisson and Vincent 2016).
struct TaylorExponential {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    return T(1) + s + T(RealOf<T>(0.5)) * s * s;
  }
  unsigned degrees() const { return detail::degree_bit(0) | detail::degree_bit(1) | detail::degree_bit(2); }
  double coefficient(int m, Row) const { return m == 2 ? 0.5 : 1; }
};

/// w = elu(s) + 1: s + 1 above zero, e^s below (Clevert, Unterthiner and Hochreiter 2016). Katharopoulos et al. 2020
/// map queries and keys by it; here it acts on their score.
struct EluPlusOne {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    T const zero(0);
    return attn::max(s, zero) + attn::exp(attn::min(zero, s));
  }
};

/// w = 1 + cos s, periodic in the score, so that no slope vanishes for large ones (Wang, Liu and Liu 2021).
struct RaisedCosine {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    return T(1) + attn::cos(s);
  }
};

/// w = |s|^power (Zimerman et al. 2024, for even powers).
struct AbsolutePower {
  int power = 2;  ///< at least 1

  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    T const square = s * s;
    T w = power % 2 == 0 ? T(1) : attn::abs(s);
    for (int i = 0; i < power / 2; ++i) w = w * square;
    return w;
  }
};

/// (1 + s + s^2 / 2) / sum_k (...)
using TaylorSoftmax = Normalized<TaylorExponential>;
using L1Normalized = Normalized<Identity>;  ///< s_j / sum_k |s_k|: of both signs, sizes sum to one
/// (elu(s) + 1) / sum_k (elu(s_k) + 1)
using EluAttention = Normalized<EluPlusOne>;
/// A raised cosine of the score, divided by its sum over the row.
using CosineAttention = Normalized<RaisedCosine>;
/// |s|^p / sum_k |s_k|^p
using PowerSoftmax = Normalized<AbsolutePower>;

}  // namespace attn
