/// Swin: the hierarchical vision transformer with shifted windows, with any attention.
#pragma once

#include "attn/models/attention_norms.hpp"
#include "attn/nn/average_pooling.hpp"
#include "attn/nn/patch_embedding.hpp"
#include "attn/nn/patch_merging.hpp"
#include "attn/nn/stack.hpp"
#include "attn/nn/transformer_block.hpp"
#include "attn/nn/window_attention.hpp"

#include <optional>
#include <string>
#include <vector>

namespace attn::models {

/// Sizes of a `Swin`. The defaults are Swin-T; models/swin_names.hpp has all that are published.
template <class Activation>
struct SwinConfig {
  Index width = 96;                          ///< of the first stage; each stage doubles it
  std::vector<Index> depths = {2, 2, 6, 2};  ///< blocks of each stage
  std::vector<Index> heads = {3, 6, 12, 24};
  std::vector<nn::Size2> windows = {7};  ///< of each stage, or one for all; where a map is smaller, the map
  double mlp_ratio = 4;
  Index image_height = 224;
  Index image_width = 224;
  Index channels = 3;
  Index patch = 4;  ///< what it leaves of an image at right and below is not seen
  Index classes = 1000;
  bool qkv_bias = true;
  double dropout = 0;           ///< after the attention's projection and in the MLP
  double stochastic_depth = 0;  ///< of the last block; grows linearly from 0 at the first
  double epsilon = 1e-5;        ///< of the norms
  Activation activation = {};
  bool scale_per_head = false;  ///< trained numbers of the activation: one set for each head
  Index scale_tokens = 0;       ///< keys that trained numbers start as for; 0: as many as a window has
};

/// Images (B, channels, height, width) -> logits (B, classes). Liu et al. 2021, exactly as timm's `SwinTransformer`:
/// patches are embedded and normalised; stages of blocks attend within windows, every second block within shifted ones,
/// with biases of relative positions inside the activation; between stages four pixels become one; a final norm, the
/// mean of all pixels, a linear head. Masks skip pixels from the other side of the map, whatever the activation.
/// Parameters have timm's names, layouts and initial distributions, so its weights load unchanged.
template <class A>
class Swin {
 public:
  using Activation = A;
  using Config = SwinConfig<A>;
  using Block =
      nn::TransformerBlock<nn::Attention<nn::FusedQkv, nn::WindowAttention<A>>, nn::Mlp<nn::Gelu>, nn::LayerNorm>;

  /// What forward keeps of a stage; `blocks.layers` has one entry a block.
  template <class Ctx>
  struct StageTape {
    nn::PatchMerging::Tape<Ctx> merging;
    nn::TapeOf<nn::Stack<Block>, Ctx, nn::ConstMapsOf<Ctx>> blocks;
  };

  template <class Ctx>
  struct Tape {
    nn::PatchEmbedding::Tape<Ctx> patches;
    nn::TapeOf<nn::LayerNorm, Ctx, nn::ConstTensorOf<Ctx, 3>> patch_norm;
    std::vector<StageTape<Ctx>> stages;
    nn::TapeOf<nn::LayerNorm, Ctx, nn::ConstMapsOf<Ctx>> norm;
    nn::GlobalAveragePooling::Tape pooling;
    nn::TensorOf<Ctx, 2> head;  // (B, width of the last stage): what the head sees
  };

  Swin(nn::Builder const& builder, Config const& config)
      : config_(checked(config)),
        patches_(builder / "patch_embed", patch_config(config)),
        patch_norm_(builder / "patch_embed" / "norm", {.width = config.width, .epsilon = config.epsilon}),
        stages_(make_stages(builder / "layers", config)),
        norm_(builder / "norm", {.width = last_width(config), .epsilon = config.epsilon}),
        head_(builder / "head" / "fc", {.inputs = last_width(config), .outputs = config.classes}) {
    builder.set("head.fc.*", {.adapts = nn::ClassRows{}});
  }

  /// The names of the parameters of each layer, from the images on; the last layer, the head, is what they leave. For
  /// `nn::set_layer_decay`; the layers are timm's: each merging of patches goes with the block behind it.
  std::vector<std::vector<std::string>> layers() const {
    std::vector<std::vector<std::string>> all = {{"patch_embed.*"}};
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      std::string const stage = "layers." + std::to_string(s) + ".";
      for (Index i = 0; i < config_.depths[s]; ++i) {
        all.push_back({stage + "blocks." + std::to_string(i) + ".*"});
        if (s > 0 && i == 0) all.back().push_back(stage + "downsample.*");
      }
    }
    all.back().push_back("norm.*");
    return all;
  }

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& images) const {
    auto const logits = ctx.tensor(images.extent(0), config_.classes);
    typename Ctx::Scratch const scratch(ctx);
    auto [patches, patches_tape] = patches_.forward(ctx, images);
    auto [tokens, patch_norm_tape] = patch_norm_.forward(ctx, nn::ConstTensorOf<Ctx, 3>(patches));
    auto const [height, width] = grid(config_);
    nn::ConstMapsOf<Ctx> maps = tokens.template reshape<4>({images.extent(0), height, width, config_.width});
    std::vector<StageTape<Ctx>> stages;
    for (Stage const& stage : stages_) {
      StageTape<Ctx>& tape = stages.emplace_back();
      if (stage.merging) {
        auto [merged, merging_tape] = stage.merging->forward(ctx, maps);
        maps = merged;
        tape.merging = merging_tape;
      }
      auto [y, blocks_tape] = stage.blocks.forward(ctx, maps);
      maps = y;
      tape.blocks = std::move(blocks_tape);
    }
    auto [normal, norm_tape] = norm_.forward(ctx, maps);
    auto [pooled, pooling_tape] = pooling_.forward(ctx, normal);
    head_.multiply(ctx, pooled, logits);
    Tape<Ctx> tape{patches_tape, patch_norm_tape, std::move(stages), norm_tape, pooling_tape, pooled};
    if (!ctx.keeps_tape()) tape = {};
    return nn::Forward<nn::TensorOf<Ctx, 2>, Tape<Ctx>>{logits, std::move(tape)};
  }

  /// Adds the gradients of all parameters. That of the images, which training does not need, is not computed.
  template <class Ctx>
  void backward(Ctx& ctx, Tape<Ctx>&& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_patches = backward_to_patches(ctx, tape, d_logits);
    patches_.backward_parameters(ctx, std::move(tape.patches), d_patches);
  }

  /// The same, and returns the gradient of the images.
  template <class Ctx>
  nn::TensorOf<Ctx, 4> backward_input(Ctx& ctx, Tape<Ctx>&& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    auto const d_patches = backward_to_patches(ctx, tape, d_logits);
    return patches_.backward(ctx, std::move(tape.patches), d_patches);
  }

  /// Norms for each block, through all stages, averaged over the windows and heads of all samples. Computed from the
  /// tape of a forward pass at the cost of its attention; waits for the result.
  template <class Ctx>
  std::vector<AttentionNorms> attention_norms(Ctx& ctx, Tape<Ctx> const& tape) const {
    std::vector<AttentionNorms> result;
    for (std::size_t s = 0; s < tape.stages.size(); ++s) {
      auto const& tapes = tape.stages[s].blocks.layers;
      for (std::size_t i = 0; i < tapes.size(); ++i) {
        result.push_back(
            detail::norms_of(ctx, stages_[s].blocks.layers()[i].attention(), Block::attention_tape(tapes[i])));
      }
    }
    return result;
  }

  /// The attention matrices of one sample in one block, counted through all stages: (windows heads, N, N), head by head
  /// of window by window, query by key; the N pixels of a window row by row. In a shifted block the windows are those
  /// of the shifted map, and pixels that were no neighbours before the shift have weights of zero.
  template <class Ctx>
  nn::TensorOf<Ctx, 3> attention_weights(Ctx& ctx, Tape<Ctx> const& tape, Index layer, Index sample) const {
    Index before = 0;
    for (std::size_t s = 0; s < tape.stages.size(); ++s) {
      auto const& tapes = tape.stages[s].blocks.layers;
      auto const at = static_cast<std::size_t>(layer - before);
      if (layer >= before && at < tapes.size()) {
        return weights_of_windows(ctx, stages_[s].blocks.layers()[at].attention(), Block::attention_tape(tapes[at]),
                                  sample);
      }
      before += Index(tapes.size());
    }
    ATTN_CHECK(false, "Swin::attention_weights: choose one of ", before, " layers on the tape, got number ", layer);
    return {};
  }

  Config const& config() const { return config_; }

  /// Tokens of a window of the first stage: the keys of a query.
  Index tokens() const { return window_of(config_, 0).area(); }

 private:
  struct Stage {
    std::optional<nn::PatchMerging> merging;  // in front of all stages but the first
    nn::Stack<Block> blocks;
  };

  static Config const& checked(Config const& c) {
    ATTN_CHECK(!c.depths.empty() && c.depths.size() == c.heads.size() &&
                   (c.windows.size() == 1 || c.windows.size() == c.depths.size()),
               "Swin: give at least one stage, as many numbers of heads as depths, and one window or as many, got ",
               c.depths.size(), " depths, ", c.heads.size(), " numbers of heads and ", c.windows.size(), " windows");
    Index least = c.width;
    for (Index const depth : c.depths) least = std::min(least, depth);
    ATTN_CHECK(
        least > 0 && c.mlp_ratio > 0 && c.classes > 0 && c.scale_tokens >= 0,
        "Swin: give a positive width, at least one block in each stage, a positive MLP ratio, at least one class "
        "and scale_tokens that are not negative, got ",
        c.width, ", ", least, ", ", c.mlp_ratio, ", ", c.classes, " and ", c.scale_tokens);
    return c;
  }

  static nn::PatchEmbedding::Config patch_config(Config const& c) {
    return {.channels = c.channels,
            .height = c.image_height,
            .width = c.image_width,
            .patch_height = c.patch,
            .patch_width = c.patch,
            .outputs = c.width,
            .crops = true};
  }

  static Index last_width(Config const& c) { return c.width << (c.depths.size() - 1); }

  /// The map of the first stage.
  static nn::Size2 grid(Config const& c) { return {c.image_height / c.patch, c.image_width / c.patch}; }

  static nn::Size2 map_of(Config const& c, std::size_t stage) {
    nn::Size2 map = grid(c);
    for (std::size_t s = 0; s < stage; ++s) map = {(map.height + 1) / 2, (map.width + 1) / 2};
    return map;
  }

  /// No larger than the map.
  static nn::Size2 window_of(Config const& c, std::size_t stage) {
    nn::Size2 const map = map_of(c, stage), window = c.windows[c.windows.size() == 1 ? 0 : stage];
    return {std::min(map.height, window.height), std::min(map.width, window.width)};
  }

  static std::vector<Stage> make_stages(nn::Builder const& builder, Config const& c) {
    Index all = 0, block = 0;
    for (Index const depth : c.depths) all += depth;
    std::vector<Stage> stages;
    for (std::size_t s = 0; s < c.depths.size(); ++s) {
      nn::Builder const place = builder / Index(s);
      Index const width = c.width << s;
      Stage& stage = stages.emplace_back();
      if (s > 0)
        stage.merging.emplace(place / "downsample", nn::PatchMerging::Config{.width = width / 2, .epsilon = c.epsilon});
      nn::Size2 const window = window_of(c, s);
      std::vector<Block> blocks;
      for (Index i = 0; i < c.depths[s]; ++i, ++block) {
        double const part = all > 1 ? static_cast<double>(block) / static_cast<double>(all - 1) : 0;
        nn::Size2 const shift = i % 2 == 0 ? nn::Size2(0) : nn::Size2(window.height / 2, window.width / 2);
        blocks.emplace_back(
            place / "blocks" / i,
            typename Block::Config{.width = width,
                                   .heads = c.heads[s],
                                   .hidden = static_cast<Index>(static_cast<double>(width) * c.mlp_ratio),
                                   .qkv_bias = c.qkv_bias,
                                   .dropout = c.dropout,
                                   .stochastic_depth = c.stochastic_depth * part,
                                   .epsilon = c.epsilon,
                                   .activation = c.activation,
                                   .scale_per_head = c.scale_per_head,
                                   .core = {.window = window, .shift = shift, .tokens = c.scale_tokens}});
      }
      stage.blocks = nn::Stack<Block>(std::move(blocks));
    }
    return stages;
  }

  template <class Ctx, class Module, class AttentionTape>
  static nn::TensorOf<Ctx, 3> weights_of_windows(Ctx& ctx, Module const& attention, AttentionTape const& tape,
                                                 Index sample) {
    Index const windows = tape.call.windows(), heads = attention.config().heads, n = tape.call.tokens();
    ATTN_CHECK(sample >= 0 && (sample + 1) * windows <= tape.projected.q.extent(0),
               "Swin::attention_weights: choose one of ", tape.projected.q.extent(0) / windows, " samples, got number ",
               sample);
    auto const result = ctx.tensor(windows * heads, n, n);
    for (Index w = 0; w < windows; ++w) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      auto const of_window = attention.weights(ctx, tape, sample * windows + w);
      Kokkos::deep_copy(ctx.exec, result.slice(0, w * heads, (w + 1) * heads).view(), of_window.view());
    }
    return result;
  }

  template <class Ctx>
  nn::TensorOf<Ctx, 3> backward_to_patches(Ctx& ctx, Tape<Ctx>& tape, nn::ConstTensorOf<Ctx, 2> d_logits) const {
    nn::detail::check_tape("Swin::backward", tape.head);
    ATTN_CHECK(d_logits.extent(0) == tape.head.extent(0) && d_logits.extent(1) == config_.classes,
               "Swin::backward: give d_logits the shape of the logits, (", tape.head.extent(0), ", ", config_.classes,
               "), got (", d_logits.extent(0), ", ", d_logits.extent(1), ")");
    head_.add_gradients(ctx, tape.head, d_logits);
    auto const d_pooled = ctx.tensor(tape.head.extents());
    head_.pull_back(ctx, d_logits, d_pooled);
    auto const d_normal = pooling_.backward(ctx, std::move(tape.pooling), d_pooled);
    auto d = norm_.backward(ctx, std::move(tape.norm), d_normal);
    for (std::size_t s = stages_.size(); s-- > 0;) {
      stages_[s].blocks.backward_in_place(ctx, std::move(tape.stages[s].blocks), d);
      if (stages_[s].merging) d = stages_[s].merging->backward(ctx, std::move(tape.stages[s].merging), d);
    }
    return patch_norm_.backward(ctx, std::move(tape.patch_norm), nn::detail::as_tokens(nn::ConstMapsOf<Ctx>(d)));
  }

  Config config_;
  nn::PatchEmbedding patches_;
  nn::LayerNorm patch_norm_;
  std::vector<Stage> stages_;
  nn::LayerNorm norm_;
  nn::GlobalAveragePooling pooling_;
  nn::Linear head_;
};

}  // namespace attn::models
