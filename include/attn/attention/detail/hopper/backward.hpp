/// The backward kernels for Hopper: input gradients of queries, and of keys and values (cuda/gradients.hpp); or of all.
///
/// Persistent and warp-specialised as the forward kernel is: one warp copies, and each other warpgroup has 64 own rows.
/// Another warp plans which tiles are copied (tile_plan.hpp). A warpgroup has the two products of a tile and the sums
/// of the tile before made together, and turns the former into weights and gradients of scores while the latter go on.
/// Of tf32, own rows stay in registers, and more warps transpose what sums take (transposed.hpp).
#pragma once

#include "attn/attention/detail/hopper/backward_places.hpp"
#include "attn/attention/detail/hopper/forward.hpp"
#include "attn/attention/detail/hopper/parameter_parts.hpp"

namespace attn::detail::cuda {

/// Results: d_q, or d_k and d_v, or one of these, or all three. `Map`: what TMA knows of a tensor, in boxes of 64 rows
/// of a panel, or `streamed`.
template <Format F, int width, class TileShape, Part part, class Inputs, class Map>
struct HopperGradient {
  using Rows = Gradients<part, 1, TileShape::streamed, Inputs>;
  using A = typename Rows::A;
  using Shape = TileShape;
  using Places = HopperGradientPlaces<F, width, TileShape, part, Rows, Map>;
  static constexpr bool has_first = Places::has_first, has_second = Places::has_second;
  static constexpr int own = TileShape::own, streamed = TileShape::streamed, n_tiles = streamed / 8,
                       panels = width / Places::columns;
  static constexpr int part_tiles = width < 128 ? width / 8 : 16, parts = width / 8 / part_tiles;
  static constexpr unsigned shared_bytes = Places::shared_bytes;
  using Sums = typename Places::Sums;
  using Summed = typename Places::Summed;
  using Plan = typename Places::Plan;
  using Sum = float[parts][1][part_tiles][4];
  using Left = Registers<F, 4>[streamed * element_bytes<F> / 32];
  /// Whether registers hold the next tile's scores beside the operands of this one's sums, of which tf32 takes as many.
  static constexpr bool overlaps = !(has_first && has_second) || (is_narrow<F> && width <= 64);

  Rows rows;
  Map own_first, own_second, streamed_first, streamed_second, d_first, d_second;
  WorkOrder order;
  unsigned* counter;  ///< see WorkSource
  Sums sums = {};     ///< where all gradients are made

  template <class Block>
  ATTN_FUNCTION void operator()(Block const& block) const {
    if (block.thread() == 0) {
      constexpr int transposing = Summed::warps, multiplying = 4 * TileShape::consumers;
      Places::own_pipeline().init(
          block, 1, TileShape::consumers + Sums::readers + Places::word_warps + Plan::warps + transposing);
      if constexpr (Rows::makes_all) Sums::init(block, Places::sums_place());
      Places::tile_pipeline().init(block, 1 + (Rows::streams_facts ? 32 : 0) + Places::word_warps,
                                   multiplying + Sums::plan_readers + transposing);
      Places::plan().init(block);
      Places::summed_tiles().init(block);
      block.init_barrier(Places::landed, 1);
      block.publish_barriers();
    }
    block.barrier();
    if (int const group = block.group(); group == Shape::warps / 4 - 1) {
      block.template give_registers<Shape::producer_registers>();
      int const warp = block.thread() % warpgroup / 32;
      constexpr int of_plan = 1, of_words = of_plan + Plan::warps, of_turns = of_words + Places::word_warps;
      if (warp == 0) {
        produce(block);
      } else if (Plan::is_planned && warp == of_plan) {
        if constexpr (Plan::is_planned) plan(block);
      } else if (Rows::streams_words && warp == of_words) {
        if constexpr (Rows::streams_words) give_words(block);
      } else if (Rows::makes_all && warp == of_turns) {
        if constexpr (Rows::makes_all) give_turns(block);
      } else if constexpr (Places::transposes) {
        transpose(block, block.thread() % warpgroup - (warpgroup - Summed::threads));
      }
    } else if (group < TileShape::consumers) {
      block.template take_registers<Shape::consumer_registers>();
      for_works(block, [&](Work const& work, unsigned own_use, unsigned use) {
        return consume(block, work, group, own_use, use);
      });
    } else if constexpr (Rows::makes_all) {
      block.template give_registers<Shape::adder_registers>();
      constexpr int adder = TileShape::consumers;
      for_works(block, [&](Work const& work, unsigned own_use, unsigned use) {
        Sums::take_keys(block, Places::sums_place(), adder, Places::rows_of_group(own_use, 0, 0));
        if (block.thread() % warpgroup == 0) block.arrive(Places::own_pipeline().empty(own_use));
        return sums.add(block, Places::sums_place(), adder, rows, work, Places::plan(), use, use_of_sums(use, own_use));
      });
    }
  }

 private:
  ATTN_FUNCTION auto const& own_tensor() const { return rows.own_first(); }
  ATTN_FUNCTION int heads() const { return int(own_tensor().extent(1)); }
  ATTN_FUNCTION int own_rows() const { return int(own_tensor().extent(2)); }

  /// The sums of queries have no use for the ends of works, of which there were as many as works before.
  static ATTN_FUNCTION unsigned use_of_sums(unsigned use, unsigned own_use) { return use - own_use; }

  /// A tile of own rows of a head. Causal masks make late queries and early keys dear: start with them.
  struct Work {
    TeamPlace at;
    int first, count;

    ATTN_FUNCTION Work(HopperGradient const& g, int index)
        : at(g.order.place(index, g.heads())),
          first((Rows::of_queries ? tiles_of(g.own_rows(), own) - 1 - at.tile : at.tile) * own),
          count(g.own_rows() - first < own ? g.own_rows() - first : own) {}
  };

  /// Calls run(work, number of its use of own places, of the first use of those of tiles) for each work of the block,
  /// by threads of a warp at least; it returns the number of the next use of those of tiles.
  template <class Block, class Run>
  ATTN_FUNCTION void for_works(Block const& block, Run const& run) const {
    for_works(
        block, [&](unsigned own_use) { Places::own_pipeline().wait_full(block, own_use); }, run);
  }
  /// The same once wait(number of its use of own places) has returned for it.
  template <class Block, class Wait, class Run>
  ATTN_FUNCTION void for_works(Block const& block, Wait const& wait, Run const& run) const {
    unsigned use = 0;
    for (unsigned own_use = 0;; ++own_use) {
      wait(own_use);
      int const w = block.of_first_lane(block.template read<int>(Places::work_place));
      if (w >= order.size()) return;
      use = run(Work(*this, w), own_use, use);
    }
  }

  /// By a warp beside those that multiply: run(work, number of its use, tile, number of its use) for each tile of the
  /// block, and then it arrives at barrier(number of its use).
  template <class Block, class Barrier, class Run>
  ATTN_FUNCTION void for_tiles(Block const& block, Barrier const& barrier, Run const& run) const {
    auto const tiles = Places::plan();
    auto const arrive = [&](unsigned use) {
      block.warp_barrier();  // all lanes are done
      if (block.thread() % 32 == 0) block.arrive(barrier(use));
    };
    for_works(block, [&](Work const& work, unsigned own_use, unsigned use) {
      release_own(block, own_use);
      tiles.wait(block, use);
      Streamed tile = tiles.first(block, rows, work, use);
      while (tile.count > 0) {
        run(work, own_use, tile, use);
        arrive(use++);
        tiles.wait(block, use);
        tile = tiles.next(block, rows, work, tile, use);
      }
      if constexpr (Plan::is_planned) arrive(use++);
      return use;
    });
  }
  /// By a warp that needs of own rows only what they are.
  template <class Block>
  ATTN_FUNCTION void release_own(Block const& block, unsigned own_use) const {
    block.warp_barrier();  // all lanes know the work
    if (block.thread() % 32 == 0) block.arrive(Places::own_pipeline().empty(own_use));
  }

  /// By a warp: which tiles there are, as soon as a work is known.
  template <class Block>
  ATTN_FUNCTION void plan(Block const& block) const {
    auto const plan = Places::plan();
    for_works(
        block, [&](unsigned own_use) { plan.wait_for_work(block, own_use); },
        [&](Work const& work, unsigned own_use, unsigned use) {
          release_own(block, own_use);
          return plan.make(block, rows, work, use);
        });
  }
  /// By a warp: the words that weights are drawn from. The copying warp has no registers for that.
  template <class Block>
  ATTN_FUNCTION void give_words(Block const& block) const {
    auto const tiles = Places::tile_pipeline();
    for_tiles(
        block, [&](unsigned use) { return tiles.full(use); },
        [&](Work const& work, unsigned, Streamed const& tile, unsigned use) {
          Places::plan().wait_empty(block, use);
          rows.put_words(block, Places::facts(use), work.at.batch, tile, block.thread() % 32, 32);
        });
  }
  /// By a warp: turns to add to sums of queries.
  template <class Block>
  ATTN_FUNCTION void give_turns(Block const& block) const {
    auto const tiles = Places::tile_pipeline();
    for_tiles(
        block, [&](unsigned use) { return tiles.empty(use); },
        [&](Work const& work, unsigned own_use, Streamed const& tile, unsigned use) {
          KeyRange const seen = Places::plan().seen(block, use).some;
          sums.give_turn(block, Places::sums_place(), rows, work, tile, seen, use_of_sums(use, own_use));
        });
  }
  /// By some warps: the tiles that sums take.
  template <class Block>
  ATTN_FUNCTION void transpose(Block const& block, int thread) const {
    auto const tiles = Places::tile_pipeline();
    for_tiles(
        block, [&](unsigned use) { return tiles.empty(use); },
        [&](Work const&, unsigned, Streamed const&, unsigned use) {
          tiles.wait_full(block, use);
          Places::summed_tiles().make(block, thread, Places::tile(use, 0), use);
        });
  }

  template <class Block>
  ATTN_FUNCTION void produce(Block const& block) const {
    bool const issues = block.thread() % 32 == 0;
    auto const own_stages = Places::own_pipeline();
    auto const tiles = Places::tile_pipeline();
    auto const plan = Places::plan();
    unsigned use = 0, own_use = 0, cuts = 0;
    WorkSource<Rows::makes_all> source(block, order, counter);
    for (;; ++own_use, source.take_next(block)) {
      own_stages.wait_empty(block, own_use);
      if (issues) {
        block.write(Places::work_place, source.work());
        plan.tell_work(block);
      }
      if (source.is_over()) break;
      Work const work(*this, source.work());
      source.ask(block, own_use + 1);
      if (issues) {
        unsigned const full = own_stages.full(own_use);
        block.arrive_expecting(full, 2 * TileShape::own_bytes);
        for (int g = 0; g < TileShape::consumers; ++g) {
          BoxPlace const place{0, work.first + 64 * g, work.at.head, work.at.batch};
          load_panels<panels>(block, own_first, Places::rows_of_group(own_use, 0, g), place, full);
          load_panels<panels>(block, own_second, Places::rows_of_group(own_use, 1, g), place, full);
        }
      }
      plan.wait(block, use);
      Streamed tile = plan.first(block, rows, work, use);
      auto const take_next = [&] {
        plan.wait(block, ++use);
        tile = plan.next(block, rows, work, tile, use);
      };
      for (; tile.count > 0; take_next()) {
        plan.wait_empty(block, use);
        bool const is_cut = plan.is_cut(block, rows, work, tile, use);
        if constexpr (Plan::is_planned) block.warp_barrier();  // all lanes have read
        unsigned const full = tiles.full(use), barrier = is_cut ? Places::landed : full;
        if (issues) {
          BoxPlace const place{0, tile.first, tile.head, work.at.batch};
          block.arrive_expecting(barrier, 2 * TileShape::streamed_bytes);
          load_panels<panels>(block, streamed_first, Places::tile(use, 0), place, barrier);
          load_panels<panels>(block, streamed_second, Places::tile(use, 1), place, barrier);
        }
        if constexpr (Rows::streams_facts) load_facts(block, work.at.batch, tile, use);
        if (is_cut) {
          clear_marks(block, use);
          block.wait(Places::landed, cuts++ % 2);
          take_out_what_is_not_finite(block, use);
          block.publish_writes();
          block.warp_barrier();
          if (issues) block.arrive(full);
        }
      }
      if constexpr (Plan::is_planned) {  // no tile
        block.warp_barrier();
        if (issues) block.arrive(tiles.full(use));
        if constexpr (Rows::streams_facts) block.arrive_with_words(tiles.full(use));
        ++use;
      }
    }
    if (issues) block.arrive(own_stages.full(own_use));
    source.finish(block);
  }
  /// By the lanes of a warp: starts to copy the facts of queries, each of which arrives when its words do.
  template <class Block>
  ATTN_FUNCTION void load_facts(Block const& block, int batch, Streamed const& tile, unsigned use) const {
    ATTN_ROLLED  // the warp that copies has few registers
        for (int row = block.thread() % 32; row < streamed; row += 32) {
      bool const is_there = row < tile.count;
      ATTN_UNROLL
      for (int word = 0; word < Rows::fact_words; word += Rows::piece_words) {
        constexpr int bytes = 4 * Rows::piece_words;
        block.template copy_word<bytes>(Rows::facts_place(Places::facts(use), row) + unsigned(4 * word),
                                        rows.fact(batch, tile, is_there ? row : 0, word), is_there ? bytes : 0);
      }
    }
    block.arrive_with_words(Places::tile_pipeline().full(use));
  }
  template <class Block>
  ATTN_FUNCTION void clear_marks(Block const& block, unsigned use) const {
    if constexpr (Rows::marks_queries) {
      ATTN_UNROLL
      for (int i = 0; i < streamed; i += 32) {
        block.write(Rows::mark_place(Places::facts(use), i + block.thread() % 32), 0.0f);
      }
      block.warp_barrier();
    }
  }
  /// By a warp: of a tile that a mask cuts, in what sums take.
  template <class Block>
  ATTN_FUNCTION void take_out_what_is_not_finite(Block const& block, unsigned use) const {
    int const lane = block.thread() % 32;
    constexpr int chunks = TileShape::row_bytes / 16;
    auto const tile1 = Places::tile(use, 0), tile2 = Places::tile(use, 1);
    if constexpr (has_first && has_second) {
      make_both_finite<F, streamed, chunks, 32>(block, lane, tile1, tile2,
                                                [&](int row) { return Rows::mark_place(Places::facts(use), row); });
    } else if constexpr (has_first) {
      make_finite<F, streamed, chunks, 32>(block, lane, tile1, tile2);
    } else {
      make_finite<F, streamed, chunks, 32>(block, lane, tile2, tile1);
    }
  }

  /// The 64 rows of a warpgroup. Returns the number of the next use of the pipeline.
  template <class Block>
  ATTN_FUNCTION unsigned consume(Block const& block, Work const& work, int group, unsigned own_use,
                                 unsigned use) const {
    auto const tiles = Places::tile_pipeline();
    auto const plan = Places::plan();
    auto const summed = Places::summed_tiles();
    int const first = work.first + 64 * group;
    auto const own_row = [&] { return plan.own_row(block, first); };
    auto const own1 = left_operands<width>(block, Places::rows_of_group(own_use, 0, group)),
               own2 = left_operands<width>(block, Places::rows_of_group(own_use, 1, group));

    typename Rows::OwnFacts own_facts;
    if constexpr (Rows::finds_facts) rows.find_facts(block, work.at, own_row(), own_facts);
    Sum sum1, sum2;
    Left left1, left2;
    float s[1][n_tiles][4], y[1][n_tiles][4];
    Kokkos::Array<float, Rows::n_parameters> d_parameters{};
    if constexpr (!has_first) set_zero(y);
    ATTN_UNROLL
    for (int p = 0; p < parts; ++p) {
      if constexpr (has_first) set_zero(sum1[p]);
      if constexpr (has_second) set_zero(sum2[p]);
    }
    auto const release = [&](unsigned barrier) {
      if constexpr (Rows::words > 0 || Plan::is_planned) block.warp_barrier();  // each lane has read some
      if (block.thread() % 32 == 0) block.arrive(barrier);
    };
    auto const start_scores_of = [&](unsigned i) {
      block.begin_products();
      start_scores<F, width>(block, s[0], own1, Places::tile(i, 0));
      if constexpr (has_first) start_scores<F, width>(block, y[0], own2, Places::tile(i, 1));
      block.commit_products();
    };
    // forward: s_ij = scale q_i.k_j, out_i += w_ij v_j; hence d_q_i += scale d_s_ij k_j, d_k_j += scale d_s_ij q_i,
    // d_v_j += w_ij d_out_i
    auto const start_sums_of = [&](unsigned i) {
      summed.wait_full(block, i);
      block.begin_products();
      if constexpr (has_first) start_sums<F>(block, sum1, left1, summed.tile(i, 0));
      if constexpr (has_second) start_sums<F>(block, sum2, left2, summed.tile(i, 1));
      block.commit_products();
    };
    auto const wait_for_sums = [&] {
      ATTN_UNROLL
      for (int p = 0; p < parts; ++p) {
        if constexpr (has_first) block.template wait_for_products<0>(sum1[p][0]);
        if constexpr (has_second) block.template wait_for_products<0>(sum2[p][0]);
      }
    };
    auto const of_score = rows.score(work.at);
    auto const take_gradients_of = [&](Streamed const& kept, unsigned i) {
      Streamed const tile = plan.again(block, kept, i);
      int const row = own_row();
      typename Rows::template Pair<16> const pair(rows.x, work.at, row, tile);
      bool const all_visible = plan.template every<16>(block, rows, work, row, tile, i),
                 is_cut = plan.is_cut(block, rows, work, tile, i);
      rows.take_gradients(block, of_score, pair, all_visible, is_cut, Places::facts(i), own_facts, s, y, d_parameters);
      for (int p = 0; p < Rows::n_parameters; ++p) block.settle(d_parameters[p]);
      if constexpr (Places::transposes) release(tiles.empty(i));  // sums take another one
    };
    auto const settle_operands = [&] {
      ATTN_UNROLL
      for (int i = 0; i < streamed * element_bytes<F> / 8; ++i) {
        if constexpr (has_first) block.settle(left1[i / 4].bits[i % 4]);
        if constexpr (has_second) block.settle(left2[i / 4].bits[i % 4]);
      }
    };
    // A plan is there when its tile is.
    auto const wait_for_plan = [&] {
      if constexpr (Plan::is_planned) tiles.wait_full(block, use);
    };
    auto const wait_for_tile = [&] {
      if constexpr (!Plan::is_planned) tiles.wait_full(block, use);
    };
    wait_for_plan();
    Streamed tile = plan.first(block, rows, work, use);
    auto const take_next = [&] {
      wait_for_plan();
      tile = plan.next(block, rows, work, tile, use);
    };
    auto const is_seen = [&] { return plan.template any<64>(block, rows, work, first, tile, use); };

    while (tile.count > 0) {
      wait_for_tile();
      if (!is_seen()) {
        if constexpr (Rows::makes_all) Sums::put_nothing(block, Places::sums_place(), use_of_sums(use, own_use));
        if constexpr (Places::transposes) {
          summed.wait_full(block, use);
          release(summed.empty(use));
        }
        release(tiles.empty(use++));
        take_next();
        continue;
      }
      start_scores_of(use);
      if constexpr (overlaps) block.commit_products();  // nothing, where below the sums of the tile before are
      for (unsigned before = use;;) {
        block.template wait_for_products<overlaps ? 1 : 0>(s[0]);
        if constexpr (has_first) block.template wait_for_products<overlaps ? 1 : 0>(y[0]);
        take_gradients_of(tile, use);
        if constexpr (overlaps) {
          wait_for_sums();  // also where there are none: ptxas wants to see that none is on its way
          if (before != use) release(summed.empty(before));
        }
        if constexpr (has_first) take_operand<F>(left1, y[0]);
        if constexpr (has_second) take_operand<F>(left2, s[0]);
        settle_operands();
        if constexpr (Rows::makes_all) Sums::put(block, Places::sums_place(), left1, use_of_sums(use, own_use));
        before = use++;
        take_next();
        if (!overlaps || !is_seen()) {
          start_sums_of(before);
          wait_for_sums();
          release(summed.empty(before));
          break;
        }
        wait_for_tile();
        start_scores_of(use);
        start_sums_of(before);
      }
    }
    if constexpr (Plan::is_planned) release(tiles.empty(use++));  // no tile
    if constexpr (Rows::makes_all) block.wait(Places::sums_place().taken(), own_use % 2);
    if constexpr (Rows::parameter_from_keys) put_part_of_keys<F>(block, rows, work.at, own_row(), own1, sum1);
    store(block, work, block.group(), own_use, sum1, sum2);  // one register less until here
    if constexpr (Rows::n_parameters > 0) put_parts_of_queries(block, rows, work.at, own_row(), d_parameters);
    return use;
  }

  /// The results go to the stage that held the warpgroup's rows, and from there to memory.
  template <class Block>
  ATTN_FUNCTION void store(Block const& block, Work const& work, int group, unsigned own_use, Sum const& sum1,
                           Sum const& sum2) const {
    auto const place1 = Places::rows_of_group(own_use, 0, group), place2 = Places::rows_of_group(own_use, 1, group);
    if constexpr (has_first) put_panels<F>(block, sum1, place1, [&](int) { return rows.gradient_factor(work.at); });
    if constexpr (has_second) put_panels<F>(block, sum2, place2, [&](int) { return rows.weight_factor(work.at); });
    block.publish_writes();
    block.group_barrier(group);
    if (block.thread() % warpgroup == 0) {
      BoxPlace const place{0, work.first + 64 * group, work.at.head, work.at.batch};
      if constexpr (has_first) store_panels<panels>(block, d_first, place, place1);
      if constexpr (has_second) store_panels<panels>(block, d_second, place, place2);
      block.wait_for_stores();
      block.arrive(Places::own_pipeline().empty(own_use));
    }
  }
};

}  // namespace attn::detail::cuda
