/// How the forward pass by mma.sync is cut: which tiles, whether heads share them, and into how many parts the keys of
/// a tile of queries go.
#pragma once

#include "attn/attention/detail/cuda/joined_heads.hpp"
#include "attn/attention/detail/cuda/launch.hpp"
#include "attn/attention/detail/launch_memory.hpp"

namespace attn::detail::cuda {

/// What the number of parts depends on: sizes and the device, so that each run gives the same bits.
struct KeySplit {
  Index blocks;        ///< that take whole rows
  Index steps;         ///< of each: tiles of keys
  Index places;        ///< blocks that the device runs at the same time
  double extra_steps;  ///< of a block whose sums are written and read once more, by bytes
  Index least_steps;   ///< of a part
  Index room;          ///< for the sums of so many parts
};

/// The number of parts that takes the shortest time in a model of waves, no measurement: a device runs `places` blocks
/// at a time, a block takes its steps and two more until its first tile is there, and a second launch costs eight. One
/// part where there are blocks enough.
constexpr int key_parts(KeySplit const& s) {
  constexpr Index first_tile = 2, second_launch = 8, most = 128;
  if (s.blocks >= s.places) return 1;
  double shortest = double(first_tile + s.steps);
  int best = 1;
  for (Index n = 2; n <= most && n <= s.room && n * s.least_steps <= s.steps; ++n) {
    Index const waves = (s.blocks * n + s.places - 1) / s.places, steps = (s.steps + n - 1) / n;
    double const time = double(waves) * (double(first_tile + steps) + s.extra_steps) + double(second_launch);
    if (time >= shortest) continue;
    shortest = time;
    best = int(n);
  }
  return best;
}

struct ForwardPlan {
  Length length = Length::any;
  int joined_heads = 1;  ///< whose queries are the rows of one tile
  int parts = 1;
};

/// For tensors q (B, H, N, D), k and v on a device of so many multiprocessors, each of which has enough to do with 128
/// rows of queries.
template <Format F, int width, class A, class Options, class Q, class K, class V>
ForwardPlan forward_plan(int multiprocessors, Q const& q, K const& k, V const& v) {
  Index const n = q.extent(2), m = k.extent(2);
  ForwardPlan plan{.length = length_of(n, m)};
  if constexpr (adds_in_parts<A, float>) {
    Index const rows = q.extent(0) * q.extent(1) * n;
    if (rows == 0 || m == 0) return plan;
    if (may_join_heads<Options> && n == 1) plan.joined_heads = int(q.extent(1) / k.extent(1));
    if (n <= 16) plan.length = Length::tiny;
    with_length(plan.length, [&](auto length) {
      using TileShape = ForwardTileShape<F, width, length()>;
      Index const own = std::min<Index>(n * plan.joined_heads, TileShape::own);
      double const step_bytes = 2.0 * TileShape::streamed * width * element_bytes<F>;
      plan.parts = key_parts(
          {.blocks = q.extent(0) * q.extent(1) / plan.joined_heads * tiles_of(n * plan.joined_heads, TileShape::own),
           .steps = tiles_of(m, TileShape::streamed),
           .places = Index(multiprocessors) * std::max(1, 128 / TileShape::own),
           .extra_steps = 2.0 * double(own * v.extent(3)) * sizeof(float) / step_bytes,
           .least_steps = std::max(1, 256 / TileShape::streamed),
           .room = most_launch_bytes / RowParts<StatsOf<A, float>>::bytes(rows, v.extent(3), 1)});
    });
  }
  return plan;
}

}  // namespace attn::detail::cuda
