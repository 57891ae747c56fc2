/// Which kernel computes a convolution: of each pass, the fastest that applies.
///
/// | convolution | kernel |
/// |---|---|
/// | one filter for each channel | convolution_depthwise.hpp |
/// | 1 x 1, stride 1, no padding, one group | a matrix product |
/// | any other of floats, on a host with oneDNN | convolution_onednn.hpp |
/// | any other | convolution_direct.hpp |
#pragma once

#include "attn/linalg/gemm.hpp"
#include "attn/linalg/reduce.hpp"
#include "attn/nn/detail/convolution_depthwise.hpp"
#include "attn/nn/detail/convolution_direct.hpp"
#include "attn/nn/detail/convolution_onednn.hpp"
#include "attn/nn/linear.hpp"

namespace attn::nn::detail {

/// Each pixel alone, all channels: y = x W^T.
inline bool is_pointwise(ConvolutionShape const& s) {
  Window const& w = s.sliding.window;
  return s.groups == 1 && w.kernel == Size2(1) && w.stride == Size2(1) && w.padding == Size2(0);
}

#if defined(ATTN_HAVE_ONEDNN)
template <class Ctx, class T>
inline constexpr bool has_onednn_convolution = HostExecutionSpace<typename Ctx::Space>&& std::same_as<T, float>;
#else
template <class Ctx, class T>
inline constexpr bool has_onednn_convolution = false;
#endif

template <class T, class Ctx>
Tensor<T, 2, typename Ctx::MemorySpace> matrix_of(Ctx const&, T* data, Index rows, Index columns) {
  return {data, {rows, columns}};
}

/// x (batch, input, inputs), weight (outputs, inputs of a group, kernel), bias (outputs) or null
/// -> y (batch, output, outputs). 2 outputs taps (inputs of a group) flops a place.
template <class Ctx, class T, class R>
void convolve(Ctx& ctx, ConvolutionShape const& s, T const* x, R const* weight, R const* bias, T* y) {
  ProfilingRegion const region("attn::convolve");
  if (s.places() == 0) return;
  if (s.is_depthwise()) return convolve_depthwise(ctx, s, x, weight, bias, y);
  if constexpr (std::same_as<T, R>) {
    if (is_pointwise(s)) {
      auto const from = matrix_of(ctx, x, s.places(), s.inputs);
      auto const filters = matrix_of(ctx, weight, s.outputs, s.inputs).transpose(0, 1);
      auto const to = matrix_of(ctx, y, s.places(), s.outputs);
      if (bias == nullptr) return linalg::gemm(ctx.exec, 1, from, filters, 0, to);
      return linalg::gemm(ctx.exec, 1, from, filters, 0, to, AddBias<T>{y, bias, s.outputs, s.places()});
    }
  }
#if defined(ATTN_HAVE_ONEDNN)
  if constexpr (has_onednn_convolution<Ctx, T>) {
    if (convolve_onednn(ctx, s, ConvolutionPass::forward, x, weight, bias, y)) return;
  }
#endif
  convolve_direct(ctx, s, x, weight, bias, y);
}

/// The gradient of x from that of y.
template <class Ctx, class T, class R>
void pull_back(Ctx& ctx, ConvolutionShape const& s, T const* d_y, R const* weight, T* d_x) {
  ProfilingRegion const region("attn::convolve::backward");
  if (s.input_pixels() == 0) return;
  if (s.is_depthwise()) return pull_back_depthwise(ctx, s, d_y, weight, d_x);
  if constexpr (std::same_as<T, R>) {
    if (is_pointwise(s)) {
      return linalg::gemm(ctx.exec, 1, matrix_of(ctx, d_y, s.places(), s.outputs),
                          matrix_of(ctx, weight, s.outputs, s.inputs), 0, matrix_of(ctx, d_x, s.places(), s.inputs));
    }
  }
#if defined(ATTN_HAVE_ONEDNN)
  if constexpr (has_onednn_convolution<Ctx, T>) {
    if (convolve_onednn(ctx, s, ConvolutionPass::input_gradient, d_x, weight, nullptr, d_y)) return;
  }
#endif
  pull_back_direct(ctx, s, d_y, weight, d_x);
}

/// Adds the gradient of the weight to `d_weight`.
template <class Ctx, class T, class R>
void add_weight_gradient(Ctx& ctx, ConvolutionShape const& s, T const* x, T const* d_y, R* d_weight) {
  ProfilingRegion const region("attn::convolve::weight_gradient");
  if (s.places() == 0) return;
  if (s.is_depthwise()) return add_weight_gradient_depthwise(ctx, s, x, d_y, d_weight);
  if constexpr (std::same_as<T, R>) {
    if (is_pointwise(s)) {
      return linalg::gemm(ctx.exec, 1, matrix_of(ctx, d_y, s.places(), s.outputs).transpose(0, 1),
                          matrix_of(ctx, x, s.places(), s.inputs), 1, matrix_of(ctx, d_weight, s.outputs, s.inputs));
    }
  }
#if defined(ATTN_HAVE_ONEDNN)
  if constexpr (has_onednn_convolution<Ctx, T>) {
    if (convolve_onednn(ctx, s, ConvolutionPass::weight_gradient, x, d_weight, nullptr, d_y)) return;
  }
#endif
  add_weight_gradient_direct(ctx, s, x, d_y, d_weight);
}

}  // namespace attn::nn::detail
