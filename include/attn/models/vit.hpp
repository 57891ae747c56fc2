/// Vit: the vision transformer, with any attention.
#pragma once

#include "attn/models/attention_norms.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/patch_embedding.hpp"
#include "attn/nn/pooling.hpp"
#include "attn/nn/position.hpp"
#include "attn/nn/stack.hpp"
#include "attn/nn/transformer_block.hpp"

#include <array>
#include <string>
#include <vector>

namespace attn::models {

namespace detail {

/// to = (a + b) / 2; without b, a / 2.
template <class T>
struct HalfOfSum {
  T const* a;
  T const* b;
  T* to;
  Index stride;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const at = row * stride + column;
    auto sum = lanes.load(a + at);
    if (b != nullptr) sum += lanes.load(b + at);
    lanes.store(to + at, sum * typename Lanes::Value(RealOf<T>(0.5)));
  }
};

}  // namespace detail

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
  bool distilled = false;     ///< DeiT's second token, for distillation, and a head on it
  bool embeds_prefix = true;  ///< whether these tokens have positions; in DeiT III they have none
  bool qkv_bias = true;
  double dropout = 0;           ///< after the positions, the attention's projection, and in the MLP
  double stochastic_depth = 0;  ///< of the last block; grows linearly from 0 at the first
  double epsilon = 1e-6;        ///< of the norms
  Activation activation = {};
  bool scale_per_head = false;  ///< trained numbers of the activation: one set for each head
  Index scale_tokens = 0;       ///< keys that trained numbers start as for; 0: as many as there are tokens
  double layer_scale = 0;       ///< what a factor for each channel of a branch starts from (DeiT III); 0: there is none
};

/// Images (B, channels, height, width) -> logits (B, classes). Dosovitskiy et al. 2020, exactly as timm's
/// `VisionTransformer`: class token, learned positions, pre-norm blocks, exact GELU, final norm ("norm", or "fc_norm"
/// behind mean pooling), linear head. Parameters have timm's names, layouts and initial distributions, so its weights
/// load unchanged.
///
/// A distilled one (Touvron et al. 2021, DeiT; timm's `VisionTransformerDistilled`) has two heads, `head` on the class
/// token and `head_dist` on the token for distillation. Its logits are the mean of both; `forward_heads` gives both.
template <class Block>
class Vit {
 public:
  using Activation = typename Block::Activation;
  using Config = VitConfig<Activation>;

  /// Logits of the class token, and of the token for distillation.
  template <class Ctx>
  using HeadsOf = std::array<nn::TensorOf<Ctx, 2>, 2>;

  /// What forward keeps; `blocks.layers` has one entry a layer.
  template <class Patches, class Positions, class Blocks, class Norm, class Head>
  struct Tape {
    Patches patches;
    Positions positions;
    Blocks blocks;
    nn::Pooling::Tape pooling;
    Norm norm;
    Head head;  // (B heads, width): what the heads see
  };

  Vit(nn::Builder const& builder, Config const& config)
      : config_(config),
        positions_(builder, {.tokens = nn::PatchEmbedding::patches(patch_config(config)),
                             .width = config.width,
                             .dropout = config.dropout,
                             .prefix = prefix(config),
                             .embeds_prefix = config.embeds_prefix}),
        patches_(builder / "patch_embed", patch_config(config)),
        blocks_(make_blocks(builder / "blocks", config)),
        pooling_(config.pooled, prefix(config)),
        norm_(builder / (config.pooled == nn::Pooled::mean ? "fc_norm" : "norm"),
              {.width = config.width, .epsilon = config.epsilon}),
        heads_(make_heads(builder, config)) {
    builder.set("pos_embed", {.adapts = nn::PositionGrid{.height = config.image_height / config.patch_height,
                                                         .width = config.image_width / config.patch_width,
                                                         .prefix = config.embeds_prefix ? prefix(config) : 0}});
    builder.set("head.*", {.adapts = nn::ClassRows{}});
    if (config.distilled) builder.set("head_dist.*", {.adapts = nn::ClassRows{}});
  }

  /// The names of the parameters of each layer, from the images on; the last layer, the head, is what they leave. For
  /// `nn::set_layer_decay`; the layers are timm's.
  std::vector<std::vector<std::string>> layers() const {
    std::vector<std::vector<std::string>> all = {{"cls_token", "pos_embed", "patch_embed.*"}};
    if (config_.distilled) all.back().push_back("dist_token");
    for (Index i = 0; i < config_.depth; ++i) all.push_back({"blocks." + std::to_string(i) + ".*"});
    if (config_.pooled != nn::Pooled::mean) all.back().push_back("norm.*");
    return all;
  }

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& images) const {
    auto const logits = ctx.tensor(images.extent(0), config_.classes);
    typename Ctx::Scratch const scratch(ctx);
    auto tape = encode(ctx, images);
    {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      heads_[0].multiply(ctx, tokens_of(tape.head, 0), logits);
      if (config_.distilled) {
        auto const others = ctx.tensor(logits.extents());
        heads_[1].multiply(ctx, tokens_of(tape.head, 1), others);
        elementwise<typename Ctx::Scalar>(
            ctx.exec, "attn::Vit::mean", logits.extent(0), logits.extent(1),
            detail::HalfOfSum<typename Ctx::Scalar>{logits.data(), others.data(), logits.data(), logits.extent(1)});
      }
    }
    if (!ctx.keeps_tape()) tape = {};
    return nn::Forward<nn::TensorOf<Ctx, 2>, decltype(tape)>{logits, std::move(tape)};
  }

  /// Of a distilled model: the logits of the class token and those of the token for distillation, (B, classes) each.
  template <class Ctx, class X>
  auto forward_heads(Ctx& ctx, X const& images) const {
    check_distilled("Vit::forward_heads");
    HeadsOf<Ctx> logits;
    for (auto& of_head : logits) of_head = ctx.tensor(images.extent(0), config_.classes);
    typename Ctx::Scratch const scratch(ctx);
    auto tape = encode(ctx, images);
    for (std::size_t h = 0; h < 2; ++h) heads_[h].multiply(ctx, tokens_of(tape.head, Index(h)), logits[h]);
    if (!ctx.keeps_tape()) tape = {};
    return nn::Forward<HeadsOf<Ctx>, decltype(tape)>{logits, std::move(tape)};
  }

  /// Adds the gradients of all parameters. That of the images, which training does not need, is not computed.
  template <class Ctx, class... Parts>
  void backward(Ctx& ctx, Tape<Parts...>&& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_patches = backward_to_patches(ctx, tape, of_each_head(ctx, d_logits));
    patches_.backward_parameters(ctx, std::move(tape.patches), d_patches);
  }

  /// The same, and returns the gradient of the images.
  template <class Ctx, class... Parts>
  nn::TensorOf<Ctx, 4> backward_input(Ctx& ctx, Tape<Parts...>&& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    auto const d_patches = backward_to_patches(ctx, tape, of_each_head(ctx, d_logits));
    return patches_.backward(ctx, std::move(tape.patches), d_patches);
  }

  /// From the gradients of the logits of both heads.
  template <class Ctx, class... Parts>
  void backward_heads(Ctx& ctx, Tape<Parts...>&& tape, HeadsOf<Ctx> const& d_logits) const {
    check_distilled("Vit::backward_heads");
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_patches = backward_to_patches(ctx, tape, {d_logits[0], d_logits[1]});
    patches_.backward_parameters(ctx, std::move(tape.patches), d_patches);
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
  /// token, of a distilled model token 1 that for distillation.
  template <class Ctx, class... Parts>
  nn::TensorOf<Ctx, 3> attention_weights(Ctx& ctx, Tape<Parts...> const& tape, Index layer, Index sample) const {
    ATTN_CHECK(layer >= 0 && layer < Index(tape.blocks.layers.size()), "Vit::attention_weights: choose one of ",
               tape.blocks.layers.size(), " layers on the tape, got number ", layer);
    auto const at = static_cast<std::size_t>(layer);
    return blocks_.layers()[at].attention().weights(ctx, Block::attention_tape(tape.blocks.layers[at]), sample);
  }

  Config const& config() const { return config_; }

  /// Tokens of an image, with the learned ones in front.
  Index tokens() const { return positions_.tokens(); }

 private:
  static Index prefix(Config const& c) { return c.distilled ? 2 : 1; }

  static nn::PatchEmbedding::Config patch_config(Config const& c) {
    return {.channels = c.channels,
            .height = c.image_height,
            .width = c.image_width,
            .patch_height = c.patch_height,
            .patch_width = c.patch_width,
            .outputs = c.width};
  }

  static std::vector<Block> make_blocks(nn::Builder const& builder, Config const& c) {
    ATTN_CHECK(
        c.depth >= 0 && c.mlp_ratio > 0 && c.classes > 0 && c.scale_tokens >= 0,
        "Vit: give a depth of at least 0, a positive MLP ratio, at least one class and scale_tokens that are not "
        "negative, got ",
        c.depth, ", ", c.mlp_ratio, ", ", c.classes, " and ", c.scale_tokens);
    std::vector<Block> blocks;
    for (Index i = 0; i < c.depth; ++i) {
      double const part = c.depth > 1 ? static_cast<double>(i) / static_cast<double>(c.depth - 1) : 0;
      blocks.emplace_back(
          builder / i,
          typename Block::Config{
              .width = c.width,
              .heads = c.heads,
              .hidden = static_cast<Index>(static_cast<double>(c.width) * c.mlp_ratio),
              .tokens = c.scale_tokens > 0 ? c.scale_tokens : nn::PatchEmbedding::patches(patch_config(c)) + prefix(c),
              .qkv_bias = c.qkv_bias,
              .dropout = c.dropout,
              .stochastic_depth = c.stochastic_depth * part,
              .epsilon = c.epsilon,
              .layer_scale = c.layer_scale,
              .activation = c.activation,
              .scale_per_head = c.scale_per_head});
    }
    return blocks;
  }

  static std::vector<nn::Linear> make_heads(nn::Builder const& builder, Config const& c) {
    ATTN_CHECK(!c.distilled || c.pooled == nn::Pooled::class_token,
               "Vit: let the heads of a distilled model see its class tokens, not the mean of the others");
    std::vector<nn::Linear> heads;
    nn::Linear::Config const head{.inputs = c.width, .outputs = c.classes};
    heads.emplace_back(builder / "head", head);
    if (c.distilled) heads.emplace_back(builder / "head_dist", head);
    return heads;
  }

  void check_distilled(char const* function) const {
    ATTN_CHECK(config_.distilled, function, ": ask a distilled model, which has two heads");
  }

  /// Images -> what the heads see, as the last part of the tape.
  template <class Ctx, class X>
  auto encode(Ctx& ctx, X const& images) const {
    auto [patches, patches_tape] = patches_.forward(ctx, images);
    auto [tokens, positions_tape] = positions_.forward(ctx, patches);
    auto [encoded, blocks_tape] = blocks_.forward(ctx, tokens);
    // A norm of the pooled tokens alone: the others' would be thrown away.
    auto [pooled, pooling_tape] = pooling_.forward(ctx, encoded);
    auto [normal, norm_tape] = norm_.forward(ctx, pooled);
    using Kept = Tape<decltype(patches_tape), decltype(positions_tape), decltype(blocks_tape), decltype(norm_tape),
                      decltype(normal)>;
    return Kept{patches_tape, positions_tape, std::move(blocks_tape), pooling_tape, norm_tape, normal};
  }

  /// Rows h, h + heads, ...: those of head h.
  template <class X>
  X tokens_of(X const& pooled, Index h) const {
    Index const heads = Index(heads_.size()), width = pooled.extent(1);
    return {pooled.data() + h * width, {pooled.extent(0) / heads, width}, {heads * width, 1}};
  }

  template <class Ctx>
  using ConstHeadsOf = std::array<nn::ConstTensorOf<Ctx, 2>, 2>;

  /// forward: y = (y_0 + y_1) / 2; hence d_y_0 = d_y_1 = d_y / 2
  template <class Ctx>
  ConstHeadsOf<Ctx> of_each_head(Ctx& ctx, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    if (!config_.distilled) return {d_logits, {}};
    using T = typename Ctx::Scalar;
    auto const half = ctx.tensor(d_logits.extents());
    T const* const d = d_logits.data();
    elementwise<T>(ctx.exec, "attn::Vit::half", d_logits.extent(0), d_logits.extent(1),
                   detail::HalfOfSum<T>{d, nullptr, half.data(), d_logits.extent(1)});
    return {half, half};
  }

  template <class Ctx, class... Parts>
  nn::TensorOf<Ctx, 3> backward_to_patches(Ctx& ctx, Tape<Parts...>& tape, ConstHeadsOf<Ctx> const& d_logits) const {
    nn::detail::check_tape("Vit::backward", tape.head);
    auto const d_normal = ctx.tensor(tape.head.extents());
    for (std::size_t h = 0; h < heads_.size(); ++h) {
      auto const x = tokens_of(tape.head, Index(h));
      ATTN_CHECK(d_logits[h].extent(0) == x.extent(0) && d_logits[h].extent(1) == config_.classes,
                 "Vit::backward: give d_logits the shape of the logits, (", x.extent(0), ", ", config_.classes,
                 "), got (", d_logits[h].extent(0), ", ", d_logits[h].extent(1), ")");
      heads_[h].add_gradients(ctx, x, d_logits[h]);
      heads_[h].pull_back(ctx, d_logits[h], tokens_of(d_normal, Index(h)));
    }
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
  std::vector<nn::Linear> heads_;
};

}  // namespace attn::models
