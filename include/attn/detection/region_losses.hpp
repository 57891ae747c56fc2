/// Losses of a detector: of some of its predictions, each with a target of its own.
#pragma once

#include "attn/detection/corner_boxes.hpp"
#include "attn/nn/error_loss.hpp"

#include <optional>

namespace attn::detection {

/// Which numbers of a matrix x (rows, width) a loss looks at: for i = 0, 1, ... the `count` numbers from
/// x(row_i, count column_i) on.
template <class Memory>
struct Selection {
  Index size = 0;
  Index count = 1;
  ConstBoxNumbers<Memory> rows = {};     ///< (size): row_i; without data, row_i = i
  ConstBoxNumbers<Memory> columns = {};  ///< (size / repeat): column_i = columns(i / repeat); without data, 0
  Index repeat = 1;
};

namespace detail {

template <class T, class Memory>
struct TakeSelected {
  Selection<Memory> which;
  T const* x;
  Index width;
  T* out;
  ATTN_FUNCTION Index place(Index i) const {
    Index const row = which.rows.data() != nullptr ? Index(which.rows.data()[i]) : i;
    Index const column = which.columns.data() != nullptr ? Index(which.columns.data()[i / which.repeat]) : Index(0);
    return row * width + which.count * column;
  }
  ATTN_FUNCTION void operator()(Index i) const {
    Index const at = place(i);
    for (Index k = 0; k < which.count; ++k) out[which.count * i + k] = x[at + k];
  }
};

/// x(row_i, ...) = scale d(i, ...); a row and column that are selected twice get the last.
template <class T, class Memory>
struct PutSelected {
  using S = AccumulatorOf<T>;
  TakeSelected<T, Memory> selected;
  T const* d;
  S scale;
  T* x;
  ATTN_FUNCTION void operator()(Index i) const {
    Index const at = selected.place(i), count = selected.which.count;
    for (Index k = 0; k < count; ++k) x[at + k] = T(scale * S(d[count * i + k]));
  }
};

}  // namespace detail

/// A loss and its gradient: `factor` times the mean of what `nn::mean_error` or `nn::cross_entropy` found; 0 of
/// nothing.
template <class Ctx>
struct RegionLoss {
  std::optional<nn::LossValue<Ctx>> of_selected = {};
  double factor = 1;
  nn::TensorOf<Ctx, 2> gradient = {};  ///< of the matrix, (rows, width)

  /// Waits for the work that makes it.
  double value() const { return of_selected ? factor * of_selected->mean() : 0.0; }
};

/// factor times the mean of error(x, target) over the selected numbers of x (rows, width); targets (size, count). The
/// gradient is zero elsewhere; no number is selected twice. Nothing selected: a loss of 0.
template <class Ctx, class F>
RegionLoss<Ctx> selected_error(Ctx& ctx, F const& error, nn::ConstTensorOf<Ctx, 2> x,
                               Selection<typename Ctx::MemorySpace> const& selection,
                               Tensor<typename Ctx::Real const, 2, typename Ctx::MemorySpace> targets, double factor) {
  using T = typename Ctx::Scalar;
  using Memory = typename Ctx::MemorySpace;
  ATTN_CHECK(x.is_contiguous() && targets.extents() == (Extents<2>{selection.size, selection.count}),
             "selected_error: give contiguous numbers, and targets (", selection.size, ", ", selection.count,
             "), got (", targets.extent(0), ", ", targets.extent(1), ")");
  RegionLoss<Ctx> result{.factor = factor, .gradient = ctx.tensor(x.extents())};
  Kokkos::deep_copy(ctx.exec, result.gradient.view(), T(0));
  if (selection.size == 0) return result;
  auto const taken = ctx.tensor(selection.size, selection.count);
  detail::TakeSelected<T, Memory> const take{selection, x.data(), x.extent(1), taken.data()};
  detail::for_each(ctx.exec, "attn::selected_error::take", selection.size, take);
  auto const [loss, d_taken] = nn::mean_error(ctx, error, taken, targets);
  detail::for_each(
      ctx.exec, "attn::selected_error::put", selection.size,
      detail::PutSelected<T, Memory>{take, d_taken.data(), typename Ctx::Real(factor), result.gradient.data()});
  result.of_selected = loss;
  return result;
}

/// The mean cross-entropy of logits (rows, classes) with labels (rows). No rows: a loss of 0.
template <class Ctx>
RegionLoss<Ctx> region_cross_entropy(Ctx& ctx, nn::ConstTensorOf<Ctx, 2> logits,
                                     ConstBoxNumbers<typename Ctx::MemorySpace> labels) {
  RegionLoss<Ctx> result;
  if (logits.extent(0) == 0) {
    result.gradient = ctx.tensor(logits.extents());
    return result;
  }
  auto const found = nn::cross_entropy(ctx, logits, labels);
  result.of_selected = found.loss;
  result.gradient = found.d_logits;
  return result;
}

}  // namespace attn::detection
