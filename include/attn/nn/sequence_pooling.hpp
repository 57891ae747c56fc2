/// The mean of each packed sequence over all of its positions, hidden ones included, which count as zeros.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/nn/module.hpp"
#include "attn/nn/packed_sequences.hpp"

namespace attn::nn {

namespace detail {

template <class T>
struct PoolRows {
  T const* x;
  int const* offsets;
  T* y;
  Index width;
  RealOf<T> factor;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index sequence, Index column) const {
    using Value = typename Lanes::Value;
    Value sum(RealOf<T>(0));
    for (int r = offsets[sequence]; r < offsets[sequence + 1]; ++r) sum += lanes.load(x + r * width + column);
    lanes.store(y + sequence * width + column, sum * Value(factor));
  }
};

template <class T>
struct UnpoolRows {
  T const* d_y;
  int const* sequence_of;
  T* d_x;
  Index width;
  RealOf<T> factor;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    lanes.store(d_x + row * width + column, lanes.load(d_y + sequence_of[row] * width + column) * Value(factor));
  }
};

}  // namespace detail

/// x (rows, C) -> y (B, C) = sum of the rows of each sequence / length. A sequence that is half padding has half the
/// mean of its tokens, as in the published code.
template <class Ctx>
TensorOf<Ctx, 2> pool_sequences(Ctx& ctx, PackedSequences<typename Ctx::MemorySpace> const& sequences,
                                ConstTensorOf<Ctx, 2> x) {
  using T = typename Ctx::Scalar;
  using R = typename Ctx::Real;
  auto const y = ctx.tensor(sequences.batch(), x.extent(1));
  elementwise<T>(
      ctx.exec, "attn::pool_sequences", y.extent(0), y.extent(1),
      detail::PoolRows<T>{x.data(), sequences.offsets.data(), y.data(), y.extent(1), R(1) / R(sequences.length)});
  return y;
}

/// The gradient of x from that of y.
template <class Ctx>
TensorOf<Ctx, 2> unpool_sequences(Ctx& ctx, PackedSequences<typename Ctx::MemorySpace> const& sequences,
                                  ConstTensorOf<Ctx, 2> d_y) {
  using T = typename Ctx::Scalar;
  using R = typename Ctx::Real;
  auto const d_x = ctx.tensor(sequences.rows(), d_y.extent(1));
  elementwise<T>(ctx.exec, "attn::unpool_sequences", d_x.extent(0), d_x.extent(1),
                 detail::UnpoolRows<T>{d_y.data(), sequences.sequence_of.data(), d_x.data(), d_x.extent(1),
                                       R(1) / R(sequences.length)});
  return d_x;
}

}  // namespace attn::nn
