/// Attention: one module for all of attention, what projects around what attends.
///
///     using Timm = attn::nn::Attention<attn::nn::FusedQkv, attn::nn::FullAttention<attn::Softmax, attn::Causal>>;
///     Timm const layer(ctx / "attn", {.width = 192, .heads = 3});
#pragma once

#include "attn/nn/full_attention.hpp"
#include "attn/nn/projections.hpp"

#include <string>

namespace attn::nn {

namespace detail {

/// Whether a core puts tokens into an order of its own.
template <class Core, class Ctx>
concept Rearranges = requires(Core const& core, Ctx& ctx, typename Core::template Call<Ctx> const& call,
                              ConstTensorOf<Ctx, 3> x) {
  core.arrange(ctx, call, x);
};

/// Whether there is one matrix of weights for each head, to look at.
template <class Core, class Ctx>
concept HasWeights = requires(Core const& core, Ctx& ctx, typename Core::template Call<Ctx> const& call,
                              ConstTensorOf<Ctx, 3> x) {
  core.weights(ctx, call, x, x, Index(0));
  core.norms(ctx, call, x, x, x);
};

/// Whether a core drops weights in training.
template <class Core>
inline constexpr bool drops_weights = requires {
  requires Core::drops_weights;
};

}  // namespace detail

/// `Projections` (nn/projections.hpp) make q, k and v of tokens, and the output of what the `Core` attends to
/// (nn/full_attention.hpp and its siblings). q, k and v are read where the products wrote them: no copies.
///
/// Parameters are those of both, under the names of both.
template <class Projections, class Core>
class Attention {
 public:
  using Activation = typename Core::Activation;
  using Settings = typename Core::Settings;

  struct Config {
    Index width = 0;
    Index heads = 1;
    Index tokens = 1;  ///< keys that an activation's trained numbers are initialised for
    bool qkv_bias = true;
    double dropout = 0;            ///< after the output projection
    double attention_dropout = 0;  ///< of weights, by a core that drops some
    Activation activation = {};
    bool scale_per_head = false;  ///< trained numbers of the activation: one set for each head
    Settings core = {};           ///< what the core wants besides: a mask, landmarks, windows
    std::optional<Initializer> initial = {}, initial_bias = {};  ///< none: those of the published code
  };

  /// Keeps x, q, k and v, the attention's output, and what the core saves.
  template <class Ctx>
  struct Tape {
    ConstTensorOf<Ctx, 3> x, memory;  // (B, N, C), (B, M, C) as projected; the same in self-attention
    typename Projections::template Room<Ctx> projected;
    TensorOf<Ctx, 3> attended;  // (B, N, C)
    typename Core::template Call<Ctx> call;
    typename Core::template Tape<Ctx> core;
    Linear::Ending<Ctx> ending;
    bool crosses = false;
    bool is_kept = false;
  };

  /// That of a call with a memory.
  template <class Ctx>
  struct CrossTape {
    Tape<Ctx> tape;
  };

  Attention(Builder const& builder, Config const& config)
      : Attention(builder, config, Dropout(builder / Projections::dropout_name, config.dropout)) {}

  /// With a dropout that draws elsewhere.
  Attention(Builder const& builder, Config const& config, Dropout const& dropout)
      : config_(checked(config)),
        projections_(builder,
                     {.width = config.width,
                      .bias = config.qkv_bias,
                      .initial = config.initial,
                      .initial_bias = config.initial_bias},
                     [&](Builder const& place) {
                       core_.emplace(place,
                                     CoreConfig<Activation>{.width = config.width,
                                                            .heads = config.heads,
                                                            .tokens = config.tokens,
                                                            .activation = config.activation,
                                                            .scale_per_head = config.scale_per_head,
                                                            .dropout = config.attention_dropout},
                                     config.core);
                     }),
        dropout_(dropout) {}

  /// x (B, N, C), or a feature map (B, H, W, C), -> y of the same shape. 8 B N C^2 flops for the projections.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    return forward(ctx, x, Onto<Ctx>{});
  }

  /// y = onto.source + onto.factors attention(x), with the source as tokens (B, N, C).
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x, Onto<Ctx> const& onto) const {
    using Output = detail::Like<Ctx, X>;
    detail::ConstLike<Ctx, X> const input = x;
    check_input("Attention::forward", input);
    Output const y = ctx.tensor(input.extents());
    typename Ctx::Scratch const scratch(ctx);
    auto const call = core_->call(ctx, input);
    auto const tokens = arranged(ctx, call, detail::as_tokens(input));
    return Forward<Output, Tape<Ctx>>{y, run(ctx, call, tokens, tokens, false, detail::as_tokens(y), onto)};
  }

  /// x (B, N, C) attends to memory (B, M, C): y = onto.source + onto.factors attention(x, memory), (B, N, C). With one
  /// token as x, this is class attention.
  template <class Ctx, class T>
  auto forward(Ctx& ctx, Cross<T, typename Ctx::MemorySpace> const& inputs, Onto<Ctx> const& onto = {}) const {
    static_assert(Core::takes_memory,
                  "Attention: this core attends to the tokens of its own sequence; for "
                  "cross-attention, write attn::nn::FullAttention<A, Mask>");
    ConstTensorOf<Ctx, 3> const x = inputs.x, memory = inputs.memory;
    check_input("Attention::forward", x);
    check_input("Attention::forward (memory)", memory);
    ATTN_CHECK(x.extent(0) == memory.extent(0), "Attention::forward: give x and memory the same batch, got ",
               x.extent(0), " and ", memory.extent(0));
    auto const y = ctx.tensor(x.extents());
    typename Ctx::Scratch const scratch(ctx);
    return Forward<TensorOf<Ctx, 3>, CrossTape<Ctx>>{y, {run(ctx, core_->call(ctx, x), x, memory, true, y, onto)}};
  }

  /// The gradient of x from that of y.
  template <class Ctx, class D>
  auto backward(Ctx& ctx, Tape<Ctx>&& tape, D const& d_y) const {
    check_tape("Attention::backward", tape);
    ATTN_CHECK(!tape.crosses && d_y.size() == tape.attended.size(),
               "Attention::backward: give d_y the shape of y, and the tape of self-attention");
    detail::Like<Ctx, D> const d_x = ctx.tensor(d_y.extents());
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    pull_back(ctx, tape, detail::as_tokens(detail::ConstLike<Ctx, D>(d_y)), detail::as_tokens(d_x), {});
    return d_x;
  }

  /// The gradients of both inputs.
  template <class Ctx>
  CrossOf<Ctx> backward(Ctx& ctx, CrossTape<Ctx>&& tape, ConstTensorOf<Ctx, 3> d_y) const {
    check_tape("Attention::backward", tape.tape);
    ATTN_CHECK(d_y.extents() == tape.tape.x.extents(), "Attention::backward: give d_y the shape of y");
    CrossOf<Ctx> const d{ctx.tensor(tape.tape.x.extents()), ctx.tensor(tape.tape.memory.extents())};
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    pull_back(ctx, tape.tape, d_y, d.x, d.memory);
    return d;
  }

  /// Squared norms of the attention matrix of each sample and head, and of its Jacobian: (B, H) each. Computed anew
  /// from the tape at the cost of a forward pass of attention.
  template <class Ctx>
  auto norms(Ctx& ctx, Tape<Ctx> const& tape) const {
    static_assert(detail::HasWeights<Core, Ctx>,
                  "Attention::norms: ask a core that computes its weights: landmarks do not");
    check_tape("Attention::norms", tape);
    auto const& p = tape.projected;
    return core_->norms(ctx, tape.call, ConstTensorOf<Ctx, 3>(p.q), ConstTensorOf<Ctx, 3>(p.k),
                        ConstTensorOf<Ctx, 3>(p.v));
  }

  /// The attention matrices of one sample: (H, N, M), query by key: attention to values that are the unit matrix.
  template <class Ctx>
  TensorOf<Ctx, 3> weights(Ctx& ctx, Tape<Ctx> const& tape, Index sample) const {
    static_assert(detail::HasWeights<Core, Ctx>,
                  "Attention::weights: ask a core that computes its weights: landmarks do not");
    check_tape("Attention::weights", tape);
    Index const samples = tape.projected.q.extent(0);
    ATTN_CHECK(sample >= 0 && sample < samples, "Attention::weights: choose one of ", samples, " samples, got number ",
               sample);
    auto const& p = tape.projected;
    return core_->weights(ctx, tape.call, ConstTensorOf<Ctx, 3>(p.q), ConstTensorOf<Ctx, 3>(p.k), sample);
  }

  Config const& config() const { return config_; }
  Core const& core() const { return *core_; }

 private:
  static Config const& checked(Config const& c) {
    ATTN_CHECK(c.width > 0 && c.heads > 0 && c.width % c.heads == 0,
               "Attention: make the width a multiple of the heads, got width ", c.width, " and ", c.heads, " heads");
    ATTN_CHECK(c.tokens > 0, "Attention: give a positive number of tokens, got ", c.tokens);
    ATTN_CHECK(detail::drops_weights<Core> || c.attention_dropout == 0, "Attention: for an attention_dropout of ",
               c.attention_dropout,
               " write a core that drops weights, attn::nn::FullAttention<A, Mask, attn::AttentionDropout>");
    return c;
  }

  template <class X>
  void check_input(char const* function, X const& x) const {
    ATTN_CHECK(x.extent(X::rank - 1) == config_.width && x.is_contiguous(), function, ": give a contiguous (B, N, ",
               config_.width, ") tensor, got ", detail::shape_text(x));
  }
  template <class T>
  static void check_tape(char const* function, T const& tape) {
    ATTN_CHECK(tape.is_kept, function,
               ": run forward with ctx.training or ctx.keep_tape switched on, and use each tape once");
  }

  template <class Ctx, class Call>
  ConstTensorOf<Ctx, 3> arranged(Ctx& ctx, Call const& call, ConstTensorOf<Ctx, 3> x) const {
    if constexpr (detail::Rearranges<Core, Ctx>) {
      return core_->arrange(ctx, call, x);
    } else {
      return x;
    }
  }

  template <class Ctx, class Call>
  Tape<Ctx> run(Ctx& ctx, Call const& call, ConstTensorOf<Ctx, 3> x, ConstTensorOf<Ctx, 3> memory, bool crosses,
                TensorOf<Ctx, 3> y, Onto<Ctx> const& onto) const {
    Tape<Ctx> tape{x,  memory,  projections_.room(ctx, x.extents(), crosses ? &memory.extents() : nullptr),
                   {}, call,    {},
                   {}, crosses, true};
    auto const& p = tape.projected;
    projections_.project(ctx, x, memory, p);
    auto [attended, core] =
        core_->forward(ctx, call, ConstTensorOf<Ctx, 3>(p.q), ConstTensorOf<Ctx, 3>(p.k), ConstTensorOf<Ctx, 3>(p.v));
    tape.core = std::move(core);
    tape.attended = attended;
    ConstTensorOf<Ctx, 3> in_order = attended;
    if constexpr (detail::Rearranges<Core, Ctx>) {
      tape.attended = ctx.tensor(y.extents());
      core_->restore(ctx, call, in_order, tape.attended);
    }
    tape.ending = projections_.finish(ctx, ConstTensorOf<Ctx, 3>(tape.attended), y, dropout_, onto);
    if (!ctx.keeps_tape()) tape = {};
    return tape;
  }

  /// d_y (B, N, C), and the gradients to set; in self-attention d_memory is not.
  template <class Ctx>
  void pull_back(Ctx& ctx, Tape<Ctx>& tape, ConstTensorOf<Ctx, 3> d_y, TensorOf<Ctx, 3> d_x,
                 TensorOf<Ctx, 3> d_memory) const {
    using Const = ConstTensorOf<Ctx, 3>;
    auto const d_end = projections_.out().template unfinish<Ctx>(ctx, tape.ending, d_y);
    projections_.out().add_gradients(ctx, tape.attended.rows(), d_end.rows());
    auto const d = projections_.room(ctx, tape.x.extents(), tape.crosses ? &tape.memory.extents() : nullptr);
    {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      auto const d_attended = ctx.tensor(d_y.extents());
      projections_.out().pull_back(ctx, d_end.rows(), d_attended.rows());
      auto const& p = tape.projected;
      core_->backward(ctx, tape.call, std::move(tape.core), Const(p.q), Const(p.k), Const(p.v), Const(tape.attended),
                      arranged(ctx, tape.call, Const(d_attended)), d.q, d.k, d.v);
    }
    if constexpr (detail::Rearranges<Core, Ctx>) {
      auto const d_arranged = ctx.tensor(tape.x.extents());
      projections_.pull_back(ctx, tape.x, tape.memory, d, d_arranged, d_memory);
      core_->restore(ctx, tape.call, Const(d_arranged), d_x);
    } else {
      projections_.pull_back(ctx, tape.x, tape.memory, d, d_x, d_memory);
    }
    tape.is_kept = false;
  }

  Config config_;
  std::optional<Core> core_;  // always there: the projections construct it at its place among the parameters
  Projections projections_;
  Dropout dropout_;
};

}  // namespace attn::nn
