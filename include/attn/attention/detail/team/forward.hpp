/// The portable forward kernels: attention and the norms of its matrix, for any scalar and any execution space.
#pragma once

#include "attn/attention/detail/norm_sums.hpp"
#include "attn/attention/detail/team/tile.hpp"

namespace attn::detail {

/// The weight of a visible score, once the statistics of its row are complete.
template <class A, class T>
ATTN_FUNCTION T complete_weight(A const& a, T s, typename A::template Stats<T> const& stats) {
  return a.numerator(s, stats) / a.normalizer(stats);
}

/// Which head and which tile of rows a team works on.
struct TeamPlace {
  int batch;
  int head;
  int tile;

  ATTN_FUNCTION TeamPlace(int team, int heads, int tiles)
      : batch(team / tiles / heads), head(team / tiles % heads), tile(team % tiles) {}
};

/// A team computes a tile of rows of out (B, H, N, E): it keeps the queries and streams the keys and values.
/// O(D + E) scratch memory for each row; no N x M matrix.
template <class Exec, class T, class A, class Q, class K, class V, class O, class M, class Bias, class Dropout>
struct TeamForward {
  using Team = typename Kokkos::TeamPolicy<Exec>::member_type;
  using Stats = StatsOf<A, T>;

  A a;
  Q q;
  K k;
  V v;
  O out;
  Stats* saved;  ///< (B, H, N), or null
  M mask;
  Bias bias;
  Dropout dropout;
  RealOf<T> score_scale;
  TileSizes sizes = {};
  int level = 0;

  struct Scratch {
    TeamTile<T> q, kv, weights, sum;
    KeyRange* keys;
    T* factor;
    Stats* stats;
  };
  ATTN_FUNCTION Scratch scratch(ScratchArena& c) const {
    int const width = int(q.extent(3)), value_width = int(v.extent(3)), own = sizes.own, streamed = sizes.streamed;
    return {c.tile<T>(own, width),    c.tile<T>(streamed, width > value_width ? width : value_width),
            c.tile<T>(own, streamed), c.tile<T>(own, value_width),
            c.take<KeyRange>(own),    c.take<T>(own),
            c.take<Stats>(own)};
  }
  Index teams() const { return q.extent(0) * q.extent(1) * tiles_of(q.extent(2), sizes.own); }

  KOKKOS_FUNCTION void operator()(Team const& team) const {
    int const n = int(q.extent(2)), m = int(k.extent(2)), width = int(q.extent(3)), value_width = int(v.extent(3));
    int const heads = int(q.extent(1)), own = sizes.own, streamed = sizes.streamed;
    TeamPlace const at(team.league_rank(), heads, tiles_of(n, own));
    int const key_head = at.head / (heads / int(k.extent(1)));
    int const first = at.tile * own, count = n - first < own ? n - first : own;
    Row const row{mask.length(at.batch, m), at.head};
    [[maybe_unused]] auto const weigh = for_row(a, row);
    HeadDropout<RealOf<T>, Dropout> const drop(dropout, Index(at.batch) * heads + at.head);
    Query const query{at.batch, first, n, m};
    auto const k_rows = head_rows(k, at.batch, key_head);
    auto const v_rows = head_rows(v, at.batch, key_head);
    auto const t = team_scratch(*this, team);

    load_rows(team, t.q, head_rows(q, at.batch, at.head), first, count, own, width);
    load_key_ranges(team, t.keys, mask, query, count, own);
    fill_zero(team, t.sum, own, value_width);
    for (int i = team.team_rank(); i < own; i += team.team_size()) t.stats[i] = Stats();

    KeyRange const all = hull(mask, query, count);
    for (int k0 = all.begin; k0 < all.end; k0 += streamed) {
      int const keys = all.end - k0 < streamed ? all.end - k0 : streamed;
      team.team_barrier();
      load_rows(team, t.kv, k_rows, k0, keys, streamed, width);
      team.team_barrier();
      team_product(team, own, streamed, width, t.q, t.kv, [&](int i, int j, T const& dot) {
        t.weights(i, j) = T(0);
        if (!sees(t.keys[i], k0 + j)) return;
        T const s = bias.add(dot * score_scale, at.batch, at.head, first + i, k0 + j);
        if constexpr (RowActivation<A, T>) {
          t.weights(i, j) = s;
        } else {
          t.weights(i, j) = drop(weigh(s, row), first + i, k0 + j);
        }
      });
      team.team_barrier();
      load_rows(team, t.kv, v_rows, k0, keys, streamed, value_width);
      if constexpr (RowActivation<A, T>) take_numerators(team, weigh, drop, t, first, k0, keys);
      team.team_barrier();
      team_product_where(
          team, cuts(mask, query, count, k0, keys), own, round_up(value_width, micro<T>), keys, t.weights,
          t.kv.transposed(), [&](int i, int j) { return sees(t.keys[i], k0 + j); },
          [&](int i, int e, T const& part) {
            if constexpr (RowActivation<A, T>) {
              t.sum(i, e) = t.sum(i, e) * t.factor[i] + part;
            } else {
              t.sum(i, e) += part;
            }
          });
    }

    team.team_barrier();
    auto const out_rows = head_rows(out, at.batch, at.head);
    if constexpr (RowActivation<A, T>) {
      for (int i = team.team_rank(); i < count; i += team.team_size()) {
        bool const empty = t.keys[i].begin >= t.keys[i].end;
        t.factor[i] = empty ? T(0) : T(1) / weigh.normalizer(t.stats[i]);
        if (saved != nullptr) saved[(Index(at.batch) * heads + at.head) * n + first + i] = t.stats[i];
      }
      team.team_barrier();
      for (int entry = team.team_rank(); entry < count * value_width; entry += team.team_size()) {
        int const i = entry / value_width, e = entry % value_width;
        t.sum(i, e) = t.sum(i, e) * t.factor[i];
      }
      team.team_barrier();
    }
    store_rows(team, t.sum, out_rows, first, count, value_width, T(1));
  }

 private:
  /// The statistics absorb the scores of a tile of keys, which then become numerators, less those that are dropped.
  ATTN_FUNCTION void take_numerators(Team const& team, auto const& weigh, HeadDropout<RealOf<T>, Dropout> const& drop,
                                     Scratch const& t, int first, int k0, int keys) const {
    for (int i = team.team_rank(); i < sizes.own; i += team.team_size()) {
      T factor(1);
      for (int j = 0; j < keys; ++j) {
        if (sees(t.keys[i], k0 + j)) factor = factor * weigh.absorb(t.stats[i], t.weights(i, j));
      }
      t.factor[i] = factor;
    }
    team.team_barrier();
    for (int entry = team.team_rank(); entry < sizes.own * keys; entry += team.team_size()) {
      int const i = entry / keys, j = entry % keys;
      bool const visible = sees(t.keys[i], k0 + j);
      t.weights(i, j) = visible ? drop(weigh.numerator(t.weights(i, j), t.stats[i]), first + i, k0 + j) : T(0);
    }
  }
};

}  // namespace attn::detail
