/// The fused forward pass of a block of queries on the host: scores, weights and output without leaving L1.
#pragma once

#include "attn/attention/detail/host/bias_lanes.hpp"
#include "attn/attention/detail/host/dropout.hpp"
#include "attn/attention/detail/host/few_queries.hpp"
#include "attn/attention/detail/host/norm_gatherer.hpp"
#include "attn/attention/detail/key_ranges.hpp"

namespace attn::detail::host {

/// forward: s_ij = scale q_i.k_j, w_ij = a(s_ij), out_i = sum_j w_ij v_j
///
/// A block is up to 3 W queries of one head (W lanes in a vector). It goes through the keys tile by tile:
///
///   1. S^T = K Q^T        a row for each key of the tile, the queries in lanes; starts from the bias, if there is one
///   2. W^T = a(S^T)       in registers where the activation is pointwise; otherwise, when the tile of scores is
///   complete,
///                         its statistics are updated and what has been summed up so far is rescaled ("online softmax")
///   3. O^T += V^T W^T     in L1, of the weights that are not dropped
///
/// At the end O^T is divided by the normalizers and transposed into `out`.
template <class T, class A, class Q, class K, class V, class O, class Saved, class Options>
struct ForwardBlock {
  A const& a;
  Q const& q;
  K const& k;
  V const& v;
  O const& out;
  Saved const& saved;
  Options const& options;
  Shape const shape{q, k, v};
  BiasLanes<T, decltype(Options::bias)> bias_lanes = {};

  static constexpr bool normalised = RowActivation<A, Pack<T>>;
  static constexpr bool biased = has_bias<Options>;
  static constexpr bool norms = wants_norms<decltype(Options::norms)>;
  static constexpr bool row_norms = wants_rows<decltype(Options::norms)>;
  /// Whether the keys of few queries may be gathered in parts.
  static constexpr bool adds_parts = !norms && adds_in_parts<A, Pack<T>>;
  using Gatherer = NormGatherer<T, A, Options>;
  using Dropout = TileDropout<T, decltype(Options::dropout)>;

  Gatherer gatherer(OfRow<A> const& weigh) const { return {weigh, options}; }

  struct Tiles {
    T *q_lanes, *out_lanes, *weights, *keys, *values, *factors;
    std::size_t bytes;
  };
  Tiles cut_tiles(Arena arena) const {
    Tiles t{};
    t.q_lanes = arena.take<T>(Index(shape.width) * block_queries<T>);
    t.out_lanes = arena.take<T>(Index(shape.value_width) * block_queries<T>);
    t.weights = arena.take<T>(Index(last_key_tile) * block_queries<T>);
    t.keys = arena.take<T>(must_widen<T, K> ? Index(last_key_tile) * shape.width : 0);
    t.values = arena.take<T>(must_widen<T, V> ? Index(last_key_tile) * shape.value_width : 0);
    t.factors = arena.take<T>(Dropout::numbers(Index(last_key_tile) * block_queries<T>));
    t.bytes = arena.used();
    return t;
  }

  void any_block(QueryBlock const& at, Arena scratch, NormSums<double>* partial, Prefetcher& soon) const {
    if constexpr (norms) *partial = {};
    for_runs(options.mask, shape, at, [&](QueryBlock const& run) {
      if constexpr (!norms) {
        if (are_few<T>(run.n, shape)) return few_queries_block(run, scratch, soon);
      }
      with_block_of<T>(run.n, [&]<class P, int Columns>(std::type_identity<P>, std::integral_constant<int, Columns>) {
        block<P, Columns>(run, scratch, partial, soon);
      });
    });
  }

  void will_read(QueryBlock const& next, Prefetcher& soon) const {
    soon.add(q, next.batch, next.head, next.first, next.n);
    if (next.first == 0) {  // of keys and values the first tile will do: the processor sees where their rows lead
      int const n = std::min(last_key_tile, shape.n_keys);
      soon.add(k, next.batch, next.head / shape.group(), 0, n);
      soon.add(v, next.batch, next.head / shape.group(), 0, n);
    }
  }

  template <class P, int Columns>
  void block(QueryBlock const& at, Arena scratch, NormSums<double>* partial, Prefetcher& soon) const {
    auto const [b, h, query, rows_of_block] = at;
    int const n = rows_of_block;  // clang 14 captures no structured binding
    constexpr int W = P::width, lanes = Columns * W;
    Tiles const tiles = cut_tiles(scratch);
    Index const key_head = h / shape.group();
    Row const row{options.mask.length(int(b), shape.n_keys), int(h)};
    auto const weigh = for_row(a, row);
    VisibleKeys<P, Columns> const visible(options.mask, {int(b), query, shape.n_queries, shape.n_keys}, n);
    RowStatistics<A, P, Columns> statistics;
    NormSums<P> sums[Columns];
    [[maybe_unused]] RowSums<P> of_rows[Columns];
    Dropout const dropout(options.dropout, tiles.factors);

    pack_lanes<P, Columns>(q, b, h, query, n, score_scale<T>(options, shape.width), tiles.q_lanes);
    soon.spread(keys_in_tile(visible.last - visible.first) / block_rows(Columns));
    for (int key = visible.first, n_keys; key < visible.last; key += n_keys) {
      n_keys = keys_in_tile(visible.last - key);
      bool const first = key == visible.first;
      auto const k_rows = rows_of<T>(k, b, key_head, key, n_keys, tiles.keys);
      auto const v_rows = rows_of<T>(v, b, key_head, key, n_keys, tiles.values);
      RowsOf<T> bias{};
      if constexpr (biased) {
        bias = bias_lanes.rows(b, h, query, key);
        if (bias.data == nullptr) {
          pack_lanes<P, Columns>(bias_of(options.bias.values, b, h, key, n_keys), 0, 0, query, n, T(1), tiles.weights);
          bias = {tiles.weights, lanes};
        }
      }
      score_tile(weigh, k_rows, bias, tiles, key, n_keys, row, visible, sums, soon);
      if constexpr (normalised) {
        for (int c = 0; c < Columns; ++c) {
          ScoreTile<P> const column{tiles.weights + c * W, lanes, n_keys};
          [[maybe_unused]] P scores[Gatherer::template keeps_scores<P> ? last_key_tile : 1];
          if constexpr (Gatherer::template keeps_scores<P>) {
            for (int j = 0; j < n_keys; ++j) scores[j] = column[j];
          }
          P const factor = absorb_tile(weigh, statistics.of[c], column, visible, key, c);
          if (!first && !all_ones(factor)) {
            for (int e = 0; e < shape.value_width; ++e) {
              T* const at = tiles.out_lanes + e * lanes + c * W;
              (P::load(at) * factor).store(at);
            }
          }
          if constexpr (norms) {
            gatherer(weigh).add_powers(column, factor, sums[c]);
            if constexpr (Gatherer::template keeps_scores<P>) {
              gatherer(weigh).add_numerator_slopes(scores, column, statistics.of[c], visible, key, c, sums[c]);
            }
          }
          if constexpr (row_norms) of_rows[c].rescale(factor);
        }
      }
      if constexpr (row_norms) gatherer(weigh).add_rows(tiles.weights, key, n_keys, visible, of_rows);
      T const* const factors = dropout.template of_block<P, Columns>(b * shape.heads + h, query, key, n_keys);
      if (factors != nullptr) multiply(tiles.weights, factors, n_keys * lanes);
      SoundRows<T> const values(v_rows, n_keys, shape.value_width, visible.all_first - key, visible.all_last - key);
      accumulate_over_keys<P, Columns>(values.sound(), shape.value_width, tiles.weights, n_keys, first,
                                       tiles.out_lanes);
      add_others_over_keys<P, Columns>(values, tiles.weights, key, visible, tiles.out_lanes);
    }
    finish<P, Columns>(weigh, at, visible, statistics, tiles, sums, partial);
    if constexpr (row_norms) gatherer(weigh).write_rows(at, visible, statistics, of_rows);
  }

  /// What a few queries gather over some of their keys.
  using FewStats = StatsOf<A, Pack<T>>;
  struct FewPart {
    T* sums;          ///< (n, E)
    FewStats* stats;  ///< (n), each with lanes that are all the same
    std::size_t bytes;
  };
  FewPart cut_part(Arena arena) const {
    FewPart part{};
    part.sums = arena.take<T>(Index(shape.n_queries) * shape.value_width);
    part.stats = arena.take<FewStats>(shape.n_queries);
    part.bytes = arena.used();
    return part;
  }

  /// What is known of a few queries beside their numbers.
  struct FewRows {
    QueryBlock at;
    Row row;
    OfRow<A> weigh;
    KeysOfFew<T> keys;

    FewRows(ForwardBlock const& call, QueryBlock const& at_)
        : at(at_),
          row{call.options.mask.length(int(at.batch), call.shape.n_keys), int(at.head)},
          weigh(for_row(call.a, row)),
          keys(call.options.mask, {int(at.batch), at.first, call.shape.n_queries, call.shape.n_keys}, at.n) {}
    KeyRange range() const { return {keys.first, keys.last}; }
  };

  /// The same for few queries, keys in lanes.
  void few_queries_block(QueryBlock const& at, Arena scratch, Prefetcher& soon) const {
    Tiles const tiles = cut_tiles(scratch);
    FewRows const rows(*this, at);
    FewStats stats[few_queries<T>];
    gather_few(rows, rows.range(), tiles, {tiles.out_lanes, stats, 0}, soon);
    finish_few(rows, {tiles.out_lanes, stats, 0});
  }

  /// One of `count` parts of their keys alone; `add_few_parts` then puts `count` parts together in their order.
  void few_queries_part(QueryBlock const& at, int index, int count, Arena scratch, FewPart const& part) const {
    FewRows const rows(*this, at);
    KeyRange const range = part_of(rows.range(), index, count, key_tile);
    Prefetcher nothing;
    gather_few(rows, range, cut_tiles(scratch), part, nothing);
    for (int i = 0; i < at.n; ++i) {
      if (!sees_any(rows.keys.of[i], range)) part.stats[i] = FewStats();
    }
  }
  template <class PartAt>
  void add_few_parts(QueryBlock const& at, int count, Arena scratch, PartAt const& part_at) const {
    using P = Pack<T>;
    FewRows const rows(*this, at);
    FewStats stats[few_queries<T>];
    FewPart const sum{cut_tiles(scratch).out_lanes, stats, 0};
    std::fill_n(sum.sums, at.n * shape.value_width, T(0));
    for (int p = 0; p < count; ++p) {
      FewPart const part = part_at(p);
      for (int i = 0; i < at.n; ++i) {
        Kokkos::Array<P, 2> factors{P(T(1)), P(T(1))};
        if constexpr (normalised) factors = rows.weigh.merge(stats[i], part.stats[i]);
        for (int e = i * shape.value_width; e < (i + 1) * shape.value_width; e += P::width) {
          (P::load(sum.sums + e) * factors[0] + P::load(part.sums + e) * factors[1]).store(sum.sums + e);
        }
      }
    }
    finish_few(rows, sum);
  }

  void gather_few(FewRows const& rows, KeyRange range, Tiles const& tiles, FewPart const& to, Prefetcher& soon) const {
    using P = Pack<T>;
    auto const [b, h, query, rows_of_block] = rows.at;
    int const n = rows_of_block;  // clang 14 captures no structured binding
    constexpr Index step = score_row_step<T>;
    Index const key_head = h / shape.group();
    int const width = shape.width, value_width = shape.value_width;
    KeysOfFew<T> const& keys = rows.keys;
    Dropout const dropout(options.dropout, tiles.factors);
    T *const q_rows = tiles.q_lanes, *const out_rows = to.sums;

    soon.spread(n);
    copy_rows(q, b, h, query, n, score_scale<T>(options, width), width, q_rows);
    std::fill_n(out_rows, n * value_width, T(0));
    std::fill_n(to.stats, n, FewStats());
    for (int key = range.begin, n_keys; key < range.end; key += n_keys) {
      n_keys = keys_in_tile(range.end - key);
      auto const k_rows = rows_of<T>(k, b, key_head, key, n_keys, tiles.keys);
      auto const v_rows = rows_of<T>(v, b, key_head, key, n_keys, tiles.values);
      for (int i = 0; i < n; ++i) {
        soon.advance();
        T* const weights = tiles.weights + i * step;
        T const* bias = nullptr;
        if constexpr (biased) bias = &bias_of(options.bias.values, b, h, key, n_keys)(0, 0, query + i, 0);
        multiply_by_rows(q_rows + i * width, k_rows, n_keys, width, weights);
        for (int j = 0; j < n_keys && (biased || !normalised); j += P::width) {
          P s = P::load(weights + j);
          if (bias != nullptr) s = plus_row(s, bias + j, n_keys - j);
          if constexpr (!normalised) s = keys.choose(i, key + j, rows.weigh(s, rows.row), P(T(0)));
          s.store(weights + j);
        }
        if constexpr (normalised) {
          P const factor = absorb_row(rows.weigh, to.stats[i], weights, n_keys, keys, i, key);
          if (!all_ones(factor)) {
            for (int e = 0; e < value_width; e += P::width) {
              T* const at = out_rows + i * value_width + e;
              (P::load(at) * factor).store(at);
            }
          }
        }
        T const* const factors = dropout.of_row(b * shape.heads + h, query + i, key, n_keys);
        if (factors != nullptr) multiply(weights, factors, n_keys);
      }
      SoundRows<T> const values(v_rows, n_keys, value_width, keys.all_first - key, keys.all_last - key);
      accumulate_rows(tiles.weights, step, UnitStep(), n, values.sound(), n_keys, out_rows, value_width);
      values.for_others([&](int j, int e, T x) {
        for (int i = 0; i < n; ++i) {
          if (keys.sees(i, key + j)) out_rows[i * value_width + e] += tiles.weights[i * step + j] * x;
        }
      });
    }
  }

  /// Divides by the normalizers, and writes the output and the statistics.
  void finish_few(FewRows const& rows, FewPart const& sum) const {
    using P = Pack<T>;
    auto const [b, h, query, n] = rows.at;
    P inverse[few_queries<T>];
    for (int i = 0; i < n; ++i) {
      inverse[i] = P(T(1));
      if constexpr (normalised) {
        bool const empty = rows.keys.of[i].begin >= rows.keys.of[i].end;
        inverse[i] = empty ? P(T(0)) : P(T(1)) / rows.weigh.normalizer(sum.stats[i]);
        auto const& saved_rows = saved.rows();
        if (saved_rows.data() != nullptr) save_stats<A, P>(sum.stats[i], &saved_rows(b, h, query + i), 1);
      }
    }
    put_rows(sum.sums, inverse, out, b, h, query, n);
  }

  /// S^T = K Q^T for the keys of a tile, added to a bias; a pointwise activation turns it into weights before it leaves
  /// the registers.
  template <class Weigh, class P, int Columns>
  void score_tile(Weigh const& weigh, RowsOf<T> k_rows, [[maybe_unused]] RowsOf<T> bias, Tiles const& tiles, int key,
                  int n_keys, Row row, VisibleKeys<P, Columns> const& visible, NormSums<P> (&sums)[Columns],
                  Prefetcher& soon) const {
    constexpr int lanes = Columns * P::width;
    bool const all = visible.all_visible(key, key + n_keys);
    in_groups<block_rows(Columns)>(n_keys, [&](int j, auto rows) {
      soon.advance();
      P s[rows][Columns];  // (keys, lanes)
      if constexpr (biased) {
        load_block(s, bias.data + j * bias.step, bias.step);
      } else {
        transform_block(s, [](P, int, int) { return P(T(0)); });
      }
      multiply_add(s, k_rows.data + j * k_rows.step, k_rows.step, UnitStep(), tiles.q_lanes, lanes, shape.width);
      if constexpr (!normalised) {
        if constexpr (norms) gatherer(weigh).add_slopes(weigh, s, key + j, row, visible, sums);
        transform_block(s, [&](P x, int, int) { return weigh(x, row); });
        if (!all) transform_block(s, [&](P w, int i, int c) { return visible.choose(key + j + i, c, w, P(T(0))); });
        if constexpr (norms) {
          transform_block(s, [&](P w, int, int c) { return sums[c].w2 += w * w, w; });
        }
      }
      store_block(s, tiles.weights + j * lanes, lanes);
    });
  }

  /// Divides by the normalizers, and writes the output, the statistics and the block's share of the norms.
  template <class P, int Columns>
  void finish([[maybe_unused]] OfRow<A> const& weigh, QueryBlock const& at, VisibleKeys<P, Columns> const& visible,
              RowStatistics<A, P, Columns> const& statistics, Tiles const& tiles, NormSums<P> (&sums)[Columns],
              NormSums<double>* partial) const {
    auto const [b, h, query, rows_of_block] = at;
    int const n = rows_of_block;  // clang 14 captures no structured binding
    constexpr int W = P::width;
    bool const empty = visible.first >= visible.last;
    if (empty) std::fill_n(tiles.out_lanes, Index(shape.value_width) * Columns * W, T(0));
    P inverse[Columns];
    NormSums<double> share;
    for (int c = 0; c < Columns; ++c) {
      inverse[c] = P(T(1));
      if constexpr (normalised) {
        // a row without keys has no normalizer
        inverse[c] = visible.choose_any(c, P(T(1)) / weigh.normalizer(statistics.of[c]), P(T(0)));
        auto const& rows = saved.rows();
        if (rows.data() != nullptr)
          save_stats<A, P>(statistics.of[c], &rows(b, h, query + c * W), std::min(W, n - c * W));
      }
      if constexpr (norms) {
        if constexpr (normalised) {
          P const inverse2 = inverse[c] * inverse[c];
          sums[c].w2 *= inverse2;
          sums[c].second *= inverse2;
          sums[c].third *= inverse2 * inverse[c];
        }
        share.w2 += sum_of_lanes(sums[c].w2, n - c * W);
        share.second += sum_of_lanes(squared_jacobian(weigh, sums[c]), n - c * W);
      }
    }
    if constexpr (norms) {
      partial->w2 += share.w2;
      partial->second += share.second;
    }
    unpack_lanes<P, Columns>(tiles.out_lanes, inverse, out, b, h, query, n);
  }

  template <class P>
  static bool all_ones(P const& x) {
    bool all = true;
    for (int l = 0; l < P::width; ++l) all &= x[l] == T(1);
    return all;
  }
};

}  // namespace attn::detail::host
