/// Dropout in the register tiles of tensor cores. A lane holds both keys that share a word of random bits, whether
/// queries or keys are the rows of a tile, if tiles of keys start at multiples of 16.
#pragma once

#include "attn/attention/detail/cuda/block.hpp"
#include "attn/attention/dropout.hpp"

namespace attn::detail::cuda {

/// The first key of tiles that hold `key`.
template <class Dropout>
ATTN_FUNCTION int first_of_tiles(int key) {
  return drops_weights<Dropout> ? key / 16 * 16 : key;
}

/// The words of a query, two numbers from which each of them follows.
using RowOfWords = RandomRow<std::uint32_t>;

/// What is drawn for `n_keys` keys of a lane and one query, to compare with the limit: `key_of(i)` is the i-th, counted
/// from k0 on, a multiple of 16, and lies 8 before the one that is `partner` further.
template <int partner, int n_keys, class KeyOf>
ATTN_FUNCTION void draw(RowOfWords const& row, int k0, KeyOf const& key_of, std::uint32_t (&draws)[n_keys]) {
  using Drop = HeadDropout<float, AttentionDropout>;
  ATTN_UNROLL
  for (int i = 0; i < n_keys; ++i) {
    if (i / partner % 2 == 1) continue;
    std::uint32_t const word = row.word(static_cast<std::uint32_t>(Drop::word_of(k0) + Drop::word_of(key_of(i))));
    draws[i] = Drop::first_draw(word);
    draws[i + partner] = word;
  }
}

/// Weights of a row that are dropped become zero; the others still want their factor. `Row`: RowScores.
template <class Row>
ATTN_FUNCTION void drop_weights(HeadDropout<float, NoDropout> const&, Row const&, int, int) {}
template <class Row>
ATTN_FUNCTION void drop_weights(HeadDropout<float, AttentionDropout> const& drop, Row const& weights, int query,
                                int k0) {
  std::uint32_t draws[Row::size()];
  draw<2>(
      drop.rows.row(static_cast<std::uint32_t>(query)), k0, [&](int j) { return weights.key(j); }, draws);
  ATTN_UNROLL
  for (int j = 0; j < weights.size(); ++j) weights.set(j, draws[j] >= drop.limit ? weights[j] : 0.0f);
}

}  // namespace attn::detail::cuda
