/// One pass for all gradients: how blocks that own keys add to the gradients of queries, with the same bits in each
/// run.
///
/// Beside d_k and d_v of its keys, a block makes its part of d_q = d_s k for each tile of queries that it streams. A
/// warpgroup of its own does that, and adds the parts of all blocks of a head to sums in fp32, in the order of the
/// blocks' keys:
///
///     multiplying warpgroups     d_s^T of 64 keys each -> shared memory
///     this warpgroup             part = d_s k                part = ...
///                                wait for the turn, add      ...          tell that it is done
///     a warp beside the copying  hear that the block of the keys before is done, give the turn
///
/// The first block of a sum stores its part, the last takes the sum and writes d_q: nobody clears or converts. A block
/// waits for those of earlier keys alone, and these were begun before (`WorkSource`): none waits for ever. What is told
/// of a tile is told while the products of the next are on their way, since telling waits until memory has added.
#pragma once

#include "attn/attention/detail/cuda/gradients.hpp"
#include "attn/attention/detail/hopper/tile_plan.hpp"

namespace attn::detail::cuda {

/// Two warpgroups have the sums of keys and values, the third those of queries, and one behind them copies.
struct HopperOnePassThreads {
  static constexpr int consumers = 2, threads = warpgroup * 4, warps = threads / 32;
  static constexpr int producer_registers = 32, adder_registers = 64, consumer_registers = 208;
};

/// The first and the last tile of `own` keys of which some queries see some; none where `last` is before `first`.
struct KeyTiles {
  int first = 0, last = -1;

  /// Of those that see the keys `seen` of `n_keys`.
  ATTN_FUNCTION KeyTiles(KeyRange seen, int n_keys, int own) {
    if (seen.end <= 0 || seen.begin >= n_keys) return;
    first = seen.begin / own;
    last = (seen.end - 1) / own;
  }
};

/// What a launch without sums of queries has in their place.
struct NoQuerySums {
  static constexpr int all_bytes = 0, barrier_bytes = 0, readers = 0, plan_readers = 0;
};

/// Of a block with `own` keys, 64 for each multiplying warpgroup, past which tiles of 64 queries stream.
template <Format F, int own, class Rows, class Map>
struct QuerySums {
  static constexpr int streamed = 64, groups = own / 64, tile_bytes = 64 * 64 * 2;
  /// Gradients of scores, (64 keys, 64 queries) for each warpgroup.
  using Scores = Pipeline<2, groups * tile_bytes>;
  static constexpr int result_start = Scores::all_bytes, keys_start = result_start + tile_bytes,
                       all_bytes = keys_start + groups * tile_bytes;
  static constexpr int barrier_bytes = Scores::barrier_bytes + 3 * 8;
  /// Of own rows this warpgroup and the warp that gives turns; of what is planned of tiles their warps.
  static constexpr int readers = 2, plan_readers = 4 + 1;

  Map d_q;
  float* sums;       ///< (B, H, tiles, 64 x 64), in the order in which a warpgroup's registers hold them
  unsigned* counts;  ///< (B, H, tiles): behind the tile of keys whose block added last; zero before and after

  /// Shared memory from `start` and `barriers` on.
  struct Place {
    unsigned start, barriers;

    ATTN_FUNCTION Scores scores() const { return {start, barriers}; }
    ATTN_FUNCTION Panels<64> result() const { return {start + unsigned(result_start)}; }
    ATTN_FUNCTION Panels<own> keys() const { return {start + unsigned(keys_start)}; }  // tiles of 64 rows in a row
    ATTN_FUNCTION unsigned turn(unsigned use) const { return barriers + unsigned(Scores::barrier_bytes) + use % 2 * 8; }
    /// Says that a work's keys were taken.
    ATTN_FUNCTION unsigned taken() const { return turn(0) + 16; }
  };

  template <class Block>
  static ATTN_FUNCTION void init(Block const& block, Place const& place) {
    place.scores().init(block, 4 * groups, 4);
    for (unsigned use = 0; use < 2; ++use) block.init_barrier(place.turn(use), 1);
    block.init_barrier(place.taken(), 1);
  }

  /// By a warpgroup that multiplies: gradients of scores, the left operand of d_k, become one of d_q.
  template <class Block>
  static ATTN_FUNCTION void put(Block const& block, Place const& place, Registers<F, 4> const (&d_s)[streamed / 16],
                                unsigned use) {
    place.scores().wait_empty(block, use);
    int const thread = block.anew(block.thread()), lane = thread % 32, row = thread / 32 * 16 + lane / 4;
    Panels<own> const to{place.scores().stage(use)};
    ATTN_UNROLL
    for (int i = 0; i < streamed / 4; ++i) {
      block.write(to.chunk(row + i % 2 * 8, i / 2) + unsigned(4 * (lane % 4)), d_s[i / 4].bits[i % 4]);
    }
    block.publish_writes();
    block.warp_barrier();
    if (lane == 0) block.arrive(place.scores().full(use));
  }
  /// The same where it sees nothing of the tile: products that depend on masks would not run asynchronously.
  template <class Block>
  static ATTN_FUNCTION void put_nothing(Block const& block, Place const& place, unsigned use) {
    Registers<F, 4> const nothing[streamed / 16] = {};
    put(block, place, nothing, use);
  }

  /// By a warp: waits for the turn of a tile, of which some queries see the keys `seen`, of a work.
  template <class Block, class Work>
  ATTN_FUNCTION void give_turn(Block const& block, Place const& place, Rows const& rows, Work const& work,
                               Streamed const& tile, KeyRange seen, unsigned use) const {
    if (block.thread() % 32 != 0) return;
    place.scores().wait_empty(block, use);  // the turn of the tile before the last was taken
    if (key_tiles(rows, seen).first < work.at.tile) {
      block.hear(counts + number(rows, work.at.batch, tile), unsigned(work.at.tile));
    }
    block.arrive(place.turn(use));
  }

  /// By a warpgroup, number `group`: takes a copy of the keys of a work, whose place is free then for results. Sums
  /// take keys that a mask hides with a weight of zero, and zero times a NaN is none: the copy has no such numbers.
  template <class Block>
  static ATTN_FUNCTION void take_keys(Block const& block, Place const& place, int group, Panels<64> keys) {
    ATTN_ROLLED
    for (int i = block.thread() % warpgroup * 16; i < groups * tile_bytes; i += warpgroup * 16) {
      Chunk numbers = block.template read<Chunk>(keys.start + unsigned(i));
      if constexpr (hides_keys<decltype(Rows::x.mask)>) {
        ATTN_UNROLL
        for (int w = 0; w < 4; ++w) make_finite<F>(numbers.words[w]);
      }
      block.write(place.keys().start + unsigned(i), numbers);
    }
    block.publish_writes();
    block.group_barrier(group);
    if (block.thread() % warpgroup == 0) block.arrive(place.taken());
  }

  /// By the same: the parts of a work, whose tiles are planned from use `tile_use` of theirs on. Returns the number of
  /// the next use of those.
  template <class Block, class Work, class Plan>
  ATTN_FUNCTION unsigned add(Block const& block, Place const& place, int group, Rows const& rows, Work const& work,
                             Plan const& plan, unsigned tile_use, unsigned use) const {
    if constexpr (hides_keys<decltype(Rows::x.mask)>) {
      if (work.at.tile == 0) clear_unseen(block, place, group, rows, work);
    }
    int added = -1;  // the tile of the last part
    auto const tell = [&] {
      if (added < 0) return;
      block.group_barrier(group);
      if (block.thread() % warpgroup == 0) block.tell(counts + added, unsigned(work.at.tile + 1));
      added = -1;
    };
    auto const release = [&] {
      block.warp_barrier();  // all lanes have read
      if (block.thread() % 32 == 0) block.arrive(plan.tiles.empty(tile_use));
      ++tile_use;
    };
    auto const tile_there = [&] {
      plan.wait(block, tile_use);
      return plan.tile(block, tile_use).count > 0;
    };
    for (; tile_there(); release(), ++use) {
      float part[1][1][8][4];
      place.scores().wait_full(block, use);
      block.begin_products();
      Panels<own> const d_s{place.scores().stage(use)}, k = place.keys();
      ATTN_UNROLL
      for (int step = 0; step < own / 16; ++step) {
        block.template multiply_transposed<F>(part[0][0], d_s.rows_of(block, step, 0), k.rows_of(block, step, 0),
                                              step > 0);
      }
      block.commit_products();
      tell();
      block.template wait_for_products<0>(part[0][0]);
      Streamed const tile = plan.tile(block, tile_use);
      KeyTiles const all = key_tiles(rows, plan.seen(block, tile_use).some);
      bool const is_first = work.at.tile == all.first;
      int const n = number(rows, work.at.batch, tile);
      block.wait(place.turn(use), use / 2 % 2);
      if (block.thread() % 32 == 0) block.arrive(place.scores().empty(use));
      if (work.at.tile < all.last) {
        ATTN_UNROLL
        for (int i = 0; i < 8; ++i) {
          float* const to = pieces_of_sum(block, n) + i * piece_step;
          is_first ? block.write_four(to, part[0][0][i]) : block.add_four(to, part[0][0][i]);
        }
        added = n;
      } else {
        if (!is_first) {
          add_sum(block, n, part);
          if (block.thread() % warpgroup == 0) counts[n] = 0;  // for the next kernel
        }
        store(block, place, group, work.at.batch, tile, part, rows.gradient_factor(work.at));
      }
    }
    release();
    tell();
    block.group_barrier(group);  // nobody reads keys any more
    return tile_use;
  }

 private:
  static ATTN_FUNCTION KeyTiles key_tiles(Rows const& rows, KeyRange seen) {
    return {seen, int(rows.x.k.extent(2)), own};
  }
  static ATTN_FUNCTION int number(Rows const& rows, int batch, Streamed const& tile) {
    int const head = batch * int(rows.x.q.extent(1)) + tile.head;
    return head * tiles_of(rows.x.q.extent(2), streamed) + tile.first / streamed;
  }

  /// Where the first four numbers of the thread's part lie in the sum of tile n; the next lie `piece_step` behind.
  static constexpr int piece_step = 4 * warpgroup;
  template <class Block>
  ATTN_FUNCTION float* pieces_of_sum(Block const& block, int n) const {
    return sums + Index(n) * (64 * 64) + 4 * block.anew(block.thread() % warpgroup);
  }
  /// Adds a sum to a part, one quarter after the other: registers are few.
  template <class Block>
  ATTN_FUNCTION void add_sum(Block const& block, int n, float (&part)[1][1][8][4]) const {
    ATTN_UNROLL
    for (int i = 0; i < 8; i += 2) {
      float sum[2][4];
      block.read_four(pieces_of_sum(block, n) + i * piece_step, sum[0]);
      block.read_four(pieces_of_sum(block, n) + (i + 1) * piece_step, sum[1]);
      ATTN_UNROLL
      for (int j = 0; j < 8; ++j) {
        part[0][0][i + j / 4][j % 4] += sum[j / 4][j % 4];
        block.settle(part[0][0][i + j / 4][j % 4]);
      }
    }
  }

  template <class Block>
  ATTN_FUNCTION void store(Block const& block, Place const& place, int group, int batch, Streamed const& tile,
                           float const (&sum)[1][1][8][4], float factor) const {
    block.group_barrier(group);  // what lay there is stored
    put_panels<F>(block, sum, place.result(), [&](int) { return factor; });
    block.publish_writes();
    block.group_barrier(group);
    if (block.thread() % warpgroup != 0) return;
    store_panels<1>(block, d_q, {0, tile.first, tile.head, batch}, place.result());
    block.wait_for_stores();
  }

  /// The gradients of queries that see no key.
  template <class Block, class Work>
  ATTN_FUNCTION void clear_unseen(Block const& block, Place const& place, int group, Rows const& rows,
                                  Work const& work) const {
    int const n = int(rows.x.q.extent(2)), heads = rows.group();
    float zero[1][1][8][4];
    set_zero(zero[0]);
    for (int i = 0; i < heads * tiles_of(n, streamed); ++i) {
      int const first = i / heads * streamed;
      Streamed const tile{work.at.head * heads + i % heads, first, n - first < streamed ? n - first : streamed};
      Query const query{work.at.batch, tile.first, n, int(rows.x.k.extent(2))};
      KeyTiles const all = key_tiles(rows, WarpKeys(rows.x.mask, query, tile.count).some);
      if (all.last < all.first) {
        store(block, place, group, work.at.batch, tile, zero, 0.0f);
      }
    }
  }
};

}  // namespace attn::detail::cuda
