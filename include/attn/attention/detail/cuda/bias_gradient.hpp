/// The gradient of a bias by mma.sync: a block keeps a tile of it in registers, and streams the sequences and heads
/// that share it past it.
///
///     s = q k^T, d_w = d_out v^T     of each of them, tiles (own, width) and (streamed, width)
///     d_bias (own, streamed) += d_s
///
/// No two blocks add to one number, so there are no atomics, and each run gives the same bits. The price: scores and
/// d_w are computed a third time, nine products of N x M x D in place of seven. Counted for a window of Swin, 49 tokens
/// and a head of 32 in bf16: this launch reads q, k, v and d_out once more, 12.5 KB. Were d_s written for each window
/// and then added up, that would be 19 KB through memory; were it added to memory by the launch for queries, which
/// would then go through the sequences in turn, 19 KB between multiprocessor and L2.
#pragma once

#include "attn/attention/detail/cuda/gradients.hpp"

namespace attn::detail::cuda {

/// `rows.row_facts` are those that the launch for queries has left.
template <Format F, int width, class TileShape, class Inputs, class DBias>
struct BiasGradient {
  using Rows = Gradients<Part::queries, TileShape::m_tiles, TileShape::streamed, Inputs>;
  using Shape = TileShape;
  static constexpr int row_bytes = width * element_bytes<F>, own = TileShape::own, streamed = TileShape::streamed;
  static constexpr int own_bytes = own * row_bytes, streamed_bytes = streamed * row_bytes;
  static constexpr int stage_bytes = 2 * (own_bytes + streamed_bytes);
  static constexpr unsigned shared_bytes = 2 * stage_bytes;
  static constexpr int m_tiles = TileShape::m_tiles, n_tiles = streamed / 8;
  using Tile = SharedTile<row_bytes>;

  Rows rows;
  DBias gradient;  ///< (B', H', N, M)
  bool aligned;

  ATTN_FUNCTION Index blocks() const {
    return gradient.extent(0) * gradient.extent(1) * tiles_of(gradient.extent(2), own) *
           tiles_of(gradient.extent(3), streamed);
  }

  template <class Block>
  ATTN_FUNCTION void operator()(Block const& block) const {
    int const n = int(gradient.extent(2)), m = int(gradient.extent(3)), key_tiles = tiles_of(m, streamed);
    TeamPlace const place(int(block.index()), int(gradient.extent(1)), tiles_of(n, own) * key_tiles);
    int const first = place.tile / key_tiles * own, count = n - first < own ? n - first : own;
    int const k0 = place.tile % key_tiles * streamed, keys = m - k0 < streamed ? m - k0 : streamed;
    int const warp_row = block.thread() / 32 * 16 * m_tiles;
    auto const seek = [&](int sharer) {
      for (; sharer < sharers(); ++sharer) {
        Query const query{sharing(place, sharer).batch, first, n, m};
        if (WarpKeys(rows.x.mask, query, count).any(k0, keys)) break;
      }
      return sharer;
    };
    auto const load = [&](int sharer, int stage) {
      load_tiles(block, sharing(place, sharer), first, count, k0, keys, stage);
    };

    float sum[m_tiles][n_tiles][4];
    set_zero(sum);
    int sharer = seek(0), stage = 0;
    if (sharer < sharers()) load(sharer, 0);
    while (sharer < sharers()) {
      TeamPlace const at = sharing(place, sharer);
      typename Rows::OwnFacts facts;
      rows.load_own_facts(block, at, first + warp_row, facts);  // they come while the block waits
      block.wait_for_copies();
      block.barrier();  // these tiles are there, and nobody reads those before them any more
      sharer = seek(sharer + 1);
      if (sharer < sharers()) load(sharer, stage ^ 1);
      typename Rows::template Pair<16 * m_tiles> const pair(rows.x, at, first + warp_row, {at.head, k0, keys});
      if (pair.any(rows.x.mask)) {
        float s[m_tiles][n_tiles][4], y[m_tiles][n_tiles][4];
        set_zero(s);
        set_zero(y);
        multiply_by_rows<F>(block, s, LeftRows<F, row_bytes>(block, own_tile(stage, 0), warp_row), key_tile(stage, 0));
        rows.add_biases(block, pair, s);
        multiply_by_rows<F>(block, y, LeftRows<F, row_bytes>(block, own_tile(stage, 1), warp_row), key_tile(stage, 1));
        Kokkos::Array<float, Rows::n_parameters> of_queries_launch{};
        rows.take_gradients(block, rows.score(), pair, pair.every(rows.x.mask), false, 0, facts, s, y,
                            of_queries_launch);
        // forward: s_ij += bias_ij; hence d_bias_ij += d_s_ij
        ATTN_UNROLL
        for (int i = 0; i < 4 * m_tiles * n_tiles; ++i) {
          sum[i / 4 / n_tiles][i / 4 % n_tiles][i % 4] += y[i / 4 / n_tiles][i / 4 % n_tiles][i % 4];
        }
      }
      stage ^= 1;
    }
    add(block, place, first + warp_row, k0, sum);
  }

 private:
  /// The sequences b, b + B', b + 2 B' ... share a bias, and where H' is 1 all of their heads.
  ATTN_FUNCTION int sharing_heads() const { return int(rows.x.q.extent(1)) / int(gradient.extent(1)); }
  ATTN_FUNCTION int sharers() const { return int(rows.x.q.extent(0)) / int(gradient.extent(0)) * sharing_heads(); }
  ATTN_FUNCTION TeamPlace sharing(TeamPlace const& place, int sharer) const {
    int const batch = place.batch + sharer / sharing_heads() * int(gradient.extent(0));
    int const head = place.head + sharer % sharing_heads() * int(gradient.extent(1));
    int const heads = int(rows.x.q.extent(1));
    return {batch * heads + head, heads, 1};
  }

  static ATTN_FUNCTION Tile own_tile(int stage, int which) {
    return {unsigned(stage * stage_bytes + which * own_bytes)};
  }
  static ATTN_FUNCTION Tile key_tile(int stage, int which) {
    return {unsigned(stage * stage_bytes + 2 * own_bytes + which * streamed_bytes)};
  }
  template <class Block>
  ATTN_FUNCTION void load_tiles(Block const& block, TeamPlace const& at, int first, int count, int k0, int keys,
                                int stage) const {
    constexpr int threads = TileShape::threads;
    auto const& x = rows.x;
    int const width1 = int(x.q.extent(3)), width2 = int(x.v.extent(3)), key_head = at.head / rows.group();
    load_rows<own, threads>(block, own_tile(stage, 0), head_rows(x.q, at.batch, at.head), first, count, width1,
                            aligned);
    load_rows<own, threads>(block, own_tile(stage, 1), head_rows(x.d_out, at.batch, at.head), first, count, width2,
                            aligned);
    load_rows<streamed, threads>(block, key_tile(stage, 0), head_rows(x.k, at.batch, key_head), k0, keys, width1,
                                 aligned);
    load_rows<streamed, threads>(block, key_tile(stage, 1), head_rows(x.v, at.batch, key_head), k0, keys, width2,
                                 aligned);
  }

  template <class Block>
  ATTN_FUNCTION void add(Block const& block, TeamPlace const& place, int own_row, int k0,
                         float (&sum)[m_tiles][n_tiles][4]) const {
    using Lane = typename Rows::Lane;
    int const first = Lane::key(block, 0), keys = int(gradient.extent(3)) - k0 - first;
    ATTN_UNROLL
    for (int i = 0; i < Lane::queries; ++i) {
      int const query = own_row + Lane::query(block, i);
      if (query >= gradient.extent(2)) continue;
      float* const row = &gradient(place.batch, place.head, query, k0 + first);
      ATTN_UNROLL
      for (int j = 0; j < Lane::keys; ++j) {
        int const key = Lane::key(block, j) - first;
        if (key < keys) row[key] += Lane::score(sum, i, j);
      }
    }
  }
};

}  // namespace attn::detail::cuda
