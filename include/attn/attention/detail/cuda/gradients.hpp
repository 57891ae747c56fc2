/// What the backward kernels on tensor cores make of a tile of scores: one text for the gradients of queries and of
/// keys and values, and for mma.sync and wgmma.
///
/// A block keeps its own rows in shared memory and streams tiles of the others past them. Two launches make all input
/// gradients:
///
///     gradient of    own rows    streamed    products of a tile        then it adds
///     queries        q, d_out    k, v        s = q k^T                 d_q += d_s k
///                                            d_w = d_out v^T
///     keys, values   k, v        q, d_out    s^T = k q^T               d_k += d_s^T q
///                                            d_w^T = v d_out^T         d_v += w^T d_out
///
/// No two blocks add to one number, so there are no atomics, and each run gives the same bits. The price: scores and
/// d_w are computed by both launches, seven products of N x M x D in place of five. Five are enough where blocks that
/// own keys add to sums for queries in turn (`Part::all`, hopper/query_sums.hpp).
#pragma once

#include "attn/attention/detail/cuda/score_gradient.hpp"
#include "attn/attention/detail/cuda/tile_pair.hpp"

namespace attn::detail::cuda {

/// A warp has 16 m_tiles own rows; `streamed` rows pass at a time. `x.saved` holds statistics (B, H, N); `row_facts`
/// (B, H, N, 2) gets delta and the inverse normalizer of each row from the launch for queries, which comes first, or
/// from RowFactsOfQueries.
template <Part part, int m_tiles, int streamed, class Inputs>
struct Gradients {
  using A = decltype(Inputs::a);
  using Stats = StatsOf<A, float>;
  static constexpr bool of_queries = part == Part::queries, is_row = RowActivation<A, float>;
  static constexpr bool makes_all = part == Part::all;
  static constexpr int n_tiles = streamed / 8, n_parameters = of_queries ? parameter_count<A, float> : 0;
  static constexpr bool takes_weights = part == Part::keys_and_values || part == Part::values || makes_all;
  /// Whether the gradient of the activation's parameter follows from those of keys.
  static constexpr bool parameter_from_keys = makes_all && parameter_count<A, float> > 0;
  /// Of streamed queries, in words of 4 bytes: RowFacts.
  static constexpr bool streams_facts = is_row && !of_queries;
  static constexpr int fact_words = streams_facts ? int(sizeof(RowFacts<A>)) / 4 : 0;
  /// And of streamed queries under a mask, where sums take both of their tiles: zero, or NaN for a row in which a
  /// number was not finite.
  static constexpr bool marks_queries =
      (part == Part::keys_and_values || makes_all) && hides_keys<decltype(Inputs::mask)>;
  /// And, since eight lanes of each warp have the same streamed queries, the words that their weights are drawn from.
  static constexpr bool streams_words = drops_weights<decltype(Inputs::dropout)> && !of_queries;
  static constexpr int words = fact_words + (marks_queries ? 1 : 0) + (streams_words ? 2 : 0);
  /// Of own queries.
  static constexpr bool finds_facts = is_row && of_queries;
  using OwnFacts = RowFacts<A>[m_tiles][2];
  using Dropout = decltype(Inputs::dropout);

  Inputs x;
  float* row_facts;
  float* parts;  ///< (B, H, N, n_parameters), of which the first tiles of a head are written; or null

  ATTN_FUNCTION auto const& own_first() const { return choose(x.q, x.k); }
  ATTN_FUNCTION auto const& own_second() const { return choose(x.d_out, x.v); }
  ATTN_FUNCTION auto const& streamed_first() const { return choose(x.k, x.q); }
  ATTN_FUNCTION auto const& streamed_second() const { return choose(x.v, x.d_out); }

  template <class X, class Y>
  static ATTN_FUNCTION auto const& choose(X const& for_queries, Y const& for_keys) {
    if constexpr (of_queries) {
      return for_queries;
    } else {
      return for_keys;
    }
  }
  ATTN_FUNCTION int group() const { return int(x.q.extent(1)) / int(x.k.extent(1)); }

  using Bias = decltype(Inputs::bias);
  template <class Activation>
  using ScoreOf = ScoreGradient<Activation, typename decltype(Inputs::q)::Scalar, Bias>;
  using Score = ScoreOf<A>;
  ATTN_FUNCTION Score score() const { return {x.a, x.score_scale}; }
  /// The same for all tiles that a block streams past own rows, to be asked for before registers hold sums: a logarithm
  /// in double between products spills some.
  ATTN_FUNCTION auto score(TeamPlace const& at) const {
    if constexpr (ignores_heads<A>) {
      return ScoreOf<OfRow<A>>{for_row(x.a, row(at)), x.score_scale};
    } else {
      return score();
    }
  }
  /// The row of own queries, or of the first head of those that share own keys.
  ATTN_FUNCTION Row row(TeamPlace const& at) const {
    return {x.mask.length(at.batch, int(x.k.extent(2))), of_queries ? at.head : at.head * group()};
  }
  /// Whether weights and gradients of all heads that a block sees want the same factor, which its results then get.
  ATTN_FUNCTION bool shares_factor(Row row) const {
    if constexpr (Score::by_quotient && !of_queries) {
      int const first = row.head / group() * group();
      for (int head = first + 1; head < first + group(); ++head) {
        if (!(score().weight_factor({row.n_keys, head}) == score().weight_factor({row.n_keys, first}))) return false;
      }
    }
    return true;
  }
  ATTN_FUNCTION float gradient_factor(TeamPlace const& at) const {
    return shares_factor(row(at)) ? score().gradient_factor(row(at)) : 1.0f;
  }
  ATTN_FUNCTION float weight_factor(TeamPlace const& at) const {
    float const kept = x.dropout_of(at.batch, at.head).factor;
    return kept * (shares_factor(row(at)) ? score().weight_factor(row(at)) : 1.0f);
  }

  /// The keys that a tile of queries sees, or the first tile of queries, of any head, that sees a tile of keys.
  ATTN_FUNCTION Streamed begin(TeamPlace const& at, int first, int count) const {
    if constexpr (of_queries) {
      Query const query{at.batch, first, int(x.q.extent(2)), int(x.k.extent(2))};
      KeyRange const all = hull(x.mask, query, count);
      int const key = first_of_tiles<Dropout>(all.begin);
      return {at.head / group(), key, clamp_to(all.end - key, 0, streamed)};
    } else {
      return seek({at.head * group(), 0, 0}, at, first, count);
    }
  }
  ATTN_FUNCTION Streamed next(Streamed tile, TeamPlace const& at, int first, int count) const {
    tile.first += streamed;
    if constexpr (of_queries) {
      Query const query{at.batch, first, int(x.q.extent(2)), int(x.k.extent(2))};
      tile.count = clamp_to(hull(x.mask, query, count).end - tile.first, 0, streamed);
      return tile;
    } else {
      return seek(tile, at, first, count);
    }
  }
  ATTN_FUNCTION Streamed seek(Streamed tile, TeamPlace const& at, int k0, int keys) const {
    int const n = int(x.q.extent(2)), m = int(x.k.extent(2));
    for (; tile.head < (at.head + 1) * group(); ++tile.head, tile.first = 0) {
      for (; tile.first < n; tile.first += streamed) {
        tile.count = n - tile.first < streamed ? n - tile.first : streamed;
        if (!hides_keys<decltype(x.mask)>) return tile;
        if (WarpKeys(x.mask, {at.batch, tile.first, n, m}, tile.count).any(k0, keys)) return tile;
      }
    }
    tile.count = 0;
    return tile;
  }

  template <int own>
  using Pair = TilePair<of_queries, own, streamed>;
  using Lane = LaneScores<of_queries, m_tiles, n_tiles>;

  /// Whether a mask hides some of a tile from some own rows; `keys` rows of it are there.
  ATTN_FUNCTION bool is_cut(TeamPlace const& at, int first, int count, Streamed const& tile, int keys) const {
    if constexpr (!hides_keys<decltype(Inputs::mask)>) return false;
    int const n = int(x.q.extent(2)), m = int(x.k.extent(2));
    if constexpr (of_queries) {
      return !WarpKeys(x.mask, {at.batch, first, n, m}, count).every(tile.first, keys);
    } else {
      return !WarpKeys(x.mask, {at.batch, tile.first, n, m}, tile.count).every(first, count);
    }
  }

  /// Products become scores, where a bias is added to them.
  template <class Block>
  ATTN_FUNCTION void add_biases([[maybe_unused]] Block const& block, [[maybe_unused]] Pair<16 * m_tiles> const& pair,
                                [[maybe_unused]] float (&s)[m_tiles][n_tiles][4]) const {
    if constexpr (adds_bias<Bias>) {
      HeadBias const bias = bias_of_head(x.bias, pair.query.batch, pair.row.head);
      ATTN_UNROLL
      for (int i = 0; i < Lane::queries; ++i) {
        int const query = pair.query.index + Lane::query(block, i);
        if constexpr (of_queries) {
          add_bias(bias, RowScores<n_tiles, Block>{block, s[i / 2], i % 2}, query, pair.k0, x.score_scale);
        } else {
          int const first = Lane::key(block, 0);
          BiasRow const row = bias.row(query, pair.k0 + first);
          ATTN_UNROLL
          for (int j = 0; j < Lane::keys; ++j) {
            float& score = Lane::score(s, i, j);
            score = score * x.score_scale + row[Lane::key(block, j) - first];
          }
        }
      }
    }
  }

  /// Scores s become weights where those are summed up, gradients of weights d_w become gradients of scores; what the
  /// mask hides becomes zero.
  /// `of_score`: what `score` returns; `facts_start`: where those of streamed queries lie; `is_marked`: whether their
  /// marks may be others than zero; `all_visible`: whether the mask shows every query every key.
  template <class Block, class OfScore>
  ATTN_FUNCTION void take_gradients(Block const& block, OfScore const& of_score, Pair<16 * m_tiles> const& pair,
                                    bool all_visible, [[maybe_unused]] bool is_marked, unsigned facts_start,
                                    OwnFacts const& own_facts, float (&s)[m_tiles][n_tiles][4],
                                    float (&d_w)[m_tiles][n_tiles][4],
                                    Kokkos::Array<float, n_parameters>& d_parameters) const {
    if constexpr (marks_queries) {
      if (is_marked) add_marks(block, facts_start, s, d_w);
    }
    if (all_visible) {  // most tiles: nothing is asked score by score
      take_gradients<true>(block, of_score, pair, facts_start, own_facts, s, d_w, d_parameters);
    } else {
      take_gradients<false>(block, of_score, pair, facts_start, own_facts, s, d_w, d_parameters);
    }
    if constexpr (Score::by_quotient && !of_queries) {
      if (!shares_factor(pair.row)) multiply_by_factors(pair.row, s, d_w);
    }
  }

  /// The facts of own queries, for this launch and for those that follow.
  template <class Block>
  ATTN_FUNCTION void find_facts(Block const& block, TeamPlace const& at, int own_row, OwnFacts& facts) const {
    int const n = int(x.q.extent(2)), value_width = int(x.v.extent(3)), lane = block.thread() % 32;
    auto const out = head_rows(x.out, at.batch, at.head);
    auto const d_out = head_rows(x.d_out, at.batch, at.head);
    Index const head_row = (Index(at.batch) * x.q.extent(1) + at.head) * n;
    auto const a = for_row(x.a, row(at));
    ATTN_UNROLL
    for (int i = 0; i < 2 * m_tiles; ++i) {
      int const query = own_row + 8 * i + lane / 4;
      bool const is_there = query < n;
      float delta = 0;
      for (int e = lane % 4; is_there && e < value_width; e += 4) {
        delta += static_cast<float>(out.first[query * out.step + e]) *
                 static_cast<float>(d_out.first[query * d_out.step + e]);
      }
      delta += block.exchange(delta, 1);
      delta += block.exchange(delta, 2);
      Stats const stats = is_there ? x.saved[head_row + query] : Stats();
      float last;  // a row without keys has no use for it
      if constexpr (Score::completes) {
        last = a.complete(stats);
        facts[i / 2][i % 2] = {delta, last};
      } else {
        last = 1.0f / a.normalizer(stats);
        facts[i / 2][i % 2] = {stats, delta, last};
      }
      if (is_there && lane % 4 == 0) {
        row_facts[2 * (head_row + query)] = delta;
        row_facts[2 * (head_row + query) + 1] = last;
      }
    }
  }

  /// The facts of own queries that the launch for them has found.
  template <class Block>
  ATTN_FUNCTION void load_own_facts(Block const& block, TeamPlace const& at, int own_row, OwnFacts& facts) const {
    if constexpr (is_row) {
      int const n = int(x.q.extent(2));
      Index const head_row = (Index(at.batch) * x.q.extent(1) + at.head) * n;
      ATTN_UNROLL
      for (int i = 0; i < 2 * m_tiles; ++i) {
        int const query = own_row + 8 * i + block.thread() % 32 / 4;
        Index const row = head_row + (query < n ? query : n - 1);
        RowFacts<A>& fact = facts[i / 2][i % 2];
        if constexpr (Score::completes) {
          fact = {row_facts[2 * row], row_facts[2 * row + 1]};
        } else {
          fact = {x.saved[row], row_facts[2 * row], row_facts[2 * row + 1]};
        }
      }
    }
  }

  /// The marks of streamed rows lie behind their facts.
  static ATTN_FUNCTION unsigned mark_place(unsigned start, int row) {
    return start + unsigned((streamed * fact_words + row) * 4);
  }
  /// Those words lie behind the marks. By some threads, for others to read behind a barrier.
  static ATTN_FUNCTION unsigned words_place(unsigned start, int row) {
    return start + unsigned((streamed * (words - 2) + row * 2) * 4);
  }
  template <class Block>
  ATTN_FUNCTION void put_words(Block const& block, unsigned start, int batch, Streamed const& tile, int thread,
                               int threads) const {
    auto const drop = x.dropout_of(batch, tile.head);
    ATTN_ROLLED
    for (int row = thread; row < streamed; row += threads) {
      RowOfWords const words_of_row = drop.rows.row(static_cast<std::uint32_t>(tile.first + row));
      block.write(words_place(start, row), words_of_row);
    }
  }
  /// Where the facts of a streamed row lie, and where a word of them comes from. So many words lie together, aligned.
  static constexpr int piece_words = sizeof(Stats) % 8 == 0 ? 2 : 1;
  static ATTN_FUNCTION unsigned facts_place(unsigned start, int row) { return start + unsigned(row * fact_words * 4); }
  ATTN_FUNCTION float const* fact(int batch, Streamed const& tile, int row, int word) const {
    constexpr int stats_words = fact_words - 2;
    Index const at = (Index(batch) * x.q.extent(1) + tile.head) * x.q.extent(2) + tile.first + row;
    return word < stats_words ? reinterpret_cast<float const*>(x.saved + at) + word
                              : row_facts + 2 * at + (word - stats_words);
  }

 private:
  template <class Block, class Drop>
  ATTN_FUNCTION RowOfWords words_of(Block const& block, Drop const& drop, unsigned facts_start, int first,
                                    int query) const {
    if constexpr (streams_words) {
      return block.template read<RowOfWords>(words_place(facts_start, query));
    } else {
      return drop.rows.row(static_cast<std::uint32_t>(first + query));
    }
  }

  template <class Block>
  ATTN_FUNCTION void add_marks(Block const& block, unsigned facts_start, float (&s)[m_tiles][n_tiles][4],
                               float (&d_w)[m_tiles][n_tiles][4]) const {
    ATTN_UNROLL
    for (int i = 0; i < Lane::queries; ++i) {
      float const mark = block.template read<float>(mark_place(facts_start, Lane::query(block, i)));
      ATTN_UNROLL
      for (int j = 0; j < Lane::keys; ++j) {
        Lane::score(s, i, j) += mark;
        Lane::score(d_w, i, j) += mark;
      }
    }
  }

  ATTN_FUNCTION void multiply_by_factors(Row row, float (&s)[m_tiles][n_tiles][4],
                                         float (&d_w)[m_tiles][n_tiles][4]) const {
    float const of_weight = score().weight_factor(row), of_gradient = score().gradient_factor(row);
    ATTN_UNROLL
    for (int i = 0; i < 4 * m_tiles * n_tiles; ++i) {
      s[i / 4 / n_tiles][i / 4 % n_tiles][i % 4] *= of_weight;
      d_w[i / 4 / n_tiles][i / 4 % n_tiles][i % 4] *= of_gradient;
    }
  }

  template <bool all_visible, class Block, class OfScore>
  ATTN_FUNCTION void take_gradients(Block const& block, OfScore const& of_score, Pair<16 * m_tiles> const& pair,
                                    unsigned facts_start, OwnFacts const& own_facts, float (&s)[m_tiles][n_tiles][4],
                                    float (&d_w)[m_tiles][n_tiles][4],
                                    Kokkos::Array<float, n_parameters>& d_parameters) const {
    auto const drop = x.dropout_of(pair.query.batch, pair.row.head);
    ATTN_UNROLL
    for (int i = 0; i < Lane::queries; ++i) {
      if constexpr (streams_words && requires { block.after(0.0f, facts_start); }) {
        if (i > 0 && i % 8 == 0) facts_start = block.after(Lane::score(d_w, i - 1, 0), facts_start);
      }
      int const query = Lane::query(block, i);
      [[maybe_unused]] std::uint32_t draws[Lane::keys];
      if constexpr (drops_weights<Dropout>) {
        auto const key_of = [&](int j) { return Lane::key(block, j); };
        draw<Lane::key_partner>(words_of(block, drop, facts_start, pair.query.index, query), pair.k0, key_of, draws);
      }
      RowFacts<A> facts;
      if constexpr (streams_facts) {
        facts = read_facts(block, facts_place(facts_start, query));
      } else if constexpr (is_row) {
        facts = own_facts[i / 2][i % 2];
      }
      KeyRange seen{};
      if constexpr (!all_visible) seen = pair.keys(x.mask, query);
      ATTN_UNROLL
      for (int j = 0; j < Lane::keys; ++j) {
        float &score = Lane::score(s, i, j), &gradient = Lane::score(d_w, i, j);
        bool const visible = all_visible || sees(seen, pair.k0 + Lane::key(block, j));
        bool kept = true;
        if constexpr (drops_weights<Dropout>) {
          kept = draws[j] >= drop.limit;
          gradient = (kept ? gradient : 0.0f) * drop.factor;
        }
        auto const g = of_score(score, gradient, pair.row, facts);
        if constexpr (n_parameters > 0) {
          if (visible) of_score.add_parameters(d_parameters, score, gradient, g.d_score, pair.row);
        }
        if constexpr (takes_weights) score = visible && kept ? g.weight : 0.0f;
        gradient = visible ? g.d_score : 0.0f;
      }
    }
  }

  template <class Block>
  ATTN_FUNCTION RowFacts<A> read_facts(Block const& block, unsigned place) const {
    Kokkos::Array<float, fact_words> words;
    ATTN_UNROLL
    for (int w = 0; w < fact_words; ++w) words[w] = block.template read<float>(place + unsigned(4 * w));
    return std::bit_cast<RowFacts<A>>(words);
  }
};

/// Finds the facts of all queries, where no launch for the gradients of queries does.
template <class Inputs>
struct RowFactsOfQueries {
  using Rows = Gradients<Part::queries, 1, 64, Inputs>;
  using Shape = TileShape<4, 1, 64>;
  static constexpr unsigned shared_bytes = 0;

  Rows rows;

  ATTN_FUNCTION Index blocks() const {
    return rows.x.q.extent(0) * rows.x.q.extent(1) * tiles_of(rows.x.q.extent(2), Shape::own);
  }
  template <class Block>
  ATTN_FUNCTION void operator()(Block const& block) const {
    TeamPlace const at(int(block.index()), int(rows.x.q.extent(1)), tiles_of(rows.x.q.extent(2), Shape::own));
    typename Rows::OwnFacts facts;
    rows.find_facts(block, at, at.tile * Shape::own + block.thread() / 32 * 16, facts);
  }
};

}  // namespace attn::detail::cuda
