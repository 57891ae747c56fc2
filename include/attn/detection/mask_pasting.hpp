/// Masks of boxes: from a picture's pixels to a grid in each box, as networks learn them, and from such a grid back.
#pragma once

#include "attn/detection/corner_boxes.hpp"
#include "attn/detection/detail/region_plan.hpp"
#include "attn/nn/feature_maps.hpp"

namespace attn::detection {

namespace detail {

/// A pixel of a picture, from the grid of a box, or 0: bilinear, zero outside of the grid.
struct PasteMasks {
  float const* masks;
  float const* boxes;
  Index size;
  nn::Size2 image;
  float threshold;
  std::uint8_t* pixels;

  ATTN_FUNCTION void operator()(Index i) const {  // a line of a picture
    Index const n = i / image.height, line = i % image.height;
    CornerBox const box = CornerBox::load(boxes + 4 * n);
    std::uint8_t* const to = pixels + i * image.width;
    for (Index x = 0; x < image.width; ++x) to[x] = 0;
    float const v = place(float(line), box.top, box.height());
    if (!(v > -1.0f && v < float(size))) return;
    // Outside of half a cell around the grid all is zero.
    float const margin = box.width() / float(size) + 1.0f;
    Index const begin = pixel(box.left - margin), end = pixel(box.right + margin);
    float const* const grid = masks + n * size * size;
    for (Index x = begin; x < end; ++x) {
      float const u = place(float(x), box.left, box.width());
      if (u > -1.0f && u < float(size)) to[x] = interpolated(grid, v, u) >= threshold ? 1 : 0;
    }
  }

 private:
  /// Where the middle of a pixel lies on the grid, whose cells are whole numbers.
  ATTN_FUNCTION float place(float at, float first, float length) const {
    return (at + 0.5f - first) / length * float(size) - 0.5f;
  }
  ATTN_FUNCTION Index pixel(float x) const {
    return x > 0 ? (x < float(image.width) ? Index(x) : image.width) : Index(0);
  }
  ATTN_FUNCTION float interpolated(float const* grid, float v, float u) const {
    float const top = Kokkos::floor(v), left = Kokkos::floor(u), down = v - top, across = u - left;
    Index const row = Index(top), column = Index(left);
    return (1 - down) * ((1 - across) * cell(grid, row, column) + across * cell(grid, row, column + 1)) +
           down * ((1 - across) * cell(grid, row + 1, column) + across * cell(grid, row + 1, column + 1));
  }
  ATTN_FUNCTION float cell(float const* grid, Index row, Index column) const {
    return row >= 0 && column >= 0 && row < size && column < size ? grid[row * size + column] : 0.0f;
  }
};

/// A cell of a grid: whether at least half of it is inside.
template <class T>
struct CropMasks {
  std::uint8_t const* masks;
  float const* boxes;
  std::int32_t const* numbers;
  Index size, count;
  nn::Size2 image;
  T* targets;

  ATTN_FUNCTION void operator()(Index i) const {  // a line of a grid
    Index const r = i / size, line = i % size;
    CornerBox const box = CornerBox::load(boxes + 4 * r);
    BinAxis const rows(box.top, box.bottom, size, image.height), columns(box.left, box.right, size, image.width);
    Index const number = numbers[r];
    std::uint8_t const* const mask = masks + number * image.area();
    BinPixels const down = rows.pixels(line);
    for (Index c = 0; c < size; ++c) {
      BinPixels const across = columns.pixels(c);
      float sum = 0;
      if (number >= 0 && number < count) {
        for (Index x = across.begin; x < across.end; ++x) {
          float of_column = 0;
          for (Index y = down.begin; y < down.end; ++y) {
            if (mask[y * image.width + x] != 0) of_column += rows.weight(line, y);
          }
          if (of_column > 0) sum += of_column * columns.weight(c, x);
        }
      }
      targets[i * size + c] = T(sum >= 0.5f ? 1 : 0);
    }
  }
};

}  // namespace detail

/// masks (N, S, S): probabilities on a grid in each of boxes (N, 4) -> pixels (N, H, W): 1 where the grid, interpolated
/// between the middles of its cells, is at least `threshold`, else 0. As mmdetection pastes them. O(N H W).
template <ExecutionSpace Exec, class Memory>
void paste_masks(Exec const& exec, Tensor<float const, 3, Memory> masks, std::type_identity_t<ConstBoxes<Memory>> boxes,
                 std::type_identity_t<Tensor<std::uint8_t, 3, Memory>> pixels, float threshold = 0.5f) {
  detail::check_boxes("paste_masks", boxes);
  Index const n = boxes.extent(0);
  ATTN_CHECK(masks.extent(0) == n && masks.extent(1) == masks.extent(2) && masks.extent(1) > 0 &&
                 pixels.extent(0) == n && masks.is_contiguous() && pixels.is_contiguous(),
             "paste_masks: give contiguous masks (N, S, S) and pixels (N, H, W) of ", n, " boxes, got (",
             masks.extent(0), ", ", masks.extent(1), ", ", masks.extent(2), ") and ", pixels.extent(0), " pictures");
  nn::Size2 const image{pixels.extent(1), pixels.extent(2)};
  detail::for_each(exec, "attn::paste_masks", n * image.height,
                   detail::PasteMasks{masks.data(), boxes.data(), masks.extent(1), image, threshold, pixels.data()});
}

/// masks (G, H, W), not 0 inside; boxes (R, 4); numbers (R): which mask each box is of -> targets (R, S, S): 1 in cells
/// at least half of which is inside, as `RegionAlign` samples them, else 0.
template <ExecutionSpace Exec, class Memory, class T>
void crop_masks(Exec const& exec, std::type_identity_t<Tensor<std::uint8_t const, 3, Memory>> masks,
                std::type_identity_t<ConstBoxes<Memory>> boxes, std::type_identity_t<ConstBoxNumbers<Memory>> numbers,
                Tensor<T, 3, Memory> const& targets) {
  detail::check_boxes("crop_masks", boxes);
  Index const n = boxes.extent(0), size = targets.extent(1);
  ATTN_CHECK(numbers.extent(0) == n && targets.extent(0) == n && targets.extent(2) == size && masks.is_contiguous() &&
                 targets.is_contiguous(),
             "crop_masks: give contiguous masks (G, H, W) and, for ", n,
             " boxes, numbers (R) and targets (R, S, S), got ", numbers.extent(0), " and (", targets.extent(0), ", ",
             size, ", ", targets.extent(2), ")");
  detail::for_each(exec, "attn::crop_masks", n * size,
                   detail::CropMasks<T>{masks.data(),
                                        boxes.data(),
                                        numbers.data(),
                                        size,
                                        masks.extent(0),
                                        {masks.extent(1), masks.extent(2)},
                                        targets.data()});
}

}  // namespace attn::detection
