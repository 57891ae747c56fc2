/// BatchNorm: y = (x - mean) / sqrt(variance + epsilon) weight + bias, with mean and variance of each channel over the
/// batch, or those that earlier batches left.
#pragma once

#include "attn/nn/detail/channel_norm.hpp"

namespace attn::nn {

namespace detail {

/// Statistics (2, C) of running ones.
template <class S, class R>
struct RunningToStatistics {
  R const* mean;
  R const* variance;
  double epsilon;
  Index channels;
  S* statistics;
  ATTN_FUNCTION void operator()(Index c) const {
    statistics[c] = S(mean[c]);
    statistics[channels + c] = S(1 / Kokkos::sqrt(static_cast<double>(variance[c]) + epsilon));
  }
};

}  // namespace detail

/// Ioffe and Szegedy 2015. weight, bias, running_mean, running_var (channels), num_batches_tracked, as PyTorch's
/// BatchNorm2d has them.
///
/// In training, statistics are those of the batch (variance with 1/n), and the running ones follow them:
/// r += momentum (batch - r), variance with 1/(n - 1). In evaluation, and always where they are frozen, the running
/// ones are used as they are.
class BatchNorm {
 public:
  struct Config {
    Index channels = 0;
    double epsilon = 1e-5;
    double momentum = 0.1;
    bool frozen = false;        ///< statistics never change
    bool trains_affine = true;  ///< else weight and bias are buffers: torchvision's FrozenBatchNorm2d has them so
  };

  template <class X, class S>
  struct Tape {
    X x;                    // (..., C)
    S statistics;           // (1, 2, C): mean, 1 / sqrt(variance + epsilon)
    bool of_batch = false;  // whether the statistics are those of x
  };

  BatchNorm(Builder const& builder, Config const& config) : config_(config) {
    ATTN_CHECK(config.channels > 0, "BatchNorm: give a positive number of channels, got ", config.channels);
    Extents<1> const shape{config.channels};
    if (config.trains_affine) {
      weight_ = builder.add<1>("weight", shape, ones());
      bias_ = builder.add<1>("bias", shape, zeros());
    } else {
      fixed_weight_ = builder.add_buffer<1>("weight", shape, ones());
      fixed_bias_ = builder.add_buffer<1>("bias", shape, zeros());
    }
    mean_ = builder.add_buffer<1>("running_mean", shape, zeros());
    variance_ = builder.add_buffer<1>("running_var", shape, ones());
    if (!config.frozen) batches_ = builder.add_buffer<0>("num_batches_tracked", {}, zeros());
  }

  /// x (..., C) of 2 to 4 dimensions, contiguous -> y of the same shape. Two passes over memory in training.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    static_assert(X::rank >= 2 && X::rank <= 4, "BatchNorm: give a tensor (..., C) of 2 to 4 dimensions");
    using T = typename Ctx::Scalar;
    using R = typename Ctx::Real;
    using S = AccumulatorOf<T>;
    using Input = detail::ConstLike<Ctx, X>;
    using Statistics = Tensor<S, 3, typename Ctx::MemorySpace>;
    Input const input = x;
    auto const s = shape(input);
    ATTN_CHECK(s.channels == config_.channels && input.is_contiguous(),
               "BatchNorm::forward: give a contiguous tensor of ", config_.channels, " channels, got ", s.channels);
    bool const of_batch = ctx.training && !config_.frozen;
    ATTN_CHECK(!of_batch || s.rows > 1,
               "BatchNorm::forward: give more than one value for each channel in training, got ", s.rows);
    auto const y = ctx.tensor(input.extents());
    typename Ctx::Scratch const scratch(ctx);
    Statistics const statistics = ctx.template tensor<S>(Index(1), Index(2), s.channels);
    auto const mean = ctx.parameters.buffer(mean_), variance = ctx.parameters.buffer(variance_);
    if (of_batch) {
      detail::RunningStatistics<R> const running{mean.data(), variance.data(), ctx.parameters.buffer(batches_).data(),
                                                 config_.momentum};
      detail::channel_statistics(ctx, s, input.data(), config_.epsilon, running, statistics.data());
    } else {
      detail::for_each_index(ctx, "attn::BatchNorm::running", s.channels,
                             detail::RunningToStatistics<S, R>{mean.data(), variance.data(), config_.epsilon,
                                                               s.channels, statistics.data()});
    }
    elementwise<T>(ctx.exec, "attn::BatchNorm", s.rows, s.channels,
                   detail::ApplyNorm<T, S, R>{{s, input.data(), statistics.data()}, weight(ctx), bias(ctx), y.data()});
    Tape<Input, Statistics> tape;
    if (ctx.keeps_tape()) tape = {input, statistics, of_batch};
    return Forward<detail::Like<Ctx, X>, Tape<Input, Statistics>>{y, tape};
  }

  template <class Ctx, class X, class S, class D>
  auto backward(Ctx& ctx, Tape<X, S>&& tape, D const& d_y) const {
    detail::check_tape("BatchNorm::backward", tape.x);
    ATTN_CHECK(d_y.extents() == tape.x.extents() && d_y.is_contiguous(),
               "BatchNorm::backward: give d_y the shape of y");
    using T = typename Ctx::Scalar;
    using R = typename Ctx::Real;
    auto const d_x = ctx.tensor(tape.x.extents());
    detail::NormalizedRows<T, typename S::Scalar> const rows{shape(tape.x), tape.x.data(), tape.statistics.data()};
    T const* const from = d_y.data();
    R* const d_weight = config_.trains_affine ? ctx.parameters.gradient(weight_).data() : nullptr;
    R* const d_bias = config_.trains_affine ? ctx.parameters.gradient(bias_).data() : nullptr;
    detail::pull_back_norm(ctx, rows, from, weight(ctx), tape.of_batch, d_weight, d_bias, d_x.data());
    return d_x;
  }

 private:
  /// The batch is one sample, each channel a group.
  template <class X>
  static detail::ChannelNormShape shape(X const& x) {
    Index rows = 1;
    for (int r = 0; r + 1 < X::rank; ++r) rows *= x.extent(r);
    Index const channels = x.extent(X::rank - 1);
    return {1, rows, channels, channels};
  }

  template <class Ctx>
  typename Ctx::Real const* weight(Ctx& ctx) const {
    return config_.trains_affine ? ctx.parameters.value(weight_).data() : ctx.parameters.buffer(fixed_weight_).data();
  }
  template <class Ctx>
  typename Ctx::Real const* bias(Ctx& ctx) const {
    return config_.trains_affine ? ctx.parameters.value(bias_).data() : ctx.parameters.buffer(fixed_bias_).data();
  }

  Config config_;
  Parameter<1> weight_, bias_;
  Buffer<1> fixed_weight_, fixed_bias_, mean_, variance_;
  Buffer<0> batches_;
};

}  // namespace attn::nn
