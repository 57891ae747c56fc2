/// Problems with known solutions, as residuals over grids: convection, reaction, heat, wave, Burgers.
#pragma once

#include "attn/core/scalar.hpp"
#include "attn/pde/residual.hpp"

#include <cmath>
#include <tuple>

namespace attn::pde {

/// The circle's number.
inline constexpr double pi = 3.14159265358979323846;

/// A problem in x and t. `Orders` are the derivatives that it asks for, `domain` is where it is posed, `exact(x, t)`
/// its solution, and `terms(x_points, t_points)` its loss on a grid: a tuple of `Term`s.
template <class P>
concept Problem = requires(P const& p) {
  typename P::Orders;
  { p.domain() } -> std::same_as<Domain>;
  { p.exact(0.0, 0.0) } -> std::same_as<double>;
  p.terms(3, 3);
};

/// u - v at two points: a periodic boundary.
struct PeriodicEdges {
  template <class U>
  ATTN_FUNCTION auto operator()(U const& u, U const& v) const {
    return d<0, 0>(u) - d<0, 0>(v);
  }
};

/// u_x - v_x at two points: a periodic boundary of an equation with second derivatives.
struct PeriodicSlopes {
  template <class U>
  ATTN_FUNCTION auto operator()(U const& u, U const& v) const {
    return d<1, 0>(u) - d<1, 0>(v);
  }
};

/// u: an edge that is held at zero.
struct ZeroValue {
  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return d<0, 0>(u);
  }
};

/// u minus the number measured (or given) at the point.
struct GivenValue {
  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return d<0, 0>(u) - data(u, 0);
  }
};

/// u_t = 0.
struct AtRest {
  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return d<0, 1>(u);
  }
};

/// Points with the values of a solution attached.
template <class Exact>
Points with_values(Points points, Exact const& exact) {
  points.columns = 1;
  for (std::size_t i = 0; i < points.size(); ++i) points.data.push_back(exact(points[i][0], points[i][1]));
  return points;
}

/// u_t + beta u_x = 0 on a circle: u = sin(x - beta t).
struct Convection {
  double beta = 50;
  using Orders = pde::Orders<1, 1>;

  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return along(u, beta, 1);
  }

  Domain domain() const { return {0, 2 * pi, 0, 1}; }
  double exact(double x, double t) const { return std::sin(x - beta * t); }
  auto terms(int x_points, int t_points) const {
    auto const edges = join(edge_points(domain(), t_points, true), edge_points(domain(), t_points, false));
    auto const start = with_values(initial_points(domain(), x_points), [&](double x, double t) { return exact(x, t); });
    return std::tuple(Term<Convection>{"residual", *this, grid(domain(), x_points, t_points)},
                      Term<PeriodicEdges>{"boundary", {}, edges}, Term<GivenValue>{"initial", {}, start, true});
  }
};

/// u_t = rho u (1 - u), from a bell curve h(x) = exp(-(x - pi)^2 / (2 (pi/4)^2)): u = h e^(rho t) / (h e^(rho t) + 1 -
/// h).
struct Reaction {
  double rho = 5;
  using Orders = pde::Orders<1, 1>;

  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    auto const value = d<0, 0>(u);
    return d<0, 1>(u) - rho * value * (1 - value);
  }

  Domain domain() const { return {0, 2 * pi, 0, 1}; }
  double exact(double x, double t) const {
    double const log_h = -(x - pi) * (x - pi) / (2 * (pi / 4) * (pi / 4));
    double const log_odds = log_h - std::log(-std::expm1(log_h)) + rho * t;  // e^(rho t) itself may be infinite
    return 1 / (1 + std::exp(-log_odds));
  }
  auto terms(int x_points, int t_points) const {
    auto const edges = join(edge_points(domain(), t_points, true), edge_points(domain(), t_points, false));
    auto const start = with_values(initial_points(domain(), x_points), [&](double x, double t) { return exact(x, t); });
    return std::tuple(Term<Reaction>{"residual", *this, grid(domain(), x_points, t_points)},
                      Term<PeriodicEdges>{"boundary", {}, edges}, Term<GivenValue>{"initial", {}, start, true});
  }
};

/// u_t = k u_xx between ends that are held at zero: u = sin(pi x) exp(-k pi^2 t) + sin(3 pi x) exp(-9 k pi^2 t) / 2.
struct Heat {
  double k = 0.1;
  using Orders = pde::Orders<2, 1>;

  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return d<0, 1>(u) - k * d<2, 0>(u);
  }

  Domain domain() const { return {0, 1, 0, 1}; }
  double exact(double x, double t) const {
    return std::sin(pi * x) * std::exp(-k * pi * pi * t) + 0.5 * std::sin(3 * pi * x) * std::exp(-9 * k * pi * pi * t);
  }
  auto terms(int x_points, int t_points) const {
    auto const edges = join(edge_points(domain(), t_points, true), edge_points(domain(), t_points, false));
    auto const start = with_values(initial_points(domain(), x_points), [&](double x, double t) { return exact(x, t); });
    return std::tuple(Term<Heat>{"residual", *this, grid(domain(), x_points, t_points)},
                      Term<ZeroValue>{"boundary", {}, edges}, Term<GivenValue>{"initial", {}, start, true});
  }
};

/// u_tt = c^2 u_xx between fixed ends, from rest: u = sin(pi x) cos(c pi t) + sin(a pi x) cos(a c pi t) / 2.
struct WaveEquation {
  double speed = 2;
  int harmonic = 3;
  using Orders = pde::Orders<2, 2>;

  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return d<0, 2>(u) - speed * speed * d<2, 0>(u);
  }

  Domain domain() const { return {0, 1, 0, 1}; }
  double exact(double x, double t) const {
    return std::sin(pi * x) * std::cos(speed * pi * t) +
           0.5 * std::sin(harmonic * pi * x) * std::cos(harmonic * speed * pi * t);
  }
  auto terms(int x_points, int t_points) const {
    auto const edges = join(edge_points(domain(), t_points, true), edge_points(domain(), t_points, false));
    auto const start = initial_points(domain(), x_points);
    auto const values = with_values(start, [&](double x, double t) { return exact(x, t); });
    // The mean over one edge plus that over the other is twice the mean over both.
    return std::tuple(Term<WaveEquation>{"residual", *this, grid(domain(), x_points, t_points)},
                      Term<ZeroValue>{"boundary", {}, edges, false, 2}, Term<GivenValue>{"initial", {}, values, true},
                      Term<AtRest>{"rest", {}, start});
  }
};

/// u_t + u u_x = nu u_xx on [-1, 1], from -sin(pi x): a front that steepens at x = 0.
struct Burgers {
  double nu = 0.01 / pi;
  using Orders = pde::Orders<2, 1>;

  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return d<0, 1>(u) + d<0, 0>(u) * d<1, 0>(u) - nu * d<2, 0>(u);
  }

  Domain domain() const { return {-1, 1, 0, 1}; }

  /// Cole's and Hopf's integral (Basdevant et al. 1986), by the trapezoidal rule, which converges geometrically here.
  double exact(double x, double t) const {
    if (t <= 0) return -std::sin(pi * x);
    int constexpr n = 4000;
    double constexpr reach = 12;
    double const width = 2 * std::sqrt(nu * t);
    auto const exponent = [&](double z) { return -std::cos(pi * (x - width * z)) / (2 * pi * nu) - z * z; };
    double largest = exponent(0);
    for (int i = 0; i <= n; ++i) largest = std::max(largest, exponent(reach * (2.0 * i / n - 1)));
    double above = 0, below = 0;
    for (int i = 0; i <= n; ++i) {
      double const z = reach * (2.0 * i / n - 1), weight = std::exp(exponent(z) - largest);
      above += std::sin(pi * (x - width * z)) * weight;
      below += weight;
    }
    return -above / below;
  }
  auto terms(int x_points, int t_points) const {
    auto const edges = join(edge_points(domain(), t_points, true), edge_points(domain(), t_points, false));
    auto const start = with_values(initial_points(domain(), x_points), [&](double x, double t) { return exact(x, t); });
    return std::tuple(Term<Burgers>{"residual", *this, grid(domain(), x_points, t_points)},
                      Term<ZeroValue>{"boundary", {}, edges}, Term<GivenValue>{"initial", {}, start, true});
  }
};

}  // namespace attn::pde
