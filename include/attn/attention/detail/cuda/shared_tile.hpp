/// Tiles of rows in shared memory: how they are swizzled, copied from and to global memory, and cleared of numbers that
/// are not finite.
#pragma once

#include "attn/attention/detail/cuda/block.hpp"
#include "attn/attention/detail/team/tile.hpp"

namespace attn::detail::cuda {

/// Rows of `row_bytes` (a power of two, at least 32) from byte `start` on, a multiple of 128. The 16-byte chunks of a
/// row are exchanged by a pattern that repeats after eight rows, since eight rows of one chunk, which an instruction
/// reads at once, must lie on different banks. For rows of 64 bytes, chunks c of rows r lie like this:
///
///     r0c0 r0c1 r0c2 r0c3 r1c0 r1c1 r1c2 r1c3
///     r2c1 r2c0 r2c3 r2c2 r3c1 r3c0 r3c3 r3c2   ...
template <int row_bytes>
struct SharedTile {
  static constexpr int chunks = row_bytes / 16;
  unsigned start;

  ATTN_FUNCTION unsigned chunk(int row, int chunk) const {
    constexpr int rows_of_line = row_bytes < 128 ? 128 / row_bytes : 1, exchanged = chunks < 8 ? chunks : 8;
    int const pattern = row / rows_of_line % exchanged;
    return start + static_cast<unsigned>(row * row_bytes + (chunk ^ pattern) * 16);
  }
  /// Where the 4 bytes lie that start at byte `byte` of a row.
  ATTN_FUNCTION unsigned word(int row, int byte) const {
    return chunk(row, byte / 16) + static_cast<unsigned>(byte % 16);
  }
  /// From the place of chunk 0 or 1 of a row to that 2 `pairs` chunks further: what a lane knows stays in one register.
  static ATTN_FUNCTION unsigned further(unsigned place, int pairs) {
    return (place ^ static_cast<unsigned>(pairs % 4 * 32)) + static_cast<unsigned>(pairs / 4 * 128);
  }
};

/// Whether each row of a tensor starts at a multiple of 16 bytes, so that it can be copied in chunks.
template <class X, class Memory>
bool has_aligned_rows(Tensor<X, 4, Memory> const& x) {
  std::uintptr_t bits = reinterpret_cast<std::uintptr_t>(x.data());
  for (int r = 0; r < 3; ++r) {
    if (x.extent(r) > 1) bits |= static_cast<std::uintptr_t>(x.stride(r)) * sizeof(X);
  }
  return bits % 16 == 0;
}

/// Copies `count` rows from `first` on, and fills up with zeros to `rows` rows of the tile's width. The copy is
/// complete after `wait_for_copies` and a barrier. Where chunks cannot be copied (`aligned` is false), element by
/// element.
template <int rows, int threads, int row_bytes, class Block, class X>
ATTN_FUNCTION void load_rows(Block const& block, SharedTile<row_bytes> tile, HeadRows<X> const& source, int first,
                             int count, int width, bool aligned) {
  constexpr int chunks = row_bytes / 16, per_chunk = 16 / int(sizeof(X));
  using Bits = std::conditional_t<sizeof(X) == 2, std::uint16_t, std::uint32_t>;
  ATTN_ROLLED
  for (int i = block.thread(); i < rows * chunks; i += threads) {
    int const row = i / chunks, chunk = i % chunks;
    int const columns = row < count ? clamp_to(width - chunk * per_chunk, 0, per_chunk) : 0;
    X const* const from = columns > 0 ? source.first + (first + row) * source.step + chunk * per_chunk : source.first;
    if (aligned) {
      block.copy_chunk(tile.chunk(row, chunk), from, columns * int(sizeof(X)));
    } else {
      Chunk bits{};
      ATTN_UNROLL
      for (int e = 0; e < per_chunk; ++e) {
        std::uint32_t const element = e < columns ? reinterpret_cast<Bits const*>(from)[e] : 0;
        bits.words[e * int(sizeof(X)) / 4] |= element << (e * int(sizeof(X)) % 4 * 8);
      }
      block.write(tile.chunk(row, chunk), bits);
    }
  }
}

/// Writes `count` rows of the tile to the tokens that start at `first`.
template <int rows, int threads, int row_bytes, class Block, class X>
ATTN_FUNCTION void store_rows(Block const& block, SharedTile<row_bytes> tile, HeadRows<X> const& target, int first,
                              int count, int width, bool aligned) {
  constexpr int chunks = row_bytes / 16, per_chunk = 16 / int(sizeof(X));
  using Bits = std::conditional_t<sizeof(X) == 2, std::uint16_t, std::uint32_t>;
  for (int i = block.thread(); i < rows * chunks; i += threads) {
    int const row = i / chunks, chunk = i % chunks;
    int const columns = row < count ? clamp_to(width - chunk * per_chunk, 0, per_chunk) : 0;
    if (columns == 0) continue;
    Chunk const bits = block.template read<Chunk>(tile.chunk(row, chunk));
    X* const to = target.first + (first + row) * target.step + chunk * per_chunk;
    if (aligned && columns == per_chunk) {
      *reinterpret_cast<Chunk*>(to) = bits;
    } else {
      ATTN_UNROLL
      for (int e = 0; e < per_chunk; ++e) {
        std::uint32_t const word = bits.words[e * int(sizeof(X)) / 4];
        if (e < columns) reinterpret_cast<Bits*>(to)[e] = static_cast<Bits>(word >> (e * int(sizeof(X)) % 4 * 8));
      }
    }
  }
}

/// Numbers of a tile's chunk that are not finite become zero. Returns whether there was any.
template <Format F, class Tile, class Block>
ATTN_FUNCTION bool make_finite(Block const& block, Tile tile, int row, int chunk) {
  Chunk numbers = block.template read<Chunk>(tile.chunk(row, chunk));
  bool any = false;
  ATTN_UNROLL
  for (int w = 0; w < 4; ++w) any |= make_finite<F>(numbers.words[w]);
  if (any) block.write(tile.chunk(row, chunk), numbers);
  return any;
}

/// By `threads` threads: what is not finite in a tile becomes zero, and the same chunk of `marked`, a tile of as many
/// rows, is not a number any more. A sum over the rows of a tile takes hidden ones with a weight of zero, and zero
/// times a NaN is none; a mark makes the weights NaN of those who see the row.
template <Format F, int rows, int chunks, int threads, class Block, class Tile>
ATTN_FUNCTION void make_finite(Block const& block, int thread, Tile tile, Tile marked) {
  ATTN_ROLLED
  for (int i = thread; i < rows * chunks; i += threads) {
    int const row = i / chunks, chunk = i % chunks;
    if (make_finite<F>(block, tile, row, chunk)) block.write(marked.chunk(row, chunk), std::uint32_t(nan_bits));
  }
}
/// The same where both tiles are summed over: a mark is a word of its own for each row.
template <Format F, int rows, int chunks, int threads, class Block, class Tile, class PlaceOfMark>
ATTN_FUNCTION void make_both_finite(Block const& block, int thread, Tile tile1, Tile tile2, PlaceOfMark const& place) {
  ATTN_ROLLED
  for (int row = thread; row < rows; row += threads) {
    bool any = false;
    ATTN_ROLLED
    for (int chunk = 0; chunk < chunks; ++chunk) {
      any |= make_finite<F>(block, tile1, row, chunk);
      any |= make_finite<F>(block, tile2, row, chunk);
    }
    if (any) block.write(place(row), std::uint32_t(nan_bits));
  }
}

}  // namespace attn::detail::cuda
