/// The producer of the backward kernels for Hopper: the warp that takes works, and copies own rows, the tiles that
/// stream past them, and the facts of streamed queries.
#pragma once

#include "attn/attention/detail/hopper/backward_places.hpp"
#include "attn/attention/detail/hopper/work_source.hpp"

namespace attn::detail::cuda {

/// A tile of own rows of a head. Causal masks make late queries and early keys dear: start with them.
struct BackwardWork {
  TeamPlace at;
  int first, count;
};
/// Work `index` of a HopperGradient `Kernel`.
template <class Kernel>
ATTN_FUNCTION BackwardWork work_of(Kernel const& kernel, int index) {
  constexpr int own = Kernel::Shape::own;
  auto const& rows = kernel.rows.own_first();
  int const n = int(rows.extent(2));
  TeamPlace const at = kernel.order.place(index, int(rows.extent(1)));
  int const first = (Kernel::Rows::of_queries ? tiles_of(n, own) - 1 - at.tile : at.tile) * own;
  return {at, first, n - first < own ? n - first : own};
}

/// By a warp of a block of a HopperGradient `Kernel`.
template <class Kernel>
struct BackwardProducer {
  using Places = typename Kernel::Places;
  using Rows = typename Kernel::Rows;
  using Shape = typename Kernel::Shape;
  using Plan = typename Places::Plan;
  using Work = BackwardWork;
  static constexpr int streamed = Shape::streamed;

  Kernel const& kernel;

  template <class Block>
  ATTN_FUNCTION void operator()(Block const& block) const {
    bool const issues = block.thread() % 32 == 0;
    auto const own_stages = Places::own_pipeline();
    auto const tiles = Places::tile_pipeline();
    auto const plan = Places::plan();
    unsigned use = 0, own_use = 0, cuts = 0;
    WorkSource<Rows::makes_all> source(block, kernel.order, kernel.counter);
    for (;; ++own_use, source.take_next(block)) {
      own_stages.wait_empty(block, own_use);
      if (issues) {
        block.write(Places::work_place, source.work());
        plan.tell_work(block);
      }
      if (source.is_over()) break;
      Work const work = work_of(kernel, source.work());
      source.ask(block, own_use + 1);
      if (issues) {
        unsigned const full = own_stages.full(own_use);
        block.arrive_expecting(full, 2 * Shape::own_bytes);
        for (int g = 0; g < Shape::consumers; ++g) {
          BoxPlace const place{0, work.first + 64 * g, work.at.head, work.at.batch};
          load_panels<Kernel::panels>(block, kernel.own_first, Places::rows_of_group(own_use, 0, g), place, full);
          load_panels<Kernel::panels>(block, kernel.own_second, Places::rows_of_group(own_use, 1, g), place, full);
        }
      }
      plan.wait(block, use);
      Streamed tile = plan.first(block, kernel.rows, work, use);
      auto const take_next = [&] {
        plan.wait(block, ++use);
        tile = plan.next(block, kernel.rows, work, tile, use);
      };
      for (; tile.count > 0; take_next()) {
        plan.wait_empty(block, use);
        bool const is_cut = plan.is_cut(block, kernel.rows, work, tile, use);
        if constexpr (Plan::is_planned) block.warp_barrier();  // all lanes have read
        unsigned const full = tiles.full(use), barrier = is_cut ? Places::landed : full;
        if (issues) {
          BoxPlace const place{0, tile.first, tile.head, work.at.batch};
          block.arrive_expecting(barrier, 2 * Shape::streamed_bytes);
          load_panels<Kernel::panels>(block, kernel.streamed_first, Places::tile(use, 0), place, barrier);
          load_panels<Kernel::panels>(block, kernel.streamed_second, Places::tile(use, 1), place, barrier);
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

 private:
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
                                        kernel.rows.fact(batch, tile, is_there ? row : 0, word), is_there ? bytes : 0);
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
    constexpr int chunks = Shape::row_bytes / 16;
    auto const tile1 = Places::tile(use, 0), tile2 = Places::tile(use, 1);
    if constexpr (Places::has_first && Places::has_second) {
      make_both_finite<Places::format, streamed, chunks, 32>(
          block, lane, tile1, tile2, [&](int row) { return Rows::mark_place(Places::facts(use), row); });
    } else if constexpr (Places::has_first) {
      make_finite<Places::format, streamed, chunks, 32>(block, lane, tile1, tile2);
    } else {
      make_finite<Places::format, streamed, chunks, 32>(block, lane, tile2, tile1);
    }
  }
};

}  // namespace attn::detail::cuda
