/// Learned positions of one grid, interpolated to another: bicubic with antialiasing, as torch's `interpolate(mode =
/// "bicubic", antialias = True)`, by which timm adapts vision transformers to images of another size.
#pragma once

#include "attn/core/resampling.hpp"

#include <vector>

namespace attn::train::detail {

/// from (height, width, C) -> (to_height, to_width, C).
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

}  // namespace attn::train::detail
