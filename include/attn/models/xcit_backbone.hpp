/// XcitBackbone: feature maps of several sizes from the middle of a cross-covariance image transformer.
#pragma once

#include "attn/nn/batch_norm.hpp"
#include "attn/nn/convolutional_patch_embedding.hpp"
#include "attn/nn/cross_covariance_block.hpp"
#include "attn/nn/fourier_positions.hpp"
#include "attn/nn/max_pooling.hpp"
#include "attn/nn/sequential.hpp"
#include "attn/nn/transposed_convolution.hpp"

#include <array>
#include <vector>

namespace attn::models {

/// Sizes of an `XcitBackbone`. The defaults are XCiT-S12/16.
template <class Activation>
struct XcitBackboneConfig {
  Index width = 384;
  Index depth = 12;
  Index heads = 8;
  double mlp_ratio = 4;
  Index channels = 3;
  Index patch = 16;  ///< 8 or 16
  /// The layers behind which the four maps are taken, from the finest to the coarsest; the last is the end.
  std::array<Index, 4> taps = {3, 5, 7, 11};
  bool qkv_bias = true;
  double stochastic_depth = 0.05;
  double epsilon = 1e-6;
  double eta = 1;
  Activation activation = {};
  bool scale_per_head = false;
  Index scale_tokens = 0;  ///< keys that trained numbers of activations start as for; 0: as many as the matrix has
};

/// Images (B, channels, H, W) -> four maps (B, H / s, W / s, width) for s = 4, 8, 16, 32: tokens behind layers of
/// cross-covariance attention, of which the finer ones are enlarged by transposed convolutions and the coarser ones
/// pooled (El-Nouby et al. 2021, for detection). Patches of 16 pixels: fpn1 enlarges twice, with a norm and GELU
/// between, fpn2 once, and fpn4 takes maxima; of 8 pixels: fpn1 enlarges once, fpn3 and fpn4 take maxima.
///
/// Parameters have the names of the published detectors: patch_embed, pos_embeder (sic), blocks, fpn1, fpn2. There is
/// no class token and no norm at the end.
template <class A>
class XcitBackbone {
 public:
  using Activation = A;
  using Config = XcitBackboneConfig<A>;
  using Block = nn::CrossCovarianceBlock<A>;

  template <class Ctx>
  using Maps = std::vector<nn::MapsOf<Ctx>>;

  /// How a map gets its size.
  using Enlarged = nn::Sequential<nn::TransposedConvolution>;
  using EnlargedTwice =
      nn::Sequential<nn::TransposedConvolution, nn::BatchNorm, nn::Pointwise<nn::Gelu>, nn::TransposedConvolution>;

  template <class Ctx>
  struct Tape {
    nn::TapeOf<nn::ConvolutionalPatchEmbedding, Ctx, nn::ConstMapsOf<Ctx>> patches;
    nn::TapeOf<nn::FourierPositions, Ctx, nn::ConstMapsOf<Ctx>> positions;
    std::vector<nn::TapeOf<Block, Ctx, nn::ConstMapsOf<Ctx>>> blocks;
    std::vector<nn::TapeOf<EnlargedTwice, Ctx, nn::ConstMapsOf<Ctx>>> twice;
    std::vector<nn::TapeOf<Enlarged, Ctx, nn::ConstMapsOf<Ctx>>> once;
    std::vector<nn::TapeOf<nn::MaxPooling, Ctx, nn::ConstMapsOf<Ctx>>> pooled;  // the finer map first
  };

  XcitBackbone(nn::Builder const& builder, Config const& c)
      : config_(checked(c)),
        patches_(builder / "patch_embed", {.channels = c.channels, .patch = c.patch, .outputs = c.width}),
        positions_(builder / "pos_embeder", {.width = c.width}) {
    for (Index i = 0; i < c.depth; ++i) {
      blocks_.emplace_back(builder / "blocks" / i,
                           typename Block::Config{.width = c.width,
                                                  .heads = c.heads,
                                                  .hidden = static_cast<Index>(double(c.width) * c.mlp_ratio),
                                                  .tokens = c.scale_tokens,
                                                  .qkv_bias = c.qkv_bias,
                                                  .stochastic_depth = c.stochastic_depth,
                                                  .epsilon = c.epsilon,
                                                  .layer_scale = c.eta,
                                                  .activation = c.activation,
                                                  .scale_per_head = c.scale_per_head});
    }
    if (c.patch == 16) {
      auto const first = builder / "fpn1";
      twice_.push_back(EnlargedTwice{enlarging(first / 0), nn::BatchNorm(first / 1, {.channels = c.width}),
                                     nn::Pointwise<nn::Gelu>(), enlarging(first / 3)});
    }
    once_.push_back(Enlarged{enlarging(builder / (c.patch == 16 ? "fpn2" : "fpn1") / 0)});
  }

  /// Height and width of images are multiples of 32.
  template <class Ctx, class X>
  nn::Forward<Maps<Ctx>, Tape<Ctx>> forward(Ctx& ctx, X const& images) const {
    ATTN_CHECK(images.extent(2) % 32 == 0 && images.extent(3) % 32 == 0 && images.extent(2) > 0 && images.extent(3) > 0,
               "XcitBackbone::forward: pad images to multiples of 32 pixels, got ", images.extent(2), " x ",
               images.extent(3));
    Tape<Ctx> tape;
    auto [patches, patches_tape] = patches_.forward(ctx, images);
    auto [placed, positions_tape] = positions_.forward(ctx, nn::ConstMapsOf<Ctx>(patches));
    tape.patches = std::move(patches_tape);
    tape.positions = positions_tape;
    nn::ConstMapsOf<Ctx> at = placed;
    Maps<Ctx> maps;
    for (Index i = 0; i < config_.depth; ++i) {
      auto [y, kept] = blocks_[std::size_t(i)].forward(ctx, at);
      if (ctx.keeps_tape()) tape.blocks.push_back(std::move(kept));
      at = y;
      for (Index const tap : config_.taps) {
        if (tap == i) maps.push_back(size_map(ctx, Index(maps.size()), y, tape));
      }
    }
    if (!ctx.keeps_tape()) tape = {};
    return {maps, std::move(tape)};
  }

  /// Adds the gradients of all parameters; that of the images is not computed.
  template <class Ctx, class D>
  void backward(Ctx& ctx, Tape<Ctx>&& tape, std::vector<D> const& d_maps) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    patches_.backward_parameters(ctx, std::move(tape.patches), backward_to_patches(ctx, tape, d_maps));
  }

  /// The same, and returns the gradient of the images.
  template <class Ctx, class D>
  nn::TensorOf<Ctx, 4> backward_input(Ctx& ctx, Tape<Ctx>&& tape, std::vector<D> const& d_maps) const {
    return patches_.backward(ctx, std::move(tape.patches), backward_to_patches(ctx, tape, d_maps));
  }

  Config const& config() const { return config_; }

 private:
  static Config const& checked(Config const& c) {
    ATTN_CHECK(c.patch == 8 || c.patch == 16, "XcitBackbone: choose patches of 8 or 16 pixels, got ", c.patch);
    bool ordered = c.taps[0] >= 0 && c.taps[3] == c.depth - 1;
    for (std::size_t i = 1; i < 4; ++i) ordered = ordered && c.taps[i - 1] <= c.taps[i];
    ATTN_CHECK(ordered, "XcitBackbone: take the four maps in the order of the layers, the last behind layer ",
               c.depth - 1, ", got ", c.taps[0], ", ", c.taps[1], ", ", c.taps[2], " and ", c.taps[3]);
    return c;
  }

  nn::TransposedConvolution enlarging(nn::Builder const& builder) const {
    return nn::TransposedConvolution(builder,
                                     {.inputs = config_.width, .outputs = config_.width, .kernel = 2, .stride = 2});
  }
  /// The pooling of map `i`, as a window's side; 1: none.
  Index pool_of(Index i) const { return config_.patch == 16 ? (i == 3 ? 2 : 1) : (i == 3 ? 4 : i == 2 ? 2 : 1); }
  bool is_twice(Index i) const { return config_.patch == 16 && i == 0; }
  bool is_once(Index i) const { return config_.patch == 16 ? i == 1 : i == 0; }

  template <class Ctx>
  nn::MapsOf<Ctx> size_map(Ctx& ctx, Index i, nn::MapsOf<Ctx> const& tokens, Tape<Ctx>& tape) const {
    nn::ConstMapsOf<Ctx> const x = tokens;
    if (is_twice(i)) {
      auto [y, kept] = twice_[0].forward(ctx, x);
      tape.twice.push_back(std::move(kept));
      return y;
    }
    if (is_once(i)) {
      auto [y, kept] = once_[0].forward(ctx, x);
      tape.once.push_back(std::move(kept));
      return y;
    }
    if (pool_of(i) > 1) {
      auto [y, kept] = pooling(i).forward(ctx, x);
      tape.pooled.push_back(kept);
      return y;
    }
    return tokens;
  }

  template <class Ctx>
  nn::MapsOf<Ctx> size_map_backward(Ctx& ctx, Index i, Tape<Ctx>& tape, nn::ConstMapsOf<Ctx> d) const {
    if (is_twice(i)) return twice_[0].backward(ctx, std::move(tape.twice[0]), d);
    if (is_once(i)) return once_[0].backward(ctx, std::move(tape.once[0]), d);
    auto kept = std::move(tape.pooled.back());
    tape.pooled.pop_back();
    return pooling(i).backward(ctx, std::move(kept), d);
  }

  nn::MaxPooling pooling(Index i) const { return nn::MaxPooling({.kernel = pool_of(i), .stride = pool_of(i)}); }

  template <class Ctx, class D>
  nn::ConstMapsOf<Ctx> backward_to_patches(Ctx& ctx, Tape<Ctx>& tape, std::vector<D> const& d_maps) const {
    ATTN_CHECK(
        Index(tape.blocks.size()) == config_.depth && d_maps.size() == 4,
        "XcitBackbone::backward: run forward with ctx.training or ctx.keep_tape switched on, use each tape once, "
        "and give four gradients, got ",
        d_maps.size());
    using T = typename Ctx::Scalar;
    Index const patch = config_.patch, height = d_maps[0].extent(1) * 4 / patch,
                width = d_maps[0].extent(2) * 4 / patch;
    auto const d = ctx.tensor(d_maps[0].extent(0), height, width, config_.width);
    Kokkos::deep_copy(ctx.exec, d.view(), T(0));
    Index map = 3;
    for (Index i = config_.depth; i-- > 0;) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      for (; map >= 0 && config_.taps[std::size_t(map)] == i; --map) {
        nn::ConstMapsOf<Ctx> const d_map = d_maps[std::size_t(map)];
        bool const plain = !is_twice(map) && !is_once(map) && pool_of(map) == 1;
        nn::ConstMapsOf<Ctx> const d_tokens =
            plain ? d_map : nn::ConstMapsOf<Ctx>(size_map_backward(ctx, map, tape, d_map));
        ATTN_CHECK(d_tokens.extents() == d.extents(),
                   "XcitBackbone::backward: give gradients of the shapes of the maps");
        elementwise<T>(ctx.exec, "attn::XcitBackbone::backward", 1, d.size(),
                       AddMatrices<T>{d.data(), d_tokens.data(), d.data(), 0});
      }
      blocks_[std::size_t(i)].backward_in_place(ctx, std::move(tape.blocks[std::size_t(i)]), d);
    }
    tape.blocks.clear();
    return positions_.backward(ctx, std::move(tape.positions), nn::ConstMapsOf<Ctx>(d));
  }

  Config config_;
  nn::ConvolutionalPatchEmbedding patches_;
  nn::FourierPositions positions_;
  std::vector<Block> blocks_;
  std::vector<EnlargedTwice> twice_;
  std::vector<Enlarged> once_;
};

}  // namespace attn::models
