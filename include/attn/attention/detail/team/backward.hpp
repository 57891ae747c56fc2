/// The portable backward kernels: one keeps queries and makes d_q, one keeps keys and makes d_k and d_v, so that no two
/// teams add to one number and the result has the same bits in every run.
#pragma once

#include "attn/attention/detail/team/forward.hpp"

namespace attn::detail {

template <class A, class T>
inline constexpr int parameter_count = 0;
template <class A, class T>
requires(LearnableActivation<A, T> &&
         !RowActivation<A, T>) inline constexpr int parameter_count<A, T> = A::n_parameters;

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

  ATTN_FUNCTION QueryFacts(ScratchCursor& c, int rows)
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
template <class A, class Q, class K, class V, class O, class DO, class M, class Bias, class Stats, class R>
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
};

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
  ATTN_FUNCTION Scratch scratch(ScratchCursor& c) const {
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
      // forward: out_i += w_ij v_j; hence d_w_ij = d_out_i.v_j. The thread that made s_ij also makes d_w_ij.
      team_product(team, own, streamed, value_width, t.d_out, t.v, [&](int i, int j, T const& d_w) {
        if (!sees(t.facts.keys[i], k0 + j)) {
          t.d_s(i, j) = T(0);
          return;
        }
        T const s = x.bias.add(t.d_s(i, j), at.batch, at.head, first + i, k0 + j);
        t.d_s(i, j) = weight_and_score_gradient(weigh, s, d_w, row, t.facts.stats[i], t.facts.delta[i]).d_score;
        if constexpr (n_parameters > 0) {
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
  ATTN_FUNCTION Scratch scratch(ScratchCursor& c) const {
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
        team_product(team, own, streamed, value_width, t.v, t.d_out, [&](int j, int i, T const& d_w) {
          WeightAndScoreGradient<T> g{T(0), T(0)};
          if (sees(t.facts.keys[i], k0 + j)) {
            T const s = x.bias.add(t.d_s(j, i), at.batch, h, first + i, k0 + j);
            g = weight_and_score_gradient(weigh, s, d_w, row, t.facts.stats[i], t.facts.delta[i]);
          }
          t.weights(j, i) = g.weight;
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
  ATTN_FUNCTION Scratch scratch(ScratchCursor& c) const {
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
          team_product(team, own, streamed, value_width, t.d_out, t.v, [&](int i, int j, T const& d_w) {
            if (!sees(t.facts.keys[i], k0 + j)) return;
            T const s = x.bias.add(t.s(i, j), b, h, first + i, k0 + j);
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

/// A team adds the parts of one head, or of all, to the gradient of one parameter, in a fixed order.
template <class Exec, class R, class G>
struct TeamParameterSum {
  using Team = typename Kokkos::TeamPolicy<Exec>::member_type;

  R const* parts;  ///< (B, H, N, n_parameters), of which the first `tiles` rows of a head count
  G* gradient;     ///< (H, n_parameters) or (n_parameters)
  int batch, heads, queries, tiles, n_parameters;
  bool per_head;
  TileSizes sizes = {};
  int level = 0;

  ATTN_FUNCTION R* scratch(ScratchCursor& c) const { return c.take<R>(team_threads); }
  Index teams() const { return Index(per_head ? heads : 1) * n_parameters; }

  KOKKOS_FUNCTION void operator()(Team const& team) const {
    int const p = team.league_rank() % n_parameters, first_head = team.league_rank() / n_parameters;
    int const n_heads = per_head ? 1 : heads;
    R* const room = team_scratch(*this, team);
    R sum(0);
    for (Index part = team.team_rank(); part < Index(batch) * n_heads * tiles; part += team.team_size()) {
      Index const tile = part % tiles, head = first_head + part / tiles % n_heads, b = part / tiles / n_heads;
      sum += parts[((b * heads + head) * queries + tile) * n_parameters + p];
    }
    sum = team_sum(team, room, sum);
    if (team.team_rank() == 0) gradient[team.league_rank()] += static_cast<G>(sum);
  }
};

}  // namespace attn::detail
