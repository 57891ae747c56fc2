/// Depthwise convolutions: one filter for each channel, so that vectors of channels meet vectors of weights.
///
/// On a host, where loads are what such a kernel costs, four neighbouring places share the weights they load, and the
/// taps of a line share the gradient they load.
#pragma once

#include "attn/nn/detail/convolution_direct.hpp"

namespace attn::nn::detail {

/// y = b + sum over taps of w x. Rows are places, columns channels.
template <class T, class R>
struct ConvolveDepthwise {
  ConvolutionShape shape;
  T const* x;
  R const* weight;  // (taps, channels)
  R const* bias;    // may be null
  T* y;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index place, Index column) const {
    using Value = typename Lanes::Value;
    Value sum = bias != nullptr ? lanes.load(bias + column) : Value(R(0));
    shape.sliding.for_pixels_of(place, [&](Index tap, Index pixel) {
      sum += lanes.load(x + pixel * shape.inputs + column) * lanes.load(weight + tap * shape.inputs + column);
    });
    lanes.store(y + place * shape.inputs + column, sum);
  }
};

/// d_x = sum over the places above a pixel of w d_y. Rows are pixels, columns channels.
template <class T, class R>
struct PullBackDepthwise {
  ConvolutionShape shape;
  T const* d_y;
  R const* weight;
  T* d_x;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index pixel, Index column) const {
    using Value = typename Lanes::Value;
    Value sum(R(0));
    shape.sliding.for_places_over(pixel, [&](Index tap, Index place) {
      sum += lanes.load(d_y + place * shape.inputs + column) * lanes.load(weight + tap * shape.inputs + column);
    });
    lanes.store(d_x + pixel * shape.inputs + column, sum);
  }
};

/// The sum over the places of a part of x d_y, for one tap. Rows are (part, tap), columns channels.
template <class T, class R>
struct WeightGradientDepthwise {
  ConvolutionShape shape;
  PartsOfPlaces parts;
  T const* x;
  T const* d_y;
  R* sums;  // (parts, taps, channels)
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const tap = row % shape.taps(), first = row / shape.taps() * parts.places;
    Index const last = first + parts.places < shape.places() ? first + parts.places : shape.places();
    Value sum(R(0));
    for (Index place = first; place < last; ++place) {
      Index const pixel = shape.sliding.pixel_under(place, tap);
      if (pixel < 0) continue;
      sum += lanes.load(x + pixel * shape.inputs + column) * lanes.load(d_y + place * shape.inputs + column);
    }
    lanes.store(sums + row * shape.inputs + column, sum);
  }
};

/// What is the same for all places of one line of the output: which lines of the kernel lie on the map, and which
/// places have all columns of the kernel on it.
struct DepthwiseLine {
  SlidingWindow sliding;
  Index first_row, last_row;        // of the kernel
  Index first_inside, last_inside;  // places
  Index pixel;                      // under tap (0, 0) of place 0; may lie outside

  DepthwiseLine(SlidingWindow const& s, Index line) : sliding(s) {
    Window const& w = s.window;
    Index const top = line % s.output.height * w.stride.height - w.padding.height;
    first_row = top < 0 ? std::min((-top + w.dilation.height - 1) / w.dilation.height, w.kernel.height) : 0;
    last_row = s.input.height > top ? std::min(w.kernel.height, (s.input.height - top - 1) / w.dilation.height + 1) : 0;
    Index const spare = s.input.width - w.reach().width + w.padding.width;  // the last place inside begins here
    first_inside = std::clamp((w.padding.width + w.stride.width - 1) / w.stride.width, Index(0), s.output.width);
    last_inside = spare < 0 ? first_inside : std::clamp(spare / w.stride.width + 1, first_inside, s.output.width);
    pixel = (line / s.output.height * s.input.height + top) * s.input.width - w.padding.width;
  }

  /// The pixel under tap (i, j) of a place of this line.
  Index under(Index place, Index i, Index j) const {
    Window const& w = sliding.window;
    return pixel + i * w.dilation.height * sliding.input.width + place * w.stride.width + j * w.dilation.width;
  }
  /// Whether column `j` of the kernel at `place` is on the map.
  bool holds(Index place, Index j) const {
    Window const& w = sliding.window;
    Index const x = place * w.stride.width - w.padding.width + j * w.dilation.width;
    return x >= 0 && x < sliding.input.width;
  }
};

/// One line of the output on a host. Padding may be negative: the transpose of a convolution of stride 1 is one.
template <class T, class R>
struct HostDepthwiseLine {
  SlidingWindow sliding;
  Index channels;
  T const* x;
  R const* weight;  // of the first tap
  Index step;       // from one tap to the next
  R const* bias;
  T* y;

  void operator()(Index line) const {
    DepthwiseLine const at(sliding, line);
    T* const to = y + line * sliding.output.width * channels;
    Index place = 0;
    for (; place < at.first_inside; ++place) places<1, true>(at, place, to);
    for (; place + 4 <= at.last_inside; place += 4) places<4, false>(at, place, to);
    for (; place < at.last_inside; ++place) places<1, false>(at, place, to);
    for (; place < sliding.output.width; ++place) places<1, true>(at, place, to);
  }

 private:
  template <int Count, bool AtEdge>
  void places(DepthwiseLine const& at, Index place, T* to) const {
    Index const width = sliding.window.kernel.width, next = sliding.window.stride.width * channels;
    Index const next_tap = sliding.window.dilation.width * channels;
    for_lanes<R>(0, channels, [&](auto lanes, Index column) {
      using Value = typename decltype(lanes)::Value;
      Value sums[Count];
      for (Value& sum : sums) sum = bias != nullptr ? lanes.load(bias + column) : Value(R(0));
      for (Index i = at.first_row; i < at.last_row; ++i) {
        R const* w = weight + i * width * step + column;
        T const* from = x + at.under(place, i, 0) * channels + column;
        for (Index j = 0; j < width; ++j, w += step, from += next_tap) {
          if (AtEdge && !at.holds(place, j)) continue;
          Value const factor = lanes.load(w);
#pragma GCC unroll 4
          for (int p = 0; p < Count; ++p) sums[p] += lanes.load(from + p * next) * factor;
        }
      }
#pragma GCC unroll 4
      for (int p = 0; p < Count; ++p) lanes.store(to + (place + p) * channels + column, sums[p]);
    });
  }
};

/// The gradient of the weight from some lines of the output, on a host.
template <class T, class R>
struct HostDepthwiseGradient {
  ConvolutionShape shape;
  Index lines_of_part;
  T const* x;
  T const* d_y;
  R* sums;  // (parts, taps, channels)

  void operator()(Index part) const {
    Index const width = shape.sliding.window.kernel.width;
    for_lanes<R>(0, shape.inputs, [&](auto lanes, Index column) {
      for (Index i = 0; i < shape.sliding.window.kernel.height; ++i) {
        for (Index j = 0; j < width;) {
          Index const count = std::min(Index(4), width - j);
          if (count == 4) taps<4>(lanes, part, i, j, column);
          if (count == 3) taps<3>(lanes, part, i, j, column);
          if (count == 2) taps<2>(lanes, part, i, j, column);
          if (count == 1) taps<1>(lanes, part, i, j, column);
          j += count;
        }
      }
    });
  }

 private:
  /// Taps (i, j), (i, j + 1), ...
  template <int Count, class Lanes>
  void taps(Lanes lanes, Index part, Index i, Index j, Index column) const {
    using Value = typename Lanes::Value;
    SlidingWindow const& s = shape.sliding;
    Index const channels = shape.inputs, next = s.window.dilation.width * channels;
    Value totals[Count];
    for (Value& total : totals) total = Value(R(0));
    Index const last = std::min(shape.batch * s.output.height, (part + 1) * lines_of_part);
    for (Index line = part * lines_of_part; line < last; ++line) {
      DepthwiseLine const at(s, line);
      if (i < at.first_row || i >= at.last_row) continue;
      T const* const d = d_y + line * s.output.width * channels + column;
      auto const edge = [&](Index place) {
        for (int t = 0; t < Count; ++t) {
          if (!at.holds(place, j + t)) continue;
          totals[t] += lanes.load(x + at.under(place, i, j + t) * channels + column) * lanes.load(d + place * channels);
        }
      };
      for (Index place = 0; place < at.first_inside; ++place) edge(place);
      Value inside[Count];
      for (Value& sum : inside) sum = Value(R(0));
      for (Index place = at.first_inside; place < at.last_inside; ++place) {
        Value const gradient = lanes.load(d + place * channels);
        T const* const from = x + at.under(place, i, j) * channels + column;
#pragma GCC unroll 4
        for (int t = 0; t < Count; ++t) inside[t] += lanes.load(from + t * next) * gradient;
      }
      for (int t = 0; t < Count; ++t) totals[t] += inside[t];
      for (Index place = at.last_inside; place < s.output.width; ++place) edge(place);
    }
    Index const tap = i * s.window.kernel.width + j;
    for (int t = 0; t < Count; ++t) lanes.store(sums + (part * shape.taps() + tap + t) * channels + column, totals[t]);
  }
};

template <class Ctx, class T, class R>
void convolve_depthwise(Ctx& ctx, ConvolutionShape const& s, T const* x, R const* weight, R const* bias, T* y) {
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  R const* const packed = packed_weight(ctx, s, weight, Last::outputs);
  if constexpr (HostExecutionSpace<typename Ctx::Space>) {
    for_blocks(ctx.exec, "attn::Convolution::depthwise", s.batch * s.sliding.output.height,
               HostDepthwiseLine<T, R>{s.sliding, s.inputs, x, packed, s.inputs, bias, y});
  } else {
    elementwise<T>(ctx.exec, "attn::Convolution::depthwise", s.places(), s.inputs,
                   ConvolveDepthwise<T, R>{s, x, packed, bias, y});
  }
}

template <class Ctx, class T, class R>
void pull_back_depthwise(Ctx& ctx, ConvolutionShape const& s, T const* d_y, R const* weight, T* d_x) {
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  R const* const packed = packed_weight(ctx, s, weight, Last::outputs);
  if (HostExecutionSpace<typename Ctx::Space> && s.sliding.window.stride == Size2(1)) {
    // forward: y_p += w_t x_(p - padding + t); hence d_x_q += w_t d_y_(q + padding - t), with t counted from the end a
    // convolution of d_y whose padding is reach - 1 - padding.
    Window flipped = s.sliding.window;
    flipped.padding = {flipped.reach().height - 1 - flipped.padding.height,
                       flipped.reach().width - 1 - flipped.padding.width};
    if constexpr (HostExecutionSpace<typename Ctx::Space>) {
      for_blocks(ctx.exec, "attn::Convolution::depthwise_backward", s.batch * s.sliding.input.height,
                 HostDepthwiseLine<T, R>{{flipped, s.sliding.output, s.sliding.input},
                                         s.inputs,
                                         d_y,
                                         packed + (s.taps() - 1) * s.inputs,
                                         -s.inputs,
                                         nullptr,
                                         d_x});
    }
  } else {
    elementwise<T>(ctx.exec, "attn::Convolution::depthwise_backward", s.input_pixels(), s.inputs,
                   PullBackDepthwise<T, R>{s, d_y, packed, d_x});
  }
}

template <class Ctx, class T, class R>
void add_weight_gradient_depthwise(Ctx& ctx, ConvolutionShape const& s, T const* x, T const* d_y, R* d_weight) {
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  if constexpr (HostExecutionSpace<typename Ctx::Space>) {
    PartsOfPlaces const lines(s.batch * s.sliding.output.height, 16, Index(1) + Index(256) / s.sliding.output.width);
    auto const sums = ctx.template tensor<R>(lines.count, s.weights());
    for_blocks(ctx.exec, "attn::Convolution::depthwise_gradient", lines.count,
               HostDepthwiseGradient<T, R>{s, lines.places, x, d_y, sums.data()});
    add_parts_of_gradient(ctx, s, sums.data(), lines.count, d_weight);
  } else {
    PartsOfPlaces const parts(s.places(), 256, 64);
    auto const sums = ctx.template tensor<R>(parts.count, s.weights());
    elementwise<T>(ctx.exec, "attn::Convolution::depthwise_gradient", parts.count * s.taps(), s.inputs,
                   WeightGradientDepthwise<T, R>{s, parts, x, d_y, sums.data()});
    add_parts_of_gradient(ctx, s, sums.data(), parts.count, d_weight);
  }
}

}  // namespace attn::nn::detail
