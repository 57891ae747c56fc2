/// Boxes of an image: one at random that is resized for training (Szegedy et al. 2015, as timm has it), and the one in
/// the centre.
#pragma once

#include "attn/data/distributions.hpp"
#include "attn/data/image.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace attn::data {

/// How large a random box is, and of which shape.
struct RandomCrop {
  std::array<double, 2> scale = {0.08, 1};           // its least and largest share of the area
  std::array<double, 2> ratio = {3.0 / 4, 4.0 / 3};  // its least and largest width over height

  void check() const {
    ATTN_CHECK(scale[0] > 0 && scale[0] <= scale[1] && scale[1] <= 1,
               "RandomCrop: give a scale with 0 < least <= largest <= 1, not ", scale[0], " and ", scale[1]);
    ATTN_CHECK(ratio[0] > 0 && ratio[0] <= ratio[1] && ratio[1] < 1e6,
               "RandomCrop: give a ratio with 0 < least <= largest, not ", ratio[0], " and ", ratio[1]);
  }
};

namespace detail {

/// Sides of a box of whole pixels. Half a pixel is rounded to an even number, as Python does.
struct BoxSides {
  std::size_t height, width;
};

inline BoxSides sides_of(double area, double ratio) {
  auto const pixels = [](double side) { return static_cast<std::size_t>(std::max(1.0, std::nearbyint(side))); };
  return {pixels(std::sqrt(area / ratio)), pixels(std::sqrt(area * ratio))};
}

/// The largest sides within (height, width) whose ratio is in the range.
inline BoxSides largest_sides(std::size_t height, std::size_t width, std::array<double, 2> const& ratio) {
  double const h = double(height), w = double(width);
  auto const pixels = [](double side) { return static_cast<std::size_t>(std::max(1.0, std::nearbyint(side))); };
  if (w / h < ratio[0]) return {std::min(height, pixels(w / ratio[0])), width};
  if (w / h > ratio[1]) return {height, std::min(width, pixels(h * ratio[1]))};
  return {height, width};
}

}  // namespace detail

/// A box of an image of (height, width): area and the logarithm of the ratio are uniform, then its place. After ten
/// boxes that do not fit: the largest in the centre whose ratio is allowed.
inline ImageBox random_crop(std::size_t height, std::size_t width, RandomCrop const& options, RandomKey key) {
  Draws draws(key);
  double const area = double(height) * double(width);
  double const low = std::log(options.ratio[0]), high = std::log(options.ratio[1]);
  auto const place = [&](std::size_t free) { return double(draws.integer(static_cast<std::int64_t>(free + 1))); };
  for (int attempt = 0; attempt < 10; ++attempt) {
    double const share = draws.uniform(options.scale[0], options.scale[1]);
    auto const [rows, columns] = detail::sides_of(share * area, std::exp(draws.uniform(low, high)));
    if (rows > height || columns > width) continue;
    double const top = place(height - rows);
    return {.top = top, .left = place(width - columns), .height = double(rows), .width = double(columns)};
  }
  auto const [rows, columns] = detail::largest_sides(height, width, options.ratio);
  return {.top = double((height - rows) / 2),
          .left = double((width - columns) / 2),
          .height = double(rows),
          .width = double(columns)};
}

/// The largest box in the centre of an image of (height, width) that has the shape of (rows, columns).
inline ImageBox centre_box(std::size_t height, std::size_t width, std::size_t rows, std::size_t columns) {
  double const scale = std::min(double(height) / double(rows), double(width) / double(columns));
  double const tall = std::min(double(height), scale * double(rows));
  double const wide = std::min(double(width), scale * double(columns));
  return {.top = (double(height) - tall) / 2, .left = (double(width) - wide) / 2, .height = tall, .width = wide};
}

}  // namespace attn::data
