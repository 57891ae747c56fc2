/// Random erasing: a rectangle of an image becomes noise (Zhong et al. 2017, as timm's mode "pixel").
#pragma once

#include "attn/core/check.hpp"
#include "attn/data/distributions.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

namespace attn::data {

/// The rectangle. Whether there is one is drawn elsewhere.
struct Erasing {
  double min_area = 0.02;  // as a share of the image
  double max_area = 1.0 / 3.0;
  double min_aspect = 0.3;  // height over width; the largest is its inverse

  void check() const {
    ATTN_CHECK(min_area > 0 && min_area <= max_area && max_area <= 1 && min_aspect > 0 && min_aspect <= 1,
               "Erasing: give 0 < min_area <= max_area <= 1 and 0 < min_aspect <= 1, not ", min_area, ", ", max_area,
               " and ", min_aspect);
  }
};

namespace detail {

/// Numbers that divide the standard normal distribution into equal parts: one of them at random is normal, but for the
/// last digits, and cheaper than a logarithm, a root and a cosine for each pixel.
inline std::array<float, 4096> const& normal_quantiles() {
  static std::array<float, 4096> const table = [] {
    std::array<float, 4096> quantiles{};
    double x = 0;
    for (std::size_t i = 2048; i < 4096; ++i) {
      double const p = (double(i) + 0.5) / 4096;
      for (int step = 0; step < 8; ++step) {  // Newton
        double const density = std::exp(-x * x / 2) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
        x -= (1 - std::erfc(x / std::numbers::sqrt2) / 2 - p) / density;
      }
      quantiles[i] = static_cast<float>(x);
      quantiles[4095 - i] = static_cast<float>(-x);
    }
    return quantiles;
  }();
  return table;
}

}  // namespace detail

/// image (channels, height, width), already normalized: a rectangle gets standard normal noise. Area and the logarithm
/// of the aspect are uniform; gives up after ten rectangles that do not fit.
template <class T>
void erase(Erasing const& options, RandomKey key, std::size_t channels, std::size_t rows, std::size_t columns,
           T* image) {
  Draws draws(key);
  double const limit = std::log(1 / options.min_aspect);
  for (int attempt = 0; attempt < 10; ++attempt) {
    double const fraction = draws.uniform(options.min_area, options.max_area);
    double const area = fraction * static_cast<double>(rows * columns);
    double const aspect = std::exp(draws.uniform(-limit, limit));
    auto const height = static_cast<std::size_t>(std::lround(std::sqrt(area * aspect)));
    auto const width = static_cast<std::size_t>(std::lround(std::sqrt(area / aspect)));
    if (height >= rows || width >= columns) continue;
    auto const top = static_cast<std::size_t>(draws.integer(static_cast<std::int64_t>(rows - height + 1)));
    auto const left = static_cast<std::size_t>(draws.integer(static_cast<std::int64_t>(columns - width + 1)));
    RandomKey const noise = subkey(key, "noise");
    auto const& quantiles = detail::normal_quantiles();
    std::uint64_t drawn = 0, bits = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t y = top; y < top + height; ++y) {
        T* const row = image + (c * rows + y) * columns;
        for (std::size_t x = left; x < left + width; ++x, ++drawn) {
          bits = drawn % 4 == 0 ? random_bits64(noise, drawn / 4) : bits >> 16;
          row[x] = static_cast<T>(quantiles[bits % 4096]);
        }
      }
    }
    return;
  }
}

}  // namespace attn::data
