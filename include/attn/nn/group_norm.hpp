/// GroupNorm: y = (x - mean) / sqrt(variance + epsilon) weight + bias, with mean and variance of each image and group
/// of channels.
#pragma once

#include "attn/nn/detail/channel_norm.hpp"

namespace attn::nn {

/// Wu and He 2018. weight (channels), bias (channels).
class GroupNorm {
 public:
  struct Config {
    Index channels = 0;
    Index groups = 1;
    double epsilon = 1e-5;
  };

  template <class X, class S>
  struct Tape {
    X x;           // (B, ..., C)
    S statistics;  // (B, 2, C): mean, 1 / sqrt(variance + epsilon)
  };

  GroupNorm(Builder const& builder, Config const& config) : config_(config) {
    ATTN_CHECK(config.channels > 0 && config.groups > 0 && config.channels % config.groups == 0,
               "GroupNorm: choose a number of groups that divides the channels, got ", config.channels,
               " channels and ", config.groups, " groups");
    weight_ = builder.add<1>("weight", {config.channels}, ones());
    bias_ = builder.add<1>("bias", {config.channels}, zeros());
  }

  /// x (B, ..., C) of 2 to 4 dimensions, contiguous -> y of the same shape. Two passes over memory.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    static_assert(X::rank >= 2 && X::rank <= 4, "GroupNorm: give a tensor (B, ..., C) of 2 to 4 dimensions");
    using T = typename Ctx::Scalar;
    using R = typename Ctx::Real;
    using S = AccumulatorOf<T>;
    using Input = detail::ConstLike<Ctx, X>;
    using Statistics = Tensor<S, 3, typename Ctx::MemorySpace>;
    Input const input = x;
    auto const s = shape(input);
    ATTN_CHECK(s.channels == config_.channels && s.rows > 0 && input.is_contiguous(),
               "GroupNorm::forward: give a contiguous tensor of ", config_.channels, " channels and a pixel, got ",
               s.channels, " channels and ", s.rows, " pixels");
    auto const y = ctx.tensor(input.extents());
    typename Ctx::Scratch const scratch(ctx);
    Statistics const statistics = ctx.template tensor<S>(s.samples, Index(2), s.channels);
    detail::channel_statistics(ctx, s, input.data(), config_.epsilon, detail::RunningStatistics<R>(),
                               statistics.data());
    elementwise<T>(ctx.exec, "attn::GroupNorm", s.samples * s.rows, s.channels,
                   detail::ApplyNorm<T, S, R>{{s, input.data(), statistics.data()},
                                              ctx.parameters.value(weight_).data(),
                                              ctx.parameters.value(bias_).data(),
                                              y.data()});
    Tape<Input, Statistics> tape;
    if (ctx.keeps_tape()) tape = {input, statistics};
    return Forward<detail::Like<Ctx, X>, Tape<Input, Statistics>>{y, tape};
  }

  template <class Ctx, class X, class S, class D>
  auto backward(Ctx& ctx, Tape<X, S>&& tape, D const& d_y) const {
    detail::check_tape("GroupNorm::backward", tape.x);
    ATTN_CHECK(d_y.extents() == tape.x.extents() && d_y.is_contiguous(),
               "GroupNorm::backward: give d_y the shape of y");
    using T = typename Ctx::Scalar;
    auto const d_x = ctx.tensor(tape.x.extents());
    detail::NormalizedRows<T, typename S::Scalar> const rows{shape(tape.x), tape.x.data(), tape.statistics.data()};
    T const* const from = d_y.data();
    typename Ctx::Real const* const weight = ctx.parameters.value(weight_).data();
    detail::pull_back_norm(ctx, rows, from, weight, true, ctx.parameters.gradient(weight_).data(),
                           ctx.parameters.gradient(bias_).data(), d_x.data());
    return d_x;
  }

 private:
  template <class X>
  detail::ChannelNormShape shape(X const& x) const {
    Index rows = 1;
    for (int r = 1; r + 1 < X::rank; ++r) rows *= x.extent(r);
    return {x.extent(0), rows, x.extent(X::rank - 1), config_.groups};
  }

  Config config_;
  Parameter<1> weight_;
  Parameter<1> bias_;
};

}  // namespace attn::nn
