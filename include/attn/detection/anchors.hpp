/// Anchors: the boxes around each pixel of feature maps that a detector starts from.
#pragma once

#include "attn/detection/corner_boxes.hpp"
#include "attn/nn/feature_maps.hpp"

#include <cmath>
#include <vector>

namespace attn::detection {

/// The shapes of anchors around one pixel: each ratio, height over width, in each scale, in multiples of the stride.
/// Ratio by ratio, as mmdetection's AnchorGenerator orders them.
struct AnchorShapes {
  std::vector<double> ratios = {0.5, 1, 2};
  std::vector<double> scales = {8};

  Index count() const { return Index(ratios.size() * scales.size()); }
};

/// A feature map of a pyramid: its size, and how many pixels of the image lie between two of its own.
struct PyramidMap {
  nn::Size2 size;
  Index stride = 1;
};

/// How many anchors the maps have together.
inline Index anchor_count(std::vector<PyramidMap> const& maps, AnchorShapes const& shapes) {
  Index pixels = 0;
  for (PyramidMap const& map : maps) pixels += map.size.area();
  return pixels * shapes.count();
}

namespace detail {

/// Boxes around the pixels of one map: (pixel, shape, 4).
struct FillAnchors {
  static constexpr Index most_shapes = 32;
  Kokkos::Array<CornerBox, most_shapes> shapes;
  Index count, width, stride;
  float* boxes;
  ATTN_FUNCTION void operator()(Index i) const {
    Index const pixel = i / count;
    float const x = float(pixel % width * stride), y = float(pixel / width * stride);
    CornerBox const& shape = shapes[std::size_t(i % count)];
    CornerBox{x + shape.left, y + shape.top, x + shape.right, y + shape.bottom}.store(boxes + 4 * i);
  }
};

/// Whether the pixel of an anchor lies on an image that is smaller than its batch.
struct MarkUsable {
  Index count, width;
  nn::Size2 valid;  // in pixels of the map
  std::uint8_t* usable;
  ATTN_FUNCTION void operator()(Index i) const {
    Index const pixel = i / count;
    usable[i] = pixel / width < valid.height && pixel % width < valid.width ? 1 : 0;
  }
};

}  // namespace detail

/// boxes (anchor_count, 4): map by map, row by row, pixel by pixel, shape by shape. The anchor of scale s and ratio r
/// at pixel (y, x) has its centre at (x stride, y stride), the height s stride sqrt(r) and the width s stride /
/// sqrt(r).
template <ExecutionSpace Exec, class Memory>
void make_anchors(Exec const& exec, std::vector<PyramidMap> const& maps, AnchorShapes const& shapes,
                  Boxes<Memory> const& boxes) {
  detail::check_boxes("make_anchors", boxes);
  ATTN_CHECK(boxes.extent(0) == anchor_count(maps, shapes), "make_anchors: give room for ", anchor_count(maps, shapes),
             " boxes, got ", boxes.extent(0));
  ATTN_CHECK(shapes.count() > 0 && shapes.count() <= detail::FillAnchors::most_shapes, "make_anchors: choose 1 to ",
             detail::FillAnchors::most_shapes, " shapes, got ", shapes.count());
  float* at = boxes.data();
  for (PyramidMap const& map : maps) {
    detail::FillAnchors fill{{}, shapes.count(), map.size.width, map.stride, at};
    std::size_t n = 0;
    for (double const ratio : shapes.ratios) {
      for (double const scale : shapes.scales) {
        double const half_width = double(map.stride) * scale / std::sqrt(ratio) / 2;
        double const half_height = double(map.stride) * scale * std::sqrt(ratio) / 2;
        fill.shapes[n++] = {float(-half_width), float(-half_height), float(half_width), float(half_height)};
      }
    }
    Index const count = map.size.area() * shapes.count();
    detail::for_each(exec, "attn::make_anchors", count, fill);
    at += 4 * count;
  }
}

/// usable (anchor_count): 1 for the anchors of pixels that lie on an image of `image` pixels, padding of its own
/// included, in a batch of larger ones; 0 for others.
template <ExecutionSpace Exec, class Memory>
void mark_usable_anchors(Exec const& exec, std::vector<PyramidMap> const& maps, AnchorShapes const& shapes,
                         nn::Size2 image, Tensor<std::uint8_t, 1, Memory> const& usable) {
  ATTN_CHECK(usable.extent(0) == anchor_count(maps, shapes) && usable.is_contiguous(),
             "mark_usable_anchors: give a contiguous result of ", anchor_count(maps, shapes), " numbers, got ",
             usable.extent(0));
  std::uint8_t* at = usable.data();
  for (PyramidMap const& map : maps) {
    Index const count = map.size.area() * shapes.count();
    nn::Size2 const valid{(image.height + map.stride - 1) / map.stride, (image.width + map.stride - 1) / map.stride};
    detail::for_each(exec, "attn::mark_usable_anchors", count,
                     detail::MarkUsable{shapes.count(), map.size.width, valid, at});
    at += count;
  }
}

}  // namespace attn::detection
