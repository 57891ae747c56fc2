/// LinearPlan: how a call that is linear in the number of tokens is cut. Shapes and the mask alone decide, so results
/// have the same bits for any number of threads.
#pragma once

#include "attn/attention/detail/host/call.hpp"
#include "attn/attention/detail/linear/monomials.hpp"

namespace attn::detail::linear {

/// Queries come in chunks. All queries of a chunk see the keys that its first query sees: what this path sums over. The
/// keys that later queries of the chunk see besides, under a causal mask, are the business of the quadratic kernel
/// (`FromChunk`).
struct LinearPlan {
  host::Shape shape;
  unsigned degrees;           ///< of the polynomial, as bits
  bool same_keys;             ///< all queries of a sequence see the same keys
  int chunk;                  ///< queries in a chunk
  int pack;                   ///< numbers in a pack
  int const* seen = nullptr;  ///< (B, chunks)
  Monomials monomials{shape.width};

  int chunks() const { return (shape.n_queries + chunk - 1) / chunk; }
  int top_degree() const {
    int top = 0;
    while (degrees >> (top + 1) != 0) ++top;
    return top;
  }
  bool has(int m) const { return (degrees >> m & 1u) != 0; }

  /// The sums of a head of keys: a row for each monomial, the columns of its values padded to packs.
  Index row() const { return (shape.value_width + pack - 1) / pack * Index(pack); }
  Index rows(int below_degree = max_degree + 1) const {
    Index n = 0;
    for (int m = 0; m < below_degree; ++m) n += has(m) ? monomials.count(m) : 0;
    return n;
  }
  Index numbers() const { return rows() * row(); }

  int keys_seen(Index b, int at) const { return seen[b * chunks() + at]; }

  // A head is one piece of work, or where there are few, several: neighbouring chunks of queries.

  Index pieces() const {
    constexpr Index most_bytes = Index(1) << 26;
    Index const heads = std::max<Index>(shape.batch * shape.key_heads, 1);
    // Each piece has sums of its own. Under a causal mask it makes those over the keys before it, too, which one piece
    // has anyway.
    Index const wanted = ((same_keys ? 32 : 8) + heads - 1) / heads, tokens_of_piece = same_keys ? 256 : 512;
    Index const tokens = same_keys ? std::min(shape.n_queries, shape.n_keys) : shape.n_queries;
    Index const room = most_bytes / std::max<Index>(heads * numbers() * 4, 1);
    return std::clamp<Index>(tokens / tokens_of_piece, 1, std::max<Index>(std::min(wanted, room), 1));
  }
  int first_chunk(Index piece) const { return static_cast<int>(chunks() * piece / pieces()); }
  int first_query(int at) const { return static_cast<int>(std::min<Index>(Index(at) * chunk, shape.n_queries)); }

  /// The keys whose sums piece s makes. Together with those of earlier pieces, or of all where all queries see the
  /// same keys, they are what the first chunk of the piece sees.
  KeyRange keys_of(Index b, Index piece) const {
    if (same_keys) {
      Index const all = keys_seen(b, 0);
      return {static_cast<int>(all * piece / pieces()), static_cast<int>(all * (piece + 1) / pieces())};
    }
    return {piece == 0 ? 0 : keys_seen(b, first_chunk(piece - 1)), keys_seen(b, first_chunk(piece))};
  }
};

/// The keys that `mask` shows to a query and not to the first query of its chunk; with a chunk of zero, all that it
/// shows.
template <Mask M>
struct FromChunk {
  M mask = {};
  int chunk = 0;

  KeyRange keys(Query q) const {
    KeyRange range = mask.keys(q);
    if (chunk > 0) {
      q.index = q.index / chunk * chunk;
      range.begin = mask.keys(q).end;
    }
    return range;
  }
  int length(int batch, int n_keys) const { return mask.length(batch, n_keys); }
};

}  // namespace attn::detail::linear
