/// Operations on an image that blend it with a duller one: brightness with black, contrast with its mean grey, color
/// with its own grey, sharpness with itself smoothed.
#pragma once

#include "attn/data/image_scratch.hpp"
#include "attn/data/image_tables.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace attn::data {
namespace detail {

/// The luminance of a pixel (ITU-R 601), in 16 bits behind the point.
inline std::uint8_t luminance(std::uint32_t red, std::uint32_t green, std::uint32_t blue) {
  return static_cast<std::uint8_t>((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);
}

/// dull + factor (image - dull), cut to a byte. In float, the product rounded before the sum, as Pillow computes: in
/// double the product is exact, and what rounds it is the conversion.
inline std::uint8_t blended(int dull, int image, double factor) {
  float const difference = static_cast<float>(factor * (image - dull));
  float const value = static_cast<float>(dull) + difference;
  return static_cast<std::uint8_t>(std::min(std::max(value, 0.0f), 255.0f));
}

inline void blend(std::uint8_t const* dull, std::uint8_t* image, std::size_t size, float factor) {
  for (std::size_t i = 0; i < size; ++i) image[i] = blended(dull[i], image[i], factor);
}

/// Grey of a row of pixels, three times each.
inline void grey_row(std::uint8_t const* in, std::size_t width, std::uint8_t* out) {
  for (std::size_t x = 0; x < width; ++x) {
    out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = luminance(in[3 * x], in[3 * x + 1], in[3 * x + 2]);
  }
}

}  // namespace detail

/// Red, green and blue become the luminance.
inline void grey(Image& image) {
  if (image.channels == 1) return;
  detail::grey_row(image.pixels.data(), image.height * image.width, image.pixels.data());
}

/// 0 is black, 1 the image, above 1 brighter.
inline void brightness(Image& image, double factor) {
  auto const f = static_cast<float>(factor);
  replace_bytes(image, byte_table([&](int v) { return detail::blended(0, v, f); }));
}

/// 0 is the mean grey of the image everywhere, 1 the image, above 1 more contrast.
inline void contrast(Image& image, double factor) {
  std::uint64_t sum = 0;
  std::size_t const pixels = image.height * image.width;
  std::uint8_t const* const p = image.pixels.data();
  if (image.channels == 3) {
    for (std::size_t i = 0; i < pixels; ++i) sum += detail::luminance(p[3 * i], p[3 * i + 1], p[3 * i + 2]);
  } else {
    for (std::size_t i = 0; i < pixels; ++i) sum += p[i];
  }
  int const mean = static_cast<int>(static_cast<double>(sum) / static_cast<double>(pixels) + 0.5);
  auto const f = static_cast<float>(factor);
  replace_bytes(image, byte_table([&](int v) { return detail::blended(mean, v, f); }));
}

/// 0 is grey, 1 the image, above 1 more saturated.
inline void color(Image& image, double factor, ImageScratch& scratch) {
  if (image.channels == 1) return;
  std::size_t const row = image.width * 3;
  std::uint8_t* const dull = scratch.of(1, image.width, 3).pixels.data();
  for (std::size_t y = 0; y < image.height; ++y) {
    std::uint8_t* const p = image.at(y, 0);
    detail::grey_row(p, image.width, dull);
    detail::blend(dull, p, row, static_cast<float>(factor));
  }
}

/// 0 is the image smoothed (each byte five times, its eight neighbours once; borders stay as they are), 1 the image,
/// above 1 sharper.
inline void sharpness(Image& image, double factor, ImageScratch& scratch) {
  if (image.height < 3 || image.width < 3) return;
  std::size_t const row = image.width * image.channels, step = image.channels;
  Image& smooth = scratch.like(image);
  std::memcpy(smooth.pixels.data(), image.pixels.data(), image.pixels.size());
  for (std::size_t y = 1; y + 1 < image.height; ++y) {
    std::uint8_t const* const above = image.at(y - 1, 0);
    std::uint8_t const* const here = image.at(y, 0);
    std::uint8_t const* const below = image.at(y + 1, 0);
    std::uint8_t* const out = smooth.at(y, 0);
    auto const column = [&](std::size_t i) { return unsigned(above[i]) + here[i] + below[i]; };
    for (std::size_t i = step; i < row - step; ++i) {
      unsigned const sum = column(i - step) + column(i) + column(i + step) + 4u * here[i];
      out[i] = static_cast<std::uint8_t>((sum + 6) / 13);  // never half way between two bytes, as 13 is odd
    }
  }
  detail::blend(smooth.pixels.data(), image.pixels.data(), image.pixels.size(), static_cast<float>(factor));
}

}  // namespace attn::data
