/// What cross-covariance attention does besides products: lengths of channels, cosines, and their gradients.
#pragma once

#include "attn/core/rows.hpp"
#include "attn/core/tensor.hpp"

namespace attn::nn::detail {

inline constexpr double smallest_channel = 1e-12;  // channels shorter than this are divided by it (torch's normalize)

/// inverse(b, c) = 1 / max(|x_c|, smallest_channel), the length over the tokens of x (B, N, H d), a head at a time.
template <class T, class Memory>
struct InverseLengths {
  Tensor<T const, 3, Memory> x;
  T* inverse;
  Index heads, d;
  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {  // i = b H + h
    using Value = typename Row::Value;
    T const* const from = x.data() + i / heads * x.stride(0) + i % heads * d;
    row.for_columns(d, [&](auto lanes, Index c) {
      Value sum(T(0));
      for (Index n = 0; n < x.extent(1); ++n) {
        Value const v = lanes.load(from + n * x.stride(1) + c);
        sum += v * v;
      }
      lanes.store(inverse + i * d + c, Value(T(1)) / attn::max(attn::sqrt(sum), Value(T(smallest_channel))));
    });
  }
};

/// Matrices (B, H, d, d) of products q_i.k_j become cosines; scores = temperature(h) cosines. The lengths are (B, H d).
template <class T>
struct ScoresOfCosines {
  T* cosines;
  T* scores;
  T const* inverse_q;
  T const* inverse_k;
  T const* temperature;
  Index heads, d;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index j) const {  // row = (b H + h) d + i
    using Value = typename Lanes::Value;
    Index const at = row * d + j;
    Value const c = lanes.load(cosines + at) * Value(inverse_q[row]) * lanes.load(inverse_k + row / d * d + j);
    lanes.store(cosines + at, c);
    lanes.store(scores + at, c * Value(temperature[row / d % heads]));
  }
};

/// of_rows(b, h, i) = sum_j d_scores cosines.
template <class T>
struct RowProducts {
  T const* d_scores;
  T const* cosines;
  T* of_rows;
  Index d;
  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    T const sum = row.sums(
        d, [&](auto lanes, Index j) { return lanes.load(d_scores + i * d + j) * lanes.load(cosines + i * d + j); });
    row.once([&] { of_rows[i] = sum; });
  }
};

/// of_columns(b, h, j) = sum_i d_scores cosines; and d_scores becomes the gradient of the products q_i.k_j.
template <class T>
struct PullCosines {
  T* d_scores;
  T const* cosines;
  T* of_columns;
  T const* inverse_q;
  T const* inverse_k;
  T const* temperature;
  Index heads, d;
  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index matrix) const {
    using Value = typename Row::Value;
    row.for_columns(d, [&](auto lanes, Index j) {
      Value sum(T(0));
      Value const factor = lanes.load(inverse_k + matrix * d + j) * Value(temperature[matrix % heads]);
      for (Index i = matrix * d; i < (matrix + 1) * d; ++i) {
        Value const d_score = lanes.load(d_scores + i * d + j);
        sum += d_score * lanes.load(cosines + i * d + j);
        lanes.store(d_scores + i * d + j, d_score * factor * Value(inverse_q[i]));
      }
      lanes.store(of_columns + matrix * d + j, sum);
    });
  }
};

/// forward: score = temperature(h) cosine; hence d_temperature(h) += sum d_score cosine.
template <class T>
struct PullTemperature {
  T const* of_rows;  // (B, H, d)
  T* d_temperature;
  Index batch, heads, d;
  ATTN_FUNCTION void operator()(Index h) const {
    T sum = 0;
    for (Index b = 0; b < batch; ++b) {
      for (Index i = 0; i < d; ++i) sum += of_rows[(b * heads + h) * d + i];
    }
    d_temperature[h] += sum;
  }
};

/// forward: cosine = (q_i / |q_i|).(k_j / |k_j|); hence d_q_i -= q_i / |q_i|^2 sum_j d_cosine_ij cosine_ij, where |q_i|
/// is not too small to matter. The same for k.
template <class T, class Memory>
struct PullLengths {
  Tensor<T const, 3, Memory> x;
  Tensor<T, 3, Memory> d_x;
  T const* inverse;   // (B, C)
  T const* products;  // (B, C): of scores, so that temperatures are due
  T const* temperature;
  Index d;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index c) const {
    using Value = typename Lanes::Value;
    Index const b = row / x.extent(1), n = row % x.extent(1), at = b * x.extent(2) + c;
    Value const factor = lanes.load(inverse + at);
    Value const temperatures = lanes.generate([&](int lane) { return temperature[(c + lane) / d]; });
    Value const ratio =
        attn::where_greater(Value(T(1 / smallest_channel)), factor, factor * factor * temperatures, Value(T(0)));
    T* const to = d_x.data() + b * d_x.stride(0) + n * d_x.stride(1) + c;
    lanes.store(to, lanes.load(to) - ratio * lanes.load(products + at) *
                                         lanes.load(x.data() + b * x.stride(0) + n * x.stride(1) + c));
  }
};

}  // namespace attn::nn::detail
