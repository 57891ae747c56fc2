/// Where the backward kernels for Hopper have what in shared memory: own rows, places through which streamed rows pass
/// with what is known of queries, and the tiles that sums take.
#pragma once

#include "attn/attention/detail/cuda/gradients.hpp"
#include "attn/attention/detail/hopper/query_sums.hpp"
#include "attn/attention/detail/hopper/tile_plan.hpp"
#include "attn/attention/detail/hopper/transposed.hpp"

namespace attn::detail::cuda {

/// Rows that stream at a time. Scores of 64, their gradients and two sums of up to 128 columns are what registers hold.
/// With one sum of 256 columns, and own rows of 128 KiB, shared memory has places for three times 32, or two with facts
/// of queries.
template <int width>
inline constexpr int hopper_streamed = width <= 128 ? 64 : 32;

/// Gradients of queries of tf32 want more registers where the copying warp copies no facts of queries.
template <Format F, int width, int consumers, Part part>
using HopperBackwardThreads =
    std::conditional_t<part == Part::all, HopperOnePassThreads,
                       HopperThreads<consumers, width == 128 || (!is_narrow<F> && part == Part::queries)>>;

template <Format F, int width, int consumers, Part part>
struct HopperBackwardTileShape : HopperBackwardThreads<F, width, consumers, part> {
  static constexpr int own = 64 * consumers, streamed = hopper_streamed<width>, row_bytes = width * element_bytes<F>;
  static constexpr int own_bytes = own * row_bytes, streamed_bytes = streamed * row_bytes;
};

/// Sums take streamed tiles as TMA has copied them, but for tf32.
template <class Tiles, class Tile, int tile_bytes>
struct CopiedTiles {
  static constexpr int all_bytes = 0, barrier_bytes = 0, warps = 0;
  Tiles tiles;

  template <class Block>
  ATTN_FUNCTION void init(Block const&) const {}
  template <class Block>
  ATTN_FUNCTION void wait_full(Block const&, unsigned) const {}  // for which scores have waited
  ATTN_FUNCTION unsigned empty(unsigned use) const { return tiles.empty(use); }
  ATTN_FUNCTION Tile tile(unsigned use, int which) const { return {tiles.stage(use) + unsigned(which * tile_bytes)}; }
};

/// Of Gradients `Rows` for a part; `Map` as in HopperGradient.
template <Format F, int width, class TileShape, Part part, class Rows, class Map>
struct HopperGradientPlaces {
  static constexpr Format format = F;
  static constexpr bool has_first = part != Part::values, has_second = part != Part::queries && part != Part::keys;
  static constexpr bool transposes = !is_narrow<F>;
  static constexpr int own = TileShape::own, streamed = TileShape::streamed,
                       columns = panel_columns<width, element_bytes<F>>;
  static constexpr int facts_bytes = round_up(streamed * Rows::words * 4, 1024);
  static constexpr int word_warps = Rows::streams_words ? 1 : 0;
  using OwnRows = Panels<64, columns, element_bytes<F>>;  // of a warpgroup
  using Tile = Panels<streamed, columns, element_bytes<F>>;

  // A stage holds both tiles, one behind the other; that of streamed rows also the facts of queries.
  using Own = Pipeline<1, 2 * TileShape::own_bytes>;
  using Sums = std::conditional_t<Rows::makes_all, QuerySums<F, own, Rows, Map>, NoQuerySums>;
  using Transposed = TransposedTiles<width, streamed, has_second ? 2 : 1, 3 - word_warps, 4 * TileShape::consumers>;
  static constexpr int tile_bytes = 2 * TileShape::streamed_bytes + facts_bytes;
  static constexpr int other_bytes = Own::all_bytes + Sums::all_bytes + (transposes ? Transposed::all_bytes : 0);
  using Tiles = Pipeline<pipeline_stages(other_bytes, tile_bytes), tile_bytes>;
  using Summed = std::conditional_t<transposes, Transposed, CopiedTiles<Tiles, Tile, TileShape::streamed_bytes>>;
  /// Without a mask, and with no warps that make a third sum, asking takes fewer instructions than reading.
  static constexpr bool plans =
      !transposes && !Rows::of_queries && (Rows::makes_all || hides_keys<decltype(Rows::x.mask)>);
  using Plan = std::conditional_t<plans, PlannedTiles<Rows, Tiles>, AskedTiles<Rows, Tiles>>;

  static constexpr unsigned barriers = other_bytes + Tiles::all_bytes,
                            barriers_of_sums = barriers + unsigned(Own::barrier_bytes),
                            barriers_of_tiles = barriers_of_sums + unsigned(Sums::barrier_bytes),
                            barriers_of_summed = barriers_of_tiles + unsigned(Tiles::barrier_bytes),
                            barriers_of_plan = barriers_of_summed + unsigned(Summed::barrier_bytes);
  static constexpr unsigned landed = barriers_of_plan + unsigned(Plan::barrier_bytes), work_place = landed + 8,
                            plan_start = round_up(int(work_place + 4), 16),
                            shared_bytes = Plan::is_planned ? plan_start + unsigned(Plan::all_bytes) : work_place + 4;

  static ATTN_FUNCTION constexpr Own own_pipeline() { return {0, barriers}; }
  static ATTN_FUNCTION constexpr auto sums_place() {
    return typename Sums::Place{unsigned(Own::all_bytes), barriers_of_sums};
  }
  static ATTN_FUNCTION constexpr Tiles tile_pipeline() {
    return {unsigned(Own::all_bytes + Sums::all_bytes), barriers_of_tiles};
  }
  static ATTN_FUNCTION constexpr Plan plan() { return {tile_pipeline(), plan_start, barriers_of_plan}; }
  static ATTN_FUNCTION constexpr Summed summed_tiles() {
    if constexpr (transposes) {
      return {{unsigned(Own::all_bytes + Sums::all_bytes + Tiles::all_bytes), barriers_of_summed}};
    } else {
      return {tile_pipeline()};
    }
  }

  /// The 64 own rows of a warpgroup in the first or second tile of their place.
  static ATTN_FUNCTION OwnRows rows_of_group(unsigned use, int which, int group) {
    return {own_pipeline().stage(use) + unsigned(which * TileShape::own_bytes + group * 64 * TileShape::row_bytes)};
  }
  static ATTN_FUNCTION Tile tile(unsigned use, int which) {
    return {tile_pipeline().stage(use) + unsigned(which * TileShape::streamed_bytes)};
  }
  static ATTN_FUNCTION unsigned facts(unsigned use) {
    return tile_pipeline().stage(use) + unsigned(2 * TileShape::streamed_bytes);
  }
};

}  // namespace attn::detail::cuda
