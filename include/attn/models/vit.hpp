/// Vit: the vision transformer, with any attention.
#pragma once

#include "attn/models/detail/attention_norms.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/patch_embedding.hpp"
#include "attn/nn/pooling.hpp"
#include "attn/nn/position.hpp"
#include "attn/nn/stack.hpp"
#include "attn/nn/transformer_block.hpp"

#include <string>
#include <vector>

namespace attn::models {

/// The block of a `Vit` around an activation.
template <class Activation>
using VitBlock = nn::TransformerBlock<nn::MultiHeadAttention<Activation>, nn::Mlp<nn::Gelu>, nn::LayerNorm>;

/// Sizes of a `Vit`. The defaults are ViT-B/16 at 224 pixels.
template <class Activation>
struct VitConfig {
  Index width = 768;
  Index depth = 12;
  Index heads = 12;
  double mlp_ratio = 4;
  Index image_height = 224;
  Index image_width = 224;
  Index channels = 3;
  Index patch_height = 16;
  Index patch_width = 16;
  Index classes = 1000;
  nn::Pooled pooled = nn::Pooled::class_token;
  bool qkv_bias = true;
  double dropout = 0;           ///< after the positions, the attention's projection, and in the MLP
  double stochastic_depth = 0;  ///< of the last block; grows linearly from 0 at the first
  double epsilon = 1e-6;        ///< of the norms
  Activation activation = {};
  bool scale_per_head = false;  ///< trained numbers of the activation: one set for each head
};

/// Images (B, channels, height, width) -> logits (B, classes). Dosovitskiy et al. 2020, exactly as timm's
/// `VisionTransformer`: class token, learned positions, pre-norm blocks, exact GELU, final norm ("norm", or "fc_norm"
/// behind mean pooling), linear head. Parameters have timm's names, layouts and initial distributions, so its weights
/// load unchanged.
template <class Block>
class Vit {
 public:
  using Activation = typename Block::Activation;
  using Config = VitConfig<Activation>;

  /// What forward keeps; `blocks.layers` has one entry a layer.
  template <class Patches, class Positions, class Blocks, class Norm, class Head>
  struct Tape {
    Patches patches;
    Positions positions;
    Blocks blocks;
    nn::Pooling::Tape pooling;
    Norm norm;
    Head head;
  };

  Vit(nn::Builder const& builder, Config const& config)
      : config_(config),
        positions_(builder, {.tokens = nn::PatchEmbedding::patches(patch_config(config)),
                             .width = config.width,
                             .dropout = config.dropout}),
        patches_(builder / "patch_embed", patch_config(config)),
        blocks_(make_blocks(builder / "blocks", config)),
        pooling_(config.pooled),
        norm_(builder / (config.pooled == nn::Pooled::mean ? "fc_norm" : "norm"),
              {.width = config.width, .epsilon = config.epsilon}),
        head_(builder / "head", {.inputs = config.width, .outputs = config.classes}) {
    builder.set("pos_embed", {.adapts = nn::PositionGrid{.height = config.image_height / config.patch_height,
                                                         .width = config.image_width / config.patch_width,
                                                         .prefix = 1}});
    builder.set("head.*", {.adapts = nn::ClassRows{}});
  }

  /// The names of the parameters of each layer, from the images on; the last layer, the head, is what they leave. For
  /// `nn::set_layer_decay`; the layers are timm's.
  std::vector<std::vector<std::string>> layers() const {
    std::vector<std::vector<std::string>> all = {{"cls_token", "pos_embed", "patch_embed.*"}};
    for (Index i = 0; i < config_.depth; ++i) all.push_back({"blocks." + std::to_string(i) + ".*"});
    if (config_.pooled != nn::Pooled::mean) all.back().push_back("norm.*");
    return all;
  }

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& images) const {
    auto const logits = ctx.tensor(images.extent(0), config_.classes);
    typename Ctx::Scratch const scratch(ctx);
    auto [patches, patches_tape] = patches_.forward(ctx, images);
    auto [tokens, positions_tape] = positions_.forward(ctx, patches);
    auto [encoded, blocks_tape] = blocks_.forward(ctx, tokens);
    // A norm of the pooled token alone: the others' would be thrown away.
    auto [pooled, pooling_tape] = pooling_.forward(ctx, encoded);
    auto [normal, norm_tape] = norm_.forward(ctx, pooled);
    head_.multiply(ctx, normal, logits);

    using Kept = Tape<decltype(patches_tape), decltype(positions_tape), decltype(blocks_tape), decltype(norm_tape),
                      decltype(normal)>;
    Kept tape{patches_tape, positions_tape, std::move(blocks_tape), pooling_tape, norm_tape, normal};
    if (!ctx.keeps_tape()) tape = {};
    return nn::Forward<nn::TensorOf<Ctx, 2>, Kept>{logits, std::move(tape)};
  }

  /// Adds the gradients of all parameters. That of the images, which training does not need, is not computed.
  template <class Ctx, class... Parts>
  void backward(Ctx& ctx, Tape<Parts...>&& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_patches = backward_to_patches(ctx, tape, d_logits);
    patches_.backward_parameters(ctx, std::move(tape.patches), d_patches);
  }

  /// The same, and returns the gradient of the images.
  template <class Ctx, class... Parts>
  nn::TensorOf<Ctx, 4> backward_input(Ctx& ctx, Tape<Parts...>&& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    auto const d_patches = backward_to_patches(ctx, tape, d_logits);
    return patches_.backward(ctx, std::move(tape.patches), d_patches);
  }

  /// Frobenius norms for each layer, averaged over samples and heads. Computed from the tape of a forward pass at the
  /// cost of its attention; waits for the result.
  template <class Ctx, class... Parts>
  std::vector<AttentionNorms> attention_norms(Ctx& ctx, Tape<Parts...> const& tape) const {
    std::vector<AttentionNorms> result;
    for (std::size_t layer = 0; layer < tape.blocks.layers.size(); ++layer) {
      result.push_back(
          detail::norms_of(ctx, blocks_.layers()[layer].attention(), Block::attention_tape(tape.blocks.layers[layer])));
    }
    return result;
  }

  /// The attention matrices of one sample in one layer: (heads, tokens, tokens), query by key; token 0 is the class
  /// token.
  template <class Ctx, class... Parts>
  nn::TensorOf<Ctx, 3> attention_weights(Ctx& ctx, Tape<Parts...> const& tape, Index layer, Index sample) const {
    ATTN_CHECK(layer >= 0 && layer < Index(tape.blocks.layers.size()), "Vit::attention_weights: choose one of ",
               tape.blocks.layers.size(), " layers on the tape, got number ", layer);
    auto const at = static_cast<std::size_t>(layer);
    return blocks_.layers()[at].attention().weights(ctx, Block::attention_tape(tape.blocks.layers[at]), sample);
  }

  Config const& config() const { return config_; }

  /// Tokens of an image, with the class token.
  Index tokens() const { return nn::PatchEmbedding::patches(patch_config(config_)) + 1; }

 private:
  static nn::PatchEmbedding::Config patch_config(Config const& c) {
    return {.channels = c.channels,
            .height = c.image_height,
            .width = c.image_width,
            .patch_height = c.patch_height,
            .patch_width = c.patch_width,
            .outputs = c.width};
  }

  static std::vector<Block> make_blocks(nn::Builder const& builder, Config const& c) {
    ATTN_CHECK(c.depth >= 0 && c.mlp_ratio > 0 && c.classes > 0,
               "Vit: give a depth of at least 0, a positive MLP ratio and at least one class, got ", c.depth, ", ",
               c.mlp_ratio, " and ", c.classes);
    std::vector<Block> blocks;
    for (Index i = 0; i < c.depth; ++i) {
      double const part = c.depth > 1 ? static_cast<double>(i) / static_cast<double>(c.depth - 1) : 0;
      blocks.emplace_back(
          builder / i, typename Block::Config{.width = c.width,
                                              .heads = c.heads,
                                              .hidden = static_cast<Index>(static_cast<double>(c.width) * c.mlp_ratio),
                                              .tokens = nn::PatchEmbedding::patches(patch_config(c)) + 1,
                                              .qkv_bias = c.qkv_bias,
                                              .dropout = c.dropout,
                                              .stochastic_depth = c.stochastic_depth * part,
                                              .epsilon = c.epsilon,
                                              .activation = c.activation,
                                              .scale_per_head = c.scale_per_head});
    }
    return blocks;
  }

  template <class Ctx, class... Parts>
  nn::TensorOf<Ctx, 3> backward_to_patches(Ctx& ctx, Tape<Parts...>& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    nn::detail::check_tape("Vit::backward", tape.head);
    ATTN_CHECK(d_logits.extent(0) == tape.head.extent(0) && d_logits.extent(1) == config_.classes,
               "Vit::backward: give d_logits the shape of the logits, (", tape.head.extent(0), ", ", config_.classes,
               "), got (", d_logits.extent(0), ", ", d_logits.extent(1), ")");
    head_.add_gradients(ctx, tape.head, d_logits);
    auto const d_normal = ctx.tensor(tape.head.extents());
    head_.pull_back(ctx, d_logits, d_normal);
    auto const d_pooled = norm_.backward(ctx, std::move(tape.norm), d_normal);
    auto const d_tokens = pooling_.backward(ctx, std::move(tape.pooling), d_pooled);
    blocks_.backward_in_place(ctx, std::move(tape.blocks), d_tokens);
    return positions_.backward(ctx, std::move(tape.positions), d_tokens);
  }

  Config config_;
  nn::ClassTokenAndPositions positions_;
  nn::PatchEmbedding patches_;
  nn::Stack<Block> blocks_;
  nn::Pooling pooling_;
  nn::LayerNorm norm_;
  nn::Linear head_;
};

/// Width 768, depth 12, 12 heads, patches of 16 x 16 in images of 224 x 224: 86,567,656 parameters for 1000 classes.
template <class Activation>
VitConfig<Activation> vit_base_patch16_224(Activation const& activation) {
  return {.activation = activation};
}

/// Width 192, depth 12, 3 heads: 5,717,416 parameters for 1000 classes.
template <class Activation>
VitConfig<Activation> vit_tiny_patch16_224(Activation const& activation) {
  return {.width = 192, .heads = 3, .activation = activation};
}

}  // namespace attn::models
