/// AveragePooling: the mean under a window that slides over feature maps, or of whole maps.
#pragma once

#include "attn/nn/feature_maps.hpp"
#include "attn/nn/pooling.hpp"

namespace attn::nn {

namespace detail {

/// What the sum under a window is divided by.
struct WindowDivisor {
  SlidingWindow sliding;
  bool counts_padding;

  template <class R>
  ATTN_FUNCTION R factor(Index place) const {
    if (counts_padding) return R(1) / R(sliding.window.kernel.area());
    Index const x = place % sliding.output.width, y = place / sliding.output.width % sliding.output.height;
    Window const& w = sliding.window;
    return R(1) / R(pixels(y * w.stride.height - w.padding.height, w.kernel.height, sliding.input.height) *
                    pixels(x * w.stride.width - w.padding.width, w.kernel.width, sliding.input.width));
  }

 private:
  static ATTN_FUNCTION Index pixels(Index first, Index count, Index size) {
    Index const begin = first < 0 ? 0 : first, end = first + count < size ? first + count : size;
    return end - begin;
  }
};

/// Rows are places, columns channels.
template <class T, class R>
struct AveragePool {
  WindowDivisor divisor;
  Index channels;
  T const* x;
  T* y;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index place, Index column) const {
    using Value = typename Lanes::Value;
    Value sum(R(0));
    divisor.sliding.for_pixels_of(place, [&](Index, Index pixel) { sum += lanes.load(x + pixel * channels + column); });
    lanes.store(y + place * channels + column, sum * Value(divisor.factor<R>(place)));
  }
};

/// forward: y_p += x / n_p for each pixel under p; hence d_x = sum over the places above of d_y_p / n_p.
template <class T, class R>
struct AveragePoolBackward {
  WindowDivisor divisor;
  Index channels;
  T const* d_y;
  T* d_x;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index pixel, Index column) const {
    using Value = typename Lanes::Value;
    Value sum(R(0));
    divisor.sliding.for_places_over(pixel, [&](Index, Index place) {
      sum += lanes.load(d_y + place * channels + column) * Value(divisor.factor<R>(place));
    });
    lanes.store(d_x + pixel * channels + column, sum);
  }
};

}  // namespace detail

/// x (B, H, W, C) -> y (B, H', W', C), sizes as those of a convolution.
class AveragePooling {
 public:
  struct Config {
    Size2 kernel = 2;
    Size2 stride = 0;  ///< 0: the kernel
    Size2 padding = 0;
    bool counts_padding = true;  ///< whether the zeros of the padding are part of a mean
  };

  struct Tape {
    Extents<4> extents{};  // of x
  };

  AveragePooling() : AveragePooling(Config()) {}
  explicit AveragePooling(Config const& c)
      : window_{c.kernel, c.stride == Size2(0) ? c.kernel : c.stride, c.padding, 1}, counts_(c.counts_padding) {
    window_.check("AveragePooling");
    ATTN_CHECK(2 * c.padding.height <= c.kernel.height && 2 * c.padding.width <= c.kernel.width,
               "AveragePooling: choose a padding of at most half the kernel, got ", c.padding.height, " x ",
               c.padding.width, " and ", c.kernel.height, " x ", c.kernel.width);
  }

  Size2 output_size(Size2 maps) const { return window_.places("AveragePooling::output_size", maps); }

  template <class Ctx, FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    ConstMapsOf<Ctx> const input = x;
    ATTN_CHECK(input.is_contiguous(), "AveragePooling::forward: copy x into a contiguous tensor first");
    auto const d = divisor("AveragePooling::forward", map_size(input));
    auto const y = ctx.tensor(input.extent(0), d.sliding.output.height, d.sliding.output.width, input.extent(3));
    auto const source = real_rows(input.rows());
    auto const result = real_rows(y.rows());
    using T = typename decltype(result)::Scalar;
    elementwise<T>(ctx.exec, "attn::AveragePooling", result.extent(0), result.extent(1),
                   detail::AveragePool<T, typename Ctx::Real>{d, result.extent(1), source.data(), result.data()});
    return Forward<MapsOf<Ctx>, Tape>{y, {input.extents()}};
  }

  template <class Ctx>
  MapsOf<Ctx> backward(Ctx& ctx, Tape&& tape, ConstMapsOf<Ctx> d_y) const {
    auto const d = divisor("AveragePooling::backward", {tape.extents[1], tape.extents[2]});
    ATTN_CHECK(d_y.extents() == (Extents<4>{tape.extents[0], d.sliding.output.height, d.sliding.output.width,
                                            tape.extents[3]}) &&
                   d_y.is_contiguous(),
               "AveragePooling::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(tape.extents);
    auto const source = real_rows(d_y.rows());
    auto const result = real_rows(d_x.rows());
    using T = typename decltype(result)::Scalar;
    elementwise<T>(
        ctx.exec, "attn::AveragePooling::backward", result.extent(0), result.extent(1),
        detail::AveragePoolBackward<T, typename Ctx::Real>{d, result.extent(1), source.data(), result.data()});
    return d_x;
  }

 private:
  detail::WindowDivisor divisor(char const* function, Size2 maps) const {
    return {{window_, maps, window_.places(function, maps)}, counts_};
  }

  Window window_;
  bool counts_;
};

/// x (B, H, W, C) -> y (B, C): the mean of each map.
class GlobalAveragePooling {
 public:
  struct Tape {
    Extents<4> extents{};  // of x
  };

  template <class Ctx, FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    ConstMapsOf<Ctx> const input = x;
    Index const pixels = map_size(input).area(), channels = input.extent(3);
    ATTN_CHECK(pixels > 0 && input.is_contiguous(),
               "GlobalAveragePooling::forward: give contiguous maps (B, H, W, C) of at least one pixel, got (",
               input.extent(0), ", ", input.extent(1), ", ", input.extent(2), ", ", channels, ")");
    auto const y = ctx.tensor(input.extent(0), channels);
    elementwise<T>(ctx.exec, "attn::GlobalAveragePooling", input.extent(0), channels,
                   detail::PoolTokens<T>{input.data(), y.data(), pixels, channels, 0, pixels});
    return Forward<TensorOf<Ctx, 2>, Tape>{y, {input.extents()}};
  }

  template <class Ctx>
  MapsOf<Ctx> backward(Ctx& ctx, Tape&& tape, ConstTensorOf<Ctx, 2> d_y) const {
    using T = typename Ctx::Scalar;
    Index const pixels = tape.extents[1] * tape.extents[2], channels = tape.extents[3];
    ATTN_CHECK(d_y.extents() == (Extents<2>{tape.extents[0], channels}) && d_y.is_contiguous(),
               "GlobalAveragePooling::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(tape.extents);
    elementwise<T>(ctx.exec, "attn::GlobalAveragePooling::backward", tape.extents[0] * pixels, channels,
                   detail::UnpoolTokens<T>{d_y.data(), d_x.data(), pixels, channels, 0, pixels});
    return d_x;
  }
};

}  // namespace attn::nn
