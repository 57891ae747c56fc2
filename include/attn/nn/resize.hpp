/// Resize: feature maps of another height and width.
#pragma once

#include "attn/core/resampling.hpp"
#include "attn/nn/feature_maps.hpp"

namespace attn::nn {

namespace detail {

/// The samples and weights of one axis, in memory.
template <class R>
struct ResamplingTable {
  Index const* first;
  R const* weights;  // (output, taps)
  Index taps, output;

  struct Range {
    Index first, last;
  };
  /// The numbers of the output that sample `j` of the input is part of: `first` never decreases.
  ATTN_FUNCTION Range outputs_of(Index j) const { return {first_beyond(j - taps), first_beyond(j)}; }
  ATTN_FUNCTION R weight(Index i, Index j) const { return weights[i * taps + j - first[i]]; }

 private:
  /// The least i with first[i] > j.
  ATTN_FUNCTION Index first_beyond(Index j) const {
    Index low = 0, high = output;
    while (low < high) {
      Index const middle = (low + high) / 2;
      if (first[middle] > j) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
};

template <class R>
struct FillResamplingTable {
  ResamplingAxis axis;
  Index* first;
  R* weights;
  ATTN_FUNCTION void operator()(Index i) const { first[i] = axis.weights_of(i, weights + i * axis.taps); }
};

/// y = sum of the samples around. Rows are pixels of y, columns channels.
template <class T, class R>
struct ResizeMaps {
  ResamplingTable<R> down, across;
  Size2 input;
  Index channels;
  T const* x;
  T* y;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const j = row % across.output, line = row / across.output, i = line % down.output;
    Index const top = line / down.output * input.height + down.first[i];
    Value sum(R(0));
    for (Index u = 0; u < down.taps; ++u) {
      T const* const from = x + ((top + u) * input.width + across.first[j]) * channels + column;
      Value of_line(R(0));
      for (Index v = 0; v < across.taps; ++v) {
        of_line += Value(across.weights[j * across.taps + v]) * lanes.load(from + v * channels);
      }
      sum += Value(down.weights[i * down.taps + u]) * of_line;
    }
    lanes.store(y + row * channels + column, sum);
  }
};

/// forward: y_i += w_ij x_j; hence d_x_j = sum over i of w_ij d_y_i. Rows are pixels of x.
template <class T, class R>
struct ResizeMapsBackward {
  ResamplingTable<R> down, across;
  Size2 input;
  Index channels;
  T const* d_y;
  T* d_x;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const j = row % input.width, line = row / input.width, i = line % input.height;
    auto const lines = down.outputs_of(i), places = across.outputs_of(j);
    Value sum(R(0));
    for (Index u = lines.first; u < lines.last; ++u) {
      T const* const from = d_y + (line / input.height * down.output + u) * across.output * channels + column;
      Value of_line(R(0));
      for (Index v = places.first; v < places.last; ++v) {
        of_line += Value(across.weight(v, j)) * lanes.load(from + v * channels);
      }
      sum += Value(down.weight(u, i)) * of_line;
    }
    lanes.store(d_x + row * channels + column, sum);
  }
};

}  // namespace detail

/// x (B, H, W, C) -> y (B, H', W', C): nearest, bilinear or bicubic, as PyTorch's `interpolate` computes them with
/// `align_corners=False`; `antialias` smooths maps that shrink. O(taps^2) for an element, see core/resampling.hpp.
class Resize {
 public:
  struct Config {
    Size2 size = 0;    ///< of y; 0: `factor` times that of x
    Size2 factor = 2;  ///< where `size` is 0
    Resampling method = Resampling::nearest;
    bool antialias = false;
  };

  struct Tape {
    Extents<4> extents{};  // of x
  };

  Resize() : Resize(Config()) {}
  explicit Resize(Config const& c) : config_(c) {
    ATTN_CHECK(
        (c.size.height > 0 && c.size.width > 0) || (c.size == Size2(0) && c.factor.height > 0 && c.factor.width > 0),
        "Resize: give a positive size or factor, got ", c.size.height, " x ", c.size.width, " and ", c.factor.height,
        " x ", c.factor.width);
    ATTN_CHECK(!c.antialias || c.method != Resampling::nearest,
               "Resize: choose bilinear or bicubic where antialias is on");
  }

  Size2 output_size(Size2 maps) const {
    if (config_.size.height > 0) return config_.size;
    return {config_.factor.height * maps.height, config_.factor.width * maps.width};
  }

  template <class Ctx, FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    ConstMapsOf<Ctx> const input = x;
    ATTN_CHECK(input.extent(1) > 0 && input.extent(2) > 0 && input.is_contiguous(),
               "Resize::forward: give contiguous maps (B, H, W, C) of at least one pixel, got (", input.extent(0), ", ",
               input.extent(1), ", ", input.extent(2), ", ", input.extent(3), ")");
    Size2 const from = map_size(input), to = output_size(from);
    auto const y = ctx.tensor(input.extent(0), to.height, to.width, input.extent(3));
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const source = real_rows(input.rows());
    auto const result = real_rows(y.rows());
    using T = typename decltype(result)::Scalar;
    elementwise<T>(
        ctx.exec, "attn::Resize", result.extent(0), result.extent(1),
        detail::ResizeMaps<T, typename Ctx::Real>{table(ctx, from.height, to.height), table(ctx, from.width, to.width),
                                                  from, input.extent(3), source.data(), result.data()});
    return Forward<MapsOf<Ctx>, Tape>{y, {input.extents()}};
  }

  template <class Ctx>
  MapsOf<Ctx> backward(Ctx& ctx, Tape&& tape, ConstMapsOf<Ctx> d_y) const {
    Size2 const from{tape.extents[1], tape.extents[2]}, to = output_size(from);
    ATTN_CHECK(
        d_y.extents() == (Extents<4>{tape.extents[0], to.height, to.width, tape.extents[3]}) && d_y.is_contiguous(),
        "Resize::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(tape.extents);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const source = real_rows(d_y.rows());
    auto const result = real_rows(d_x.rows());
    using T = typename decltype(result)::Scalar;
    elementwise<T>(ctx.exec, "attn::Resize::backward", result.extent(0), result.extent(1),
                   detail::ResizeMapsBackward<T, typename Ctx::Real>{table(ctx, from.height, to.height),
                                                                     table(ctx, from.width, to.width), from,
                                                                     tape.extents[3], source.data(), result.data()});
    return d_x;
  }

 private:
  template <class Ctx>
  detail::ResamplingTable<typename Ctx::Real> table(Ctx& ctx, Index from, Index to) const {
    using R = typename Ctx::Real;
    ResamplingAxis const axis(config_.method, from, to, config_.antialias);
    auto const first = ctx.template tensor<Index>(to);
    auto const weights = ctx.template tensor<R>(to, axis.taps);
    attn::launch("attn::Resize::table",
                 Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, to),
                 detail::FillResamplingTable<R>{axis, first.data(), weights.data()});
    return {first.data(), weights.data(), axis.taps, to};
  }

  Config config_;
};

}  // namespace attn::nn
