/// FullAttention: every query to every key that its mask shows; the core of most attention modules.
///
/// What the core of an `Attention` offers:
///
///  1. `Settings`, what it wants besides the sizes in `CoreConfig`; it is constructed from a `Builder` and both, and
///     registers its own parameters: the trained numbers of its activation, tables, temperatures.
///  2. `call(ctx, x)`: what it must know of one call, masks for example, from the input and the context.
///  3. `forward(ctx, call, q, k, v)`: q (B, N, C), k and v (B, M, C), of any strides with a unit last one -> (B, N, C),
///     and a tape. `backward(ctx, call, tape, q, k, v, y, d_y, d_q, d_k, d_v)` overwrites the last three.
///  4. `takes_memory`: whether queries and keys may come from different tokens.
///  5. Optional: `arrange` and `restore`, which put tokens into another order before the projections and back behind
///     attention. `drops_weights`, which is true of a core that drops weights at the rate `CoreConfig::dropout`.
#pragma once

#include "attn/attention/attention.hpp"
#include "attn/core/elementwise.hpp"
#include "attn/nn/detail/call_mask.hpp"
#include "attn/nn/detail/heads.hpp"
#include "attn/nn/detail/module_activation.hpp"
#include "attn/nn/dropout.hpp"
#include "attn/nn/precision.hpp"

#include <utility>

namespace attn::nn {

/// Sizes that every core has.
template <class A>
struct CoreConfig {
  Index width = 0;
  Index heads = 1;
  Index tokens = 1;  ///< keys that an activation's trained numbers are initialised for
  A activation = {};
  bool scale_per_head = false;
  double dropout = 0;  ///< of weights
};

namespace detail {

/// What attention saves for an activation of a module.
template <class Ctx, class A>
using SavedIn = attn::Saved<BoundIn<Ctx, A>, AccumulatorOf<typename Ctx::Scalar>, typename Ctx::MemorySpace>;

template <class A>
ModuleActivation<A> module_activation(Builder const& builder, CoreConfig<A> const& c) {
  return ModuleActivation<A>(builder, c.activation, c.heads, c.tokens, c.scale_per_head);
}

/// Whether attention of numbers of two bytes is computed in copies of fp32: of an activation that was chosen at run
/// time and has kernels for fp32 alone.
template <class Ctx, class A, class Options>
inline constexpr bool attends_in_copies = false;
template <class Ctx, ErasedActivation A, class Options>
requires is_narrow<typename Ctx::Scalar>
inline constexpr bool attends_in_copies<Ctx, A, Options> =
    !A::template names_call<typename Ctx::Space, typename Ctx::Scalar, Options>();

/// q (B, H, N, D), k (B, H, M, D), v (B, H, M, E) -> y (B, H, N, E), and what is saved.
template <class Ctx, class A, class Options>
SavedIn<Ctx, A> attend(Ctx& ctx, ModuleActivation<A> const& a, ConstTensorOf<Ctx, 4> q, ConstTensorOf<Ctx, 4> k,
                       ConstTensorOf<Ctx, 4> v, TensorOf<Ctx, 4> y, Options const& options) {
  auto const activation = a.bind(ctx);
  SavedIn<Ctx, A> const saved(ctx.workspace, activation, q.extent(0), q.extent(1), q.extent(2));
  attn::attention(ctx.exec, activation, q, k, v, y, saved, options);
  return saved;
}

/// The same for tokens (B, N, C) of `heads` heads.
template <class Ctx, class A, class Options>
SavedIn<Ctx, A> attend(Ctx& ctx, ModuleActivation<A> const& a, Index heads, ConstTensorOf<Ctx, 3> q,
                       ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3> v, TensorOf<Ctx, 3> y, Options const& options) {
  if constexpr (attends_in_copies<Ctx, A, Options>) {
    auto const activation = a.bind(ctx);
    SavedIn<Ctx, A> const saved(ctx.workspace, activation, q.extent(0), heads, q.extent(1));
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const sums = ctx.template tensor<typename Ctx::Real>(y.extents());
    attn::attention(ctx.exec, activation, heads_to_read(widened_tokens(ctx, q), heads),
                    heads_to_read(widened_tokens(ctx, k), heads), heads_to_read(widened_tokens(ctx, v), heads),
                    heads_to_write(sums, heads), saved, options);
    copy_tokens(ctx, sums, y);
    return saved;
  } else {
    return attend(ctx, a, heads_to_read(q, heads), heads_to_read(k, heads), heads_to_read(v, heads),
                  heads_to_write(y, heads), options);
  }
}

template <class Ctx, class A, class Options>
void attend_backward(Ctx& ctx, ModuleActivation<A> const& a, Index heads, ConstTensorOf<Ctx, 3> q,
                     ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3> v, ConstTensorOf<Ctx, 3> y,
                     SavedIn<Ctx, A> const& saved, ConstTensorOf<Ctx, 3> d_y, TensorOf<Ctx, 3> d_q,
                     TensorOf<Ctx, 3> d_k, TensorOf<Ctx, 3> d_v, Options const& options) {
  if constexpr (attends_in_copies<Ctx, A, Options>) {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    WideContext<Ctx> wide(ctx);
    auto const like = [&](auto const& x) { return wide.tensor(x.extents()); };
    auto const of_q = like(q), of_k = like(k), of_v = like(v);
    attend_backward(wide, a, heads, widened_tokens(ctx, q), widened_tokens(ctx, k), widened_tokens(ctx, v),
                    widened_tokens(ctx, y), saved, widened_tokens(ctx, d_y), of_q, of_k, of_v, options);
    copy_tokens(ctx, of_q, d_q);
    copy_tokens(ctx, of_k, d_k);
    copy_tokens(ctx, of_v, d_v);
  } else {
    a.bind_gradients(ctx, [&](auto const& activation) {
      attn::attention_backward(ctx.exec, activation, heads_to_read(q, heads), heads_to_read(k, heads),
                               heads_to_read(v, heads), heads_to_read(y, heads), saved, heads_to_read(d_y, heads),
                               heads_to_write(d_q, heads), heads_to_write(d_k, heads), heads_to_write(d_v, heads),
                               options);
    });
  }
}

template <class T>
struct UnitMatrix {
  T* to;
  Index n;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    lanes.store(to + row * n + column, one_hot(lanes, column, row, 1, 0));
  }
};

/// The unit matrix (m, m) as values of each sequence and head: attention to them is the matrix of weights.
template <class Ctx>
ConstTensorOf<Ctx, 4> unit_values(Ctx& ctx, Index batch, Index heads, Index m) {
  using T = typename Ctx::Scalar;
  auto const unit = ctx.tensor(m, m);
  elementwise<T>(ctx.exec, "attn::nn::unit", m, m, UnitMatrix<T>{unit.data(), m});
  return {unit.data(), {batch, heads, m, m}, {0, 0, m, 1}};
}

}  // namespace detail

/// The mask's lengths come with the call: `KeyPadding` takes them from the context. Tokens of packed sequences see
/// those of their sequence with the mask `Grouped`. In training, weights are dropped if `Dropped` is
/// `AttentionDropout`. 4 B N M C flops.
template <class A, Mask M = Full, class Dropped = NoDropout>
class FullAttention {
 public:
  using Activation = A;

  struct Settings {
    M mask = {};
  };

  static constexpr bool takes_memory = !std::same_as<M, Grouped>;
  static constexpr bool drops_weights = std::same_as<Dropped, AttentionDropout>;

  template <class Ctx>
  using Call = M;

  template <class Ctx>
  struct Tape {
    detail::SavedIn<Ctx, A> saved;
    Dropped dropped;
  };

  FullAttention(Builder const& builder, CoreConfig<A> const& config, Settings const& settings)
      : config_(config),
        settings_(settings),
        dropout_(builder / "attn_drop", config.dropout),
        activation_(detail::module_activation(builder, config)) {}

  template <class Ctx, class X>
  M call(Ctx& ctx, X const& x) const {
    return detail::call_mask(ctx, "Attention::forward", settings_.mask, x.extent(0), x.extent(1), config_.tokens);
  }

  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, M const& mask, ConstTensorOf<Ctx, 3> q,
                                               ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3> v) const {
    auto const y = ctx.tensor(q.extents());
    Dropped const dropped = dropped_in(ctx);
    auto const saved = detail::attend(ctx, activation_, config_.heads, q, k, v, y, options(mask, dropped));
    return {y, {saved, dropped}};
  }

  template <class Ctx>
  void backward(Ctx& ctx, M const& mask, Tape<Ctx> const& tape, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
                ConstTensorOf<Ctx, 3> v, ConstTensorOf<Ctx, 3> y, ConstTensorOf<Ctx, 3> d_y, TensorOf<Ctx, 3> d_q,
                TensorOf<Ctx, 3> d_k, TensorOf<Ctx, 3> d_v) const {
    detail::attend_backward(ctx, activation_, config_.heads, q, k, v, y, tape.saved, d_y, d_q, d_k, d_v,
                            options(mask, tape.dropped));
  }

  /// Squared norms of the attention matrix of each sample and head, and of its Jacobian: (B, H) each.
  template <class Ctx>
  auto norms(Ctx& ctx, M const& mask, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3> v) const {
    using Norms = AttentionNorms<typename Ctx::Real, typename Ctx::MemorySpace>;
    static_assert(Real<AccumulatorOf<typename Ctx::Scalar>>,
                  "Attention::norms: ask in a context of reals, not of jets");
    Norms const norms{ctx.template tensor<typename Ctx::Real>(q.extent(0), config_.heads),
                      ctx.template tensor<typename Ctx::Real>(q.extent(0), config_.heads)};
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const y = ctx.tensor(q.extents());
    detail::attend(ctx, activation_, config_.heads, q, k, v, y,
                   AttentionOptions<M, Norms>{.mask = mask, .norms = norms});
    return norms;
  }

  /// The attention matrices of one sample: (H, N, M), query by key, before any weight is dropped.
  template <class Ctx>
  TensorOf<Ctx, 3> weights(Ctx& ctx, M const& mask, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
                           Index sample) const {
    Index const n = q.extent(1), m = k.extent(1), h = config_.heads;
    auto const result = ctx.tensor(h, n, m);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const values = detail::unit_values(ctx, 1, h, m);
    detail::attend(ctx, activation_, detail::heads_to_read(q.slice(0, sample, sample + 1), h),
                   detail::heads_to_read(k.slice(0, sample, sample + 1), h), values,
                   TensorOf<Ctx, 4>(result.data(), {1, h, n, m}),
                   options(detail::of_sequence(mask, sample), Dropped()));
    return result;
  }

 private:
  using Options = AttentionOptions<M, NoNorms, Fp32Products, NoBias, Dropped>;

  static Options options(M const& mask, Dropped const& dropped) { return {.mask = mask, .dropout = dropped}; }
  template <class Ctx>
  Dropped dropped_in([[maybe_unused]] Ctx const& ctx) const {
    if constexpr (drops_weights) {
      return dropout_.of_weights(ctx);
    } else {
      return {};
    }
  }

  CoreConfig<A> config_;
  Settings settings_;
  Dropout dropout_;
  detail::ModuleActivation<A> activation_;
};

/// Every token of a packed sequence to every other one of it. To the activation a sequence has `tokens` keys, hidden
/// ones included.
template <class A, class Dropped = NoDropout>
using SequenceAttention = FullAttention<A, Grouped, Dropped>;

}  // namespace attn::nn
