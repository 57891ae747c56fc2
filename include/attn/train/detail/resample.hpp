/// Learned positions of one grid, interpolated to another, as timm does.
#pragma once

#include "attn/core/resampling.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace attn::train::detail {

/// Bicubic with antialiasing, as torch's `interpolate(mode="bicubic", antialias=True)`: what timm adapts vision
/// transformers to images of another size by. from (height, width, C) -> (to_height, to_width, C).
inline std::vector<double> resample(std::vector<double> const& from, Index height, Index width, Index channels,
                                    Index to_height, Index to_width) {
  ResamplingAxis const down(Resampling::bicubic, height, to_height, true);
  ResamplingAxis const along(Resampling::bicubic, width, to_width, true);
  std::vector<double> wide(std::size_t(height * to_width * channels)), to(std::size_t(to_height * to_width * channels));
  std::vector<double> weights(std::size_t(std::max(down.taps, along.taps)));
  auto const accumulate = [&](double weight, double const* x, double* y) {
    for (Index c = 0; c < channels; ++c) y[c] += weight * x[c];
  };
  for (Index j = 0; j < to_width; ++j) {
    Index const first = along.weights_of(j, weights.data());
    for (Index i = 0; i < height; ++i) {
      for (Index k = 0; k < along.taps; ++k) {
        accumulate(weights[std::size_t(k)], &from[std::size_t((i * width + first + k) * channels)],
                   &wide[std::size_t((i * to_width + j) * channels)]);
      }
    }
  }
  for (Index i = 0; i < to_height; ++i) {
    Index const first = down.weights_of(i, weights.data());
    for (Index j = 0; j < to_width; ++j) {
      for (Index k = 0; k < down.taps; ++k) {
        accumulate(weights[std::size_t(k)], &wide[std::size_t(((first + k) * to_width + j) * channels)],
                   &to[std::size_t((i * to_width + j) * channels)]);
      }
    }
  }
  return to;
}

/// Where one of `to` distances lies among `from` that are known, both -(n - 1) / 2 ... (n - 1) / 2: those known are
/// taken to stand at 0, 1, 1 + q, 1 + q + q^2, ..., so that they become fewer with the distance (Bao et al. 2021,
/// BEiT). The number at i is (1 - share) times that at `left` plus `share` times that at left + 1.
struct RelativeAxis {
  std::vector<Index> left;
  std::vector<double> share;

  RelativeAxis(Index from, Index to) {
    double low = 1.01, high = 1.5;
    while (high - low > 1e-6) {
      double const q = (low + high) / 2;
      bool const reaches = (1 - std::pow(q, double(from / 2))) / (1 - q) > double(to / 2);
      (reaches ? high : low) = q;
      ratio_ = q;
    }
    std::vector<double> known(std::size_t(from), 0.0);
    double place = 0, step = 1;
    for (Index i = 1; i <= from / 2; ++i, step *= ratio_) {
      place += step;
      known[std::size_t(from / 2 + i)] = place;
      known[std::size_t(from / 2 - i)] = -place;
    }
    for (Index i = 0; i < to; ++i) {
      double const x = double(i - to / 2);
      auto const right = std::lower_bound(known.begin(), known.end(), x);
      Index const at = std::clamp(Index(right - known.begin()) - 1, Index(0), std::max(from - 2, Index(0)));
      double const a = known[std::size_t(at)], b = known[std::size_t(std::min(at + 1, from - 1))];
      left.push_back(at);
      share.push_back(b > a ? std::clamp((x - a) / (b - a), 0.0, 1.0) : 0.0);
    }
  }

 private:
  double ratio_ = 1;
};

/// from (height, width, heads) -> (to_height, to_width, heads): linear between distances, which are taken to stand as
/// `RelativeAxis` says; what timm adapts tables of relative positions to another window by.
inline std::vector<double> resample_relative(std::vector<double> const& from, Index height, Index width, Index heads,
                                             Index to_height, Index to_width) {
  RelativeAxis const down(height, to_height), along(width, to_width);
  std::vector<double> to;
  to.reserve(std::size_t(to_height * to_width * heads));
  auto const at = [&](Index y, Index x, Index h) {
    return from[std::size_t((std::min(y, height - 1) * width + std::min(x, width - 1)) * heads + h)];
  };
  for (std::size_t i = 0; i < std::size_t(to_height); ++i) {
    for (std::size_t j = 0; j < std::size_t(to_width); ++j) {
      Index const y = down.left[i], x = along.left[j];
      double const v = down.share[i], u = along.share[j];
      for (Index h = 0; h < heads; ++h) {
        to.push_back((1 - v) * ((1 - u) * at(y, x, h) + u * at(y, x + 1, h)) +
                     v * ((1 - u) * at(y + 1, x, h) + u * at(y + 1, x + 1, h)));
      }
    }
  }
  return to;
}

}  // namespace attn::train::detail
