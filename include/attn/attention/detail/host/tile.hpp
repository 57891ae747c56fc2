/// The register block of the host kernels: one micro-kernel for all five matrix products of attention, and transposes.
///
/// Queries lie in the lanes of packs, so that a score tile is S^T: a row is a key, a column one pack of queries.
///
///                      3 packs of queries              right: Q^T, a row for each d, from L1
///                  +-----+-----+-----+
///       8 keys     |     |     |     |                 24 of the 32 vector registers of AVX-512 accumulate,
///     (left: K,    |     |     |     |                 3 hold a row of `right`, 1 a broadcast element of `left`.
///      natural     |     |     |     |                 One step: 24 fused multiply-adds for 11 loads.
///      layout,     +-----+-----+-----+
///      broadcast)
///
/// The same block computes every product; only what is broadcast and what lies in lanes differs:
///
///     product                 left, broadcast     right, in lanes        sum over
///     S^T    = K Q^T          K rows              Q^T                    D
///     dW^T   = V dO^T         V rows              dO^T                   E
///     O^T    = V^T W^T        V columns           W^T tile               keys of a tile
///     dQ^T   = K^T dS^T       K columns           dS^T tile              keys of a tile
///     dV, dK = W^T dO, dS^T Q the tiles' scalars  rows of dO, Q          queries of a block
///
/// Keys and values are never transposed or packed. With 48 queries (fp32, AVX-512), D = E = 64 and a tile of 48 keys,
/// Q^T and O^T take 12 KiB each and W^T 9 KiB; the product at hand reads two of the three, which stay in 32 KiB of L1,
/// and streams rows of K or V.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/core/narrow.hpp"
#include "attn/core/pack.hpp"

#include <algorithm>
#include <utility>

namespace attn::detail::host {

/// Vector registers of the machine that the compiler was told, and how many of them accumulate.
inline constexpr int vector_registers = vector_bytes == 64 ? 32 : 16;
inline constexpr int block_rows(int columns) {
  int const rows = columns <= 3 ? 8 : 6;
  return vector_registers == 32 ? rows : rows / 2;
}
/// The widest block of queries, and of the columns of dK and dV, in packs.
inline constexpr int query_packs = 3;
inline constexpr int gradient_packs = vector_registers == 32 ? 4 : 3;
/// Keys in a tile: a multiple of every block_rows. The last tile of a row takes a rest of up to a third with it.
inline constexpr int key_tile = 48;
inline constexpr int last_key_tile = 64;
inline constexpr int keys_in_tile(int left) { return left <= last_key_tile ? left : key_tile; }

/// Cuts 0 ... n - 1 into groups of Rows, then of halves of that: calls f(first, integral_constant<int, rows>).
template <int Rows, class F>
ATTN_FUNCTION void in_groups(int n, F const& f, int first = 0) {
  for (; first + Rows <= n; first += Rows) f(first, std::integral_constant<int, Rows>());
  if constexpr (Rows > 1) {
    if (first < n) in_groups<Rows / 2>(n, f, first);
  }
}

/// sum(i, c) += sum_s left[i row_step + s step] right[s right_step + c], s = 0 ... n - 1; c counts packs.
template <int Rows, int Columns, class P, class T, class RowStep, class Step>
ATTN_FUNCTION void multiply_add(P (&sum)[Rows][Columns], T const* left, RowStep row_step, Step step, T const* right,
                                Index right_step, int n) {
  typename P::Vector local[Rows][Columns];  // whose address nobody takes: it lives in registers
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) local[i][c] = sum[i][c].lanes;
  }
  for (int s = 0; s < n; ++s, left += Index(step), right += right_step) {
    typename P::Vector b[Columns];
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) b[c] = P::load(right + c * P::width).lanes;
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      T const a = left[i * Index(row_step)];
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) local[i][c] += b[c] * a;  // one expression: a fused multiply-add
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) sum[i][c] = local[i][c];
  }
}
using UnitStep = std::integral_constant<Index, 1>;

template <int Rows, int Columns, class P, class T>
ATTN_FUNCTION void load_block(P (&block)[Rows][Columns], T const* from, Index step) {
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) block[i][c] = P::load(from + i * step + c * P::width);
  }
}
template <int Rows, int Columns, class P, class T>
ATTN_FUNCTION void store_block(P const (&block)[Rows][Columns], T* to, Index step) {
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) block[i][c].store(to + i * step + c * P::width);
  }
}
/// block(i, c) = f(block(i, c), i, c)
template <int Rows, int Columns, class P, class F>
ATTN_FUNCTION void transform_block(P (&block)[Rows][Columns], F const& f) {
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) block[i][c] = f(block[i][c], i, c);
  }
}

namespace lanes {

/// Integers as wide as the lanes of a pack, and in the same number: indices and comparisons.
template <class P>
struct IntegersOf {
  using Integer = std::conditional_t<sizeof(RealOf<P>) == 4, std::int32_t, std::int64_t>;
  typedef Integer Vector __attribute__((vector_size(P::width * sizeof(Integer))));
};

/// What W narrow numbers are in memory.
template <class P>
struct NarrowBits {
  typedef std::uint16_t Vector __attribute__((vector_size(P::width * sizeof(std::uint16_t))));
};

/// One step of a transpose: exchanges the blocks off the diagonal of 2 x 2 blocks of `Size` lanes.
template <int Size, class P>
ATTN_FUNCTION void exchange(P& a, P& b) {
#if defined(__clang__)
  [&]<int... L>(std::integer_sequence<int, L...>) {
    P const upper = __builtin_shufflevector(a.lanes, b.lanes, ((L & Size) == 0 ? L : L - Size + P::width)...);
    b = __builtin_shufflevector(a.lanes, b.lanes, ((L & Size) == 0 ? L + Size : L + P::width)...);
    a = upper;
  }
  (std::make_integer_sequence<int, P::width>());
#else
  typename IntegersOf<P>::Vector upper{}, lower{};
#pragma GCC unroll 16
  for (int l = 0; l < P::width; ++l) {
    upper[l] = (l & Size) == 0 ? l : l - Size + P::width;
    lower[l] = (l & Size) == 0 ? l + Size : l + P::width;
  }
  P const first = a;
  a = __builtin_shuffle(first.lanes, b.lanes, upper);
  b = __builtin_shuffle(first.lanes, b.lanes, lower);
#endif
}

/// x with lanes l and l ^ Distance exchanged.
template <int Distance, class P>
ATTN_FUNCTION P swapped(P const& x) {
#if defined(__clang__)
  return [&]<int... L>(std::integer_sequence<int, L...>) {
    return P(__builtin_shufflevector(x.lanes, x.lanes, (L ^ Distance)...));
  }
  (std::make_integer_sequence<int, P::width>());
#else
  typename IntegersOf<P>::Vector from{};
#pragma GCC unroll 16
  for (int l = 0; l < P::width; ++l) from[l] = l ^ Distance;
  return __builtin_shuffle(x.lanes, from);
#endif
}

/// Transposes W packs of W lanes in registers, in log2(W) steps (Eklundh 1972).
template <class P, int Size = P::width / 2>
ATTN_FUNCTION void transpose(P (&x)[P::width]) {
#pragma GCC unroll 16
  for (int i = 0; i < P::width; ++i) {
    if ((i & Size) == 0) exchange<Size>(x[i], x[i + Size]);
  }
  if constexpr (Size > 1) transpose<P, Size / 2>(x);
}

/// W numbers of any storage as a pack.
template <class P, class S>
ATTN_FUNCTION P load(S const* from) {
  if constexpr (std::same_as<S, RealOf<P>>) {
    return P::load(from);
  } else if constexpr (is_narrow<S> && std::same_as<RealOf<P>, float>) {
    typename NarrowBits<P>::Vector bits;
    std::memcpy(&bits, from, sizeof bits);
    using Integers = typename IntegersOf<P>::Vector;
    return S::template widen<typename P::Vector>(__builtin_convertvector(bits, Integers));
  } else {
    P p;
    for (int l = 0; l < P::width; ++l) p.lanes[l] = static_cast<RealOf<P>>(from[l]);
    return p;
  }
}
template <class P, class S>
ATTN_FUNCTION void store(P const& p, S* to) {
  if constexpr (std::same_as<S, RealOf<P>>) {
    p.store(to);
  } else if constexpr (is_narrow<S> && std::same_as<RealOf<P>, float>) {
    using Bits = typename NarrowBits<P>::Vector;
    Bits const bits = __builtin_convertvector(S::template round<typename IntegersOf<P>::Vector>(p.lanes), Bits);
    std::memcpy(to, &bits, sizeof bits);
  } else {
    for (int l = 0; l < P::width; ++l) to[l] = static_cast<S>(p[l]);
  }
}

}  // namespace lanes

/// rows (n, width), 1 <= n <= W, -> columns (width, W), times `factor`. Lanes behind n repeat the last row, so that
/// they compute with numbers that occur, and nobody reads their results. What lies `ahead` of the rows is asked for.
template <class P, class S>
void rows_to_lanes(S const* rows, Index row_step, int n, int width, RealOf<P> factor, RealOf<P>* columns,
                   Index column_step, Index ahead = 0) {
  constexpr int W = P::width;
  int d = 0;
  for (; d + W <= width; d += W) {
    P x[W];
#pragma GCC unroll 16
    for (int r = 0; r < W; ++r) x[r] = lanes::load<P>(rows + std::min(r, n - 1) * row_step + d);
    if (ahead != 0) {
#pragma GCC unroll 16
      for (int r = 0; r < W; ++r) __builtin_prefetch(rows + std::min(r, n - 1) * row_step + d + ahead);
    }
    lanes::transpose(x);
#pragma GCC unroll 16
    for (int r = 0; r < W; ++r) (x[r] * P(factor)).store(columns + (d + r) * column_step);
  }
  for (; d < width; ++d) {
    for (int r = 0; r < W; ++r) {
      columns[d * column_step + r] = factor * static_cast<RealOf<P>>(rows[std::min(r, n - 1) * row_step + d]);
    }
  }
}

/// From a head of sequences in lanes to the next one, or to the first head of the sequences behind them.
template <class X>
Index next_group(X const& x, Index head, int lanes) {
  Index const heads = x.extent(1);
  return head + 1 < heads ? x.stride(1) : lanes * x.stride(0) - (heads - 1) * x.stride(1);
}

/// columns (width, W), times the lanes of `factor`, -> rows (n, width), n <= W, or added to them.
template <bool adds = false, class P, class S>
void lanes_to_rows(RealOf<P> const* columns, Index column_step, P factor, S* rows, Index row_step, int n, int width) {
  constexpr int W = P::width;
  int d = 0;
  for (; d + W <= width; d += W) {
    P x[W];
#pragma GCC unroll 16
    for (int r = 0; r < W; ++r) x[r] = P::load(columns + (d + r) * column_step) * factor;
    lanes::transpose(x);
#pragma GCC unroll 16
    for (int r = 0; r < W; ++r) {
      if (r >= n) continue;
      S* const to = rows + r * row_step + d;
      if constexpr (adds) x[r] += lanes::load<P>(to);
      lanes::store(x[r], to);
    }
  }
  for (; d < width; ++d) {
    P const x = P::load(columns + d * column_step) * factor;
    for (int r = 0; r < n; ++r) {
      S& to = rows[r * row_step + d];
      to = static_cast<S>(adds ? static_cast<RealOf<P>>(to) + x[r] : x[r]);
    }
  }
}

}  // namespace attn::detail::host
