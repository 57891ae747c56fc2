/// LeastSquares: losses that are sums of squares, and the product of their Jacobian with a vector.
#pragma once

#include "attn/core/check.hpp"
#include "attn/optim/detail/flat_vectors.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <string>
#include <vector>

namespace attn::optim {

/// A loss |r(theta)|^2 of the parameters theta of a context.
///
///  1. `problem.size()` is the number of residuals r.
///  2. `problem.residuals(r)` sets r, a std::vector<double>, to the residuals at the parameters that the context has
///     now.
///  3. `problem.pull_back(w)` sets `ctx.parameters.gradients()` to J^T w there, with J the Jacobian of r by the
///     parameters: what one backward pass gives that begins with w.
///  4. Optional: `problem.describe(i)` says in words where residual number i comes from.
///
/// All of them finish before they return. A mean of squares is such a sum, with r scaled by a root.
template <class P>
concept LeastSquares = requires(P& problem, std::vector<double>& r, std::vector<double> const& w) {
  { problem.size() } -> std::convertible_to<std::size_t>;
  problem.residuals(r);
  problem.pull_back(w);
};

/// How J v is found: from r at parameters beside theta, along v.
struct DifferenceOptions {
  /// 2: (r(+h) - r(-h)) / 2h, two forward passes. 4: (8 r(+h) - 8 r(-h) - r(+2h) + r(-2h)) / 12h, four of them.
  int order = 4;
  /// h |v| in units of the largest parameter, or of 1 if that is larger. 0: (epsilon L^order)^(1 / (order + 1)), with
  /// epsilon that of the scalar, where the errors of rounding, epsilon / h, and of the formula, (h / L)^order, are of
  /// the same size if r bends at the length L = 0.2, as that of PINNsFormers small and large does: 2e-4 in double, 1e-2
  /// in float.
  double step = 0;
};

namespace detail {

inline double dot(std::vector<double> const& a, std::vector<double> const& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Names the first residual that is not finite.
template <LeastSquares P>
void check_residuals(P& problem, std::vector<double> const& r, char const* method, char const* where) {
  for (std::size_t i = 0; i < r.size(); ++i) {
    if (std::isfinite(r[i])) continue;
    std::string name = "residual " + std::to_string(i);
    if constexpr (requires { problem.describe(i); }) name += " (" + std::string(problem.describe(i)) + ")";
    ATTN_CHECK(false, method, ": ", name, " became ", r[i], " ", where,
               "; the parameters are those of the last good iterate");
  }
}

}  // namespace detail

/// J v, the derivative of the residuals along a change v of the parameters, by central differences of r: the modules
/// have no forward mode for parameters, and a difference costs two or four forward passes, less than one and a half
/// evaluations with gradient. In double with order 4 it agrees with the backward pass to about 1e-12,
/// <w, J v> = <J^T w, v>; in float to about 1e-5 of |w| |J v|. `GaussNewton` reports what it measures.
template <Real T, class Memory>
class JacobianProduct {
 public:
  explicit JacobianProduct(DifferenceOptions const& options = {}) : options_(options) {
    ATTN_CHECK(options.order == 2 || options.order == 4, "JacobianProduct: use differences of order 2 or 4, got ",
               options.order);
    ATTN_CHECK(options.step >= 0, "JacobianProduct: give a step that is not negative, got ", options.step);
  }

  /// Forward passes of one product.
  int passes() const { return options_.order; }

  /// q = J v, v laid out as the parameters. They come back to the bits that they had. Residuals that are not finite
  /// beside theta make q not finite.
  template <class Ctx, LeastSquares P>
  void operator()(Ctx& ctx, P& problem, T const* v, std::vector<double>& q) {
    Index const extent = ctx.parameters.extent();
    detail::FlatVectors<T, typename Ctx::Space> vectors(ctx.exec, extent);
    if (Index(start_.extent(0)) != extent) {
      start_ = Kokkos::View<T*, Memory>("attn::optim::JacobianProduct", std::size_t(extent));
    }
    T* const x = ctx.parameters.values().data();
    vectors.copy(start_.data(), x);
    q.assign(problem.size(), 0.0);
    double const length = std::sqrt(vectors.dot(v, v));
    if (length == 0) return;
    double const h = step() * std::max(1.0, vectors.largest_magnitude(x)) / length;
    auto const add = [&](int at, double factor) {
      vectors.combine(x, 1, start_.data(), at * h, v);
      problem.residuals(r_);
      for (std::size_t i = 0; i < q.size(); ++i) q[i] += factor / h * r_[i];
    };
    if (options_.order == 2) {
      add(1, 1.0 / 2);
      add(-1, -1.0 / 2);
    } else {
      add(1, 8.0 / 12);
      add(-1, -8.0 / 12);
      add(2, -1.0 / 12);
      add(-2, 1.0 / 12);
    }
    vectors.copy(x, start_.data());
    ctx.exec.fence("attn::optim::JacobianProduct");
  }

 private:
  double step() const {
    if (options_.step > 0) return options_.step;
    constexpr double bend = 0.2;
    return std::pow(double(std::numeric_limits<T>::epsilon()) * std::pow(bend, options_.order),
                    1.0 / (options_.order + 1));
  }

  DifferenceOptions options_;
  Kokkos::View<T*, Memory> start_;
  std::vector<double> r_;
};

}  // namespace attn::optim
