/// The fused forward pass of a block of queries on the host: scores, weights and output without leaving L1.
#pragma once

#include "attn/attention/detail/host/bias_lanes.hpp"
#include "attn/attention/detail/host/few_queries.hpp"
#include "attn/attention/detail/norm_sums.hpp"

namespace attn::detail::host {

/// forward: s_ij = scale q_i.k_j, w_ij = a(s_ij), out_i = sum_j w_ij v_j; everything transposed, queries in lanes.
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

  struct Tiles {
    T *q_lanes, *out_lanes, *weights, *keys, *values;
    std::size_t bytes;
  };
  Tiles cut_tiles(Carver carver) const {
    Tiles t{};
    t.q_lanes = carver.take<T>(Index(shape.width) * block_queries<T>);
    t.out_lanes = carver.take<T>(Index(shape.value_width) * block_queries<T>);
    t.weights = carver.take<T>(Index(last_key_tile) * block_queries<T>);
    t.keys = carver.take<T>(must_widen<T, K> ? Index(last_key_tile) * shape.width : 0);
    t.values = carver.take<T>(must_widen<T, V> ? Index(last_key_tile) * shape.value_width : 0);
    t.bytes = carver.used();
    return t;
  }

  void any_block(QueryBlock const& at, Carver scratch, NormSums<double>* partial, Prefetcher& soon) const {
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
  void block(QueryBlock const& at, Carver scratch, NormSums<double>* partial, Prefetcher& soon) const {
    auto const [b, h, query, n] = at;
    constexpr int W = P::width, lanes = Columns * W;
    Tiles const tiles = cut_tiles(scratch);
    Index const key_head = h / shape.group();
    Row const row{options.mask.length(int(b), shape.n_keys), int(h)};
    auto const weigh = for_row(a, row);
    VisibleKeys<P, Columns> const visible(options.mask, {int(b), query, shape.n_queries, shape.n_keys}, n);
    RowStatistics<A, P, Columns> statistics;
    NormSums<P> sums[Columns];
    [[maybe_unused]] RowSums<P> of_rows[Columns];

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
          [[maybe_unused]] P scores[keeps_scores<P> ? last_key_tile : 1];
          if constexpr (keeps_scores<P>) {
            for (int j = 0; j < n_keys; ++j) scores[j] = column[j];
          }
          P const factor = absorb_tile(a, statistics.of[c], column, visible, key, c);
          if (!first && !all_ones(factor)) {
            for (int e = 0; e < shape.value_width; ++e) {
              T* const at = tiles.out_lanes + e * lanes + c * W;
              (P::load(at) * factor).store(at);
            }
          }
          if constexpr (norms) {
            add_powers(column, factor, sums[c]);
            if constexpr (keeps_scores<P>) {
              add_numerator_slopes(scores, column, statistics.of[c], visible, key, c, sums[c]);
            }
          }
          if constexpr (row_norms) of_rows[c].rescale(factor);
        }
      }
      if constexpr (row_norms) add_rows(tiles.weights, key, n_keys, visible, of_rows);
      SoundRows<T> const values(v_rows, n_keys, shape.value_width, visible.all_first - key, visible.all_last - key);
      accumulate_over_keys<P, Columns>(values.sound(), shape.value_width, tiles.weights, n_keys, first,
                                       tiles.out_lanes);
      add_others_over_keys<P, Columns>(values, tiles.weights, key, visible, tiles.out_lanes);
    }
    finish<P, Columns>(at, visible, statistics, tiles, sums, partial);
    if constexpr (row_norms) write_rows(at, visible, statistics, of_rows);
  }

  /// The same for few queries, keys in lanes.
  void few_queries_block(QueryBlock const& at, Carver scratch, Prefetcher& soon) const {
    using P = Pack<T>;
    auto const [b, h, query, n] = at;
    constexpr Index step = score_row_step<T>;
    Tiles const tiles = cut_tiles(scratch);
    Index const key_head = h / shape.group();
    int const width = shape.width, value_width = shape.value_width;
    Row const row{options.mask.length(int(b), shape.n_keys), int(h)};
    auto const weigh = for_row(a, row);
    KeysOfFew<T> const keys(options.mask, {int(b), query, shape.n_queries, shape.n_keys}, n);
    RowStatistics<A, P, few_queries<T>> statistics;
    T *const q_rows = tiles.q_lanes, *const out_rows = tiles.out_lanes;

    soon.spread(n);
    copy_rows(q, b, h, query, n, score_scale<T>(options, width), width, q_rows);
    std::fill_n(out_rows, n * value_width, T(0));
    for (int key = keys.first, n_keys; key < keys.last; key += n_keys) {
      n_keys = keys_in_tile(keys.last - key);
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
          if constexpr (!normalised) s = keys.choose(i, key + j, weigh(s, row), P(T(0)));
          s.store(weights + j);
        }
        if constexpr (normalised) {
          P const factor = absorb_row(a, statistics.of[i], weights, n_keys, keys, i, key);
          if (!all_ones(factor)) {
            for (int e = 0; e < value_width; e += P::width) {
              T* const at = out_rows + i * value_width + e;
              (P::load(at) * factor).store(at);
            }
          }
        }
      }
      SoundRows<T> const values(v_rows, n_keys, value_width, keys.all_first - key, keys.all_last - key);
      accumulate_rows(tiles.weights, step, UnitStep(), n, values.sound(), n_keys, out_rows, value_width);
      values.for_others([&](int j, int e, T x) {
        for (int i = 0; i < n; ++i) {
          if (keys.sees(i, key + j)) out_rows[i * value_width + e] += tiles.weights[i * step + j] * x;
        }
      });
    }
    P inverse[few_queries<T>];
    for (int i = 0; i < n; ++i) {
      inverse[i] = P(T(1));
      if constexpr (normalised) {
        bool const empty = keys.of[i].begin >= keys.of[i].end;
        inverse[i] = empty ? P(T(0)) : P(T(1)) / a.normalizer(statistics.of[i]);
        auto const& rows = saved.rows();
        if (rows.data() != nullptr) save_stats<A, P>(statistics.of[i], &rows(b, h, query + i), 1);
      }
    }
    put_rows(out_rows, inverse, out, b, h, query, n);
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
        if constexpr (norms) add_slopes(weigh, s, key + j, row, visible, sums);
        transform_block(s, [&](P x, int, int) { return weigh(x, row); });
        if (!all) transform_block(s, [&](P w, int i, int c) { return visible.choose(key + j + i, c, w, P(T(0))); });
        if constexpr (norms) {
          transform_block(s, [&](P w, int, int c) { return sums[c].w2 += w * w, w; });
        }
      }
      store_block(s, tiles.weights + j * lanes, lanes);
    });
  }

  /// Sums of squares of the slopes at visible scores.
  template <class Weigh, class P, int Rows, int Columns>
  void add_slopes(Weigh const& weigh, P const (&scores)[Rows][Columns], int key, Row row,
                  VisibleKeys<P, Columns> const& visible, NormSums<P> (&sums)[Columns]) const {
    for (int i = 0; i < Rows; ++i) {
      for (int c = 0; c < Columns; ++c) {
        P const slope = weight_and_slope(weigh, scores[i][c], row).slope;
        sums[c].second += visible.choose(key + i, c, slope * slope, P(T(0)));
      }
    }
  }

  /// Sums of squares and, for a closed form, cubes of numerators; earlier ones are rescaled as their numerators are.
  template <class P>
  static void add_powers(ScoreTile<P> const& numerators, P factor, NormSums<P>& sums) {
    P const factor2 = factor * factor;
    sums.w2 *= factor2;
    sums.second *= factor2;
    sums.third *= factor2 * factor;
    for (int j = 0; j < numerators.size(); ++j) {
      P const w = numerators[j], w2 = w * w;
      sums.w2 += w2;
      if constexpr (!keeps_scores<P>) sums.third += w2 * w;
    }
  }

  /// Whether the norm of the Jacobian comes from slopes of numerators, which are functions of scores.
  template <class P>
  static constexpr bool keeps_scores = norms&& normalised&& StatesNumeratorSlope<A, P>;

  template <class P, int Columns, class Stats, int N>
  void add_numerator_slopes(P const (&scores)[N], ScoreTile<P> const& numerators, Stats const& stats,
                            VisibleKeys<P, Columns> const& visible, int key, int c, NormSums<P>& sums) const {
    for (int j = 0; j < numerators.size(); ++j) {
      P const slope = visible.choose(key + j, c, a.numerator_slope(scores[j], stats), P(T(0))), slope2 = slope * slope;
      sums.second += slope2;
      sums.third += slope2 * attn::abs(numerators[j]);
    }
  }

  /// The weights, or numerators, of a tile: hidden ones are zero.
  template <class P, int Columns>
  void add_rows(T const* tile, int key, int n_keys, VisibleKeys<P, Columns> const& visible,
                RowSums<P> (&rows)[Columns]) const {
    constexpr int W = P::width, lanes = Columns * W;
    bool const all = visible.all_visible(key, key + n_keys), entropy = options.norms.entropy.data() != nullptr;
    for (int c = 0; c < Columns; ++c) {
      RowSums<P> row = rows[c];
      for (int j = 0; j < n_keys; ++j) {
        P const w = P::load(tile + j * lanes + c * W);
        RowSums<P> const before = row;
        row.add(w, entropy);
        if (all) continue;
        row.minimum = visible.choose(key + j, c, row.minimum, before.minimum);
        row.maximum = visible.choose(key + j, c, row.maximum, before.maximum);
      }
      rows[c] = row;
    }
  }

  /// Writes what is known of each row of a block.
  template <class P, int Columns>
  void write_rows(QueryBlock const& at, VisibleKeys<P, Columns> const& visible,
                  RowStatistics<A, P, Columns> const& statistics, RowSums<P> (&rows)[Columns]) const {
    auto const& to = options.norms;
    for (int c = 0; c < Columns; ++c) {
      P const zero(T(0));
      P inverse(T(1));
      if constexpr (normalised) inverse /= a.normalizer(statistics.of[c]);
      auto const write = [&](auto const& result, P const& value) {
        if (result.data() == nullptr) return;
        P const shown = visible.choose_any(c, value, zero);
        for (int l = 0; l < std::min(P::width, at.n - c * P::width); ++l) {
          using R = typename std::remove_cvref_t<decltype(result)>::Scalar;
          result(at.batch, at.head, at.first + c * P::width + l) = static_cast<R>(shown[l]);
        }
      };
      write(to.sum, rows[c].sum * inverse);
      write(to.minimum, rows[c].minimum * inverse);
      write(to.maximum, rows[c].maximum * inverse);
      write(to.positive, rows[c].positive);
      write(to.negative, rows[c].negative);
      if (to.entropy.data() != nullptr) write(to.entropy, rows[c].entropy());
    }
  }

  /// Divides by the normalizers, and writes the output, the statistics and the block's share of the norms.
  template <class P, int Columns>
  void finish(QueryBlock const& at, VisibleKeys<P, Columns> const& visible,
              RowStatistics<A, P, Columns> const& statistics, Tiles const& tiles, NormSums<P> (&sums)[Columns],
              NormSums<double>* partial) const {
    auto const [b, h, query, n] = at;
    constexpr int W = P::width;
    bool const empty = visible.first >= visible.last;
    if (empty) std::fill_n(tiles.out_lanes, Index(shape.value_width) * Columns * W, T(0));
    P inverse[Columns];
    NormSums<double> share;
    for (int c = 0; c < Columns; ++c) {
      inverse[c] = P(T(1));
      if constexpr (normalised) {
        // a row without keys has no normalizer
        inverse[c] = visible.choose_any(c, P(T(1)) / a.normalizer(statistics.of[c]), P(T(0)));
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
        share.second += sum_of_lanes(squared_jacobian(a, sums[c]), n - c * W);
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
