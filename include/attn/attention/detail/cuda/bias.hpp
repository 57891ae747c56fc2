/// The biases of scores on their way to the lanes of a warp that hold the scores.
///
/// Each lane loads its own: of a row of a tile two neighbours in each 8 x 8 scores, in one load of 8 bytes where rows
/// start at multiples of them. Nothing passes through shared memory, since no two lanes want the same number. A warp
/// asks for eight rows at a time; the values of a head, N x M x 4 bytes, are read by all sequences that share them,
/// and so lie in L2.
#pragma once

#include "attn/attention/options.hpp"

#include <concepts>
#include <cstdint>

namespace attn::detail::cuda {

template <class Bias>
inline constexpr bool adds_bias = !std::same_as<Bias, NoBias>;

struct alignas(8) BiasPair {
  float first, second;
};

/// What is added to the scores of a query and the keys from a lane's first on.
struct BiasRow {
  float const* values;
  int keys;       ///< so many are there; others get zeros
  bool in_pairs;  ///< for all lanes of a warp alike: every other number starts at a multiple of 8 bytes

  ATTN_FUNCTION float operator[](int key) const { return key < keys ? values[key] : 0.0f; }
  template <bool as_pair>
  ATTN_FUNCTION BiasPair pair(int key) const {
    if constexpr (!as_pair) return {(*this)[key], (*this)[key + 1]};
    BiasPair pair{key + 1 == keys ? values[key] : 0.0f, 0.0f};
    if (key + 1 < keys) pair = *reinterpret_cast<BiasPair const*>(values + key);
    return pair;
  }
};

/// The biases (N, M) of a head.
struct HeadBias {
  float const* values;
  Index step;
  int queries, keys;
  bool in_pairs;  ///< rows start at multiples of 8 bytes

  /// From the key `first` on; nothing of a query behind the last.
  ATTN_FUNCTION BiasRow row(int query, int first) const {
    return {values + query * step + first, query < queries ? keys - first : 0, in_pairs && first % 2 == 0};
  }
};

template <class Memory>
ATTN_FUNCTION HeadBias bias_of_head(ScoreBias<float, Memory> const& bias, int batch, int head) {
  auto const& x = bias.values;
  float const* const values = x.data() + batch % int(x.extent(0)) * x.stride(0) + head % int(x.extent(1)) * x.stride(1);
  bool const in_pairs = reinterpret_cast<std::uintptr_t>(values) % 8 == 0 && x.stride(2) % 2 == 0;
  return {values, x.stride(2), int(x.extent(2)), int(x.extent(3)), in_pairs};
}
ATTN_FUNCTION NoBias bias_of_head(NoBias const& none, int, int) { return none; }

/// What is left to multiply: products q.k that get a bias are multiplied before.
template <class Bias>
ATTN_FUNCTION float remaining_scale(float score_scale) {
  return adds_bias<Bias> ? 1.0f : score_scale;
}

/// The products of `query` and keys from k0 on become scores, s = score_scale q.k + bias.
template <class Scores>
ATTN_FUNCTION void add_bias(NoBias const&, Scores const&, int, int, float) {}
template <class Scores>
ATTN_FUNCTION void add_bias(HeadBias const& bias, Scores const& scores, int query, int k0, float score_scale) {
  int const first = scores.key(0);  // even, and the others lie so far from it in all lanes
  BiasRow const row = bias.row(query, k0 + first);
  auto const add = [&](int j, BiasPair const& pair) {
    scores.set(j, scores[j] * score_scale + pair.first);
    scores.set(j + 1, scores[j + 1] * score_scale + pair.second);
  };
  if (row.in_pairs) {
    ATTN_UNROLL
    for (int j = 0; j < scores.size(); j += 2) add(j, row.template pair<true>(scores.key(j) - first));
  } else {
    ATTN_UNROLL
    for (int j = 0; j < scores.size(); j += 2) add(j, row.template pair<false>(scores.key(j) - first));
  }
}

}  // namespace attn::detail::cuda
