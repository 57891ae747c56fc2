/// TransformerBlock: attention and an MLP, each behind a norm and around a residual connection.
#pragma once

#include "attn/nn/layer_norm.hpp"
#include "attn/nn/layer_scale.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/multi_head_attention.hpp"
#include "attn/nn/residual.hpp"

namespace attn::nn {

namespace detail {

struct NoSettings {};
/// What the core of an attention module wants besides its sizes.
template <class Attention>
struct SettingsOfTrait {
  using type = NoSettings;
};
template <class Attention>
requires requires { typename Attention::Settings; }
struct SettingsOfTrait<Attention> {
  using type = typename Attention::Settings;
};

}  // namespace detail

/// x + attn(norm1(x)), then x + mlp(norm2(x)): the pre-norm block of ViT (Dosovitskiy et al. 2020), built from the
/// policies given. Submodules are called norm1, attn, norm2 and mlp, as in timm; of trained factors at the ends of the
/// branches, x + ls1(attn(norm1(x))), then x + ls2(mlp(norm2(x))), ls1 and ls2.
template <class Attention, class MlpModule, class Norm = LayerNorm>
class TransformerBlock {
 public:
  using Activation = typename Attention::Activation;

  /// Sizes of the parts; each part takes what it has a field for.
  struct Config {
    Index width = 0;
    Index heads = 1;
    Index hidden = 0;  ///< of the MLP
    Index tokens = 1;  ///< keys that an activation's trained numbers are initialised for
    bool qkv_bias = true;
    double dropout = 0;            ///< after the attention's projection and in the MLP
    double attention_dropout = 0;  ///< of attention's weights, where `Attention` drops some
    double stochastic_depth = 0;   ///< of each of the two branches
    double epsilon = 1e-6;         ///< of the norms
    double layer_scale = 0;        ///< what a factor for each channel of a branch starts from; 0: there is none
    Activation activation = {};
    bool scale_per_head = false;
    Initializer initial = truncated_normal(0.02);
    typename detail::SettingsOfTrait<Attention>::type core = {};  ///< of the attention: a mask, windows
  };

  template <class First, class Second>
  struct Tape {
    First attention;
    Second mlp;
  };

  TransformerBlock(Builder const& builder, Config const& c)
      : attention_{Norm(builder / "norm1", {.width = c.width, .epsilon = c.epsilon}),
                   {Attention(builder / "attn", attention_config(c)), scale(builder / "ls1", c)},
                   StochasticDepth(builder / "drop_path1", c.stochastic_depth)},
        mlp_{Norm(builder / "norm2", {.width = c.width, .epsilon = c.epsilon}),
             {MlpModule(builder / "mlp",
                        {.width = c.width, .hidden = c.hidden, .dropout = c.dropout, .initial = c.initial}),
              scale(builder / "ls2", c)},
             StochasticDepth(builder / "drop_path2", c.stochastic_depth)} {}  // braces: in this order

  /// x (B, N, C), or a feature map (B, H, W, C), -> y of the same shape.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    auto [middle, first] = attention_.forward(ctx, x);
    auto [y, second] = mlp_.forward(ctx, middle);
    return Forward<decltype(y), Tape<decltype(first), decltype(second)>>{y, {std::move(first), std::move(second)}};
  }

  template <class Ctx, class First, class Second, class D>
  auto backward(Ctx& ctx, Tape<First, Second>&& tape, D const& d_y) const {
    auto const d = mlp_.backward(ctx, std::move(tape.mlp), d_y);
    return attention_.backward_in_place(ctx, std::move(tape.attention), d);
  }

  /// Turns the gradient of y into that of x.
  template <class Ctx, class First, class Second, class D>
  D backward_in_place(Ctx& ctx, Tape<First, Second>&& tape, D const& d) const {
    mlp_.backward_in_place(ctx, std::move(tape.mlp), d);
    return attention_.backward_in_place(ctx, std::move(tape.attention), d);
  }

  /// The attention module and its part of a tape: for norms and maps of its weights.
  Attention const& attention() const { return attention_.branch().branch(); }
  template <class First, class Second>
  static auto const& attention_tape(Tape<First, Second> const& tape) {
    return tape.attention.branch.branch;
  }

 private:
  static typename Attention::Config attention_config(Config const& c) {
    typename Attention::Config config{.width = c.width,
                                      .heads = c.heads,
                                      .tokens = c.tokens,
                                      .qkv_bias = c.qkv_bias,
                                      .dropout = c.dropout,
                                      .activation = c.activation,
                                      .scale_per_head = c.scale_per_head};
    config.initial = c.initial;
    config.attention_dropout = c.attention_dropout;
    if constexpr (requires { config.core = c.core; }) config.core = c.core;
    return config;
  }

  static std::optional<LayerScale> scale(Builder const& builder, Config const& c) {
    if (c.layer_scale == 0) return std::nullopt;
    return LayerScale(builder, {.width = c.width, .initial = c.layer_scale});
  }

  Residual<Norm, Scaled<Attention>> attention_;
  Residual<Norm, Scaled<MlpModule>> mlp_;
};

}  // namespace attn::nn
