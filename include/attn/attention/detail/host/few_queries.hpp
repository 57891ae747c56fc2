/// Attention of a few queries on the host: what a sequence leaves behind its full blocks, or one step of decoding.
///
/// Queries in lanes cost as much for one query as for a pack of them. Here rows are multiplied as they lie, and keys
/// lie in the lanes of scores:
///
///     product                      how
///     S = Q K^T, dW = dO V^T       dot products of a row with W rows at a time; a tree of shuffles adds up the lanes
///     O += W V, dQ += dS K         the register block of host/tile.hpp: weights broadcast, rows of V or K in lanes
///     dV += W^T dO, dK += dS^T Q   the same, with rows of dO or Q in lanes
#pragma once

#include "attn/attention/detail/host/sound_rows.hpp"

namespace attn::detail::host {

/// The most queries of such a block.
template <class T>
inline constexpr int few_queries = std::max(2, pack_width<T> / 2);

/// Whether a block of n queries is one of few. In cycles, as measured: with queries in lanes each key takes D + E
/// multiply-adds, however few they are, and transposes cost as much as five keys; here each query and key takes
/// (D + E) / W of them and three shuffles, and each query a hundred cycles. Rows must be whole packs.
template <class T>
bool are_few(int n, Shape const& shape) {
  constexpr int W = pack_width<T>;
  Index const widths = shape.width + shape.value_width, keys = shape.n_keys;
  return n <= few_queries<T> && shape.width % W == 0 && shape.value_width % W == 0 &&
         n * (keys * (widths / W + 3) + 100) < (keys + 5) * widths;
}

/// Into how many parts the keys of a call of few queries go, for threads to share: by sizes alone, so that bits do not
/// depend on threads. A part of a thousand keys takes much longer than the sums that it leaves.
template <class T>
int key_parts(Shape const& shape) {
  constexpr Index pieces_of_work = 256, keys_of_part = 1024;
  Index const heads = shape.batch * shape.heads;
  if (heads == 0 || shape.n_queries == 0 || !are_few<T>(shape.n_queries, shape)) return 1;
  return int(std::clamp<Index>(shape.n_keys / keys_of_part, 1, (pieces_of_work + heads - 1) / heads));
}

/// From one row of scores or weights of a tile to the next.
template <class T>
inline constexpr Index score_row_step = last_key_tile + pack_width<T>;

/// x, lane by lane combined with its neighbours at distances W / 2, W / 4, ..., `Last`.
template <int Last, class P, class Combine>
ATTN_FUNCTION P across_lanes(P x, Combine const& combine) {
  [&]<int... Step>(std::integer_sequence<int, Step...>) {
    ((x = combine(x, lanes::swapped<(P::width >> (Step + 1))>(x))), ...);
  }
  (std::make_integer_sequence<int, std::countr_zero(unsigned(P::width / Last))>());
  return x;
}

/// Lane l of the result is the sum of the lanes of x[l % Rows].
template <int Rows, class P>
ATTN_FUNCTION P sums_of_rows(P (&x)[Rows]) {
  if constexpr (Rows == 1) {
    return x[0];
  } else {
    constexpr int half = Rows / 2;
    P sums[half];
#pragma GCC unroll 16
    for (int r = 0; r < half; ++r) {
      lanes::exchange<half>(x[r], x[r + half]);  // then each has half of the lanes of both
      sums[r] = x[r] + x[r + half];
    }
    return sums_of_rows(sums);
  }
}

/// Lane l of the result is row . rows[l], for l below Rows; `width` is a multiple of the pack's.
template <int Rows, class P, class T>
ATTN_FUNCTION P dot_products(T const* row, RowsOf<T> rows, int width) {
  typename P::Vector sum[Rows] = {};
  for (int d = 0; d < width; d += P::width) {
    auto const x = P::load(row + d).lanes;
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) sum[r] += x * P::load(rows.data + r * rows.step + d).lanes;
  }
  P sums[Rows];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) sums[r] = sum[r];
  return across_lanes<Rows>(sums_of_rows(sums), [](P a, P b) { return a + b; });
}

/// to[j] = row . rows[j], j = 0 ... n - 1; behind them anything, up to whole packs.
template <class T>
void multiply_by_rows(T const* row, RowsOf<T> rows, int n, int width, T* to) {
  using P = Pack<T>;
  in_groups<P::width>(n, [&](int j, auto size) {
    dot_products<size, P>(row, RowsOf<T>{rows.data + j * rows.step, rows.step}, width).store(to + j);
  });
}

/// Scores of one query, its keys in lanes, for `absorb_tile`.
template <class P>
struct ScoreRow {
  RealOf<P>* data;
  int n_packs;

  ATTN_FUNCTION int size() const { return n_packs; }
  ATTN_FUNCTION P operator[](int i) const { return P::load(data + i * P::width); }
  ATTN_FUNCTION void set(int i, P value) const { value.store(data + i * P::width); }
  ATTN_FUNCTION P row_max(P x) const {
    return across_lanes<1>(x, [](P a, P b) { return attn::max(a, b); });
  }
  ATTN_FUNCTION P row_sum(P x) const {
    return across_lanes<1>(x, [](P a, P b) { return a + b; });
  }
};

/// x plus n numbers of a row, and the other way round: numbers behind them belong to somebody else.
template <class T>
ATTN_FUNCTION Pack<T> plus_row(Pack<T> x, T const* row, int n) {
  return x + (n < Pack<T>::width ? Pack<T>::load(row, n) : Pack<T>::load(row));
}
template <class T>
ATTN_FUNCTION void add_to_row(Pack<T> x, T* row, int n) {
  if (n < Pack<T>::width) {
    (Pack<T>::load(row, n) + x).store(row, n);
  } else {
    (Pack<T>::load(row) + x).store(row);
  }
}

/// The keys that each of a few queries sees.
template <class T>
class KeysOfFew {
  using P = Pack<T>;
  using Integers = typename lanes::IntegersOf<P>::Vector;
  using Integer = typename lanes::IntegersOf<P>::Integer;

 public:
  /// `n` queries from `query` on.
  template <Mask M>
  KeysOfFew(M const& mask, Query query, int n) {
    for (int i = 0; i < n; ++i, ++query.index) {
      of[i] = mask.keys(query);
      first = i == 0 ? of[i].begin : std::min(first, of[i].begin);
      last = i == 0 ? of[i].end : std::max(last, of[i].end);
      all_first = std::max(all_first, of[i].begin);
      all_last = i == 0 ? of[i].end : std::min(all_last, of[i].end);
    }
  }

  /// x in the lanes of the keys from `key` on that query i sees, `hidden` in the others.
  ATTN_FUNCTION P choose(int i, int key, P x, P hidden) const {
    if (of[i].begin <= key && key + P::width <= of[i].end) return x;
    Integers j{};
    for (int l = 0; l < P::width; ++l) j[l] = static_cast<Integer>(key + l);
    Integers const begin = static_cast<Integer>(of[i].begin) - Integers{};
    Integers const end = static_cast<Integer>(of[i].end) - Integers{};
    return ((begin <= j) & (j < end)) ? x.lanes : hidden.lanes;
  }

  bool all_visible(int begin, int end) const { return all_first <= begin && end <= all_last; }
  bool are_cut() const { return first < last && !all_visible(first, last); }
  bool sees(int query, int key) const { return of[query].begin <= key && key < of[query].end; }

  KeyRange of[few_queries<T>];
  int first = 0, last = 0, all_first = 0, all_last = 0;
};

/// Adds a row of scores, the keys from `key` on, to the statistics of query i, whose lanes are all the same, and turns
/// the scores into numerators; hidden ones become zero. Returns the factor for what was accumulated before.
template <class A, class T>
Pack<T> absorb_row(A const& a, typename A::template Stats<Pack<T>>& stats, T* scores, int n_keys,
                   KeysOfFew<T> const& keys, int i, int key) {
  using P = Pack<T>;
  ScoreRow<P> const row{scores, (n_keys + P::width - 1) / P::width};
  P factor(T(1));
  if constexpr (requires {
                  { a.absorb_tile(stats, row) } -> std::same_as<P>;
                }) {
    for (int p = 0; p < row.size(); ++p) {
      row.set(p, keys.choose(i, key + p * P::width, row[p], P(lowest<P>)));
    }
    factor = a.absorb_tile(stats, row);
  } else {
    for (int j = std::max(keys.of[i].begin - key, 0); j < std::min(keys.of[i].end - key, n_keys); ++j) {
      factor *= a.absorb(stats, P(scores[j]));
    }
    for (int p = 0; p < row.size(); ++p) row.set(p, a.numerator(row[p], stats));
  }
  for (int p = 0; p < row.size(); ++p) row.set(p, keys.choose(i, key + p * P::width, row[p], P(T(0))));
  return factor;
}

/// Rows (n, width), times a factor each, -> x (batch, heads, tokens, width) from token `first` on.
template <class T, class X>
void put_rows(T const* rows, Pack<T> const* factor, X const& x, Index b, Index h, Index first, int n) {
  using P = Pack<T>;
  int const width = static_cast<int>(x.extent(3));
  auto* to = x.data() + b * x.stride(0) + h * x.stride(1) + first * x.stride(2);
  for (int i = 0; i < n; ++i, to += x.stride(2), rows += width) {
    for (int d = 0; d < width; d += P::width) lanes::store(P::load(rows + d) * factor[i], to + d);
  }
}

}  // namespace attn::detail::host
