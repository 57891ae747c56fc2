/// The forward kernel for Hopper: a persistent kernel with warp specialisation.
///
/// There is one block for each multiprocessor, which takes one tile of queries after the other. One warp of it, the
/// producer, copies queries, keys and values by TMA into the stages of two pipelines. The other warpgroups, the
/// consumers, have 64 rows of queries each, multiply what arrives and apply the activation:
///
///     copies     q           k_0   v_0   k_1   v_1   ...  next q  k_0 ...          as stages become free
///     products       s_0 = q k_0^T       s_1 = q k_1^T, out += w_0 v_0       s_2, out += w_1 v_1   ...
///     activation                 w_0 = a(s_0)                  w_1 = a(s_1)               ...
///
/// Products are asynchronous: tensor cores multiply the weights of one tile by its values while the warpgroup applies
/// the activation to the scores of the next, and other warpgroups fill what gap remains (Shah et al. 2024,
/// "FlashAttention-3"). Accumulators lie in registers as those of mma.sync do, hence the code for rows, masks and
/// statistics is that of cuda/forward.hpp. Of tf32, queries stay in registers, too, and three more warps transpose the
/// values (values.hpp).
#pragma once

#include "attn/attention/detail/cuda/forward.hpp"
#include "attn/attention/detail/hopper/values.hpp"
#include "attn/attention/detail/hopper/work_source.hpp"

namespace attn::detail::cuda {

/// Registers of three warpgroups hold scores and weights of 128 keys and 64 columns of sums, those of two 128 columns,
/// or 256 beside 64 keys; of tf32, where weights take as many as scores and queries are there, too, of 64 keys, or of
/// 32 beside 128 columns.
template <int width, int consumers, Format F = Format::bf16>
struct HopperTileShape : HopperThreads<consumers> {
  static constexpr int own = 64 * consumers, row_bytes = width * element_bytes<F>;
  static constexpr int streamed = is_narrow<F> ? (width <= 128 ? 128 : 64) : (width <= 64 ? 64 : 32);
  static constexpr int query_bytes = own * row_bytes, key_bytes = streamed * row_bytes;
  static constexpr int query_stages = query_bytes <= 48 * 1024 ? 2 : 1, value_stages = is_narrow<F> ? 0 : 2;
  static constexpr int fitting = pipeline_stages(query_stages * query_bytes + value_stages * key_bytes, key_bytes);
  static constexpr int stages = is_narrow<F> ? fitting : fitting / 2 * 2;  // keys or values, which others read
};

/// A block computes tiles of `own` rows of out (B, H, N, E), E and D at most `width`. `Map`: what TMA knows of a
/// tensor; boxes are of the columns of a panel, and of 64 rows, or `streamed` for keys and values.
template <Format F, int width, class TileShape, class A, class Map, class M, class Dropout = NoDropout>
struct HopperForward {
  using Stats = StatsOf<A, float>;
  using Shape = TileShape;
  static constexpr int own = TileShape::own, streamed = TileShape::streamed, n_tiles = streamed / 8,
                       columns = panel_columns<width, element_bytes<F>>, panels = width / columns;
  static constexpr int part_tiles = width < 128 ? width / 8 : 16, parts = width / 8 / part_tiles;
  using Queries = Pipeline<TileShape::query_stages, TileShape::query_bytes>;
  using Tiles = Pipeline<TileShape::stages, TileShape::key_bytes>;
  static constexpr bool transposes = !is_narrow<F>;
  using Values = std::conditional_t<transposes, TransposedValues<width, streamed, 4 * TileShape::consumers, Tiles>,
                                    CopiedValues<width, streamed, 4 * TileShape::consumers, Tiles>>;
  static constexpr unsigned barriers = Queries::all_bytes + Tiles::all_bytes + Values::all_bytes;
  static constexpr unsigned landed = barriers + Queries::barrier_bytes + Tiles::barrier_bytes + Values::barrier_bytes;
  static constexpr unsigned turns = landed + 8, works = turns + 8 * TileShape::consumers;
  static constexpr unsigned shared_bytes = works + 4 * TileShape::query_stages;
  static_assert(TileShape::stages >= 3, "keys may wait for the values behind them while others are multiplied");

  /// Whether warpgroups start their products in turns, so that tensor cores are done with those of one before those of
  /// the next, rather than with all together when all wait for them. Cheap weights leave the cores no pause.
  static constexpr bool takes_turns = RowActivation<A, float> && width <= 64;

  struct Sizes {
    int batch, heads, kv_heads, queries, keys;
  };

  A a;
  Map q, k, v, out;
  Stats* saved;  ///< (B, H, N), or null
  M mask;
  Sizes size;
  float score_scale;
  WorkOrder order;
  unsigned* counter;  ///< see WorkSource
  Dropout dropout = {};

  template <class Block>
  ATTN_FUNCTION void operator()(Block const& block) const {
    if (block.thread() == 0) {
      query_pipeline().init(block, 1, TileShape::consumers + (transposes ? Values::tile_readers : 0));
      tile_pipeline().init(block, 1, 4 * TileShape::consumers, Values::tile_readers);  // each warp reads
      values().init(block);
      block.init_barrier(landed, 1);
      for (int group = 0; group < TileShape::consumers; ++group) block.init_barrier(turn_of(group), 4);
      block.publish_barriers();
    }
    block.barrier();
    if (int const group = block.group(); group == TileShape::consumers) {
      block.template give_registers<TileShape::producer_registers>();
      if (block.thread() % warpgroup < 32) {
        produce(block);
      } else if constexpr (transposes) {
        transpose(block, block.thread() % warpgroup - 32);
      }
    } else {
      block.template take_registers<TileShape::consumer_registers>();
      for_works(block, [&](Work const& work, unsigned query_use, unsigned use) {
        attend(block, work, group, query_use, use);
      });
    }
  }

 private:
  static ATTN_FUNCTION constexpr Queries query_pipeline() { return {0, barriers}; }
  static ATTN_FUNCTION constexpr Tiles tile_pipeline() {
    return {Queries::all_bytes, barriers + unsigned(Queries::barrier_bytes)};
  }
  static ATTN_FUNCTION constexpr Values values() {
    return {tile_pipeline(), Queries::all_bytes + Tiles::all_bytes,
            barriers + unsigned(Queries::barrier_bytes + Tiles::barrier_bytes)};
  }

  static ATTN_FUNCTION unsigned turn_of(int group) { return turns + unsigned(8 * group); }
  /// Where the warp that copies queries says which they are.
  static ATTN_FUNCTION unsigned work_place(unsigned query_use) {
    return works + query_use % TileShape::query_stages * 4;
  }

  /// A tile of queries of a head, and the keys that it sees, in tiles from the first on.
  struct Work {
    TeamPlace at;
    int first, key_head, n_tiles;
    KeyRange keys;
  };

  ATTN_FUNCTION Work work(int index) const {
    int const all = tiles_of(size.queries, own);
    TeamPlace const at = order.place(index, size.heads);
    int const first = (all - 1 - at.tile) * own;  // causal masks make late tiles dear: start with them
    int const count = size.queries - first < own ? size.queries - first : own;
    KeyRange keys = hull(mask, {at.batch, first, size.queries, size.keys}, count);
    keys.begin = first_of_tiles<Dropout>(keys.begin);
    int const n_keys = keys.end - keys.begin;
    return {at, first, at.head / (size.heads / size.kv_heads), n_keys > 0 ? tiles_of(n_keys, streamed) : 0, keys};
  }

  template <class Block>
  ATTN_FUNCTION void produce(Block const& block) const {
    bool const issues = block.thread() % 32 == 0;
    Queries const queries = query_pipeline();
    Tiles const tiles = tile_pipeline();
    unsigned use = 0, query_use = 0, cuts = 0;
    WorkSource<> source(block, order, counter);
    for (;; ++query_use, source.take_next(block)) {
      queries.wait_empty(block, query_use);
      if (issues) block.write(work_place(query_use), source.work());
      if (source.is_over()) break;
      Work const work = this->work(source.work());
      source.ask(block, query_use + 1);
      if (issues) {
        block.arrive_expecting(queries.full(query_use), TileShape::query_bytes);
        for (int g = 0; g < TileShape::consumers; ++g) {
          load_panels<panels>(block, q, rows_of_group(query_use, g),
                              {0, work.first + 64 * g, work.at.head, work.at.batch}, queries.full(query_use));
        }
      }
      int const count = size.queries - work.first < own ? size.queries - work.first : own;
      WarpKeys const seen(mask, {work.at.batch, work.first, size.queries, size.keys}, count);
      for (int t = 0; t < work.n_tiles; ++t, use += 2) {
        int const k0 = work.keys.begin + t * streamed;
        int const present = size.keys - k0 < streamed ? size.keys - k0 : streamed;
        BoxPlace const place{0, k0, work.key_head, work.at.batch};
        bool const is_cut = hides_keys<M> && !seen.every(k0, present);
        auto const load = [&](Map const& map, unsigned i) {
          tiles.wait_empty(block, i);
          unsigned const barrier = is_cut ? landed : tiles.full(i);
          if (!issues) return;
          if (!is_cut || i == use) block.arrive_expecting(barrier, (is_cut ? 2 : 1) * TileShape::key_bytes);
          load_panels<panels>(block, map, tile(i), place, barrier);
        };
        load(k, use);
        load(v, use + 1);
        if (is_cut) {
          block.wait(landed, cuts++ % 2);
          // also behind the last key that any query sees; behind the last of all keys TMA fills up with zeros
          make_finite<F, streamed, TileShape::row_bytes / 16, 32>(block, block.thread() % 32, tile(use + 1), tile(use));
          block.publish_writes();
          block.warp_barrier();
          if (issues) {
            block.arrive(tiles.full(use));
            block.arrive(tiles.full(use + 1));
          }
        }
      }
    }
    if (issues) block.arrive(queries.full(query_use));
    source.finish(block);
  }

  /// Calls run(work, number of its use of the places of queries, of the first use of those of tiles) for each work of
  /// the block, by threads of a warp at least.
  template <class Block, class Run>
  ATTN_FUNCTION void for_works(Block const& block, Run const& run) const {
    unsigned use = 0;
    for (unsigned query_use = 0;; ++query_use) {
      query_pipeline().wait_full(block, query_use);
      int const w = block.of_first_lane(block.template read<int>(work_place(query_use)));
      if (w >= order.size()) return;
      Work const work = this->work(w);
      run(work, query_use, use);
      use += unsigned(2 * work.n_tiles);
    }
  }

  /// The warps beside that: as many tiles of values as it copies.
  template <class Block>
  ATTN_FUNCTION void transpose(Block const& block, int thread) const {
    for_works(block, [&](Work const& work, unsigned query_use, unsigned use) {
      block.warp_barrier();  // all lanes know the work
      if (thread % 32 == 0) block.arrive(query_pipeline().empty(query_use));
      for (int t = 0; t < work.n_tiles; ++t) values().make(block, thread, use + unsigned(2 * t));
    });
  }

  /// The 64 rows of a warpgroup among the queries in a stage of their pipeline.
  using Rows = Panels<64, columns, element_bytes<F>>;
  static ATTN_FUNCTION Rows rows_of_group(unsigned use, int group) {
    return {query_pipeline().stage(use) + unsigned(group * 64 * TileShape::row_bytes)};
  }
  static ATTN_FUNCTION Panels<streamed, columns, element_bytes<F>> tile(unsigned use) {
    return {tile_pipeline().stage(use)};
  }

  /// The 64 rows of a warpgroup.
  template <class Block>
  ATTN_FUNCTION void attend(Block const& block, Work const& work, int group, unsigned query_use, unsigned use) const {
    Query const first{work.at.batch, work.first + 64 * group, size.queries, size.keys};
    WarpKeys const seen(mask, first, clamp_to(size.queries - first.index, 0, 64));
    bool const any = seen.some.begin < seen.some.end;
    int const begin = any ? (seen.some.begin - work.keys.begin) / streamed : 0;
    int const end = any ? tiles_of(seen.some.end - work.keys.begin, streamed) : 0;
    Row const row{mask.length(work.at.batch, size.keys), work.at.head};
    auto const weigh = weights_of_products<F>(a, row, score_scale);
    HeadDropout<float, Dropout> const drop(dropout, Index(work.at.batch) * size.heads + work.at.head);
    Query warp_query = first;
    warp_query.index += block.thread() % warpgroup / 32 * 16;
    auto const own_rows = left_operands<width>(block, rows_of_group(query_use, group));
    Tiles const tiles = tile_pipeline();
    Values const values = this->values();

    float s[n_tiles][4], sum[parts][1][part_tiles][4];
    Registers<F, 4> weights[streamed * element_bytes<F> / 32];
    Stats stats[2];
    float factor[2];
    auto const use_of = [&](int t) { return use + unsigned(2 * t); };
    auto const release = [&](unsigned barrier) {
      if (block.thread() % 32 == 0) block.arrive(barrier);
    };
    // One turn for each tile of the block, also of those that these rows do not see. The first warpgroup begins.
    auto const take_turn = [&](int t) {
      if constexpr (takes_turns) block.wait(turn_of(group), (use / 2 + unsigned(t) + (group == 0 ? 1 : 0)) % 2);
    };
    auto const pass_turn = [&] {
      int const next = group + 1 < TileShape::consumers ? group + 1 : 0;
      if (takes_turns && block.thread() % 32 == 0) block.arrive(turn_of(next));
    };
    auto const start_scores_of = [&](int t) {
      tiles.wait_full(block, use_of(t));
      block.begin_products();
      start_scores<F, width>(block, s, own_rows, tile(use_of(t)));
      block.commit_products();
    };
    auto const start_sums_of = [&](int t) {
      values.wait_full(block, use_of(t));
      block.begin_products();
      start_sums(block, sum, weights, values.tile(use_of(t)));
      block.commit_products();
    };
    auto const finish_sums_of = [&](int t) {
      ATTN_UNROLL
      for (int part = 0; part < parts; ++part) block.template wait_for_products<0>(sum[part][0]);
      release(values.empty(use_of(t)));
    };
    auto const activate = [&](int t) {
      release(tiles.empty(use_of(t)));
      int const k0 = work.keys.begin + t * streamed;
      bool const all_visible = seen.every(k0, streamed);
      ATTN_UNROLL
      for (int half = 0; half < 2; ++half) {
        RowScores<n_tiles, Block> const scores{block, s, half};
        Query const of_row = query_of(block, warp_query, half);
        factor[half] = take_weights(a, weigh, row, mask, of_row, k0, all_visible, score_scale, scores, stats[half]);
        drop_weights(drop, scores, of_row.index, k0);
      }
    };
    auto const skip = [&](int from, int to) {
      for (int t = from; t < to; ++t) {
        tiles.wait_full(block, use_of(t));
        release(tiles.empty(use_of(t)));
        values.wait_full(block, use_of(t));
        release(values.empty(use_of(t)));
        take_turn(t);
        pass_turn();
      }
    };

    ATTN_UNROLL
    for (int part = 0; part < parts; ++part) set_zero(sum[part]);
    skip(0, begin);
    if (any) {
      take_turn(begin);
      start_scores_of(begin);
      pass_turn();
      block.template wait_for_products<0>(s);
      activate(begin);
      take_operand<F>(weights, s);
      for (int t = begin + 1; t < end; ++t) {
        take_turn(t);
        start_scores_of(t);
        start_sums_of(t - 1);
        pass_turn();
        block.template wait_for_products<1>(s);
        activate(t);
        finish_sums_of(t - 1);
        if constexpr (RowActivation<A, float>) {
          ATTN_UNROLL
          for (int i = 0; i < 2 * parts; ++i) scale_row(sum[i / 2][0], i % 2, factor[i % 2]);
        }
        take_operand<F>(weights, s);
      }
      start_sums_of(end - 1);
      finish_sums_of(end - 1);
    }
    skip(end, work.n_tiles);
    store(block, work, group, query_use, warp_query, sum, stats, weigh);
  }

  /// The result goes to the stage that held the warpgroup's queries, and from there to memory.
  template <class Block, class Weigh>
  ATTN_FUNCTION void store(Block const& block, Work const& work, int group, unsigned query_use, Query const& warp_query,
                           float const (&sum)[parts][1][part_tiles][4], Stats const (&stats)[2],
                           Weigh const& weigh) const {
    Rows const rows = rows_of_group(query_use, group);
    Index const head_row = (Index(work.at.batch) * size.heads + work.at.head) * size.queries;
    float factor[2];
    ATTN_UNROLL
    for (int half = 0; half < 2; ++half) {
      factor[half] = finish_row(block, a, weigh, mask, stats[half], query_of(block, warp_query, half), saved, head_row);
    }
    float const kept = HeadDropout<float, Dropout>(dropout, 0).factor;
    put_panels<F>(block, sum, rows, [&](int half) { return factor[half] * kept; });
    block.publish_writes();
    block.group_barrier(group);
    if (block.thread() % warpgroup == 0) {
      store_panels<panels>(block, out, {0, work.first + 64 * group, work.at.head, work.at.batch}, rows);
      block.wait_for_stores();
      block.arrive(query_pipeline().empty(query_use));
    }
  }
};

}  // namespace attn::detail::cuda
