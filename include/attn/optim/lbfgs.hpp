/// L-BFGS: a quasi-Newton method for losses without noise, with a line search (Liu and Nocedal 1989).
#pragma once

#include "attn/optim/detail/line_search_method.hpp"

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

/// `optim::Lbfgs lbfgs(ctx); lbfgs.step(ctx, closure);` where `closure()` evaluates the loss at the current parameters,
/// leaves its gradient in `ctx.parameters.gradients()` (it zeroes them first), and returns the loss as a double.
///
/// Holds (2 history + 8) vectors as long as the parameters, allocated as the history fills. Deterministic: the same
/// bits for any number of threads. A step to where a loss or a slope is not finite is shortened; where that does not
/// help, it throws `attn::Error`, and the parameters are those of the last accepted iterate.
template <Real T, class Memory>
class Lbfgs : public detail::LineSearchMethod<Lbfgs<T, Memory>, T, Memory> {
  using Base = detail::LineSearchMethod<Lbfgs<T, Memory>, T, Memory>;
  friend Base;
  using Vector = typename Base::Vector;
  struct Pair {
    Vector step, change;  // s and y
    double inverse = 0;   // 1 / (y . s)
  };

 public:
  static constexpr char const* name = "Lbfgs";

  explicit Lbfgs(LbfgsOptions const& options = {}) : Base(options), options(options) {}
  template <class Ctx>
  explicit Lbfgs(Ctx const&, LbfgsOptions const& options = {}) : Lbfgs(options) {}

  LbfgsOptions options;

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
  using Base::direction_, Base::gradients_, Base::iterations_, Base::last_step_, Base::previous_gradient_;
  using Base::prepare, Base::vector;

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

  std::deque<Pair> history_;
  Pair spare_;
  double scale_ = 1;  // of the initial inverse Hessian
  bool restored_ = false;
};

template <class Ctx>
Lbfgs(Ctx const&, LbfgsOptions const& = {}) -> Lbfgs<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
