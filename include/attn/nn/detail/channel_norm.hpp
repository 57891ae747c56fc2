/// Norms of channels: what norms over batches and over groups of channels share.
///
/// x (samples, rows, C) is normalised over all rows of a sample and the channels of a group: of BatchNorm, the batch is
/// one sample and each channel a group; of GroupNorm, a sample is an image. Rows are cut into parts whose number
/// depends on the sizes alone; each part's sums are those of the scalar, parts are combined in double, in order.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/nn/module.hpp"

namespace attn::nn::detail {

struct ChannelNormShape {
  Index samples = 0, rows = 0, channels = 0, groups = 1;

  /// Rows of a part: some, so that a part stays in the cache.
  ATTN_FUNCTION Index rows_of_part() const {
    Index const some = 32768 / channels;
    return some < 16 ? 16 : some > 512 ? 512 : some;
  }
  ATTN_FUNCTION Index parts() const { return (rows + rows_of_part() - 1) / rows_of_part(); }
  ATTN_FUNCTION Index rows_in(Index part) const {
    Index const rest = rows - part * rows_of_part();
    return rest < rows_of_part() ? rest : rows_of_part();
  }
  ATTN_FUNCTION Index group_channels() const { return channels / groups; }
};

/// Where kernels find a row, and the statistics of its sample: (samples, 2, C): mean and 1 / sqrt(variance + epsilon).
template <class T, class S>
struct NormalizedRows {
  ChannelNormShape shape;
  T const* x;
  S const* statistics;

  template <class Lanes>
  ATTN_FUNCTION typename Lanes::Value load(Lanes lanes, Index sample, Index row, Index column) const {
    S const* const of = statistics + sample * 2 * shape.channels + column;
    return (lanes.load(x + (sample * shape.rows + row) * shape.channels + column) - lanes.load(of)) *
           lanes.load(of + shape.channels);
  }
};

/// Mean and sum of squared deviations of each channel over the rows of one part. Rows are (sample, part).
template <class T, class S>
struct MomentsOfPart {
  ChannelNormShape shape;
  T const* x;
  S* moments;  // (samples, parts, 2, C)
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index index, Index column) const {
    using Value = typename Lanes::Value;
    Index const part = index % shape.parts(), rows = shape.rows_in(part), stride = shape.channels;
    T const* const from = x + (index / shape.parts() * shape.rows + part * shape.rows_of_part()) * stride + column;
    Value sums[4] = {Value(S(0)), Value(S(0)), Value(S(0)), Value(S(0))};  // hide the latency of an addition
    for (Index i = 0; i < rows; ++i) sums[i % 4] += lanes.load(from + i * stride);
    Value const mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])) * Value(S(1) / S(rows));
    for (Value& sum : sums) sum = Value(S(0));
    for (Index i = 0; i < rows; ++i) {
      Value const deviation = lanes.load(from + i * stride) - mean;
      sums[i % 4] += deviation * deviation;
    }
    S* const to = moments + index * 2 * stride + column;
    lanes.store(to, mean);
    lanes.store(to + stride, (sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
};

/// Running statistics, which follow those of batches: r += momentum (batch - r); none where pointers are null.
template <class R>
struct RunningStatistics {
  R* mean = nullptr;
  R* variance = nullptr;
  R* batches = nullptr;  // how many there were
  double momentum = 0;
};

/// From the moments of parts to the statistics of a group. Rows are (sample, group).
template <class S, class R>
struct CombineMoments {
  ChannelNormShape shape;
  S const* moments;
  S* statistics;
  double epsilon;
  RunningStatistics<R> running;

  ATTN_FUNCTION void operator()(Index index) const {
    Index const sample = index / shape.groups, first = index % shape.groups * shape.group_channels();
    double count = 0, mean = 0, squares = 0;  // Chan, Golub and LeVeque 1979
    for (Index c = first; c < first + shape.group_channels(); ++c) {
      for (Index part = 0; part < shape.parts(); ++part) {
        S const* const of = moments + (sample * shape.parts() + part) * 2 * shape.channels + c;
        double const rows = static_cast<double>(shape.rows_in(part)), away = static_cast<double>(of[0]) - mean;
        double const share = rows / (count + rows);
        mean += away * share;
        squares += static_cast<double>(of[shape.channels]) + away * away * count * share;
        count += rows;
      }
    }
    double const inverse = 1 / Kokkos::sqrt(squares / count + epsilon);
    for (Index c = first; c < first + shape.group_channels(); ++c) {
      S* const to = statistics + sample * 2 * shape.channels + c;
      to[0] = S(mean);
      to[shape.channels] = S(inverse);
    }
    if (running.mean == nullptr) return;
    auto const follow = [&](R& value, double batch) {
      value = R((1 - running.momentum) * static_cast<double>(value) + running.momentum * batch);
    };
    follow(running.mean[index], mean);
    follow(running.variance[index], squares / (count - 1));
    if (index == 0) *running.batches += R(1);
  }
};

/// y = n weight + bias. Rows are those of x.
template <class T, class S, class R>
struct ApplyNorm {
  NormalizedRows<T, S> normalized;
  R const* weight;
  R const* bias;
  T* y;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    auto const& s = normalized.shape;
    auto const n = normalized.load(lanes, row / s.rows, row % s.rows, column);
    lanes.store(y + row * s.channels + column, n * lanes.load(weight + column) + lanes.load(bias + column));
  }
};

/// Sums of d_y and of d_y n over the rows of one part. Rows are (sample, part).
template <class T, class S>
struct GradientsOfPart {
  NormalizedRows<T, S> normalized;
  T const* d_y;
  S* sums;  // (samples, parts, 2, C)
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index index, Index column) const {
    using Value = typename Lanes::Value;
    auto const& s = normalized.shape;
    Index const part = index % s.parts(), sample = index / s.parts(), begin = part * s.rows_of_part();
    Value plain[2] = {Value(S(0)), Value(S(0))}, with_n[2] = {Value(S(0)), Value(S(0))};
    for (Index i = begin; i < begin + s.rows_in(part); ++i) {
      Value const d = lanes.load(d_y + (sample * s.rows + i) * s.channels + column);
      plain[i % 2] += d;
      with_n[i % 2] += d * normalized.load(lanes, sample, i, column);
    }
    S* const to = sums + index * 2 * s.channels + column;
    lanes.store(to, plain[0] + plain[1]);
    lanes.store(to + s.channels, with_n[0] + with_n[1]);
  }
};

/// From the sums of parts to those of each channel, and to the means of a group of weight d_y and weight d_y n. Rows
/// are (sample, group).
template <class S, class R>
struct CombineGradients {
  ChannelNormShape shape;
  S const* sums;
  R const* weight;
  double* totals;  // (samples, 2, C)
  S* means;        // (samples, 2, C)

  ATTN_FUNCTION void operator()(Index index) const {
    Index const sample = index / shape.groups, first = index % shape.groups * shape.group_channels();
    Index const last = first + shape.group_channels();
    for (int k = 0; k < 2; ++k) {
      double of_group = 0;
      for (Index c = first; c < last; ++c) {
        double total = 0;
        for (Index part = 0; part < shape.parts(); ++part) {
          total += static_cast<double>(sums[((sample * shape.parts() + part) * 2 + k) * shape.channels + c]);
        }
        totals[(sample * 2 + k) * shape.channels + c] = total;
        of_group += static_cast<double>(weight[c]) * total;
      }
      double const count = static_cast<double>(shape.rows * shape.group_channels());
      for (Index c = first; c < last; ++c) means[(sample * 2 + k) * shape.channels + c] = S(of_group / count);
    }
  }
};

/// forward: y = n weight + bias; hence d_weight += sum of d_y n, d_bias += sum of d_y.
template <class R>
struct AddNormGradients {
  ChannelNormShape shape;
  double const* totals;
  R* d_weight;
  R* d_bias;
  ATTN_FUNCTION void operator()(Index c) const {
    double bias = 0, weight = 0;
    for (Index sample = 0; sample < shape.samples; ++sample) {
      bias += totals[sample * 2 * shape.channels + c];
      weight += totals[(sample * 2 + 1) * shape.channels + c];
    }
    d_weight[c] += R(weight);
    d_bias[c] += R(bias);
  }
};

/// d_x = inverse (weight d_y - mean(weight d_y) - n mean(weight d_y n)); without means where the statistics are not
/// those of x.
template <class T, class S, class R>
struct NormBackward {
  NormalizedRows<T, S> normalized;
  T const* d_y;
  R const* weight;
  S const* means;  // (samples, 2, C), or null
  T* d_x;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    auto const& s = normalized.shape;
    Index const sample = row / s.rows, at = row * s.channels + column;
    auto d = lanes.load(d_y + at) * lanes.load(weight + column);
    if (means != nullptr) {
      S const* const of = means + sample * 2 * s.channels + column;
      d -= lanes.load(of) + normalized.load(lanes, sample, row % s.rows, column) * lanes.load(of + s.channels);
    }
    lanes.store(d_x + at, d * lanes.load(normalized.statistics + (sample * 2 + 1) * s.channels + column));
  }
};

/// Runs a functor of (sample, part) and channels. A part is long: on a host, one block.
template <class T, class Ctx, class Functor>
void for_parts(Ctx& ctx, char const* name, ChannelNormShape const& s, Functor const& functor) {
  if constexpr (HostExecutionSpace<typename Ctx::Space>) {
    for_blocks(ctx.exec, name, s.samples * s.parts(), [=](Index index) {
      for_lanes<AccumulatorOf<T>>(0, s.channels, [&](auto lanes, Index column) { functor(lanes, index, column); });
    });
  } else {
    elementwise<T>(ctx.exec, name, s.samples * s.parts(), s.channels, functor);
  }
}

template <class Ctx, class Functor>
void for_each_index(Ctx& ctx, char const* name, Index n, Functor const& functor) {
  attn::launch(name, Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, n), functor);
}

/// The statistics of x, for `statistics` (samples, 2, C); `running` follows them.
template <class Ctx, class T, class S, class R>
void channel_statistics(Ctx& ctx, ChannelNormShape const& s, T const* x, double epsilon,
                        RunningStatistics<R> const& running, S* statistics) {
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  auto const moments = ctx.template tensor<S>(s.samples * s.parts(), Index(2), s.channels);
  for_parts<T>(ctx, "attn::channel_statistics", s, MomentsOfPart<T, S>{s, x, moments.data()});
  for_each_index(ctx, "attn::channel_statistics::combine", s.samples * s.groups,
                 CombineMoments<S, R>{s, moments.data(), statistics, epsilon, running});
}

/// Adds the gradients of weight and bias (none where null), and writes that of x. `of_x`: the statistics are of x.
template <class Ctx, class T, class S, class R>
void pull_back_norm(Ctx& ctx, NormalizedRows<T, S> const& normalized, T const* d_y, R const* weight, bool of_x,
                    R* d_weight, R* d_bias, T* d_x) {
  ChannelNormShape const& s = normalized.shape;
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  auto const means = ctx.template tensor<S>(s.samples, Index(2), s.channels);
  if (of_x || d_weight != nullptr) {
    auto const sums = ctx.template tensor<S>(s.samples * s.parts(), Index(2), s.channels);
    auto const totals = ctx.template tensor<double>(s.samples, Index(2), s.channels);
    for_parts<T>(ctx, "attn::pull_back_norm::sums", s, GradientsOfPart<T, S>{normalized, d_y, sums.data()});
    for_each_index(ctx, "attn::pull_back_norm::combine", s.samples * s.groups,
                   CombineGradients<S, R>{s, sums.data(), weight, totals.data(), means.data()});
    if (d_weight != nullptr) {
      for_each_index(ctx, "attn::pull_back_norm::add", s.channels,
                     AddNormGradients<R>{s, totals.data(), d_weight, d_bias});
    }
  }
  elementwise<T>(ctx.exec, "attn::pull_back_norm", s.samples * s.rows, s.channels,
                 NormBackward<T, S, R>{normalized, d_y, weight, of_x ? means.data() : nullptr, d_x});
}

}  // namespace attn::nn::detail
