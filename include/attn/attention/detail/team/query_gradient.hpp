/// The portable kernel for the input gradient of queries: a team keeps a tile of them and streams keys and values.
#pragma once

#include "attn/attention/detail/team/backward_inputs.hpp"

namespace attn::detail {

/// A team computes a tile of rows of d_q (B, H, N, D), and its part of the gradients of the activation's parameters.
template <class Exec, class T, class Inputs, class DQ>
struct TeamQueryGradient {
  using Team = typename Kokkos::TeamPolicy<Exec>::member_type;
  using A = decltype(Inputs::a);
  using Stats = StatsOf<A, T>;
  static constexpr int n_parameters = parameter_count<A, T>;

  Inputs x;
  DQ d_q;
  RealOf<T>* parts;  ///< (B, H, N, n_parameters), of which the first tiles of a head are written
  TileSizes sizes = {};
  int level = 0;

  struct Scratch {
    TeamTile<T> q, d_out, k, v, d_s, sum;
    QueryFacts<T, Stats> facts;
    T* room;
  };
  ATTN_FUNCTION Scratch scratch(ScratchArena& c) const {
    int const width = int(x.q.extent(3)), value_width = int(x.v.extent(3)), own = sizes.own, streamed = sizes.streamed;
    return {c.tile<T>(own, width),        c.tile<T>(own, value_width),
            c.tile<T>(streamed, width),   c.tile<T>(streamed, value_width),
            c.tile<T>(own, streamed),     c.tile<T>(own, width),
            QueryFacts<T, Stats>(c, own), c.take<T>(team_threads)};
  }
  Index teams() const { return x.q.extent(0) * x.q.extent(1) * tiles_of(x.q.extent(2), sizes.own); }

  KOKKOS_FUNCTION void operator()(Team const& team) const {
    int const n = int(x.q.extent(2)), m = int(x.k.extent(2)), width = int(x.q.extent(3));
    int const value_width = int(x.v.extent(3)), heads = int(x.q.extent(1));
    int const own = sizes.own, streamed = sizes.streamed, tiles = tiles_of(n, own);
    TeamPlace const at(team.league_rank(), heads, tiles);
    int const key_head = at.head / (heads / int(x.k.extent(1)));
    int const first = at.tile * own, count = n - first < own ? n - first : own;
    Index const head_row = (Index(at.batch) * heads + at.head) * n;
    Row const row{x.mask.length(at.batch, m), at.head};
    auto const weigh = for_row(x.a, row);
    auto const drop = x.dropout_of(at.batch, at.head);
    Query const query{at.batch, first, n, m};
    auto const k_rows = head_rows(x.k, at.batch, key_head);
    auto const v_rows = head_rows(x.v, at.batch, key_head);
    auto const t = team_scratch(*this, team);

    load_rows(team, t.q, head_rows(x.q, at.batch, at.head), first, count, own, width);
    load_rows(team, t.d_out, head_rows(x.d_out, at.batch, at.head), first, count, own, value_width);
    fill_zero(team, t.sum, own, width);
    t.facts.load(team, x.mask, query, count, own, x.saved == nullptr ? nullptr : x.saved + head_row,
                 head_rows(x.out, at.batch, at.head), t.d_out, value_width);

    Kokkos::Array<T, n_parameters> d_parameters;
    for (int p = 0; p < n_parameters; ++p) d_parameters[p] = T(0);
    // Without value columns no query has an output, nor statistics.
    KeyRange const all = value_width == 0 ? KeyRange{} : hull(x.mask, query, count);
    for (int k0 = all.begin; k0 < all.end; k0 += streamed) {
      int const keys = all.end - k0 < streamed ? all.end - k0 : streamed;
      team.team_barrier();
      load_rows(team, t.k, k_rows, k0, keys, streamed, width);
      load_rows(team, t.v, v_rows, k0, keys, streamed, value_width);
      team.team_barrier();
      team_product(team, own, streamed, width, t.q, t.k,
                   [&](int i, int j, T const& dot) { t.d_s(i, j) = dot * x.score_scale; });
      // forward: out_i += w_ij v_j; hence d_w_ij = d_out_i.v_j, if the weight is not dropped. The thread that made s_ij
      // also makes d_w_ij.
      team_product(team, own, streamed, value_width, t.d_out, t.v, [&](int i, int j, T const& dot) {
        if (!sees(t.facts.keys[i], k0 + j)) {
          t.d_s(i, j) = T(0);
          return;
        }
        T const s = x.bias.add(t.d_s(i, j), at.batch, at.head, first + i, k0 + j);
        T const d_w = drop(dot, first + i, k0 + j);
        auto const g = weight_and_score_gradient(weigh, s, d_w, row, t.facts.stats[i], t.facts.delta[i]);
        t.d_s(i, j) = g.d_score;
        if constexpr (n_parameters > 0 && RowActivation<A, T>) {
          auto const shares = weigh.parameter_pullbacks(s, g.weight, d_w, t.facts.delta[i], t.facts.stats[i]);
          for (int p = 0; p < n_parameters; ++p) d_parameters[p] += shares[p];
        } else if constexpr (n_parameters > 0) {
          auto const slopes = x.a.parameter_slopes(s, row);
          for (int p = 0; p < n_parameters; ++p) d_parameters[p] += slopes[p] * d_w;
        }
      });
      team.team_barrier();
      // forward: s_ij = scale q_i.k_j; hence d_q_i += scale d_s_ij k_j
      team_product_where(
          team, cuts(x.mask, query, count, k0, keys), own, round_up(width, micro<T>), keys, t.d_s, t.k.transposed(),
          [&](int i, int j) { return sees(t.facts.keys[i], k0 + j); },
          [&](int i, int d, T const& part) { t.sum(i, d) += part; });
    }
    team.team_barrier();
    store_rows(team, t.sum, head_rows(d_q, at.batch, at.head), first, count, width, T(x.score_scale));
    for (int p = 0; p < n_parameters && parts != nullptr; ++p) {
      T const total = team_sum(team, t.room, d_parameters[p]);
      if (team.team_rank() == 0) parts[(head_row + at.tile) * n_parameters + p] = real_gradient(total);
    }
  }
};

}  // namespace attn::detail
