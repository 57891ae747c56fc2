/// MaxPooling: the largest pixel under a window that slides over feature maps.
#pragma once

#include "attn/nn/feature_maps.hpp"

#include <cstdint>
#include <limits>

namespace attn::nn {

namespace detail {

/// y = the largest x under the window, and which tap it was: the first of equal ones. Rows are places.
template <class T>
struct MaxPool {
  SlidingWindow sliding;
  Index channels;
  T const* x;
  T* y;
  std::int16_t* taps;  // may be null
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index place, Index column) const {
    using Value = typename Lanes::Value;
    using R = RealOf<Value>;
    Value best(-std::numeric_limits<R>::infinity()), where(R(-1));
    sliding.for_pixels_of(place, [&](Index tap, Index pixel) {
      Value const candidate = lanes.load(x + pixel * channels + column);
      where = attn::where_largest(candidate, best, Value(R(tap)), where);  // a NaN is the largest
      best = attn::max(best, candidate);
    });
    lanes.store(y + place * channels + column, best);
    if (taps != nullptr) lanes.store(taps + place * channels + column, where);
  }
};

/// d_x = the sum of d_y over the places whose largest pixel this was. Rows are pixels.
template <class T>
struct MaxPoolBackward {
  SlidingWindow sliding;
  Index channels;
  T const* d_y;
  std::int16_t const* taps;
  T* d_x;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index pixel, Index column) const {
    using Value = typename Lanes::Value;
    using R = RealOf<Value>;
    Value sum(R(0));
    sliding.for_places_over(pixel, [&](Index tap, Index place) {
      Value const away = attn::abs(lanes.load(taps + place * channels + column) - Value(R(tap)));
      sum += attn::where_greater(Value(R(0.5)), away, lanes.load(d_y + place * channels + column), Value(R(0)));
    });
    lanes.store(d_x + pixel * channels + column, sum);
  }
};

}  // namespace detail

/// x (B, H, W, C) -> y (B, H', W', C), sizes as those of a convolution; padding is never the largest. The gradient goes
/// to the first of equal pixels. A NaN is the largest.
class MaxPooling {
 public:
  struct Config {
    Size2 kernel = 2;
    Size2 stride = 0;  ///< 0: the kernel
    Size2 padding = 0;
    Size2 dilation = 1;
  };

  template <class Ctx>
  struct Tape {
    Extents<4> extents{};                                                // of x
    Tensor<std::int16_t const, 4, typename Ctx::MemorySpace> taps = {};  // which pixel of each window was largest
  };

  MaxPooling() : MaxPooling(Config()) {}
  explicit MaxPooling(Config const& c)
      : window_{c.kernel, c.stride == Size2(0) ? c.kernel : c.stride, c.padding, c.dilation} {
    window_.check("MaxPooling");
    ATTN_CHECK(2 * c.padding.height <= window_.reach().height && 2 * c.padding.width <= window_.reach().width,
               "MaxPooling: choose a padding of at most half the kernel, got ", c.padding.height, " x ",
               c.padding.width, " and ", c.kernel.height, " x ", c.kernel.width);
    ATTN_CHECK(c.kernel.area() < 32768, "MaxPooling: choose a kernel of fewer than 32768 pixels, got ",
               c.kernel.area());
  }

  Size2 output_size(Size2 maps) const { return window_.places("MaxPooling::output_size", maps); }

  template <class Ctx, FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    ConstMapsOf<Ctx> const input = x;
    ATTN_CHECK(input.is_contiguous(), "MaxPooling::forward: copy x into a contiguous tensor first");
    auto const s = sliding("MaxPooling::forward", map_size(input));
    auto const y = ctx.tensor(input.extent(0), s.output.height, s.output.width, input.extent(3));
    Tensor<std::int16_t, 4, typename Ctx::MemorySpace> taps;
    if (ctx.keeps_tape()) taps = ctx.template tensor<std::int16_t>(y.extents());
    elementwise<T>(ctx.exec, "attn::MaxPooling", y.extent(0) * s.output.area(), y.extent(3),
                   detail::MaxPool<T>{s, y.extent(3), input.data(), y.data(), taps.data()});
    return Forward<MapsOf<Ctx>, Tape<Ctx>>{y, {input.extents(), taps}};
  }

  template <class Ctx>
  MapsOf<Ctx> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstMapsOf<Ctx> d_y) const {
    using T = typename Ctx::Scalar;
    detail::check_tape("MaxPooling::backward", tape.taps);
    ATTN_CHECK(d_y.extents() == tape.taps.extents() && d_y.is_contiguous(),
               "MaxPooling::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(tape.extents);
    auto const s = sliding("MaxPooling::backward", {tape.extents[1], tape.extents[2]});
    elementwise<T>(ctx.exec, "attn::MaxPooling::backward", d_x.extent(0) * s.input.area(), d_x.extent(3),
                   detail::MaxPoolBackward<T>{s, d_x.extent(3), d_y.data(), tape.taps.data(), d_x.data()});
    return d_x;
  }

 private:
  SlidingWindow sliding(char const* function, Size2 maps) const {
    return {window_, maps, window_.places(function, maps)};
  }

  Window window_;
};

}  // namespace attn::nn
