/// What the portable backward kernels share: the tensors of a call, the gradient of one score, and what a row of
/// queries needs to know of the forward pass.
#pragma once

#include "attn/attention/detail/team/forward.hpp"

namespace attn::detail {

template <class A, class T>
inline constexpr int parameter_count = 0;
template <class A, class T>
requires LearnableActivation<A, T>
inline constexpr int parameter_count<A, T> = A::n_parameters;

template <class T>
struct WeightAndScoreGradient {
  T weight;
  T d_score;
};

/// forward: w = a(s); hence d_s = pullback of d_w, with delta_i = sum_j w_ij d_w_ij = <d_out_i, out_i>
template <class A, class T>
ATTN_FUNCTION WeightAndScoreGradient<T> weight_and_score_gradient(A const& a, T s, T d_w, Row row,
                                                                  StatsOf<A, T> const& stats, T delta) {
  if constexpr (RowActivation<A, T>) {
    T const w = complete_weight(a, s, stats);
    return {w, pull_back(a, s, w, d_w, delta, stats)};
  } else {
    auto const w = weight_and_slope(a, s, row);
    return {w.weight, w.slope * d_w};
  }
}

/// What rows of queries need of the forward pass: their visible keys, statistics, and delta.
template <class T, class Stats>
struct QueryFacts {
  KeyRange* keys;
  Stats* stats;
  T* delta;

  ATTN_FUNCTION QueryFacts(ScratchArena& c, int rows)
      : keys(c.take<KeyRange>(rows)), stats(c.take<Stats>(rows)), delta(c.take<T>(rows)) {}

  template <class Team, class M, class O>
  ATTN_FUNCTION void load(Team const& team, M const& mask, Query query, int count, int rows, Stats const* saved,
                          HeadRows<O> const& out, TeamTile<T> const& d_out, int value_width) const {
    load_key_ranges(team, keys, mask, query, count, rows);
    if constexpr (!std::same_as<Stats, NoStats>) {
      team.team_barrier();  // d_out is loaded
      for (int i = team.team_rank(); i < rows; i += team.team_size()) {
        stats[i] = i < count ? saved[query.index + i] : Stats();
        T sum(0);
        for (int e = 0; i < count && e < value_width; ++e) {
          sum += d_out(i, e) * static_cast<T>(out.first[(query.index + i) * out.step + e]);
        }
        delta[i] = sum;
      }
    }
  }
};

/// The tensors of a backward pass.
template <class A, class Q, class K, class V, class O, class DO, class M, class Bias, class Stats, class R,
          class Dropout = NoDropout>
struct TeamBackwardInputs {
  A a;
  Q q;
  K k;
  V v;
  O out;
  DO d_out;
  Stats const* saved;  ///< (B, H, N), or null
  M mask;
  Bias bias;
  R score_scale;
  Dropout dropout = {};

  /// What becomes of the weights of a head, and of their gradients.
  ATTN_FUNCTION HeadDropout<R, Dropout> dropout_of(int b, int h) const { return {dropout, Index(b) * q.extent(1) + h}; }
};

}  // namespace attn::detail
