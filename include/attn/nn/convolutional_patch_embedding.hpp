/// ConvolutionalPatchEmbedding: images of any size to a feature map of tokens, by convolutions that halve.
#pragma once

#include "attn/nn/batch_norm.hpp"
#include "attn/nn/convolution.hpp"
#include "attn/nn/function.hpp"

#include <bit>
#include <vector>

namespace attn::nn {

namespace detail {

/// Between images (B, C, H, W) and maps (B, H, W, C), a pixel each.
template <class T>
struct MovePixel {
  T const* from;
  T* to;
  Index channels, pixels;  // of an image
  bool to_maps;
  ATTN_FUNCTION void operator()(Index i) const {
    Index const in_image = i / pixels * pixels * channels + i % pixels, in_map = i * channels;
    for (Index c = 0; c < channels; ++c) {
      if (to_maps) {
        to[in_map + c] = from[in_image + c * pixels];
      } else {
        to[in_image + c * pixels] = from[in_map + c];
      }
    }
  }
};

}  // namespace detail

/// images (B, channels, H, W) -> maps (B, H', W', outputs), where H' = H / patch, rounded up step by step: 3 x 3
/// convolutions of stride 2 without biases, each with a BatchNorm behind it and GELU between them, whose widths double
/// from one to the next until `outputs` (XCiT; El-Nouby et al. 2021). Parameters and buffers proj.<2 i>.0.weight and
/// proj.<2 i>.1.* of step i, as timm's ConvPatchEmbed has them; it knows patches of 8 and 16, this any power of two.
class ConvolutionalPatchEmbedding {
 public:
  struct Config {
    Index channels = 3;
    Index patch = 16;
    Index outputs = 0;  ///< a multiple of patch / 2
  };

  template <class Ctx>
  struct StepTape {
    TapeOf<Convolution, Ctx, ConstMapsOf<Ctx>> convolution;
    TapeOf<BatchNorm, Ctx, ConstMapsOf<Ctx>> norm;
    TapeOf<Pointwise<Gelu>, Ctx, ConstMapsOf<Ctx>> function;
  };
  template <class Ctx>
  struct Tape {
    Extents<4> images{};
    std::vector<StepTape<Ctx>> steps;
  };

  ConvolutionalPatchEmbedding(Builder const& builder, Config const& c) : channels_(c.channels) {
    ATTN_CHECK(c.patch >= 2 && std::has_single_bit(static_cast<std::size_t>(c.patch)),
               "ConvolutionalPatchEmbedding: choose a patch that is a power of two, 2 at least, got ", c.patch);
    ATTN_CHECK(c.channels > 0 && c.outputs > 0 && c.outputs % (c.patch / 2) == 0,
               "ConvolutionalPatchEmbedding: make the width a multiple of half the patch, got a width of ", c.outputs,
               " and a patch of ", c.patch);
    Index inputs = c.channels, number = 0;
    for (Index width = c.outputs / (c.patch / 2); width <= c.outputs; inputs = width, width *= 2, number += 2) {
      auto const at = builder / "proj" / number;
      Convolution const convolution(
          at / 0, {.inputs = inputs, .outputs = width, .kernel = 3, .stride = 2, .padding = 1, .bias = false});
      steps_.push_back({convolution, BatchNorm(at / 1, {.channels = width})});
    }
  }

  template <class Ctx, class X>
  Forward<MapsOf<Ctx>, Tape<Ctx>> forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    ConstTensorOf<Ctx, 4> const images = x;
    Index const batch = images.extent(0), height = images.extent(2), width = images.extent(3);
    ATTN_CHECK(images.extent(1) == channels_ && height > 0 && width > 0 && images.is_contiguous(),
               "ConvolutionalPatchEmbedding::forward: give contiguous images (B, ", channels_, ", H, W), got (", batch,
               ", ", images.extent(1), ", ", height, ", ", width, ")");
    Size2 size = {height, width};
    for (auto const& step : steps_) size = step.convolution.output_size(size);
    auto const y = ctx.tensor(batch, size.height, size.width, steps_.back().convolution.outputs());
    typename Ctx::Scratch const scratch(ctx);
    Tape<Ctx> tape{images.extents(), {}};
    auto const maps = ctx.tensor(batch, height, width, channels_);
    move_pixels<T>(ctx, images, maps.data(), true);
    ConstMapsOf<Ctx> at = maps;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      auto [convolved, convolution] = steps_[i].convolution.forward(ctx, at);
      auto [normal, norm] = steps_[i].norm.forward(ctx, ConstMapsOf<Ctx>(convolved));
      tape.steps.push_back({convolution, norm, {}});
      at = normal;
      if (i + 1 == steps_.size()) break;
      auto [value, function] = Pointwise<Gelu>().forward(ctx, at);
      tape.steps.back().function = function;
      at = value;
    }
    copy(ctx, at, y);
    if (!ctx.keeps_tape()) tape = {};
    return {y, std::move(tape)};
  }

  /// Returns the gradient of the images.
  template <class Ctx>
  TensorOf<Ctx, 4> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstMapsOf<Ctx> d_y) const {
    using T = typename Ctx::Scalar;
    auto const d_images = ctx.tensor(tape.images);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_first = backward_to_first(ctx, tape, d_y);
    auto const d_maps = steps_[0].convolution.backward(ctx, std::move(tape.steps[0].convolution), d_first);
    move_pixels<T>(ctx, ConstMapsOf<Ctx>(d_maps), d_images.data(), false);
    tape.steps.clear();
    return d_images;
  }

  /// What training needs: the gradients of the parameters alone.
  template <class Ctx>
  void backward_parameters(Ctx& ctx, Tape<Ctx>&& tape, ConstMapsOf<Ctx> d_y) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_first = backward_to_first(ctx, tape, d_y);
    steps_[0].convolution.backward_parameters(ctx, std::move(tape.steps[0].convolution), d_first);
    tape.steps.clear();
  }

 private:
  struct Step {
    Convolution convolution;
    BatchNorm norm;
  };

  /// The gradient of what the first convolution returns.
  template <class Ctx>
  ConstMapsOf<Ctx> backward_to_first(Ctx& ctx, Tape<Ctx>& tape, ConstMapsOf<Ctx> d) const {
    ATTN_CHECK(tape.steps.size() == steps_.size(),
               "ConvolutionalPatchEmbedding::backward: run forward with ctx.training or ctx.keep_tape switched on, and "
               "use each tape once");
    for (std::size_t i = steps_.size(); i-- > 0;) {
      auto& step = tape.steps[i];
      if (i + 1 < steps_.size()) d = Pointwise<Gelu>().backward(ctx, std::move(step.function), d);
      d = steps_[i].norm.backward(ctx, std::move(step.norm), d);
      if (i > 0) d = steps_[i].convolution.backward(ctx, std::move(step.convolution), d);
    }
    return d;
  }

  /// Images are read, or written.
  template <class T, class Ctx>
  static void move_pixels(Ctx& ctx, ConstTensorOf<Ctx, 4> from, T* to, bool to_maps) {
    Index const channels = from.extent(to_maps ? 1 : 3), all = channels == 0 ? 0 : from.size() / channels;
    Index const pixels = from.extent(0) == 0 ? 1 : all / from.extent(0);
    attn::launch("attn::ConvolutionalPatchEmbedding::move",
                 Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, all),
                 detail::MovePixel<T>{from.data(), to, channels, pixels, to_maps});
  }

  template <class Ctx>
  static void copy(Ctx& ctx, ConstMapsOf<Ctx> const& from, MapsOf<Ctx> const& to) {
    if (to.size() == 0) return;
    Kokkos::deep_copy(ctx.exec, to.template reshape<1>({to.size()}).view(),
                      from.template reshape<1>({from.size()}).view());
  }

  Index channels_;
  std::vector<Step> steps_;
};

}  // namespace attn::nn
