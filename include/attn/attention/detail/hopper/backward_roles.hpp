/// How a block of the backward kernels for Hopper is staffed: what each warp does, and how many each barrier counts.
///
///     warpgroups that multiply    64 own rows each (backward.hpp)
///     one that adds               parts of d_q, where one launch makes all gradients (query_sums.hpp)
///     the last warpgroup          one warp takes works and copies (backward_producer.hpp); beside it, where they are
///                                 wanted, one each plans tiles (tile_plan.hpp), finds the words that weights are drawn
///                                 from, and gives turns to add, or all three transpose tiles (transposed.hpp)
///
/// All go through the same works, and in each through the same tiles, and meet at the barriers of what they hand on.
#pragma once

#include "attn/attention/detail/hopper/backward_producer.hpp"

namespace attn::detail::cuda {

/// Of a HopperGradient `Kernel`.
template <class Kernel>
struct BackwardRoles {
  using Places = typename Kernel::Places;
  using Rows = typename Kernel::Rows;
  using Shape = typename Kernel::Shape;
  using Sums = typename Places::Sums;
  using Summed = typename Places::Summed;
  using Plan = typename Places::Plan;
  using Work = BackwardWork;

  Kernel const& kernel;

  /// By one thread, before all others go on.
  template <class Block>
  ATTN_FUNCTION void init_barriers(Block const& block) const {
    constexpr int transposing = Summed::warps, multiplying = 4 * Shape::consumers;
    Places::own_pipeline().init(block, 1,
                                Shape::consumers + Sums::readers + Places::word_warps + Plan::warps + transposing);
    if constexpr (Rows::makes_all) Sums::init(block, Places::sums_place());
    Places::tile_pipeline().init(block, 1 + (Rows::streams_facts ? 32 : 0) + Places::word_warps,
                                 multiplying + Sums::plan_readers + transposing);
    Places::plan().init(block);
    Places::summed_tiles().init(block);
    block.init_barrier(Places::landed, 1);
    block.publish_barriers();
  }

  /// Each thread does what it is there for. multiply(work, warpgroup, number of its use of own places, of the first use
  /// of those of tiles) returns the number of the next use of those.
  template <class Block, class Multiply>
  ATTN_FUNCTION void run(Block const& block, Multiply const& multiply) const {
    if (int const group = block.group(); group == Shape::warps / 4 - 1) {
      block.template give_registers<Shape::producer_registers>();
      stand_beside(block);
    } else if (group < Shape::consumers) {
      block.template take_registers<Shape::consumer_registers>();
      for_works(block,
                [&](Work const& work, unsigned own_use, unsigned use) { return multiply(work, group, own_use, use); });
    } else if constexpr (Rows::makes_all) {
      block.template give_registers<Shape::adder_registers>();
      add(block);
    }
  }

  /// The sums of queries have no use for the ends of works, of which there were as many as works before.
  static ATTN_FUNCTION unsigned use_of_sums(unsigned use, unsigned own_use) { return use - own_use; }

 private:
  template <class Block>
  ATTN_FUNCTION void stand_beside(Block const& block) const {
    int const warp = block.thread() % warpgroup / 32;
    constexpr int of_plan = 1, of_words = of_plan + Plan::warps, of_turns = of_words + Places::word_warps;
    if (warp == 0) {
      BackwardProducer<Kernel>{kernel}(block);
    } else if (Plan::is_planned && warp == of_plan) {
      if constexpr (Plan::is_planned) plan(block);
    } else if (Rows::streams_words && warp == of_words) {
      if constexpr (Rows::streams_words) give_words(block);
    } else if (Rows::makes_all && warp == of_turns) {
      if constexpr (Rows::makes_all) give_turns(block);
    } else if constexpr (Places::transposes) {
      transpose(block, block.thread() % warpgroup - (warpgroup - Summed::threads));
    }
  }

  /// By a warpgroup: the parts of d_q.
  template <class Block>
  ATTN_FUNCTION void add(Block const& block) const {
    constexpr int adder = Shape::consumers;
    for_works(block, [&](Work const& work, unsigned own_use, unsigned use) {
      Sums::take_keys(block, Places::sums_place(), adder, Places::rows_of_group(own_use, 0, 0));
      if (block.thread() % warpgroup == 0) block.arrive(Places::own_pipeline().empty(own_use));
      return kernel.sums.add(block, Places::sums_place(), adder, kernel.rows, work, Places::plan(), use,
                             use_of_sums(use, own_use));
    });
  }

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
      if (w >= kernel.order.size()) return;
      use = run(work_of(kernel, w), own_use, use);
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
      Streamed tile = tiles.first(block, kernel.rows, work, use);
      while (tile.count > 0) {
        run(work, own_use, tile, use);
        arrive(use++);
        tiles.wait(block, use);
        tile = tiles.next(block, kernel.rows, work, tile, use);
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
          return plan.make(block, kernel.rows, work, use);
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
          kernel.rows.put_words(block, Places::facts(use), work.at.batch, tile, block.thread() % 32, 32);
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
          kernel.sums.give_turn(block, Places::sums_place(), kernel.rows, work, tile, seen, use_of_sums(use, own_use));
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
};

}  // namespace attn::detail::cuda
