/// LayerNorm: y = (x - mean) / sqrt(variance + epsilon) weight + bias, with mean and variance of each row.
#pragma once

#include "attn/core/rows.hpp"
#include "attn/linalg/reduce.hpp"
#include "attn/nn/module.hpp"

namespace attn::nn {

namespace detail {

template <class T>
struct LayerNormForward {
  using R = RealOf<T>;
  using S = AccumulatorOf<T>;
  T const* x;
  R const* weight;
  R const* bias;
  T* y;
  S* statistics;  // (rows, 2): mean, 1 / sqrt(variance + epsilon); or null
  Index width;
  R epsilon;

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    using Value = typename Row::Value;
    T const* const from = x + i * width;
    T* const to = y + i * width;
    S const per_width = S(R(1) / R(width));
    S const rounded_mean = row.sums(width, [&](auto lanes, Index j) { return lanes.load(from + j); }) * per_width;
    // What rounding left of the mean is found again in the sum of the deviations: rows of nearly equal elements need
    // it.
    Value const near_centre = row.value(rounded_mean);
    auto const [deviations, squares] = row.sums(width, [&](auto lanes, Index j) {
      Value const d = lanes.load(from + j) - near_centre;
      return Kokkos::Array<Value, 2>{d, d * d};
    });
    S const rest = deviations * per_width, mean = rounded_mean + rest;
    S const variance = attn::max(squares * per_width - rest * rest, S(0));
    S const inverse = S(1) / attn::sqrt(variance + S(epsilon));
    Value const centre = row.value(mean);
    Value const scale = row.value(inverse);
    row.for_columns(width, [&](auto lanes, Index j) {
      Value const normal = (lanes.load(from + j) - centre) * scale;
      lanes.store(to + j, normal * lanes.load(weight + j) + lanes.load(bias + j));
    });
    if (statistics != nullptr) {
      row.once([&] {
        statistics[2 * i] = mean;
        statistics[2 * i + 1] = inverse;
      });
    }
  }
};

/// With n = (x - mean) inverse and g = d_y weight: d_x = inverse (g - mean(g) - n mean(g n)), added to `d_x` if `adds`.
template <class T>
struct LayerNormBackward {
  using R = RealOf<T>;
  using S = AccumulatorOf<T>;
  T const* x;
  T const* d_y;
  R const* weight;
  S const* statistics;
  T* d_x;
  Index width;
  bool adds;

  /// `gather(lanes, column, d_y, n)` sees what the gradients of the parameters need.
  template <class Row, class Gather>
  ATTN_FUNCTION void run(Row const& row, Index i, Gather const& gather) const {
    using Value = typename Row::Value;
    T const* const from = x + i * width;
    T const* const d_from = d_y + i * width;
    T* const to = d_x + i * width;
    Value const mean = row.value(statistics[2 * i]), inverse = row.value(statistics[2 * i + 1]);
    auto const [sum_g, sum_gn] = row.sums(width, [&](auto lanes, Index j) {
      Value const d = lanes.load(d_from + j), g = d * lanes.load(weight + j);
      Value const n = (lanes.load(from + j) - mean) * inverse;
      gather(lanes, j, d, n);
      return Kokkos::Array<Value, 2>{g, g * n};
    });
    S const per_width = S(R(1) / R(width));
    Value const mean_g = row.value(sum_g * per_width), mean_gn = row.value(sum_gn * per_width);
    row.for_columns(width, [&](auto lanes, Index j) {
      Value const n = (lanes.load(from + j) - mean) * inverse;
      Value d = inverse * (lanes.load(d_from + j) * lanes.load(weight + j) - mean_g - n * mean_gn);
      if (adds) d += lanes.load(to + j);
      lanes.store(to + j, d);
    });
  }

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    run(row, i, [](auto, Index, auto, auto) {});
  }
};

/// Terms of the gradients of weight and bias: forward: y = n weight + bias; hence d_weight += d_y n, d_bias += d_y.
template <class T>
struct LayerNormTerm {
  LayerNormBackward<T> row;
  template <class Lanes>
  ATTN_FUNCTION auto operator()(Lanes lanes, Index i, Index j) const {
    using Value = typename Lanes::Value;
    Index const at = i * row.width + j;
    Value const mean = Value(row.statistics[2 * i]), inverse = Value(row.statistics[2 * i + 1]);
    return lanes.load(row.d_y + at) * (lanes.load(row.x + at) - mean) * inverse;
  }
};

}  // namespace detail

/// Ba, Kiros and Hinton 2016. weight (width), bias (width).
class LayerNorm {
 public:
  struct Config {
    Index width = 0;
    double epsilon = 1e-6;
  };

  template <class X, class S>
  struct Tape {
    X x;           // (..., width)
    S statistics;  // (rows, 2)
  };

  LayerNorm(Builder const& builder, Config const& config)
      : config_(config),
        weight_(builder.add<1>("weight", {config.width}, ones())),
        bias_(builder.add<1>("bias", {config.width}, zeros())) {}

  /// x (..., width), contiguous -> y of the same shape. One pass over memory.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    using Input = detail::ConstLike<Ctx, X>;
    using Statistics = Tensor<AccumulatorOf<T>, 2, typename Ctx::MemorySpace>;
    Input const input = x;
    ATTN_CHECK(input.extent(X::rank - 1) == config_.width, "LayerNorm::forward: give a tensor of width ", config_.width,
               ", got ", input.extent(X::rank - 1));
    auto const matrix = input.rows();
    auto const y = ctx.tensor(input.extents());
    Tape<Input, Statistics> tape;
    if (ctx.keeps_tape()) tape = {input, ctx.template tensor<AccumulatorOf<T>>(matrix.extent(0), Index(2))};
    for_rows<T>(ctx.exec, "attn::LayerNorm", matrix.extent(0), config_.width,
                detail::LayerNormForward<T>{matrix.data(), ctx.parameters.value(weight_).data(),
                                            ctx.parameters.value(bias_).data(), y.data(), tape.statistics.data(),
                                            config_.width, RealOf<T>(config_.epsilon)});
    return Forward<detail::Like<Ctx, X>, Tape<Input, Statistics>>{y, tape};
  }

  template <class Ctx, class X, class S, class D>
  auto backward(Ctx& ctx, Tape<X, S>&& tape, D const& d_y) const {
    auto const d_x = ctx.tensor(tape.x.extents());
    pull_back(ctx, tape, d_y, d_x, false);
    return d_x;
  }

  /// d_x += the gradient of x.
  template <class Ctx, class X, class S, class D, class DX>
  void backward_add(Ctx& ctx, Tape<X, S>&& tape, D const& d_y, DX const& d_x) const {
    pull_back(ctx, tape, d_y, d_x, true);
  }

 private:
  template <class Ctx, class X, class S, class D, class DX>
  void pull_back(Ctx& ctx, Tape<X, S> const& tape, D const& d_y, DX const& d_x, bool adds) const {
    using T = typename Ctx::Scalar;
    detail::check_tape("LayerNorm::backward", tape.x);
    ATTN_CHECK(d_y.extents() == tape.x.extents() && d_x.extents() == tape.x.extents() && d_y.is_contiguous() &&
                   d_x.is_contiguous(),
               "LayerNorm::backward: give contiguous gradients of the shape of x");
    Index const rows = tape.statistics.extent(0), width = config_.width;
    detail::LayerNormBackward<T> const kernel{
        tape.x.data(), d_y.data(), ctx.parameters.value(weight_).data(), tape.statistics.data(), d_x.data(),
        width,         adds};
    auto const d_weight = ctx.parameters.gradient(weight_), d_bias = ctx.parameters.gradient(bias_);
    if constexpr (HostExecutionSpace<typename Ctx::Space>) {
      backward_on_host(ctx, kernel, rows, d_weight, d_bias);
    } else {
      // Sums over columns want other threads than sums over rows.
      linalg::column_sums_of<AccumulatorOf<T>, T>(ctx.exec, rows, width, detail::LayerNormTerm<T>{kernel}, 1, d_weight);
      linalg::column_sums(ctx.exec, Tensor<T const, 2, typename Ctx::MemorySpace>(d_y.data(), {rows, width}), 1,
                          d_bias);
      for_rows<T>(ctx.exec, "attn::LayerNorm::backward", rows, width, kernel);
    }
  }

  /// One pass: each block of rows gathers its part of the gradients of weight and bias; the parts are added in order.
  template <class Ctx, class T, class Gradient>
  static void backward_on_host(Ctx& ctx, detail::LayerNormBackward<T> const& kernel, Index rows,
                               Gradient const& d_weight, Gradient const& d_bias) {
    using R = RealOf<T>;
    Index const width = kernel.width;
    Index const height = linalg::detail::rows_of_partial_sum(rows), parts = (rows + height - 1) / height;
    R* const partial = linalg::detail::host_scratch<R>(std::max(Index(1), parts * 2 * width));  // (parts, 2, width)
    for_blocks(ctx.exec, "attn::LayerNorm::backward", parts, [=](Index part) {
      R* const weight_part = partial + part * 2 * width;
      R* const bias_part = weight_part + width;
      std::fill_n(weight_part, 2 * width, R(0));
      for (Index i = part * height; i < std::min(rows, (part + 1) * height); ++i) {
        kernel.run(HostRow<AccumulatorOf<T>>{}, i, [&](auto lanes, Index j, auto d, auto n) {
          lanes.store(weight_part + j, lanes.load(weight_part + j) + d * n);
          lanes.store(bias_part + j, lanes.load(bias_part + j) + d);
        });
      }
    });
    linalg::detail::add_parts(ctx.exec, partial, parts, 2 * width, width, d_weight);
    linalg::detail::add_parts(ctx.exec, partial + width, parts, 2 * width, width, d_bias);
  }

  Config config_;
  Parameter<1> weight_;
  Parameter<1> bias_;
};

}  // namespace attn::nn
