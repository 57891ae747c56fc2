/// Heads: tokens (B, N, C) as the rows of C / H numbers that attention takes, in place.
#pragma once

#include "attn/core/jet_tensor.hpp"
#include "attn/core/tensor.hpp"

#include <string>

namespace attn::nn::detail {

/// x (B, N, C) of any strides -> (B, H, N, C / H), to write.
template <class T, class Memory>
Tensor<T, 4, Memory> heads_to_write(Tensor<T, 3, Memory> const& x, Index heads) {
  Index const width = x.extent(2) / heads;
  Extents<4> const extents{x.extent(0), heads, x.extent(1), width};
  Extents<4> const strides{x.stride(0), width, x.stride(1), 1};
  if constexpr (AnyJet<std::remove_const_t<T>>) {
    auto const values = x.first_plane();
    return {{values.data(), extents, strides}, x.plane_stride(), x.planes()};
  } else {
    return {x.data(), extents, strides};
  }
}

/// The same, to read. Calls of attention name one type for all that is read and one for all that is written, so that
/// modules share their kernels.
template <class T, class Memory>
Tensor<T const, 4, Memory> heads_to_read(Tensor<T, 3, Memory> const& x, Index heads) {
  return heads_to_write(x, heads);
}
template <class T, class Memory>
Tensor<T const, 4, Memory> heads_to_read(Tensor<T const, 3, Memory> const& x, Index heads) {
  return heads_to_write(x, heads);
}

/// x (B, ..., C), contiguous, as tokens (B, N, C): a feature map (B, H, W, C) is a sequence of its pixels.
template <class T, int Rank, class Memory>
Tensor<T, 3, Memory> as_tokens(Tensor<T, Rank, Memory> const& x) {
  static_assert(Rank >= 3, "nn: give tokens (B, N, C) or a feature map (B, H, W, C)");
  Index n = 1;
  for (int r = 1; r + 1 < Rank; ++r) n *= x.extent(r);
  return x.template reshape<3>({x.extent(0), n, x.extent(Rank - 1)});
}

/// "(2, 3, 5)", for messages.
template <class X>
std::string shape_text(X const& x) {
  std::string text = "(";
  for (int r = 0; r < X::rank; ++r) text += (r > 0 ? ", " : "") + std::to_string(x.extent(r));
  return text + ")";
}

}  // namespace attn::nn::detail
