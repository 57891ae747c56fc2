/// Box: the rectangle around an object, as COCO writes it, and how much two of them overlap.
#pragma once

#include "attn/detection/detail/product.hpp"

#include <algorithm>

namespace attn::detection {

/// The pixels from `x` to `x + width` and from `y` to `y + height`: {0, 0, 1, 1} holds the first pixel.
struct Box {
  double x = 0, y = 0, width = 0, height = 0;

  double area() const { return detail::product(width, height); }
  bool operator==(Box const&) const = default;
};

/// Area of the intersection over that of the union; 0 for boxes that do not overlap. A `crowd` is a region in which a
/// detection may lie anywhere: then over the area of the detection.
inline double iou(Box const& detection, Box const& truth, bool crowd = false) {
  double const width = std::min(detection.x + detection.width, truth.x + truth.width) - std::max(detection.x, truth.x);
  double const height =
      std::min(detection.y + detection.height, truth.y + truth.height) - std::max(detection.y, truth.y);
  if (width <= 0 || height <= 0) return 0;
  double const both = detail::product(width, height);
  return both / (crowd ? detection.area() : detection.area() + truth.area() - both);
}

}  // namespace attn::detection
