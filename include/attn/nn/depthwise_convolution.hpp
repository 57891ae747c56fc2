/// DepthwiseConvolution: one filter for each head, along the positions of packed sequences.
#pragma once

#include "attn/nn/module.hpp"
#include "attn/nn/packed_sequences.hpp"

namespace attn::nn {

namespace detail {

/// Rows of the same sequence at most `reach` rows away: all tokens at most `reach` positions away are among them.
struct RowWindow {
  Index first, last;
};
template <class Memory>
ATTN_FUNCTION RowWindow row_window(PackedSequences<Memory> const& s, Index row, Index reach) {
  int const b = s.sequence_of(row);
  Index const begin = s.offsets(b), end = s.offsets(b + 1);
  return {row - reach < begin ? begin : row - reach, row + reach + 1 > end ? end : row + reach + 1};
}

/// y_r += sum_j w[direction (position_j - position_r) + reach] x_j. Rows of the loop are (row, head).
template <class T, class Memory>
struct Convolve {
  PackedSequences<Memory> sequences;
  T const* x;
  T const* add;  // y = add + ...
  T* y;
  T const* weight;  // (heads, taps)
  Index heads, width, reach;
  int direction;

  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row_of_head, Index column) const {
    using Value = typename Lanes::Value;
    Index const row = row_of_head / heads, head = row_of_head % heads, stride = heads * width;
    T const* const w = weight + head * (2 * reach + 1) + reach;
    Index const offset = head * width + column;
    auto const [first, last] = row_window(sequences, row, reach);
    int const position = sequences.position_of(row);
    Value sum = lanes.load(add + row * stride + offset);
    for (Index j = first; j < last; ++j) {
      Index const away = direction * (sequences.position_of(j) - position);
      if (away < -reach || away > reach) continue;
      sum += Value(w[away]) * lanes.load(x + j * stride + offset);
    }
    lanes.store(y + row * stride + offset, sum);
  }
};

/// How many partial sums stand for one number: those of the lanes of a vector on a host.
template <class T, class Memory>
inline constexpr Index kept_lanes = std::is_same_v<Memory, Kokkos::HostSpace> ? Pack<T>::width : 1;

/// parts[part][head][tap] = sum over the rows r of a part of <d_y_r, x_(r at that tap)>, as `kept_lanes` summands.
template <class T, class Memory>
struct ConvolutionGradient {
  PackedSequences<Memory> sequences;
  T const* x;
  T const* d_y;
  T* parts;
  Index heads, width, reach, rows_of_part;

  ATTN_FUNCTION void operator()(Index part_of_head) const {
    constexpr Index kept = kept_lanes<T, Memory>;
    Index const part = part_of_head / heads, head = part_of_head % heads, stride = heads * width;
    T* const sums = parts + part_of_head * (2 * reach + 1) * kept;
    for (Index t = 0; t < (2 * reach + 1) * kept; ++t) sums[t] = T(0);
    Index const first_row = part * rows_of_part;
    Index const last_row = first_row + rows_of_part < sequences.rows() ? first_row + rows_of_part : sequences.rows();
    for (Index row = first_row; row < last_row; ++row) {
      auto const [first, last] = row_window(sequences, row, reach);
      T const* const d = d_y + row * stride + head * width;
      for (Index j = first; j < last; ++j) {
        Index const away = sequences.position_of(j) - sequences.position_of(row);
        if (away < -reach || away > reach) continue;
        add_product(d, x + j * stride + head * width, sums + (away + reach) * kept);
      }
    }
  }

 private:
  ATTN_FUNCTION void add_product(T const* a, T const* b, T* to) const {
    if constexpr (kept_lanes<T, Memory> == 1) {
      for (Index i = 0; i < width; ++i) *to += a[i] * b[i];
    } else {
      auto sum = Pack<T>::load(to);
      for_lanes<T>(0, width, [&](auto l, Index i) { sum += l.load(a + i) * l.load(b + i); });
      sum.store(to);
    }
  }
};

/// to[i] += the sum of all parts of number i.
template <class T>
struct SumParts {
  T const* parts;
  T* to;
  Index count, size, kept;
  ATTN_FUNCTION void operator()(Index i) const {
    T sum = 0;
    for (Index p = 0; p < count; ++p) {
      for (Index lane = 0; lane < kept; ++lane) sum += parts[(p * size + i) * kept + lane];
    }
    to[i] += sum;
  }
};

}  // namespace detail

/// y_r = add_r + sum_t w[head][t] x at the position of r + t - taps / 2, without a bias; hidden tokens are zeros. The
/// parameter is weight (heads, 1, taps, 1), as in a two-dimensional convolution with groups. 2 taps flops an element.
class DepthwiseConvolution {
 public:
  struct Config {
    Index heads = 1;
    Index width = 0;  ///< of a head
    Index taps = 35;  ///< odd
  };

  DepthwiseConvolution(Builder const& builder, Config const& config) : config_(config) {
    ATTN_CHECK(config.taps % 2 == 1 && config.taps > 0, "DepthwiseConvolution: give an odd number of taps, got ",
               config.taps);
    weight_ = builder.add<4>("weight", {config.heads, 1, config.taps, 1}, fan_in_uniform(config.taps));
  }

  /// x, add (rows, heads width), contiguous -> y of the same shape.
  template <class Ctx>
  TensorOf<Ctx, 2> forward(Ctx& ctx, PackedSequences<typename Ctx::MemorySpace> const& sequences,
                           ConstTensorOf<Ctx, 2> x, ConstTensorOf<Ctx, 2> add) const {
    auto const y = ctx.tensor(x.extents());
    convolve(ctx, sequences, x, add, y, 1);
    return y;
  }

  /// Adds the gradient of x to d_x, and that of the weight to its place.
  template <class Ctx>
  void backward_add(Ctx& ctx, PackedSequences<typename Ctx::MemorySpace> const& sequences, ConstTensorOf<Ctx, 2> x,
                    ConstTensorOf<Ctx, 2> d_y, TensorOf<Ctx, 2> d_x) const {
    using T = typename Ctx::Scalar;
    using Memory = typename Ctx::MemorySpace;
    if (x.size() == 0) return;
    // forward: y_r += w[p_j - p_r] x_j; hence d_x_j += w[p_j - p_r] d_y_r
    convolve(ctx, sequences, d_y, d_x, d_x, -1);
    typename Workspace<Memory>::Scope const scope(ctx.workspace);
    Index const rows_of_part = std::max(Index(128), (x.extent(0) + 63) / 64);
    Index const parts = (x.extent(0) + rows_of_part - 1) / rows_of_part, size = config_.heads * config_.taps;
    constexpr Index kept = detail::kept_lanes<T, Memory>;
    auto const partial = ctx.tensor(parts, size, kept);
    using Range = Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>, Kokkos::Schedule<Kokkos::Dynamic>>;
    attn::launch("attn::DepthwiseConvolution::gradient",
                 Range(ctx.exec, 0, parts * config_.heads, Kokkos::ChunkSize(1)),
                 detail::ConvolutionGradient<T, Memory>{sequences, x.data(), d_y.data(), partial.data(), config_.heads,
                                                        config_.width, config_.taps / 2, rows_of_part});
    attn::launch("attn::DepthwiseConvolution::sum", Range(ctx.exec, 0, size),
                 detail::SumParts<T>{partial.data(), ctx.parameters.gradient(weight_).data(), parts, size, kept});
  }

 private:
  template <class Ctx>
  void convolve(Ctx& ctx, PackedSequences<typename Ctx::MemorySpace> const& sequences, ConstTensorOf<Ctx, 2> x,
                ConstTensorOf<Ctx, 2> add, TensorOf<Ctx, 2> y, int direction) const {
    using T = typename Ctx::Scalar;
    elementwise<T>(ctx.exec, "attn::DepthwiseConvolution", x.extent(0) * config_.heads, config_.width,
                   detail::Convolve<T, typename Ctx::MemorySpace>{sequences, x.data(), add.data(), y.data(),
                                                                  ctx.parameters.value(weight_).data(), config_.heads,
                                                                  config_.width, config_.taps / 2, direction});
  }

  Config config_;
  Parameter<4> weight_;
};

}  // namespace attn::nn
