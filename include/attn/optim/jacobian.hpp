/// Jacobian: the derivatives of residuals by the parameters, written out, and their products with one another.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/core/launch.hpp"
#include "attn/linalg/gemm.hpp"
#include "attn/optim/detail/attributes.hpp"
#include "attn/optim/least_squares.hpp"

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

/// sum(i, j) and sum(j, i) += part(i, j), where the part begins at (row, column).
template <class T, class Memory>
struct AddPart {
  Tensor<T const, 2, Memory> part;
  Tensor<double, 2, Memory> sum;
  Index row, column;

  ATTN_FUNCTION void operator()(Index index) const {
    Index const i = row + index / part.extent(1), j = column + index % part.extent(1);
    sum(i, j) += double(part(i - row, j - column));
    if (row != column) sum(j, i) = sum(i, j);
  }
};

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

  /// J J^T (n, n), row by row: n^2 parameters operations. Products of up to `depth` numbers are summed in T, these sums
  /// in double.
  template <ExecutionSpace Exec>
  std::vector<double> gram(Exec const& exec) const {
    Index const extent = Index(values_.extent(1));
    std::size_t const n = std::size_t(rows_), side = std::size_t(std::min(rows_, tile));
    Kokkos::View<double**, Kokkos::LayoutRight, Memory> const all("attn::optim::Jacobian", n, n);
    Kokkos::View<T*, Memory> const part("attn::optim::Jacobian", side * side);
    Tensor<T const, 2, Memory> const j = values_;
    for (Index row = 0; row < rows_; row += tile) {
      for (Index column = 0; column <= row; column += tile) {
        auto const upper = j.slice(0, row, std::min(rows_, row + tile));
        auto const lower = j.slice(0, column, std::min(rows_, column + tile)).transpose(0, 1);
        Tensor<T, 2, Memory> const product(part.data(), {upper.extent(0), lower.extent(1)});
        for (Index first = 0; first < extent; first += depth) {
          Index const last = std::min(extent, first + depth);
          linalg::gemm(exec, 1, upper.slice(1, first, last), lower.slice(0, first, last), 0, product);
          attn::launch("attn::optim::Jacobian",
                       Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, product.size()),
                       detail::AddPart<T, Memory>{product, all, row, column});
        }
      }
    }
    return host_copy<Memory>(all.data(), Index(n * n));
  }

  /// d = J^T y, as long as the parameters.
  template <ExecutionSpace Exec>
  void transposed_times(Exec const& exec, std::vector<double> const& y, T* d) const {
    Kokkos::View<T*, Memory> const weights("attn::optim::Jacobian", y.size());
    copy_from_host<Memory>(std::vector<T>(y.begin(), y.end()), weights.data());
    linalg::gemm(exec, 1, Tensor<T const, 2, Memory>(weights.data(), {1, rows_}), Tensor<T const, 2, Memory>(values_),
                 0, Tensor<T, 2, Memory>(d, {1, Index(values_.extent(1))}));
    exec.fence("attn::optim::Jacobian");
  }

 private:
  static constexpr Index tile = 256;   // rows and columns of J J^T that are computed at once, of two mirror images one
  static constexpr Index depth = 512;  // longer sums in float would hide small eigenvalues

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
