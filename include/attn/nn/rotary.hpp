/// Rotary: a core of attention whose queries and keys are turned by their positions, so that scores depend on how far
/// two tokens are from one another (Su et al. 2021, RoFormer).
///
///     using Causal = attn::nn::FullAttention<attn::Poly<3>, attn::Causal>;
///     using Layer = attn::nn::Attention<attn::nn::FusedQkv, attn::nn::Rotary<Causal>>;
#pragma once

#include "attn/nn/full_attention.hpp"

#include <utility>

namespace attn::nn {

namespace detail {

/// cosines and sines (tokens, half): of t base^(-i / half).
template <class R>
struct TurnsOfPositions {
  R* cosines;
  R* sines;
  Index half;
  double base;
  ATTN_FUNCTION void operator()(Index at) const {
    Index const position = at / half, i = at % half;
    double const angle = double(position) * Kokkos::pow(base, -double(i) / double(half));
    cosines[at] = R(Kokkos::cos(angle));
    sines[at] = R(Kokkos::sin(angle));
  }
};

/// In each head of width 2 half, numbers i and i + half become (a cos - b sin, a sin + b cos). Rows are (sample, token,
/// head).
template <class In, class Out, class R>
struct TurnHeads {
  In from;  // (B, N, C)
  Out to;
  R const* cosines;
  R const* sines;
  Index heads, half;
  R direction;  // 1, or -1 to turn back
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const head = row % heads, token = row / heads % from.extent(1), sample = row / heads / from.extent(1);
    Index const first = head * 2 * half + column, second = first + half;
    auto const* const x = from.data() + sample * from.stride(0) + token * from.stride(1);
    auto* const y = to.data() + sample * to.stride(0) + token * to.stride(1);
    auto const a = lanes.load(x + first), b = lanes.load(x + second);
    auto const cosine = lanes.load(cosines + token * half + column),
               sine = lanes.load(sines + token * half + column) * decltype(lanes.load(sines))(direction);
    lanes.store(y + first, a * cosine - b * sine);
    lanes.store(y + second, a * sine + b * cosine);
  }
};

}  // namespace detail

/// `Core` attends to what is turned: within each head of width D, the pairs (i, i + D / 2) by the angle
/// t base^(-2 i / D) at position t, for i < D / 2. Values stay as they are. Queries and keys count their positions from
/// zero, of a memory too. N D sines and 6 B N C further flops a call; the turned queries and keys are kept for the
/// backward pass.
template <class Core>
class Rotary {
  static_assert(
      Core::takes_memory,
      "Rotary: give a core whose tokens lie in the order of their sequence: attn::nn::FullAttention<A, Mask>");

 public:
  using Activation = typename Core::Activation;

  struct Settings {
    double base = 10000;
    typename Core::Settings core = {};
  };

  static constexpr bool takes_memory = true;
  static constexpr bool drops_weights = Core::drops_weights;

  template <class Ctx>
  using Call = typename Core::template Call<Ctx>;

  template <class Ctx>
  struct Tape {
    typename Core::template Tape<Ctx> core;
    TensorOf<Ctx, 3> q, k;  // turned
  };

  Rotary(Builder const& builder, CoreConfig<Activation> const& config, Settings const& settings)
      : heads_(config.heads),
        half_(config.width / config.heads / 2),
        base_(settings.base),
        core_(builder, config, settings.core) {
    ATTN_CHECK(config.width % (2 * config.heads) == 0, "Rotary: give heads of an even width, got width ", config.width,
               " and ", config.heads, " heads");
    ATTN_CHECK(base_ > 1, "Rotary: give a base above 1, got ", base_);
  }

  template <class Ctx, class X>
  Call<Ctx> call(Ctx& ctx, X const& x) const {
    return core_.call(ctx, x);
  }

  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, Call<Ctx> const& call, ConstTensorOf<Ctx, 3> q,
                                               ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3> v) const {
    auto const [turned_q, turned_k] = turned(ctx, q, k);
    auto [y, core] = core_.forward(ctx, call, ConstTensorOf<Ctx, 3>(turned_q), ConstTensorOf<Ctx, 3>(turned_k), v);
    return {y, {std::move(core), turned_q, turned_k}};
  }

  template <class Ctx>
  void backward(Ctx& ctx, Call<Ctx> const& call, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 3>, ConstTensorOf<Ctx, 3>,
                ConstTensorOf<Ctx, 3> v, ConstTensorOf<Ctx, 3> y, ConstTensorOf<Ctx, 3> d_y, TensorOf<Ctx, 3> d_q,
                TensorOf<Ctx, 3> d_k, TensorOf<Ctx, 3> d_v) const {
    core_.backward(ctx, call, std::move(tape.core), ConstTensorOf<Ctx, 3>(tape.q), ConstTensorOf<Ctx, 3>(tape.k), v, y,
                   d_y, d_q, d_k, d_v);
    turn(ctx, ConstTensorOf<Ctx, 3>(d_q), d_q, -1);
    turn(ctx, ConstTensorOf<Ctx, 3>(d_k), d_k, -1);
  }

  template <class Ctx>
  auto norms(Ctx& ctx, Call<Ctx> const& call, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
             ConstTensorOf<Ctx, 3> v) const {
    auto const [turned_q, turned_k] = turned(ctx, q, k);
    return core_.norms(ctx, call, ConstTensorOf<Ctx, 3>(turned_q), ConstTensorOf<Ctx, 3>(turned_k), v);
  }

  template <class Ctx>
  TensorOf<Ctx, 3> weights(Ctx& ctx, Call<Ctx> const& call, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
                           Index sample) const {
    auto const [turned_q, turned_k] = turned(ctx, q, k);
    return core_.weights(ctx, call, ConstTensorOf<Ctx, 3>(turned_q), ConstTensorOf<Ctx, 3>(turned_k), sample);
  }

 private:
  template <class Ctx>
  std::pair<TensorOf<Ctx, 3>, TensorOf<Ctx, 3>> turned(Ctx& ctx, ConstTensorOf<Ctx, 3> q,
                                                       ConstTensorOf<Ctx, 3> k) const {
    auto const turned_q = ctx.tensor(q.extents()), turned_k = ctx.tensor(k.extents());
    turn(ctx, q, turned_q, 1);
    turn(ctx, k, turned_k, 1);
    return {turned_q, turned_k};
  }

  template <class Ctx>
  void turn(Ctx& ctx, ConstTensorOf<Ctx, 3> from, TensorOf<Ctx, 3> to, int direction) const {
    using R = typename Ctx::Real;
    Index const tokens = from.extent(1);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const cosines = ctx.template tensor<R>(tokens, half_), sines = ctx.template tensor<R>(tokens, half_);
    attn::launch("attn::Rotary::turns",
                 Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, cosines.size()),
                 detail::TurnsOfPositions<R>{cosines.data(), sines.data(), half_, base_});
    using Turn = detail::TurnHeads<ConstTensorOf<Ctx, 3>, TensorOf<Ctx, 3>, R>;
    elementwise<typename Ctx::Scalar>(ctx.exec, "attn::Rotary", from.extent(0) * tokens * heads_, half_,
                                      Turn{from, to, cosines.data(), sines.data(), heads_, half_, R(direction)});
  }

  Index heads_, half_;
  double base_;
  Core core_;
};

}  // namespace attn::nn
