/// Norms of the attention matrix and statistics of its rows, gathered while a block of queries goes through its keys.
#pragma once

#include "attn/attention/detail/host/call.hpp"
#include "attn/attention/detail/norm_sums.hpp"

namespace attn::detail::host {

/// What a forward block adds to sums over rows, and writes when the rows are complete. `T` is the real that it computes
/// in, queries are in the lanes of `Columns` packs.
template <class T, class A, class Options>
struct NormGatherer {
  static constexpr bool normalised = RowActivation<A, Pack<T>>;
  static constexpr bool norms = wants_norms<decltype(Options::norms)>;

  OfRow<A> const& a;
  Options const& options;

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
};

}  // namespace attn::detail::host
