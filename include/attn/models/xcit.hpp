/// Xcit: the cross-covariance image transformer, with any attention.
#pragma once

#include "attn/models/attention_norms.hpp"
#include "attn/nn/class_attention.hpp"
#include "attn/nn/convolutional_patch_embedding.hpp"
#include "attn/nn/cross_covariance_block.hpp"
#include "attn/nn/fourier_positions.hpp"
#include "attn/nn/pooling.hpp"
#include "attn/nn/stack.hpp"

#include <optional>
#include <string>
#include <vector>

namespace attn::models {

/// Sizes of an `Xcit`. The defaults are XCiT-S12/16; models/xcit_names.hpp has all that are published.
template <class Activation>
struct XcitConfig {
  Index width = 384;
  Index depth = 12;       ///< layers of cross-covariance attention
  Index class_depth = 2;  ///< layers of class attention behind them
  Index heads = 8;
  double mlp_ratio = 4;
  Index image_height = 224;  ///< images may have any size; trained numbers of class attention start as for this one
  Index image_width = 224;
  Index channels = 3;
  Index patch = 16;  ///< a power of two; published are 8 and 16
  Index classes = 1000;
  bool qkv_bias = true;
  double dropout = 0;           ///< after the positions, the attention's projection, and in the MLP
  double stochastic_depth = 0;  ///< of each layer of cross-covariance attention alike
  double epsilon = 1e-6;        ///< of the norms of tokens
  double eta = 1;               ///< what the factors of residual branches start from
  bool tokens_norm = true;      ///< whether class attention normalises all tokens, or the class token alone
  Activation activation = {};   ///< of channels; a row has width / heads keys
  std::optional<Activation> class_activation = {};  ///< of class attention, softmax for example; none: `activation`
  bool scale_per_head = false;                      ///< trained numbers of activations: one set for each head
  Index scale_tokens = 0;  ///< keys that trained numbers start as for; 0: as many as the matrix has
};

/// Images (B, channels, H, W) of any size -> logits (B, classes). El-Nouby et al. 2021, exactly as timm's `Xcit`:
/// convolutions with batch norms make a map of tokens, Fourier features their positions; blocks attend among channels;
/// then a class token attends to the tokens, is normalised and classified. Parameters and buffers have timm's names,
/// layouts and initial distributions, so its weights load unchanged.
template <class A>
class Xcit {
 public:
  using Activation = A;
  using Config = XcitConfig<A>;
  using Block = nn::CrossCovarianceBlock<A>;
  using ClassBlock = nn::ClassAttentionBlock<A>;

  /// What forward keeps; `blocks.layers` and `class_blocks.layers` have one entry a layer.
  template <class Patches, class Positions, class Drop, class Blocks, class ClassBlocks, class Norm, class Head>
  struct Tape {
    Patches patches;
    Positions positions;
    Drop dropout;
    Extents<4> maps{};
    Blocks blocks;
    ClassBlocks class_blocks;
    nn::Pooling::Tape pooling;
    Norm norm;
    Head head;
  };

  Xcit(nn::Builder const& builder, Config const& config)
      : config_(checked(config)),
        patches_(builder / "patch_embed",
                 {.channels = config.channels, .patch = config.patch, .outputs = config.width}),
        class_token_(builder, {.width = config.width}),
        positions_(builder / "pos_embed", {.width = config.width}),
        dropout_(builder / "pos_drop", config.dropout),
        blocks_(make_blocks(builder / "blocks", config)),
        class_blocks_(make_class_blocks(builder / "cls_attn_blocks", config)),
        norm_(builder / "norm", {.width = config.width, .epsilon = config.epsilon}),
        head_(builder / "head", {.inputs = config.width, .outputs = config.classes}) {
    builder.set("head.*", {.adapts = nn::ClassRows{}});
  }

  /// The names of the parameters of each layer, from the images on; the last layer, the head, is what they leave. For
  /// `nn::set_layer_decay`; the layers are timm's.
  std::vector<std::vector<std::string>> layers() const {
    std::vector<std::vector<std::string>> all = {{"cls_token", "pos_embed.*", "patch_embed.*"}};
    for (Index i = 0; i < config_.depth; ++i) all.push_back({"blocks." + std::to_string(i) + ".*"});
    for (Index i = 0; i < config_.class_depth; ++i) all.push_back({"cls_attn_blocks." + std::to_string(i) + ".*"});
    all.back().push_back("norm.*");
    return all;
  }

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& images) const {
    auto const logits = ctx.tensor(images.extent(0), config_.classes);
    typename Ctx::Scratch const scratch(ctx);
    auto [patches, patches_tape] = patches_.forward(ctx, images);
    auto [placed, positions_tape] = positions_.forward(ctx, patches);
    auto [dropped, dropout_tape] = dropout_.forward(ctx, placed);
    auto [encoded, blocks_tape] = blocks_.forward(ctx, dropped);
    auto const tokens = class_token_.forward(ctx, nn::detail::as_tokens(encoded)).value;
    auto [attended, class_tape] = class_blocks_.forward(ctx, tokens);
    // A norm of the class token alone: the others' would be thrown away.
    auto [pooled, pooling_tape] = pooling_.forward(ctx, attended);
    auto [normal, norm_tape] = norm_.forward(ctx, pooled);
    head_.multiply(ctx, normal, logits);

    using Kept = Tape<decltype(patches_tape), decltype(positions_tape), decltype(dropout_tape), decltype(blocks_tape),
                      decltype(class_tape), decltype(norm_tape), decltype(normal)>;
    Kept tape{std::move(patches_tape),
              positions_tape,
              dropout_tape,
              encoded.extents(),
              std::move(blocks_tape),
              std::move(class_tape),
              pooling_tape,
              norm_tape,
              normal};
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

  /// Norms for each layer, `depth` of cross-covariance attention, whose matrices are (width / heads) squared, then
  /// `class_depth` of class attention, whose matrices have one row. Computed from the tape of a forward pass at the
  /// cost of its attention; waits for the result.
  template <class Ctx, class... Parts>
  std::vector<AttentionNorms> attention_norms(Ctx& ctx, Tape<Parts...> const& tape) const {
    std::vector<AttentionNorms> result;
    for (std::size_t i = 0; i < tape.blocks.layers.size(); ++i) {
      result.push_back(
          detail::norms_of(ctx, blocks_.layers()[i].attention(), Block::attention_tape(tape.blocks.layers[i])));
    }
    for (std::size_t i = 0; i < tape.class_blocks.layers.size(); ++i) {
      result.push_back(detail::norms_of(ctx, class_blocks_.layers()[i].attention(),
                                        ClassBlock::attention_tape(tape.class_blocks.layers[i])));
    }
    return result;
  }

  /// The weights of one sample in one layer: of the first `depth` layers (heads, d, d), channel by channel with
  /// d = width / heads; of those of class attention, which follow, (heads, 1, 1 + H' W'): what the class token takes of
  /// itself, and of each token of the map, row by row.
  template <class Ctx, class... Parts>
  nn::TensorOf<Ctx, 3> attention_weights(Ctx& ctx, Tape<Parts...> const& tape, Index layer, Index sample) const {
    Index const depth = Index(tape.blocks.layers.size()), all = depth + Index(tape.class_blocks.layers.size());
    ATTN_CHECK(layer >= 0 && layer < all, "Xcit::attention_weights: choose one of ", all,
               " layers on the tape, got number ", layer);
    if (layer < depth) {
      auto const at = static_cast<std::size_t>(layer);
      return blocks_.layers()[at].attention().weights(ctx, Block::attention_tape(tape.blocks.layers[at]), sample);
    }
    auto const at = static_cast<std::size_t>(layer - depth);
    return class_blocks_.layers()[at].attention().weights(ctx, ClassBlock::attention_tape(tape.class_blocks.layers[at]),
                                                          sample);
  }

  Config const& config() const { return config_; }

  /// Tokens of an image of the configured size, with the class token.
  Index tokens() const { return tokens(config_); }

 private:
  static Config const& checked(Config const& c) {
    ATTN_CHECK(
        c.depth >= 0 && c.class_depth >= 1 && c.mlp_ratio > 0 && c.classes > 0 && c.scale_tokens >= 0,
        "Xcit: give a depth of at least 0, at least one layer of class attention, a positive MLP ratio, at least "
        "one class and scale_tokens that are not negative, got ",
        c.depth, ", ", c.class_depth, ", ", c.mlp_ratio, ", ", c.classes, " and ", c.scale_tokens);
    return c;
  }

  /// Each step of the patch embedding rounds up.
  static Index tokens(Config const& c) {
    auto const cells = [&](Index size) { return (size + c.patch - 1) / c.patch; };
    return cells(c.image_height) * cells(c.image_width) + 1;
  }

  static Index hidden(Config const& c) { return static_cast<Index>(static_cast<double>(c.width) * c.mlp_ratio); }

  static std::vector<Block> make_blocks(nn::Builder const& builder, Config const& c) {
    std::vector<Block> blocks;
    for (Index i = 0; i < c.depth; ++i) {
      blocks.emplace_back(builder / i, typename Block::Config{.width = c.width,
                                                              .heads = c.heads,
                                                              .hidden = hidden(c),
                                                              .tokens = c.scale_tokens,
                                                              .qkv_bias = c.qkv_bias,
                                                              .dropout = c.dropout,
                                                              .stochastic_depth = c.stochastic_depth,
                                                              .epsilon = c.epsilon,
                                                              .layer_scale = c.eta,
                                                              .activation = c.activation,
                                                              .scale_per_head = c.scale_per_head});
    }
    return blocks;
  }

  static std::vector<ClassBlock> make_class_blocks(nn::Builder const& builder, Config const& c) {
    std::vector<ClassBlock> blocks;
    for (Index i = 0; i < c.class_depth; ++i) {
      blocks.emplace_back(builder / i,
                          typename ClassBlock::Config{.width = c.width,
                                                      .heads = c.heads,
                                                      .hidden = hidden(c),
                                                      .tokens = c.scale_tokens > 0 ? c.scale_tokens : tokens(c),
                                                      .qkv_bias = c.qkv_bias,
                                                      .dropout = c.dropout,
                                                      .epsilon = c.epsilon,
                                                      .layer_scale = c.eta,
                                                      .tokens_norm = c.tokens_norm,
                                                      .activation = c.class_activation.value_or(c.activation),
                                                      .scale_per_head = c.scale_per_head});
    }
    return blocks;
  }

  template <class Ctx, class... Parts>
  nn::ConstMapsOf<Ctx> backward_to_patches(Ctx& ctx, Tape<Parts...>& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    nn::detail::check_tape("Xcit::backward", tape.head);
    ATTN_CHECK(d_logits.extent(0) == tape.head.extent(0) && d_logits.extent(1) == config_.classes,
               "Xcit::backward: give d_logits the shape of the logits, (", tape.head.extent(0), ", ", config_.classes,
               "), got (", d_logits.extent(0), ", ", d_logits.extent(1), ")");
    head_.add_gradients(ctx, tape.head, d_logits);
    auto const d_normal = ctx.tensor(tape.head.extents());
    head_.pull_back(ctx, d_logits, d_normal);
    auto const d_pooled = norm_.backward(ctx, std::move(tape.norm), d_normal);
    auto const d_attended = pooling_.backward(ctx, std::move(tape.pooling), d_pooled);
    class_blocks_.backward_in_place(ctx, std::move(tape.class_blocks), d_attended);
    auto const d_tokens = class_token_.backward(ctx, {}, d_attended).template reshape<4>(tape.maps);
    blocks_.backward_in_place(ctx, std::move(tape.blocks), d_tokens);
    auto const d_placed = dropout_.backward(ctx, std::move(tape.dropout), d_tokens);
    return positions_.backward(ctx, std::move(tape.positions), d_placed);
  }

  Config config_;
  nn::ConvolutionalPatchEmbedding patches_;
  nn::ClassToken class_token_;
  nn::FourierPositions positions_;
  nn::Dropout dropout_;
  nn::Stack<Block> blocks_;
  nn::Stack<ClassBlock> class_blocks_;
  nn::Pooling pooling_{nn::Pooled::class_token};
  nn::LayerNorm norm_;
  nn::Linear head_;
};

}  // namespace attn::models
