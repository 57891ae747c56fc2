/// Convolutions of one group as matrix products: of the maps themselves where each pixel is alone, else of patches,
/// some images at a time.
#pragma once

#include "attn/linalg/gemm.hpp"
#include "attn/nn/detail/convolution_direct.hpp"
#include "attn/nn/linear.hpp"

namespace attn::nn::detail {

/// Each pixel alone: y = x W^T.
inline bool is_pointwise(ConvolutionShape const& s) {
  Window const& w = s.sliding.window;
  return s.groups == 1 && w.kernel == Size2(1) && w.stride == Size2(1) && w.padding == Size2(0);
}

/// patches (places, taps, inputs): the pixels under each window, zero outside of the map. Rows are (place, tap).
template <class T>
struct TakePatches {
  ConvolutionShape shape;
  T const* x;
  T* patches;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const pixel = shape.sliding.pixel_under(row / shape.taps(), row % shape.taps());
    using Value = typename Lanes::Value;
    lanes.store(patches + row * shape.inputs + column,
                pixel < 0 ? Value(RealOf<Value>(0)) : lanes.load(x + pixel * shape.inputs + column));
  }
};

/// The transpose: d_x = the sum of what the patches hold of each pixel. Rows are pixels.
template <class T, class S>
struct AddPatches {
  ConvolutionShape shape;
  S const* patches;
  T* d_x;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index pixel, Index column) const {
    using Value = typename Lanes::Value;
    Value sum(S(0));
    shape.sliding.for_places_over(pixel, [&](Index tap, Index place) {
      sum += lanes.load(patches + (place * shape.taps() + tap) * shape.inputs + column);
    });
    lanes.store(d_x + pixel * shape.inputs + column, sum);
  }
};

template <class T, class Ctx>
Tensor<T, 2, typename Ctx::MemorySpace> matrix_of(Ctx const&, T* data, Index rows, Index columns) {
  return {data, {rows, columns}};
}

/// One convolution, cut into calls of some images whose patches take a bounded memory.
template <class Ctx, class T, class R>
class ConvolutionByGemm {
  using S = AccumulatorOf<T>;

 public:
  ConvolutionByGemm(Ctx& ctx, ConvolutionShape const& s) : ctx_(ctx), s_(s), scope_(ctx.workspace) {
    constexpr Index most = HostExecutionSpace<typename Ctx::Space> ? Index(1) << 20 : Index(1) << 26;
    Index const of_image = s.sliding.output.area() * width();
    images_ = is_pointwise(s) ? s.batch : std::clamp(most / std::max(of_image, Index(1)), Index(1), s.batch);
  }

  void forward(T const* x, R const* weight, R const* bias, T* y) {
    auto const filters = packed(weight);
    for_images([&](ConvolutionShape const& part, Index image) {
      auto const patches = patches_of(part, x + image * s_.sliding.input.area() * s_.inputs);
      auto const to = matrix_of(ctx_, y + image * s_.sliding.output.area() * s_.outputs, part.places(), s_.outputs);
      if (bias == nullptr) return linalg::gemm(ctx_.exec, 1, patches, filters, 0, to);
      auto const addend = converted<T>(ctx_, Tensor<R const, 1, typename Ctx::MemorySpace>(bias, {s_.outputs}));
      linalg::gemm(ctx_.exec, 1, patches, filters, 0, to,
                   AddBias<T>{to.data(), addend.data(), s_.outputs, part.places()});
    });
  }

  void pull_back(T const* d_y, R const* weight, T* d_x) {
    auto const filters = packed(weight).transpose(0, 1);
    for_images([&](ConvolutionShape const& part, Index image) {
      auto const from = matrix_of(ctx_, d_y + image * s_.sliding.output.area() * s_.outputs, part.places(), s_.outputs);
      T* const to = d_x + image * s_.sliding.input.area() * s_.inputs;
      if (is_pointwise(s_)) {
        return linalg::gemm(ctx_.exec, 1, from, filters, 0, matrix_of(ctx_, to, part.places(), s_.inputs));
      }
      auto const patches = ctx_.template tensor<S>(part.places(), width());
      linalg::gemm(ctx_.exec, 1, from, filters, 0, patches);
      elementwise<T>(ctx_.exec, "attn::Convolution::add_patches", part.input_pixels(), s_.inputs,
                     AddPatches<T, S>{part, patches.data(), to});
    });
  }

  void add_weight_gradient(T const* x, T const* d_y, R* d_weight) {
    auto const sums = ctx_.template tensor<S>(width(), s_.outputs);
    for_images([&](ConvolutionShape const& part, Index image) {
      auto const patches = patches_of(part, x + image * s_.sliding.input.area() * s_.inputs);
      auto const from = matrix_of(ctx_, d_y + image * s_.sliding.output.area() * s_.outputs, part.places(), s_.outputs);
      linalg::gemm(ctx_.exec, 1, patches.transpose(0, 1), from, image == 0 ? 0 : 1, sums);
    });
    add_parts_of_gradient(ctx_, s_, sums.data(), 1, d_weight);
  }

 private:
  Index width() const { return s_.taps() * s_.inputs; }

  /// weight as (taps inputs, outputs), in the scalar of the maps.
  Tensor<T const, 2, typename Ctx::MemorySpace> packed(R const* weight) {
    R const* const packed = packed_weight(ctx_, s_, weight, Last::outputs);
    return converted<T>(ctx_, matrix_of(ctx_, packed, width(), s_.outputs));
  }

  /// (places, taps inputs); valid until the next images.
  Tensor<T const, 2, typename Ctx::MemorySpace> patches_of(ConvolutionShape const& part, T const* x) {
    if (is_pointwise(s_)) return matrix_of(ctx_, x, part.places(), s_.inputs);
    auto const patches = ctx_.template tensor<T>(part.places(), width());
    elementwise<T>(ctx_.exec, "attn::Convolution::take_patches", part.places() * s_.taps(), s_.inputs,
                   TakePatches<T>{part, x, patches.data()});
    return patches;
  }

  template <class Body>
  void for_images(Body const& body) {
    for (Index image = 0; image < s_.batch; image += images_) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx_.workspace);
      ConvolutionShape part = s_;
      part.batch = std::min(images_, s_.batch - image);
      body(part, image);
    }
  }

  Ctx& ctx_;
  ConvolutionShape s_;
  typename Workspace<typename Ctx::MemorySpace>::Scope scope_;
  Index images_ = 1;
};

}  // namespace attn::nn::detail
