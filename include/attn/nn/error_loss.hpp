/// Losses of numbers that are compared one by one: squared, absolute and Huber's error, binary cross-entropy, or a
/// function of one's own; and their gradients.
#pragma once

#include "attn/nn/function.hpp"
#include "attn/nn/loss.hpp"

namespace attn::nn {

/// A loss of one number: `f(prediction, target)` is a `ValueAndSlope`, its value and d value / d prediction. Optional:
/// `f.right(prediction, target)`, 1 where a prediction counts as right and 0 elsewhere; and `f.check()`, which throws
/// where the numbers of `f` make no loss.
template <class F, class T>
concept ErrorFunction = std::copyable<F> && requires(F const f, T x) {
  { f(x, x) } -> std::same_as<ValueAndSlope<T>>;
};

/// (y - t)^2
struct SquaredError {
  template <class T>
  ATTN_FUNCTION ValueAndSlope<T> operator()(T y, T t) const {
    T const difference = y - t;
    return {difference * difference, T(RealOf<T>(2)) * difference};
  }
};

/// |y - t|; slope 0 where they are equal.
struct AbsoluteError {
  template <class T>
  ATTN_FUNCTION ValueAndSlope<T> operator()(T y, T t) const {
    using R = RealOf<T>;
    T const difference = y - t, one = T(R(1)), zero = T(R(0));
    T const negative = attn::where_greater(zero, difference, -one, difference);  // zero, or NaN, where it is not
    return {attn::abs(difference), attn::where_greater(difference, zero, one, negative)};
  }
};

/// d^2 / 2 of differences d = y - t up to `delta`, delta (|d| - delta / 2) beyond (Huber 1964).
struct HuberError {
  double delta = 1;

  template <class T>
  ATTN_FUNCTION ValueAndSlope<T> operator()(T y, T t) const {
    using R = RealOf<T>;
    T const bound = T(R(delta)), half = T(R(0.5)), difference = y - t;
    T const slope = attn::max(-bound, attn::min(bound, difference));
    return {slope * (difference - half * slope), slope};
  }
  void check() const { ATTN_CHECK(delta > 0, "HuberError: give a positive delta, got ", delta); }
};

/// Of a logit z and the probability t that it stands for, t = 0 or 1 of classes:
/// -w t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)), finite for all finite z. `positive_weight` w above one makes up
/// for positives that are rare.
struct BinaryCrossEntropy {
  double positive_weight = 1;

  template <class T>
  ATTN_FUNCTION ValueAndSlope<T> operator()(T z, T t) const {
    using R = RealOf<T>;
    T const one = T(R(1)), zero = T(R(0));
    T const weight = T(R(positive_weight)) * t, rest = one - t, both = weight + rest;
    T const e = attn::exp(-attn::abs(z));  // log(1 + e^-z) = log(1 + e) + max(-z, 0)
    T const sigmoid_of_minus = attn::where_greater(z, zero, e, one) / (one + e);
    return {rest * z + both * (attn::log(one + e) + attn::max(-z, zero)), rest - both * sigmoid_of_minus};
  }
  template <class T>
  ATTN_FUNCTION T right(T z, T t) const {
    using R = RealOf<T>;
    T const one = T(R(1)), zero = T(R(0)), half = T(R(0.5));
    T const positive = attn::where_greater(t, half, one, zero);
    return attn::where_greater(z, zero, positive, one - positive);
  }
};

namespace detail {

/// Whether a prediction counts as right: 0 where the error function does not say. (nvcc looks into both branches of an
/// `if constexpr` of a generic lambda, hence two functions.)
template <class F, class Value>
ATTN_FUNCTION Value right_of(F const&, Value const&, Value const&) {
  return Value(RealOf<Value>(0));
}
template <class F, class Value>
requires requires(F const& error, Value const& y) { error.right(y, y); }
ATTN_FUNCTION Value right_of(F const& error, Value const& y, Value const& t) { return error.right(y, t); }

/// The errors of one row, their sum and its gradient.
template <Real T, class F>
struct ErrorRow {
  F error;
  T const* predictions;
  T const* targets;
  T* d_predictions;
  T* losses;  // (rows, 2): sum, how many are right
  T share;    // of one error in the mean
  Index columns;

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    using Value = typename Row::Value;
    Index const first = i * columns;
    Value const each = row.value(share);
    auto const sums = row.sums(columns, [&](auto lanes, Index c) {
      Value const y = lanes.load(predictions + first + c), t = lanes.load(targets + first + c);
      auto const result = error(y, t);
      lanes.store(d_predictions + first + c, result.slope * each);
      return Kokkos::Array<Value, 2>{result.value, right_of(error, y, t)};
    });
    row.once([&] {
      losses[2 * i] = sums[0];
      losses[2 * i + 1] = sums[1];
    });
  }
};

template <Real T>
struct CountErrors {
  T* numbers;
  Index count;
  ATTN_FUNCTION void operator()(Index) const {
    numbers[2] = T(count);
    numbers[3] = T(0);
  }
};

}  // namespace detail

/// A loss of numbers, and its gradient by the predictions.
template <class Ctx, int Rank>
struct ErrorAndGradient {
  LossValue<Ctx> loss;  // `correct()` counts what `right` says of the error function, 0 where it says nothing
  TensorOf<Ctx, Rank> d_predictions;
};

/// predictions and targets of one shape -> the mean of error(prediction, target) over all numbers, and its gradient:
///
///     auto const [loss, d_y] = attn::nn::mean_error(ctx, attn::nn::HuberError{.delta = 0.1}, y, targets);
///
/// The same bits for any number of threads; of narrow predictions, computed in fp32. Asynchronous; the loss is read
/// when it is asked for. A NaN among them shows in the loss.
template <class Ctx, class F, class Y>
auto mean_error(Ctx& ctx, F const& error, Y const& predictions,
                Tensor<typename Ctx::Real const, Y::rank, typename Ctx::MemorySpace> targets) {
  using T = typename Ctx::Real;
  static_assert(
      ErrorFunction<F, T>,
      "mean_error: write template <class T> ATTN_FUNCTION attn::nn::ValueAndSlope<T> operator()(T prediction, "
      "T target) const");
  if constexpr (requires { error.check(); }) error.check();
  ATTN_CHECK(predictions.extents() == targets.extents() && predictions.size() > 0,
             "mean_error: give predictions, at least one, and targets of the same shape; got ", predictions.size(),
             " and ", targets.size(), " numbers");
  ATTN_CHECK(predictions.is_contiguous() && targets.is_contiguous(),
             "mean_error: give contiguous predictions and targets");
  Index const count = predictions.size(), columns = Y::rank == 1 ? 1 : predictions.extent(Y::rank - 1),
              rows = count / columns;
  auto const [loss, d_predictions] = detail::loss_of_rows(
      ctx, "attn::mean_error", predictions, rows, columns,
      [&](T* numbers) {
        return detail::CountErrors<T>{numbers, count};
      },
      [&](T const* y, T* d_y, T* losses, T const*) {
        return detail::ErrorRow<T, F>{error, y, targets.data(), d_y, losses, T(1) / T(count), columns};
      });
  return ErrorAndGradient<Ctx, Y::rank>{loss, d_predictions};
}

}  // namespace attn::nn
