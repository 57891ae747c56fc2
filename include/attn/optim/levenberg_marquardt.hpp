/// LevenbergMarquardt: Gauss-Newton steps whose system is solved, for sums of fewer squares than there are parameters.
///
/// Includes Eigen, for hosts. nvcc warns of its functions unless EIGEN_NO_CUDA is defined, which those define whose
/// kernels do not call Eigen.
#pragma once

#include "attn/optim/detail/least_squares_method.hpp"
#include "attn/optim/jacobian.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace attn::optim {

/// What a step of Levenberg and Marquardt can be told.
struct LevenbergMarquardtOptions {
  double damping = 1e-3;  ///< at the start, in units of the mean eigenvalue of J J^T
  double factor = 3;      ///< from one damping that is tried to the next
  int max_trials = 40;    ///< dampings of one step
  double most_bend = 2;   ///< corrections longer than so many times their change are not tried; 0: none is
};

/// What one `step` did.
struct LevenbergMarquardtReport {
  double first_loss = 0;   ///< before the step
  double loss = 0;         ///< at the parameters that it left
  int trials = 0;          ///< dampings
  int forwards = 0;        ///< forward passes
  double damping = 0;      ///< with which the loss was lowest
  double bend = 0;         ///< the length of the correction over that of the change, there; 0: without correction
  bool converged = false;  ///< there is no gradient, or no damping lowers the loss

  /// Work in evaluations of a loss and its gradient, of which a forward pass is a third and J one; the product of J
  /// with itself, which takes most of the time, is not in it.
  double evaluations() const { return 1 + forwards / 3.0; }
};

/// `optim::LevenbergMarquardt method(ctx); method.step(ctx, problem);` with a `LeastSquares` problem.
///
///     (J J^T + damping) y = -r,     d = J^T y    the damped step of Gauss and Newton (Levenberg 1944, Marquardt 1963)
///     (J J^T + damping) z = -r'',   c = J^T z    with r'' = 2 (r(theta + d) - r - J d)
///     theta += d, or d + c / 2                   whichever lowers the loss most, among all dampings that were tried
///
/// With n residuals and p > n parameters, this system of n unknowns gives the d of that of p (Woodbury; of equations
/// Guzman-Cordero et al. 2025), and since it is solved and not iterated, curvatures may differ as much as rounding lets
/// them. The correction c follows valleys that bend: it is the geodesic acceleration of Transtrum and Sethna (2012),
/// with the second derivative taken over the whole step. Dampings are tried from that of the last step on, downwards
/// while the loss falls, else upwards.
///
/// A step costs J (n small backward passes; a `SummedLeastSquares` has fewer rows), n^2 p operations for J J^T, and a
/// trial of a damping n^3 / 3, two products with J and two forward passes. Holds n + 3 vectors as long as the
/// parameters. Deterministic: the same bits for any number of threads. A residual that is not finite where a step
/// starts is an `attn::Error` with its name; on the way it only tells against a damping.
template <Real T, class Memory>
class LevenbergMarquardt : public detail::LeastSquaresMethod<LevenbergMarquardt<T, Memory>, T, Memory> {
  using Base = detail::LeastSquaresMethod<LevenbergMarquardt<T, Memory>, T, Memory>;
  using typename Base::Vector;

 public:
  static constexpr char const* name = "LevenbergMarquardt";

  explicit LevenbergMarquardt(LevenbergMarquardtOptions const& options = {}) : options(options) {
    ATTN_CHECK(options.damping > 0 && options.factor > 1 && options.max_trials > 0,
               "LevenbergMarquardt: give a damping above 0, a factor above 1 and at least one trial, got ",
               options.damping, ", ", options.factor, " and ", options.max_trials);
    ATTN_CHECK(options.most_bend >= 0, "LevenbergMarquardt: give a bend that is not negative, got ", options.most_bend);
  }
  template <class Ctx>
  explicit LevenbergMarquardt(Ctx const&, LevenbergMarquardtOptions const& options = {})
      : LevenbergMarquardt(options) {}

  LevenbergMarquardtOptions options;

  template <class Ctx, class P>
  LevenbergMarquardtReport step(Ctx& ctx, P& problem) {
    static_assert(LeastSquares<P>,
                  "LevenbergMarquardt: give a loss that is a sum of squares, with size(), residuals(r) and "
                  "pull_back(w): see attn/optim/least_squares.hpp");
    ProfilingRegion const region("attn::optim::LevenbergMarquardt");
    detail::FlatVectors<T, typename Ctx::Space> v(ctx.exec, ctx.parameters.extent());
    Base::prepare(ctx, {&start_, &change_, &best_});
    v.copy(start_.data(), ctx.parameters.values().data());

    LevenbergMarquardtReport report;
    Base::start(ctx, problem, report);
    ++steps_;
    System const system = system_of(ctx, problem);
    report.converged = !(system.unit > 0);
    if (report.converged) return report;

    if (damping_ < 0) damping_ = options.damping;
    double const first = damping_;
    search(ctx, problem, v, system, first, 1 / options.factor, report);
    if (report.damping == 0 || report.damping == first) {
      search(ctx, problem, v, system, first * options.factor, options.factor, report);
    }
    report.converged = report.damping == 0;
    if (!report.converged) std::swap(r_, best_r_);
    v.copy(ctx.parameters.values().data(), report.converged ? start_.data() : best_.data());
    ctx.exec.fence("attn::optim::LevenbergMarquardt");
    return report;
  }

  /// The rest of the state: the damping from which the next step starts, negative if there was none yet.
  std::vector<double> numbers() const { return {damping_}; }
  void restore(std::vector<double> const& numbers) {
    ATTN_CHECK(numbers.size() == 1, "LevenbergMarquardt::restore: give 1 number, got ", numbers.size());
    damping_ = numbers[0];
  }

 private:
  using Base::r_, Base::steps_;

  struct System {
    Eigen::MatrixXd kernel;  // J J^T
    Eigen::VectorXd r;
    double unit = 0;  // the mean eigenvalue
  };

  template <class P>
  static Eigen::VectorXd sums_of(P& problem, std::vector<double> const& r) {
    auto const vector = [](std::vector<double> const& x) -> Eigen::VectorXd {
      return Eigen::Map<Eigen::VectorXd const>(x.data(), Eigen::Index(x.size()));
    };
    if constexpr (SummedLeastSquares<P>) {
      return vector(problem.sums(r));
    } else {
      return vector(r);
    }
  }

  template <class Ctx, class P>
  System system_of(Ctx& ctx, P& problem) {
    System system;
    system.r = sums_of(problem, r_);
    Eigen::Index const n = system.r.size();
    if constexpr (SummedLeastSquares<P>) {
      jacobian_.evaluate_sums(ctx, problem, std::size_t(n));
    } else {
      jacobian_.evaluate(ctx, problem);
    }
    system.kernel = Eigen::Map<Eigen::MatrixXd const>(jacobian_.gram(ctx.exec).data(), n, n);
    system.unit = system.kernel.trace() / double(n);
    ATTN_CHECK(std::isfinite(system.unit), "LevenbergMarquardt: the derivatives of the residuals became ", system.unit,
               " at the start of the step; the parameters are those of the last good iterate");
    return system;
  }

  /// Tries dampings until the loss no longer falls; upwards, until it has fallen at all. Leaves the best change's
  /// parameters in `best_`, and its residuals in `r_`.
  template <class Ctx, class P, class Vectors>
  void search(Ctx& ctx, P& problem, Vectors& v, System const& system, double damping, double factor,
              LevenbergMarquardtReport& report) {
    for (; report.trials < options.max_trials; damping *= factor) {
      ++report.trials;
      if (try_damping(ctx, problem, v, system, damping, report)) {
        report.damping = damping_ = damping;
      } else if (factor < 1 || report.damping != 0) {
        return;
      }
    }
  }

  /// Tries the change of a damping, and the same corrected. Returns whether one of them is the best so far.
  template <class Ctx, class P, class Vectors>
  bool try_damping(Ctx& ctx, P& problem, Vectors& v, System const& system, double damping,
                   LevenbergMarquardtReport& report) {
    Eigen::MatrixXd damped = system.kernel;
    damped.diagonal().array() += damping * system.unit;
    Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> const factors(damped);
    if (factors.info() != Eigen::Success) return false;  // rounding left the system without a solution
    T* const x = ctx.parameters.values().data();
    auto const move = [&](Eigen::VectorXd const& y) {
      jacobian_.transposed_times(ctx.exec, {y.data(), y.data() + y.size()}, change_.data());
      v.combine(x, 1, start_.data(), 1, change_.data());
      problem.residuals(trial_);
      ++report.forwards;
    };
    bool better = false;
    auto const judge = [&](double bend) {
      double const loss = detail::dot(trial_, trial_);
      if (!(loss < report.loss)) return;
      better = true;
      report.loss = loss;
      report.bend = bend;
      std::swap(best_r_, trial_);
      v.copy(best_.data(), x);
    };
    Eigen::VectorXd const y = -factors.solve(system.r), slope = system.kernel * y;  // J d
    move(y);
    Eigen::VectorXd const second = 2 * (sums_of(problem, trial_) - system.r - slope);
    judge(0);
    Eigen::VectorXd const z = -factors.solve(second);
    double const bend = std::sqrt(z.dot(system.kernel * z) / y.dot(slope));  // |J^T z| / |J^T y|
    if (bend <= options.most_bend) {
      move(y + z / 2);
      judge(bend);
    }
    return better;
  }

  Jacobian<T, Memory> jacobian_;
  Vector start_, change_, best_;
  std::vector<double> best_r_, trial_;
  double damping_ = -1;  // none yet
};

template <class Ctx>
LevenbergMarquardt(Ctx const&, LevenbergMarquardtOptions const& = {})
    -> LevenbergMarquardt<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
