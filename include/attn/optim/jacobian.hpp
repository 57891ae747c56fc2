/// Jacobian: the derivatives of residuals by the parameters, written out, and their products with one another.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/core/host_copy.hpp"
#include "attn/core/launch.hpp"
#include "attn/core/matrix_functors.hpp"
#include "attn/linalg/gemm.hpp"
#include "attn/optim/detail/attributes.hpp"
#include "attn/optim/least_squares.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <concepts>
#include <vector>

namespace attn::optim {

/// A sum of squares many of whose residuals are nearly the same, as those of steps 1e-4 apart. Orthonormal sums of them
/// stand for all where each would cost a row of a matrix: C r with C C^T = 1, where |r|^2 - |C r|^2 is small.
///
///  1. `problem.sums(r)` is C r, a std::vector<double>.
///  2. `problem.for_rows(row)` sets `ctx.parameters.gradients()` to one row of C J after the other, in the order of the
///     sums, and calls row() after each.
template <class P>
concept SummedLeastSquares = LeastSquares<P> && requires(P& problem, std::vector<double> const& r, void (*row)()) {
  { problem.sums(r) } -> std::convertible_to<std::vector<double>>;
  problem.for_rows(row);
};

namespace detail {

/// While one lives, a product of Eigen stays on one thread: how it is cut among several would change its bits.
class EigenOnOneThread {
 public:
  EigenOnOneThread() { Eigen::setNbThreads(1); }
  ~EigenOnOneThread() { Eigen::setNbThreads(before_); }
  EigenOnOneThread(EigenOnOneThread const&) = delete;
  EigenOnOneThread& operator=(EigenOnOneThread const&) = delete;

 private:
  int before_ = Eigen::nbThreads();
};

/// sum += a a^T, of which a host computes the half below the diagonal.
template <ExecutionSpace Exec, class Memory>
void add_gram(Exec const& exec, Tensor<double const, 2, Memory> const& a, Tensor<double, 2, Memory> const& sum) {
  if constexpr (HostExecutionSpace<Exec>) {
    EigenOnOneThread const one;
    constexpr Index tile = 128;
    Index const tiles = (a.extent(0) + tile - 1) / tile;
    for_blocks(exec, "attn::optim::gram", tiles * (tiles + 1) / 2, [=](Index block) {
      Index row = 0;
      while (block > row) block -= ++row;
      using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
      auto const rows_of = [=](Index i) {
        Index const count = std::min(tile, a.extent(0) - i * tile);
        return Eigen::Map<Matrix const, 0, Eigen::OuterStride<>>(&a(i * tile, 0), count, a.extent(1), a.stride(0));
      };
      auto const upper = rows_of(row), lower = rows_of(block);
      Eigen::Map<Matrix, 0, Eigen::OuterStride<>>(&sum(row * tile, block * tile), upper.rows(), lower.rows(),
                                                  sum.stride(0))
          .noalias() += upper * lower.transpose();
    });
  } else {
    linalg::gemm(exec, 1, a, a.transpose(0, 1), 1, sum);
  }
}

/// One number of J^T y, on a device.
template <class T, class Memory>
struct TransposedTimes {
  Tensor<T const, 2, Memory> j;
  double const* y;
  T* d;

  ATTN_FUNCTION void operator()(Index k) const {
    double sum = 0;
    for (Index i = 0; i < j.extent(0); ++i) sum += y[i] * double(j(i, k));
    d[k] = T(sum);
  }
};

/// sums[c] += y[0] rows[c] + y[1] rows[stride + c] + ...
template <int Rows, class T>
void add_rows(T const* rows, Index stride, double const* y, Index count, double* sums) {
  for_lanes<double>(0, count, [&](auto lanes, Index c) {
    auto sum = lanes.load(sums + c);
#pragma GCC unroll 8
    for (int k = 0; k < Rows; ++k) sum += decltype(sum)(y[k]) * lanes.load(rows + k * stride + c);
    lanes.store(sums + c, sum);
  });
}

/// d = J^T y, summed in double: the numbers of y may be many times longer than d, and cancel.
template <ExecutionSpace Exec, class T, class Memory>
void transposed_times(Exec const& exec, Tensor<T const, 2, Memory> const& j, double const* y, T* d) {
  Index const extent = j.extent(1);
  if constexpr (HostExecutionSpace<Exec>) {
    constexpr Index width = 512;  // sums of one thread, which stay in its cache
    constexpr int several = 8;    // rows at once: what lies in several places is fetched sooner
    for_blocks(exec, "attn::optim::transposed_times", (extent + width - 1) / width, [=](Index block) {
      Index const first = block * width, count = std::min(width, extent - first), rows = j.extent(0);
      double sums[width] = {};
      Index i = 0;
      for (; i + several <= rows; i += several) add_rows<several>(&j(i, first), j.stride(0), y + i, count, sums);
      for (; i < rows; ++i) add_rows<1>(&j(i, first), j.stride(0), y + i, count, sums);
      for (Index c = 0; c < count; ++c) d[first + c] = T(sums[c]);
    });
  } else {
    attn::launch("attn::optim::transposed_times", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, extent),
                 TransposedTimes<T, Memory>{j, y, d});
  }
}

}  // namespace detail

/// J (n, parameters) of n residuals by the parameters that are trained: n parameters numbers in memory. For problems of
/// up to a few thousand residuals.
template <Real T, class Memory>
class Jacobian {
 public:
  /// J at the parameters that the context has now: n backward passes of the whole problem. Overwrites the parameters'
  /// gradients.
  template <class Ctx, LeastSquares P>
  void evaluate(Ctx& ctx, P& problem) {
    std::vector<double> w(problem.size(), 0.0);
    begin(ctx, w.size());
    for (double& wi : w) {
      wi = 1;
      problem.pull_back(w);
      wi = 0;
      add_row(ctx);
    }
  }

  /// C J for the sums that stand for the residuals, n of them.
  template <class Ctx, SummedLeastSquares P>
  void evaluate_sums(Ctx& ctx, P& problem, std::size_t n) {
    begin(ctx, n);
    problem.for_rows([&] { add_row(ctx); });
    ATTN_CHECK(std::size_t(rows_) == n, "Jacobian::evaluate_sums: for_rows() called row() ", rows_, " times for ", n,
               " sums; call it once for each");
  }

  Index rows() const { return rows_; }

  /// J J^T (n, n), row by row, in double: eigenvalues a millionth of the largest one are the ones that matter. n^2
  /// parameters operations.
  template <ExecutionSpace Exec>
  std::vector<double> gram(Exec const& exec) const {
    Index const extent = Index(values_.extent(1));
    std::size_t const n = std::size_t(rows_);
    Kokkos::View<double**, Kokkos::LayoutRight, Memory> const sum("attn::optim::Jacobian", n, n);
    Kokkos::View<double*, Memory> const wide("attn::optim::Jacobian", n * std::size_t(std::min(extent, depth)));
    Tensor<T const, 2, Memory> const j = values_;
    for (Index first = 0; first < extent; first += depth) {
      auto const from = j.slice(1, first, std::min(extent, first + depth));
      Tensor<double, 2, Memory> const to(wide.data(), from.extents());
      elementwise<double>(exec, "attn::optim::widen", from.extent(0), from.extent(1),
                          CopyMatrix<T, double>{from.data(), to.data(), from.stride(0), to.stride(0)});
      detail::add_gram<Exec, Memory>(exec, to, sum);
    }
    auto host = host_copy<Memory>(sum.data(), Index(n * n));
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < i; ++k) host[k * n + i] = host[i * n + k];
    }
    return host;
  }

  /// d = J^T y, as long as the parameters.
  template <ExecutionSpace Exec>
  void transposed_times(Exec const& exec, std::vector<double> const& y, T* d) const {
    Kokkos::View<double*, Memory> const weights("attn::optim::Jacobian", y.size());
    copy_from_host<Memory>(y, weights.data());
    detail::transposed_times<Exec, T, Memory>(exec, values_, weights.data(), d);
    exec.fence("attn::optim::Jacobian");
  }

 private:
  static constexpr Index depth = 2048;  // parameters that are multiplied at once

  template <class Ctx>
  void begin(Ctx& ctx, std::size_t n) {
    ATTN_CHECK(n > 0, "Jacobian: give a problem with at least one residual");
    attributes_.prepare(ctx.parameters);
    std::size_t const extent = std::size_t(ctx.parameters.extent());
    if (values_.extent(0) != n || values_.extent(1) != extent) {
      values_ = {};  // before there are others
      values_ = Values(Kokkos::view_alloc(Kokkos::WithoutInitializing, "attn::optim::Jacobian"), n, extent);
    }
    rows_ = 0;
  }
  template <class Ctx>
  void add_row(Ctx& ctx) {
    std::size_t const i = std::size_t(rows_++);
    if (i >= values_.extent(0)) return;  // evaluate_sums() refuses that when all are counted
    auto const row = Kokkos::subview(values_, i, Kokkos::ALL());
    Kokkos::deep_copy(ctx.exec, row, Gradients(ctx.parameters.gradients().data(), values_.extent(1)));
    attributes_.mask(ctx.exec, row.data(), Index(values_.extent(1)));
    ctx.exec.fence("attn::optim::Jacobian");
  }

  using Values = Kokkos::View<T**, Kokkos::LayoutRight, Memory>;
  using Gradients = Kokkos::View<T const*, Memory, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  Values values_;
  Index rows_ = 0;
  detail::GranuleAttributes<T, Memory> attributes_;
};

}  // namespace attn::optim
