/// TransposedConvolution: what a convolution does to gradients, as a layer of its own; it enlarges maps.
#pragma once

#include "attn/nn/convolution.hpp"

namespace attn::nn {

/// x (B, H, W, inputs) -> y (B, H', W', outputs): each pixel of x adds its multiple of the kernel to the window of y
/// around it; H' = (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.
///
/// weight (inputs, outputs / groups, kernel height, kernel width) and bias (outputs), as PyTorch's ConvTranspose2d has
/// them. 2 H W inputs (outputs / groups) kernel flops an image.
class TransposedConvolution {
 public:
  struct Config {
    Index inputs = 0;
    Index outputs = 0;
    Size2 kernel = 2;
    Size2 stride = 1;
    Size2 padding = 0;
    Size2 output_padding = 0;  ///< more lines and columns at the end of y, less than a stride or dilation
    Size2 dilation = 1;
    Index groups = 1;
    bool bias = true;
    std::optional<Initializer> initial = {};  ///< else fan_in_uniform, where PyTorch takes the outputs for the inputs
    std::optional<Initializer> initial_bias = {};
  };

  template <class Ctx>
  struct Tape {
    ConstMapsOf<Ctx> x;
  };

  TransposedConvolution(Builder const& builder, Config const& c)
      : config_(c), parameters_("TransposedConvolution", builder, c, window(), c.inputs, c.outputs) {
    ATTN_CHECK(c.output_padding.height >= 0 && c.output_padding.width >= 0 &&
                   c.output_padding.height < std::max(c.stride.height, c.dilation.height) &&
                   c.output_padding.width < std::max(c.stride.width, c.dilation.width),
               "TransposedConvolution: choose an output padding that is less than the stride or the dilation, got ",
               c.output_padding.height, " x ", c.output_padding.width);
  }

  Index outputs() const { return config_.outputs; }
  /// Height and width of y for maps of this size.
  Size2 output_size(Size2 maps) const {
    Size2 const r = window().reach();
    Size2 const y{
        (maps.height - 1) * config_.stride.height - 2 * config_.padding.height + r.height +
            config_.output_padding.height,
        (maps.width - 1) * config_.stride.width - 2 * config_.padding.width + r.width + config_.output_padding.width};
    ATTN_CHECK(maps.height > 0 && maps.width > 0 && y.height > 0 && y.width > 0,
               "TransposedConvolution: give larger maps, or less padding: ", maps.height, " x ", maps.width,
               " pixels become ", y.height, " x ", y.width);
    return y;
  }

  template <class Ctx, FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    ConstMapsOf<Ctx> const input = x;
    ATTN_CHECK(input.extent(3) == config_.inputs && input.is_contiguous(),
               "TransposedConvolution::forward: give contiguous maps (B, H, W, ", config_.inputs, "), got (",
               input.extent(0), ", ", input.extent(1), ", ", input.extent(2), ", ", input.extent(3), ")");
    auto const s = transpose(ctx, input);
    auto const y = ctx.tensor(input.extent(0), s.sliding.input.height, s.sliding.input.width, config_.outputs);
    detail::pull_back(ctx, s, real_rows(input.rows()).data(), ctx.parameters.value(parameters_.weight).data(),
                      real_rows(y.rows()).data());
    parameters_.add_bias(ctx, y);
    return Forward<MapsOf<Ctx>, Tape<Ctx>>{y, {ctx.keeps_tape() ? input : ConstMapsOf<Ctx>()}};
  }

  /// Returns the gradient of x.
  template <class Ctx>
  MapsOf<Ctx> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstMapsOf<Ctx> d_y) const {
    detail::check_tape("TransposedConvolution::backward", tape.x);
    auto const s = transpose(ctx, tape.x);
    ATTN_CHECK(d_y.extents() ==
                       (Extents<4>{tape.x.extent(0), s.sliding.input.height, s.sliding.input.width, config_.outputs}) &&
                   d_y.is_contiguous(),
               "TransposedConvolution::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(tape.x.extents());
    auto const from = real_rows(d_y.rows());
    // forward: y = C^T x with the convolution C; hence d_x = C d_y, and d_C is that of a convolution of d_y whose
    // result has the gradient x.
    detail::convolve(ctx, s, from.data(), ctx.parameters.value(parameters_.weight).data(),
                     static_cast<typename Ctx::Real const*>(nullptr), real_rows(d_x.rows()).data());
    detail::add_weight_gradient(ctx, s, from.data(), real_rows(tape.x.rows()).data(),
                                ctx.parameters.gradient(parameters_.weight).data());
    parameters_.add_bias_gradient(ctx, d_y);
    return d_x;
  }

 private:
  Window window() const { return {config_.kernel, config_.stride, config_.padding, config_.dilation}; }

  /// The convolution from y to x.
  template <class Ctx>
  detail::ConvolutionShape transpose(Ctx const& ctx, ConstMapsOf<Ctx> const& x) const {
    return {x.extent(0) * detail::planes_of(ctx),
            config_.outputs,
            config_.inputs,
            config_.groups,
            {window(), output_size(map_size(x)), map_size(x)}};
  }

  Config config_;
  detail::ConvolutionParameters parameters_;
};

}  // namespace attn::nn
