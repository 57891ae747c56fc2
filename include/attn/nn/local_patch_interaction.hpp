/// LocalPatchInteraction: neighbouring tokens of a feature map exchange, channel by channel.
#pragma once

#include "attn/nn/batch_norm.hpp"
#include "attn/nn/convolution.hpp"
#include "attn/nn/function.hpp"
#include "attn/nn/sequential.hpp"

namespace attn::nn {

/// x (B, H, W, C) -> y = conv2(bn(gelu(conv1(x)))) of the same shape, with depthwise convolutions of odd kernels (XCiT;
/// El-Nouby et al. 2021). Parameters conv1.weight (C, 1, kernel, kernel), conv1.bias, those and the buffers of bn,
/// conv2.weight, conv2.bias, as timm's LPI has them. 4 kernel^2 flops an element.
class LocalPatchInteraction {
 public:
  struct Config {
    Index width = 0;
    Index kernel = 3;
  };

  using Layers = Sequential<Convolution, Pointwise<Gelu>, BatchNorm, Convolution>;

  LocalPatchInteraction(Builder const& builder, Config const& c)
      : layers_{convolution(builder / "conv1", c), Pointwise<Gelu>(), BatchNorm(builder / "bn", {.channels = c.width}),
                convolution(builder / "conv2", c)} {}

  template <class Ctx, FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    return layers_.forward(ctx, x);
  }

  template <class Ctx, class... Tapes>
  MapsOf<Ctx> backward(Ctx& ctx, Layers::Tape<Tapes...>&& tape, ConstMapsOf<Ctx> d_y) const {
    return layers_.backward(ctx, std::move(tape), d_y);
  }

 private:
  static Convolution convolution(Builder const& builder, Config const& c) {
    ATTN_CHECK(c.kernel > 0 && c.kernel % 2 == 1, "LocalPatchInteraction: give an odd kernel, got ", c.kernel);
    return Convolution(
        builder,
        {.inputs = c.width, .outputs = c.width, .kernel = c.kernel, .padding = c.kernel / 2, .groups = c.width});
  }

  Layers layers_;
};

}  // namespace attn::nn
