/// CrossCovarianceBlock: attention among channels, a word with the neighbours, and an MLP.
#pragma once

#include "attn/nn/cross_covariance_attention.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/layer_scale.hpp"
#include "attn/nn/local_patch_interaction.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/nn/residual.hpp"

namespace attn::nn {

/// x (B, H, W, C) -> y of the same shape: x += gamma1 attn(norm1(x)), then x += gamma3 local_mp(norm3(x)), then
/// x += gamma2 mlp(norm2(x)), with stochastic depth on each (XCiT; El-Nouby et al. 2021). The second branch is number 3
/// in published weights. Submodules have the names above, as timm's XCABlock; gamma1, gamma2 and gamma3 (C) are
/// parameters.
template <class A>
class CrossCovarianceBlock {
 public:
  using Activation = A;
  using AttentionModule = Attention<FusedQkv, CrossCovarianceAttention<A>>;

  struct Config {
    Index width = 0;
    Index heads = 1;
    Index hidden = 0;  ///< of the MLP
    Index tokens = 0;  ///< keys that trained numbers are initialised for; 0: width / heads, as a row has
    bool qkv_bias = true;
    double dropout = 0;           ///< after the attention's projection and in the MLP
    double stochastic_depth = 0;  ///< of each of the three branches
    double epsilon = 1e-6;        ///< of the norms
    double layer_scale = 1;       ///< what the gammas start from
    Activation activation = {};
    bool scale_per_head = false;
  };

  template <class First, class Second, class Third>
  struct Tape {
    First attention;
    Second local;
    Third mlp;
  };

  CrossCovarianceBlock(Builder const& builder, Config const& c)
      : attention_{norm(builder / "norm1", c),
                   {AttentionModule(builder / "attn", {.width = c.width,
                                                       .heads = c.heads,
                                                       .qkv_bias = c.qkv_bias,
                                                       .dropout = c.dropout,
                                                       .activation = c.activation,
                                                       .scale_per_head = c.scale_per_head,
                                                       .core = {.tokens = c.tokens}}),
                    scale(builder, "gamma1", c)},
                   StochasticDepth(builder / "drop_path1", c.stochastic_depth)},
        local_{norm(builder / "norm3", c),
               {LocalPatchInteraction(builder / "local_mp", {.width = c.width}), scale(builder, "gamma3", c)},
               StochasticDepth(builder / "drop_path3", c.stochastic_depth)},
        mlp_{norm(builder / "norm2", c),
             {Mlp<Gelu>(builder / "mlp", {.width = c.width, .hidden = c.hidden, .dropout = c.dropout}),
              scale(builder, "gamma2", c)},
             StochasticDepth(builder / "drop_path2", c.stochastic_depth)} {}

  template <class Ctx, FeatureMaps X>
  auto forward(Ctx& ctx, X const& x) const {
    auto [attended, first] = attention_.forward(ctx, x);
    auto [mixed, second] = local_.forward(ctx, attended);
    auto [y, third] = mlp_.forward(ctx, mixed);
    return Forward<decltype(y), Tape<decltype(first), decltype(second), decltype(third)>>{
        y, {std::move(first), std::move(second), std::move(third)}};
  }

  template <class Ctx, class... Parts, class D>
  auto backward(Ctx& ctx, Tape<Parts...>&& tape, D const& d_y) const {
    auto const d = mlp_.backward(ctx, std::move(tape.mlp), d_y);
    local_.backward_in_place(ctx, std::move(tape.local), d);
    return attention_.backward_in_place(ctx, std::move(tape.attention), d);
  }

  /// Turns the gradient of y into that of x.
  template <class Ctx, class... Parts, class D>
  D backward_in_place(Ctx& ctx, Tape<Parts...>&& tape, D const& d) const {
    mlp_.backward_in_place(ctx, std::move(tape.mlp), d);
    local_.backward_in_place(ctx, std::move(tape.local), d);
    return attention_.backward_in_place(ctx, std::move(tape.attention), d);
  }

  /// The attention module and its part of a tape: for norms and maps of its weights.
  AttentionModule const& attention() const { return attention_.branch().branch(); }
  template <class... Parts>
  static auto const& attention_tape(Tape<Parts...> const& tape) {
    return tape.attention.branch.branch;
  }

 private:
  static LayerNorm norm(Builder const& builder, Config const& c) {
    return LayerNorm(builder, {.width = c.width, .epsilon = c.epsilon});
  }
  static LayerScale scale(Builder const& builder, char const* name, Config const& c) {
    return LayerScale(builder, {.width = c.width, .initial = c.layer_scale, .name = name});
  }

  Residual<LayerNorm, Scaled<AttentionModule>> attention_;
  Residual<LayerNorm, Scaled<LocalPatchInteraction>> local_;
  Residual<LayerNorm, Scaled<Mlp<Gelu>>> mlp_;
};

}  // namespace attn::nn
