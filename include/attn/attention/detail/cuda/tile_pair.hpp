/// Where own rows meet streamed ones in the backward pass: which queries and keys, and what a mask shows of them.
#pragma once

#include "attn/attention/detail/cuda/forward.hpp"

namespace attn::detail::cuda {

/// What a launch makes. Keys and values are made apart where both sums do not fit into registers; `all`, with own keys.
enum class Part { queries, keys_and_values, keys, values, all };
template <Part part>
using PartConstant = std::integral_constant<Part, part>;

/// A tile of streamed rows of a head; none where `count` is 0.
struct Streamed {
  int head, first, count;
};

/// The meeting of `own` rows, queries or keys, with a tile of `streamed` others.
template <bool of_queries, int own, int streamed>
struct TilePair {
  Query query;  ///< the first
  int queries, k0;
  Row row;

  template <class Inputs>
  ATTN_FUNCTION TilePair(Inputs const& x, TeamPlace const& at, int own_row, Streamed const& tile)
      : query{at.batch, of_queries ? own_row : tile.first, int(x.q.extent(2)), int(x.k.extent(2))},
        queries(of_queries ? clamp_to(query.n_queries - own_row, 0, own) : tile.count),
        k0(of_queries ? tile.first : own_row),
        row{x.mask.length(at.batch, query.n_keys), of_queries ? at.head : tile.head} {}

  template <class M>
  ATTN_FUNCTION bool any(M const& mask) const {
    return WarpKeys(mask, query, queries).any(k0, of_queries ? streamed : own);
  }
  /// Whether every query, none of them behind the last, sees every key.
  template <class M>
  ATTN_FUNCTION bool every(M const& mask) const {
    return queries == (of_queries ? own : streamed) &&
           WarpKeys(mask, query, queries).every(k0, of_queries ? streamed : own);
  }
  /// The keys that the query `offset` behind the first sees.
  template <class M>
  ATTN_FUNCTION KeyRange keys(M const& mask, int offset) const {
    if (offset >= queries) return {};
    return mask.keys({query.batch, query.index + offset, query.n_queries, query.n_keys});
  }
};

}  // namespace attn::detail::cuda
