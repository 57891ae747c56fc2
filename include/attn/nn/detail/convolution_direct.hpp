/// Convolutions written as sums, for any scalar and space: the reference that other kernels agree with, and what runs
/// where none of them does.
///
/// Each kernel gathers: one thread computes one element (on a host, one vector of channels) from all it depends on.
#pragma once

#include "attn/nn/feature_maps.hpp"

namespace attn::nn::detail {

/// A convolution of maps (batch, input, inputs) to maps (batch, output, outputs); its weight is (outputs, inputs of a
/// group, kernel).
struct ConvolutionShape {
  Index batch = 0;
  Index inputs = 0, outputs = 0, groups = 1;
  SlidingWindow sliding;

  ATTN_FUNCTION Index group_inputs() const { return inputs / groups; }
  ATTN_FUNCTION Index group_outputs() const { return outputs / groups; }
  ATTN_FUNCTION Index taps() const { return sliding.window.kernel.area(); }
  ATTN_FUNCTION Index weights() const { return outputs * group_inputs() * taps(); }
  ATTN_FUNCTION Index input_pixels() const { return batch * sliding.input.area(); }
  ATTN_FUNCTION Index places() const { return batch * sliding.output.area(); }
  /// One filter for each channel.
  ATTN_FUNCTION bool is_depthwise() const { return groups == inputs && groups == outputs; }
};

/// How the places of a sum over all of them are cut: a fixed number of parts, none of few places.
struct PartsOfPlaces {
  Index count = 0, places = 1;
  explicit PartsOfPlaces(Index all, Index most = 16, Index least = 256)
      : places(std::max(least, (all + most - 1) / most)) {
    count = (all + places - 1) / places;
  }
};

/// Which of the last two dimensions of a weight (outputs, inputs, taps) comes last, where vectors of it are read.
enum class Last { outputs, inputs };

/// to (taps, inputs, outputs) or (taps, outputs, inputs) = from (outputs, inputs, taps).
template <class R>
struct PackWeight {
  R const* from;
  R* to;
  Index outputs, inputs, taps;
  Last last;
  ATTN_FUNCTION void operator()(Index i) const {
    Index const columns = last == Last::outputs ? outputs : inputs, rows = last == Last::outputs ? inputs : outputs;
    Index const column = i % columns, row = i / columns % rows, tap = i / columns / rows;
    Index const o = last == Last::outputs ? column : row, c = last == Last::outputs ? row : column;
    to[i] = from[(o * inputs + c) * taps + tap];
  }
};

/// y = b + sum over taps and inputs of w x. Rows are (place, group), columns the outputs of the group.
template <class T, class R>
struct ConvolveDirect {
  ConvolutionShape shape;
  T const* x;
  R const* weight;  // (taps, inputs of a group, outputs)
  R const* bias;    // may be null
  T* y;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const place = row / shape.groups, group = row % shape.groups, depth = shape.group_inputs();
    Index const output = group * shape.group_outputs() + column;
    Value sum = bias != nullptr ? lanes.load(bias + output) : Value(R(0));
    shape.sliding.for_pixels_of(place, [&](Index tap, Index pixel) {
      T const* const from = x + pixel * shape.inputs + group * depth;
      R const* const w = weight + tap * depth * shape.outputs + output;
      for (Index i = 0; i < depth; ++i) sum += Value(R(from[i])) * lanes.load(w + i * shape.outputs);
    });
    lanes.store(y + place * shape.outputs + output, sum);
  }
};

/// forward: y_place += w x_pixel; hence d_x_pixel = sum of w d_y_place. Rows are (pixel, group), columns its inputs.
template <class T, class R>
struct PullBackDirect {
  ConvolutionShape shape;
  T const* d_y;
  R const* weight;  // (taps, outputs, inputs of a group)
  T* d_x;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const pixel = row / shape.groups, group = row % shape.groups, depth = shape.group_outputs();
    Index const width = shape.group_inputs();
    Value sum(R(0));
    shape.sliding.for_places_over(pixel, [&](Index tap, Index place) {
      T const* const from = d_y + place * shape.outputs + group * depth;
      R const* const w = weight + (tap * shape.outputs + group * depth) * width + column;
      for (Index o = 0; o < depth; ++o) sum += Value(R(from[o])) * lanes.load(w + o * width);
    });
    lanes.store(d_x + pixel * shape.inputs + group * width + column, sum);
  }
};

/// forward: y_place += w x_pixel; hence d_w = sum over places of x_pixel d_y_place, here over those of one part.
/// Rows are (part, tap, input of a group, group), columns the outputs of the group.
template <class T, class R>
struct WeightGradientDirect {
  ConvolutionShape shape;
  PartsOfPlaces parts;
  T const* x;
  T const* d_y;
  R* sums;  // (parts, taps, inputs of a group, outputs)
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const group = row % shape.groups, row_of_sums = row / shape.groups, depth = shape.group_inputs();
    Index const input = group * depth + row_of_sums % depth, tap = row_of_sums / depth % shape.taps();
    Index const output = group * shape.group_outputs() + column;
    Index const first = row_of_sums / depth / shape.taps() * parts.places;
    Index const last = first + parts.places < shape.places() ? first + parts.places : shape.places();
    Value sum(R(0));
    for (Index place = first; place < last; ++place) {
      Index const pixel = shape.sliding.pixel_under(place, tap);
      if (pixel < 0) continue;
      sum += Value(R(x[pixel * shape.inputs + input])) * lanes.load(d_y + place * shape.outputs + output);
    }
    lanes.store(sums + row_of_sums * shape.outputs + output, sum);
  }
};

/// d_weight (outputs, inputs, taps) += the sum of the parts of sums (parts, taps, inputs, outputs).
template <class R>
struct AddWeightGradient {
  R const* sums;
  R* d_weight;
  Index outputs, inputs, taps, parts;
  ATTN_FUNCTION void operator()(Index i) const {
    Index const tap = i % taps, input = i / taps % inputs, output = i / taps / inputs;
    R const* const from = sums + (tap * inputs + input) * outputs + output;
    R sum = 0;
    for (Index p = 0; p < parts; ++p) sum += from[p * taps * inputs * outputs];
    d_weight[i] += sum;
  }
};

/// weight (outputs, inputs, taps) in the order in which kernels read it, in the workspace.
template <class Ctx, class R>
R const* packed_weight(Ctx& ctx, ConvolutionShape const& s, R const* weight, Last last) {
  auto const packed = ctx.template tensor<R>(s.weights());
  attn::launch("attn::Convolution::pack",
               Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, s.weights()),
               PackWeight<R>{weight, packed.data(), s.outputs, s.group_inputs(), s.taps(), last});
  return packed.data();
}

/// Adds parts of sums that lie as (parts, taps, inputs of a group, outputs).
template <class Ctx, class R>
void add_parts_of_gradient(Ctx& ctx, ConvolutionShape const& s, R const* sums, Index parts, R* d_weight) {
  attn::launch("attn::Convolution::add",
               Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, s.weights()),
               AddWeightGradient<R>{sums, d_weight, s.outputs, s.group_inputs(), s.taps(), parts});
}

/// x (batch, input, inputs), weight, bias (outputs) or null -> y (batch, output, outputs).
template <class Ctx, class T, class R>
void convolve_direct(Ctx& ctx, ConvolutionShape const& s, T const* x, R const* weight, R const* bias, T* y) {
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  R const* const packed = packed_weight(ctx, s, weight, Last::outputs);
  elementwise<T>(ctx.exec, "attn::Convolution", s.places() * s.groups, s.group_outputs(),
                 ConvolveDirect<T, R>{s, x, packed, bias, y});
}

/// The gradient of x from that of y.
template <class Ctx, class T, class R>
void pull_back_direct(Ctx& ctx, ConvolutionShape const& s, T const* d_y, R const* weight, T* d_x) {
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  R const* const packed = packed_weight(ctx, s, weight, Last::inputs);
  elementwise<T>(ctx.exec, "attn::Convolution::backward", s.input_pixels() * s.groups, s.group_inputs(),
                 PullBackDirect<T, R>{s, d_y, packed, d_x});
}

/// Adds the gradient of the weight to `d_weight`.
template <class Ctx, class T, class R>
void add_weight_gradient_direct(Ctx& ctx, ConvolutionShape const& s, T const* x, T const* d_y, R* d_weight) {
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  PartsOfPlaces const parts(s.places());
  auto const sums = ctx.template tensor<R>(parts.count, s.weights());
  elementwise<T>(ctx.exec, "attn::Convolution::weight_gradient", parts.count * s.taps() * s.group_inputs() * s.groups,
                 s.group_outputs(), WeightGradientDirect<T, R>{s, parts, x, d_y, sums.data()});
  add_parts_of_gradient(ctx, s, sums.data(), parts.count, d_weight);
}

}  // namespace attn::nn::detail
