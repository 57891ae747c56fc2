/// Products of tiles on tensor cores by mma.sync: operands in registers ("fragments"), products, and sums on their way
/// back to shared memory.
///
/// A product sums over 32 bytes of each row at a time: 16 numbers of 16 bits, or 8 of 32. Entries (row, column) of a
/// sum of 16 x 8 lie in the four registers of each of the 32 lanes of a warp, g = lane / 4, t = lane % 4:
///
///     register 0: (g, 2t)      register 1: (g, 2t + 1)
///     register 2: (g + 8, 2t)  register 3: (g + 8, 2t + 1)
///
/// so that four lanes hold a row, and two tiles of a sum side by side are a left operand of 16 x 16 as it stands.
#pragma once

#include "attn/attention/detail/cuda/shared_tile.hpp"

namespace attn::detail::cuda {

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
    } else if constexpr (F == Format::tf32) {
      r.bits[i] = round_result_to_tf32(sum[step][i % 2 * 2 + i / 2]);
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

/// Rounds a sum (16 m, width) times `factor(m, half)` to X and puts it into rows of a tile, by lane `lane` of a warp.
template <class X, int m_tiles, int n_tiles, class Tile, class Block, class Factor>
ATTN_FUNCTION void put_sum(Block const& block, float const (&sum)[m_tiles][n_tiles][4], Tile tile, int first_row,
                           int lane, Factor const& factor) {
  ATTN_UNROLL
  for (int m = 0; m < m_tiles; ++m) {
    ATTN_UNROLL
    for (int half = 0; half < 2; ++half) {
      int const row = first_row + 16 * m + 8 * half + lane / 4;
      float const f = factor(m, half);
      [[maybe_unused]] unsigned const place = tile.chunk(row, lane % 4 / 2) + unsigned(lane % 2 * 8);
      ATTN_UNROLL
      for (int n = 0; n < n_tiles; ++n) {
        float const x = sum[m][n][2 * half] * f, y = sum[m][n][2 * half + 1] * f;
        if constexpr (sizeof(X) == 2) {
          block.write(tile.chunk(row, n) + unsigned(4 * (lane % 4)), pack<format_of<X>>(x, y));
        } else {
          block.write(Tile::further(place, n), x);
          block.write(Tile::further(place, n) + 4, y);
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
