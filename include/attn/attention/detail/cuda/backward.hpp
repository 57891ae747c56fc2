/// The backward kernels by mma.sync, for the gradients of queries and of keys and values.
///
/// A block streams tiles through two buffers, as the forward kernel does.
#pragma once

#include "attn/attention/detail/cuda/gradients.hpp"

namespace attn::detail::cuda {

/// Results: d_q, or d_k and d_v, or one of these.
template <Format F, int width, class TileShape, Part part, class Inputs, class First, class Second>
struct Gradient {
  using Rows = Gradients<part, TileShape::m_tiles, TileShape::streamed, Inputs>;
  using Shape = TileShape;
  static constexpr bool has_first = part != Part::values, has_second = part != Part::queries && part != Part::keys;
  static constexpr int n_parameters = Rows::n_parameters;
  static constexpr int row_bytes = width * element_bytes<F>, own = TileShape::own, streamed = TileShape::streamed;
  static constexpr int own_bytes = own * row_bytes, streamed_bytes = streamed * row_bytes;
  static constexpr int m_tiles = TileShape::m_tiles, n_tiles = streamed / 8, width_tiles = width / 8;
  static constexpr int facts_start = 2 * own_bytes + 4 * streamed_bytes, facts_bytes = streamed * Rows::words * 4;
  static constexpr unsigned shared_bytes = unsigned(round_up(facts_start + 2 * facts_bytes, 128));
  using Tile = SharedTile<row_bytes>;

  Rows rows;
  First d_first;    ///< d_q or d_k
  Second d_second;  ///< d_v
  bool aligned;

  ATTN_FUNCTION Index blocks() const {
    return rows.own_first().extent(0) * rows.own_first().extent(1) * tiles_of(rows.own_first().extent(2), own);
  }

  template <class Block>
  ATTN_FUNCTION void operator()(Block const& block) const {
    int const own_rows = int(rows.own_first().extent(2));
    int const width1 = int(rows.x.q.extent(3)), width2 = int(rows.x.v.extent(3));
    TeamPlace const at(int(block.index()), int(rows.own_first().extent(1)), tiles_of(own_rows, own));
    int const first = at.tile * own, count = own_rows - first < own ? own_rows - first : own;
    int const warp_row = block.thread() / 32 * 16 * m_tiles;

    Tile const own1{0}, own2{unsigned(own_bytes)};
    auto const buffer = [](int which) { return Tile{unsigned(2 * own_bytes + which * streamed_bytes)}; };
    auto const load = [&](Streamed const& s, int stage) {
      load_rows<streamed, TileShape::threads>(block, buffer(2 * stage),
                                              head_rows(rows.streamed_first(), at.batch, s.head), s.first, s.count,
                                              width1, aligned);
      load_rows<streamed, TileShape::threads>(block, buffer(2 * stage + 1),
                                              head_rows(rows.streamed_second(), at.batch, s.head), s.first, s.count,
                                              width2, aligned);
      load_facts(block, at.batch, s, stage);
    };
    load_rows<own, TileShape::threads>(block, own1, head_rows(rows.own_first(), at.batch, at.head), first, count,
                                       width1, aligned);
    load_rows<own, TileShape::threads>(block, own2, head_rows(rows.own_second(), at.batch, at.head), first, count,
                                       width2, aligned);
    Streamed tile = rows.begin(at, first, count);
    if (tile.count > 0) load(tile, 0);
    typename Rows::OwnFacts own_facts;
    if constexpr (Rows::finds_facts) rows.find_facts(block, at, first + warp_row, own_facts);

    float sum1[has_first ? m_tiles : 1][width_tiles][4], sum2[has_second ? m_tiles : 1][width_tiles][4];
    set_zero(sum1);
    set_zero(sum2);
    Kokkos::Array<float, n_parameters> d_parameters{};
    int stage = 0;
    while (tile.count > 0) {
      block.wait_for_copies();
      block.barrier();  // this tile is there, and nobody reads the one before it any more
      Streamed const following = rows.next(tile, at, first, count);
      if (following.count > 0) load(following, stage ^ 1);
      bool const is_cut = rows.is_cut(at, first, count, tile, tile.count);
      if (is_cut) {
        take_out_what_is_not_finite(block, buffer(2 * stage), buffer(2 * stage + 1), facts_of(stage));
        block.barrier();
      }
      typename Rows::template Pair<16 * m_tiles> const pair(rows.x, at, first + warp_row, tile);
      if (pair.any(rows.x.mask)) {
        float s[m_tiles][n_tiles][4], y[m_tiles][n_tiles][4];
        set_zero(s);
        set_zero(y);
        multiply_by_rows<F>(block, s, LeftRows<F, row_bytes>(block, own1, warp_row), buffer(2 * stage));
        rows.add_biases(block, pair, s);
        multiply_by_rows<F>(block, y, LeftRows<F, row_bytes>(block, own2, warp_row), buffer(2 * stage + 1));
        rows.take_gradients(block, rows.score(), pair, pair.every(rows.x.mask), is_cut, facts_of(stage), own_facts, s,
                            y, d_parameters);
        // forward: s_ij = scale q_i.k_j, out_i += w_ij v_j; hence d_q_i += scale d_s_ij k_j, d_k_j += scale d_s_ij q_i,
        // d_v_j += w_ij d_out_i
        if constexpr (has_first) multiply_by_columns<F>(block, sum1, y, buffer(2 * stage));
        if constexpr (has_second) multiply_by_columns<F>(block, sum2, s, buffer(2 * stage + 1));
      }
      tile = following;
      stage ^= 1;
    }

    block.wait_for_copies();
    block.barrier();  // the places of own rows are free for the results
    if constexpr (has_first) {
      put_sum<typename First::Scalar>(block, sum1, own1, warp_row, block.thread() % 32,
                                      [&](int, int) { return rows.gradient_factor(at); });
    }
    if constexpr (has_second) {
      put_sum<typename Second::Scalar>(block, sum2, own2, warp_row, block.thread() % 32,
                                       [&](int, int) { return rows.weight_factor(at); });
    }
    block.barrier();
    if constexpr (has_first) {
      store_rows<own, TileShape::threads>(block, own1, head_rows(d_first, at.batch, at.head), first, count, width1,
                                          aligned);
    }
    if constexpr (has_second) {
      store_rows<own, TileShape::threads>(block, own2, head_rows(d_second, at.batch, at.head), first, count, width2,
                                          aligned);
    }
    if constexpr (n_parameters > 0) add_parts(block, at, d_parameters);
  }

 private:
  static ATTN_FUNCTION unsigned facts_of(int stage) { return unsigned(facts_start + stage * facts_bytes); }
  template <class Block>
  ATTN_FUNCTION void load_facts(Block const& block, int batch, Streamed const& tile, int stage) const {
    if constexpr (Rows::streams_facts) {
      ATTN_ROLLED
      for (int i = block.thread(); i < streamed * Rows::fact_words; i += TileShape::threads) {
        int const row = i / Rows::fact_words, word = i % Rows::fact_words;
        bool const is_there = row < tile.count;
        block.copy_word(facts_of(stage) + unsigned(4 * i), rows.fact(batch, tile, is_there ? row : 0, word),
                        is_there ? 4 : 0);
      }
    }
    if constexpr (Rows::marks_queries) {
      ATTN_ROLLED
      for (int i = block.thread(); i < streamed; i += TileShape::threads) {
        block.write(Rows::mark_place(facts_of(stage), i), 0.0f);
      }
    }
    if constexpr (Rows::streams_words) {
      rows.put_words(block, facts_of(stage), batch, tile, block.thread(), TileShape::threads);
    }
  }

  /// Of a tile that a mask cuts, in what sums take.
  template <class Block>
  ATTN_FUNCTION void take_out_what_is_not_finite(Block const& block, Tile tile1, Tile tile2, unsigned facts) const {
    constexpr int chunks = row_bytes / 16, threads = TileShape::threads;
    if constexpr (has_first && has_second) {
      make_both_finite<F, streamed, chunks, threads>(block, block.thread(), tile1, tile2,
                                                     [&](int row) { return Rows::mark_place(facts, row); });
    } else if constexpr (has_first) {
      make_finite<F, streamed, chunks, threads>(block, block.thread(), tile1, tile2);
    } else {
      make_finite<F, streamed, chunks, threads>(block, block.thread(), tile2, tile1);
    }
  }

  /// The block's part of the gradients of the activation's parameters, added up in a fixed order.
  template <class Block>
  ATTN_FUNCTION void add_parts(Block const& block, TeamPlace const& at,
                               Kokkos::Array<float, n_parameters> const& d_parameters) const {
    if (rows.parts == nullptr) return;
    Index const head_row = (Index(at.batch) * rows.x.q.extent(1) + at.head) * rows.x.q.extent(2);
    for (int p = 0; p < n_parameters; ++p) {
      float sum = d_parameters[p];
      for (int lanes = 16; lanes > 0; lanes /= 2) sum += block.exchange(sum, lanes);
      block.barrier();  // the result is stored, or the last sum read
      if (block.thread() % 32 == 0) block.write(unsigned(block.thread() / 32 * 4), sum);
      block.barrier();
      if (block.thread() != 0) continue;
      for (int w = 1; w < TileShape::warps; ++w) sum += block.template read<float>(unsigned(4 * w));
      rows.parts[(head_row + at.tile) * n_parameters + p] = sum * rows.score().parameter_factor(rows.row(at));
    }
  }
};

}  // namespace attn::detail::cuda
