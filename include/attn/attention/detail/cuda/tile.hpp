/// Tiles of rows in shared memory, and their products on tensor cores: what the kernels for CUDA are made of.
///
/// A product sums over 32 bytes of each row at a time: 16 numbers of 16 bits, or 8 of 32. Entries (row, column) of a
/// sum of 16 x 8 lie in the four registers of each of the 32 lanes of a warp, g = lane / 4, t = lane % 4:
///
///     register 0: (g, 2t)      register 1: (g, 2t + 1)
///     register 2: (g + 8, 2t)  register 3: (g + 8, 2t + 1)
///
/// so that four lanes hold a row, and two tiles of a sum side by side are a left operand of 16 x 16 as it stands.
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
    if (make_finite<F>(block, tile, row, chunk)) block.write(marked.chunk(row, chunk), nan_bits);
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
    if (any) block.write(place(row), nan_bits);
  }
}

/// Operands of a product in registers; `rest` is what tf32 leaves of fp32.
template <Format F, int n>
struct Registers {
  std::uint32_t bits[n];
  std::uint32_t rest[F == Format::fp32 ? n : 1];

  ATTN_FUNCTION void set(int i, std::uint32_t x) {
    if constexpr (is_narrow<F>) {
      bits[i] = x;
    } else {
      bits[i] = round_to_tf32(std::bit_cast<float>(x));
      if constexpr (F == Format::fp32) {
        rest[i] = std::bit_cast<std::uint32_t>(std::bit_cast<float>(x) - std::bit_cast<float>(bits[i]));
      }
    }
  }
};

/// c (16, 8) += a (16, 32 bytes) b (32 bytes, 8); b lies in two registers from `at` on.
template <Format F, int n, class Block>
ATTN_FUNCTION void multiply_add(Block const& block, float (&c)[4], Registers<F, 4> const& a, Registers<F, n> const& b,
                                int at) {
  if constexpr (F == Format::fp32) {
    // (a + a')(b + b') less a' b', which fp32 would not see; small terms first. Tensor cores cut sums off where fp32
    // rounds, and thousands of cuts have a direction: hence sums over more than these are fp32's own.
    float part[4] = {0, 0, 0, 0};
    block.template multiply_add<F>(part, a.rest, b.bits[at], b.bits[at + 1]);
    block.template multiply_add<F>(part, a.bits, b.rest[at], b.rest[at + 1]);
    block.template multiply_add<F>(part, a.bits, b.bits[at], b.bits[at + 1]);
    ATTN_UNROLL
    for (int r = 0; r < 4; ++r) c[r] += part[r];
  } else {
    block.template multiply_add<F>(c, a.bits, b.bits[at], b.bits[at + 1]);
  }
}

template <Format F, class Block>
ATTN_FUNCTION Registers<F, 4> load_operand(Block const& block, unsigned row, bool transposed = false) {
  std::uint32_t bits[4];
  if (transposed) {
    block.load_transposed(bits, row);
  } else {
    block.load_matrices(bits, row);
  }
  Registers<F, 4> r;
  ATTN_UNROLL
  for (int i = 0; i < 4; ++i) r.set(i, bits[i]);
  return r;
}

/// Where a lane points for 16 rows as a left operand: matrices (rows 0 ... 7, first 16 bytes), (8 ... 15, first),
/// (0 ... 7, last), (8 ... 15, last) of the 32 bytes. Also for 16 rows as the rows of two right operands.
template <int row_bytes, class Block>
ATTN_FUNCTION unsigned rows_first(Block const& block, SharedTile<row_bytes> tile, int first_row) {
  int const lane = block.thread() % 32;
  return tile.chunk(first_row + lane % 16, lane / 16);
}
/// The same for rows as columns of right operands: (0 ... 7, first), (0 ... 7, last), (8 ... 15, first), (8 ... 15,
/// last).
template <int row_bytes, class Block>
ATTN_FUNCTION unsigned chunks_first(Block const& block, SharedTile<row_bytes> tile) {
  int const lane = block.thread() % 32;
  return tile.chunk(lane % 8 + lane / 16 * 8, lane / 8 % 2);
}

/// Rows of a tile that a warp multiplies from the left, read anew for each product.
template <Format F, int row_bytes>
struct LeftRows {
  unsigned place;

  template <class Block>
  ATTN_FUNCTION LeftRows(Block const& block, SharedTile<row_bytes> tile, int first_row)
      : place(rows_first(block, tile, first_row)) {}

  template <class Block>
  ATTN_FUNCTION Registers<F, 4> operator()(Block const& block, int m, int step) const {
    return load_operand<F>(block, SharedTile<row_bytes>::further(place, step) + unsigned(16 * m * row_bytes));
  }
};

/// Rows of a tile as rows of right operands: 16 rows of 16-bit numbers, or 8 of 32 bits in the order 0, 2, 4, 6, 1, 3,
/// 5, 7, in which a left operand made of a sum has its columns.
template <Format F, int row_bytes>
struct RightRows {
  unsigned place, next = 0;

  template <class Block>
  ATTN_FUNCTION RightRows(Block const& block, SharedTile<row_bytes> tile) {
    int const lane = block.thread() % 32;
    if constexpr (is_narrow<F>) {
      place = rows_first(block, tile, 0);
    } else {
      place = tile.word(lane % 4 * 2, lane / 4 * 4);
      next = tile.word(lane % 4 * 2 + 1, lane / 4 * 4);
    }
  }
  /// Two operands: columns 8 `tile_column` to 8 `tile_column` + 15.
  template <class Block>
  ATTN_FUNCTION Registers<F, 4> operator()(Block const& block, int step, int tile_column) const {
    constexpr auto further = SharedTile<row_bytes>::further;
    unsigned const rows = unsigned(step * (is_narrow<F> ? 16 : 8) * row_bytes);
    if constexpr (is_narrow<F>) {
      return load_operand<F>(block, further(place, tile_column / 2) + rows, true);
    } else {
      Registers<F, 4> r;
      ATTN_UNROLL
      for (int i = 0; i < 4; ++i) {
        unsigned const at = further(i % 2 == 0 ? place : next, tile_column + i / 2);
        r.set(i, block.template read<std::uint32_t>(at + rows));
      }
      return r;
    }
  }
};

/// The columns of step `step` of a sum as a left operand.
template <Format F, int n_tiles>
ATTN_FUNCTION Registers<F, 4> sum_as_left_operand(float const (&sum)[n_tiles][4], int step) {
  Registers<F, 4> r;
  ATTN_UNROLL
  for (int i = 0; i < 4; ++i) {
    if constexpr (is_narrow<F>) {
      float const(&tile)[4] = sum[2 * step + i / 2];
      r.set(i, pack_finite<F>(tile[i % 2 * 2], tile[i % 2 * 2 + 1]));
    } else {
      r.set(i, std::bit_cast<std::uint32_t>(sum[step][i % 2 * 2 + i / 2]));
    }
  }
  return r;
}

/// sum (16 m, 8 n) += a b^T over the whole width, with a (16 m, width) in `left`, which knows its rows, b (8 n, width).
template <Format F, int m_tiles, int n_tiles, int row_bytes, class Block, class Left>
ATTN_FUNCTION void multiply_by_rows(Block const& block, float (&sum)[m_tiles][n_tiles][4], Left const& left,
                                    SharedTile<row_bytes> right) {
  unsigned const place = chunks_first(block, right);
  ATTN_UNROLL
  for (int step = 0; step < row_bytes / 32; ++step) {
    Registers<F, 4> a[m_tiles];
    ATTN_UNROLL
    for (int m = 0; m < m_tiles; ++m) a[m] = left(block, m, step);
    ATTN_UNROLL
    for (int n = 0; n < n_tiles; n += 2) {
      auto const b = load_operand<F>(block, SharedTile<row_bytes>::further(place, step) + unsigned(8 * n * row_bytes));
      ATTN_UNROLL
      for (int m = 0; m < m_tiles; ++m) {
        multiply_add(block, sum[m][n], a[m], b, 0);
        multiply_add(block, sum[m][n + 1], a[m], b, 2);
      }
    }
  }
}

/// sum (16 m, width) += w b, with w (16 m, 8 n) in registers and b (8 n, width).
template <Format F, int m_tiles, int n_tiles, int width_tiles, int row_bytes, class Block>
ATTN_FUNCTION void multiply_by_columns(Block const& block, float (&sum)[m_tiles][width_tiles][4],
                                       float const (&w)[m_tiles][n_tiles][4], SharedTile<row_bytes> right) {
  constexpr int tiles_of_step = is_narrow<F> ? 2 : 1;
  RightRows<F, row_bytes> const rows(block, right);
  ATTN_UNROLL
  for (int step = 0; step < n_tiles / tiles_of_step; ++step) {
    Registers<F, 4> a[m_tiles];
    ATTN_UNROLL
    for (int m = 0; m < m_tiles; ++m) a[m] = sum_as_left_operand<F>(w[m], step);
    ATTN_UNROLL
    for (int n = 0; n < width_tiles; n += 2) {
      auto const b = rows(block, step, n);
      ATTN_UNROLL
      for (int m = 0; m < m_tiles; ++m) {
        multiply_add(block, sum[m][n], a[m], b, 0);
        multiply_add(block, sum[m][n + 1], a[m], b, 2);
      }
    }
  }
}

/// Rounds a sum (16 m, width) times `factor(m, half)` to X and puts it into rows of a tile.
template <class X, int m_tiles, int n_tiles, class Tile, class Block, class Factor>
ATTN_FUNCTION void put_sum(Block const& block, float const (&sum)[m_tiles][n_tiles][4], Tile tile, int first_row,
                           Factor const& factor) {
  int const lane = block.thread() % 32;
  ATTN_UNROLL
  for (int m = 0; m < m_tiles; ++m) {
    ATTN_UNROLL
    for (int half = 0; half < 2; ++half) {
      int const row = first_row + 16 * m + 8 * half + lane / 4;
      float const f = factor(m, half);
      ATTN_UNROLL
      for (int n = 0; n < n_tiles; ++n) {
        float const x = sum[m][n][2 * half] * f, y = sum[m][n][2 * half + 1] * f;
        if constexpr (sizeof(X) == 2) {
          block.write(tile.chunk(row, n) + unsigned(4 * (lane % 4)), pack<format_of<X>>(x, y));
        } else {
          block.write(tile.word(row, 32 * n + 8 * (lane % 4)), x);
          block.write(tile.word(row, 32 * n + 8 * (lane % 4) + 4), y);
        }
      }
    }
  }
}

template <int m_tiles, int n_tiles>
ATTN_FUNCTION void set_zero(float (&sum)[m_tiles][n_tiles][4]) {
  ATTN_UNROLL
  for (int i = 0; i < m_tiles * n_tiles * 4; ++i) sum[i / (4 * n_tiles)][i / 4 % n_tiles][i % 4] = 0;
}

}  // namespace attn::detail::cuda
