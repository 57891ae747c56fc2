/// Masks: which keys a query may see. They skip keys; they never add minus infinity, whose cube is minus infinity too.
#pragma once

#include "attn/core/concepts.hpp"

#include <concepts>

namespace attn {

/// The keys `begin <= j < end`; none where `begin >= end`.
struct KeyRange {
  int begin = 0;
  int end = 0;
};

/// Where a mask is asked: one query of one sequence.
struct Query {
  int batch = 0;
  int index = 0;      ///< 0 ... n_queries - 1
  int n_queries = 0;  ///< N
  int n_keys = 0;     ///< M
};

/// A mask gives each query a contiguous range of keys.
///
///  1. `mask.keys(query)` returns the range, within 0 ... n_keys.
///  2. Within one sequence neither end of the range moves back as the query's index grows. Kernels rely on it: the
///     first and the last query of a tile bound the keys of the tile, and what lies outside is never computed.
///  3. `mask.length(batch, n_keys)` returns how many keys the sequence has: what a `Row` tells activations.
///
/// Both functions are ATTN_FUNCTIONs of a trivially copyable type. A query without keys gets an output of zero.
/// Optional, and true for kernels that are linear in the number of tokens: `M::begins_with_first_key`, where every
/// range begins with key 0, and `M::shows_all_the_same`, where besides all queries of a sequence see the same keys.
template <class M>
concept Mask = std::copyable<M> && requires(M const m, Query query) {
  { m.keys(query) } -> std::same_as<KeyRange>;
  { m.length(0, 0) } -> std::same_as<int>;
};

/// Every query sees every key.
struct Full {
  static constexpr bool begins_with_first_key = true, shows_all_the_same = true;

  ATTN_FUNCTION KeyRange keys(Query q) const { return {0, q.n_keys}; }
  ATTN_FUNCTION int length(int, int n_keys) const { return n_keys; }
};

namespace detail {

/// Whether a query may not see a key that another sees.
template <class M>
inline constexpr bool hides_keys = !std::same_as<M, Full>;

template <class M>
inline constexpr bool begins_with_first_key = requires {
  requires M::begins_with_first_key;
};
template <class M>
inline constexpr bool shows_all_the_same = requires {
  requires M::shows_all_the_same;
};

/// x is wide, so that sums of numbers that mean "no bound" do not overflow.
ATTN_FUNCTION constexpr int clamp_to(Index x, int low, int high) { return x < low ? low : (x > high ? high : int(x)); }

}  // namespace detail

// Members may be as large as an int can be, to mean "no bound".

/// Query i sees the keys j <= i + offset. With `offset` = M - N the last query sees the last key, which is what
/// decoding with a cache of keys needs.
struct Causal {
  static constexpr bool begins_with_first_key = true;
  int offset = 0;

  ATTN_FUNCTION KeyRange keys(Query q) const { return {0, detail::clamp_to(Index(q.index) + offset + 1, 0, q.n_keys)}; }
  ATTN_FUNCTION int length(int, int n_keys) const { return n_keys; }
};

/// Query i sees the keys i + offset - before <= j <= i + offset + after.
struct Window {
  int before = 0;
  int after = 0;
  int offset = 0;

  ATTN_FUNCTION KeyRange keys(Query q) const {
    Index const centre = Index(q.index) + offset;
    return {detail::clamp_to(centre - before, 0, q.n_keys), detail::clamp_to(centre + after + 1, 0, q.n_keys)};
  }
  ATTN_FUNCTION int length(int, int n_keys) const { return n_keys; }
};

/// The sequence of batch element b has `lengths[b]` keys; those behind are padding. `lengths` (B) lies where the kernel
/// runs.
struct KeyPadding {
  static constexpr bool begins_with_first_key = true, shows_all_the_same = true;
  int const* lengths = nullptr;

  ATTN_FUNCTION KeyRange keys(Query q) const { return {0, length(q.batch, q.n_keys)}; }
  ATTN_FUNCTION int length(int batch, int n_keys) const { return detail::clamp_to(lengths[batch], 0, n_keys); }
};

/// The keys that both masks show.
template <Mask A, Mask B>
struct Both {
  static constexpr bool begins_with_first_key = detail::begins_with_first_key<A> && detail::begins_with_first_key<B>;
  static constexpr bool shows_all_the_same = detail::shows_all_the_same<A> && detail::shows_all_the_same<B>;
  A first = {};
  B second = {};

  ATTN_FUNCTION KeyRange keys(Query q) const {
    KeyRange const a = first.keys(q), b = second.keys(q);
    return {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
  }
  ATTN_FUNCTION int length(int batch, int n_keys) const {
    int const a = first.length(batch, n_keys), b = second.length(batch, n_keys);
    return a < b ? a : b;
  }
};

}  // namespace attn
