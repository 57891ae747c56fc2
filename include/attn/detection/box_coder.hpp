/// BoxCoder: boxes as differences from other boxes, in numbers that a network can predict.
#pragma once

#include "attn/detection/corner_boxes.hpp"
#include "attn/nn/feature_maps.hpp"

namespace attn::detection {

/// The code of a box with centre (x, y), width w and height h seen from another one (X, Y, W, H):
/// ((x - X) / W, (y - Y) / H, ln(w / W), ln(h / H)) / deviations (Girshick et al. 2014; mmdetection's
/// DeltaXYWHBBoxCoder with means of zero).
struct BoxCoder {
  Kokkos::Array<float, 4> deviations = {1, 1, 1, 1};
  float most_growth = 4.135166556742356f;  ///< of the logarithms, either way: ln(1000 / 16)

  template <class T>
  ATTN_FUNCTION void encode(CornerBox const& from, CornerBox const& box, T* code) const {
    float const w = from.width(), h = from.height();
    code[0] = T(((box.left + box.right) - (from.left + from.right)) * 0.5f / w / deviations[0]);
    code[1] = T(((box.top + box.bottom) - (from.top + from.bottom)) * 0.5f / h / deviations[1]);
    code[2] = T(Kokkos::log(box.width() / w) / deviations[2]);
    code[3] = T(Kokkos::log(box.height() / h) / deviations[3]);
  }

  template <class T>
  ATTN_FUNCTION CornerBox decode(CornerBox const& from, T const* code) const {
    float const w = from.width(), h = from.height();
    float const x = (from.left + from.right) * 0.5f + w * (float(code[0]) * deviations[0]);
    float const y = (from.top + from.bottom) * 0.5f + h * (float(code[1]) * deviations[1]);
    float const half_w = 0.5f * w * Kokkos::exp(bounded(float(code[2]) * deviations[2]));
    float const half_h = 0.5f * h * Kokkos::exp(bounded(float(code[3]) * deviations[3]));
    return {x - half_w, y - half_h, x + half_w, y + half_h};
  }

 private:
  ATTN_FUNCTION float bounded(float growth) const { return attn::max(-most_growth, attn::min(most_growth, growth)); }
};

/// The part of a box that lies on an image.
ATTN_FUNCTION CornerBox clipped(CornerBox const& box, float height, float width) {
  return {attn::max(0.0f, attn::min(box.left, width)), attn::max(0.0f, attn::min(box.top, height)),
          attn::max(0.0f, attn::min(box.right, width)), attn::max(0.0f, attn::min(box.bottom, height))};
}

namespace detail {

template <class T>
struct EncodeBoxes {
  BoxCoder coder;
  float const* from;
  float const* boxes;
  T* codes;
  ATTN_FUNCTION void operator()(Index i) const {
    coder.encode(CornerBox::load(from + 4 * i), CornerBox::load(boxes + 4 * i), codes + 4 * i);
  }
};

template <class T>
struct DecodeBoxes {
  BoxCoder coder;
  float const* from;
  T const* codes;
  float* boxes;
  Index codes_of_box;
  float height, width;
  ATTN_FUNCTION void operator()(Index i) const {
    CornerBox const box = coder.decode(CornerBox::load(from + i / codes_of_box * 4), codes + 4 * i);
    (height > 0 ? clipped(box, height, width) : box).store(boxes + 4 * i);
  }
};

}  // namespace detail

/// from (N, 4), boxes (N, 4) -> codes (N, 4).
template <ExecutionSpace Exec, class Memory, class T>
void encode_boxes(Exec const& exec, BoxCoder const& coder, std::type_identity_t<ConstBoxes<Memory>> from,
                  std::type_identity_t<ConstBoxes<Memory>> boxes, Tensor<T, 2, Memory> const& codes) {
  for (auto const& part : {from, boxes}) detail::check_boxes("encode_boxes", part);
  ATTN_CHECK(from.extents() == boxes.extents() && boxes.extents() == codes.extents() && codes.is_contiguous(),
             "encode_boxes: give as many boxes and codes, got ", from.extent(0), ", ", boxes.extent(0), " and ",
             codes.extent(0));
  detail::for_each(exec, "attn::encode_boxes", codes.extent(0),
                   detail::EncodeBoxes<T>{coder, from.data(), boxes.data(), codes.data()});
}

/// from (N, 4), codes (N, 4 K) -> boxes (N K, 4): K boxes for each of `from`, those of its codes; clipped to an image
/// of `image` pixels where that is positive.
template <ExecutionSpace Exec, class Memory, class T>
void decode_boxes(Exec const& exec, BoxCoder const& coder, std::type_identity_t<ConstBoxes<Memory>> from,
                  Tensor<T, 2, Memory> const& codes, std::type_identity_t<Boxes<Memory>> boxes, nn::Size2 image = 0) {
  detail::check_boxes("decode_boxes", from);
  detail::check_boxes("decode_boxes", boxes);
  Index const codes_of_box = codes.extent(1) / 4;
  ATTN_CHECK(codes.extent(1) % 4 == 0 && codes.extent(0) == from.extent(0) && codes.is_contiguous() &&
                 boxes.extent(0) == codes.extent(0) * codes_of_box,
             "decode_boxes: give contiguous codes (N, 4 K) and room for N K boxes, got ", from.extent(0),
             " boxes, codes (", codes.extent(0), ", ", codes.extent(1), ") and room for ", boxes.extent(0));
  using Code = std::remove_const_t<T>;
  detail::for_each(exec, "attn::decode_boxes", boxes.extent(0),
                   detail::DecodeBoxes<Code>{coder, from.data(), codes.data(), boxes.data(), codes_of_box,
                                             float(image.height), float(image.width)});
}

}  // namespace attn::detection
