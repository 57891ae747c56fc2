/// The portable kernel for norms and statistics of rows, for any real scalar and any execution space.
#pragma once

#include "attn/attention/detail/team/forward.hpp"

namespace attn::detail {

/// A team computes what a tile of queries adds to both squared norms of its head's matrix, and what is wanted of its
/// rows. It goes over the scores once more, since a row-normalised weight is known only when its row is complete.
template <class Exec, class T, class A, class Q, class K, class M, class Norms, class Bias>
struct TeamNorms {
  using Team = typename Kokkos::TeamPolicy<Exec>::member_type;
  using Stats = StatsOf<A, T>;
  static constexpr bool with_rows = wants_rows<Norms>;

  /// What one row adds up: sums of w^2, f (f + 2 g w) and g^2, see `add`.
  struct Totals {
    T w2 = T(0), own = T(0), shared = T(0);
    RowSums<T> row = {};
  };

  A a;
  Q q;
  K k;
  Stats const* saved;  ///< (B, H, N)
  M mask;
  Norms norms;
  Bias bias;
  RealOf<T> score_scale;
  T* shares;   ///< (B, H, shares_of_head(), 2): each team's squared norms, for TeamNormSum
  Index room;  ///< for how many shares of a head
  TileSizes sizes = {};
  int level = 0;

  struct Scratch {
    TeamTile<T> q, k, scores;
    KeyRange* keys;
    Totals* totals;
    T* room;
  };
  ATTN_FUNCTION Scratch scratch(ScratchArena& c) const {
    int const width = int(q.extent(3)), own = sizes.own, streamed = sizes.streamed;
    return {c.tile<T>(own, width), c.tile<T>(streamed, width), c.tile<T>(own, streamed),
            c.take<KeyRange>(own), c.take<Totals>(own),        c.take<T>(team_threads)};
  }
  /// A tile of queries makes a share, or, where there is no room for so many, as many teams take turns.
  ATTN_FUNCTION int shares_of_head() const {
    Index const tiles = tiles_of(q.extent(2), sizes.own);
    return static_cast<int>(tiles < room ? tiles : room);
  }
  Index teams() const { return q.extent(0) * q.extent(1) * shares_of_head(); }

  KOKKOS_FUNCTION void operator()(Team const& team) const {
    int const n = int(q.extent(2)), m = int(k.extent(2)), width = int(q.extent(3)), heads = int(q.extent(1));
    int const own = sizes.own, streamed = sizes.streamed, tiles = tiles_of(n, own);
    TeamPlace const at(team.league_rank(), heads, shares_of_head());
    int const key_head = at.head / (heads / int(k.extent(1)));
    Row const row{mask.length(at.batch, m), at.head};
    auto const weigh = for_row(a, row);
    Stats const* const stats = saved == nullptr ? nullptr : saved + (Index(at.batch) * heads + at.head) * n;
    auto const t = team_scratch(*this, team);

    T frobenius(0), jacobian(0);
    for (int tile = at.tile; tile < tiles; tile += shares_of_head()) {
      int const first = tile * own;
      int const count = n - first < own ? n - first : own;
      Query const query{at.batch, first, n, m};
      team.team_barrier();
      load_rows(team, t.q, head_rows(q, at.batch, at.head), first, count, own, width);
      load_key_ranges(team, t.keys, mask, query, count, own);
      for (int i = team.team_rank(); i < own; i += team.team_size()) t.totals[i] = Totals();
      KeyRange const all = hull(mask, query, count);
      for (int k0 = all.begin; k0 < all.end; k0 += streamed) {
        int const keys = all.end - k0 < streamed ? all.end - k0 : streamed;
        team.team_barrier();
        load_rows(team, t.k, head_rows(k, at.batch, key_head), k0, keys, streamed, width);
        team.team_barrier();
        team_product(team, own, streamed, width, t.q, t.k, [&](int i, int j, T const& dot) {
          if (!sees(t.keys[i], k0 + j)) return;
          T const s = bias.add(dot * score_scale, at.batch, at.head, first + i, k0 + j);
          if constexpr (RowActivation<A, T>) {
            t.scores(i, j) = s;
          } else {
            auto const w = weight_and_slope(weigh, s, row);
            frobenius += w.weight * w.weight;
            jacobian += w.slope * w.slope;
            if constexpr (with_rows) t.scores(i, j) = w.weight;
          }
        });
        if constexpr (RowActivation<A, T> || with_rows) {
          team.team_barrier();
          for (int i = team.team_rank(); i < count; i += team.team_size()) {
            for (int j = 0; j < keys; ++j) {
              if (sees(t.keys[i], k0 + j)) add(weigh, t.totals[i], t.scores(i, j), stats, first + i);
            }
          }
        }
      }
      if constexpr (RowActivation<A, T> || with_rows) {
        for (int i = team.team_rank(); i < count; i += team.team_size()) {
          frobenius += t.totals[i].w2;
          jacobian += t.totals[i].own + t.totals[i].w2 * t.totals[i].shared;
          if constexpr (with_rows) write(t.totals[i].row, t.keys[i], at, first + i);
        }
      }
    }
    frobenius = team_sum(team, t.room, frobenius);
    jacobian = team_sum(team, t.room, jacobian);
    if (team.team_rank() == 0) {
      T* const share = shares + 2 * Index(team.league_rank());
      share[0] = frobenius;
      share[1] = jacobian;
    }
  }

 private:
  /// The pullback is linear in d_w and delta: ds_k = f_k d_w_k + g_k delta with delta = sum_j w_j d_w_j. Hence the
  /// Jacobian is [j = k] f_k + w_j g_k, and its squares sum to sum_k (f_k^2 + 2 f_k g_k w_k) + sum_j w_j^2 sum_k g_k^2.
  /// `x` is the score of a row-normalised activation, and the weight of a pointwise one.
  ATTN_FUNCTION void add([[maybe_unused]] auto const& weigh, Totals& totals, T x, [[maybe_unused]] Stats const* stats,
                         [[maybe_unused]] int i) const {
    T w = x;
    if constexpr (RowActivation<A, T>) {
      w = complete_weight(weigh, x, stats[i]);
      T const f = pull_back(weigh, x, w, T(1), T(0), stats[i]), g = pull_back(weigh, x, w, T(0), T(1), stats[i]);
      totals.w2 += w * w;
      totals.own += f * (f + T(2) * g * w);
      totals.shared += g * g;
    }
    if constexpr (with_rows) totals.row.add(w, norms.entropy.data() != nullptr);
  }

  ATTN_FUNCTION void write(RowSums<T> const& row, KeyRange keys, TeamPlace const& at, int i) const {
    bool const some = keys.begin < keys.end;
    put(norms.sum, row.sum, at.batch, at.head, i);
    put(norms.minimum, some ? row.minimum : T(0), at.batch, at.head, i);
    put(norms.maximum, some ? row.maximum : T(0), at.batch, at.head, i);
    put(norms.positive, row.positive, at.batch, at.head, i);
    put(norms.negative, row.negative, at.batch, at.head, i);
    if (norms.entropy.data() != nullptr) put(norms.entropy, row.entropy(), at.batch, at.head, i);
  }

  template <class R, int Rank, class Memory, class... At>
  static ATTN_FUNCTION void put(Tensor<R, Rank, Memory> const& to, T value, At... at) {
    if (to.data() != nullptr) to(at...) = static_cast<R>(value);
  }
};

/// A team adds up the shares of one norm of one head, in a fixed order.
template <class Exec, class T, class Result>
struct TeamNormSum {
  using Team = typename Kokkos::TeamPolicy<Exec>::member_type;

  T const* shares;  ///< (B, H, n_shares, 2)
  int n_shares;
  Result frobenius, jacobian;  ///< (B, H), or null
  int heads;
  Index rows;  ///< B H
  TileSizes sizes = {};
  int level = 0;

  ATTN_FUNCTION T* scratch(ScratchArena& c) const { return c.take<T>(team_threads); }
  Index teams() const { return 2 * rows; }

  KOKKOS_FUNCTION void operator()(Team const& team) const {
    int const which = team.league_rank() % 2, row = team.league_rank() / 2;
    T* const room = team_scratch(*this, team);
    T sum(0);
    for (int i = team.team_rank(); i < n_shares; i += team.team_size()) {
      sum += shares[2 * (Index(row) * n_shares + i) + which];
    }
    sum = team_sum(team, room, sum);
    Result const& to = which == 0 ? frobenius : jacobian;
    if (team.team_rank() == 0 && to.data() != nullptr) {
      to(row / heads, row % heads) = static_cast<typename Result::Scalar>(sum);
    }
  }
};

}  // namespace attn::detail
