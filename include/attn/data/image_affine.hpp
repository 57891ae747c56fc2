/// Operations on an image that move its pixels: mirrored, rotated, sheared, translated; any affine map.
#pragma once

#include "attn/data/image_scratch.hpp"
#include "attn/data/resample.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numbers>
#include <type_traits>
#include <utility>
#include <vector>

namespace attn::data {

/// Where each pixel of the result comes from: x_in = xx x + xy y + x0, y_in = yx x + yy y + y0. The centre of the first
/// pixel is (0.5, 0.5).
struct AffineMap {
  double xx = 1, xy = 0, x0 = 0;
  double yx = 0, yy = 1, y0 = 0;
};

/// Red, green and blue of pixels that come from outside the image; grey images take the first.
using Fill = std::array<std::uint8_t, 3>;

namespace detail {

/// Weights of the pixels around one that lies at 0, for a value between 0 and 1: those at -1, 1 and 2. The pixel at 0
/// has the rest, so that where all are equal nothing changes: value = p_0 + sum of weight_k (p_k - p_0).
struct Weights {
  float before = 0, next = 0, after = 0;

  static Weights at(float d, Filter how) {
    if (how == Filter::bilinear) return {0, d, 0};
    return {d * (-1 + d * (2 - d)), d * (1 + d * (1 - d)), d * d * (d - 1)};  // Keys 1981, a = -1
  }
};

template <class Number>
Number between(Number before, Number here, Number next, Number after, Weights const& w) {
  return here + w.before * (before - here) + w.next * (next - here) + w.after * (after - here);
}

/// Values are cut, not rounded, to bytes, as Pillow does.
inline std::uint8_t cut(float value) { return static_cast<std::uint8_t>(std::min(std::max(value, 0.0f), 255.0f)); }

/// A row of bytes out of four others.
inline void between_rows(std::uint8_t const* before, std::uint8_t const* here, std::uint8_t const* next,
                         std::uint8_t const* after, std::size_t size, Weights const& w, std::uint8_t* out) {
  for (std::size_t i = 0; i < size; ++i) out[i] = cut(between<float>(before[i], here[i], next[i], after[i], w));
}

/// The columns x of a row whose x_in = step x + start lies in [0, width) and likewise y_in: first and one past the
/// last.
struct Inside {
  std::ptrdiff_t first, end;

  Inside(AffineMap const& map, std::size_t y, std::size_t width, std::size_t height)
      : first(0), end(static_cast<std::ptrdiff_t>(width)) {
    auto const inside = [&](std::ptrdiff_t x) {
      double const u = double(x) + 0.5, v = double(y) + 0.5;
      double const x_in = map.xx * u + map.xy * v + map.x0, y_in = map.yx * u + map.yy * v + map.y0;
      return x_in >= 0 && x_in < double(width) && y_in >= 0 && y_in < double(height);
    };
    while (first < end && !inside(first)) ++first;
    while (end > first && !inside(end - 1)) --end;
  }
};

/// Rows that go to rows, each shifted by a distance of its own, and columns to columns: one of both distances whole.
inline void shift_rows(Image const& in, AffineMap const& map, Filter how, ImageScratch& scratch, Image& out) {
  auto const height = static_cast<std::ptrdiff_t>(in.height), width = static_cast<std::ptrdiff_t>(in.width);
  auto const step = static_cast<std::ptrdiff_t>(in.channels);
  auto const row_of = [&](std::ptrdiff_t y) {
    return in.at(std::size_t(std::clamp<std::ptrdiff_t>(y, 0, height - 1)), 0);
  };
  constexpr std::ptrdiff_t margin = 2;
  std::vector<std::uint8_t>& padded = scratch.bytes;  // a row with what its border pixels go on with
  padded.resize(std::size_t((width + 2 * margin) * step));
  for (std::ptrdiff_t y = 0; y < height; ++y) {
    Inside const inside(map, std::size_t(y), in.width, in.height);
    if (inside.first >= inside.end) continue;
    double const right = map.xy * (double(y) + 0.5) + map.x0, down = map.y0;
    double const whole_right = std::floor(right), whole_down = std::floor(down);
    std::ptrdiff_t const from_x = inside.first + static_cast<std::ptrdiff_t>(whole_right);
    std::ptrdiff_t const from_y = y + static_cast<std::ptrdiff_t>(whole_down);
    std::size_t const size = std::size_t((inside.end - inside.first) * step);
    std::uint8_t* const to = out.at(std::size_t(y), std::size_t(inside.first));
    if (down != whole_down) {  // then `right` is whole, and no column is outside
      std::ptrdiff_t const at = from_x * step;
      between_rows(row_of(from_y - 1) + at, row_of(from_y) + at, row_of(from_y + 1) + at, row_of(from_y + 2) + at, size,
                   Weights::at(static_cast<float>(down - whole_down), how), to);
      continue;
    }
    std::uint8_t const* const row = row_of(from_y);
    std::memcpy(padded.data() + margin * step, row, std::size_t(width * step));
    for (std::ptrdiff_t i = 0; i < margin * step; ++i) {
      padded[std::size_t(i)] = row[i % step];
      padded[std::size_t((width + margin) * step + i)] = row[(width - 1) * step + i % step];
    }
    std::uint8_t const* const p = padded.data() + (from_x + margin) * step;
    between_rows(p - step, p, p + step, p + 2 * step, size, Weights::at(static_cast<float>(right - whole_right), how),
                 to);
  }
}

typedef float Four __attribute__((vector_size(16)));  // the channels of a pixel

inline Four load(float const* p) {
  Four r;
  std::memcpy(&r, p, sizeof r);
  return r;
}

/// Any map. The image becomes numbers, four a pixel, with what its border pixels go on with around it: then each value
/// is 4 x 4 loads, without a question where they are. With `Across` unset, columns are known to go to columns.
template <bool Across>
void map_pixels(Image const& in, AffineMap const& map, Filter how, ImageScratch& scratch, Image& out) {
  constexpr std::size_t margin = 2;
  std::size_t const wide = in.width + 2 * margin, tall = in.height + 2 * margin, step = in.channels;
  scratch.numbers.resize(4 * (wide * tall + 3 * in.width));
  float* const numbers = scratch.numbers.data();
  for (std::size_t y = 0; y < tall; ++y) {
    std::uint8_t const* const row = in.at(std::min(y - std::min(y, margin), in.height - 1), 0);
    float* const to = numbers + 4 * y * wide;
    for (std::size_t x = 0; x < in.width; ++x) {
      for (std::size_t c = 0; c < 4; ++c) to[4 * (x + margin) + c] = row[step * x + std::min(c, step - 1)];
    }
    for (std::size_t x = 0; x < margin; ++x) {
      std::memcpy(to + 4 * x, to + 4 * margin, 4 * sizeof(float));
      std::memcpy(to + 4 * (wide - 1 - x), to + 4 * (wide - 1 - margin), 4 * sizeof(float));
    }
  }
  for (std::size_t y = 0; y < in.height; ++y) {
    Inside const inside(map, y, in.width, in.height);
    for (std::ptrdiff_t x = inside.first; x < inside.end; ++x) {
      double const u = double(x) + 0.5, v = double(y) + 0.5;
      double const x_in = map.xx * u + map.xy * v + map.x0 - 0.5, y_in = map.yx * u + map.yy * v + map.y0 - 0.5;
      auto const column = static_cast<std::ptrdiff_t>(x_in + 1) - 1, row = static_cast<std::ptrdiff_t>(y_in + 1) - 1;
      Weights const across = Weights::at(static_cast<float>(x_in - double(column)), how);
      Weights const down = Weights::at(static_cast<float>(y_in - double(row)), how);
      float const* const p =
          numbers + 4 * ((row + std::ptrdiff_t(margin)) * std::ptrdiff_t(wide) + column + std::ptrdiff_t(margin));
      auto const value = [&](std::ptrdiff_t k) {
        float const* const at = p + 4 * k * std::ptrdiff_t(wide);
        if constexpr (Across) return between(load(at - 4), load(at), load(at + 4), load(at + 8), across);
        return load(at);
      };
      Four const result = between(value(-1), value(0), value(1), value(2), down);
      std::uint8_t* const to = out.at(y, std::size_t(x));
      for (std::size_t c = 0; c < step; ++c) to[c] = cut(result[c]);
    }
  }
}

}  // namespace detail

/// Moves pixels as `map` says; what comes from outside gets the color of `fill`. The size stays.
inline void affine(Image& image, AffineMap const& map, Fill const& fill, Filter how, ImageScratch& scratch) {
  Image& out = scratch.like(image);
  std::size_t const row = image.width * image.channels;
  for (std::size_t i = 0; i < row; ++i) out.pixels[i] = fill[i % image.channels];
  for (std::size_t y = 1; y < image.height; ++y) std::memcpy(out.at(y, 0), out.at(0, 0), row);

  auto const whole = [](double x) { return std::floor(x) == x; };
  bool const columns_stay = map.xx == 1 && map.xy == 0 && whole(map.x0);
  bool const rows_shift = map.xx == 1 && map.yx == 0 && map.yy == 1 && (whole(map.y0) || columns_stay);
  if (rows_shift) {
    detail::shift_rows(image, map, how, scratch, out);
  } else if (columns_stay) {
    detail::map_pixels<false>(image, map, how, scratch, out);
  } else {
    detail::map_pixels<true>(image, map, how, scratch, out);
  }
  std::swap(image, out);
}

/// Row y moves left by factor y, counted from the upper edge.
inline void shear_x(Image& image, double factor, Fill const& fill, Filter how, ImageScratch& scratch) {
  affine(image, {.xy = factor}, fill, how, scratch);
}

/// Column x moves up by factor x, counted from the left edge.
inline void shear_y(Image& image, double factor, Fill const& fill, Filter how, ImageScratch& scratch) {
  affine(image, {.yx = factor}, fill, how, scratch);
}

/// Moves left by `pixels`.
inline void translate_x(Image& image, double pixels, Fill const& fill, Filter how, ImageScratch& scratch) {
  affine(image, {.x0 = pixels}, fill, how, scratch);
}

/// Moves up by `pixels`.
inline void translate_y(Image& image, double pixels, Fill const& fill, Filter how, ImageScratch& scratch) {
  affine(image, {.y0 = pixels}, fill, how, scratch);
}

/// Turns around the centre, counterclockwise.
inline void rotate(Image& image, double degrees, Fill const& fill, Filter how, ImageScratch& scratch) {
  double const angle = degrees - 360 * std::floor(degrees / 360);  // in [0, 360)
  if (angle == 0) return;
  auto const digits = [](double x) { return std::nearbyint(x * 1e15) / 1e15; };  // so that right angles are exact
  double const radians = -angle * std::numbers::pi / 180;
  double const c = digits(std::cos(radians)), s = digits(std::sin(radians));
  double const x = double(image.width) / 2, y = double(image.height) / 2;
  affine(image, {.xx = c, .xy = s, .x0 = x - c * x - s * y, .yx = -s, .yy = c, .y0 = y + s * x - c * y}, fill, how,
         scratch);
}

/// Left becomes right.
inline void mirror(Image& image) {
  std::size_t const step = image.channels;
  auto const swap_pixels = [&](auto bytes) {
    for (std::size_t y = 0; y < image.height; ++y) {
      std::uint8_t* left = image.at(y, 0);
      std::uint8_t* right = image.at(y, image.width - 1);
      for (; left < right; left += bytes, right -= bytes) std::swap_ranges(left, left + bytes, right);
    }
  };
  if (step == 3) {
    swap_pixels(std::integral_constant<std::size_t, 3>());
  } else {
    swap_pixels(step);
  }
}

}  // namespace attn::data
