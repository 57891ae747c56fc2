/// How many launches make the gradients of a call on Hopper: two, for queries and for keys and values, seven products
/// for each pair of tiles; or one (hopper/query_sums.hpp), five products and sums that blocks add to in turn.
///
/// A model decides, since nobody has measured it yet: cycles of a multiprocessor, as docs/gpu.md counts them.
#pragma once

#include "attn/attention/detail/team/tile.hpp"

#include <algorithm>

namespace attn::detail::cuda {

enum class BackwardLaunches { by_model, one, two };

/// For benchmarks and tests that compare both.
inline BackwardLaunches backward_launches = BackwardLaunches::by_model;

/// Heads of up to 64 columns.
struct BackwardSizes {
  Index batch, heads, kv_heads, queries, keys;
  bool needs_facts;  ///< the activation is normalised over rows: one launch wants another before it, over out, d_out
  int multiprocessors;

  static constexpr Index tile_bytes = 64 * 64 * 4, most_bytes = Index(512) << 20;

  /// Of the sums for queries.
  constexpr Index sums() const { return batch * heads * tiles_of(queries, 64); }
  /// Whether its sums fit into memory that streams keep.
  constexpr bool may_be_one() const { return sums() * tile_bytes <= most_bytes; }
};

/// Cycles of the products of a pair of tiles of 64 queries and 64 keys, which are what limits a multiprocessor.
struct BackwardCycles {
  static constexpr Index queries = 384, keys_and_values = 512, all = 640;
  static constexpr Index launch = 5000;     ///< until all blocks multiply, and when some have no work any more
  static constexpr Index turn = 2000;       ///< from a block's sum to the next block's: adding, telling and hearing
  static constexpr Index bytes = 1700;      ///< that memory brings in a cycle, to all multiprocessors
  static constexpr Index fact_bytes = 256;  ///< of a row of out and d_out
  static constexpr Index cache = Index(32) << 20, cached_bytes = 512;  ///< for rows of queries, d_out and their sums
};

/// `own`: rows of queries of a tile of the launch for these.
constexpr Index cycles_of_two(BackwardSizes const& s, int own) {
  auto const rounds = [&](Index works) { return tiles_of(works, s.multiprocessors); };
  Index const q = rounds(s.batch * s.heads * tiles_of(s.queries, own)) * (own / 64) * tiles_of(s.keys, 64);
  Index const k =
      rounds(s.batch * s.kv_heads * tiles_of(s.keys, 128)) * 2 * (s.heads / s.kv_heads) * tiles_of(s.queries, 64);
  return 2 * BackwardCycles::launch + q * BackwardCycles::queries + k * BackwardCycles::keys_and_values;
}

/// The blocks of a head that begin together fall behind one another by a tile and a turn each, once. Works are taken
/// head by head, of as many heads at a time as L2 holds (WorkOrder).
constexpr Index cycles_of_one(BackwardSizes const& s) {
  using C = BackwardCycles;
  Index const key_heads = s.batch * s.kv_heads, works = key_heads * tiles_of(s.keys, 128);
  Index const queries = s.heads / s.kv_heads * s.queries;
  Index const heads = std::clamp<Index>(C::cache / C::cached_bytes / std::max<Index>(queries, 1), 1, key_heads);
  Index const behind = (std::min<Index>(works, s.multiprocessors) - 1) / heads;
  Index const pairs = 2 * tiles_of(works, s.multiprocessors) * (s.heads / s.kv_heads) * tiles_of(s.queries, 64);
  Index const facts = C::launch + s.batch * s.heads * s.queries * C::fact_bytes / C::bytes;
  return C::launch + (pairs + 2 * behind) * C::all + behind * C::turn + (s.needs_facts ? facts : 0);
}

inline bool takes_one_launch(BackwardSizes const& s, int own) {
  if (!s.may_be_one() || backward_launches == BackwardLaunches::two) return false;
  return backward_launches == BackwardLaunches::one || cycles_of_one(s) < cycles_of_two(s, own);
}

}  // namespace attn::detail::cuda
