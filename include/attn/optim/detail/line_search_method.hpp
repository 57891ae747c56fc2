/// LineSearchMethod: the iteration that L-BFGS and Broyden's family share, a direction and a line search along it.
#pragma once

#include "attn/optim/detail/attributes.hpp"
#include "attn/optim/detail/flat_vectors.hpp"
#include "attn/optim/detail/strong_wolfe.hpp"
#include "attn/optim/optimizer.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace attn::optim {

/// What one `step` of a method with a line search did.
struct LineSearchReport {
  double first_loss = 0;  ///< before the step
  double loss = 0;        ///< at the parameters that it left
  int iterations = 0;
  int evaluations = 0;     ///< calls of the closure
  bool converged = false;  ///< whether a tolerance ended it, not a limit
};

namespace detail {

/// `Method` derives from this and has `name`, its `options`, and `find_direction(vectors)`, which sets `direction_`
/// from `gradients_[0]` and from `last_step_`, `length_` and `previous_gradient_`, those of the iteration before; the
/// first iteration is number 1.
template <class Method, Real T, class Memory>
class LineSearchMethod {
 public:
  double learning_rate;

  /// Up to `max_iterations` iterations. The state goes on from call to call. `closure()` evaluates the loss at the
  /// current parameters, leaves its gradient in `ctx.parameters.gradients()` (it zeroes them first), and returns the
  /// loss as a double.
  template <class Ctx, class Closure>
  LineSearchReport step(Ctx& ctx, Closure&& closure) {
    ProfilingRegion const region(std::string("attn::optim::") + Method::name);
    auto const& options = method().options;
    auto& parameters = ctx.parameters;
    FlatVectors<T, typename Ctx::Space> v(ctx.exec, parameters.extent());
    prepare(parameters.extent());
    attributes_.prepare(parameters);
    attributes_.check_one_rate(parameters, Method::name);
    T* const x = parameters.values().data();
    auto const evaluate = [&](Vector const& gradient) {
      double const loss = closure();
      v.copy(gradient.data(), parameters.gradients().data());
      attributes_.mask(ctx.exec, gradient.data(), parameters.extent());
      return loss;
    };

    int const max_evaluations = options.max_evaluations > 0 ? options.max_evaluations : options.max_iterations * 5 / 4;
    LineSearchReport report;
    double loss = evaluate(gradients_[0]);
    report.first_loss = loss;
    report.evaluations = 1;
    check_finite(loss, "loss", "at the start of the step");
    bool flat = v.largest_magnitude(gradients_[0].data()) <= options.tolerance_gradient;
    report.converged = flat;

    while (!flat && report.iterations < options.max_iterations) {
      ++report.iterations;
      ++iterations_;
      method().find_direction(v);
      v.copy(previous_gradient_.data(), gradients_[0].data());
      double const previous_loss = loss;
      double const sum = iterations_ == 1 ? v.sum_of_magnitudes(gradients_[0].data()) : 0;
      double const first_step = learning_rate * (iterations_ == 1 ? std::min(1.0, 1 / sum) : 1.0);

      double const slope = v.dot(gradients_[0].data(), direction_.data());
      check_finite(slope, "slope along the search direction", "before the line search");
      if (slope > -options.tolerance_change) {
        length_ = first_step;
        v.combine(last_step_.data(), first_step, direction_.data(), 0, direction_.data());  // not taken
        report.converged = true;
        break;
      }
      v.copy(start_.data(), x);
      auto const trial = [&](double t, int place) {
        v.combine(x, 1, start_.data(), t, direction_.data());
        double const l = evaluate(gradients_[place]);
        return LinePoint{t, l, v.dot(gradients_[place].data(), direction_.data()), place};
      };
      double const longest = v.largest_magnitude(direction_.data());
      int evaluations = 0;
      LinePoint const best = strong_wolfe({.tolerance_change = options.tolerance_change}, {0, loss, slope, 0},
                                          first_step, longest, trial, evaluations);
      if (!best.finite()) v.copy(x, start_.data());  // the last good ones
      check_finite(best.loss, "loss", "in the line search", best.step);
      check_finite(best.slope, "slope", "in the line search", best.step);
      loss = best.loss;
      length_ = best.step;
      std::swap(gradients_[0], gradients_[best.gradient]);
      v.combine(x, 1, start_.data(), best.step, direction_.data());
      v.combine(last_step_.data(), best.step, direction_.data(), 0, direction_.data());
      report.evaluations += evaluations;

      flat = v.largest_magnitude(gradients_[0].data()) <= options.tolerance_gradient;
      report.converged = flat || std::abs(best.step) * longest <= options.tolerance_change ||
                         std::abs(loss - previous_loss) < options.tolerance_change;
      if (report.evaluations >= max_evaluations || report.converged) break;
    }
    report.loss = loss;
    return report;
  }

  /// Iterations of all steps so far.
  std::uint64_t iterations() const { return iterations_; }

 protected:
  using Vector = Kokkos::View<T*, Memory>;

  /// Checks what all such methods ask of their options.
  template <class Options>
  explicit LineSearchMethod(Options const& options) : learning_rate(options.learning_rate) {
    ATTN_CHECK(options.max_iterations > 0 && options.history > 0, Method::name,
               ": give at least one iteration and one pair of history, got ", options.max_iterations, " and ",
               options.history);
    ATTN_CHECK(options.learning_rate > 0, Method::name, ": give a positive learning rate, got ", options.learning_rate);
  }

  static Vector vector(Index extent) {
    return Vector(std::string("attn::optim::") + Method::name, static_cast<std::size_t>(extent));
  }

  void prepare(Index extent) {
    if (Index(direction_.extent(0)) == extent) return;
    for (Vector* v : {&direction_, &last_step_, &previous_gradient_, &start_}) *v = vector(extent);
    for (Vector& v : gradients_) v = vector(extent);
  }

  Vector direction_, last_step_, previous_gradient_, start_;
  Vector gradients_[4];  // at the current iterate, and at trial points of the line search
  double length_ = 0;    // last_step_ is so many directions long
  std::uint64_t iterations_ = 0;

 private:
  Method& method() { return static_cast<Method&>(*this); }

  void check_finite(double value, char const* what, char const* where, double step = 0) const {
    ATTN_CHECK(std::isfinite(value), Method::name, ": the ", what, " became ", value, " ", where, " of iteration ",
               iterations_, step != 0 ? ", at step length " + std::to_string(step) : std::string(),
               "; the parameters are those of the last good iterate");
  }

  GranuleAttributes<T, Memory> attributes_;
};

}  // namespace detail
}  // namespace attn::optim
