/// CrossCovarianceAttention: channels attend to channels, in time linear in the number of tokens (El-Nouby et al. 2021,
/// XCiT).
#pragma once

#include "attn/nn/attention.hpp"
#include "attn/nn/detail/batched_matrices.hpp"
#include "attn/nn/detail/cross_covariance.hpp"
#include "attn/nn/precision.hpp"

namespace attn::nn {

/// The core of an attention module on tokens (B, N, C) or a feature map (B, H, W, C):
///
///     using Xca = attn::nn::Attention<attn::nn::FusedQkv, attn::nn::CrossCovarianceAttention<attn::Softmax>>;
///
/// For each head, with d = C / heads channels: weights (d, d) = a(temperature cos(q_i, k_j)) for channels i of q and j
/// of k, as vectors over the tokens; y_ni = sum_j weights_ij v_nj. To the activation a row has d keys. Parameters:
/// temperature (heads, 1, 1), which decays, as it does where timm trains; and trained numbers of the activation.
/// Of numbers of two bytes, lengths, products and weights are computed in fp32. 4 B N C d flops. On a host a thread
/// takes whole heads, whose part of q, k and v then stays in its cache.
template <class A>
class CrossCovarianceAttention {
 public:
  using Activation = A;
  struct Settings {
    Index tokens = 0;  ///< keys that an activation's trained numbers are initialised for; 0: d, as a row has
  };
  struct NoCall {};

  static constexpr bool takes_memory = false;

  template <class Ctx>
  using Call = NoCall;

  template <class Wide>
  struct WideTape {
    TensorOf<Wide, 2> inverse_q, inverse_k;      // (B, C)
    TensorOf<Wide, 4> cosines, scores, weights;  // (B, H, d, d)
    ConstTensorOf<Wide, 4> unit;
    detail::SavedIn<Wide, A> saved;
  };
  template <class Ctx>
  using Tape = WideTape<WideContext<Ctx>>;

  CrossCovarianceAttention(Builder const& builder, CoreConfig<A> const& config, Settings const& settings)
      : config_(sized(config, settings)),
        temperature_(builder.add<3>("temperature", {config.heads, 1, 1}, ones())),
        activation_(detail::module_activation(builder, config_)) {}

  template <class Ctx, class X>
  NoCall call(Ctx& ctx, X const&) const {
    static_assert(Real<AccumulatorOf<typename Ctx::Scalar>>,
                  "CrossCovarianceAttention: compute in a context of reals, not of jets");
    detail::refuse_sequences(ctx, "CrossCovarianceAttention::forward");
    return {};
  }

  template <class Ctx>
  Forward<TensorOf<Ctx, 3>, Tape<Ctx>> forward(Ctx& ctx, NoCall, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
                                               ConstTensorOf<Ctx, 3> v) const {
    using T = typename Ctx::Real;
    Index const h = config_.heads;
    auto const y = ctx.tensor(q.extents());
    auto const tape = weigh(ctx, q, k, AttentionOptions<>{.score_scale = 1});
    auto const mix = [&](auto const& values, auto const& to) {
      detail::multiply(ctx.exec, T(1), detail::heads_to_read(values, h), tape.weights.transpose(2, 3), T(0),
                       detail::heads_to_write(to, h));
    };
    if constexpr (is_narrow<typename Ctx::Scalar>) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      auto const sums = ctx.template tensor<T>(y.extents());
      mix(detail::widened_tokens(ctx, v), sums);
      detail::copy_tokens(ctx, sums, y);
    } else {
      mix(v, y);
    }
    return {y, tape};
  }

  template <class Ctx>
  void backward(Ctx& ctx, NoCall, Tape<Ctx> const& tape, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
                ConstTensorOf<Ctx, 3> v, ConstTensorOf<Ctx, 3> /*y*/, ConstTensorOf<Ctx, 3> d_y, TensorOf<Ctx, 3> d_q,
                TensorOf<Ctx, 3> d_k, TensorOf<Ctx, 3> d_v) const {
    if constexpr (is_narrow<typename Ctx::Scalar>) {
      typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
      WideContext<Ctx> wide(ctx);
      auto const of_q = wide.tensor(q.extents()), of_k = wide.tensor(k.extents()), of_v = wide.tensor(v.extents());
      pull_back(wide, tape, detail::widened_tokens(ctx, q), detail::widened_tokens(ctx, k),
                detail::widened_tokens(ctx, v), detail::widened_tokens(ctx, d_y), of_q, of_k, of_v);
      detail::copy_tokens(ctx, of_q, d_q);
      detail::copy_tokens(ctx, of_k, d_k);
      detail::copy_tokens(ctx, of_v, d_v);
    } else {
      pull_back(ctx, tape, q, k, v, d_y, d_q, d_k, d_v);
    }
  }

  /// Squared norms of the weights (d, d) of each sample and head, and of their Jacobian: (B, H) each.
  template <class Ctx>
  auto norms(Ctx& ctx, NoCall, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k, ConstTensorOf<Ctx, 3>) const {
    using Norms = AttentionNorms<typename Ctx::Real, typename Ctx::MemorySpace>;
    auto const room = [&] { return ctx.template tensor<typename Ctx::Real>(q.extent(0), config_.heads); };
    Norms const norms{room(), room()};
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    weigh(ctx, q, k, AttentionOptions<Full, Norms>{.score_scale = 1, .norms = norms});
    return norms;
  }

  /// The weights of one sample: (H, d, d), channel of q by channel of k.
  template <class Ctx>
  TensorOf<Ctx, 3> weights(Ctx& ctx, NoCall, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k, Index sample) const {
    auto const part = [&](ConstTensorOf<Ctx, 3> const& x) { return x.slice(0, sample, sample + 1); };
    Index const d = config_.width / config_.heads;
    auto const result = ctx.tensor(config_.heads, d, d);
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const tape = weigh(ctx, part(q), part(k), AttentionOptions<>{.score_scale = 1});
    detail::copy_tokens(ctx, tape.weights.template reshape<3>(result.extents()), result);
    return result;
  }

 private:
  /// `backward` where all is of one scalar.
  template <class Ctx>
  void pull_back(Ctx& ctx, Tape<Ctx> const& tape, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k,
                 ConstTensorOf<Ctx, 3> v, ConstTensorOf<Ctx, 3> d_y, TensorOf<Ctx, 3> d_q, TensorOf<Ctx, 3> d_k,
                 TensorOf<Ctx, 3> d_v) const {
    using T = typename Ctx::Scalar;
    using Const = ConstTensorOf<Ctx, 4>;
    constexpr bool on_host = HostExecutionSpace<typename Ctx::Space>;
    Index const batch = q.extent(0), n = q.extent(1), c = config_.width, h = config_.heads, d = c / h;
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const heads = [&](auto const& x) { return detail::heads_to_read(x, h); };
    auto const matrices = [&] { return ctx.tensor(batch, h, d, d); };

    // forward: y = v weights^T
    auto const d_weights = matrices(), d_scores = matrices();
    auto const d_outputs = heads(d_y), values = heads(v);
    auto const to_v = detail::heads_to_write(d_v, h);
    if constexpr (on_host) {
      for_blocks(ctx.exec, "attn::CrossCovarianceAttention::values", batch * h,
                 [=, weights = tape.weights](Index head) {
                   detail::multiply_head<T>(head, d_outputs, weights, to_v);
                   detail::multiply_head<T>(head, d_outputs.transpose(2, 3), values, d_weights);
                 });
    } else {
      detail::multiply(ctx.exec, T(1), d_outputs, Const(tape.weights), T(0), to_v);
      detail::multiply(ctx.exec, T(1), d_outputs.transpose(2, 3), values, T(0), d_weights);
    }
    activation_.bind_gradients(ctx, [&](auto const& a) {
      attn::attention_backward(ctx.exec, a, Const(tape.scores), tape.unit, tape.unit, Const(tape.weights), tape.saved,
                               Const(d_weights), d_scores, matrices(), matrices(),  // nobody wants those of the units
                               AttentionOptions<>{.score_scale = 1});
    });

    // forward: scores = temperature cosines, cosines = q^T k / (|q| |k|)
    auto const of_rows = ctx.tensor(batch, c), of_columns = ctx.tensor(batch, c);
    T const* const temperature = ctx.parameters.value(temperature_).data();
    using Lengths = detail::PullLengths<T, typename Ctx::MemorySpace>;
    detail::RowProducts<T> const rows{d_scores.data(), tape.cosines.data(), of_rows.data(), d};
    detail::PullCosines<T> const columns{d_scores.data(),
                                         tape.cosines.data(),
                                         of_columns.data(),
                                         tape.inverse_q.data(),
                                         tape.inverse_k.data(),
                                         temperature,
                                         h,
                                         d};
    Lengths const of_q{q, d_q, tape.inverse_q.data(), of_rows.data(), temperature, d},
        of_k{k, d_k, tape.inverse_k.data(), of_columns.data(), temperature, d};
    auto const queries = heads(q), keys = heads(k);
    auto const to_q = detail::heads_to_write(d_q, h), to_k = detail::heads_to_write(d_k, h);
    if constexpr (on_host) {
      for_blocks(ctx.exec, "attn::CrossCovarianceAttention::backward", batch * h, [=](Index head) {
        for (Index row = head * d; row < head * d + d; ++row) rows(HostRow<T>{}, row);
        columns(HostRow<T>{}, head);
        detail::multiply_head<T>(head, keys, d_scores.transpose(2, 3), to_q);
        detail::multiply_head<T>(head, queries, d_scores, to_k);
        Index const first = head / h * n, column = head % h * d;
        detail::for_matrix<T>(first, first + n, column, column + d, of_q);
        detail::for_matrix<T>(first, first + n, column, column + d, of_k);
      });
    } else {
      for_rows<T>(ctx.exec, "attn::CrossCovarianceAttention::rows", batch * c, d, rows);
      for_rows<T>(ctx.exec, "attn::CrossCovarianceAttention::columns", batch * h, d * d, columns);
      detail::multiply(ctx.exec, T(1), keys, d_scores.transpose(2, 3), T(0), to_q);
      detail::multiply(ctx.exec, T(1), queries, Const(d_scores), T(0), to_k);
      elementwise<T>(ctx.exec, "attn::CrossCovarianceAttention::lengths", batch * n, c, of_q);
      elementwise<T>(ctx.exec, "attn::CrossCovarianceAttention::lengths", batch * n, c, of_k);
    }
    attn::launch("attn::CrossCovarianceAttention::temperature",
                 Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, h),
                 detail::PullTemperature<T>{of_rows.data(), ctx.parameters.gradient(temperature_).data(), batch, h, d});
  }

  static CoreConfig<A> sized(CoreConfig<A> config, Settings const& settings) {
    ATTN_CHECK(settings.tokens >= 0, "CrossCovarianceAttention: give a number of tokens that is not negative, got ",
               settings.tokens);
    config.tokens = settings.tokens > 0 ? settings.tokens : config.width / config.heads;
    return config;
  }

  template <class Ctx, class Options>
  Tape<Ctx> weigh(Ctx& ctx, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k, Options const& options) const {
    using Const = ConstTensorOf<WideContext<Ctx>, 4>;
    Index const batch = q.extent(0), c = config_.width, h = config_.heads, d = c / h;
    auto const weigh_in = [&](auto& wide) {
      auto const lengths = [&] { return wide.tensor(batch, c); };
      auto const matrices = [&] { return wide.tensor(batch, h, d, d); };
      Tape<Ctx> tape{lengths(), lengths(), matrices(), matrices(), matrices(), detail::unit_values(wide, batch, h, d),
                     {}};
      if constexpr (is_narrow<typename Ctx::Scalar>) {
        typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
        score(wide, tape, detail::widened_tokens(ctx, q), detail::widened_tokens(ctx, k));
      } else {
        score(wide, tape, q, k);
      }
      tape.saved = detail::attend(wide, activation_, Const(tape.scores), tape.unit, tape.unit, tape.weights, options);
      return tape;
    };
    if constexpr (is_narrow<typename Ctx::Scalar>) {
      WideContext<Ctx> wide(ctx);
      return weigh_in(wide);
    } else {
      return weigh_in(ctx);
    }
  }

  /// Fills the lengths, cosines and scores of a tape.
  template <class Ctx>
  void score(Ctx& ctx, Tape<Ctx> const& tape, ConstTensorOf<Ctx, 3> q, ConstTensorOf<Ctx, 3> k) const {
    using T = typename Ctx::Scalar;
    using Lengths = detail::InverseLengths<T, typename Ctx::MemorySpace>;
    Index const batch = q.extent(0), c = config_.width, h = config_.heads, d = c / h;
    Lengths const of_q{q, tape.inverse_q.data(), h, d}, of_k{k, tape.inverse_k.data(), h, d};
    detail::ScoresOfCosines<T> const scores{tape.cosines.data(),
                                            tape.scores.data(),
                                            tape.inverse_q.data(),
                                            tape.inverse_k.data(),
                                            ctx.parameters.value(temperature_).data(),
                                            h,
                                            d};
    auto const q_rows = detail::heads_to_read(q, h).transpose(2, 3), k_columns = detail::heads_to_read(k, h);
    if constexpr (HostExecutionSpace<typename Ctx::Space>) {
      for_blocks(ctx.exec, "attn::CrossCovarianceAttention::scores", batch * h, [=](Index head) {
        detail::multiply_head<T>(head, q_rows, k_columns, tape.cosines);
        of_q(HostRow<T>{}, head);
        of_k(HostRow<T>{}, head);
        detail::for_matrix<T>(head * d, head * d + d, 0, d, scores);
      });
    } else {
      for_rows<T>(ctx.exec, "attn::CrossCovarianceAttention::lengths", batch * h, q.extent(1) * d, of_q);
      for_rows<T>(ctx.exec, "attn::CrossCovarianceAttention::lengths", batch * h, k.extent(1) * d, of_k);
      detail::multiply(ctx.exec, T(1), q_rows, k_columns, T(0), tape.cosines);
      elementwise<T>(ctx.exec, "attn::CrossCovarianceAttention::scores", batch * c, d, scores);
    }
  }

  CoreConfig<A> config_;
  Parameter<3> temperature_;
  detail::ModuleActivation<A> activation_;
};

}  // namespace attn::nn
