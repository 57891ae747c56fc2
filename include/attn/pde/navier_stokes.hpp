/// Two-dimensional flow of an incompressible fluid: its equations, the cylinder-wake file, and a flow with a formula.
#pragma once

#include "attn/core/random.hpp"
#include "attn/io/mat.hpp"
#include "attn/pde/residual.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace attn::pde {

/// u_t + u u_x + v u_y = -p_x + nu (u_xx + u_yy), the same for v, with u = psi_y and v = -psi_x, which makes the flow
/// divergence-free. The network's outputs are the stream function psi and the pressure p of (x, y, t).
struct NavierStokes {
  double viscosity = 0.01;
  using Orders = pde::Orders<3, 3, 1>;

  template <class U>
  ATTN_FUNCTION auto operator()(U const& w) const {
    auto const u = d<0, 1, 0>(w), v = -d<1, 0, 0>(w);
    auto const f_u = d<0, 1, 1>(w) + u * d<1, 1, 0>(w) + v * d<0, 2, 0>(w) + d<1, 0, 0>(w, 1) -
                     viscosity * (d<2, 1, 0>(w) + d<0, 3, 0>(w));
    auto const f_v = -d<1, 0, 1>(w) - u * d<2, 0, 0>(w) - v * d<1, 1, 0>(w) + d<0, 1, 0>(w, 1) +
                     viscosity * (d<3, 0, 0>(w) + d<1, 2, 0>(w));
    return Kokkos::Array<std::remove_const_t<decltype(f_u)>, 2>{f_u, f_v};
  }
};

/// The velocities that were measured at the point: u in column 0 of its data, v in column 1.
struct MeasuredVelocity {
  template <class U>
  ATTN_FUNCTION auto operator()(U const& w) const {
    auto const u = d<0, 1, 0>(w) - data(w, 0), v = -d<1, 0, 0>(w) - data(w, 1);
    return Kokkos::Array<std::remove_const_t<decltype(u)>, 2>{u, v};
  }
};

/// A measured flow: velocities and pressure of all places at all times.
struct Flow {
  std::vector<double> x, y;     // (places)
  std::vector<double> t;        // (times)
  std::vector<double> u, v, p;  // (places, times)

  std::size_t places() const { return x.size(); }
  std::size_t times() const { return t.size(); }
  std::size_t at(std::size_t place, std::size_t time) const { return place * times() + time; }
};

/// The format of the cylinder wake (Raissi, Perdikaris and Karniadakis 2019): U_star (places, 2, times), p_star
/// (places, times), t (times, 1), X_star (places, 2).
inline Flow read_flow(io::Path const& path) {
  io::MatFile const file(path);
  auto const take = [&](char const* name, std::size_t rank) {
    ATTN_CHECK(file.contains(name), "read_flow: '", path.string(), "' holds no array '", name,
               "'; give a file with U_star, p_star, t and X_star");
    io::MatArray array = file.array(name);
    ATTN_CHECK(array.shape.size() == rank, "read_flow: '", name, "' in '", path.string(), "' has ", array.shape.size(),
               " dimensions, not ", rank);
    ATTN_CHECK(std::ranges::all_of(array.values, [](double x) { return std::isfinite(x); }), "read_flow: '", name,
               "' in '", path.string(), "' holds numbers that are not finite; leave such places out");
    return array;
  };
  auto const velocity = take("U_star", 3), pressure = take("p_star", 2), time = take("t", 2), place = take("X_star", 2);
  std::size_t const n = place.shape[0], m = time.shape[0];
  ATTN_CHECK(n > 0 && m > 0 && place.shape[1] == 2 && time.shape[1] == 1 &&
                 velocity.shape == (std::vector<std::size_t>{n, 2, m}) &&
                 pressure.shape == (std::vector<std::size_t>{n, m}),
             "read_flow: the arrays of '", path.string(),
             "' do not fit together; give U_star (places, 2, times), p_star "
             "(places, times), t (times, 1) and X_star (places, 2)");
  Flow flow;
  flow.t = time.values;
  for (std::size_t i = 0; i < n; ++i) {
    flow.x.push_back(place(i, 0));
    flow.y.push_back(place(i, 1));
    for (std::size_t j = 0; j < m; ++j) {
      flow.u.push_back(velocity(i, 0, j));
      flow.v.push_back(velocity(i, 1, j));
      flow.p.push_back(pressure(i, j));
    }
  }
  return flow;
}

/// Taylor's decaying vortices, an exact solution, on n x n places of [0, 2 pi)^2 and m times in [0, 1]:
/// u = -cos x sin y F, v = sin x cos y F, p = -(cos 2x + cos 2y) F^2 / 4, F = exp(-2 nu t).
inline Flow taylor_vortices(double viscosity, int n, int m) {
  ATTN_CHECK(n >= 2 && m >= 2, "taylor_vortices: give at least 2 places in each direction and 2 times, got ", n,
             " and ", m);
  Flow flow;
  for (int j = 0; j < m; ++j) flow.t.push_back(static_cast<double>(j) / (m - 1));
  for (int a = 0; a < n; ++a) {
    for (int b = 0; b < n; ++b) {
      double const x = 6.283185307179586 * a / n, y = 6.283185307179586 * b / n;
      flow.x.push_back(x);
      flow.y.push_back(y);
      for (double const t : flow.t) {
        double const decay = std::exp(-2 * viscosity * t);
        flow.u.push_back(-std::cos(x) * std::sin(y) * decay);
        flow.v.push_back(std::sin(x) * std::cos(y) * decay);
        flow.p.push_back(-(std::cos(2 * x) + std::cos(2 * y)) * decay * decay / 4);
      }
    }
  }
  return flow;
}

/// `count` places and times of a flow, drawn without repetition, with their velocities as data.
inline Points sample_flow(Flow const& flow, std::size_t count, RandomKey key) {
  std::size_t const all = flow.places() * flow.times();
  ATTN_CHECK(count >= 1 && count <= all, "sample_flow: ask for 1 to ", all, " points, got ", count);
  std::vector<std::size_t> order(all);
  for (std::size_t i = 0; i < all; ++i) order[i] = i;
  Points points{.dimensions = 3, .coordinates = {}, .columns = 2};
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(order[i], order[i + std::size_t(random_bits64(key, i) % (all - i))]);
    std::size_t const place = order[i] / flow.times(), time = order[i] % flow.times();
    points.coordinates.insert(points.coordinates.end(), {flow.x[place], flow.y[place], flow.t[time]});
    points.data.insert(points.data.end(), {flow.u[order[i]], flow.v[order[i]]});
  }
  return points;
}

/// The loss on measured points: velocities at the first step, both equations at all steps.
inline auto flow_terms(NavierStokes const& equations, Points const& measured) {
  return std::tuple(Term<NavierStokes>{"residual", equations, measured},
                    Term<MeasuredVelocity>{"velocity", {}, measured, true});
}

}  // namespace attn::pde
