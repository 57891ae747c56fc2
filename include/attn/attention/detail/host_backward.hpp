/// The fused backward pass on the host: scores are made again, tile by tile, and all gradients follow from the tile.
///
/// A piece of work is one key head and a part of the queries that see it: all of them when there are enough heads to
/// occupy the machine. Its gradients of K and V gather in scratch, in the order of the queries. Several parts of one
/// head are added in their order afterwards. Shapes alone decide on the parts, so results do not depend on the threads.
#pragma once

#include "attn/attention/detail/host_call.hpp"

namespace attn::detail::host {

/// Gradients of K (or V) of one piece of work: to (n_keys, width) += sum over the n queries of a block of
/// tile[key][query] * rows[query], the columns in lanes. `width` is a multiple of the pack's.
template <class T>
void accumulate_over_queries(T const* tile, Index lanes, int n_keys, T const* rows, int width, int n, T* to) {
  using P = Pack<T>;
  in_groups<gradient_packs>(width / P::width, [&](int pack, auto size) {
    constexpr int columns = size;
    in_groups<block_rows(columns)>(n_keys, [&](int j, auto keys) {
      P sum[keys][columns];
      T* const at = to + Index(j) * width + pack * P::width;
      load_block(sum, at, width);
      multiply_add(sum, tile + j * lanes, lanes, UnitStep(), rows + pack * P::width, width, n);
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

template <class T, class A, class Q, class K, class V, class O, class Saved, class DO, class DQ, class DK, class DV,
          class Options>
struct Backward {
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

  static constexpr bool normalised = RowActivation<A, Pack<T>>;
  static constexpr int n_parameters = [] {
    if constexpr (LearnableActivation<A, Pack<T>> && !normalised) {
      return A::n_parameters;
    } else {
      return 0;
    }
  }();

  template <HostExecutionSpace Exec>
  void run(std::string const& name, Exec const& exec) const {
    Index const key_heads = shape.batch * shape.key_heads, blocks = shape.query_blocks<T>();
    Index const units = shape.group() * blocks;  // blocks of queries that see a key head
    Index const parts = parts_of(key_heads, units), items = key_heads * parts;
    int const threads = workers(exec, items);
    Index const tile_bytes = static_cast<Index>(cut_tiles(Carver()).bytes), sums = gradient_numbers();
    Index const n_partials = shape.batch * shape.heads * blocks * n_parameters;

    Carver count;
    auto const carve = [&](Carver& c) {
      return std::tuple(c.take<std::byte>(threads * tile_bytes), c.take<T>((parts > 1 ? items : threads) * sums),
                        c.take<double>(n_partials));
    };
    carve(count);
    Scratch const scratch(count.used());
    Carver carver(scratch.data());
    auto const [tiles, gradients, partials] = carve(carver);

    share(name, exec, items, std::max<Index>(1, items / (threads * 16)),
          [&, tiles = tiles, gradients = gradients, partials = partials](Index first, Index last, int worker) {
            Index const end = last / parts * units + units * (last % parts) / parts;
            for (Index item = first; item < last; ++item) {
              Index const head = item / parts, part = item % parts;
              T* const own = gradients + (parts > 1 ? item : worker) * sums;
              std::fill_n(own, sums, T(0));
              Index const last_unit = units * (part + 1) / parts;
              for (Index unit = units * part / parts; unit < last_unit; ++unit) {
                Index const number = head * units + unit;  // the query heads of a key head are neighbours
                QueryBlock const at = query_block<T>(shape, number);
                Prefetcher soon;
                soon.add(d_q, at.batch, at.head, at.first, at.n);
                Index const next = number + (units <= 2 ? units : 1);
                if (next < end) will_read(query_block<T>(shape, next), soon);
                double* const partial = partials + number * n_parameters;
                with_block_of<T>(
                    at.n, [&]<class P, int Columns>(std::type_identity<P>, std::integral_constant<int, Columns>) {
                      block<P, Columns>(at, Carver(tiles + worker * tile_bytes), own, partial, soon);
                    });
              }
              if (parts == 1) write_keys(head, 0, shape.n_keys, own, 1);
            }
          });
    if (parts > 1) {
      constexpr int rows = 64;
      Index const pieces = (shape.n_keys + rows - 1) / rows;
      share(name, exec, key_heads * pieces, 1, [&, gradients = gradients](Index first, Index last, int) {
        for (Index item = first; item < last; ++item) {
          Index const head = item / pieces;
          int const key = static_cast<int>(item % pieces) * rows;
          write_keys(head, key, std::min(key + rows, shape.n_keys), gradients + head * parts * sums, parts);
        }
      });
    }
    if constexpr (n_parameters > 0) add_parameter_gradients(partials, blocks);
  }

 private:
  /// In how many parts the queries of a key head are cut: enough for many threads, each long enough that the addition
  /// of its gradients costs a few per cent at most.
  static Index parts_of(Index key_heads, Index units) {
    constexpr Index enough_items = 32, queries_of_part = 512;
    Index const wanted = (enough_items + key_heads - 1) / std::max<Index>(key_heads, 1);
    return std::clamp<Index>(units * block_queries<T> / queries_of_part, 1, std::max<Index>(wanted, 1));
  }

  int padded_width() const { return (shape.width + Pack<T>::width - 1) / Pack<T>::width * Pack<T>::width; }
  int padded_value_width() const { return (shape.value_width + Pack<T>::width - 1) / Pack<T>::width * Pack<T>::width; }
  /// dK (M, padded D), then dV (M, padded E).
  Index gradient_numbers() const { return Index(shape.n_keys) * (padded_width() + padded_value_width()); }

  struct Tiles {
    T *q_lanes, *d_out_lanes, *d_q_lanes, *weights, *d_scores, *q_rows, *d_out_rows, *keys, *values;
    std::size_t bytes;
  };
  Tiles cut_tiles(Carver carver) const {
    constexpr Index lanes = block_queries<T>;
    Tiles t{};
    t.q_lanes = carver.take<T>(shape.width * lanes);
    t.d_out_lanes = carver.take<T>(shape.value_width * lanes);
    t.d_q_lanes = carver.take<T>(std::max(shape.width, shape.value_width) * lanes);
    t.weights = carver.take<T>(last_key_tile * lanes);
    t.d_scores = carver.take<T>(last_key_tile * lanes);
    t.q_rows = carver.take<T>(padded_width() * lanes);
    t.d_out_rows = carver.take<T>(padded_value_width() * lanes);
    t.keys = carver.take<T>(must_widen<T, K> ? Index(last_key_tile) * shape.width : 0);
    t.values = carver.take<T>(must_widen<T, V> ? Index(last_key_tile) * shape.value_width : 0);
    t.bytes = carver.used();
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

  template <class P, int Columns>
  void block(QueryBlock const& at, Carver scratch, T* gradients, double* partial, Prefetcher& soon) const {
    auto const [b, h, query, n] = at;
    constexpr int lanes = Columns * P::width;
    Tiles const tiles = cut_tiles(scratch);
    Index const key_head = h / shape.group();
    T const scale = score_scale<T>(options, shape.width);
    int const width = padded_width(), value_width = padded_value_width();
    T *const d_keys = gradients, *const d_values = gradients + Index(shape.n_keys) * width;
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
    if constexpr (normalised) load_rows<P, Columns>(at, tiles, rows);

    soon.spread(keys_in_tile(visible.last - visible.first) / block_rows(Columns));
    for (int key = visible.first, n_keys; key < visible.last; key += n_keys) {
      n_keys = keys_in_tile(visible.last - key);
      auto const k_rows = rows_of<T>(k, b, key_head, key, n_keys, tiles.keys);
      auto const v_rows = rows_of<T>(v, b, key_head, key, n_keys, tiles.values);
      gradient_tile(weigh, k_rows, v_rows, tiles, key, n_keys, row, visible, rows, parameters, soon);
      // forward: s_ij = scale q_i.k_j; hence d_q_i += scale d_s_ij k_j and d_k_j += d_s_ij scale q_i
      accumulate_over_keys<P, Columns>(k_rows, shape.width, tiles.d_scores, n_keys, key == visible.first,
                                       tiles.d_q_lanes);
      accumulate_over_queries(tiles.d_scores, lanes, n_keys, tiles.q_rows, width, n, d_keys + Index(key) * width);
      // forward: out_i += w_ij v_j; hence d_v_j += w_ij d_out_i
      accumulate_over_queries(tiles.weights, lanes, n_keys, tiles.d_out_rows, value_width, n,
                              d_values + Index(key) * value_width);
    }
    if (visible.first >= visible.last) std::fill_n(tiles.d_q_lanes, Index(shape.width) * lanes, T(0));
    P scales[Columns];
    for (P& s : scales) s = P(scale);
    unpack_lanes<P, Columns>(tiles.d_q_lanes, scales, d_q, b, h, query, n);
    for (int p = 0; p < n_parameters; ++p) {
      partial[p] = 0;
      for (int c = 0; c < Columns; ++c) partial[p] += sum_of_lanes(parameters[p][c], n - c * P::width);
    }
  }

  template <class P, int Columns>
  void load_rows(QueryBlock const& at, Tiles const& tiles, Rows<P, Columns>& rows) const {
    auto const [b, h, query, n] = at;
    constexpr int W = P::width, lanes = Columns * W;
    T* const out_lanes = tiles.d_q_lanes;  // not in use yet
    pack_lanes<P, Columns>(out, b, h, query, n, T(1), out_lanes);
    for (int c = 0; c < Columns; ++c) {
      rows.statistics.of[c] = load_stats<A, P>(&saved.rows()(b, h, query + c * W), n - c * W);
      rows.inverse[c] = P(T(1)) / a.normalizer(rows.statistics.of[c]);
      rows.delta[c] = P(T(0));
      for (int e = 0; e < shape.value_width; ++e) {
        Index const entry = e * lanes + c * W;
        rows.delta[c] += P::load(tiles.d_out_lanes + entry) * P::load(out_lanes + entry);
      }
    }
  }

  /// S^T = K Q^T and dW^T = V dO^T for the keys of a tile, and from them W^T and dS^T.
  template <class Weigh, class P, int Columns>
  void gradient_tile(Weigh const& weigh, RowsOf<T> k_rows, RowsOf<T> v_rows, Tiles const& tiles, int key, int n_keys,
                     Row row, VisibleKeys<P, Columns> const& visible, Rows<P, Columns> const& rows,
                     P (&parameters)[n_parameters + 1][Columns], Prefetcher& soon) const {
    constexpr int lanes = Columns * P::width;
    bool const all = visible.all_visible(key, key + n_keys);
    in_groups<block_rows(Columns)>(n_keys, [&](int j, auto size) {
      soon.advance();
      P x[size][Columns];  // (keys, lanes): scores, then d_w, then d_s
      T *const weights = tiles.weights + j * lanes, *const d_scores = tiles.d_scores + j * lanes;
      transform_block(x, [](P, int, int) { return P(T(0)); });
      multiply_add(x, k_rows.data + j * k_rows.step, k_rows.step, UnitStep(), tiles.q_lanes, lanes, shape.width);
      store_block(x, weights, lanes);
      transform_block(x, [](P, int, int) { return P(T(0)); });
      multiply_add(x, v_rows.data + j * v_rows.step, v_rows.step, UnitStep(), tiles.d_out_lanes, lanes,
                   shape.value_width);
      transform_block(x, [&](P d_w, int i, int c) {
        T* const at = weights + i * lanes + c * P::width;
        P const s = P::load(at);
        WeightAndSlope<P> const result = weight_and_d_score(weigh, s, d_w, row, rows, c);
        if constexpr (n_parameters > 0) {
          auto const slopes = a.parameter_slopes(s, row);
          for (int p = 0; p < n_parameters; ++p) {
            P const slope = slopes[std::size_t(p)] * d_w;
            parameters[p][c] += all ? slope : visible.choose(key + j + i, c, slope, P(T(0)));
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

  /// w_ij, and d_s_ij in place of the slope.
  template <class Weigh, class P, int Columns>
  ATTN_FUNCTION WeightAndSlope<P> weight_and_d_score(Weigh const& weigh, P s, P d_w, Row row,
                                                     Rows<P, Columns> const& rows, int c) const {
    if constexpr (normalised) {
      P const w = a.numerator(s, rows.statistics.of[c]) * rows.inverse[c];
      return {w, pull_back(a, s, w, d_w, rows.delta[c], rows.statistics.of[c])};
    } else {
      auto const w = weight_and_slope(weigh, s, row);
      return {w.weight, w.slope * d_w};
    }
  }

  /// Adds the parts of the gradients of keys `begin` to `end` in their order, and writes them.
  void write_keys(Index head, int begin, int end, T const* gradients, Index parts) const {
    Index const b = head / shape.key_heads, h = head % shape.key_heads, step = gradient_numbers();
    auto const write = [&](auto const& to, T const* from, int width, int padded) {
      for (int j = begin; j < end; ++j) {
        for (int d = 0; d < padded; d += Pack<T>::width) {
          auto sum = Pack<T>::load(from + Index(j) * padded + d);
          for (Index part = 1; part < parts; ++part) {
            sum += Pack<T>::load(from + part * step + Index(j) * padded + d);
          }
          auto* const at = to.data() + b * to.stride(0) + h * to.stride(1) + j * to.stride(2) + d;
          if (d + Pack<T>::width <= width) {
            lanes::store(sum, at);
          } else {
            for (int l = 0; l < width - d; ++l) {
              at[l] = static_cast<std::remove_cvref_t<decltype(*at)>>(sum[l]);
            }
          }
        }
      }
    };
    write(d_k, gradients, shape.width, padded_width());
    write(d_v, gradients + Index(shape.n_keys) * padded_width(), shape.value_width, padded_value_width());
  }

  /// Adds the shares of all blocks in their order.
  void add_parameter_gradients(double const* partials, Index blocks) const {
    auto const p = a.parameters();
    if (p.gradient == nullptr) return;
    Index const share = blocks * n_parameters, heads = shape.heads;
    for (Index i = 0; i < (p.per_head ? heads : 1) * n_parameters; ++i) {
      Index const h = i / n_parameters, first_head = p.per_head ? h : 0, last_head = p.per_head ? h + 1 : heads;
      double total = 0;
      for (Index b = 0; b < shape.batch; ++b) {
        for (Index head = first_head; head < last_head; ++head) {
          for (Index block = 0; block < blocks; ++block) {
            total += partials[(b * heads + head) * share + block * n_parameters + i % n_parameters];
          }
        }
      }
      p.gradient[i] += static_cast<std::remove_cvref_t<decltype(*p.gradient)>>(total);
    }
  }
};

}  // namespace attn::detail::host
