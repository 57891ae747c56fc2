/// How tiles of values get to the warpgroups that multiply by them: as TMA has copied them, or, in fp32, transposed.
///
/// Of tf32 wgmma takes operands alone whose rows it sums over lie together. Queries and keys lie so, values do not.
/// Three warps, those beside the one that copies, transpose each tile of values on its way from one place to another:
///
///     TMA          v_0         v_1   ...        as places of Tiles become free
///     three warps       v_0^T       v_1^T  ...  into places of their own
///     warpgroups              out += w_0 v_0    ...
///
/// A thread of a sum has columns 2t and 2t + 1 of eight, and as a left operand it must have columns t and t + 4
/// (products.hpp). So of each eight keys v^T has first 0, 2, 4, 6 and then 1, 3, 5, 7, and weights are operands as they
/// lie. TMA has rounded what it copied to tf32.
#pragma once

#include "attn/attention/detail/hopper/tile.hpp"

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
  static constexpr int warps = 3, threads = 32 * warps, tile_readers = warps;
  using Ring = Pipeline<2, streamed * width * 4>;
  static constexpr int all_bytes = Ring::all_bytes, barrier_bytes = Ring::barrier_bytes;
  using From = Panels<streamed, 32, 4>;
  using To = Panels<width, 32, 4>;
  Tiles tiles;
  Ring ring;

  ATTN_FUNCTION constexpr TransposedValues(Tiles copied, unsigned start, unsigned barriers)
      : tiles(copied), ring{start, barriers} {}

  template <class Block>
  ATTN_FUNCTION void init(Block const& block) const {
    ring.init(block, warps, readers);
  }
  template <class Block>
  ATTN_FUNCTION void wait_full(Block const& block, unsigned i) const {
    ring.wait_full(block, i / 2);
  }
  ATTN_FUNCTION unsigned empty(unsigned i) const { return ring.empty(i / 2); }
  ATTN_FUNCTION To tile(unsigned i) const { return {ring.stage(i / 2)}; }

  /// By threads 0 ... 95 of those that transpose.
  template <class Block>
  ATTN_FUNCTION void make(Block const& block, int thread, unsigned i) const {
    tiles.wait_full(block, i + 1);
    ring.wait_empty(block, i / 2);
    transpose(block, block.anew(thread), From{tiles.stage(i + 1)}, tile(i));
    block.publish_writes();
    block.warp_barrier();
    if (thread % 32 != 0) return;
    block.arrive(ring.full(i / 2));
    block.arrive(tiles.empty(i + 1));
  }

  /// A lane has four keys of two columns at a time, which become four columns of two rows; a warp two chunks of 32
  /// keys. Sixteen lanes read 8 bytes each at once, and eight write 16, from all banks: those with other keys have
  /// other columns, too. More numbers at a time want more registers than there are beside three warpgroups that
  /// multiply.
  template <class Block>
  static ATTN_FUNCTION void transpose(Block const& block, int thread, From from, To to) {
    struct alignas(8) Pair {
      std::uint32_t words[2];
    };
    constexpr int key_panels = streamed / 32, panel_bytes = 32 * To::row_bytes;
    int const lane = thread % 32, own = lane % 8, half = lane / 8 % 2, chunk = (own & 6) + lane / 16;
    // Every other one of eight keys from the first on. Chunks further on differ in two bits, and so do rows.
    unsigned const first_source = from.chunk(own / 2 * 8 + own % 2, chunk) + unsigned(8 * half);
    unsigned const first_target = To{0}.chunk(4 * chunk + 2 * half, own);
    ATTN_ROLLED
    for (int i = thread / 32; i < streamed * width / 256; i += warps) {
      int const pair = i % 4, key_panel = i / 4 % key_panels, panel = i / 4 / key_panels;
      unsigned const source =
          (first_source ^ unsigned(32 * pair)) + unsigned(key_panel * panel_bytes + panel * From::panel_bytes);
      unsigned const target = to.start + (first_target ^ unsigned(8 * To::row_bytes * pair)) +
                              unsigned(panel * panel_bytes + key_panel * To::panel_bytes);
      Pair keys[4];
      ATTN_UNROLL
      for (unsigned k = 0; k < 4; ++k) keys[k] = block.template read<Pair>((source ^ 32 * k) + 2 * From::row_bytes * k);
      ATTN_UNROLL
      for (unsigned c = 0; c < 2; ++c) {
        block.write((target ^ 16 * c) + To::row_bytes * c,
                    Chunk{{keys[0].words[c], keys[1].words[c], keys[2].words[c], keys[3].words[c]}});
      }
    }
  }
};

}  // namespace attn::detail::cuda
