/// Attention of many short sequences on the host: W of them at once, one in each lane.
///
/// Where a sequence has fewer tokens than half a pack has lanes, queries cannot fill them. Here the same head of W
/// sequences is brought into lanes, and one micro-kernel without broadcasts makes all five products, of packs with
/// packs:
///
///     product        for         sums over      rows of the block
///     S, dW          query i     D, E           keys
///     O, dQ          query i     keys           columns
///     dV, dK         key j       queries        columns
///
/// The matrix of weights lies in L1, as W N M numbers.
#pragma once

#include "attn/attention/detail/host/dropout.hpp"

namespace attn::detail::host {

/// `Call` is a ForwardBlock or a BackwardBlock.
template <class T, class Call>
class ShortSequences {
  using P = Pack<T>;
  using A = std::remove_cvref_t<decltype(Call::a)>;
  static constexpr int W = P::width;

 public:
  explicit ShortSequences(Call const& call) : call_(call), shape_(call.shape) {}

  /// Groups of W sequences; the last may have fewer.
  Index groups() const { return (shape_.batch + W - 1) / W; }
  int lanes_of(Index group) const { return static_cast<int>(std::min<Index>(W, shape_.batch - group * W)); }

  /// Whether a mask treats the sequences of a group alike; activations are told one length for all lanes.
  bool are_alike(Index group) const {
    return treats_alike(call_.options.mask, static_cast<int>(group) * W, lanes_of(group), shape_.n_queries,
                        shape_.n_keys);
  }

  Index scratch_bytes() const { return static_cast<Index>(cut(Arena()).bytes); }

  void forward(Index group, Index head, Arena arena) const {
    Arrays const t = cut(arena);
    Index const first = group * W, key_head = head / shape_.group();
    int const n = shape_.n_queries, m = shape_.n_keys, lanes = lanes_of(group);
    Row const row{call_.options.mask.length(int(first), m), int(head)};
    auto const weigh = for_row(call_.a, row);
    typename Call::Dropout const dropout(call_.options.dropout, t.factors);
    load(call_.q, first, lanes, head, scale(), t.q);
    load(call_.k, first, lanes, key_head, T(1), t.k);
    load(call_.v, first, lanes, key_head, T(1), t.v);
    for (int i = 0; i < n; ++i) {
      T *const weights = t.weights + i * m * W, *const out = t.out + i * shape_.value_width * W;
      multiply(t.q + i * shape_.width * W, W, t.k, shape_.width * W, W, m, shape_.width, weights);
      KeyRange const keys = keys_of(int(first), i);
      ScoreTile<P> const visible{weights + keys.begin * W, W, std::max(keys.end - keys.begin, 0)};
      if constexpr (Call::normalised) {
        typename A::template Stats<P> stats;
        if (visible.size() > 0) take_numerators(weigh, stats, visible);
        P const inverse = P(T(1)) / weigh.normalizer(stats);
        for (int j = 0; j < visible.size(); ++j) visible.set(j, visible[j] * inverse);
        auto const& rows = call_.saved.rows();
        if (rows.data() != nullptr) save_stats<A, P>(stats, &rows(first, head, i), lanes, rows.stride(0));
      } else {
        for (int j = 0; j < visible.size(); ++j) visible.set(j, weigh(visible[j], row));
      }
      T const* const factors = dropout.of_sequences(first * shape_.heads + head, shape_.heads, i, 0, m);
      if (factors != nullptr) host::multiply(weights, factors, m * W);
      multiply(visible.data, W, t.v + keys.begin * shape_.value_width * W, W, shape_.value_width * W,
               shape_.value_width, visible.size(), out);
    }
    store(t.out, T(1), call_.out, first, lanes, head);
  }

  /// `parameters(sequence, head)` points to where gradients of the activation's parameters go.
  template <class Parameters>
  void backward(Index group, Index key_head, Arena arena, Parameters const& parameters) const {
    Arrays const t = cut(arena);
    Index const first = group * W;
    int const n = shape_.n_queries, m = shape_.n_keys, lanes = lanes_of(group);
    int const width = shape_.width, value_width = shape_.value_width;
    typename Call::Dropout const dropout(call_.options.dropout, t.factors);
    load(call_.k, first, lanes, key_head, T(1), t.k);
    load(call_.v, first, lanes, key_head, T(1), t.v);
    for (Index head = key_head * shape_.group(); head < (key_head + 1) * shape_.group(); ++head) {
      bool const adds = head > key_head * shape_.group();
      load(call_.q, first, lanes, head, scale(), t.q);
      load(call_.d_out, first, lanes, head, T(1), t.d_out);
      if constexpr (Call::normalised) load(call_.out, first, lanes, head, T(1), t.out);
      P d_parameters[Call::n_parameters + 1] = {};
      for (int i = 0; i < n; ++i) {
        T *const weights = t.weights + i * m * W, *const d_scores = t.d_scores + i * m * W;
        multiply(t.q + i * width * W, W, t.k, width * W, W, m, width, weights);
        multiply(t.d_out + i * value_width * W, W, t.v, value_width * W, W, m, value_width, d_scores);
        T const* const factors = dropout.of_sequences(first * shape_.heads + head, shape_.heads, i, 0, m);
        if (factors != nullptr) host::multiply(d_scores, factors, m * W);
        take_gradients(t, first, lanes, head, i, d_parameters);
        if (factors != nullptr) host::multiply(weights, factors, m * W);
        // forward: s_ij = scale q_i.k_j; hence d_q_i = scale sum_j d_s_ij k_j
        KeyRange const keys = keys_of(int(first), i);
        multiply(d_scores + keys.begin * W, W, t.k + keys.begin * width * W, W, width * W, width, keys.end - keys.begin,
                 t.d_q + i * width * W);
      }
      for (int j = 0; j < m; ++j) {
        // ... and d_k_j += d_s_ij scale q_i; out_i = sum_j w_ij v_j, hence d_v_j += w_ij d_out_i
        auto const [begin, end] = queries_of(int(first), j);
        Index const at = (Index(begin) * m + j) * W;
        multiply(t.d_scores + at, m * W, t.q + begin * width * W, W, width * W, width, end - begin,
                 t.d_k + j * width * W, adds);
        multiply(t.weights + at, m * W, t.d_out + begin * value_width * W, W, value_width * W, value_width, end - begin,
                 t.d_v + j * value_width * W, adds);
      }
      store(t.d_q, scale(), call_.d_q, first, lanes, head);
      for (int p = 0; p < Call::n_parameters; ++p) {
        for (int l = 0; l < lanes; ++l) parameters(first + l, head)[p] = static_cast<double>(d_parameters[p][l]);
      }
    }
    store(t.d_k, T(1), call_.d_k, first, lanes, key_head);
    store(t.d_v, T(1), call_.d_v, first, lanes, key_head);
  }

 private:
  Call const& call_;
  Shape const& shape_;

  struct Arrays {  // (tokens, width), or (N, M), of packs
    T *q, *k, *v, *out, *d_out, *d_q, *d_k, *d_v, *weights, *d_scores, *factors;
    std::size_t bytes;
  };
  Arrays cut(Arena arena) const {
    Index const n = shape_.n_queries * W, m = shape_.n_keys * W, d = shape_.width, e = shape_.value_width;
    Arrays t{};
    t.q = arena.take<T>(n * d);
    t.k = arena.take<T>(m * d);
    t.v = arena.take<T>(m * e);
    t.out = arena.take<T>(n * e);
    t.weights = arena.take<T>(n * shape_.n_keys);
    t.factors = arena.take<T>(Call::Dropout::numbers(m));
    if constexpr (requires { Call::n_parameters; }) {  // backward
      t.d_q = arena.take<T>(n * d);
      t.d_k = arena.take<T>(m * d);
      t.d_v = arena.take<T>(m * e);
      t.d_out = arena.take<T>(n * e);
      t.d_scores = arena.take<T>(n * shape_.n_keys);
    }
    t.bytes = arena.used();
    return t;
  }

  T scale() const { return score_scale<T>(call_.options, shape_.width); }
  KeyRange keys_of(int sequence, int i) const {
    return call_.options.mask.keys({sequence, i, shape_.n_queries, shape_.n_keys});
  }
  /// The queries that see key j: masks are monotone.
  KeyRange queries_of(int sequence, int j) const {
    int const n = shape_.n_queries;
    KeyRange queries{0, 0};
    while (queries.begin < n && keys_of(sequence, queries.begin).end <= j) ++queries.begin;
    for (queries.end = queries.begin; queries.end < n && keys_of(sequence, queries.end).begin <= j; ++queries.end) {
    }
    return queries;
  }

  /// Asks for the same tokens of the next head, or of the first head of the next group, too.
  template <class X>
  static void load(X const& x, Index first, int lanes, Index head, T factor, T* to) {
    int const width = static_cast<int>(x.extent(3));
    Index const ahead = next_group(x, head, W);
    auto const* from = x.data() + first * x.stride(0) + head * x.stride(1);
    for (Index token = 0; token < x.extent(2); ++token, from += x.stride(2), to += width * W) {
      rows_to_lanes<P>(from, x.stride(0), lanes, width, factor, to, W, ahead);
    }
  }
  template <class X>
  static void store(T const* from, T factor, X const& x, Index first, int lanes, Index head) {
    int const width = static_cast<int>(x.extent(3));
    auto* to = x.data() + first * x.stride(0) + head * x.stride(1);
    for (Index token = 0; token < x.extent(2); ++token, to += x.stride(2), from += width * W) {
      lanes_to_rows<false>(from, W, P(factor), to, x.stride(0), lanes, width);
    }
  }

  /// to[r] (+)= sum over s < n of left[s left_step] right[r row_step + s step], r < n_rows; of packs. What a mask hides
  /// is left out, since a weight of zero does not hide a NaN.
  static void multiply(T const* left, Index left_step, T const* right, Index row_step, Index step, int n_rows, int n,
                       T* to, bool adds = false) {
    in_groups<8>(n_rows, [&](int r, auto size) {
      constexpr int rows = size;
      typename P::Vector sum[rows];
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) sum[i] = adds ? P::load(to + (r + i) * W).lanes : P(T(0)).lanes;
      T const *x = left, *y = right + r * row_step;
      for (int s = 0; s < n; ++s, x += left_step, y += step) {
        auto const factor = P::load(x).lanes;
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) sum[i] += factor * P::load(y + i * row_step).lanes;
      }
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) P(sum[i]).store(to + (r + i) * W);
    });
  }

  /// Row i of scores becomes weights, and that of gradients of weights those of scores.
  void take_gradients(Arrays const& t, Index first, int lanes, Index head, int i, P* d_parameters) const {
    int const m = shape_.n_keys, value_width = shape_.value_width;
    T *const weights = t.weights + i * m * W, *const d_scores = t.d_scores + i * m * W;
    Row const row{call_.options.mask.length(int(first), m), int(head)};
    auto const weigh = for_row(call_.a, row);
    KeyRange const keys = keys_of(int(first), i);
    typename Call::template Rows<P, 1> facts;
    if constexpr (Call::normalised) {
      auto const& rows = call_.saved.rows();
      facts.statistics.of[0] = load_stats<A, P>(&rows(first, head, i), lanes, rows.stride(0));
      facts.inverse[0] = P(T(1)) / weigh.normalizer(facts.statistics.of[0]);
      T *const out = t.out + i * value_width * W, *const d_out = t.d_out + i * value_width * W;
      facts.delta[0] = P(T(0));
      for (int e = 0; e < value_width; ++e) facts.delta[0] += P::load(d_out + e * W) * P::load(out + e * W);
    }
    for (int j = keys.begin; j < keys.end; ++j) {
      P const s = P::load(weights + j * W), d_w = P::load(d_scores + j * W);
      auto const result = call_.weight_and_d_score(weigh, s, d_w, row, facts, 0);
      result.weight.store(weights + j * W);
      result.slope.store(d_scores + j * W);
      if constexpr (Call::n_parameters > 0) {
        auto const shares = call_.parameter_shares(weigh, s, result.weight, d_w, row, facts, 0);
        for (int p = 0; p < Call::n_parameters; ++p) d_parameters[p] += shares[std::size_t(p)];
      }
    }
  }
};

}  // namespace attn::detail::host
