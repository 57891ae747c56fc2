/// The tangent kernel of a sum of squares: which errors its gradient removes fast, and which slowly.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/core/launch.hpp"
#include "attn/optim/least_squares.hpp"

#include <vector>

namespace attn::optim {

/// K = J J^T (n, n), row by row, of the n residuals of a problem, J their derivatives by all parameters that are
/// trained (Jacot, Gabriel and Hongler 2018; of equations Wang, Yu and Perdikaris 2022). Under gradient flow the
/// residuals obey dr/dt = -2 K r: along an eigenvector they fall as exp(-2 lambda t). `pde::Residuals` of a few dozen
/// points are what this is for: n backward passes of the whole problem, n sets of gradients in memory, n^2 / 2 products
/// of such, and the parameters' gradients are overwritten.
template <class Ctx, LeastSquares P>
std::vector<double> tangent_kernel(Ctx& ctx, P& problem) {
  using Real = typename Ctx::Real;
  std::size_t const n = problem.size();
  ATTN_CHECK(n > 0, "tangent_kernel: give a problem with at least one residual");
  std::vector<bool> trained(std::size_t(ctx.parameters.extent()), false);
  for (auto const& e : ctx.parameters.entries()) {
    if (!e.trained) continue;
    for (Index i = 0; i < e.size; ++i) trained[std::size_t(e.offset + i)] = true;
  }
  std::vector<std::vector<Real>> rows;
  std::vector<double> w(n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    w[i] = 1;
    problem.pull_back(w);
    w[i] = 0;
    ctx.exec.fence("attn::optim::tangent_kernel");
    rows.push_back(host_copy(ctx.parameters.gradients()));
    for (std::size_t k = 0; k < trained.size(); ++k) {
      if (!trained[k]) rows.back()[k] = 0;
    }
  }
  std::vector<double> kernel(n * n);
  using Host = Kokkos::DefaultHostExecutionSpace;
  using Rows = Kokkos::RangePolicy<Host, Kokkos::IndexType<Index>, Kokkos::Schedule<Kokkos::Dynamic>>;
  attn::launch("attn::optim::tangent_kernel", Rows(0, Index(n), Kokkos::ChunkSize(1)), [&](Index row) {
    std::size_t const i = std::size_t(row);
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < rows[i].size(); ++k) sum += double(rows[i][k]) * double(rows[j][k]);
      kernel[i * n + j] = kernel[j * n + i] = sum;
    }
  });
  Host().fence("attn::optim::tangent_kernel");
  return kernel;
}

}  // namespace attn::optim
