/// The fused backward pass of a block of queries on the host. Nothing of size N x M was saved: scores are computed
/// again, tile by tile, and each tile gives its share of all gradients before it is forgotten:
///
///   S^T = K Q^T, dW^T = V dO^T        then, score by score: W^T = a(S^T), dS^T = pullback of dW^T, less what is
///   dropped
///                                     of both W^T and dW^T
///   dQ^T += K^T dS^T                  in L1, written when the block is done
///   dK += dS^T Q, dV += W^T dO        in memory of the thread, written when all queries of the key head are done
#pragma once

#include "attn/attention/detail/host/bias.hpp"
#include "attn/attention/detail/host/bias_lanes.hpp"
#include "attn/attention/detail/host/dropout.hpp"
#include "attn/attention/detail/host/few_queries.hpp"
#include "attn/attention/detail/host/short_sequences.hpp"

namespace attn::detail::host {

template <class T, class A, class Q, class K, class V, class O, class Saved, class DO, class DQ, class DK, class DV,
          class Options>
struct BackwardBlock {
  A const& a;
  Q const& q;
  K const& k;
  V const& v;
  O const& out;
  Saved const& saved;
  DO const& d_out;
  DQ const& d_q;
  DK const& d_k;
  DV const& d_v;
  Options const& options;
  Shape const shape{q, k, v};
  BiasLanes<T, decltype(Options::bias)> bias_lanes = {};

  static constexpr bool normalised = RowActivation<A, Pack<T>>;
  static constexpr bool biased = has_bias<Options>;
  static constexpr int n_parameters = [] {
    if constexpr (LearnableActivation<A, Pack<T>>) {
      return A::n_parameters;
    } else {
      return 0;
    }
  }();

  using Bias = decltype(Options::bias);
  using Sums = typename BiasGradient<T, Bias>::Sums;
  using Dropout = TileDropout<T, decltype(Options::dropout)>;

  /// Where a piece of work gathers.
  struct Gradients {
    T* keys_and_values;  ///< dK (M, padded D), then dV (M, padded E)
    Sums bias;           ///< (B', H, N, M)
    bool starts_bias;    ///< nothing is there yet
    double* parameters;  ///< of all blocks of queries
  };

  int padded_width() const { return (shape.width + Pack<T>::width - 1) / Pack<T>::width * Pack<T>::width; }
  int padded_value_width() const { return (shape.value_width + Pack<T>::width - 1) / Pack<T>::width * Pack<T>::width; }
  /// dK (M, padded D), then dV (M, padded E).
  Index gradient_numbers() const { return Index(shape.n_keys) * (padded_width() + padded_value_width()); }

  struct Tiles {
    T *q_lanes, *d_out_lanes, *d_q_lanes, *weights, *d_scores, *q_rows, *d_out_rows, *keys, *values, *factors;
    std::size_t bytes;
  };
  Tiles cut_tiles(Arena arena) const {
    constexpr Index lanes = block_queries<T>;
    Tiles t{};
    t.q_lanes = arena.take<T>(shape.width * lanes);
    t.d_out_lanes = arena.take<T>(shape.value_width * lanes);
    t.d_q_lanes = arena.take<T>(std::max(shape.width, shape.value_width) * lanes);
    t.weights = arena.take<T>(last_key_tile * lanes);
    t.d_scores = arena.take<T>(last_key_tile * lanes);
    t.q_rows = arena.take<T>(padded_width() * lanes);
    t.d_out_rows = arena.take<T>(padded_value_width() * lanes);
    t.keys = arena.take<T>(must_widen<T, K> ? Index(last_key_tile) * shape.width : 0);
    t.values = arena.take<T>(must_widen<T, V> ? Index(last_key_tile) * shape.value_width : 0);
    t.factors = arena.take<T>(Dropout::numbers(last_key_tile * lanes));
    t.bytes = arena.used();
    return t;
  }

  void will_read(QueryBlock const& next, Prefetcher& soon) const {
    soon.add(q, next.batch, next.head, next.first, next.n);
    soon.add(d_out, next.batch, next.head, next.first, next.n);
    if constexpr (normalised) soon.add(out, next.batch, next.head, next.first, next.n);
    if (next.first == 0 && next.head % shape.group() == 0) {  // of keys and values the first tile, as forward
      int const n = std::min(last_key_tile, shape.n_keys);
      soon.add(k, next.batch, next.head / shape.group(), 0, n);
      soon.add(v, next.batch, next.head / shape.group(), 0, n);
    }
  }

  /// What a row-normalised activation needs to know about the rows of a block.
  template <class P, int Columns>
  struct Rows {
    RowStatistics<A, P, Columns> statistics;
    P inverse[Columns];  ///< 1 / normalizer
    P delta[Columns];    ///< sum_j w_ij d_w_ij = d_out_i.out_i
  };

  void any_block(QueryBlock const& at, Arena scratch, Gradients const& to, double* partial, Prefetcher& soon) const {
    for (int p = 0; p < n_parameters; ++p) partial[p] = 0;
    for_runs(options.mask, shape, at, [&](QueryBlock const& run) {
      if (are_few<T>(run.n, shape)) return few_queries_block(run, scratch, to, partial, soon);
      with_block_of<T>(run.n, [&]<class P, int Columns>(std::type_identity<P>, std::integral_constant<int, Columns>) {
        block<P, Columns>(run, scratch, to, partial, soon);
      });
    });
  }

  template <class P, int Columns>
  void block(QueryBlock const& at, Arena scratch, Gradients const& to, double* partial, Prefetcher& soon) const {
    auto const [b, h, query, rows_of_block] = at;
    int const n = rows_of_block;  // clang 14 captures no structured binding
    constexpr int lanes = Columns * P::width;
    Tiles const tiles = cut_tiles(scratch);
    Index const key_head = h / shape.group();
    T const scale = score_scale<T>(options, shape.width);
    int const width = padded_width(), value_width = padded_value_width();
    T *const d_keys = to.keys_and_values, *const d_values = d_keys + Index(shape.n_keys) * width;
    Row const row{options.mask.length(int(b), shape.n_keys), int(h)};
    auto const weigh = for_row(a, row);
    VisibleKeys<P, Columns> const visible(options.mask, {int(b), query, shape.n_queries, shape.n_keys}, n);
    P parameters[n_parameters + 1][Columns];
    transform_block(parameters, [](P, int, int) { return P(T(0)); });

    pack_lanes<P, Columns>(q, b, h, query, n, scale, tiles.q_lanes);
    pack_lanes<P, Columns>(d_out, b, h, query, n, T(1), tiles.d_out_lanes);
    copy_rows(q, b, h, query, n, scale, width, tiles.q_rows);
    copy_rows(d_out, b, h, query, n, T(1), value_width, tiles.d_out_rows);
    Rows<P, Columns> rows;
    if constexpr (normalised) load_rows<P, Columns>(weigh, at, tiles, rows);

    Dropout const dropout(options.dropout, tiles.factors);
    [[maybe_unused]] P ones[Columns];
    std::fill_n(ones, Columns, P(T(1)));
    int const hidden = visible.are_cut() ? n : 0;  // of the queries, so many may not see what another does
    SoundRows<T> const queries({tiles.q_rows, width}, n, width, hidden, n);
    SoundRows<T> const d_outs({tiles.d_out_rows, value_width}, n, value_width, hidden, n);

    soon.spread(keys_in_tile(visible.last - visible.first) / block_rows(Columns));
    for (int key = visible.first, n_keys; key < visible.last; key += n_keys) {
      n_keys = keys_in_tile(visible.last - key);
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
      T const* const factors = dropout.template of_block<P, Columns>(b * shape.heads + h, query, key, n_keys);
      gradient_tile(weigh, k_rows, v_rows, bias, factors, tiles, key, n_keys, row, visible, rows, parameters, soon);
      if (factors != nullptr) multiply(tiles.weights, factors, n_keys * lanes);
      if constexpr (biased) {
        if (to.bias.data() != nullptr) {
          unpack_lanes<P, Columns, true>(tiles.d_scores, ones, bias_of(to.bias, b, h, key, n_keys), 0, 0, query, n);
        }
      }
      // forward: s_ij = scale q_i.k_j; hence d_q_i += scale d_s_ij k_j and d_k_j += d_s_ij scale q_i
      SoundRows<T> const keys(k_rows, n_keys, shape.width, visible.all_first - key, visible.all_last - key);
      accumulate_over_keys<P, Columns>(keys.sound(), shape.width, tiles.d_scores, n_keys, key == visible.first,
                                       tiles.d_q_lanes);
      add_others_over_keys<P, Columns>(keys, tiles.d_scores, key, visible, tiles.d_q_lanes);
      auto const add_to_keys = [&](SoundRows<T> const& rows, T const* tile, T* to, int row_width) {
        accumulate_rows(tile, lanes, UnitStep(), n_keys, rows.sound(), n, to + Index(key) * row_width, row_width);
        rows.for_others([&](int i, int d, T x) {
          for (int j = 0; j < n_keys; ++j) {
            if (visible.sees(i, key + j)) to[Index(key + j) * row_width + d] += tile[j * lanes + i] * x;
          }
        });
      };
      add_to_keys(queries, tiles.d_scores, d_keys, width);
      // forward: out_i += w_ij v_j; hence d_v_j += w_ij d_out_i
      add_to_keys(d_outs, tiles.weights, d_values, value_width);
    }
    if (visible.first >= visible.last) std::fill_n(tiles.d_q_lanes, Index(shape.width) * lanes, T(0));
    P scales[Columns];
    for (P& s : scales) s = P(scale);
    unpack_lanes<P, Columns>(tiles.d_q_lanes, scales, d_q, b, h, query, n);
    for (int p = 0; p < n_parameters; ++p) {
      for (int c = 0; c < Columns; ++c) partial[p] += sum_of_lanes(parameters[p][c], n - c * P::width);
    }
  }

  /// The same for few queries, keys in lanes. Query i has the i-th of `rows` and `parameters`.
  void few_queries_block(QueryBlock const& at, Arena scratch, Gradients const& to, double* partial,
                         Prefetcher& soon) const {
    using P = Pack<T>;
    auto const [b, h, query, rows_of_block] = at;
    int const n = rows_of_block;  // clang 14 captures no structured binding
    constexpr int W = P::width, most = few_queries<T>;
    constexpr Index step = score_row_step<T>;
    Tiles const tiles = cut_tiles(scratch);
    Index const key_head = h / shape.group();
    T const scale = score_scale<T>(options, shape.width);
    int const width = shape.width, value_width = shape.value_width;
    T *const d_keys = to.keys_and_values, *const d_values = d_keys + Index(shape.n_keys) * width;
    Row const row{options.mask.length(int(b), shape.n_keys), int(h)};
    auto const weigh = for_row(a, row);
    KeysOfFew<T> const keys(options.mask, {int(b), query, shape.n_queries, shape.n_keys}, n);
    Dropout const dropout(options.dropout, tiles.factors);
    P parameters[n_parameters + 1][most];
    transform_block(parameters, [](P, int, int) { return P(T(0)); });

    soon.spread(n);
    copy_rows(q, b, h, query, n, scale, width, tiles.q_rows);
    copy_rows(d_out, b, h, query, n, T(1), value_width, tiles.d_out_rows);
    T* const d_q_rows = tiles.d_q_lanes;
    std::fill_n(d_q_rows, n * width, T(0));
    Rows<P, most> rows{};
    for (int i = 0; i < n; ++i) {
      if constexpr (normalised) load_row(weigh, at, i, tiles.d_out_rows + i * value_width, rows);
    }
    int const hidden = keys.are_cut() ? n : 0;  // of the queries, so many may not see what another does
    SoundRows<T> const queries({tiles.q_rows, width}, n, width, hidden, n);
    SoundRows<T> const d_outs({tiles.d_out_rows, value_width}, n, value_width, hidden, n);
    for (int key = keys.first, n_keys; key < keys.last; key += n_keys) {
      n_keys = keys_in_tile(keys.last - key);
      auto const k_rows = rows_of<T>(k, b, key_head, key, n_keys, tiles.keys);
      auto const v_rows = rows_of<T>(v, b, key_head, key, n_keys, tiles.values);
      for (int i = 0; i < n; ++i) {
        soon.advance();
        T *const weights = tiles.weights + i * step, *const d_scores = tiles.d_scores + i * step;
        T const* bias = nullptr;
        T* d_bias = nullptr;
        if constexpr (biased) {
          bias = &bias_of(options.bias.values, b, h, key, n_keys)(0, 0, query + i, 0);
          if (to.bias.data() != nullptr) d_bias = &bias_of(to.bias, b, h, key, n_keys)(0, 0, query + i, 0);
        }
        multiply_by_rows(tiles.q_rows + i * width, k_rows, n_keys, width, weights);
        multiply_by_rows(tiles.d_out_rows + i * value_width, v_rows, n_keys, value_width, d_scores);
        T const* const factors = dropout.of_row(b * shape.heads + h, query + i, key, n_keys);
        if (factors != nullptr) multiply(d_scores, factors, n_keys);
        for (int j = 0; j < n_keys; j += W) {
          P s = P::load(weights + j);
          P const d_w = P::load(d_scores + j);
          if (bias != nullptr) s = plus_row(s, bias + j, n_keys - j);
          auto const shown = [&](P x) { return keys.choose(i, key + j, x, P(T(0))); };
          WeightAndSlope<P> const result = weight_and_d_score(weigh, s, d_w, row, rows, i);
          shown(result.weight).store(weights + j);
          P const d_s = shown(result.slope);
          d_s.store(d_scores + j);
          if (d_bias != nullptr) add_to_row(d_s, d_bias + j, n_keys - j);
          if constexpr (n_parameters > 0) {
            auto const shares = parameter_shares(weigh, s, result.weight, d_w, row, rows, i);
            for (int p = 0; p < n_parameters; ++p) parameters[p][i] += shown(shares[std::size_t(p)]);
          }
        }
        if (factors != nullptr) multiply(weights, factors, n_keys);
      }
      SoundRows<T> const key_rows(k_rows, n_keys, width, keys.all_first - key, keys.all_last - key);
      accumulate_rows(tiles.d_scores, step, UnitStep(), n, key_rows.sound(), n_keys, d_q_rows, width);
      key_rows.for_others([&](int j, int d, T x) {
        for (int i = 0; i < n; ++i) {
          if (keys.sees(i, key + j)) d_q_rows[i * width + d] += tiles.d_scores[i * step + j] * x;
        }
      });
      auto const add_to_keys = [&](SoundRows<T> const& rows, T const* tile, T* to, int row_width) {
        accumulate_rows(tile, UnitStep(), step, n_keys, rows.sound(), n, to + Index(key) * row_width, row_width);
        rows.for_others([&](int i, int d, T x) {
          for (int j = 0; j < n_keys; ++j) {
            if (keys.sees(i, key + j)) to[Index(key + j) * row_width + d] += tile[i * step + j] * x;
          }
        });
      };
      add_to_keys(queries, tiles.d_scores, d_keys, width);
      add_to_keys(d_outs, tiles.weights, d_values, value_width);
    }
    P scales[most];
    for (P& s : scales) s = P(scale);
    put_rows(d_q_rows, scales, d_q, b, h, query, n);
    for (int p = 0; p < n_parameters; ++p) {
      for (int i = 0; i < n; ++i) partial[p] += sum_of_lanes(parameters[p][i], W);
    }
  }

  /// What `load_rows` finds for a block, for query i of a few, the same in each lane.
  template <class P, int most>
  void load_row(auto const& weigh, QueryBlock const& at, int i, T const* d_out_row, Rows<P, most>& rows) const {
    auto const* const from =
        out.data() + at.batch * out.stride(0) + at.head * out.stride(1) + (at.first + i) * out.stride(2);
    rows.statistics.of[i] = load_stats<A, P>(&saved.rows()(at.batch, at.head, at.first + i), 1);
    rows.inverse[i] = P(T(1)) / weigh.normalizer(rows.statistics.of[i]);
    P sum(T(0));
    for (int e = 0; e < shape.value_width; e += P::width) sum += P::load(d_out_row + e) * lanes::load<P>(from + e);
    rows.delta[i] = across_lanes<1>(sum, [](P x, P y) { return x + y; });
  }

  template <class P, int Columns>
  void load_rows(auto const& weigh, QueryBlock const& at, Tiles const& tiles, Rows<P, Columns>& rows) const {
    auto const [b, h, query, rows_of_block] = at;
    int const n = rows_of_block;  // clang 14 captures no structured binding
    constexpr int W = P::width, lanes = Columns * W;
    T* const out_lanes = tiles.d_q_lanes;  // not in use yet
    pack_lanes<P, Columns>(out, b, h, query, n, T(1), out_lanes);
    for (int c = 0; c < Columns; ++c) {
      rows.statistics.of[c] = load_stats<A, P>(&saved.rows()(b, h, query + c * W), n - c * W);
      rows.inverse[c] = P(T(1)) / weigh.normalizer(rows.statistics.of[c]);
      rows.delta[c] = P(T(0));
      for (int e = 0; e < shape.value_width; ++e) {
        Index const entry = e * lanes + c * W;
        rows.delta[c] += P::load(tiles.d_out_lanes + entry) * P::load(out_lanes + entry);
      }
    }
  }

  /// S^T = K Q^T and dW^T = V dO^T for the keys of a tile, and from them W^T and dS^T.
  template <class Weigh, class P, int Columns>
  void gradient_tile(Weigh const& weigh, RowsOf<T> k_rows, RowsOf<T> v_rows, [[maybe_unused]] RowsOf<T> bias,
                     T const* factors, Tiles const& tiles, int key, int n_keys, Row row,
                     VisibleKeys<P, Columns> const& visible, Rows<P, Columns> const& rows,
                     P (&parameters)[n_parameters + 1][Columns], Prefetcher& soon) const {
    constexpr int lanes = Columns * P::width;
    bool const all = visible.all_visible(key, key + n_keys);
    in_groups<block_rows(Columns)>(n_keys, [&](int j, auto size) {
      soon.advance();
      P x[size][Columns];  // (keys, lanes): scores, then d_w, then d_s
      T *const weights = tiles.weights + j * lanes, *const d_scores = tiles.d_scores + j * lanes;
      if constexpr (biased) {
        load_block(x, bias.data + j * bias.step, bias.step);
      } else {
        transform_block(x, [](P, int, int) { return P(T(0)); });
      }
      multiply_add(x, k_rows.data + j * k_rows.step, k_rows.step, UnitStep(), tiles.q_lanes, lanes, shape.width);
      store_block(x, weights, lanes);
      transform_block(x, [](P, int, int) { return P(T(0)); });
      multiply_add(x, v_rows.data + j * v_rows.step, v_rows.step, UnitStep(), tiles.d_out_lanes, lanes,
                   shape.value_width);
      if (factors != nullptr) {
        transform_block(x,
                        [&](P d_w, int i, int c) { return d_w * P::load(factors + (j + i) * lanes + c * P::width); });
      }
      transform_block(x, [&](P d_w, int i, int c) {
        T* const at = weights + i * lanes + c * P::width;
        P const s = P::load(at);
        WeightAndSlope<P> const result = weight_and_d_score(weigh, s, d_w, row, rows, c);
        if constexpr (n_parameters > 0) {
          auto const shares = parameter_shares(weigh, s, result.weight, d_w, row, rows, c);
          for (int p = 0; p < n_parameters; ++p) {
            P const share = shares[std::size_t(p)];
            parameters[p][c] += all ? share : visible.choose(key + j + i, c, share, P(T(0)));
          }
        }
        result.weight.store(at);
        return result.slope;
      });
      if (!all) {
        transform_block(x, [&](P d_s, int i, int c) {
          T* const at = weights + i * lanes + c * P::width;
          visible.choose(key + j + i, c, P::load(at), P(T(0))).store(at);
          return visible.choose(key + j + i, c, d_s, P(T(0)));
        });
      }
      store_block(x, d_scores, lanes);
    });
  }

  /// What a score adds to the gradients of the trained numbers.
  template <class Weigh, class P, int Columns>
  ATTN_FUNCTION auto parameter_shares([[maybe_unused]] Weigh const& weigh, P s, [[maybe_unused]] P w, P d_w,
                                      [[maybe_unused]] Row row, [[maybe_unused]] Rows<P, Columns> const& rows,
                                      [[maybe_unused]] int c) const {
    if constexpr (normalised) {
      return weigh.parameter_pullbacks(s, w, d_w, rows.delta[c], rows.statistics.of[c]);
    } else {
      auto shares = a.parameter_slopes(s, row);
      for (int p = 0; p < n_parameters; ++p) shares[std::size_t(p)] = shares[std::size_t(p)] * d_w;
      return shares;
    }
  }

  /// w_ij, and d_s_ij in place of the slope.
  template <class Weigh, class P, int Columns>
  ATTN_FUNCTION WeightAndSlope<P> weight_and_d_score(Weigh const& weigh, P s, P d_w, Row row,
                                                     Rows<P, Columns> const& rows, int c) const {
    if constexpr (normalised) {
      P const w = weigh.numerator(s, rows.statistics.of[c]) * rows.inverse[c];
      return {w, pull_back(weigh, s, w, d_w, rows.delta[c], rows.statistics.of[c])};
    } else {
      auto const w = weight_and_slope(weigh, s, row);
      return {w.weight, w.slope * d_w};
    }
  }
};

}  // namespace attn::detail::host
