/// Gaussian blur of an image, by boxes of a fractional width that are applied three times (Gwosdek et al. 2011).
#pragma once

#include "attn/data/image_scratch.hpp"
#include "attn/data/image_tables.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace attn::data {
namespace detail {

/// A box over 2 radius + 1 bytes and parts of the next on both sides, its weights with 24 bits behind the point.
struct BlurBox {
  std::size_t radius = 0;
  std::uint32_t inner = 0;  // weight of each whole byte
  std::uint32_t outer = 0;  // of the two at the ends

  /// The box that, applied `passes` times, has the deviation `sigma`; equations 7, 11 and 14 of the paper, in float, as
  /// Pillow has them.
  static BlurBox of(double sigma, int passes) {
    auto const s = static_cast<float>(sigma);
    float const variance = rounded(rounded(s * s) / static_cast<float>(passes));
    auto const length = static_cast<float>(std::sqrt(rounded(12.0 * double(variance)) + 1.0));
    auto const l = static_cast<float>(std::floor((double(length) - 1.0) / 2.0));
    float const numerator = rounded((2 * l + 1) * rounded(l * (l + 1) - rounded(3 * variance)));
    float const width = rounded(l + rounded(numerator / rounded(6 * rounded(variance - (l + 1) * (l + 1)))));
    BlurBox box{.radius = static_cast<std::size_t>(width)};
    box.inner = static_cast<std::uint32_t>(static_cast<float>(1 << 24) / rounded(width * 2 + 1));
    box.outer = ((1u << 24) - static_cast<std::uint32_t>(2 * box.radius + 1) * box.inner) / 2;
    return box;
  }
};

/// out[i] = the box around taps(0)[i], of taps(-radius - 1) ... taps(radius + 1), which are pointers to `size` bytes.
template <class Taps>
void blur_bytes(BlurBox const& box, std::size_t size, Taps const& taps, std::uint8_t* out, std::uint32_t* sums) {
  auto const r = static_cast<std::ptrdiff_t>(box.radius);
  std::fill_n(sums, size, 0u);
  for (std::ptrdiff_t k = -r; k <= r; ++k) {
    std::uint8_t const* const tap = taps(k);
    for (std::size_t i = 0; i < size; ++i) sums[i] += tap[i];
  }
  std::uint8_t const* const first = taps(-r - 1);
  std::uint8_t const* const last = taps(r + 1);
  for (std::size_t i = 0; i < size; ++i) {
    std::uint32_t const sum = sums[i] * box.inner + (std::uint32_t(first[i]) + last[i]) * box.outer;
    out[i] = static_cast<std::uint8_t>((sum + (1u << 23)) >> 24);
  }
}

}  // namespace detail

/// Blurs with deviation `sigma` in pixels; the outermost pixels are thought to go on outside. O(pixels (1 + sigma)).
inline void gaussian_blur(Image& image, double sigma, ImageScratch& scratch) {
  ATTN_CHECK(sigma >= 0 && sigma < 1e4, "gaussian_blur: give a sigma from 0 to below 10000, not ", sigma);
  if (sigma == 0) return;
  constexpr int passes = 3;
  auto const box = detail::BlurBox::of(sigma, passes);
  std::size_t const step = image.channels, row = image.width * step, margin = (box.radius + 1) * step;
  scratch.sums.resize(row);
  std::uint32_t* const sums = scratch.sums.data();
  scratch.like(image);
  scratch.image.pixels.resize(std::max(image.pixels.size(), row + 2 * margin));

  std::uint8_t* const padded = scratch.image.pixels.data();  // one row with what is outside of it
  for (std::size_t y = 0; y < image.height; ++y) {
    std::uint8_t* const p = image.at(y, 0);
    for (int pass = 0; pass < passes; ++pass) {
      for (std::size_t i = 0; i < margin; ++i) {
        padded[i] = p[i % step];
        padded[margin + row + i] = p[row - step + i % step];
      }
      std::memcpy(padded + margin, p, row);
      auto const along = [&](std::ptrdiff_t k) { return padded + margin + k * static_cast<std::ptrdiff_t>(step); };
      detail::blur_bytes(box, row, along, p, sums);
    }
  }
  scratch.like(image);
  auto const last = static_cast<std::ptrdiff_t>(image.height) - 1;
  for (int pass = 0; pass < passes; ++pass) {
    for (std::ptrdiff_t y = 0; y <= last; ++y) {
      auto const down = [&](std::ptrdiff_t k) {
        return image.at(static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(y + k, 0, last)), 0);
      };
      detail::blur_bytes(box, row, down, scratch.image.at(static_cast<std::size_t>(y), 0), sums);
    }
    std::swap(image, scratch.image);
  }
}

}  // namespace attn::data
