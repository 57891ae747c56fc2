/// Polygons become masks, with the very pixels that COCO's own code gives them.
#pragma once

#include "attn/detection/mask_rle.hpp"

#include <cmath>
#include <utility>

namespace attn::detection {

/// The corners x0, y0, x1, y1, ... in pixels, the corner of the first pixel at (0, 0); the last is joined to the first.
using Polygon = std::vector<double>;

namespace detail {

/// Where the border of a polygon crosses the middle of a column, the pixels below change sides: as numbers of pixels.
///
/// The published algorithm works on a grid five times as fine, rounds corners to it, steps along each edge, one grid
/// line at a time in the direction in which the edge is longer, and notes where it steps across the middle of a column
/// of pixels, between the grid lines 5 c + 2 and 5 c + 3. Here only these steps are made.
class Crossings {
 public:
  Crossings(std::uint32_t height, std::uint32_t width) : height_(height), width_(width) {}

  void add_edge(int x0, int y0, int x1, int y1) {
    bool const is_flat = std::abs(x1 - x0) >= std::abs(y1 - y0);
    if (is_flat ? x0 > x1 : y0 > y1) std::swap(x0, x1), std::swap(y0, y1);
    if (x0 == x1) return;
    auto const [low, high] = std::minmax(x0, x1);
    int const first = low <= 2 ? 0 : (low + 2) / 5;  // the least column with 5 c + 2 >= low
    for (int c = first; c < int(width_) && 5 * c + 3 <= high; ++c) {
      add(c, is_flat ? flat_crossing(x0, y0, x1, y1, 5 * c + 2) : steep_crossing(x0, y0, x1, y1, 5 * c + 2));
    }
  }

  /// The pixels where sides change, ascending, each once.
  std::vector<std::uint32_t> const& sorted() {
    compact();
    return at_;
  }

 private:
  /// y at the lower of the grid points with x and x + 1.
  static int flat_crossing(int x0, int y0, int x1, int y1, int x) {
    double const slope = double(y1 - y0) / (x1 - x0);
    auto const y = [&](int t) { return int(y0 + product(slope, t) + 0.5); };
    return std::min(y(x - x0), y(x + 1 - x0));
  }
  /// y of the last grid point before x is crossed.
  static int steep_crossing(int x0, int y0, int x1, int y1, int x) {
    double const slope = double(x1 - x0) / (y1 - y0);
    auto const is_across = [&](int t) {
      int const there = int(x0 + product(slope, t) + 0.5);
      return x0 < x1 ? there > x : there <= x;
    };
    int before = 0, after = y1 - y0;
    while (after - before > 1) {
      int const middle = (before + after) / 2;
      (is_across(middle) ? after : before) = middle;
    }
    return y0 + before;
  }
  void add(int column, int y) {
    double const row = std::ceil(std::clamp((y + 0.5) / 5 - 0.5, 0.0, double(height_)));
    at_.push_back(std::uint32_t(column) * height_ + std::uint32_t(row));
    if (at_.size() >= 2 * kept_ + (1u << 16)) compact();
  }
  /// Two changes of sides at one pixel are none; so this needs no more memory than the mask has pixels.
  void compact() {
    std::sort(at_.begin(), at_.end());
    std::size_t kept = 0;
    for (std::uint32_t const pixel : at_) {
      if (kept > 0 && at_[kept - 1] == pixel) {
        --kept;
      } else {
        at_[kept++] = pixel;
      }
    }
    at_.resize(kept);
    kept_ = kept;
  }

  std::uint32_t height_, width_;
  std::vector<std::uint32_t> at_;
  std::size_t kept_ = 0;
};

}  // namespace detail

/// Throws unless it is a polygon: at least three corners, within a million pixels of the first. `name` opens the
/// sentence.
inline void check(Polygon const& polygon, char const* name) {
  ATTN_CHECK(polygon.size() >= 6 && polygon.size() % 2 == 0, name,
             ": give a polygon x and y of at least three points, got ", polygon.size(), " numbers");
  for (double const v : polygon) {
    ATTN_CHECK(std::abs(v) <= 1e6, name, ": give a polygon coordinates of at most a million pixels, got ", v);
  }
}

/// The pixels inside a polygon, equal to those of COCO's own code. Where it crosses itself, what is inside twice is
/// outside. O(corners x width) at most.
inline MaskRle mask_of(Polygon const& polygon, std::uint32_t height, std::uint32_t width) {
  check_mask_size(height, width, "mask_of");
  check(polygon, "mask_of");
  auto const grid = [&](std::size_t i) { return int(detail::product(5, polygon[i]) + 0.5); };
  detail::Crossings crossings(height, width);
  for (std::size_t i = 0, n = polygon.size(); i < n; i += 2) {
    std::size_t const next = (i + 2) % n;
    crossings.add_edge(grid(i), grid(i + 1), grid(next), grid(next + 1));
  }
  detail::RunWriter runs;
  std::uint32_t at = 0;
  bool inside = false;
  for (std::uint32_t const pixel : crossings.sorted()) {
    runs.add(pixel - at, inside);
    at = pixel;
    inside = !inside;
  }
  runs.add(height * width - at, inside);
  return std::move(runs).mask(height, width);
}

/// The pixels inside any of the polygons, of which there is one or more.
inline MaskRle mask_of(std::vector<Polygon> const& polygons, std::uint32_t height, std::uint32_t width) {
  std::vector<MaskRle> masks;
  for (Polygon const& polygon : polygons) masks.push_back(mask_of(polygon, height, width));
  return unite(masks);
}

/// The pixels of a box.
inline MaskRle mask_of(Box const& box, std::uint32_t height, std::uint32_t width) {
  double const right = box.x + box.width, bottom = box.y + box.height;
  return mask_of(Polygon{box.x, box.y, box.x, bottom, right, bottom, right, box.y}, height, width);
}

}  // namespace attn::detection
