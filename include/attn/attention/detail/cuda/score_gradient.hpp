/// One score in the backward pass: what becomes of it and of the gradient of its weight, what has to be known of its
/// row, and where a lane of a warp holds it.
#pragma once

#include "attn/attention/detail/cuda/forward.hpp"
#include "attn/attention/detail/team/backward_inputs.hpp"

namespace attn::detail::cuda {

/// What the backward pass has to know of a query's row beside its scores: the statistics that the forward pass saved
/// (of softmax: the maximum and the sum), the inverse of the normalizer, and delta = <d_out, out> = sum_j w_j d_w_j.
template <class A>
struct RowFacts {};
template <class A>
requires RowActivation<A, float>
struct RowFacts<A> {
  typename A::template Stats<float> stats = {};
  float delta = 0, inverse = 0;
};

/// forward: w = a(s); hence d_s = pullback of d_w
template <class A, class Facts>
ATTN_FUNCTION WeightAndScoreGradient<float> weight_and_score_gradient(A const& a, float s, float d_w, Row row,
                                                                      [[maybe_unused]] Facts const& facts) {
  if constexpr (RowActivation<A, float>) {
    float const w = a.numerator(s, facts.stats) * facts.inverse;
    return {w, pull_back(a, s, w, d_w, facts.delta, facts.stats)};
  } else {
    auto const w = weight_and_slope(a, s, row);
    return {w.weight, w.slope * d_w};
  }
}

/// The scores that a lane holds of tiles (16 m_tiles, 8 n_tiles), by query and key, whichever of both are rows.
template <bool rows_are_queries, int m_tiles, int n_tiles>
struct LaneScores {
  using Tiles = float[m_tiles][n_tiles][4];
  static constexpr int rows = 2 * m_tiles, columns = 2 * n_tiles;
  static constexpr int queries = rows_are_queries ? rows : columns, keys = rows_are_queries ? columns : rows;

  static ATTN_FUNCTION float& score(Tiles& tiles, int query, int key) {
    int const row = rows_are_queries ? query : key, column = rows_are_queries ? key : query;
    return tiles[row / 2][column / 2][row % 2 * 2 + column % 2];
  }
  /// Of the lane's i-th query or key, the number among those of all lanes.
  template <class Block>
  static ATTN_FUNCTION int query(Block const& block, int i) {
    return rows_are_queries ? row(block, i) : column(block, i);
  }
  template <class Block>
  static ATTN_FUNCTION int key(Block const& block, int i) {
    return rows_are_queries ? column(block, i) : row(block, i);
  }

 private:
  template <class Block>
  static ATTN_FUNCTION int row(Block const& block, int i) {
    return 8 * i + block.thread() % 32 / 4;
  }
  template <class Block>
  static ATTN_FUNCTION int column(Block const& block, int i) {
    return i / 2 * 8 + block.thread() % 4 * 2 + i % 2;
  }
};

}  // namespace attn::detail::cuda
