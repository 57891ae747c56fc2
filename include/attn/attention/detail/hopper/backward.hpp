/// The backward kernels for Hopper: input gradients of queries, and of keys and values (cuda/gradients.hpp); or of all.
///
/// Persistent and warp-specialised as the forward kernel is: one warp copies, and each other warpgroup has 64 own rows
/// (backward_roles.hpp). Here is how these multiply. A warpgroup has the two products of a tile and the sums of the
/// tile before made together, and turns the former into weights and gradients of scores while the latter go on. Of
/// tf32, own rows stay in registers, and other warps transpose what sums take.
#pragma once

#include "attn/attention/detail/hopper/backward_roles.hpp"
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
    Roles const roles{*this};
    if (block.thread() == 0) roles.init_barriers(block);
    block.barrier();
    roles.run(block, [&](Work const& work, int group, unsigned own_use, unsigned use) {
      return consume(block, work, group, own_use, use);
    });
  }

 private:
  using Roles = BackwardRoles<HopperGradient>;
  using Work = BackwardWork;

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
        if constexpr (Rows::makes_all) Sums::put_nothing(block, Places::sums_place(), Roles::use_of_sums(use, own_use));
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
        if constexpr (Rows::makes_all) Sums::put(block, Places::sums_place(), left1, Roles::use_of_sums(use, own_use));
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
