/// L-BFGS: a quasi-Newton method for losses without noise, with a line search (Liu and Nocedal 1989).
#pragma once

#include "attn/optim/detail/attributes.hpp"
#include "attn/optim/detail/flat_vectors.hpp"
#include "attn/optim/detail/strong_wolfe.hpp"
#include "attn/optim/optimizer.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace attn::optim {

/// The defaults are those of the widely used implementation, and so are all rules of stopping.
struct LbfgsOptions {
  double learning_rate = 1;
  int max_iterations = 20;           ///< of one `step`
  int max_evaluations = 0;           ///< of one `step`; 0 means 5/4 of `max_iterations`
  double tolerance_gradient = 1e-7;  ///< stop where no gradient is larger
  double tolerance_change = 1e-9;    ///< stop where neither parameters nor loss change by more
  int history = 100;                 ///< pairs of steps and gradient changes that are remembered
};

/// What one `step` did.
struct LbfgsReport {
  double first_loss = 0;  ///< before the step
  double loss = 0;        ///< at the parameters that it left
  int iterations = 0;
  int evaluations = 0;     ///< calls of the closure
  bool converged = false;  ///< whether a tolerance ended it, not a limit
};

/// `optim::Lbfgs lbfgs(ctx); lbfgs.step(ctx, closure);` where `closure()` evaluates the loss at the current parameters,
/// leaves its gradient in `ctx.parameters.gradients()` (it zeroes them first), and returns the loss as a double.
///
/// Holds (2 history + 8) vectors as long as the parameters, allocated as the history fills. Deterministic: the same
/// bits for any number of threads. Throws `attn::Error` when a loss or a slope is not finite; the parameters are then
/// those of the last accepted iterate.
template <Real T, class Memory>
class Lbfgs {
  using Vector = Kokkos::View<T*, Memory>;
  struct Pair {
    Vector step, change;  // s and y
    double inverse = 0;   // 1 / (y . s)
  };

 public:
  explicit Lbfgs(LbfgsOptions const& options = {}) : options(options), learning_rate(options.learning_rate) {
    ATTN_CHECK(options.max_iterations > 0 && options.history > 0,
               "Lbfgs: give at least one iteration and one pair of history, got ", options.max_iterations, " and ",
               options.history);
    ATTN_CHECK(options.learning_rate > 0, "Lbfgs: give a positive learning rate, got ", options.learning_rate);
  }
  template <class Ctx>
  explicit Lbfgs(Ctx const&, LbfgsOptions const& options = {}) : Lbfgs(options) {}

  LbfgsOptions options;
  double learning_rate;

  /// Up to `max_iterations` iterations. The state goes on from call to call.
  template <class Ctx, class Closure>
  LbfgsReport step(Ctx& ctx, Closure&& closure) {
    ProfilingRegion const region("attn::optim::Lbfgs");
    auto& parameters = ctx.parameters;
    detail::FlatVectors<T, typename Ctx::Space> v(ctx.exec, parameters.extent());
    prepare(parameters.extent());
    attributes_.prepare(parameters);
    for (auto const& entry : parameters.entries()) {
      ATTN_CHECK(!entry.trained || entry.learning_rate_factor == 1,
                 "Lbfgs: give all parameters the same learning rate, or use Adam; the factor of \"", entry.name,
                 "\" is ", entry.learning_rate_factor);
    }
    T* const x = parameters.values().data();
    auto const evaluate = [&](Vector const& gradient) {
      double const loss = closure();
      v.copy(gradient.data(), parameters.gradients().data());
      if (!attributes_.uniform()) {
        detail::for_each_element<T>(ctx.exec, "attn::optim::Lbfgs::mask", parameters.extent(),
                                    detail::MaskGradient<T>{gradient.data(), attributes_.rates()});
      }
      return loss;
    };

    int const max_evaluations = options.max_evaluations > 0 ? options.max_evaluations : options.max_iterations * 5 / 4;
    LbfgsReport report;
    double loss = evaluate(gradients_[0]);
    report.first_loss = loss;
    report.evaluations = 1;
    check_finite(loss, "loss", "at the start of the step");
    bool flat = v.largest_magnitude(gradients_[0].data()) <= options.tolerance_gradient;
    report.converged = flat;

    while (!flat && report.iterations < options.max_iterations) {
      ++report.iterations;
      ++iterations_;
      find_direction(v);
      v.copy(previous_gradient_.data(), gradients_[0].data());
      double const previous_loss = loss;
      double const sum = iterations_ == 1 ? v.sum_of_magnitudes(gradients_[0].data()) : 0;
      double const first_step = learning_rate * (iterations_ == 1 ? std::min(1.0, 1 / sum) : 1.0);

      double const slope = v.dot(gradients_[0].data(), direction_.data());
      check_finite(slope, "slope along the search direction", "before the line search");
      if (slope > -options.tolerance_change) {
        v.combine(last_step_.data(), first_step, direction_.data(), 0, direction_.data());  // not taken
        report.converged = true;
        break;
      }
      v.copy(start_.data(), x);
      auto const trial = [&](double t, int place) {
        v.combine(x, 1, start_.data(), t, direction_.data());
        double const l = evaluate(gradients_[place]);
        double const s = v.dot(gradients_[place].data(), direction_.data());
        if (!std::isfinite(l) || !std::isfinite(s)) v.copy(x, start_.data());  // the last good ones
        check_finite(l, "loss", "in the line search", t);
        check_finite(s, "slope", "in the line search", t);
        return detail::LinePoint{t, l, s, place};
      };
      double const longest = v.largest_magnitude(direction_.data());
      int evaluations = 0;
      detail::LinePoint const best = detail::strong_wolfe({.tolerance_change = options.tolerance_change},
                                                          {0, loss, slope, 0}, first_step, longest, trial, evaluations);
      loss = best.loss;
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

  /// Pairs that are remembered now.
  int remembered() const { return static_cast<int>(history_.size()); }

  /// What must be kept to go on after an interruption to the same bits; see `State`. To read it back into another
  /// object, first tell that one how many pairs will come: `restore_history(ctx, remembered)`.
  template <class Ctx>
  State<T, Memory> state(Ctx& ctx) {
    prepare(ctx.parameters.extent());
    State<T, Memory> s{{{"last_step", last_step_}, {"previous_gradient", previous_gradient_}}, &iterations_};
    for (std::size_t i = 0; i < history_.size(); ++i) {
      s.arrays.push_back({"history_step_" + std::to_string(i), history_[i].step});
      s.arrays.push_back({"history_change_" + std::to_string(i), history_[i].change});
    }
    return s;
  }

  /// Makes room for the history of a checkpoint; its numbers are then read into `state(ctx)`.
  template <class Ctx>
  void restore_history(Ctx& ctx, int pairs) {
    ATTN_CHECK(pairs >= 0 && pairs <= options.history, "Lbfgs::restore_history: give 0 to ", options.history,
               " pairs, got ", pairs);
    Index const extent = ctx.parameters.extent();
    prepare(extent);
    history_.clear();
    for (int i = 0; i < pairs; ++i) history_.push_back({vector(extent), vector(extent), 0});
    restored_ = true;
  }

 private:
  static Vector vector(Index extent) { return Vector("attn::optim::Lbfgs", static_cast<std::size_t>(extent)); }

  void prepare(Index extent) {
    if (Index(direction_.extent(0)) == extent) return;
    for (Vector* v : {&direction_, &last_step_, &previous_gradient_, &start_}) *v = vector(extent);
    for (Vector& v : gradients_) v = vector(extent);
  }

  /// direction = -H gradient, H the inverse Hessian that the remembered pairs imply: the two-loop recursion.
  template <class Vectors>
  void find_direction(Vectors& v) {
    T* const d = direction_.data();
    T const* const g = gradients_[0].data();
    if (iterations_ == 1) {
      history_.clear();
      scale_ = 1;
      v.combine(d, -1, g, 0, g);
      return;
    }
    if (restored_) measure_history(v);
    remember(v);
    if (history_.empty()) {
      v.combine(d, -scale_, g, 0, g);
      return;
    }
    int const n = static_cast<int>(history_.size());
    std::vector<double> alpha(history_.size());
    v.combine(d, -1, g, 0, g);
    double product = v.dot(history_.back().step.data(), d);
    for (int i = n - 1; i >= 0; --i) {
      Pair const& pair = history_[std::size_t(i)];
      alpha[std::size_t(i)] = product * pair.inverse;
      Vector const& next = i > 0 ? history_[std::size_t(i - 1)].step : pair.change;
      product = v.add_and_dot(d, -alpha[std::size_t(i)], pair.change.data(), next.data());
    }
    v.combine(d, scale_, d, 0, d);
    product *= scale_;
    for (int i = 0; i < n; ++i) {
      Pair const& pair = history_[std::size_t(i)];
      double const factor = alpha[std::size_t(i)] - product * pair.inverse;
      Vector const& next = i + 1 < n ? history_[std::size_t(i + 1)].change : pair.change;
      product = v.add_and_dot(d, factor, pair.step.data(), next.data());
    }
  }

  /// The numbers that follow from the history.
  template <class Vectors>
  void measure_history(Vectors& v) {
    restored_ = false;
    scale_ = 1;
    for (Pair& pair : history_) {
      double const curvature = v.dot(pair.change.data(), pair.step.data());
      pair.inverse = 1 / curvature;
      scale_ = curvature / v.dot(pair.change.data(), pair.change.data());
    }
  }

  /// Keeps the last step and its change of the gradient, if the curvature along it is positive.
  template <class Vectors>
  void remember(Vectors& v) {
    Pair pair;
    bool const full = static_cast<int>(history_.size()) == options.history;
    bool const reuse = spare_.step.extent(0) == direction_.extent(0);
    pair = reuse ? spare_ : Pair{vector(v.extent()), vector(v.extent()), 0};
    spare_ = pair;
    v.combine(pair.change.data(), 1, gradients_[0].data(), -1, previous_gradient_.data());
    v.copy(pair.step.data(), last_step_.data());
    double const curvature = v.dot(pair.change.data(), pair.step.data());
    if (!(curvature > 1e-10)) return;
    pair.inverse = 1 / curvature;
    scale_ = curvature / v.dot(pair.change.data(), pair.change.data());
    spare_ = {};
    if (full) {
      spare_ = history_.front();
      history_.pop_front();
    }
    history_.push_back(pair);
  }

  void check_finite(double value, char const* what, char const* where, double step = 0) const {
    ATTN_CHECK(std::isfinite(value), "Lbfgs: the ", what, " became ", value, " ", where, " of iteration ", iterations_,
               step != 0 ? ", at step length " + std::to_string(step) : std::string(),
               "; the parameters are those of the last good iterate");
  }

  detail::GranuleAttributes<T, Memory> attributes_;
  std::deque<Pair> history_;
  Pair spare_;
  Vector direction_, last_step_, previous_gradient_, start_;
  Vector gradients_[4];  // at the current iterate, and at trial points of the line search
  double scale_ = 1;     // of the initial inverse Hessian
  std::uint64_t iterations_ = 0;
  bool restored_ = false;
};

template <class Ctx>
Lbfgs(Ctx const&, LbfgsOptions const& = {}) -> Lbfgs<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
