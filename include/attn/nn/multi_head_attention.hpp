/// MultiHeadAttention: self-attention with any activation between two linear layers.
#pragma once

#include "attn/attention/attention.hpp"
#include "attn/nn/detail/module_activation.hpp"
#include "attn/nn/linear.hpp"

namespace attn::nn {

namespace detail {

template <class T>
struct UnitMatrix {
  T* to;
  Index n;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    lanes.store(to + row * n + column, one_hot(lanes, column, row, 1, 0));
  }
};

}  // namespace detail

/// Parameters, in timm's layout: qkv.weight (3 width, width) whose outputs are (3, heads, width / heads), qkv.bias,
/// proj.weight (width, width), proj.bias; for a `LearnableActivation` also activation.<name>, (1) or (heads).
///
/// q, k and v are read in place from the fused projection: no copies.
template <class A, Mask M = Full>
class MultiHeadAttention {
 public:
  using Activation = A;

  struct Config {
    Index width = 0;
    Index heads = 1;
    Index tokens = 1;  ///< keys that an activation's trained numbers are initialised for
    bool qkv_bias = true;
    double dropout = 0;  ///< after the output projection
    A activation = {};
    bool scale_per_head = false;  ///< trained numbers of the activation: one set for each head
    M mask = {};
    Initializer initial = truncated_normal(0.02);
  };

  /// Keeps x, the projections and the attention's output: 5 width numbers a token, and the activation's `Saved`.
  template <class Ctx, class Saved>
  struct Tape {
    ConstTensorOf<Ctx, 3> x;    // (B, N, C)
    TensorOf<Ctx, 3> qkv;       // (B, N, 3 C)
    TensorOf<Ctx, 3> attended;  // (B, N, C)
    Saved saved;
    Linear::Ending<Ctx> ending;
  };

  MultiHeadAttention(Builder const& builder, Config const& config)
      : config_(checked(config)),
        qkv_(builder / "qkv",
             {.inputs = config.width, .outputs = 3 * config.width, .bias = config.qkv_bias, .initial = config.initial}),
        proj_(builder / "proj", {.inputs = config.width, .outputs = config.width, .initial = config.initial}),
        dropout_(builder / "proj_drop", config.dropout),
        activation_(builder, config.activation, config.heads, config.tokens, config.scale_per_head) {}

  /// x (B, N, C) -> y (B, N, C). 8 B N C^2 flops for the projections, 4 B N^2 C for the attention.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    return forward(ctx, x, Onto<Ctx>{});
  }

  /// y = onto.source + onto.factors attention(x).
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x, Onto<Ctx> const& onto) const {
    using T = typename Ctx::Scalar;
    ConstTensorOf<Ctx, 3> const input = x;
    check_input("MultiHeadAttention::forward", input);
    Index const batch = input.extent(0), tokens = input.extent(1);
    auto const y = ctx.tensor(input.extents());
    typename Ctx::Scratch const scratch(ctx);
    auto const activation = activation_.bind(ctx);
    using Saved = attn::Saved<std::remove_const_t<decltype(activation)>, AccumulatorOf<T>, typename Ctx::MemorySpace>;

    Tape<Ctx, Saved> tape{input,
                          ctx.tensor(batch, tokens, 3 * config_.width),
                          ctx.tensor(input.extents()),
                          Saved(ctx.workspace, activation, batch, config_.heads, tokens),
                          {}};
    qkv_.multiply(ctx, input.rows(), tape.qkv.rows());
    attn::attention(ctx.exec, activation, part(tape.qkv, 0), part(tape.qkv, 1), part(tape.qkv, 2), heads(tape.attended),
                    tape.saved, options());
    tape.ending = proj_.finish(ctx, tape.attended, y, dropout_, onto);
    if (!ctx.keeps_tape()) tape = {};
    return Forward<TensorOf<Ctx, 3>, Tape<Ctx, Saved>>{y, tape};
  }

  template <class Ctx, class Saved>
  TensorOf<Ctx, 3> backward(Ctx& ctx, Tape<Ctx, Saved>&& tape, ConstTensorOf<Ctx, 3> d_y) const {
    detail::check_tape("MultiHeadAttention::backward", tape.x);
    ATTN_CHECK(d_y.extents() == tape.x.extents(), "MultiHeadAttention::backward: give d_y the shape of y");
    auto const d_x = ctx.tensor(d_y.extents());
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d_proj = proj_.unfinish(ctx, tape.ending, d_y);
    proj_.add_gradients(ctx, tape.attended.rows(), d_proj.rows());
    auto const d_attended = ctx.tensor(d_y.extents());
    proj_.pull_back(ctx, d_proj.rows(), d_attended.rows());

    auto const d_qkv = ctx.tensor(tape.qkv.extents());
    activation_.bind_gradients(ctx, [&](auto const& activation) {
      attn::attention_backward(ctx.exec, activation, part(tape.qkv, 0), part(tape.qkv, 1), part(tape.qkv, 2),
                               heads(tape.attended), tape.saved, heads(d_attended), part(d_qkv, 0), part(d_qkv, 1),
                               part(d_qkv, 2), options());
    });
    qkv_.add_gradients(ctx, tape.x.rows(), d_qkv.rows());
    qkv_.pull_back(ctx, d_qkv.rows(), d_x.rows());
    return d_x;
  }

  /// Squared norms of the attention matrix of each sample and head, and of its Jacobian: (B, H) each. Computed anew
  /// from the tape at the cost of a forward pass of attention.
  template <class Ctx, class Saved>
  auto norms(Ctx& ctx, Tape<Ctx, Saved> const& tape) const {
    using R = typename Ctx::Real;
    using Memory = typename Ctx::MemorySpace;
    detail::check_tape("MultiHeadAttention::norms", tape.x);
    Index const batch = tape.x.extent(0);
    AttentionNorms<R, Memory> const norms{ctx.template tensor<R>(batch, config_.heads),
                                          ctx.template tensor<R>(batch, config_.heads)};
    typename Workspace<Memory>::Scope const scope(ctx.workspace);
    auto const out = ctx.tensor(tape.x.extents());
    auto const activation = activation_.bind(ctx);
    Saved const saved(ctx.workspace, activation, batch, config_.heads, tape.x.extent(1));
    attn::attention(ctx.exec, activation, part(tape.qkv, 0), part(tape.qkv, 1), part(tape.qkv, 2), heads(out), saved,
                    AttentionOptions<M, AttentionNorms<R, Memory>>{.mask = config_.mask, .norms = norms});
    return norms;
  }

  /// The attention matrices of one sample: (H, N, N), query by key: attention to values that are the unit matrix.
  template <class Ctx, class Saved>
  TensorOf<Ctx, 3> weights(Ctx& ctx, Tape<Ctx, Saved> const& tape, Index sample) const {
    using T = typename Ctx::Scalar;
    detail::check_tape("MultiHeadAttention::weights", tape.x);
    ATTN_CHECK(sample >= 0 && sample < tape.x.extent(0), "MultiHeadAttention::weights: choose one of ",
               tape.x.extent(0), " samples, got number ", sample);
    Index const n = tape.x.extent(1), heads = config_.heads;
    auto const result = ctx.tensor(heads, n, n);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const unit = ctx.tensor(n, n);
    elementwise<T>(ctx.exec, "attn::MultiHeadAttention::unit", n, n, detail::UnitMatrix<T>{unit.data(), n});
    TensorOf<Ctx, 4> const values(unit.data(), {1, heads, n, n}, {0, 0, n, 1});
    auto const activation = activation_.bind(ctx);
    Saved const saved(ctx.workspace, activation, 1, heads, n);
    auto const of_sample = [&](int which) { return part(tape.qkv.slice(0, sample, sample + 1), which); };
    attn::attention(ctx.exec, activation, of_sample(0), of_sample(1), values,
                    TensorOf<Ctx, 4>(result.data(), {1, heads, n, n}), saved, options());
    return result;
  }

  /// For masks that depend on the batch, such as `KeyPadding`: set before forward, keep until backward.
  void set_mask(M const& mask) { config_.mask = mask; }

  Config const& config() const { return config_; }

 private:
  static Config const& checked(Config const& c) {
    ATTN_CHECK(c.width > 0 && c.heads > 0 && c.width % c.heads == 0,
               "MultiHeadAttention: make the width a multiple of the heads, got width ", c.width, " and ", c.heads,
               " heads");
    ATTN_CHECK(c.tokens > 0, "MultiHeadAttention: give a positive number of tokens, got ", c.tokens);
    return c;
  }

  template <class X>
  void check_input(char const* function, X const& x) const {
    ATTN_CHECK(x.extent(2) == config_.width && x.is_contiguous(), function, ": give a contiguous (B, N, ",
               config_.width, ") tensor, got (", x.extent(0), ", ", x.extent(1), ", ", x.extent(2), ")");
  }

  /// q, k or v of a fused projection (B, N, 3 C), as (B, H, N, C / H) in place.
  template <class X>
  auto part(X const& qkv, int which) const {
    return heads(qkv.slice(2, which * config_.width, (which + 1) * config_.width));
  }

  /// (B, N, C) of any strides -> (B, H, N, C / H).
  template <class T, class Memory>
  Tensor<T, 4, Memory> heads(Tensor<T, 3, Memory> const& x) const {
    Index const width = config_.width / config_.heads;
    return {x.data(), {x.extent(0), config_.heads, x.extent(1), width}, {x.stride(0), width, x.stride(1), 1}};
  }

  AttentionOptions<M> options() const { return {.mask = config_.mask}; }

  Config config_;
  Linear qkv_;
  Linear proj_;
  Dropout dropout_;
  detail::ModuleActivation<A> activation_;
};

}  // namespace attn::nn
