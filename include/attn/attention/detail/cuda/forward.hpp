/// The forward kernel on tensor cores: one text for all activations, masks and widths.
///
/// A block keeps `own` queries and streams tiles of keys and values through two buffers: while one tile is multiplied,
/// the next is copied. Scores, weights and sums stay in registers (Dao 2023, "FlashAttention-2").
///
///     q (own, width)   k (streamed, width)      s = q k^T        16 x 8 tiles, 16 m_tiles rows to a warp
///                                               w = a(s)         in place, fp32
///     out (own, width) v (streamed, width)      out += w v       w is a left operand as it lies
#pragma once

#include "attn/attention/detail/cuda/bias.hpp"
#include "attn/attention/detail/cuda/dropout.hpp"
#include "attn/attention/detail/cuda/key_parts.hpp"
#include "attn/attention/detail/cuda/products.hpp"
#include "attn/attention/detail/team/forward.hpp"

namespace attn::detail::cuda {

/// The tile shape of a kernel: its block keeps `own` rows, 16 m_tiles for each of its warps, and `streamed` rows, a
/// multiple of 16, pass through shared memory at a time. `packed` such blocks share a block of CUDA.
template <int warps_, int m_tiles_, int streamed_, int packed_ = 1>
struct TileShape {
  static constexpr int warps = warps_, m_tiles = m_tiles_, streamed = streamed_, packed = packed_;
  static constexpr int threads = 32 * warps, own = 16 * m_tiles * warps;
};

/// What a warp knows of the mask: tiles of keys outside `some` are skipped, those inside `all` need no look at it.
struct WarpKeys {
  KeyRange some, all;

  template <class M>
  ATTN_FUNCTION WarpKeys(M const& mask, Query query, int count) {
    if (count <= 0) return;
    KeyRange const first = mask.keys(query);
    query.index += count - 1;
    KeyRange const last = mask.keys(query);
    some = {first.begin, last.end};
    all = {last.begin, first.end};
  }
  ATTN_FUNCTION bool any(int k0, int keys) const { return k0 < some.end && k0 + keys > some.begin; }
  ATTN_FUNCTION bool every(int k0, int keys) const { return all.begin <= k0 && k0 + keys <= all.end; }
};

/// The scores of one row that a lane holds, as `absorb_tile` wants them; four lanes hold the row.
template <int n_tiles, class Block>
struct RowScores {
  Block const& block;
  float (&tile)[n_tiles][4];
  int half;

  ATTN_FUNCTION static constexpr int size() { return 2 * n_tiles; }
  ATTN_FUNCTION float operator[](int j) const { return tile[j / 2][2 * half + j % 2]; }
  ATTN_FUNCTION void set(int j, float x) const { tile[j / 2][2 * half + j % 2] = x; }
  ATTN_FUNCTION float row_max(float x) const {
    x = attn::max(x, block.exchange(x, 1));
    return attn::max(x, block.exchange(x, 2));
  }
  ATTN_FUNCTION float row_sum(float x) const {
    x += block.exchange(x, 1);
    return x + block.exchange(x, 2);
  }
  /// The key, counted from the first of the tile, of the lane's score j.
  ATTN_FUNCTION int key(int j) const { return j / 2 * 8 + block.thread() % 4 * 2 + j % 2; }
};

template <int n_tiles, class Block>
ATTN_FUNCTION void multiply(RowScores<n_tiles, Block> const& scores, float factor) {
  ATTN_UNROLL
  for (int j = 0; j < scores.size(); ++j) scores.set(j, scores[j] * factor);
}

/// Scores that the mask hides become `value`.
template <int n_tiles, class Block>
ATTN_FUNCTION void hide(RowScores<n_tiles, Block> const& scores, KeyRange seen, int k0, float value) {
  ATTN_UNROLL
  for (int j = 0; j < scores.size(); ++j) scores.set(j, sees(seen, k0 + scores.key(j)) ? scores[j] : value);
}

/// A pointwise activation of products q.k for one row, whose output wants `factor`. fp16 multiplies scores: the weights
/// of what is sqrt(D) times as large would leave its range. A score with a bias is no multiple of its product.
template <class A>
struct RawWeights {
  A activation;
  float factor;
  ATTN_FUNCTION float operator()(float product, Row row) const { return activation(product, row); }
};
template <class A>
struct ScaledWeights {
  static constexpr float factor = 1;
  A activation;
  float score_scale;
  ATTN_FUNCTION float operator()(float product, Row row) const { return activation(product * score_scale, row); }
};
template <Format F, class Bias = NoBias, class A>
ATTN_FUNCTION auto weights_of_products(A const& a, Row row, float score_scale) {
  if constexpr (HomogeneousActivation<A, float> && F != Format::fp16 && !adds_bias<Bias>) {
    return RawWeights<decltype(a.raw(row))>{a.raw(row), a.raw_factor(score_scale, row)};
  } else {
    return ScaledWeights<decltype(for_row(a, row))>{for_row(a, row), remaining_scale<Bias>(score_scale)};
  }
}

/// The statistics absorb a row's products of one tile, which become numerators. Returns the factor for earlier sums.
template <class A, class Stats, int n_tiles, class Block>
ATTN_FUNCTION float absorb_row(A const& a, Stats& stats, RowScores<n_tiles, Block> const& scores, KeyRange seen, int k0,
                               bool all_visible, float score_scale) {
  float factor = 1;
  if constexpr (requires {
                  { a.absorb_tile(stats, scores, score_scale) } -> std::same_as<float>;
                }) {
    if (!(score_scale > 0)) multiply(scores, score_scale);
    if (!all_visible) hide(scores, seen, k0, lowest<float>);
    return a.absorb_tile(stats, scores, score_scale > 0 ? score_scale : 1.0f);
  }
  multiply(scores, score_scale);
  if constexpr (requires {
                  { a.absorb_tile(stats, scores) } -> std::same_as<float>;
                }) {
    if (!all_visible) hide(scores, seen, k0, lowest<float>);
    factor = a.absorb_tile(stats, scores);
  } else {  // each of the four lanes absorbs the whole row
    ATTN_UNROLL
    for (int n = 0; n < n_tiles; ++n) {
      for (int lane = 0; lane < 4; ++lane) {
        ATTN_UNROLL
        for (int e = 0; e < 2; ++e) {
          float const s = scores.block.of_four(scores[2 * n + e], lane);
          if (all_visible || sees(seen, k0 + 8 * n + 2 * lane + e)) factor *= a.absorb(stats, s);
        }
      }
    }
    ATTN_UNROLL
    for (int j = 0; j < scores.size(); ++j) scores.set(j, a.numerator(scores[j], stats));
  }
  return factor;
}

/// What the mask shows a query; rows behind the last see what the last does, and are not stored.
template <class M>
ATTN_FUNCTION KeyRange keys_of(M const& mask, Query query) {
  if (query.index >= query.n_queries) query.index = query.n_queries - 1;
  return mask.keys(query);
}

/// The query of row `half` of a lane's tile of 16 rows from `first` on; it may lie behind the last.
template <class Block>
ATTN_FUNCTION Query query_of(Block const& block, Query first, int half) {
  first.index += 8 * half + block.thread() % 32 / 4;
  return first;
}

/// The products of `query` and a tile of keys become weights, or numerators where the activation needs the whole row;
/// `weigh` is `weights_of_products` for this row. Returns the factor for earlier sums.
template <class A, class Weigh, class M, class Stats, int n_tiles, class Block>
ATTN_FUNCTION float take_weights(A const& a, Weigh const& weigh, Row row, M const& mask, Query const& query, int k0,
                                 bool all_visible, float score_scale, RowScores<n_tiles, Block> const& scores,
                                 Stats& stats) {
  KeyRange seen{};
  if (!all_visible) seen = keys_of(mask, query);
  float factor = 1;
  if constexpr (RowActivation<A, float>) {
    factor = absorb_row(a, stats, scores, seen, k0, all_visible, score_scale);
  } else {
    ATTN_UNROLL
    for (int j = 0; j < scores.size(); ++j) scores.set(j, weigh(scores[j], row));
  }
  if (!all_visible) hide(scores, seen, k0, 0.0f);
  return factor;
}

/// The factor of a complete row; saves its statistics. `head_row` is the first row of the head.
template <class A, class Weigh, class M, class Stats, class Block>
ATTN_FUNCTION float finish_row(Block const& block, A const& a, Weigh const& weigh, M const& mask, Stats const& stats,
                               Query query, [[maybe_unused]] Stats* saved, [[maybe_unused]] Index head_row) {
  if constexpr (RowActivation<A, float>) {
    KeyRange const seen = keys_of(mask, query);
    bool const empty = seen.begin >= seen.end;
    if (saved != nullptr && query.index < query.n_queries && block.thread() % 4 == 0) {
      saved[head_row + query.index] = empty ? Stats() : stats;
    }
    return empty ? 0.0f : 1.0f / a.normalizer(stats);
  } else {
    return weigh.factor;
  }
}

/// Multiplies row `half` of a lane's sums.
template <int n_tiles>
ATTN_FUNCTION void scale_row(float (&sum)[n_tiles][4], int half, float factor) {
  ATTN_UNROLL
  for (int n = 0; n < n_tiles; ++n) {
    sum[n][2 * half] *= factor;
    sum[n][2 * half + 1] *= factor;
  }
}

/// A block computes `own` rows of out (B, H, N, E), E and D at most `width`, or a part of their keys, which
/// CombineParts adds up. Statistics are saved as TeamForward does.
template <Format F, int width, class TileShape, class A, class Q, class K, class V, class O, class M, class Dropout,
          class Bias>
struct Forward {
  using Stats = StatsOf<A, float>;
  using Shape = TileShape;
  static constexpr bool is_row = RowActivation<A, float>;
  static constexpr int row_bytes = width * element_bytes<F>, own = TileShape::own, streamed = TileShape::streamed;
  static constexpr int own_bytes = own * row_bytes, streamed_bytes = streamed * row_bytes;
  static constexpr unsigned shared_bytes = own_bytes + 4 * streamed_bytes;
  static constexpr int m_tiles = TileShape::m_tiles, n_tiles = streamed / 8, width_tiles = width / 8;
  using Tile = SharedTile<row_bytes>;

  A a;
  Q q;
  K k;
  V v;
  O out;
  Stats* saved;  ///< (B, H, N), or null
  M mask;
  float score_scale;
  bool aligned;  ///< all rows start at multiples of 16 bytes
  Dropout dropout;
  Bias bias;
  int joined_heads = 1;        ///< whose queries are the rows of one (joined_heads.hpp), in tiles of 16
  RowParts<Stats> parts = {};  ///< of the keys

  ATTN_FUNCTION Index blocks() const { return q.extent(0) * q.extent(1) * tiles_of(q.extent(2), own) * parts.count; }

  template <class Block>
  ATTN_FUNCTION void operator()(Block const& block) const {
    int const n = int(q.extent(2)), m = int(k.extent(2)), heads = int(q.extent(1)), tiles = tiles_of(n, own);
    int const part = int(block.index()) % parts.count;
    TeamPlace const at(int(block.index()) / parts.count, heads, tiles);
    int const key_head = at.head / (heads / int(k.extent(1)));
    int const first = (tiles - 1 - at.tile) * own;  // causal masks make late tiles dear: start with them
    int const count = n - first < own ? n - first : own;
    auto const head_bias = bias_of_head(bias, at.batch, at.head);
    HeadDropout<float, Dropout> const drop(dropout, Index(at.batch) * heads + at.head);
    int const warp_row = block.thread() / 32 * 16 * m_tiles;
    Query const query{at.batch, first, n, m}, warp_query{at.batch, first + warp_row, n, m};
    Row const rows[2] = {row_of(at, query_of(block, warp_query, 0)), row_of(at, query_of(block, warp_query, 1))};
    using Weigh = decltype(weights_of_products<F, Bias>(a, rows[0], score_scale));
    Weigh const weigh[2] = {weights_of_products<F, Bias>(a, rows[0], score_scale),
                            weights_of_products<F, Bias>(a, rows[1], score_scale)};
    WarpKeys const keys(mask, warp_query, count - warp_row < 16 * m_tiles ? count - warp_row : 16 * m_tiles);
    KeyRange seen_keys = hull(mask, query, count);
    seen_keys.begin = first_of_tiles<Dropout>(seen_keys.begin);
    KeyRange const all = part_of(seen_keys, part, parts.count, streamed);
    WarpKeys const block_keys(mask, query, count);

    Tile const q_tile{0};
    auto const buffer = [](int which) { return Tile{unsigned(own_bytes + which * streamed_bytes)}; };
    auto const load = [&](int k0, int stage) {
      int const present = all.end - k0;
      load_rows<streamed, TileShape::threads>(block, buffer(2 * stage), head_rows(k, at.batch, key_head), k0, present,
                                              int(k.extent(3)), aligned);
      load_rows<streamed, TileShape::threads>(block, buffer(2 * stage + 1), head_rows(v, at.batch, key_head), k0,
                                              present, int(v.extent(3)), aligned);
    };
    load_rows<own, TileShape::threads>(block, q_tile, head_rows(q, at.batch, at.head), first, count, int(q.extent(3)),
                                       aligned);
    if (all.begin < all.end) load(all.begin, 0);

    float sum[m_tiles][width_tiles][4];
    Stats stats[m_tiles][2];
    set_zero(sum);
    int stage = 0;
    for (int k0 = all.begin; k0 < all.end; k0 += streamed, stage ^= 1) {
      block.wait_for_copies();
      block.barrier();  // this tile is there, and nobody reads the one before it any more
      if (k0 + streamed < all.end) load(k0 + streamed, stage ^ 1);
      if (hides_keys<M> && !block_keys.every(k0, all.end - k0 < streamed ? all.end - k0 : streamed)) {
        make_finite<F, streamed, row_bytes / 16, TileShape::threads>(block, block.thread(), buffer(2 * stage + 1),
                                                                     buffer(2 * stage));
        block.barrier();
      }
      if (!keys.any(k0, streamed)) continue;
      float s[m_tiles][n_tiles][4];
      set_zero(s);
      multiply_by_rows<F>(block, s, LeftRows<F, row_bytes>(block, q_tile, warp_row), buffer(2 * stage));
      bool const all_visible = keys.every(k0, streamed);
      ATTN_UNROLL
      for (int tile = 0; tile < m_tiles; ++tile) {
        ATTN_UNROLL
        for (int half = 0; half < 2; ++half) {
          RowScores<n_tiles, Block> const scores{block, s[tile], half};
          Query const of_row = query_of(block, rows_of(warp_query, tile), half);
          add_bias(head_bias, scores, of_row.index, k0, score_scale);
          float const factor = take_weights(a, weigh[which_row(half)], rows[which_row(half)], mask, of_row, k0,
                                            all_visible, remaining_scale<Bias>(score_scale), scores, stats[tile][half]);
          drop_weights(drop, scores, of_row.index, k0);
          if constexpr (is_row) scale_row(sum[tile], half, factor);
        }
      }
      multiply_by_columns<F>(block, sum, s, buffer(2 * stage + 1));
    }

    block.wait_for_copies();
    block.barrier();  // the place of the queries is free for the result
    Index const head_row = (Index(at.batch) * heads + at.head) * n;
    // Factors and the part's number are found anew: in the loop they would cost registers.
    auto const finished = [&](int half) { return weights_of_products<F, Bias>(a, rows[which_row(half)], score_scale); };
    if (parts.count > 1) {
      int const own_part = int(block.index()) - ((at.batch * heads + at.head) * tiles + at.tile) * parts.count;
      ATTN_UNROLL
      for (int i = 0; i < 2 * m_tiles; ++i) {
        Query const of_row = query_of(block, rows_of(warp_query, i / 2), i % 2);
        put_part(block, sum[i / 2], i % 2, stats[i / 2][i % 2], drop.factor * finished(i % 2).factor, of_row, all,
                 (head_row + of_row.index) * parts.count + own_part);
      }
      return;
    }
    put_sum<typename O::Scalar>(block, sum, q_tile, warp_row, block.thread() % 32, [&](int tile, int half) {
      return drop.factor * finish_row(block, a, finished(half), mask, stats[tile][half],
                                      query_of(block, rows_of(warp_query, tile), half), saved, head_row);
    });
    block.barrier();
    store_rows<own, TileShape::threads>(block, q_tile, head_rows(out, at.batch, at.head), first, count,
                                        int(v.extent(3)), aligned);
  }

 private:
  static constexpr bool joins_heads = own == 16;

  /// What an activation may know of a query's row. Rows behind the last are as the last.
  ATTN_FUNCTION Row row_of(TeamPlace const& at, Query const& query) const {
    int const n_keys = mask.length(at.batch, query.n_keys), last = joined_heads - 1;
    if constexpr (!joins_heads) return {n_keys, at.head};
    return {n_keys, at.head * joined_heads + (query.index < last ? query.index : last)};
  }
  /// Of the rows that a lane holds: all are of one head, but where heads are joined.
  static ATTN_FUNCTION constexpr int which_row(int half) { return joins_heads ? half : 0; }

  /// The first query of one of the warp's tiles.
  static ATTN_FUNCTION Query rows_of(Query first, int tile) {
    first.index += 16 * tile;
    return first;
  }

  /// Row `half` of a lane's sums over the keys `all`, times `factor`, and the row's statistics become part `at` of all.
  template <class Block>
  ATTN_FUNCTION void put_part(Block const& block, float const (&sum)[width_tiles][4], int half, Stats const& stats,
                              [[maybe_unused]] float factor, Query const& query, KeyRange all, Index at) const {
    int const columns = int(v.extent(3)), lane = block.thread() % 4;
    if (query.index >= query.n_queries) return;
    ATTN_UNROLL
    for (int i = 0; i < 2 * width_tiles; ++i) {
      int const column = i / 2 * 8 + 2 * lane + i % 2;
      float const x = sum[i / 2][2 * half + i % 2];
      if (column < columns) parts.sums[at * columns + column] = x * factor;
    }
    if constexpr (is_row) {
      if (lane == 0) parts.stats[at] = sees_any(mask.keys(query), all) ? stats : Stats();
    }
  }
};

}  // namespace attn::detail::cuda
