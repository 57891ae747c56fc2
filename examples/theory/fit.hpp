/// Exponents of power laws, with an interval in which they lie.
#pragma once

#include <cmath>
#include <vector>

namespace theory {

struct Estimate {
  double value = 0;
  double half_width = 0;  ///< of the interval of 95 % confidence
};

inline double mean(std::vector<double> const& x) {
  double sum = 0;
  for (double const value : x) sum += value;
  return sum / double(x.size());
}

/// The mean of independent values, with Student's interval.
inline Estimate estimate(std::vector<double> const& x) {
  static constexpr double quantiles[] = {12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23,
                                         2.20,  2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09};
  double const center = mean(x), n = double(x.size());
  double squares = 0;
  for (double const value : x) squares += (value - center) * (value - center);
  if (x.size() < 2) return {center, NAN};
  double const t = x.size() - 2 < 20 ? quantiles[x.size() - 2] : 1.96 + 2.4 / n;
  return {center, t * std::sqrt(squares / (n - 1) / n)};
}

/// The slope of log y over log x by least squares.
inline double exponent(std::vector<double> const& x, std::vector<double> const& y) {
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    mean_x += std::log(x[i]) / double(x.size());
    mean_y += std::log(y[i]) / double(x.size());
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    double const dx = std::log(x[i]) - mean_x;
    xx += dx * dx;
    xy += dx * (std::log(y[i]) - mean_y);
  }
  return xy / xx;
}

}  // namespace theory
