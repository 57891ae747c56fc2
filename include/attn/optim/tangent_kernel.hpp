/// The tangent kernel of a sum of squares: which errors its gradient removes fast, and which slowly.
#pragma once

#include "attn/optim/jacobian.hpp"

#include <vector>

namespace attn::optim {

/// K = J J^T (n, n), row by row, of the n residuals of a problem, J their derivatives by all parameters that are
/// trained (Jacot, Gabriel and Hongler 2018; of equations Wang, Yu and Perdikaris 2022). Under gradient flow the
/// residuals obey dr/dt = -2 K r: along an eigenvector they fall as exp(-2 lambda t). `pde::Residuals` of a few dozen
/// points are what this is for: n backward passes of the whole problem, n sets of gradients in memory, n^2 / 2 products
/// of such, and the parameters' gradients are overwritten. For more points see `tangent_kernel_of_sums`.
template <class Ctx, LeastSquares P>
std::vector<double> tangent_kernel(Ctx& ctx, P& problem) {
  ATTN_CHECK(problem.size() > 0, "tangent_kernel: give a problem with at least one residual");
  Jacobian<typename Ctx::Real, typename Ctx::MemorySpace> jacobian;
  jacobian.evaluate(ctx, problem);
  return jacobian.gram(ctx.exec);
}

/// The same of the sums that stand for the residuals, C K C^T: the eigenvalues that matter are those of K, in a part of
/// the time. For `pde::Residuals` of up to a thousand points, the work of one evaluation and n^2 / 2 products.
template <class Ctx, SummedLeastSquares P>
std::vector<double> tangent_kernel_of_sums(Ctx& ctx, P& problem) {
  std::size_t const n = problem.sums(std::vector<double>(problem.size())).size();
  ATTN_CHECK(n > 0, "tangent_kernel_of_sums: give a problem with at least one residual");
  Jacobian<typename Ctx::Real, typename Ctx::MemorySpace> jacobian;
  jacobian.evaluate_sums(ctx, problem, n);
  return jacobian.gram(ctx.exec);
}

}  // namespace attn::optim
