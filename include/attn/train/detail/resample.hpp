/// Learned positions of one grid, interpolated to another: bicubic with antialiasing, as torch's `interpolate(mode =
/// "bicubic", antialias = True)`, by which timm adapts vision transformers to images of another size.
#pragma once

#include "attn/core/concepts.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace attn::train::detail {

/// Keys' cubic with a = -1/2, which is zero from 2 on.
inline double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/// The elements that one output element is made of, and their weights, which sum to 1.
struct Taps {
  Index first = 0;
  std::vector<double> weights;
};

/// For each of `to` elements, half an element from the border: where the array shrinks, the kernel widens.
inline std::vector<Taps> bicubic_taps(Index from, Index to) {
  double const scale = double(from) / double(to), stretch = std::max(scale, 1.0), reach = 2 * stretch;
  std::vector<Taps> all;
  for (Index i = 0; i < to; ++i) {
    double const center = scale * (double(i) + 0.5);
    Index const first = std::max(Index(center - reach + 0.5), Index(0));
    Index const last = std::min(Index(center + reach + 0.5), from);
    Taps taps{first, {}};
    double sum = 0;
    for (Index j = first; j < last; ++j) {
      taps.weights.push_back(cubic((double(j) - center + 0.5) / stretch));
      sum += taps.weights.back();
    }
    for (double& w : taps.weights) w /= sum;
    all.push_back(std::move(taps));
  }
  return all;
}

/// from (height, width, C) -> (to_height, to_width, C).
inline std::vector<double> resample(std::vector<double> const& from, Index height, Index width, Index channels,
                                    Index to_height, Index to_width) {
  auto const rows = bicubic_taps(height, to_height), columns = bicubic_taps(width, to_width);
  std::vector<double> wide(std::size_t(height * to_width * channels)), to(std::size_t(to_height * to_width * channels));
  auto const accumulate = [&](double weight, double const* x, double* y) {
    for (Index c = 0; c < channels; ++c) y[c] += weight * x[c];
  };
  for (Index i = 0; i < height; ++i) {
    for (Index j = 0; j < to_width; ++j) {
      Taps const& taps = columns[std::size_t(j)];
      for (std::size_t k = 0; k < taps.weights.size(); ++k) {
        accumulate(taps.weights[k], &from[std::size_t((i * width + taps.first + Index(k)) * channels)],
                   &wide[std::size_t((i * to_width + j) * channels)]);
      }
    }
  }
  for (Index i = 0; i < to_height; ++i) {
    Taps const& taps = rows[std::size_t(i)];
    for (Index j = 0; j < to_width; ++j) {
      for (std::size_t k = 0; k < taps.weights.size(); ++k) {
        accumulate(taps.weights[k], &wide[std::size_t(((taps.first + Index(k)) * to_width + j) * channels)],
                   &to[std::size_t((i * to_width + j) * channels)]);
      }
    }
  }
  return to;
}

}  // namespace attn::train::detail
