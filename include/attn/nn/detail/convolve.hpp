/// Which kernel computes a convolution: of each pass, the first that applies.
///
/// | convolution | kernel |
/// |---|---|
/// | one filter for each channel | convolution_depthwise.hpp |
/// | 1 x 1, stride 1, no padding, one group | convolution_gemm.hpp: one product |
/// | any other of floats, on a host with oneDNN | convolution_onednn.hpp |
/// | any other of one group | convolution_gemm.hpp: products of patches |
/// | any other | convolution_direct.hpp |
///
/// Under nvcc, whose front end (13.0) ends in an internal error on oneDNN's C++ header, hosts compute as devices do.
#pragma once

#include "attn/linalg/reduce.hpp"
#include "attn/nn/detail/convolution_depthwise.hpp"
#include "attn/nn/detail/convolution_direct.hpp"
#include "attn/nn/detail/convolution_gemm.hpp"
#include "attn/nn/detail/convolution_onednn.hpp"

namespace attn::nn::detail {

#if defined(ATTN_HAVE_ONEDNN) && !defined(__NVCC__)
template <class Ctx, class T>
inline constexpr bool has_onednn_convolution = HostExecutionSpace<typename Ctx::Space>&& std::same_as<T, float>;
#else
template <class Ctx, class T>
inline constexpr bool has_onednn_convolution = false;
#endif

/// x (batch, input, inputs), weight (outputs, inputs of a group, kernel), bias (outputs) or null
/// -> y (batch, output, outputs). 2 outputs taps (inputs of a group) flops a place.
template <class Ctx, class T, class R>
void convolve(Ctx& ctx, ConvolutionShape const& s, T const* x, R const* weight, R const* bias, T* y) {
  ProfilingRegion const region("attn::convolve");
  if (s.places() == 0) return;
  if (s.is_depthwise()) return convolve_depthwise(ctx, s, x, weight, bias, y);
#if defined(ATTN_HAVE_ONEDNN) && !defined(__NVCC__)
  if constexpr (has_onednn_convolution<Ctx, T>) {
    if (!is_pointwise(s) && convolve_onednn(ctx, s, ConvolutionPass::forward, x, weight, bias, y)) return;
  }
#endif
  if (s.groups == 1) return ConvolutionByGemm<Ctx, T, R>(ctx, s).forward(x, weight, bias, y);
  convolve_direct(ctx, s, x, weight, bias, y);
}

/// The gradient of x from that of y.
template <class Ctx, class T, class R>
void pull_back(Ctx& ctx, ConvolutionShape const& s, T const* d_y, R const* weight, T* d_x) {
  ProfilingRegion const region("attn::convolve::backward");
  if (s.input_pixels() == 0) return;
  if (s.is_depthwise()) return pull_back_depthwise(ctx, s, d_y, weight, d_x);
#if defined(ATTN_HAVE_ONEDNN) && !defined(__NVCC__)
  if constexpr (has_onednn_convolution<Ctx, T>) {
    if (!is_pointwise(s) && convolve_onednn(ctx, s, ConvolutionPass::input_gradient, d_x, weight, nullptr, d_y)) return;
  }
#endif
  if (s.groups == 1) return ConvolutionByGemm<Ctx, T, R>(ctx, s).pull_back(d_y, weight, d_x);
  pull_back_direct(ctx, s, d_y, weight, d_x);
}

/// Adds the gradient of the weight to `d_weight`.
template <class Ctx, class T, class R>
void add_weight_gradient(Ctx& ctx, ConvolutionShape const& s, T const* x, T const* d_y, R* d_weight) {
  ProfilingRegion const region("attn::convolve::weight_gradient");
  if (s.places() == 0) return;
  if (s.is_depthwise()) return add_weight_gradient_depthwise(ctx, s, x, d_y, d_weight);
#if defined(ATTN_HAVE_ONEDNN) && !defined(__NVCC__)
  if constexpr (has_onednn_convolution<Ctx, T>) {
    if (!is_pointwise(s) && convolve_onednn(ctx, s, ConvolutionPass::weight_gradient, x, d_weight, nullptr, d_y))
      return;
  }
#endif
  if (s.groups == 1) return ConvolutionByGemm<Ctx, T, R>(ctx, s).add_weight_gradient(x, d_y, d_weight);
  add_weight_gradient_direct(ctx, s, x, d_y, d_weight);
}

}  // namespace attn::nn::detail
