/// AllenCahn: phases that separate, with fronts that a network finds hard, and its solution by a series of cosines.
#pragma once

#include "attn/pde/problems.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

namespace attn::pde {

namespace detail {

/// u_t = nu u_xx + 5 (u - u^3) on [-1, 1], periodic, from x^2 cos(pi x), which is even: u(x, t) = sum a_k(t) cos(k pi
/// x). Reaction and diffusion take turns (Strang 1968), each solved exactly; two step sizes give the fourth order. With
/// 512 modes and 250 steps the error is below 1e-6 for nu of 1e-4 and more; fronts of a smaller nu are narrower than
/// that.
class AllenCahnSeries {
 public:
  explicit AllenCahnSeries(double nu) : nu_(nu), cosines_(4 * modes) {
    for (std::size_t i = 0; i < cosines_.size(); ++i) cosines_[i] = std::cos(pi * double(i) / (2.0 * modes));
    Values start;
    for (std::size_t j = 0; j < modes; ++j) start.push_back(at_start((double(j) + 0.5) / modes));
    reached_.push_back(start);
  }

  static double at_start(double x) { return x * x * std::cos(pi * x); }

  double nu() const { return nu_; }

  double operator()(double x, double t) {
    go_to(t);
    double const c = std::cos(pi * x);  // Clenshaw (1955)
    double next = 0, after = 0;
    for (std::size_t k = modes; k-- > 1;) after = std::exchange(next, 2 * c * next - after + at_[k]);
    return at_[0] + c * next - after;
  }

 private:
  static constexpr std::size_t modes = 512;
  static constexpr double step = 1.0 / 250;
  using Values = std::vector<double>;  // at the midpoints (j + 1/2) / modes of [0, 1], or coefficients

  double cosine(std::size_t k, std::size_t j) const { return cosines_[k * (2 * j + 1) % (4 * modes)]; }

  Values coefficients(Values const& u) const {
    Values a(modes, 0.0);
    for (std::size_t k = 0; k < modes; ++k) {
      for (std::size_t j = 0; j < modes; ++j) a[k] += u[j] * cosine(k, j);
      a[k] *= (k == 0 ? 1.0 : 2.0) / modes;
    }
    return a;
  }

  /// at_ = the coefficients at time t.
  void go_to(double t) {
    if (t == at_time_) return;
    std::size_t const before = std::size_t(std::max(t, 0.0) / step);
    while (reached_.size() <= before) reached_.push_back(advanced(reached_.back(), step));
    double const rest = t - double(before) * step;
    at_ = coefficients(rest > 0 ? advanced(reached_[before], rest) : reached_[before]);
    at_time_ = t;
  }

  Values advanced(Values const& u, double h) const {
    Values const coarse = strang(u, h);
    Values fine = strang(strang(u, h / 2), h / 2);
    for (std::size_t j = 0; j < modes; ++j) fine[j] += (fine[j] - coarse[j]) / 3;
    return fine;
  }

  Values strang(Values u, double h) const {
    react(u, h / 2);
    Values a = coefficients(u);
    for (std::size_t k = 0; k < modes; ++k) a[k] *= std::exp(-nu_ * pi * pi * double(k * k) * h);
    for (std::size_t j = 0; j < modes; ++j) {
      u[j] = 0;
      for (std::size_t k = 0; k < modes; ++k) u[j] += a[k] * cosine(k, j);
    }
    react(u, h / 2);
    return u;
  }

  /// u_t = 5 (u - u^3) for a time h.
  static void react(Values& u, double h) {
    double const grown = std::exp(5 * h);
    for (double& v : u) v *= grown / std::sqrt(1 + v * v * (grown * grown - 1));
  }

  double nu_;
  Values cosines_;
  std::vector<Values> reached_;  // at whole numbers of steps
  Values at_;                    // coefficients at at_time_
  double at_time_ = -1;
};

}  // namespace detail

/// u_t = nu u_xx + 5 (u - u^3) on a circle of length 2, from x^2 cos(pi x).
struct AllenCahn {
  double nu = 1e-4;
  using Orders = pde::Orders<2, 1>;

  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    auto const value = d<0, 0>(u);
    return d<0, 1>(u) - nu * d<2, 0>(u) - 5 * value * (1 - value * value);
  }

  Domain domain() const { return {-1, 1, 0, 1}; }

  /// To 1e-6 for nu from 1e-4, but close to the corner at x = 1 at small times. The first time costs up to half a
  /// second, further ones 2 ms, points at the same time a microsecond.
  double exact(double x, double t) const {
    if (t == 0) return detail::AllenCahnSeries::at_start(x);
    static thread_local detail::AllenCahnSeries series(nu);
    if (series.nu() != nu) series = detail::AllenCahnSeries(nu);
    return series(x, t);
  }
  auto terms(int x_points, int t_points) const {
    auto const edges = join(edge_points(domain(), t_points, true), edge_points(domain(), t_points, false));
    auto const start = with_values(initial_points(domain(), x_points), [&](double x, double t) { return exact(x, t); });
    return std::tuple(Term<AllenCahn>{"residual", *this, grid(domain(), x_points, t_points)},
                      Term<PeriodicEdges>{"boundary", {}, edges}, Term<PeriodicSlopes>{"slope", {}, edges},
                      Term<GivenValue>{"initial", {}, start, true});
  }
};

}  // namespace attn::pde
