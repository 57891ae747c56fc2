/// The portable kernel for the input gradients of keys and values: a team keeps a tile of them and streams queries, so
/// that no two teams add to one number and the result has the same bits in every run.
#pragma once

#include "attn/attention/detail/team/backward_inputs.hpp"

namespace attn::detail {

/// A team computes a tile of rows of d_k (B, H_kv, M, D) and d_v (B, H_kv, M, E): it streams the queries of all heads
/// that read those keys.
template <class Exec, class T, class Inputs, class DK, class DV>
struct TeamKeyGradient {
  using Team = typename Kokkos::TeamPolicy<Exec>::member_type;
  using A = decltype(Inputs::a);
  using Stats = StatsOf<A, T>;

  Inputs x;
  DK d_k;
  DV d_v;
  TileSizes sizes = {};
  int level = 0;

  struct Scratch {
    TeamTile<T> k, v, q, d_out, weights, d_s, sum_k, sum_v;
    QueryFacts<T, Stats> facts;
  };
  ATTN_FUNCTION Scratch scratch(ScratchArena& c) const {
    int const width = int(x.q.extent(3)), value_width = int(x.v.extent(3)), own = sizes.own, streamed = sizes.streamed;
    return {c.tile<T>(own, width),
            c.tile<T>(own, value_width),
            c.tile<T>(streamed, width),
            c.tile<T>(streamed, value_width),
            c.tile<T>(own, streamed),
            c.tile<T>(own, streamed),
            c.tile<T>(own, width),
            c.tile<T>(own, value_width),
            QueryFacts<T, Stats>(c, streamed)};
  }
  Index teams() const { return x.k.extent(0) * x.k.extent(1) * tiles_of(x.k.extent(2), sizes.own); }

  KOKKOS_FUNCTION void operator()(Team const& team) const {
    int const n = int(x.q.extent(2)), m = int(x.k.extent(2)), width = int(x.q.extent(3));
    int const value_width = int(x.v.extent(3)), heads = int(x.q.extent(1)), key_heads = int(x.k.extent(1));
    int const own = sizes.own, streamed = sizes.streamed, group = heads / key_heads;
    TeamPlace const at(team.league_rank(), key_heads, tiles_of(m, own));
    int const k0 = at.tile * own, keys = m - k0 < own ? m - k0 : own;
    auto const t = team_scratch(*this, team);

    load_rows(team, t.k, head_rows(x.k, at.batch, at.head), k0, keys, own, width);
    load_rows(team, t.v, head_rows(x.v, at.batch, at.head), k0, keys, own, value_width);
    fill_zero(team, t.sum_k, own, width);
    fill_zero(team, t.sum_v, own, value_width);
    for (int h = at.head * group; h < (at.head + 1) * group; ++h) {
      Index const head_row = (Index(at.batch) * heads + h) * n;
      Row const row{x.mask.length(at.batch, m), h};
      auto const weigh = for_row(x.a, row);
      auto const drop = x.dropout_of(at.batch, h);
      for (int first = 0; first < n && value_width > 0; first += streamed) {
        int const count = n - first < streamed ? n - first : streamed;
        Query const query{at.batch, first, n, m};
        KeyRange const seen = hull(x.mask, query, count);
        if (seen.end <= k0 || seen.begin >= k0 + keys) continue;
        team.team_barrier();
        load_rows(team, t.q, head_rows(x.q, at.batch, h), first, count, streamed, width);
        load_rows(team, t.d_out, head_rows(x.d_out, at.batch, h), first, count, streamed, value_width);
        t.facts.load(team, x.mask, query, count, streamed, x.saved == nullptr ? nullptr : x.saved + head_row,
                     head_rows(x.out, at.batch, h), t.d_out, value_width);
        team.team_barrier();
        team_product(team, own, streamed, width, t.k, t.q,
                     [&](int j, int i, T const& dot) { t.d_s(j, i) = dot * x.score_scale; });
        team_product(team, own, streamed, value_width, t.v, t.d_out, [&](int j, int i, T const& dot) {
          WeightAndScoreGradient<T> g{T(0), T(0)};
          if (sees(t.facts.keys[i], k0 + j)) {
            T const s = x.bias.add(t.d_s(j, i), at.batch, h, first + i, k0 + j);
            T const d_w = drop(dot, first + i, k0 + j);
            g = weight_and_score_gradient(weigh, s, d_w, row, t.facts.stats[i], t.facts.delta[i]);
          }
          t.weights(j, i) = drop(g.weight, first + i, k0 + j);
          t.d_s(j, i) = g.d_score;
        });
        team.team_barrier();
        auto const is_cut = cuts(x.mask, query, count, k0, keys);
        auto const is_seen = [&](int j, int i) { return sees(t.facts.keys[i], k0 + j); };
        // forward: out_i += w_ij v_j; hence d_v_j += w_ij d_out_i
        team_product_where(team, is_cut, own, round_up(value_width, micro<T>), count, t.weights, t.d_out.transposed(),
                           is_seen, [&](int j, int e, T const& part) { t.sum_v(j, e) += part; });
        // forward: s_ij = scale q_i.k_j; hence d_k_j += scale d_s_ij q_i
        team_product_where(team, is_cut, own, round_up(width, micro<T>), count, t.d_s, t.q.transposed(), is_seen,
                           [&](int j, int d, T const& part) { t.sum_k(j, d) += part; });
      }
    }
    team.team_barrier();
    store_rows(team, t.sum_k, head_rows(d_k, at.batch, at.head), k0, keys, width, T(x.score_scale));
    store_rows(team, t.sum_v, head_rows(d_v, at.batch, at.head), k0, keys, value_width, T(1));
  }
};

}  // namespace attn::detail
