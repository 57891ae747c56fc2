/// Points where a residual is asked for: grids, their edges, and the short sequences that a PINNsFormer reads.
#pragma once

#include "attn/core/check.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace attn::pde {

/// Points in `dimensions` coordinates, one after the other, in double; `data` holds `columns` numbers measured at each.
struct Points {
  int dimensions = 0;
  std::vector<double> coordinates;  // (size, dimensions)
  int columns = 0;
  std::vector<double> data = {};  // (size, columns)

  std::size_t size() const { return dimensions > 0 ? coordinates.size() / std::size_t(dimensions) : 0; }
  double const* operator[](std::size_t i) const { return coordinates.data() + i * std::size_t(dimensions); }
};

/// `n` numbers from `low` to `high`, both included.
inline std::vector<double> linspace(double low, double high, int n) {
  ATTN_CHECK(n >= 2, "linspace: give a grid of at least 2 points in each coordinate, got ", n);
  ATTN_CHECK(low < high, "linspace: give an interval whose end is above its start, got ", low, " to ", high);
  std::vector<double> x(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = i + 1 < n ? low + i * ((high - low) / (n - 1)) : high;
  return x;
}

/// A rectangle in space and time.
struct Domain {
  double x_low = 0, x_high = 1;
  double t_low = 0, t_high = 1;
};

/// All points of an x_points by t_points grid, edges included: for each t all x.
inline Points grid(Domain const& domain, int x_points, int t_points) {
  auto const x = linspace(domain.x_low, domain.x_high, x_points), t = linspace(domain.t_low, domain.t_high, t_points);
  Points points{.dimensions = 2, .coordinates = {}};
  for (double const b : t) {
    for (double const a : x) points.coordinates.insert(points.coordinates.end(), {a, b});
  }
  return points;
}

/// The points at the first time, for all x.
inline Points initial_points(Domain const& domain, int x_points) {
  Points points{.dimensions = 2, .coordinates = {}};
  for (double const a : linspace(domain.x_low, domain.x_high, x_points)) {
    points.coordinates.insert(points.coordinates.end(), {a, domain.t_low});
  }
  return points;
}

/// The points at one end of the interval in space, for all t.
inline Points edge_points(Domain const& domain, int t_points, bool upper) {
  Points points{.dimensions = 2, .coordinates = {}};
  for (double const b : linspace(domain.t_low, domain.t_high, t_points)) {
    points.coordinates.insert(points.coordinates.end(), {upper ? domain.x_high : domain.x_low, b});
  }
  return points;
}

/// The points of `a`, then those of `b`.
inline Points join(Points a, Points const& b) {
  ATTN_CHECK(a.dimensions == b.dimensions && a.columns == b.columns,
             "join: give points of the same dimensions and data, got ", a.dimensions, " and ", b.dimensions);
  a.coordinates.insert(a.coordinates.end(), b.coordinates.begin(), b.coordinates.end());
  a.data.insert(a.data.end(), b.data.begin(), b.data.end());
  return a;
}

/// A pseudo-sequence replaces a point by `length` points that follow one another in time, the last coordinate, `step`
/// apart (Zhao, Ding and Prakash 2024). A length of 1 leaves points as they are.
struct PseudoSequence {
  int length = 5;
  double step = 1e-4;

  void check() const {
    ATTN_CHECK(length >= 1, "PseudoSequence: give at least one step, got ", length);
    ATTN_CHECK(length == 1 || step > 0, "PseudoSequence: give a positive step, got ", step);
  }
  /// The coordinate `which` of step `i` of a point.
  double at(double const* point, int dimensions, int which, int i) const {
    return point[which] + (which + 1 == dimensions ? i * step : 0.0);
  }
};

}  // namespace attn::pde
