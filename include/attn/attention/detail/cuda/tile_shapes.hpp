/// How tensor-core kernels are cut for formats, widths and lengths: as large as registers hold without spilling, but
/// for fp32 heads of 128 and 256, where smaller cuts would cost more than the spills.
///
/// Two tiles of 16 rows to a warp halve what is read of shared memory for each product. A thread has 255 registers, of
/// which a tile of a sum takes four: `width` / 8 tiles for each result, `streamed` / 8 for scores and their gradients.
#pragma once

#include "attn/attention/detail/cuda/backward.hpp"
#include "attn/attention/detail/cuda/bias_gradient.hpp"

#include <algorithm>

namespace attn::detail::cuda {

/// Of own and streamed rows: up to 16 and 64 (short sequences in bulk: PINNsFormer), up to 64 own rows (windows of
/// Swin), or any. Short ones share a block of CUDA. Forward, up to 16 queries are tiny whatever they see: their keys go
/// to many blocks (forward_plan.hpp).
enum class Length { tiny, small, any };

constexpr Length length_of(Index own, Index streamed) {
  return own <= 16 && streamed <= 64 ? Length::tiny : (own <= 64 ? Length::small : Length::any);
}

template <Format F, int width, Length length>
constexpr auto forward_tile_shape() {
  if constexpr (length == Length::tiny) {
    return TileShape<1, 1, 16, std::clamp(1024 / (width * element_bytes<F>), 1, 4)>();
  } else if constexpr (!is_narrow<F>) {
    return TileShape < 4, 1, width <= 128 ? 32 : 16 > ();
  } else if constexpr (width > 128) {
    return TileShape<4, 1, 32>();
  } else if constexpr (length == Length::any) {
    return TileShape < 4, 2, width <= 64 ? 64 : 32 > ();
  } else {
    return TileShape < 2, 2, width <= 64 ? 64 : 32, 2 > ();
  }
}

template <Format F, int width, Part part, Length length>
constexpr auto backward_tile_shape() {
  constexpr bool of_queries = part == Part::queries;
  if constexpr (length == Length::tiny && width <= 64) {
    return TileShape<1, 1, 16, 4>();
  } else if constexpr (!is_narrow<F>) {
    return TileShape < width <= 128 ? 4 : 2, 1, width <= 64 ? 32 : 16 > ();
  } else if constexpr (width > 64) {
    return TileShape < 4, 1, width <= 128 ? 32 : 16 > ();
  } else if constexpr (of_queries && length == Length::any) {
    return TileShape<4, 2, 32>();
  } else {
    return TileShape<4, 1, 64>();
  }
}

/// Of the gradient of a bias: all tiles of both sides twice within 96 KiB, fp32 heads of 256 excepted.
template <Format F, int width>
constexpr auto bias_tile_shape() {
  constexpr int row_bytes = width * element_bytes<F>;
  if constexpr (row_bytes <= 256) {
    return TileShape < 4, 1, row_bytes <= 128 && is_narrow<F> ? 64 : 32 > ();
  } else {
    return TileShape < row_bytes <= 512 ? 2 : 1, 1, 16 > ();
  }
}

template <Format F, int width, Length length>
using ForwardTileShape = decltype(forward_tile_shape<F, width, length>());
template <Format F, int width, Part part, Length length>
using BackwardTileShape = decltype(backward_tile_shape<F, width, part, length>());
template <Format F, int width>
using BiasTileShape = decltype(bias_tile_shape<F, width>());

/// Whether the gradients of keys and values are made by one launch: both sums must fit into registers.
template <int width>
inline constexpr bool joins_keys_and_values = width <= 128;

}  // namespace attn::detail::cuda
