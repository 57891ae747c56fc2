/// ClassAttentionBlock: the class token alone attends, to all tokens.
#pragma once

#include "attn/nn/attention.hpp"
#include "attn/nn/class_token.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/layer_scale.hpp"
#include "attn/nn/mlp.hpp"

namespace attn::nn {

/// x (B, N, C) -> y (B, N, C), whose token 0 is the class token (Touvron et al. 2021, CaiT; as XCiT and timm have it):
///
///     n = norm1(x)
///     m = x + gamma1 [attn(n_0 to n), n_1, n_2, ...]      other tokens go through the norm alone
///     m = norm2(m)                                        or, without `tokens_norm`, norm2(m_0), m_1, m_2, ...
///     y = [m_0 + gamma2 mlp(m_0), 2 m_1, 2 m_2, ...]      other tokens double: published weights were trained so
///
/// The residual connection around the MLP starts behind the norm. Submodules are called norm1, attn, norm2 and mlp;
/// gamma1 and gamma2 (C) are parameters.
template <class A>
class ClassAttentionBlock {
 public:
  using Activation = A;
  using AttentionModule = Attention<SeparateQkv, FullAttention<A>>;
  using MlpModule = Scaled<Mlp<Gelu>>;

  struct Config {
    Index width = 0;
    Index heads = 1;
    Index hidden = 0;  ///< of the MLP
    Index tokens = 1;  ///< keys that an activation's trained numbers are initialised for
    bool qkv_bias = true;
    double dropout = 0;  ///< after the attention's projection and in the MLP
    double epsilon = 1e-6;
    double layer_scale = 1;  ///< what gamma1 and gamma2 start from
    bool tokens_norm = true;
    Activation activation = {};
    bool scale_per_head = false;
  };

  template <class Ctx>
  struct Tape {
    TapeOf<LayerNorm, Ctx, ConstTensorOf<Ctx, 3>> norm1, norm2;
    typename AttentionModule::template CrossTape<Ctx> attention;
    LayerScale::Tape<Ctx, ConstTensorOf<Ctx, 3>> scale1;
    TapeOf<MlpModule, Ctx, ConstTensorOf<Ctx, 3>> mlp;
  };

  ClassAttentionBlock(Builder const& builder, Config const& c)
      : tokens_norm_(c.tokens_norm),
        norm1_(builder / "norm1", {.width = c.width, .epsilon = c.epsilon}),
        attention_(builder / "attn", {.width = c.width,
                                      .heads = c.heads,
                                      .tokens = c.tokens,
                                      .qkv_bias = c.qkv_bias,
                                      .dropout = c.dropout,
                                      .activation = c.activation,
                                      .scale_per_head = c.scale_per_head}),
        scale1_(builder, {.width = c.width, .initial = c.layer_scale, .name = "gamma1"}),
        norm2_(builder / "norm2", {.width = c.width, .epsilon = c.epsilon}),
        mlp_(Mlp<Gelu>(builder / "mlp", {.width = c.width, .hidden = c.hidden, .dropout = c.dropout}),
             LayerScale(builder, {.width = c.width, .initial = c.layer_scale, .name = "gamma2"})) {}

  template <class Ctx, class X>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, X const& x) const {
    using Const = ConstTensorOf<Ctx, 3>;
    Const const input = x;
    ATTN_CHECK(input.extent(1) > 0 && input.is_contiguous(),
               "ClassAttentionBlock::forward: give a contiguous (B, N, C) tensor with a class token in front, got ",
               detail::shape_text(input));
    auto const y = ctx.tensor(input.extents());
    typename Ctx::Scratch const scratch(ctx);
    auto [normal, norm1] = norm1_.forward(ctx, input);
    auto [attended, attention] =
        attention_.forward(ctx, CrossOf<Ctx>{detail::take_tokens(ctx, Const(normal), 0, 1), normal});
    auto const joined = ctx.tensor(input.extents());
    join(ctx, Const(attended), {}, Const(normal), 1, joined);
    auto [middle, scale1] = scale1_.forward(ctx, Const(joined), Onto<Ctx>{input});
    auto [token, rest, norm2] = normalize(ctx, Const(middle));
    auto [new_token, mlp] = mlp_.forward(ctx, token, Onto<Ctx>{token});
    join(ctx, Const(new_token), {}, rest, 2, y);
    Tape<Ctx> tape;
    if (ctx.keeps_tape()) tape = {norm1, norm2, std::move(attention), scale1, std::move(mlp)};
    return {y, std::move(tape)};
  }

  template <class Ctx>
  TensorOf<Ctx, 3> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 3> d_y) const {
    using Const = ConstTensorOf<Ctx, 3>;
    detail::check_tape("ClassAttentionBlock::backward", tape.scale1.x);
    ATTN_CHECK(d_y.extents() == tape.scale1.x.extents() && d_y.is_contiguous(),
               "ClassAttentionBlock::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(d_y.extents());
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);

    // forward: y_0 = m_0 + gamma2 mlp(m_0), y_t = 2 m_t, m = norm2(middle)
    Const const d_token = detail::take_tokens(ctx, d_y, 0, 1);
    Const const d_mlp = mlp_.backward(ctx, std::move(tape.mlp), d_token);
    auto const d_middle = [&] {
      auto const d = ctx.tensor(d_y.extents());
      if (tokens_norm_) {
        join(ctx, d_token, d_mlp, d_y, 2, d);
        return norm2_.backward(ctx, std::move(tape.norm2), Const(d));
      }
      auto const sum = ctx.tensor(d_token.extents());
      join(ctx, d_token, d_mlp, d_token, 1, sum);
      join(ctx, Const(norm2_.backward(ctx, std::move(tape.norm2), Const(sum))), {}, d_y, 2, d);
      return d;
    }();

    // forward: middle = x + gamma1 [attn(n_0 to n), n_1, ...], n = norm1(x)
    Const const d_joined = scale1_.backward(ctx, std::move(tape.scale1), Const(d_middle));
    auto const d_n = attention_.backward(ctx, std::move(tape.attention), detail::take_tokens(ctx, d_joined, 0, 1));
    join(ctx, Const(d_n.x), {}, d_joined, 1, d_n.memory, true);
    norm1_.backward_add(ctx, std::move(tape.norm1), Const(d_n.memory), d_middle);
    Kokkos::deep_copy(ctx.exec, flat(d_x).view(), flat(d_middle).view());
    return d_x;
  }

  /// The attention module, and its part of a tape, for norms and maps of its weights: one query, the class token.
  AttentionModule const& attention() const { return attention_; }
  template <class Ctx>
  static auto const& attention_tape(Tape<Ctx> const& tape) {
    return tape.attention.tape;
  }

 private:
  template <class Ctx>
  struct Normal {
    ConstTensorOf<Ctx, 3> token, rest;
    TapeOf<LayerNorm, Ctx, ConstTensorOf<Ctx, 3>> tape;
  };

  /// norm2 of all tokens, or of the class token.
  template <class Ctx>
  Normal<Ctx> normalize(Ctx& ctx, ConstTensorOf<Ctx, 3> x) const {
    using Const = ConstTensorOf<Ctx, 3>;
    if (tokens_norm_) {
      auto const [all, tape] = norm2_.forward(ctx, x);
      return {detail::take_tokens(ctx, Const(all), 0, 1), all, tape};
    }
    auto const [token, tape] = norm2_.forward(ctx, Const(detail::take_tokens(ctx, x, 0, 1)));
    return {token, x, tape};
  }

  /// to_0 = first + also, to_t = factor rest_t, and what is there where `adds`.
  template <class Ctx>
  static void join(Ctx& ctx, ConstTensorOf<Ctx, 3> first, ConstTensorOf<Ctx, 3> also, ConstTensorOf<Ctx, 3> rest,
                   double factor, TensorOf<Ctx, 3> to, bool adds = false) {
    using T = typename Ctx::Scalar;
    Index const tokens = to.extent(1), width = to.extent(2);
    elementwise<T>(ctx.exec, "attn::ClassAttentionBlock::join", to.extent(0) * tokens, width,
                   detail::JoinTokens<T>{first.data(), also.data(), rest.data(), to.data(), tokens, tokens, width,
                                         width, RealOf<T>(factor), adds});
  }

  template <class X>
  static auto flat(X const& x) {
    return x.template reshape<1>({x.size()});
  }

  bool tokens_norm_;
  LayerNorm norm1_;
  AttentionModule attention_;
  LayerScale scale1_;
  LayerNorm norm2_;
  MlpModule mlp_;
};

}  // namespace attn::nn
