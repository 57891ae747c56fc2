/// Polygons around the pixels of a mask.
#pragma once

#include "attn/detection/polygon.hpp"

namespace attn::detection {

namespace detail {

/// Goes round pixels that hang together, along their borders and with the pixels to the right, and takes each border
/// away.
class BorderWalker {
 public:
  BorderWalker(std::vector<std::uint8_t> const& pixels, std::uint32_t height, std::uint32_t width)
      : columns_(width + 1), borders_(std::size_t(height + 1) * (width + 1), 0) {
    auto const inside = [&](std::int64_t y, std::int64_t x) {
      return y >= 0 && x >= 0 && y < height && x < width && pixels[std::size_t(y) * width + std::size_t(x)] != 0;
    };
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        if (!inside(y, x)) continue;
        if (!inside(y - 1, x)) border(y, x) |= 1 << east;
        if (!inside(y, x + 1)) border(y, x + 1) |= 1 << south;
        if (!inside(y + 1, x)) border(y + 1, x + 1) |= 1 << west;
        if (!inside(y, x - 1)) border(y + 1, x) |= 1 << north;
      }
    }
  }

  /// A polygon for each outer border; the borders of holes are left out.
  std::vector<Polygon> outer() {
    std::vector<Polygon> all;
    for (std::size_t start = 0; start < borders_.size(); ++start) {
      while (borders_[start] != 0) {
        Polygon polygon = walk(std::int64_t(start / columns_), std::int64_t(start % columns_));
        if (is_outer(polygon)) all.push_back(std::move(polygon));
      }
    }
    return all;
  }

 private:
  enum Direction { east, south, west, north };

  std::uint8_t& border(std::int64_t y, std::int64_t x) { return borders_[std::size_t(y) * columns_ + std::size_t(x)]; }

  Polygon walk(std::int64_t y, std::int64_t x) {
    Polygon polygon;
    int before = -1;
    while (border(y, x) != 0) {
      int way = before < 0 ? 0 : (before + 1) % 4;  // right first: pixels that meet at a corner alone stay apart
      while ((border(y, x) >> way & 1) == 0) way = (way + 3) % 4;
      if (way != before) polygon.insert(polygon.end(), {double(x), double(y)});
      border(y, x) = std::uint8_t(border(y, x) & ~(1 << way));
      x += way == east ? 1 : way == west ? -1 : 0;
      y += way == south ? 1 : way == north ? -1 : 0;
      before = way;
      if (double(x) == polygon[0] && double(y) == polygon[1] && closes(y, x, before)) break;
    }
    return polygon;
  }
  /// At the start again, whether the walk would not go on through it: at a corner where pixels meet, it may.
  bool closes(std::int64_t y, std::int64_t x, int before) { return (border(y, x) >> (before + 1) % 4 & 1) == 0; }

  static bool is_outer(Polygon const& p) {
    double twice_area = 0;
    for (std::size_t i = 0, n = p.size(); i < n; i += 2) {
      twice_area += p[i] * p[(i + 3) % n] - p[(i + 2) % n] * p[i + 1];
    }
    return twice_area > 0;
  }

  std::size_t columns_;
  std::vector<std::uint8_t> borders_;  // of each corner of pixels: a bit for each direction in which a border leaves it
};

}  // namespace detail

/// Polygons along the borders of pixels, one for each group of pixels that hang together by their sides. `mask_of` them
/// is the mask, its holes filled. None for a mask without pixels. O(pixels).
inline std::vector<Polygon> outlines(MaskRle const& mask) {
  return detail::BorderWalker(decode_mask(mask), mask.height, mask.width).outer();
}

}  // namespace attn::detection
