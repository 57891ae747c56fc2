/// GaussNewton: a method for losses that are sums of squares, which looks at the residuals and not at their sum
/// (Levenberg 1944, Marquardt 1963), without matrices.
#pragma once

#include "attn/optim/detail/least_squares_method.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace attn::optim {

/// What a Gauss-Newton step can be told.
struct GaussNewtonOptions {
  int max_products = 50;     ///< of one step, with J and with J^T: iterations of conjugate gradients
  double tolerance = 1e-3;   ///< these end where the gradient of the model has shrunk to this part
  double damping = 1e-5;     ///< at the start, in units of the curvature along the gradient
  double shrink = 0.1;       ///< the damping falls to no less than this part of itself in a step
  int max_halvings = 4;      ///< of a change that does not lower the loss
  double least_gain = 1e-4;  ///< a change is taken if the loss falls by this part of what the model says
  DifferenceOptions difference = {};
};

/// What one `step` did.
struct GaussNewtonReport {
  double first_loss = 0;   ///< before the step
  double loss = 0;         ///< at the parameters that it left
  int products = 0;        ///< with the matrix of Gauss and Newton
  int forwards = 0;        ///< forward passes alone
  int pull_backs = 0;      ///< forward and backward passes
  double damping = 0;      ///< in this step
  double gain = 0;         ///< the fall of the loss over that of the model, of the change that was taken or tried last
  double fraction = 0;     ///< of the change that was taken: 1, 1/2, ...; 0 where none lowered the loss
  double mismatch = 0;     ///< largest |<w, J v> - <J^T w, v>| / (|w| |J v|) of the products
  bool converged = false;  ///< there is no gradient, or no change of the parameters that lowers the loss

  /// Work in evaluations of a loss and its gradient, of which a forward pass is a third.
  double evaluations() const { return pull_backs + forwards / 3.0; }
};

/// `optim::GaussNewton newton(ctx); newton.step(ctx, problem);` with a `LeastSquares` problem.
///
///     J^T J d + damping d = -J^T r     by at most `max_products` iterations of conjugate gradients
///     theta += d, or half of it, ...   if |r|^2 falls
///
/// The damping falls where the loss falls as the model |r + J d|^2 says, and rises where it does not (Nielsen 1999). A
/// Jacobian without full rank needs nothing special: d stays in the space of its rows. A product costs two or four
/// forward passes (`DifferenceOptions`) and one forward and backward pass, 1.7 or 2.3 evaluations. Nothing is averaged
/// over steps, so each may look at other residuals: a random part of the points.
///
/// Holds 5 vectors as long as the parameters and 5 as long as the residuals. Deterministic: the same bits for any
/// number of threads. A residual that is not finite where a step starts is an `attn::Error` with its name; on the way
/// it shortens the step.
template <Real T, class Memory>
class GaussNewton : public detail::LeastSquaresMethod<GaussNewton<T, Memory>, T, Memory> {
  using Base = detail::LeastSquaresMethod<GaussNewton<T, Memory>, T, Memory>;
  using typename Base::Vector;

 public:
  static constexpr char const* name = "GaussNewton";

  explicit GaussNewton(GaussNewtonOptions const& options = {}) : options(options), jacobian_(options.difference) {
    ATTN_CHECK(options.max_products > 0 && options.max_halvings >= 0,
               "GaussNewton: give at least one product and no less than 0 halvings, got ", options.max_products,
               " and ", options.max_halvings);
    ATTN_CHECK(options.tolerance >= 0 && options.damping >= 0 && options.least_gain >= 0 && options.least_gain < 1,
               "GaussNewton: give a tolerance and a damping that are not negative and a gain below 1, got ",
               options.tolerance, ", ", options.damping, " and ", options.least_gain);
    ATTN_CHECK(options.shrink > 0 && options.shrink <= 1, "GaussNewton: give a shrink above 0 and not above 1, got ",
               options.shrink);
  }
  template <class Ctx>
  explicit GaussNewton(Ctx const&, GaussNewtonOptions const& options = {}) : GaussNewton(options) {}

  GaussNewtonOptions options;

  template <class Ctx, class P>
  GaussNewtonReport step(Ctx& ctx, P& problem) {
    static_assert(LeastSquares<P>,
                  "GaussNewton: give a loss that is a sum of squares, with size(), residuals(r) and pull_back(w): see "
                  "attn/optim/least_squares.hpp");
    ProfilingRegion const region("attn::optim::GaussNewton");
    detail::FlatVectors<T, typename Ctx::Space> v(ctx.exec, ctx.parameters.extent());
    Base::prepare(ctx, {&change_, &slope_, &search_, &start_});
    T* const x = ctx.parameters.values().data();

    GaussNewtonReport report;
    Base::start(ctx, problem, report);
    solve(ctx, problem, v, report);
    ++steps_;
    if (report.converged) return report;

    v.copy(start_.data(), x);
    double fraction = 1;
    for (int halving = 0; halving <= options.max_halvings; ++halving, fraction /= 2) {
      v.combine(x, 1, start_.data(), fraction, change_.data());
      problem.residuals(trial_);
      ++report.forwards;
      double const loss = detail::dot(trial_, trial_);
      double model = 0;  // |r + fraction J d|^2
      for (std::size_t i = 0; i < r_.size(); ++i) {
        double const m = (1 - fraction) * r_[i] - fraction * rest_[i];
        model += m * m;
      }
      report.gain = std::isfinite(loss) ? (report.first_loss - loss) / (report.first_loss - model) : -1;
      if (report.gain > options.least_gain) {
        report.loss = loss;
        report.fraction = fraction;
        std::swap(r_, trial_);
        break;
      }
    }
    if (report.fraction == 0) {
      report.converged = v.largest_magnitude(change_.data()) <=
                         double(std::numeric_limits<T>::epsilon()) * v.largest_magnitude(start_.data());
      v.copy(x, start_.data());
    }
    if (report.fraction == 1) {
      double const far = 2 * report.gain - 1;
      damping_ *= std::max(options.shrink, 1 - far * far * far);
      growth_ = 2;
    } else {
      damping_ *= growth_;
      growth_ *= 2;
    }
    return report;
  }

  /// The rest of the state: the damping of the next step, negative if there was none yet, and by what it grows.
  std::vector<double> numbers() const { return {damping_, growth_}; }
  void restore(std::vector<double> const& numbers) {
    ATTN_CHECK(numbers.size() == 2, "GaussNewton::restore: give 2 numbers, got ", numbers.size());
    damping_ = numbers[0];
    growth_ = numbers[1];
  }

 private:
  using Base::attributes_, Base::r_, Base::steps_;

  /// change = d, rest = -(r + J d): conjugate gradients on the normal equations in the form that keeps the residual,
  /// whose rounding errors are those of J, not of J^T J (Hestenes and Stiefel 1952).
  template <class Ctx, class P, class Vectors>
  void solve(Ctx& ctx, P& problem, Vectors& v, GaussNewtonReport& report) {
    T *const d = change_.data(), *const s = slope_.data(), *const p = search_.data();
    auto const pull_back = [&] {  // s = J^T rest
      problem.pull_back(rest_);
      ++report.pull_backs;
      v.copy(s, ctx.parameters.gradients().data());
      attributes_.mask(ctx.exec, s, v.extent());
    };
    rest_.assign(r_.begin(), r_.end());
    for (double& rest : rest_) rest = -rest;
    pull_back();
    double square = v.dot(s, s);
    double const first = square;
    ATTN_CHECK(std::isfinite(square), "GaussNewton: the gradient became ", square,
               " at the start of the step; the parameters are those of the last good iterate");
    report.converged = square == 0;
    if (report.converged) return;
    v.copy(p, s);
    v.combine(d, 0, s, 0, s);
    while (report.products < options.max_products) {
      jacobian_(ctx, problem, p, q_);
      ++report.products;
      report.forwards += jacobian_.passes();
      double const qq = detail::dot(q_, q_), pp = v.dot(p, p);
      if (damping_ < 0) damping_ = options.damping * qq / pp;
      report.damping = damping_;
      double const length = square / (qq + damping_ * pp);
      if (!std::isfinite(length)) {
        if (report.products == 1) detail::check_residuals(problem, q_, "GaussNewton", "along the gradient");
        break;
      }
      v.combine(d, 1, d, length, p);
      for (std::size_t i = 0; i < q_.size(); ++i) rest_[i] -= length * q_[i];
      if (report.products == options.max_products) break;
      pull_back();
      double const both = std::sqrt(detail::dot(rest_, rest_) * qq);
      if (both > 0) {
        report.mismatch = std::max(report.mismatch, std::abs(v.dot(s, p) - detail::dot(rest_, q_)) / both);
      }
      v.combine(s, 1, s, -damping_, d);
      double const next = v.dot(s, s);
      if (!(next > options.tolerance * options.tolerance * first)) break;
      v.combine(p, 1, s, next / square, p);
      square = next;
    }
    // Rounding may leave a direction along which the model does not fall, or a Jacobian of zeros.
    double const model = detail::dot(rest_, rest_);
    report.converged = !(model < report.first_loss);
  }

  JacobianProduct<T, Memory> jacobian_;
  Vector change_, slope_, search_, start_;
  std::vector<double> rest_, trial_, q_;
  double damping_ = -1;  // none yet
  double growth_ = 2;
};

template <class Ctx>
GaussNewton(Ctx const&, GaussNewtonOptions const& = {}) -> GaussNewton<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
