/// Tiles over whose rows products of tf32 sum, transposed.
///
/// Of tf32 wgmma takes operands alone whose rows it sums over lie together. Rows of heads that are multiplied with one
/// another lie so; those of values do not, nor those of queries, keys and d_out in sums of gradients. Warps beside the
/// one that copies transpose such tiles on their way from one place to another:
///
///     TMA            x_0         x_1   ...        as its places become free
///     these warps         x_0^T       x_1^T  ...  into places of their own
///     warpgroups               sum += w_0 x_0   ...
///
/// A thread of a sum has columns 2t and 2t + 1 of eight, and as a left operand it must have columns t and t + 4
/// (products.hpp). So of each eight rows x^T has first 0, 2, 4, 6 and then 1, 3, 5, 7, and weights are operands as they
/// lie. TMA has rounded what it copied to tf32.
#pragma once

#include "attn/attention/detail/hopper/tile.hpp"

namespace attn::detail::cuda {

/// A ring of two places for `count` tiles each, of `streamed` rows of `width` columns before, which `warps` warps fill
/// and `readers` warps read.
template <int width, int streamed, int count, int warps_, int readers>
struct TransposedTiles {
  static constexpr int warps = warps_, threads = 32 * warps, tile_bytes = streamed * width * 4;
  using Ring = Pipeline<2, count * tile_bytes>;
  static constexpr int all_bytes = Ring::all_bytes, barrier_bytes = Ring::barrier_bytes;
  using From = Panels<streamed, 32, 4>;
  using To = Panels<width, 32, 4>;
  Ring ring;

  template <class Block>
  ATTN_FUNCTION void init(Block const& block) const {
    ring.init(block, warps, readers);
  }
  template <class Block>
  ATTN_FUNCTION void wait_full(Block const& block, unsigned use) const {
    ring.wait_full(block, use);
  }
  ATTN_FUNCTION unsigned empty(unsigned use) const { return ring.empty(use); }
  ATTN_FUNCTION To tile(unsigned use, int which = 0) const { return {ring.stage(use) + unsigned(which * tile_bytes)}; }

  /// By `threads` threads: of tiles one behind the other, which nobody here reads any more when it returns.
  template <class Block>
  ATTN_FUNCTION void make(Block const& block, int thread, From from, unsigned use) const {
    ring.wait_empty(block, use);
    transpose(block, block.anew(thread), from, tile(use));
    block.publish_writes();
    block.warp_barrier();
    if (thread % 32 == 0) block.arrive(ring.full(use));
  }

  /// A lane has four rows of two columns at a time, which become four columns of two rows; a warp two chunks of 32
  /// rows. Sixteen lanes read 8 bytes each at once, and eight write 16, from all banks: those with other keys have
  /// other columns, too. More numbers at a time want more registers than there are beside three warpgroups that
  /// multiply.
  template <class Block>
  static ATTN_FUNCTION void transpose(Block const& block, int thread, From from, To to) {
    struct alignas(8) Pair {
      std::uint32_t words[2];
    };
    constexpr int panels = width / 32, row_panels = streamed / 32, panel_bytes = 32 * To::row_bytes;
    int const lane = thread % 32, own = lane % 8, half = lane / 8 % 2, chunk = (own & 6) + lane / 16;
    // Every other one of eight rows from the first on. Chunks further on differ in two bits, and so do rows.
    unsigned const first_source = from.chunk(own / 2 * 8 + own % 2, chunk) + unsigned(8 * half);
    unsigned const first_target = To{0}.chunk(4 * chunk + 2 * half, own);
    ATTN_ROLLED
    for (int i = thread / 32; i < count * tile_bytes / 1024; i += warps) {
      int const pair = i % 4, row_panel = i / 4 % row_panels, panel = i / 4 / row_panels;
      unsigned const source =
          (first_source ^ unsigned(32 * pair)) + unsigned(row_panel * panel_bytes + panel * From::panel_bytes);
      unsigned const target =
          to.start + (first_target ^ unsigned(8 * To::row_bytes * pair)) +
          unsigned(panel % panels * panel_bytes + (panel / panels * row_panels + row_panel) * To::panel_bytes);
      Pair rows[4];
      ATTN_UNROLL
      for (unsigned r = 0; r < 4; ++r) rows[r] = block.template read<Pair>((source ^ 32 * r) + 2 * From::row_bytes * r);
      ATTN_UNROLL
      for (unsigned c = 0; c < 2; ++c) {
        block.write((target ^ 16 * c) + To::row_bytes * c,
                    Chunk{{rows[0].words[c], rows[1].words[c], rows[2].words[c], rows[3].words[c]}});
      }
    }
  }
};

}  // namespace attn::detail::cuda
