/// Losses: how far predictions are from what they should be, and the gradient of that.
#pragma once

#include "attn/core/rows.hpp"
#include "attn/nn/module.hpp"
#include "attn/nn/precision.hpp"

#include <cstdint>
#include <limits>
#include <utility>

namespace attn::nn {

/// Where the numbers of a loss lie until they are read: reading waits for the work that makes them, and throws
/// `attn::Error` if a label was none of the classes.
template <class Ctx>
class LossValue {
 public:
  using Real = typename Ctx::Real;

  /// `numbers` (4): mean, correct, rows that count, and 1 + the first row whose label is none of the classes, or 0.
  LossValue(typename Ctx::Space const& exec, Tensor<Real, 1, typename Ctx::MemorySpace> const& numbers)
      : exec_(exec), numbers_(numbers) {}

  /// The mean loss of the rows that count. Waits.
  double mean() const { return read()[0]; }
  /// How many samples were predicted right: the largest logit is that of the label, or of the largest target. Waits.
  Index correct() const { return static_cast<Index>(read()[1] + Real(0.5)); }
  /// How many rows count: all whose label is not ignored. Waits.
  Index counted() const { return static_cast<Index>(read_all()[2] + Real(0.5)); }
  /// Mean and correct with one wait: `auto const [mean, correct] = loss.read();`
  Kokkos::Array<Real, 2> read() const {
    auto const all = read_all();
    return {all[0], all[1]};
  }

  /// (2): mean and correct, where the computation runs.
  Tensor<Real, 1, typename Ctx::MemorySpace> numbers() const { return {numbers_.data(), {2}}; }

 private:
  Kokkos::Array<Real, 4> read_all() const {
    Kokkos::Array<Real, 4> host{};
    Kokkos::deep_copy(exec_, Kokkos::View<Real*, Kokkos::HostSpace, Unmanaged>(host.data(), 4),
                      Kokkos::View<Real*, typename Ctx::MemorySpace, Unmanaged>(numbers_.data(), 4));
    exec_.fence("attn::LossValue");
    ATTN_CHECK(host[3] == Real(0), "cross_entropy: give labels that are classes, or to be ignored; that of row ",
               static_cast<Index>(host[3]) - 1, " is not");
    return host;
  }

  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  typename Ctx::Space exec_;
  Tensor<Real, 1, typename Ctx::MemorySpace> numbers_;
};

/// A loss, and its gradient by the logits.
template <class Ctx>
struct LossAndGradient {
  LossValue<Ctx> loss;
  TensorOf<Ctx, 2> d_logits;
};

/// What cross-entropy can be told.
struct CrossEntropyOptions {
  double label_smoothing = 0;        ///< targets are (1 - s) for the label plus s / classes for each class
  std::int32_t ignore_index = -100;  ///< rows with this label neither count nor have a gradient
};

namespace detail {

/// Targets from labels: off everywhere, on more at the label; of a label that is none of the classes, NaN.
template <Real T>
struct LabelTargets {
  std::int32_t const* labels;
  Index classes;
  std::int32_t ignored;
  T on, off;

  ATTN_FUNCTION bool counts(Index i) const { return labels[i] != ignored; }
  ATTN_FUNCTION bool is_class(Index i) const { return labels[i] >= 0 && labels[i] < classes; }
  template <class Lanes>
  ATTN_FUNCTION auto operator()(Lanes lanes, Index i, Index column) const {
    T const nothing = is_class(i) ? T(0) : std::numeric_limits<T>::quiet_NaN();
    return one_hot(lanes, column, labels[i], on + off + nothing, off + nothing);
  }
};

template <Real T>
struct GivenTargets {
  T const* targets;
  Index classes;

  static ATTN_FUNCTION bool counts(Index) { return true; }
  static ATTN_FUNCTION bool is_class(Index) { return true; }
  template <class Lanes>
  ATTN_FUNCTION auto operator()(Lanes lanes, Index i, Index column) const {
    return lanes.load(targets + i * classes + column);
  }
};

/// numbers[2]: how many rows count; numbers[3]: 1 + the first whose label is none of the classes, or 0.
template <Real T, class Targets>
struct CountRows {
  Targets targets;
  T* numbers;
  Index rows;

  ATTN_FUNCTION void operator()(Index) const {
    Index counted = 0, unknown = 0;
    for (Index i = rows - 1; i >= 0; --i) {
      if (!targets.counts(i)) continue;
      ++counted;
      if (!targets.is_class(i)) unknown = i + 1;
    }
    numbers[2] = T(counted);
    numbers[3] = T(unknown);
  }
};

/// With p = softmax(z) and targets t: loss = sum_c t_c (log sum_k e^(z_k) - z_c), d_z = p sum(t) - t, both over the
/// rows that count. A class whose target is zero adds nothing to the loss, also where its logit is minus infinity.
template <Real T, class Targets>
struct CrossEntropyRow {
  T const* logits;
  Targets targets;
  T* d_logits;
  T* losses;         // (rows, 2): loss, 1 if predicted right
  T const* numbers;  // (4), of which the third is there
  Index classes;

  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    using Value = typename Row::Value;
    T const* const z = logits + i * classes;
    T* const d_z = d_logits + i * classes;
    if (!targets.counts(i)) {
      row.for_columns(classes, [&](auto lanes, Index c) { lanes.store(d_z + c, row.value(T(0))); });
      return row.once([&] { losses[2 * i] = losses[2 * i + 1] = T(0); });
    }
    T const per_row = T(1) / numbers[2];
    auto const [top, top_target] = row.maxima(classes, [&](auto lanes, Index c) {
      return Kokkos::Array<Value, 2>{lanes.load(z + c), targets(lanes, i, c)};
    });
    Value const shift = row.value(top), largest_target = row.value(top_target), lowest = row.value(attn::lowest<T>),
                zero = row.value(T(0));

    auto const [total, weight, products] = row.sums(classes, [&](auto lanes, Index c) {
      Value const d = lanes.load(z + c) - shift, t = targets(lanes, i, c), e = attn::exp_nonpositive(d);
      lanes.store(d_z + c, e);
      return Kokkos::Array<Value, 3>{e, t, attn::where_largest(attn::abs(t), zero, t * d, zero)};
    });
    T const loss = weight * attn::log(total) - products;

    // The first class with the largest logit, and with the largest target: of these, minus the number is the largest.
    Value const scale = row.value(weight / total * per_row), share = row.value(per_row);
    auto const class_of = row.maxima(classes, [&](auto lanes, Index c) {
      Value const t = targets(lanes, i, c), number = -lanes.numbers(c);
      lanes.store(d_z + c, lanes.load(d_z + c) * scale - t * share);
      return Kokkos::Array<Value, 2>{attn::where_greater(shift, lanes.load(z + c), lowest, number),
                                     attn::where_greater(largest_target, t, lowest, number)};
    });
    row.once([&] {
      losses[2 * i] = loss;
      losses[2 * i + 1] = class_of[0] == class_of[1] && loss == loss ? T(1) : T(0);
    });
  }
};

/// The mean of the losses of rows that count, and the number of right predictions, in the order of the rows.
template <Real T>
struct SumLosses {
  T const* losses;
  T* numbers;
  Index rows;
  ATTN_FUNCTION void operator()(Index) const {
    double loss = 0, correct = 0;
    for (Index i = 0; i < rows; ++i) {
      loss += double(losses[2 * i]);
      correct += double(losses[2 * i + 1]);
    }
    numbers[0] = T(loss / double(numbers[2]));
    numbers[1] = T(correct);
  }
};

/// d = scale d, so that small numbers of two bytes stay numbers.
template <class T>
struct ScaleLossGradient {
  T* d;
  LossScaleNumbers const* by;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index i) const {
    lanes.store(d + i, lanes.load(d + i) * typename Lanes::Value(T(by->scale)));
  }
};

/// The loss of contiguous predictions, rows x columns, and its gradient. `count(numbers)` is a functor that fills the
/// last two of the four numbers of a `LossValue`; `of_row(x, d_x, losses, numbers)` is a kernel for `for_rows` that
/// writes gradients and (rows, 2) losses. Of narrow predictions, all but the result is computed in fp32.
template <class Ctx, class X, class Count, class OfRow>
std::pair<LossValue<Ctx>, Like<Ctx, X>> loss_of_rows(Ctx& ctx, char const* name, X const& predictions, Index rows,
                                                     Index columns, Count const& count, OfRow const& of_row) {
  using T = typename Ctx::Real;
  using Scalar = typename Ctx::Scalar;
  static_assert(std::same_as<AccumulatorOf<Scalar>, T>, "loss: give predictions of a real type");
  Like<Ctx, X> const d_predictions = ctx.tensor(predictions.extents());
  auto const numbers = ctx.template tensor<T>(4);
  typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
  auto const losses = ctx.template tensor<T>(rows, 2);
  auto const x = converted<T>(ctx, predictions);
  auto const d_x = [&] {
    if constexpr (std::same_as<Scalar, T>) {
      return d_predictions;
    } else {
      return ctx.template tensor<T>(predictions.extents());
    }
  }();
  Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>> const once(ctx.exec, 0, 1);
  attn::launch("attn::loss::count", once, count(numbers.data()));
  for_rows<T>(ctx.exec, name, rows, columns, of_row(x.data(), d_x.data(), losses.data(), numbers.data()));
  attn::launch("attn::loss::sum", once, SumLosses<T>{losses.data(), numbers.data(), rows});
  if (ctx.loss_scale != nullptr) {
    elementwise<T>(ctx.exec, "attn::loss::scale", 1, d_x.size(), ScaleLossGradient<T>{d_x.data(), ctx.loss_scale});
  }
  if constexpr (!std::same_as<Scalar, T>) linalg::convert(ctx.exec, d_x.rows(), d_predictions.rows());
  return {LossValue<Ctx>(ctx.exec, numbers), d_predictions};
}

template <class Ctx, class Targets>
LossAndGradient<Ctx> cross_entropy(Ctx& ctx, ConstTensorOf<Ctx, 2> const& logits, Targets const& targets) {
  using T = typename Ctx::Real;
  ATTN_CHECK(logits.is_contiguous() && logits.extent(0) > 0 && logits.extent(1) > 0,
             "cross_entropy: give contiguous logits (rows, classes) with at least one of each, got (", logits.extent(0),
             ", ", logits.extent(1), ")");
  Index const rows = logits.extent(0), classes = logits.extent(1);
  auto const [loss, d_logits] = loss_of_rows(
      ctx, "attn::cross_entropy", logits, rows, classes,
      [&](T* numbers) {
        return CountRows<T, Targets>{targets, numbers, rows};
      },
      [&](T const* z, T* d_z, T* losses, T const* numbers) {
        return CrossEntropyRow<T, Targets>{z, targets, d_z, losses, numbers, classes};
      });
  return {loss, d_logits};
}

}  // namespace detail

/// logits (rows, classes), labels (rows) in 0 ... classes - 1, where the computation runs -> the mean of
/// -sum_c t_c log softmax(logits)_c, and its gradient. Asynchronous; the loss is read when it is asked for. A NaN among
/// the logits shows in the loss.
///
/// Rows whose label is `ignore_index` have a gradient of zero and no part in the mean; where all are ignored, that is
/// NaN. A label that is none of the classes is an error: on a host it is thrown at once; labels on a device are not
/// waited for, so loss and gradient become NaN, and the error is thrown when the loss is read.
template <class Ctx>
LossAndGradient<Ctx> cross_entropy(Ctx& ctx, std::type_identity_t<ConstTensorOf<Ctx, 2>> logits,
                                   Tensor<std::int32_t const, 1, typename Ctx::MemorySpace> labels,
                                   CrossEntropyOptions const& options = {}) {
  using T = typename Ctx::Real;
  double const s = options.label_smoothing;
  Index const classes = logits.extent(1);
  ATTN_CHECK(labels.extent(0) == logits.extent(0) && (labels.stride(0) == 1 || labels.extent(0) <= 1),
             "cross_entropy: give one label for each row of the logits, got ", labels.extent(0), " labels for ",
             logits.extent(0), " rows");
  ATTN_CHECK(s >= 0 && s < 1, "cross_entropy: give a label smoothing from 0 to less than 1, got ", s);
  detail::LabelTargets<T> const targets{labels.data(), classes, options.ignore_index, T(1 - s),
                                        T(s / double(std::max(Index(1), classes)))};
  if constexpr (HostExecutionSpace<typename Ctx::Space>) {
    for (Index i = 0; i < labels.extent(0); ++i) {
      ATTN_CHECK(targets.is_class(i) || !targets.counts(i), "cross_entropy: give labels from 0 to ", classes - 1,
                 ", or ", options.ignore_index, " for rows to ignore; got ", labels(i), " in row ", i);
    }
  }
  return detail::cross_entropy(ctx, logits, targets);
}

/// The same for targets (rows, classes) that are given: those of mixup and cutmix.
template <class Ctx>
LossAndGradient<Ctx> cross_entropy(Ctx& ctx, std::type_identity_t<ConstTensorOf<Ctx, 2>> logits,
                                   Tensor<typename Ctx::Real const, 2, typename Ctx::MemorySpace> targets) {
  ATTN_CHECK(targets.extents() == logits.extents() && targets.is_contiguous(),
             "cross_entropy: give contiguous targets of the shape of the logits");
  return detail::cross_entropy(ctx, logits, detail::GivenTargets<typename Ctx::Real>{targets.data(), logits.extent(1)});
}

}  // namespace attn::nn
