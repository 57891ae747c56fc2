/// What host kernels know about the rows of scores in a block of queries: visible keys, statistics, weights.
#pragma once

#include "attn/activation/slope.hpp"
#include "attn/attention/detail/host/tile.hpp"
#include "attn/attention/mask.hpp"

#include <cstring>

namespace attn::detail::host {

/// Which keys the queries of a block see. Tiles outside [first, last) are skipped, tiles inside [all_first, all_last)
/// are computed without a look at the mask, and in the others weights are chosen lane by lane.
template <class P, int Columns>
class VisibleKeys {
  using Integers = typename lanes::IntegersOf<P>::Vector;
  using Integer = typename lanes::IntegersOf<P>::Integer;

 public:
  /// `n` queries from `query` on; lanes behind them repeat the last. Masks are monotone: the first and the last query
  /// bound what the others see.
  template <Mask M>
  VisibleKeys(M const& mask, Query query, int n) {
    int const begin = query.index;
    auto const range_of = [&](int i) {
      query.index = begin + i;
      return mask.keys(query);
    };
    KeyRange const start = range_of(0), end = range_of(n - 1);
    first = start.begin;
    all_last = start.end;
    all_first = end.begin;
    last = end.end;
    bool const alike = first == all_first && last == all_last;
    for (int c = 0; c < Columns; ++c) {
      for (int l = 0; l < P::width; ++l) {
        KeyRange const range = alike ? start : range_of(std::min(c * P::width + l, n - 1));
        begin_[c][l] = range.begin;
        end_[c][l] = range.end;
      }
    }
  }

  bool all_visible(int begin, int end) const { return all_first <= begin && end <= all_last; }
  /// Whether some query of the block sees a key that another does not.
  bool are_cut() const { return first < last && !all_visible(first, last); }
  bool sees(int query, int key) const {
    int const c = query / P::width, l = query % P::width;
    return begin_[c][l] <= key && key < end_[c][l];
  }

  /// In the lanes of column c that see `key`, `yes`; in the others, `no`.
  ATTN_FUNCTION P choose(int key, int c, P yes, P no) const {
    Integers const j = static_cast<Integer>(key) - Integers{};
    return ((begin_[c] <= j) & (j < end_[c])) ? yes.lanes : no.lanes;
  }
  /// In the lanes of column c that see any key, `yes`; in the others, `no`.
  ATTN_FUNCTION P choose_any(int c, P yes, P no) const { return begin_[c] < end_[c] ? yes.lanes : no.lanes; }

  int first, last, all_first, all_last;

 private:
  Integers begin_[Columns], end_[Columns];
};

/// Whether a mask shows `lanes` sequences from `first` on the same keys, and tells activations one length for all.
template <Mask M>
bool treats_alike(M const& mask, int first, int lanes, int n_queries, int n_keys) {
  for (int b = first + 1; b < first + lanes; ++b) {
    if (mask.length(b, n_keys) != mask.length(first, n_keys)) return false;
    for (int i = 0; i < n_queries; ++i) {
      KeyRange const x = mask.keys({first, i, n_queries, n_keys}), y = mask.keys({b, i, n_queries, n_keys});
      if (x.begin != y.begin || x.end != y.end) return false;
    }
  }
  return true;
}

/// One column of a score tile: a pack for each key. A row-normalised activation may read it and overwrite it.
template <class P>
struct ScoreTile {
  RealOf<P>* data;
  Index step;
  int n_keys;

  ATTN_FUNCTION int size() const { return n_keys; }
  ATTN_FUNCTION P operator[](int j) const { return P::load(data + j * step); }
  ATTN_FUNCTION void set(int j, P value) const { value.store(data + j * step); }
  ATTN_FUNCTION P row_max(P x) const { return x; }  // one lane has the whole row
  ATTN_FUNCTION P row_sum(P x) const { return x; }
};

/// The statistics of a row-normalised activation as an array of numbers, which may be packs.
template <class A, class T>
struct StatsNumbers {
  using Type = typename A::template Stats<T>;
  static constexpr int size = int(sizeof(Type) / sizeof(T));
  static_assert(std::is_trivially_copyable_v<Type> && sizeof(Type) == size * sizeof(T),
                "attention: give the activation's Stats<T> members of type T only");

  static void unpack(Type const& stats, T (&numbers)[size]) { std::memcpy(numbers, &stats, sizeof stats); }
  static void pack(T const (&numbers)[size], Type& stats) { std::memcpy(&stats, numbers, sizeof stats); }
};

/// The statistics of a block of queries; nothing for a pointwise activation.
template <class A, class P, int Columns>
struct RowStatistics {};
template <class A, class P, int Columns>
requires RowActivation<A, P>
struct RowStatistics<A, P, Columns> {
  typename StatsNumbers<A, P>::Type of[Columns];
};

/// The statistics of the first `n` lanes, each written to its own row, `step` apart.
template <class A, class P>
void save_stats(typename A::template Stats<P> const& stats, typename A::template Stats<RealOf<P>>* rows, int n,
                Index step = 1) {
  using T = RealOf<P>;
  P packed[StatsNumbers<A, P>::size];
  StatsNumbers<A, P>::unpack(stats, packed);
  for (int l = 0; l < n; ++l) {
    T numbers[StatsNumbers<A, T>::size];
    for (int k = 0; k < StatsNumbers<A, T>::size; ++k) numbers[k] = packed[k][l];
    StatsNumbers<A, T>::pack(numbers, rows[l * step]);
  }
}

/// The statistics of `n` rows in lanes; lanes behind them repeat the last.
template <class A, class P>
typename A::template Stats<P> load_stats(typename A::template Stats<RealOf<P>> const* rows, int n, Index step = 1) {
  using T = RealOf<P>;
  P packed[StatsNumbers<A, P>::size];
  for (int l = 0; l < P::width; ++l) {
    T numbers[StatsNumbers<A, T>::size];
    StatsNumbers<A, T>::unpack(rows[std::min(l, n - 1) * step], numbers);
    for (int k = 0; k < StatsNumbers<A, T>::size; ++k) packed[k].lanes[l] = numbers[k];
  }
  typename A::template Stats<P> stats;
  StatsNumbers<A, P>::pack(packed, stats);
  return stats;
}

/// Adds the visible scores of whole rows to empty statistics, and turns them into numerators.
template <class A, class P>
void take_numerators(A const& a, typename A::template Stats<P>& stats, ScoreTile<P> const& row) {
  if constexpr (requires { a.absorb_tile(stats, row); }) {
    a.absorb_tile(stats, row);
  } else {
    for (int j = 0; j < row.size(); ++j) a.absorb(stats, row[j]);
    for (int j = 0; j < row.size(); ++j) row.set(j, a.numerator(row[j], stats));
  }
}

/// Adds a tile of scores, the keys from `key` on, to the statistics of one column of queries, and turns the scores into
/// numerators; hidden ones become zero. Returns the factor for what was accumulated before.
template <class A, class P, int Columns>
P absorb_tile(A const& a, typename A::template Stats<P>& stats, ScoreTile<P> const& tile,
              VisibleKeys<P, Columns> const& visible, int key, int c) {
  using T = RealOf<P>;
  bool const all = visible.all_visible(key, key + tile.size());
  P const zero(T(0));
  P factor(T(1));
  if constexpr (requires {
                  { a.absorb_tile(stats, tile) } -> std::same_as<P>;
                }) {
    if (!all) {
      for (int j = 0; j < tile.size(); ++j) tile.set(j, visible.choose(key + j, c, tile[j], P(lowest<P>)));
    }
    factor = a.absorb_tile(stats, tile);
  } else {
    constexpr int size = StatsNumbers<A, P>::size;
    P before[size], after[size];
    for (int j = 0; j < tile.size(); ++j) {
      StatsNumbers<A, P>::unpack(stats, before);
      P const grown = a.absorb(stats, tile[j]);
      factor *= all ? grown : visible.choose(key + j, c, grown, P(T(1)));
      if (!all) {
        StatsNumbers<A, P>::unpack(stats, after);
        for (int k = 0; k < size; ++k) after[k] = visible.choose(key + j, c, after[k], before[k]);
        StatsNumbers<A, P>::pack(after, stats);
      }
    }
    for (int j = 0; j < tile.size(); ++j) tile.set(j, a.numerator(tile[j], stats));
  }
  if (!all) {
    for (int j = 0; j < tile.size(); ++j) tile.set(j, visible.choose(key + j, c, tile[j], zero));
  }
  return factor;
}

}  // namespace attn::detail::host
