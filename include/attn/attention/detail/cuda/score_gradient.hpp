/// One score in the backward pass: what becomes of it and of the gradient of its weight, what has to be known of its
/// row, and where a lane of a warp holds it.
#pragma once

#include "attn/attention/detail/cuda/forward.hpp"
#include "attn/attention/detail/team/backward_inputs.hpp"

namespace attn::detail::cuda {

/// What the backward pass has to know of a query's row beside its scores: delta = <d_out, out> = sum_j w_j d_w_j, the
/// statistics that the forward pass saved (of softmax: the maximum and the sum), and the inverse of the normalizer; or,
/// in the place of these two, one number of the row.
template <class A>
struct RowFacts {};
template <class A>
requires RowActivation<A, float>
struct RowFacts<A> {
  typename A::template Stats<float> stats = {};
  float delta = 0, inverse = 0;
};
template <class A>
requires CompletesRows<A, float>
struct RowFacts<A> {
  float delta = 0, complete = 0;
};

/// What becomes of products p = q.k, whose scores are z p, and of the gradients d_w of their weights, by tensors of X.
///
/// forward: w = a(z p), out += w v; hence d_p = z (pullback of d_w), d_q += d_p k. Weights and d_p want factors of
/// their row, once for all: those of homogeneous activations are raw(p) and raw(p) / p d_w until then. fp16 would not
/// hold them. Where a bias is added, p is the score itself, and its gradient wants the factor z all the same.
template <class A, class X, class Bias>
struct ScoreGradient {
  static constexpr bool completes = CompletesRows<A, float>;
  static constexpr bool by_quotient =
      StatesQuotient<A, float> && format_of<std::remove_const_t<X>> != Format::fp16 && !adds_bias<Bias>;

  A a;
  float z;

  ATTN_FUNCTION float scale() const { return remaining_scale<Bias>(z); }

  template <class Facts>
  ATTN_FUNCTION WeightAndScoreGradient<float> operator()(float p, float d_w, Row row,
                                                         [[maybe_unused]] Facts const& facts) const {
    if constexpr (by_quotient) {
      float const quotient = a.raw_quotient(p, row);
      return {p * quotient, quotient * d_w};
    } else if constexpr (completes) {
      auto const of_row = for_row(a, row);
      float const w = of_row.complete_weight(p, scale(), facts.complete);
      return {w, of_row.pullback(w, d_w, facts.delta)};
    } else if constexpr (RowActivation<A, float>) {
      auto const of_row = for_row(a, row);
      float const s = p * scale(), w = of_row.numerator(s, facts.stats) * facts.inverse;
      return {w, pull_back(of_row, s, w, d_w, facts.delta, facts.stats)};
    } else {
      auto const w = weight_and_slope(for_row(a, row), p * scale(), row);
      return {w.weight, w.slope * d_w};
    }
  }
  /// What a score adds to the gradients of the activation's parameters.
  template <std::size_t n>
  ATTN_FUNCTION void add_parameters(Kokkos::Array<float, n>& sum, float p, float d_w, float d_score, Row row) const {
    if constexpr (by_quotient) {
      static_assert(n == 1);
      sum[0] += p * d_score;
    } else {
      auto const slopes = a.parameter_slopes(p * scale(), row);
      for (std::size_t i = 0; i < n; ++i) sum[i] += slopes[i] * d_w;
    }
  }

  ATTN_FUNCTION float weight_factor(Row row) const {
    if constexpr (by_quotient) return a.raw_factor(z, row);
    return 1;
  }
  ATTN_FUNCTION float gradient_factor(Row row) const {
    if constexpr (by_quotient) return float(a.raw_degree()) * a.raw_factor(z, row);
    return z;
  }
  ATTN_FUNCTION float parameter_factor(Row row) const {
    if constexpr (by_quotient) return a.raw_parameter_factor(z, row);
    return 1;
  }
};

/// The scores that a lane holds of tiles (16 m_tiles, 8 n_tiles), by query and key, whichever of both are rows.
template <bool rows_are_queries, int m_tiles, int n_tiles>
struct LaneScores {
  using Tiles = float[m_tiles][n_tiles][4];
  static constexpr int rows = 2 * m_tiles, columns = 2 * n_tiles;
  static constexpr int queries = rows_are_queries ? rows : columns, keys = rows_are_queries ? columns : rows;
  /// So many further, in the order of `key`, lies the key that is 8 behind.
  static constexpr int key_partner = rows_are_queries ? 2 : 1;

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
