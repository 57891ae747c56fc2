/// The portable kernel for the gradient of a bias: a team keeps a tile of it and goes through the sequences that share
/// it.
#pragma once

#include "attn/attention/detail/team/backward_inputs.hpp"

namespace attn::detail {

/// A team computes a tile of rows of the gradient of a bias (B', H', N, M): the sum of d_s over the sequences and heads
/// that share the bias, in their order.
template <class Exec, class T, class Inputs, class Gradient>
struct TeamBiasGradient {
  using Team = typename Kokkos::TeamPolicy<Exec>::member_type;
  using A = decltype(Inputs::a);
  using Stats = StatsOf<A, T>;

  Inputs x;
  Gradient gradient;
  TileSizes sizes = {};
  int level = 0;

  struct Scratch {
    TeamTile<T> q, d_out, k, v, s, sum;
    QueryFacts<T, Stats> facts;
  };
  ATTN_FUNCTION Scratch scratch(ScratchArena& c) const {
    int const width = int(x.q.extent(3)), value_width = int(x.v.extent(3)), own = sizes.own, streamed = sizes.streamed;
    return {c.tile<T>(own, width),       c.tile<T>(own, value_width),
            c.tile<T>(streamed, width),  c.tile<T>(streamed, value_width),
            c.tile<T>(own, streamed),    c.tile<T>(own, streamed),
            QueryFacts<T, Stats>(c, own)};
  }
  Index teams() const { return gradient.extent(0) * gradient.extent(1) * tiles_of(x.q.extent(2), sizes.own); }

  KOKKOS_FUNCTION void operator()(Team const& team) const {
    int const n = int(x.q.extent(2)), m = int(x.k.extent(2)), width = int(x.q.extent(3));
    int const value_width = int(x.v.extent(3)), batch = int(x.q.extent(0)), heads = int(x.q.extent(1));
    int const group = heads / int(x.k.extent(1));
    int const biases = int(gradient.extent(0)), bias_heads = int(gradient.extent(1));
    int const own = sizes.own, streamed = sizes.streamed;
    TeamPlace const at(team.league_rank(), bias_heads, tiles_of(n, own));
    int const first = at.tile * own, count = n - first < own ? n - first : own;
    auto const t = team_scratch(*this, team);
    if (value_width == 0) return;

    for (int k0 = 0; k0 < m; k0 += streamed) {
      int const keys = m - k0 < streamed ? m - k0 : streamed;
      team.team_barrier();
      fill_zero(team, t.sum, own, streamed);
      for (int b = at.batch; b < batch; b += biases) {
        Query const query{b, first, n, m};
        KeyRange const seen = hull(x.mask, query, count);
        if (seen.end <= k0 || seen.begin >= k0 + keys) continue;
        for (int h = at.head; h < heads; h += bias_heads) {
          Index const head_row = (Index(b) * heads + h) * n;
          Row const row{x.mask.length(b, m), h};
          auto const weigh = for_row(x.a, row);
          auto const drop = x.dropout_of(b, h);
          team.team_barrier();
          load_rows(team, t.q, head_rows(x.q, b, h), first, count, own, width);
          load_rows(team, t.d_out, head_rows(x.d_out, b, h), first, count, own, value_width);
          load_rows(team, t.k, head_rows(x.k, b, h / group), k0, keys, streamed, width);
          load_rows(team, t.v, head_rows(x.v, b, h / group), k0, keys, streamed, value_width);
          t.facts.load(team, x.mask, query, count, own, x.saved == nullptr ? nullptr : x.saved + head_row,
                       head_rows(x.out, b, h), t.d_out, value_width);
          team.team_barrier();
          team_product(team, own, streamed, width, t.q, t.k,
                       [&](int i, int j, T const& dot) { t.s(i, j) = dot * x.score_scale; });
          team_product(team, own, streamed, value_width, t.d_out, t.v, [&](int i, int j, T const& dot) {
            if (!sees(t.facts.keys[i], k0 + j)) return;
            T const s = x.bias.add(t.s(i, j), b, h, first + i, k0 + j);
            T const d_w = drop(dot, first + i, k0 + j);
            // forward: s_ij += bias_ij; hence d_bias_ij += d_s_ij
            t.sum(i, j) += weight_and_score_gradient(weigh, s, d_w, row, t.facts.stats[i], t.facts.delta[i]).d_score;
          });
        }
      }
      team.team_barrier();
      for (int entry = team.team_rank(); entry < count * keys; entry += team.team_size()) {
        int const i = entry / keys, j = entry % keys;
        gradient(at.batch, at.head, first + i, k0 + j) += real_gradient(t.sum(i, j));
      }
    }
  }
};

}  // namespace attn::detail
