/// Convolution: feature maps to feature maps, each place from the pixels under a window.
#pragma once

#include "attn/core/matrix_functors.hpp"
#include "attn/nn/detail/convolve.hpp"

#include <optional>

namespace attn::nn {

namespace detail {

/// What both kinds of convolutions register: weight (first, second / groups, kernel), bias (outputs).
struct ConvolutionParameters {
  Parameter<4> weight;
  Parameter<1> bias;
  bool has_bias = true;

  template <class Config>
  ConvolutionParameters(char const* module, Builder const& builder, Config const& c, Window const& window, Index first,
                        Index second)
      : has_bias(c.bias) {
    ATTN_CHECK(c.inputs > 0 && c.outputs > 0 && c.groups > 0 && c.inputs % c.groups == 0 && c.outputs % c.groups == 0,
               module, ": choose a number of groups that divides the channels, got ", c.inputs, " inputs, ", c.outputs,
               " outputs and ", c.groups, " groups");
    window.check(module);
    Initializer const initial = fan_in_uniform(second / c.groups * window.kernel.area());
    weight = builder.add<4>("weight", {first, second / c.groups, window.kernel.height, window.kernel.width},
                            c.initial.value_or(initial));
    if (c.bias) bias = builder.add<1>("bias", {c.outputs}, c.initial_bias.value_or(initial));
  }

  template <class Ctx>
  typename Ctx::Real const* bias_of(Ctx& ctx) const {
    return has_bias ? ctx.parameters.value(bias).data() : nullptr;
  }

  /// y += b where it is not added elsewhere: y (..., outputs).
  template <class Ctx>
  void add_bias(Ctx& ctx, MapsOf<Ctx> const& y) const {
    using R = typename Ctx::Real;
    if (!has_bias || y.size() == 0) return;
    auto const rows = value_rows(y.rows());
    using T = typename decltype(rows)::Scalar;
    elementwise<T>(ctx.exec, "attn::Convolution::bias", rows.extent(0), rows.extent(1),
                   AddToRows<T, R>{rows.data(), ctx.parameters.value(bias).data(), rows.extent(1)});
  }

  /// forward: y += b; hence d_b += the sum of all d_y.
  template <class Ctx>
  void add_bias_gradient(Ctx& ctx, ConstMapsOf<Ctx> const& d_y) const {
    if (has_bias) linalg::column_sums(ctx.exec, value_rows(d_y.rows()), 1, ctx.parameters.gradient(bias));
  }
};

/// Of jets, whose derivatives are more maps: how many (of reals 1).
template <class Ctx>
Index planes_of(Ctx const& ctx) {
  if constexpr (AnyJet<typename Ctx::Scalar>) {
    return ctx.planes.count;
  } else {
    return 1;
  }
}

}  // namespace detail

/// x (B, H, W, inputs) -> y (B, H', W', outputs): y_p = b + sum over the taps t of W_t x_(stride p - padding +
/// dilation t), where x is zero outside; H' = floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.
///
/// weight (outputs, inputs / groups, kernel height, kernel width) and bias (outputs), as PyTorch's Conv2d has them.
/// 2 H' W' outputs (inputs / groups) kernel flops an image.
class Convolution {
 public:
  struct Config {
    Index inputs = 0;
    Index outputs = 0;
    Size2 kernel = 3;
    Size2 stride = 1;
    Size2 padding = 0;
    Size2 dilation = 1;
    Index groups = 1;  ///< each reads and writes its own channels; `inputs` of them: a depthwise convolution
    bool bias = true;
    std::optional<Initializer> initial = {};  ///< else fan_in_uniform
    std::optional<Initializer> initial_bias = {};
  };

  template <class Ctx>
  struct Tape {
    ConstMapsOf<Ctx> x;
  };

  Convolution(Builder const& builder, Config const& c)
      : config_(c), parameters_("Convolution", builder, c, window(), c.outputs, c.inputs) {}

  Index outputs() const { return config_.outputs; }
  /// Height and width of y for maps of this size.
  Size2 output_size(Size2 maps) const { return window().places("Convolution::output_size", maps); }

  template <class Ctx, FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    ConstMapsOf<Ctx> const input = x;
    ATTN_CHECK(input.extent(3) == config_.inputs && input.is_contiguous(),
               "Convolution::forward: give contiguous maps (B, H, W, ", config_.inputs, "), got (", input.extent(0),
               ", ", input.extent(1), ", ", input.extent(2), ", ", input.extent(3), ")");
    auto const s = shape(ctx, "Convolution::forward", input);
    auto const y = ctx.tensor(input.extent(0), s.sliding.output.height, s.sliding.output.width, config_.outputs);
    bool const adds_bias = !AnyJet<typename Ctx::Scalar>;  // of jets, derivatives have no bias
    detail::convolve(ctx, s, real_rows(input.rows()).data(), ctx.parameters.value(parameters_.weight).data(),
                     adds_bias ? parameters_.bias_of(ctx) : nullptr, real_rows(y.rows()).data());
    if (!adds_bias) parameters_.add_bias(ctx, y);
    return Forward<MapsOf<Ctx>, Tape<Ctx>>{y, {ctx.keeps_tape() ? input : ConstMapsOf<Ctx>()}};
  }

  /// Returns the gradient of x.
  template <class Ctx>
  MapsOf<Ctx> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstMapsOf<Ctx> d_y) const {
    auto const x = tape.x;
    backward_parameters(ctx, std::move(tape), d_y);
    auto const d_x = ctx.tensor(x.extents());
    detail::pull_back(ctx, shape(ctx, "Convolution::backward", x), real_rows(d_y.rows()).data(),
                      ctx.parameters.value(parameters_.weight).data(), real_rows(d_x.rows()).data());
    return d_x;
  }

  /// The gradients of weight and bias alone: what the first layer of a model needs.
  template <class Ctx>
  void backward_parameters(Ctx& ctx, Tape<Ctx>&& tape, ConstMapsOf<Ctx> d_y) const {
    detail::check_tape("Convolution::backward", tape.x);
    auto const s = shape(ctx, "Convolution::backward", tape.x);
    ATTN_CHECK(d_y.extents() == (Extents<4>{tape.x.extent(0), s.sliding.output.height, s.sliding.output.width,
                                            config_.outputs}) &&
                   d_y.is_contiguous(),
               "Convolution::backward: give d_y the shape of y");
    detail::add_weight_gradient(ctx, s, real_rows(tape.x.rows()).data(), real_rows(d_y.rows()).data(),
                                ctx.parameters.gradient(parameters_.weight).data());
    parameters_.add_bias_gradient(ctx, d_y);
  }

 private:
  Window window() const { return {config_.kernel, config_.stride, config_.padding, config_.dilation}; }

  template <class Ctx>
  detail::ConvolutionShape shape(Ctx const& ctx, char const* function, ConstMapsOf<Ctx> const& x) const {
    return {x.extent(0) * detail::planes_of(ctx),
            config_.inputs,
            config_.outputs,
            config_.groups,
            {window(), map_size(x), window().places(function, map_size(x))}};
  }

  Config config_;
  detail::ConvolutionParameters parameters_;
};

}  // namespace attn::nn
