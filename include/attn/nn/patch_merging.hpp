/// PatchMerging: four neighbours of a feature map become one pixel (Liu et al. 2021, Swin).
#pragma once

#include "attn/nn/feature_maps.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/linear.hpp"

namespace attn::nn {

namespace detail {

/// A map of height x width pixels of C channels, and that of half its sides (rounded up) and 4 C channels: part 2 j + i
/// of a pixel there is the pixel (2 y + i, 2 x + j) here; zeros behind an edge.
struct MergedPixels {
  Index height = 0, width = 0, channels = 0;

  ATTN_FUNCTION Index down() const { return (height + 1) / 2; }
  ATTN_FUNCTION Index across() const { return (width + 1) / 2; }
  /// The pixel here, counted through the batch, of part `part` of merged pixel `merged`; -1 behind an edge.
  ATTN_FUNCTION Index source(Index merged, Index part) const {
    Index const line = merged / across(), y = line % down() * 2 + part % 2, x = merged % across() * 2 + part / 2;
    return y < height && x < width ? (line / down() * height + y) * width + x : -1;
  }
};

/// to(merged pixel, part, channel), a row (merged pixel, part) at a time.
template <class T>
struct MergePixels {
  MergedPixels pixels;
  T const* from;
  T* to;

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    using Value = typename Row::Value;
    Index const source = pixels.source(i / 4, i % 4), c = pixels.channels;
    row.for_columns(c, [&](auto lanes, Index j) {
      lanes.store(to + i * c + j, source < 0 ? Value(RealOf<Value>(0)) : lanes.load(from + source * c + j));
    });
  }
};

/// And back: each pixel is a part of one merged pixel.
template <class T>
struct SplitPixels {
  MergedPixels pixels;
  T const* from;
  T* to;

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    Index const source = pixels.source(i / 4, i % 4), c = pixels.channels;
    if (source < 0) return;
    row.for_columns(c, [&](auto lanes, Index j) { lanes.store(to + source * c + j, lanes.load(from + i * c + j)); });
  }
};

}  // namespace detail

/// x (B, H, W, C) -> y (B, ceil(H / 2), ceil(W / 2), outputs) = reduction(norm(the pixels (0, 0), (1, 0), (0, 1) and
/// (1, 1) of a square of four, side by side)). Parameters norm.weight and norm.bias (4 C), reduction.weight (outputs, 4
/// C).
class PatchMerging {
 public:
  struct Config {
    Index width = 0;    ///< C
    Index outputs = 0;  ///< 0: 2 C
    double epsilon = 1e-5;
  };

  template <class Ctx>
  struct Tape {
    Extents<4> extents{};  // of x
    LayerNorm::Tape<ConstMapsOf<Ctx>, Tensor<AccumulatorOf<typename Ctx::Scalar>, 2, typename Ctx::MemorySpace>> norm;
    ConstMapsOf<Ctx> normal;  // (B, ceil(H / 2), ceil(W / 2), 4 C)
  };

  PatchMerging(Builder const& builder, Config const& c)
      : norm_(builder / "norm", {.width = 4 * c.width, .epsilon = c.epsilon}),
        reduction_(builder / "reduction",
                   {.inputs = 4 * c.width, .outputs = c.outputs == 0 ? 2 * c.width : c.outputs, .bias = false}) {}

  template <class Ctx, FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    static_assert(Real<AccumulatorOf<T>>, "PatchMerging: compute in a context of reals, not of jets");
    ConstMapsOf<Ctx> const input = x;
    ATTN_CHECK(4 * input.extent(3) == reduction_.inputs() && input.is_contiguous(),
               "PatchMerging::forward: give contiguous maps (B, H, W, ", reduction_.inputs() / 4, "), got (",
               input.extent(0), ", ", input.extent(1), ", ", input.extent(2), ", ", input.extent(3), ")");
    auto const pixels = pixels_of(input.extents());
    auto const y = ctx.tensor(input.extent(0), pixels.down(), pixels.across(), reduction_.outputs());
    typename Ctx::Scratch const scratch(ctx);
    auto const merged = ctx.tensor(with_width(y.extents(), reduction_.inputs()));
    for_rows<T>(ctx.exec, "attn::PatchMerging", merged.size() / pixels.channels, pixels.channels,
                detail::MergePixels<T>{pixels, input.data(), merged.data()});
    auto [normal, norm] = norm_.forward(ctx, ConstMapsOf<Ctx>(merged));
    reduction_.multiply(ctx, normal.rows(), y.rows());
    return Forward<MapsOf<Ctx>, Tape<Ctx>>{y,
                                           ctx.keeps_tape() ? Tape<Ctx>{input.extents(), norm, normal} : Tape<Ctx>{}};
  }

  template <class Ctx>
  MapsOf<Ctx> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstMapsOf<Ctx> d_y) const {
    using T = typename Ctx::Scalar;
    detail::check_tape("PatchMerging::backward", tape.normal);
    ATTN_CHECK(d_y.extents() == with_width(tape.normal.extents(), reduction_.outputs()) && d_y.is_contiguous(),
               "PatchMerging::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(tape.extents);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_normal = ctx.tensor(tape.normal.extents());
    reduction_.add_gradients(ctx, tape.normal.rows(), d_y.rows());
    reduction_.pull_back(ctx, d_y.rows(), d_normal.rows());
    auto const d_merged = norm_.backward(ctx, std::move(tape.norm), d_normal);
    auto const pixels = pixels_of(tape.extents);
    for_rows<T>(ctx.exec, "attn::PatchMerging::backward", d_merged.size() / pixels.channels, pixels.channels,
                detail::SplitPixels<T>{pixels, d_merged.data(), d_x.data()});
    return d_x;
  }

 private:
  static detail::MergedPixels pixels_of(Extents<4> const& e) { return {e[1], e[2], e[3]}; }

  LayerNorm norm_;
  Linear reduction_;
};

}  // namespace attn::nn
