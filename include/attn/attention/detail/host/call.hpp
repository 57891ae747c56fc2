/// What the forward and the backward host kernels of one call share: shapes, scratch, blocks of queries.
#pragma once

#include "attn/attention/detail/host/parallel.hpp"
#include "attn/attention/detail/host/prefetch.hpp"
#include "attn/attention/detail/host/rows.hpp"
#include "attn/attention/options.hpp"
#include "attn/core/tensor.hpp"

#include <cmath>
#include <tuple>

namespace attn::detail::host {

/// The widest pack of T.
template <class T>
inline constexpr int pack_width = vector_bytes / int(sizeof(T));
/// Queries in a full block.
template <class T>
inline constexpr int block_queries = query_packs* pack_width<T>;

/// Calls f(std::type_identity<Pack>, integral_constant<int, Columns>) for the narrowest block that holds n queries:
/// half a pack, or one to three packs. What a sequence leaves behind its full blocks then wastes few lanes.
template <class T, class F>
void with_block_of(int n, F const& f) {
  constexpr int W = pack_width<T>;
  static_assert(query_packs == 3);
  if constexpr (W >= 4) {
    if (n <= W / 2) return f(std::type_identity<Pack<T, W / 2>>(), std::integral_constant<int, 1>());
  }
  if (n <= W) {
    f(std::type_identity<Pack<T>>(), std::integral_constant<int, 1>());
  } else if (n <= 2 * W) {
    f(std::type_identity<Pack<T>>(), std::integral_constant<int, 2>());
  } else {
    f(std::type_identity<Pack<T>>(), std::integral_constant<int, 3>());
  }
}

/// Extents of a call: q (B, H, N, D), k (B, H_kv, M, D), v (B, H_kv, M, E).
struct Shape {
  Index batch, heads, key_heads;
  int n_queries, n_keys, width, value_width;

  template <class Q, class K, class V>
  Shape(Q const& q, K const& k, V const& v)
      : batch(q.extent(0)),
        heads(q.extent(1)),
        key_heads(k.extent(1)),
        n_queries(static_cast<int>(q.extent(2))),
        n_keys(static_cast<int>(k.extent(2))),
        width(static_cast<int>(q.extent(3))),
        value_width(static_cast<int>(v.extent(3))) {}

  Index group() const { return key_heads > 0 ? heads / key_heads : 0; }
  template <class T>
  Index query_blocks() const {
    return (n_queries + block_queries<T> - 1) / block_queries<T>;
  }
};

/// Whether the sequences of a call are short, and many enough to put one in each lane of a pack.
template <class T>
bool are_short(Shape const& shape) {
  constexpr int W = pack_width<T>;
  constexpr Index most_numbers = 64 * 1024 / vector_bytes;  // of K and V of a sequence: beyond, they leave L1
  Index const longest = std::max(shape.n_queries, shape.n_keys);
  return shape.batch >= W && longest < W / 2 && longest * (shape.width + shape.value_width) <= most_numbers;
}

/// A block of queries of one head.
struct QueryBlock {
  Index batch, head;
  int first, n;
};
/// Blocks are numbered by head, then by query.
template <class T>
QueryBlock query_block(Shape const& shape, Index item) {
  Index const blocks = shape.query_blocks<T>(), head = item / blocks;
  int const first = static_cast<int>(item % blocks) * block_queries<T>;
  return {head / shape.heads, head % shape.heads, first, std::min(block_queries<T>, shape.n_queries - first)};
}

/// Calls f(run) for the queries of a block, cut where packed sequences end: where a query sees no key that the one
/// before it sees. A block across two sequences would compute the scores of each with the keys of the other. Sequences
/// of fewer than four queries stay together.
template <Mask M, class F>
void for_runs(M const& mask, Shape const& shape, QueryBlock const& at, F const& f) {
  auto const keys = [&](int i) {
    return mask.keys({static_cast<int>(at.batch), at.first + i, shape.n_queries, shape.n_keys});
  };
  if (at.n <= 1 || keys(0).end > keys(at.n - 1).begin) return f(at);  // all see a common key: nearly always
  auto const is_cut = [&](int i) {
    KeyRange const before = keys(i - 1);
    return before.begin < before.end && before.end <= keys(i).begin;
  };
  int runs = 1;
  for (int i = 1; i < at.n; ++i) runs += is_cut(i);
  if (runs == 1 || 4 * runs > at.n) return f(at);
  for (int first = 0, i = 1; i <= at.n; ++i) {
    if (i < at.n && !is_cut(i)) continue;
    f(QueryBlock{at.batch, at.head, at.first + first, i - first});
    first = i;
  }
}

template <class T, class Options>
T score_scale(Options const& options, int width) {
  return T(options.score_scale != 0 ? options.score_scale : 1 / std::sqrt(double(std::max(width, 1))));
}

template <class Options>
inline constexpr bool has_bias = !std::same_as<decltype(Options::bias), NoBias>;

/// The bias of a head of a sequence for the keys from `key` to `key + n_keys`: (1, 1, N, n_keys).
template <class R, class Memory>
auto bias_of(Tensor<R, 4, Memory> const& bias, Index b, Index h, int key, int n_keys) {
  Index const b_ = b % bias.extent(0), h_ = h % bias.extent(1);
  return bias.slice(0, b_, b_ + 1).slice(1, h_, h_ + 1).slice(3, key, key + n_keys);
}

/// Rows of numbers of type T, `step` apart.
template <class T>
struct RowsOf {
  T const* data;
  Index step;
};

/// Rows `first` to `first + n` of x (batch, heads, tokens, width). Narrow storage is widened into `buffer`; numbers of
/// type T are used where they lie.
template <class T, class X>
RowsOf<T> rows_of(X const& x, Index b, Index h, Index first, int n, T* buffer) {
  auto const* const data = x.data() + b * x.stride(0) + h * x.stride(1) + first * x.stride(2);
  if constexpr (std::same_as<typename X::Scalar, T>) {
    (void)buffer, (void)n;
    return {data, x.stride(2)};
  } else {
    Index const width = x.extent(3);
    for (int r = 0; r < n; ++r) {
      auto const* const from = data + r * x.stride(2);
      T* const to = buffer + r * width;
      Index d = 0;
      for (; d + Pack<T>::width <= width; d += Pack<T>::width) lanes::load<Pack<T>>(from + d).store(to + d);
      for (; d < width; ++d) to[d] = static_cast<T>(from[d]);
    }
    return {buffer, width};
  }
}
template <class T, class X>
inline constexpr bool must_widen = !std::same_as<typename X::Scalar, T>;

/// x (batch, heads, tokens, width): `n` rows from `first` on -> columns (width, lanes), times `factor`.
template <class P, int Columns, class X>
void pack_lanes(X const& x, Index b, Index h, Index first, int n, RealOf<P> factor, RealOf<P>* columns) {
  constexpr int W = P::width;
  auto const* const rows = x.data() + b * x.stride(0) + h * x.stride(1) + first * x.stride(2);
  for (int c = 0; c < Columns; ++c) {
    rows_to_lanes<P>(rows + c * W * x.stride(2), x.stride(2), std::min(W, n - c * W), static_cast<int>(x.extent(3)),
                     factor, columns + c * W, Columns * W);
  }
}
/// The way back, or added to x; `factor` has a pack for each column.
template <class P, int Columns, bool adds = false, class X>
void unpack_lanes(RealOf<P> const* columns, P const (&factor)[Columns], X const& x, Index b, Index h, Index first,
                  int n) {
  constexpr int W = P::width;
  auto* const rows = x.data() + b * x.stride(0) + h * x.stride(1) + first * x.stride(2);
  for (int c = 0; c < Columns; ++c) {
    lanes_to_rows<adds, P>(columns + c * W, Columns * W, factor[c], rows + c * W * x.stride(2), x.stride(2),
                           std::min(W, n - c * W), static_cast<int>(x.extent(3)));
  }
}

/// to (n_rows, width) += sum over s < n of left(row, s) right(s): left(row, s) = left[row row_step + s step], and
/// right(s) is a row of `right`, its columns in lanes. `width` is a multiple of the pack's.
template <class T, class RowStep, class Step>
void accumulate_rows(T const* left, RowStep row_step, Step step, int n_rows, RowsOf<T> right, int n, T* to, int width) {
  using P = Pack<T>;
  in_groups<gradient_packs>(width / P::width, [&](int pack, auto size) {
    constexpr int columns = size;
    in_groups<block_rows(columns)>(n_rows, [&](int i, auto rows) {
      P sum[rows][columns];
      T* const at = to + Index(i) * width + pack * P::width;
      load_block(sum, at, width);
      multiply_add(sum, left + i * Index(row_step), row_step, step, right.data + pack * P::width, right.step, n);
      store_block(sum, at, width);
    });
  });
}

/// x (batch, heads, tokens, width): `n` rows from `first` on, times `factor` -> rows (n, padded), padded with zeros.
template <class T, class X>
void copy_rows(X const& x, Index b, Index h, Index first, int n, T factor, int padded, T* rows) {
  using P = Pack<T>;
  auto const* from = x.data() + b * x.stride(0) + h * x.stride(1) + first * x.stride(2);
  int const width = static_cast<int>(x.extent(3));
  for (int r = 0; r < n; ++r, from += x.stride(2), rows += padded) {
    int d = 0;
    for (; d + P::width <= width; d += P::width) (lanes::load<P>(from + d) * P(factor)).store(rows + d);
    for (; d < width; ++d) rows[d] = factor * static_cast<T>(from[d]);
    for (; d < padded; ++d) rows[d] = T(0);
  }
}

/// to^T (n_rows, lanes) (+)= sum over the keys of a tile of rows[key][row] * tile[key]: O^T from V and W^T, dQ^T from K
/// and dS^T.
template <class P, int Columns, class T>
void accumulate_over_keys(RowsOf<T> rows, int n_rows, T const* tile, int n_keys, bool first, T* to) {
  constexpr Index lanes = Columns * P::width;
  in_groups<block_rows(Columns)>(n_rows, [&](int e, auto size) {
    P sum[size][Columns];
    if (first) {
      transform_block(sum, [](P, int, int) { return P(T(0)); });
    } else {
      load_block(sum, to + e * lanes, lanes);
    }
    multiply_add(sum, rows.data + e, UnitStep(), rows.step, tile, lanes, n_keys);
    store_block(sum, to + e * lanes, lanes);
  });
}

/// The sum of the first `n` lanes.
template <class P>
double sum_of_lanes(P const& x, int n) {
  double total = 0;
  for (int l = 0; l < std::min(n, P::width); ++l) total += static_cast<double>(x[l]);
  return total;
}

}  // namespace attn::detail::host
