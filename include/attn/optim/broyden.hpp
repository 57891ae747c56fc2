/// Broyden: quasi-Newton methods that scale the inverse Hessian before each update, for losses without noise and of
/// very unequal curvatures (Al-Baali and Khalfan 2005; Urban, Stefanou and Pons 2025).
#pragma once

#include "attn/optim/detail/line_search_method.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace attn::optim {

/// What Broyden's family can be told.
struct BroydenOptions {
  double learning_rate = 1;
  int max_iterations = 20;            ///< of one `step`
  int max_evaluations = 0;            ///< of one `step`; 0 means 5/4 of `max_iterations`
  double tolerance_gradient = 1e-10;  ///< stop where no gradient is larger
  double tolerance_change = 1e-18;    ///< stop where neither parameters nor loss change by more
  int history = 500;                  ///< updates after which it begins anew
  int recent = 100;                   ///< updates, at most, of which H is made anew where no step leads down
  /// `broyden` chooses the member of the family anew in each update (SSBroyden), `bfgs` always takes that one (SSBFGS).
  enum class Update { broyden, bfgs } update = Update::broyden;
};

/// The update of the inverse Hessian H by a step s that changed the gradient by y. With u = H y and
/// v = sqrt(y.u) (s / y.s - u / y.u):
///
///     H+ = (H - u u^T / y.u + phi v v^T) / tau + s s^T / y.s = keep H + ss s s^T + su (s u^T + u s^T) + uu u u^T
struct BroydenUpdate {
  double keep = 1;
  double ss = 0, su = 0, uu = 0;

  /// ys = y.s, yu = y.u, sbs = s.B s with B the inverse of H. The member `theta` and the scale `tau` of the two papers;
  /// the first update scales so that H fits the curvature along y, those after it never shrink H.
  static BroydenUpdate of(double ys, double yu, double sbs, double dimensions, bool first,
                          BroydenOptions::Update kind) {
    double const h = yu / ys, b = sbs / ys;
    double const a = std::max(b * h - 1, 0.0);  // not negative, but for rounding
    double theta = 0;
    if (kind == BroydenOptions::Update::broyden && a > 1e-10) {
      double const lowest = std::min(1.0, h * (1 - std::sqrt(a / (1 + a))));
      theta = std::max((lowest - 1) / a, std::min(1 / lowest, (1 - b) / b));
    }
    double const sigma = 1 + a * theta, phi = (1 - theta) / sigma;
    double tau = h / sigma;
    if (!first) {
      double const oren = std::min(1.0, 1 / b), root = dimensions > 1 ? std::pow(sigma, 1 / (1 - dimensions)) : 1.0;
      tau = theta > 0 ? oren * std::min(root, 1 / theta) : std::min(oren * root, sigma);
    }
    return {1 / tau, phi * yu / (tau * ys * ys) + 1 / ys, -phi / (tau * ys), (phi - 1) / (tau * yu)};
  }
};

/// `optim::Broyden broyden(ctx); broyden.step(ctx, closure);`, with the closure and the line search of `Lbfgs`.
///
/// There is no dense matrix: an update is two vectors and four numbers, and H times a vector is two dot products and
/// two sums of vectors an update. So an iteration costs 8 history parameters operations and the memory is (2 history +
/// recent + 9) vectors as long as the parameters, whatever their number. Nothing of H is forgotten, unlike with
/// `Lbfgs`, until `history` updates are there: then it begins anew from a multiple of one. Where a line search finds no
/// way down, H is made anew by plain updates (BFGS) with the steps and changes of half of the last iterations, of
/// `recent` at most; along the gradient alone, rounding hides the way where curvatures differ much.
///
/// Deterministic: the same bits for any number of threads. A step to where a loss or a slope is not finite is
/// shortened; where that does not help, it throws `attn::Error`, and the parameters are those of the last accepted
/// iterate.
template <Real T, class Memory>
class Broyden : public detail::LineSearchMethod<Broyden<T, Memory>, T, Memory> {
  using Base = detail::LineSearchMethod<Broyden<T, Memory>, T, Memory>;
  friend Base;
  using Vector = typename Base::Vector;
  struct Pair {
    Vector step, image;  // s, and u = H y
    BroydenUpdate update = {};
  };

 public:
  static constexpr char const* name = "Broyden";

  explicit Broyden(BroydenOptions const& options = {}) : Base(options), options(options) {}
  template <class Ctx>
  explicit Broyden(Ctx const&, BroydenOptions const& options = {}) : Broyden(options) {}

  BroydenOptions options;

  /// Updates that are kept now.
  int remembered() const { return used_; }

  /// What must be kept to go on after an interruption to the same bits, besides `numbers()`.
  template <class Ctx>
  State<T, Memory> state(Ctx& ctx) {
    prepare(ctx.parameters.extent());
    State<T, Memory> s{{{"last_step", last_step_}, {"previous_gradient", previous_gradient_}}, &iterations_};
    for (int i = 0; i < used_; ++i) {
      s.arrays.push_back({"history_step_" + std::to_string(i), pairs_[std::size_t(i)].step});
      s.arrays.push_back({"history_image_" + std::to_string(i), pairs_[std::size_t(i)].image});
    }
    for (int i = used_ - std::min(used_, recent()); i < used_; ++i) {
      s.arrays.push_back({"history_change_" + std::to_string(i), change(i)});
    }
    return s;
  }

  /// The rest of the state: (1 + 4 remembered()).
  std::vector<double> numbers() const {
    std::vector<double> all{length_};
    for (int i = 0; i < used_; ++i) {
      BroydenUpdate const& u = pairs_[std::size_t(i)].update;
      all.insert(all.end(), {u.keep, u.ss, u.su, u.uu});
    }
    return all;
  }

  /// Takes `numbers()` of another object and makes room for its vectors, which are then read into `state(ctx)`.
  template <class Ctx>
  void restore(Ctx& ctx, std::vector<double> const& numbers) {
    ATTN_CHECK(numbers.size() % 4 == 1 && int(numbers.size() / 4) <= options.history,
               "Broyden::restore: give 1 number and 4 for each of at most ", options.history, " updates, got ",
               numbers.size());
    prepare(ctx.parameters.extent());
    length_ = numbers[0];
    used_ = 0;
    while (used_ < int(numbers.size() / 4)) {
      double const* const n = numbers.data() + 1 + 4 * used_;
      next(ctx.parameters.extent()).update = {n[0], n[1], n[2], n[3]};
      ++used_;
    }
  }

 private:
  using Base::direction_, Base::gradients_, Base::iterations_, Base::last_step_, Base::length_;
  using Base::prepare, Base::previous_gradient_, Base::vector;

  int recent() const { return std::clamp(options.recent, 0, options.history / 2); }
  /// y of update i, one of the last.
  Vector& change(int i) { return changes_[std::size_t(i % recent())]; }

  /// The pair behind the last one that is used; memory of pairs that were forgotten serves again.
  Pair& next(Index extent) {
    if (std::size_t(used_) == pairs_.size()) pairs_.push_back({vector(extent), vector(extent)});
    while (Index(changes_.size()) < std::min(used_ + 1, recent())) changes_.push_back(vector(extent));
    return pairs_[std::size_t(used_)];
  }

  /// direction = -H gradient, after the update of H by the last step.
  template <class Vectors>
  void find_direction(Vectors& v) {
    T* const d = direction_.data();
    T const* const g = gradients_[0].data();
    if (iterations_ == 1) used_ = 0;
    if (iterations_ > 1) update(v);
    multiply(v, d, g, -1);
    while (!(v.dot(d, g) < 0) && used_ > 0) {  // rounding left no descent
      begin_anew(v);
      multiply(v, d, g, -1);
    }
  }

  /// Of pairs of which the curvature along the step is not positive, H does not learn.
  template <class Vectors>
  void update(Vectors& v) {
    if (used_ == options.history) used_ = 0;
    Pair& pair = next(v.extent());
    T* const s = pair.step.data();
    T* const y = direction_.data();  // the old one is over
    v.combine(y, 1, gradients_[0].data(), -1, previous_gradient_.data());
    v.copy(s, last_step_.data());
    double const ys = v.dot(y, s), yy = v.dot(y, y), square = v.dot(s, s);
    if (square == 0) return begin_anew(v);  // the line search found no way down
    if (!(ys > std::numeric_limits<T>::epsilon() * std::sqrt(yy * square))) return;
    T* const u = pair.image.data();
    multiply(v, u, y, 1);
    double const yu = v.dot(y, u);
    if (!(yu > 0)) return;
    // The direction was -H g, so B s = -length g; where H begins anew, B is one.
    double const sbs = used_ == 0 ? square : -length_ * v.dot(s, previous_gradient_.data());
    pair.update = BroydenUpdate::of(ys, yu, sbs, double(v.extent()), used_ == 0, options.update);
    if (recent() > 0) v.copy(change(used_).data(), y);
    ++used_;
  }

  /// H of the last steps and changes alone, of half of them at most. What their B was is forgotten, so the member of
  /// the family is BFGS, and only the first update scales.
  template <class Vectors>
  void begin_anew(Vectors& v) {
    int const kept = std::min(recent(), used_ / 2), first = used_ - kept;
    std::vector<Vector> changes(static_cast<std::size_t>(kept));
    for (int i = 0; i < kept; ++i) {
      std::swap(pairs_[std::size_t(i)], pairs_[std::size_t(first + i)]);
      changes[std::size_t(i)] = change(first + i);
    }
    changes_ = changes;
    for (used_ = 0; used_ < kept; ++used_) {
      Pair& pair = pairs_[std::size_t(used_)];
      T const* const y = change(used_).data();
      multiply(v, pair.image.data(), y, 1);
      double const ys = v.dot(y, pair.step.data()), yu = v.dot(y, pair.image.data());
      if (!(yu > 0)) return;  // but for rounding it is
      pair.update = BroydenUpdate::of(ys, yu, ys, double(v.extent()), used_ == 0, BroydenOptions::Update::bfgs);
    }
  }

  /// to = sign H x.
  template <class Vectors>
  void multiply(Vectors& v, T* to, T const* x, double sign) {
    // H = prod keep_j + sum_i prod_(j > i) keep_j (...)_i
    double keep = sign;
    std::vector<std::pair<double, double>> factors(static_cast<std::size_t>(used_));
    for (int i = used_ - 1; i >= 0; --i) {
      Pair const& p = pairs_[std::size_t(i)];
      double const s = v.dot(p.step.data(), x), u = v.dot(p.image.data(), x);
      factors[std::size_t(i)] = {keep * (p.update.ss * s + p.update.su * u),
                                 keep * (p.update.su * s + p.update.uu * u)};
      keep *= p.update.keep;
    }
    v.combine(to, keep, x, 0, x);
    for (int i = 0; i < used_; ++i) {
      v.combine(to, 1, to, factors[std::size_t(i)].first, pairs_[std::size_t(i)].step.data());
      v.combine(to, 1, to, factors[std::size_t(i)].second, pairs_[std::size_t(i)].image.data());
    }
  }

  std::vector<Pair> pairs_;
  std::vector<Vector> changes_;  // y of the last updates: of update i in place i % recent()
  int used_ = 0;
};

template <class Ctx>
Broyden(Ctx const&, BroydenOptions const& = {}) -> Broyden<typename Ctx::Real, typename Ctx::MemorySpace>;

}  // namespace attn::optim
