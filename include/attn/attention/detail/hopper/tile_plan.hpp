/// How the warps of a backward kernel for Hopper know which tiles stream past own rows, and what a mask shows of each.
///
/// All warps of a block go through the same tiles. Asking a mask for them takes registers, which those that copy and
/// those that add have none left of, and instructions. So one warp asks, and the others read what it has found:
///
///     copying warp     tells the work     copies tile 0   copies tile 1   ...
///     planning warp       plans tile 0, tile 1, ..., the end, as places become free
///     others                              read plan 0     read plan 1     ...
///
/// A plan lies beside each place of the pipeline of tiles and is read while the place is taken: whoever reads it frees
/// the place, or fills it. The end of a work takes a place without a tile. Where no warp is left to plan, or little is
/// asked, each warp asks the mask itself.
#pragma once

#include "attn/attention/detail/cuda/tile_pair.hpp"
#include "attn/attention/detail/hopper/tile.hpp"

namespace attn::detail::cuda {

/// A tile of streamed queries; none at the end of a work.
struct alignas(16) PlannedTile {
  Streamed tile;
  int is_cut;  ///< whether the mask hides some own key of the block from some query
};
/// The keys that its queries see.
struct alignas(16) SeenKeys {
  KeyRange some;   ///< that some query sees
  KeyRange every;  ///< that every query sees; none where there are fewer queries than a tile has
};

/// Beside the places of a pipeline `Tiles`, for Gradients `Rows` whose own rows are keys.
template <class Rows, class Tiles>
struct PlannedTiles {
  static constexpr bool is_planned = true;
  static constexpr int warps = 1, bytes = int(sizeof(PlannedTile) + sizeof(SeenKeys)), all_bytes = Tiles::size * bytes,
                       barrier_bytes = (Tiles::size + 1) * 8;
  Tiles tiles;
  unsigned start, barriers;

  template <class Block>
  ATTN_FUNCTION void init(Block const& block) const {
    for (unsigned use = 0; use <= Tiles::size; ++use) block.init_barrier(barriers + 8 * use, 1);
  }
  /// By the copying warp, before its own rows are there: the planning warp may begin.
  template <class Block>
  ATTN_FUNCTION void tell_work(Block const& block) const {
    block.arrive(work_told());
  }
  template <class Block>
  ATTN_FUNCTION void wait_for_work(Block const& block, unsigned own_use) const {
    block.wait(work_told(), own_use % 2);
  }

  /// By the planning warp: the tiles of a work. Returns the number of the next use.
  template <class Block, class Work>
  ATTN_FUNCTION unsigned make(Block const& block, Rows const& rows, Work const& work, unsigned use) const {
    int const n = int(rows.x.q.extent(2)), m = int(rows.x.k.extent(2)), streamed = 8 * Rows::n_tiles;
    for (Streamed tile = rows.begin(work.at, work.first, work.count);;
         tile = rows.next(tile, work.at, work.first, work.count)) {
      WarpKeys const seen(rows.x.mask, {work.at.batch, tile.first, n, m}, tile.count);
      bool const is_cut = rows.is_cut(work.at, work.first, work.count, tile, work.count);
      tiles.wait_empty(block, use);
      if (block.thread() % 32 == 0) {
        block.write(place(use), PlannedTile{tile, is_cut});
        block.write(place_of_seen(use), SeenKeys{seen.some, tile.count == streamed ? seen.all : KeyRange{}});
        block.arrive(planned(use));
      }
      ++use;
      if (tile.count == 0) return use;
    }
  }

  /// Until it is known what a use of the pipeline is for. Who waits for the tile knows, too.
  template <class Block>
  ATTN_FUNCTION void wait(Block const& block, unsigned use) const {
    block.wait(planned(use), use / Tiles::size % 2);
  }
  /// By those that fill a place with the tile: the planning warp has waited.
  template <class Block>
  ATTN_FUNCTION void wait_empty(Block const&, unsigned) const {}
  template <class Block>
  ATTN_FUNCTION Streamed tile(Block const& block, unsigned use) const {
    return planned_tile(block, use).tile;
  }
  /// The first tile of a work, the next, or that once more, in a use of the pipeline: nobody has to keep it.
  template <class Block, class Work>
  ATTN_FUNCTION Streamed first(Block const& block, Rows const&, Work const&, unsigned use) const {
    return tile(block, use);
  }
  template <class Block, class Work>
  ATTN_FUNCTION Streamed next(Block const& block, Rows const&, Work const&, Streamed const&, unsigned use) const {
    return tile(block, use);
  }
  template <class Block>
  ATTN_FUNCTION Streamed again(Block const& block, Streamed const&, unsigned use) const {
    return tile(block, use);
  }

  template <class Block>
  ATTN_FUNCTION SeenKeys seen(Block const& block, unsigned use) const {
    return block.template read<SeenKeys>(place_of_seen(use));
  }
  template <class Block, class Work>
  ATTN_FUNCTION bool is_cut(Block const& block, Rows const&, Work const&, Streamed const&, unsigned use) const {
    if constexpr (!hides_keys<decltype(Rows::x.mask)>) return false;
    return planned_tile(block, use).is_cut != 0;
  }
  /// The first of the warp's 16 own keys, where those of its warpgroup begin with `first`. Kept, it would be one
  /// register too many.
  template <class Block>
  ATTN_FUNCTION int own_row(Block const& block, int first) const {
    return first + int(unsigned(block.anew(block.thread())) % warpgroup / 32 * 16);
  }
  /// Whether there is a tile and some query sees some of `n` own keys from `first` on, or every query every one.
  template <int n, class Block, class Work>
  ATTN_FUNCTION bool any(Block const& block, Rows const&, Work const&, int first, Streamed const&, unsigned use) const {
    KeyRange const some = seen(block, use).some;
    return first < some.end && first + n > some.begin;
  }
  template <int n, class Block, class Work>
  ATTN_FUNCTION bool every(Block const& block, Rows const&, Work const&, int first, Streamed const&,
                           unsigned use) const {
    KeyRange const every = seen(block, use).every;
    return every.begin <= first && first + n <= every.end;
  }

 private:
  template <class Block>
  ATTN_FUNCTION PlannedTile planned_tile(Block const& block, unsigned use) const {
    return block.template read<PlannedTile>(place(use));
  }
  ATTN_FUNCTION unsigned place(unsigned use) const { return start + use % Tiles::size * bytes; }
  ATTN_FUNCTION unsigned place_of_seen(unsigned use) const { return place(use) + unsigned(sizeof(PlannedTile)); }
  ATTN_FUNCTION unsigned planned(unsigned use) const { return barriers + use % Tiles::size * 8; }
  ATTN_FUNCTION unsigned work_told() const { return barriers + unsigned(Tiles::size * 8); }
};

/// Each warp asks the mask, and keeps the tile to ask for the next.
template <class Rows, class Tiles>
struct AskedTiles {
  static constexpr bool is_planned = false;
  static constexpr int warps = 0, all_bytes = 0, barrier_bytes = 0;
  Tiles tiles;

  ATTN_FUNCTION constexpr AskedTiles(Tiles all, unsigned, unsigned) : tiles(all) {}

  template <class Block>
  ATTN_FUNCTION void init(Block const&) const {}
  template <class Block>
  ATTN_FUNCTION void tell_work(Block const&) const {}

  template <class Block>
  ATTN_FUNCTION void wait(Block const&, unsigned) const {}
  template <class Block>
  ATTN_FUNCTION void wait_empty(Block const& block, unsigned use) const {
    tiles.wait_empty(block, use);
  }
  template <class Block, class Work>
  ATTN_FUNCTION Streamed first(Block const&, Rows const& rows, Work const& work, unsigned) const {
    return rows.begin(work.at, work.first, work.count);
  }
  template <class Block, class Work>
  ATTN_FUNCTION Streamed next(Block const&, Rows const& rows, Work const& work, Streamed const& tile, unsigned) const {
    return rows.next(tile, work.at, work.first, work.count);
  }
  template <class Block>
  ATTN_FUNCTION Streamed again(Block const&, Streamed const& tile, unsigned) const {
    return tile;
  }

  template <class Block, class Work>
  ATTN_FUNCTION bool is_cut(Block const&, Rows const& rows, Work const& work, Streamed const& tile, unsigned) const {
    int const left = int(rows.x.k.extent(2)) - tile.first, streamed = 8 * Rows::n_tiles;
    return rows.is_cut(work.at, work.first, work.count, tile, left < streamed ? left : streamed);
  }
  template <class Block>
  ATTN_FUNCTION int own_row(Block const& block, int first) const {
    return first + block.thread() % warpgroup / 32 * 16;
  }
  template <int n, class Block, class Work>
  ATTN_FUNCTION bool any(Block const&, Rows const& rows, Work const& work, int first, Streamed const& tile,
                         unsigned) const {
    return tile.count > 0 && typename Rows::template Pair<n>(rows.x, work.at, first, tile).any(rows.x.mask);
  }
  template <int n, class Block, class Work>
  ATTN_FUNCTION bool every(Block const&, Rows const& rows, Work const& work, int first, Streamed const& tile,
                           unsigned) const {
    return typename Rows::template Pair<n>(rows.x, work.at, first, tile).every(rows.x.mask);
  }
};

}  // namespace attn::detail::cuda
