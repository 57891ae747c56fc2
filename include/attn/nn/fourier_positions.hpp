/// FourierPositions: sines and cosines of where a pixel lies in a feature map of any size.
#pragma once

#include "attn/nn/feature_maps.hpp"
#include "attn/nn/linear.hpp"

#include <numbers>

namespace attn::nn {

namespace detail {

/// features (height width, 4 pairs): of row and column, a sine and a cosine at each of `pairs` frequencies. With
/// v = 2 pi (y + 1) / (height + 1e-6), sin(v / 10000^(i / pairs)) and cos(v / 10000^(i / pairs)) lie side by side.
template <class T>
struct FourierFeatures {
  T* features;
  Size2 map;
  Index pairs;
  ATTN_FUNCTION void operator()(Index i) const {
    Index const frequency = i % (2 * pairs) / 2, pixel = i / (4 * pairs);
    bool const of_row = i % (4 * pairs) < 2 * pairs, is_sine = i % 2 == 0;
    Index const place = of_row ? pixel / map.width : pixel % map.width, places = of_row ? map.height : map.width;
    double const v = 2 * std::numbers::pi * double(place + 1) / (double(places) + 1e-6);
    double const angle = v / Kokkos::pow(10000.0, double(frequency) / double(pairs));
    features[i] = T(is_sine ? Kokkos::sin(angle) : Kokkos::cos(angle));
  }
};

/// y_b = x_b + added. Rows are (sample, pixel).
template <class T, class Added = T>
struct AddToSamples {
  T const* x;
  Added const* added;
  T* y;
  Index pixels, width;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const at = row * width + column;
    lanes.store(y + at, lanes.load(x + at) + lanes.load(added + row % pixels * width + column));
  }
};

/// to = the sum of x_b over the samples b. Rows are pixels.
template <class T>
struct SumOfSamples {
  T const* x;
  T* to;
  Index batch, pixels, width;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index pixel, Index column) const {
    Index const at = pixel * width + column;
    typename Lanes::Value sum(RealOf<typename Lanes::Value>(0));
    for (Index b = 0; b < batch; ++b) sum += lanes.load(x + b * pixels * width + at);
    lanes.store(to + at, sum);
  }
};

}  // namespace detail

/// x (B, H, W, C) -> y = x + a linear map of the features of each pixel's row and column (XCiT; El-Nouby et al. 2021).
/// H and W may change from call to call. Parameters token_projection.weight (C, 2 features, 1, 1), as timm's 1 x 1
/// convolution has it, and token_projection.bias; like timm's positions they do not decay.
class FourierPositions {
 public:
  struct Config {
    Index width = 0;
    Index features = 32;  ///< of a row, and of a column; even
  };

  template <class Ctx>
  struct Tape {
    TensorOf<Ctx, 2> features;  // (H W, 2 features)
    Index batch = 0;
  };

  FourierPositions(Builder const& builder, Config const& c)
      : features_(checked(c)), projection_(projection(builder / "token_projection", c)) {}

  template <class Ctx, FeatureMaps X>
  Forward<MapsOf<Ctx>, Tape<Ctx>> forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    static_assert(Real<AccumulatorOf<T>>, "FourierPositions: compute in a context of reals, not of jets");
    ConstMapsOf<Ctx> const input = x;
    Index const width = projection_.outputs(), pixels = map_size(input).area();
    ATTN_CHECK(input.extent(3) == width && input.is_contiguous(),
               "FourierPositions::forward: give contiguous maps (B, H, W, ", width, "), got width ", input.extent(3));
    auto const y = ctx.tensor(input.extents());
    typename Ctx::Scratch const scratch(ctx);
    auto const features = ctx.tensor(pixels, 2 * features_);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const added = ctx.tensor(pixels, width);
    attn::launch("attn::FourierPositions::features",
                 Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, features.size()),
                 detail::FourierFeatures<T>{features.data(), map_size(input), features_ / 2});
    projection_.multiply(ctx, features, added);
    elementwise<T>(ctx.exec, "attn::FourierPositions", input.extent(0) * pixels, width,
                   detail::AddToSamples<T>{input.data(), added.data(), y.data(), pixels, width});
    return {y, ctx.keeps_tape() ? Tape<Ctx>{features, input.extent(0)} : Tape<Ctx>{}};
  }

  /// The gradient of x is that of y.
  template <class Ctx>
  ConstMapsOf<Ctx> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstMapsOf<Ctx> d_y) const {
    using T = typename Ctx::Scalar;
    detail::check_tape("FourierPositions::backward", tape.features);
    Index const width = projection_.outputs(), pixels = tape.features.extent(0);
    ATTN_CHECK(
        d_y.extent(0) == tape.batch && map_size(d_y).area() == pixels && d_y.extent(3) == width && d_y.is_contiguous(),
        "FourierPositions::backward: give d_y the shape of y");
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_added = ctx.tensor(pixels, width);
    elementwise<T>(ctx.exec, "attn::FourierPositions::backward", pixels, width,
                   detail::SumOfSamples<T>{d_y.data(), d_added.data(), tape.batch, pixels, width});
    projection_.add_gradients(ctx, ConstTensorOf<Ctx, 2>(tape.features), ConstTensorOf<Ctx, 2>(d_added));
    return d_y;
  }

 private:
  static Index checked(Config const& c) {
    ATTN_CHECK(c.width > 0 && c.features > 0 && c.features % 2 == 0,
               "FourierPositions: give a positive width and an even number of features, got ", c.width, " and ",
               c.features);
    return c.features;
  }

  static Linear projection(Builder const& builder, Config const& c) {
    Index const inputs = 2 * c.features;
    auto const weight = builder.add<4>("weight", {c.width, inputs, 1, 1}, fan_in_uniform(inputs), {.decays = false});
    auto const bias = builder.add<1>("bias", {c.width}, fan_in_uniform(inputs));
    return Linear({.inputs = inputs, .outputs = c.width}, {weight.offset, {c.width, inputs}}, bias);
  }

  Index features_;
  Linear projection_;
};

}  // namespace attn::nn
