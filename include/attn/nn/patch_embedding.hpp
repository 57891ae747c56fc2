/// PatchEmbedding: images cut into patches, each mapped to a token by one linear layer.
#pragma once

#include "attn/nn/linear.hpp"

namespace attn::nn {

namespace detail {

/// Which pixels a patch has. Images (B, channels, height, width); a patch is (channels, rows, columns) of them.
struct PatchGeometry {
  Index channels = 1, height = 0, width = 0;
  Index rows = 0, columns = 0;

  ATTN_FUNCTION Index across() const { return width / columns; }
  ATTN_FUNCTION Index patches() const { return height / rows * across(); }
  ATTN_FUNCTION Index pixels() const { return channels * rows * columns; }

  /// Where line `line` (channel, row) of patch `patch` begins in an image.
  ATTN_FUNCTION Index offset(Index patch, Index line) const {
    Index const y = patch / across() * rows + line % rows, x = patch % across() * columns;
    return (line / rows * height + y) * width + x;
  }
};

/// Copies lines of pixels between images and a matrix whose rows are patches.
template <class T>
struct CopyPatches {
  PatchGeometry geometry;
  T const* from;
  T* to;
  bool to_patches;

  ATTN_FUNCTION void operator()(Index i) const {
    Index const lines = geometry.channels * geometry.rows, patches = geometry.patches();
    Index const line = i % lines, patch = i / lines % patches, image = i / lines / patches;
    Index const in_image = image * geometry.channels * geometry.height * geometry.width + geometry.offset(patch, line);
    Index const in_patch = i * geometry.columns;
    for (Index x = 0; x < geometry.columns; ++x) {
      if (to_patches) {
        to[in_patch + x] = from[in_image + x];
      } else {
        to[in_image + x] = from[in_patch + x];
      }
    }
  }
};

}  // namespace detail

/// images (B, channels, height, width) -> tokens (B, patches, outputs), patches from left to right, then down.
/// proj.weight (outputs, channels, patch height, patch width) and proj.bias, as the convolution whose stride is the
/// patch that timm has.
class PatchEmbedding {
 public:
  struct Config {
    Index channels = 1;
    Index height = 0;
    Index width = 0;
    Index patch_height = 0;
    Index patch_width = 0;
    Index outputs = 0;
    bool crops = false;  ///< whether images may have a rest at right and below, which no patch sees
  };

  template <class Ctx>
  struct Tape {
    TensorOf<Ctx, 3> patches;  // (B, patches, pixels)
  };

  /// How many patches an image of this configuration has.
  static Index patches(Config const& c) { return checked(c).patches(); }

  PatchEmbedding(Builder const& builder, Config const& c) : geometry_(checked(c)), outputs_(c.outputs) {
    Index const pixels = geometry_.pixels();
    weight_ = (builder / "proj")
                  .add<4>("weight", {c.outputs, c.channels, c.patch_height, c.patch_width}, fan_in_uniform(pixels));
    bias_ = (builder / "proj").add<1>("bias", {c.outputs}, fan_in_uniform(pixels));
  }

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    ConstTensorOf<Ctx, 4> const images = x;
    ATTN_CHECK(images.extent(1) == geometry_.channels && images.extent(2) == geometry_.height &&
                   images.extent(3) == geometry_.width && images.is_contiguous(),
               "PatchEmbedding::forward: give contiguous images of (B, ", geometry_.channels, ", ", geometry_.height,
               ", ", geometry_.width, "), got (", images.extent(0), ", ", images.extent(1), ", ", images.extent(2),
               ", ", images.extent(3), ")");
    Index const batch = images.extent(0);
    auto const tokens = ctx.tensor(batch, geometry_.patches(), outputs_);
    typename Ctx::Scratch const scratch(ctx);
    auto const patches = ctx.tensor(batch, geometry_.patches(), geometry_.pixels());
    copy_patches<T>(ctx, batch, images.data(), patches.data(), true);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    linalg::gemm(
        ctx.exec, 1, patches.rows(), matrix(factor(ctx, weight_)).transpose(0, 1), 0, tokens.rows(),
        detail::AddBias<T>{tokens.data(), factor(ctx, bias_).data(), outputs_, tokens.extent(0) * tokens.extent(1)});
    return Forward<TensorOf<Ctx, 3>, Tape<Ctx>>{tokens, {ctx.keeps_tape() ? patches : TensorOf<Ctx, 3>()}};
  }

  /// Returns the gradient of the images.
  template <class Ctx>
  TensorOf<Ctx, 4> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 3> d_tokens) const {
    using T = typename Ctx::Scalar;
    Index const batch = d_tokens.extent(0);
    auto const d_images = ctx.tensor(batch, geometry_.channels, geometry_.height, geometry_.width);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_patches = ctx.tensor(tape.patches.extents());
    backward_parameters(ctx, std::move(tape), d_tokens);
    linalg::gemm(ctx.exec, 1, d_tokens.rows(), matrix(factor(ctx, weight_)), 0, d_patches.rows());
    bool const has_rest = geometry_.height % geometry_.rows != 0 || geometry_.width % geometry_.columns != 0;
    if (has_rest) Kokkos::deep_copy(ctx.exec, d_images.template reshape<1>({d_images.size()}).view(), T(0));
    copy_patches<T>(ctx, batch, d_patches.data(), d_images.data(), false);
    return d_images;
  }

  /// What training needs: the gradients of weight and bias alone.
  template <class Ctx>
  void backward_parameters(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 3> d_tokens) const {
    detail::check_tape("PatchEmbedding::backward", tape.patches);
    ATTN_CHECK(d_tokens.extents() == with_width(tape.patches.extents(), outputs_),
               "PatchEmbedding::backward: give d_tokens the shape of the tokens");
    linalg::gemm(ctx.exec, 1, d_tokens.rows().transpose(0, 1), tape.patches.rows(), 1,
                 matrix(ctx.parameters.gradient(weight_)));
    linalg::column_sums(ctx.exec, d_tokens.rows(), 1, ctx.parameters.gradient(bias_));
  }

 private:
  static detail::PatchGeometry checked(Config const& c) {
    ATTN_CHECK(c.channels > 0 && c.outputs > 0 && c.patch_height > 0 && c.patch_width > 0 &&
                   c.height >= c.patch_height && c.width >= c.patch_width &&
                   (c.crops || (c.height % c.patch_height == 0 && c.width % c.patch_width == 0)),
               "PatchEmbedding: choose a patch that divides the image, got a patch of ", c.patch_height, " x ",
               c.patch_width, " and an image of ", c.channels, " x ", c.height, " x ", c.width);
    return {c.channels, c.height, c.width, c.patch_height, c.patch_width};
  }

  template <class T, class Ctx>
  void copy_patches(Ctx& ctx, Index batch, T const* from, T* to, bool to_patches) const {
    Index const lines = batch * geometry_.patches() * geometry_.channels * geometry_.rows;
    attn::launch("attn::PatchEmbedding",
                 Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, lines),
                 detail::CopyPatches<T>{geometry_, from, to, to_patches});
  }

  /// (outputs, channels, patch height, patch width) -> (outputs, pixels).
  template <class T, class Memory>
  Tensor<T, 2, Memory> matrix(Tensor<T, 4, Memory> const& weight) const {
    return weight.template reshape<2>({outputs_, geometry_.pixels()});
  }

  detail::PatchGeometry geometry_;
  Index outputs_;
  Parameter<4> weight_;
  Parameter<1> bias_;
};

}  // namespace attn::nn
