/// How tiles of values get to the warpgroups that multiply by them: as TMA has copied them, or, in fp32, transposed by
/// the three warps beside the one that copies (transposed.hpp).
#pragma once

#include "attn/attention/detail/hopper/transposed.hpp"

namespace attn::detail::cuda {

/// Of Tiles, in which TMA puts the keys of a tile in use i, which is even, and its values in use i + 1.
template <int width, int streamed, int readers, class Tiles>
struct CopiedValues {
  static constexpr int all_bytes = 0, barrier_bytes = 0, tile_readers = readers;
  Tiles tiles;

  ATTN_FUNCTION constexpr CopiedValues(Tiles copied, unsigned, unsigned) : tiles(copied) {}

  template <class Block>
  ATTN_FUNCTION void init(Block const&) const {}
  template <class Block>
  ATTN_FUNCTION void wait_full(Block const& block, unsigned i) const {
    tiles.wait_full(block, i + 1);
  }
  ATTN_FUNCTION unsigned empty(unsigned i) const { return tiles.empty(i + 1); }
  ATTN_FUNCTION Panels<streamed, panel_columns<width>> tile(unsigned i) const { return {tiles.stage(i + 1)}; }
};

/// The same of fp32, from `start` and `barriers` on. `readers` warps multiply by it.
template <int width, int streamed, int readers, class Tiles>
struct TransposedValues {
  using Transposed = TransposedTiles<width, streamed, 1, 3, readers>;
  static constexpr int tile_readers = Transposed::warps;
  static constexpr int all_bytes = Transposed::all_bytes, barrier_bytes = Transposed::barrier_bytes;
  Tiles tiles;
  Transposed transposed;

  ATTN_FUNCTION constexpr TransposedValues(Tiles copied, unsigned start, unsigned barriers)
      : tiles(copied), transposed{{start, barriers}} {}

  template <class Block>
  ATTN_FUNCTION void init(Block const& block) const {
    transposed.init(block);
  }
  template <class Block>
  ATTN_FUNCTION void wait_full(Block const& block, unsigned i) const {
    transposed.wait_full(block, i / 2);
  }
  ATTN_FUNCTION unsigned empty(unsigned i) const { return transposed.empty(i / 2); }
  ATTN_FUNCTION auto tile(unsigned i) const { return transposed.tile(i / 2); }

  /// By threads 0 ... 95 of those that transpose.
  template <class Block>
  ATTN_FUNCTION void make(Block const& block, int thread, unsigned i) const {
    tiles.wait_full(block, i + 1);
    transposed.make(block, thread, {tiles.stage(i + 1)}, i / 2);
    if (thread % 32 == 0) block.arrive(tiles.empty(i + 1));
  }
};

}  // namespace attn::detail::cuda
