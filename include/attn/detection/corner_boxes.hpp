/// Boxes by their corners, as kernels compute with them, and how much each of many overlaps each of many.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/elementwise.hpp"
#include "attn/core/tensor.hpp"

#include <cstdint>

namespace attn::detection {

/// The pixels from `left` to `right` and from `top` to `bottom`, in pixels: a row (4) of a tensor of boxes. Detectors
/// compute in these; `Box` (box.hpp) is what files hold.
struct CornerBox {
  float left = 0, top = 0, right = 0, bottom = 0;

  ATTN_FUNCTION float width() const { return right - left; }
  ATTN_FUNCTION float height() const { return bottom - top; }
  /// 0 where the corners are in the wrong order.
  ATTN_FUNCTION float area() const { return (width() > 0 ? width() : 0.0f) * (height() > 0 ? height() : 0.0f); }
  static ATTN_FUNCTION CornerBox load(float const* p) { return {p[0], p[1], p[2], p[3]}; }
  ATTN_FUNCTION void store(float* p) const {
    p[0] = left;
    p[1] = top;
    p[2] = right;
    p[3] = bottom;
  }
};

/// The area that two boxes have in common.
ATTN_FUNCTION float common_area(CornerBox const& a, CornerBox const& b) {
  return CornerBox{attn::max(a.left, b.left), attn::max(a.top, b.top), attn::min(a.right, b.right),
                   attn::min(a.bottom, b.bottom)}
      .area();
}

/// Area of the intersection over that of the union, of which a millionth of a pixel is the least.
ATTN_FUNCTION float iou(CornerBox const& a, CornerBox const& b) {
  float const both = common_area(a, b);
  return both / attn::max(a.area() + b.area() - both, 1e-6f);
}

/// Tensors of boxes (N, 4), of whole numbers for each box (N), and such as are only read.
template <class Memory>
using Boxes = Tensor<float, 2, Memory>;
/// The same, to be read alone.
template <class Memory>
using ConstBoxes = Tensor<float const, 2, Memory>;
/// Whole numbers, one for each box.
template <class Memory>
using BoxNumbers = Tensor<std::int32_t, 1, Memory>;
/// The same, to be read alone.
template <class Memory>
using ConstBoxNumbers = Tensor<std::int32_t const, 1, Memory>;

namespace detail {

/// Throws unless `boxes` is (N, 4), one box behind the other.
template <class B>
void check_boxes(char const* function, B const& boxes) {
  ATTN_CHECK(boxes.extent(1) == 4 && boxes.is_contiguous(), function, ": give contiguous boxes (N, 4), got (",
             boxes.extent(0), ", ", boxes.extent(1), ")");
}

struct PairwiseIou {
  float const* a;
  float const* b;
  float* overlaps;
  Index columns;
  ATTN_FUNCTION void operator()(Index i) const {
    overlaps[i] = iou(CornerBox::load(a + i / columns * 4), CornerBox::load(b + i % columns * 4));
  }
};

/// functor(i) for 0 <= i < n.
template <ExecutionSpace Exec, class Functor>
void for_each(Exec const& exec, char const* name, Index n, Functor const& functor) {
  if (n > 0) attn::launch(name, Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, n), functor);
}

}  // namespace detail

/// a (N, 4), b (M, 4) -> overlaps (N, M): the intersection over the union of each a and each b. O(N M).
template <ExecutionSpace Exec, class Memory>
void pairwise_iou(Exec const& exec, ConstBoxes<Memory> a, std::type_identity_t<ConstBoxes<Memory>> b,
                  std::type_identity_t<Tensor<float, 2, Memory>> overlaps) {
  detail::check_boxes("pairwise_iou", a);
  detail::check_boxes("pairwise_iou", b);
  ATTN_CHECK(overlaps.extents() == (Extents<2>{a.extent(0), b.extent(0)}) && overlaps.is_contiguous(),
             "pairwise_iou: give a contiguous result (", a.extent(0), ", ", b.extent(0), "), got (", overlaps.extent(0),
             ", ", overlaps.extent(1), ")");
  detail::for_each(exec, "attn::pairwise_iou", overlaps.size(),
                   detail::PairwiseIou{a.data(), b.data(), overlaps.data(), b.extent(0)});
}

}  // namespace attn::detection
