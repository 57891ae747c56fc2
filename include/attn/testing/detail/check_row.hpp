/// The part of check_activation that is about row-normalised activations.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/core/jet.hpp"
#include "attn/core/pack.hpp"
#include "attn/testing/detail/activation_report.hpp"

#include <numeric>

namespace attn::testing::detail {

/// The scores of a tile as `absorb_tile` wants them: it overwrites each with its numerator.
template <class T>
struct TrialTile {
  T* values;
  int count;
  explicit TrialTile(std::vector<T>& v) : values(v.data()), count(static_cast<int>(v.size())) {}
  ATTN_FUNCTION int size() const { return count; }
  ATTN_FUNCTION T operator[](int j) const { return values[j]; }
  ATTN_FUNCTION void set(int j, T numerator) const { values[j] = numerator; }
  ATTN_FUNCTION T row_max(T x) const { return x; }
  ATTN_FUNCTION T row_sum(T x) const { return x; }
};

template <class A>
struct RowCheck {
  A const& a;
  CheckActivationOptions const& options;
  ActivationReport& report;

  void run() const {
    auto const all = trial_scores(options.largest_score);
    for (std::size_t const length : {1, 2, 7, 31}) {
      std::vector<double> row;
      for (std::size_t j = 0; j < length; ++j) row.push_back(all[(5 + 3 * j) % all.size()]);
      values(row);
      std::erase_if(row, [](double s) { return std::abs(s) > 8; });  // beyond, a weight is nothing or everything
      derivatives(row);
      jets(row);
    }
    values({options.largest_score, -options.largest_score, 0});
    if constexpr (has_packs) packs(all);
  }

 private:
  template <class T>
  using Stats = typename A::template Stats<T>;

  /// The weights of a row that is gathered one score at a time.
  template <class T>
  std::vector<T> weights(std::vector<T> const& scores) const {
    Stats<T> stats;
    for (T const& s : scores) (void)a.absorb(stats, s);
    std::vector<T> w;
    for (T const& s : scores) w.push_back(a.numerator(s, stats) / a.normalizer(stats));
    return w;
  }

  static double largest(std::vector<double> const& x) {
    return std::abs(
        *std::max_element(x.begin(), x.end(), [](double y, double z) { return std::abs(y) < std::abs(z); }));
  }
  static std::string in_row(std::vector<double> const& scores) {
    return " in a row of " + std::to_string(scores.size()) + " scores";
  }

  void values(std::vector<double> const& scores) const {
    auto const w = weights(scores);
    double const scale = largest(w);
    for (std::size_t j = 0; j < scores.size(); ++j) {
      if (!std::isfinite(w[j])) report.add("finite", "the weight of score ", scores[j], " is ", w[j], in_row(scores));
    }
    if (w != weights(scores) && w == w) report.add("pure", "weights differ when they are computed again");

    auto const narrow = weights(std::vector<float>(scores.begin(), scores.end()));
    for (std::size_t j = 0; j < scores.size(); ++j) {
      if (!close(narrow[j], w[j], 1e-4 * scale)) {
        report.add("fp32", "the weight of score ", scores[j], " is ", narrow[j], ", and in fp64 ", w[j],
                   in_row(scores));
      }
    }
    orders(scores, w);
    factors(scores, w);
  }

  /// Kernels meet the keys in tiles, from any key on.
  void orders(std::vector<double> const& scores, std::vector<double> const& w) const {
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    auto const ascending = [&](std::size_t i, std::size_t j) { return scores[i] < scores[j]; };
    for (int kind = 0; kind < 3; ++kind) {
      if (kind == 1) std::stable_sort(order.begin(), order.end(), ascending);
      if (kind != 1) std::reverse(order.begin(), order.end());  // backwards; then by falling scores
      std::vector<double> reordered;
      for (std::size_t const i : order) reordered.push_back(scores[i]);
      auto const again = weights(reordered);
      for (std::size_t j = 0; j < scores.size(); ++j) {
        if (!close(again[j], w[order[j]], 1e-10 * largest(w))) {
          report.add("order", "the weight of score ", reordered[j], " is ", w[order[j]], ", but ", again[j],
                     " when the scores come in another order", in_row(scores));
        }
      }
    }
  }

  /// What was accumulated, times the factors, must be what the complete statistics give.
  void factors(std::vector<double> const& scores, std::vector<double> const& w) const {
    auto const expected = std::accumulate(w.begin(), w.end(), 0.0);
    Stats<double> stats;
    double sum = 0;
    for (double const s : scores) {
      double const factor = a.absorb(stats, s);
      sum = sum * factor + a.numerator(s, stats);
    }
    if (!close(sum / a.normalizer(stats), expected, 1e-10 * (std::abs(expected) + largest(w)))) {
      report.add("factor", "weights gathered one by one sum to ", sum / a.normalizer(stats),
                 ", and from the complete row to ", expected, in_row(scores),
                 ": absorb must return what earlier numerators are multiplied by");
    }
    if constexpr (CompletesRows<A, double>) completed(scores, w, stats);
    if constexpr (MergesRows<A, double>) merged(scores, w);
    std::vector<double> nothing;
    TrialTile<double> const none(nothing);
    if constexpr (requires { a.absorb_tile(stats, none); }) {
      tiles(scores, 1, w, [this](auto& of_row, auto const& tile) { return a.absorb_tile(of_row, tile); });
    }
    if constexpr (requires { a.absorb_tile(stats, none, 1.0); }) {
      double const z = 0.125;
      tiles(scores, z, w, [&](auto& of_row, auto const& tile) { return a.absorb_tile(of_row, tile, z); });
    }
  }

  /// The row in three parts, of which one is empty and may come first.
  void merged(std::vector<double> const& scores, std::vector<double> const& w) const {
    auto const expected = std::accumulate(w.begin(), w.end(), 0.0);
    for (std::size_t const cut : {std::size_t(0), scores.size() / 2, scores.size()}) {
      Stats<double> stats;
      double sum = 0;
      auto const add = [&](std::size_t first, std::size_t last) {
        Stats<double> others;
        double part = 0;
        for (std::size_t j = first; j < last; ++j) {
          double const factor = a.absorb(others, scores[j]);
          part = part * factor + a.numerator(scores[j], others);
        }
        auto const factors = a.merge(stats, others);
        sum = sum * factors[0] + part * factors[1];
      };
      add(0, cut);
      add(cut, scores.size());
      add(0, 0);
      if (!close(sum / a.normalizer(stats), expected, 1e-10 * (std::abs(expected) + largest(w)))) {
        report.add("merge", "weights gathered in two parts sum to ", sum / a.normalizer(stats),
                   ", and from the complete row to ", expected, in_row(scores));
      }
    }
  }

  /// Each weight by the number of the complete row.
  void completed(std::vector<double> const& scores, std::vector<double> const& w, Stats<double> const& stats) const {
    double const c = a.complete(stats), z = 0.125;
    for (std::size_t j = 0; j < w.size(); ++j) {
      double const by_number = a.complete_weight(scores[j] / z, z, c);
      if (!close(by_number, w[j], 1e-10 * (std::abs(w[j]) + largest(w)))) {
        report.add("complete", "a weight is ", w[j], ", but by complete and complete_weight ", by_number,
                   in_row(scores));
      }
    }
  }

  /// The first half of the scores one by one, the others by absorb(stats, tile of scores / z). A tile that is hidden
  /// may come first.
  template <class Absorb>
  void tiles(std::vector<double> const& scores, double z, std::vector<double> const& w, Absorb const& absorb) const {
    auto const expected = std::accumulate(w.begin(), w.end(), 0.0);
    for (bool const hidden_first : {false, true}) {
      Stats<double> stats;
      double sum = 0;
      if (hidden_first) {
        std::vector<double> hidden(3, lowest<double>);
        sum *= absorb(stats, TrialTile<double>(hidden));
      }
      for (std::size_t j = 0; j < scores.size() / 2; ++j) {
        double const factor = a.absorb(stats, scores[j]);
        sum = sum * factor + a.numerator(scores[j], stats);
      }
      std::vector<double> tile(scores.begin() + std::ptrdiff_t(scores.size() / 2), scores.end());
      for (double& s : tile) s /= z;
      tile.push_back(lowest<double>);  // a key that a mask hides: it must not matter, and its numerator is not used
      double const factor = absorb(stats, TrialTile<double>(tile));
      sum = std::accumulate(tile.begin(), tile.end() - 1, sum * factor);
      if (!close(sum / a.normalizer(stats), expected, 1e-10 * (std::abs(expected) + largest(w)))) {
        report.add("absorb_tile", "weights sum to ", sum / a.normalizer(stats), ", and by absorb to ", expected,
                   in_row(scores));
      }
    }
  }

  /// ds of the loss sum_j g_j w_j, and what else is derived from the pullback.
  void derivatives(std::vector<double> scores) const {
    auto const w = weights(scores);
    std::vector<double> g;
    for (std::size_t j = 0; j < w.size(); ++j) g.push_back(normal<double>({.seed = 3, .stream = 0}, j));
    auto const loss = [&](std::vector<double> const& s) {
      auto const all = weights(s);
      return std::inner_product(all.begin(), all.end(), g.begin(), 0.0);
    };
    double const delta = loss(scores);
    double sum_f = 0, sum_g = 0, sum_w2 = 0, sum_w3 = 0;
    Stats<double> stats;
    for (double const s : scores) (void)a.absorb(stats, s);
    auto const pull = [&](std::size_t k, double d_w, double d) { return pull_back(a, scores[k], w[k], d_w, d, stats); };
    for (std::size_t k = 0; k < w.size(); ++k) {
      double const d_s = pull(k, g[k], delta);
      Differences const differences(
          [&](double s) {
            auto moved = scores;
            moved[k] = s;
            return loss(moved);
          },
          scores[k]);
      if (!differences.admit(d_s, largest(w) * largest(g))) {
        report.add("pullback", "ds is ", d_s, " at score ", scores[k], ", where finite differences give ",
                   differences.middle(), in_row(scores));
      }
      double const f = pull(k, 1.0, 0.0), h = pull(k, 0.0, 1.0);
      if (!close(f * g[k] + h * delta, d_s, 1e-10 * (std::abs(f * g[k]) + std::abs(h * delta)))) {
        report.add("pullback", "it is not linear in d_w and delta: ", d_s, " at score ", scores[k], ", but by parts ",
                   f * g[k] + h * delta);
      }
      sum_f += f * (f + 2 * h * w[k]);
      sum_g += h * h;
      sum_w2 += w[k] * w[k];
      sum_w3 += w[k] * w[k] * w[k];
    }
    if constexpr (requires {
                    { a.squared_jacobian(sum_w2, sum_w3) } -> std::same_as<double>;
                  }) {
      double const stated = a.squared_jacobian(sum_w2, sum_w3), expected = sum_f + sum_w2 * sum_g;
      if (!close(stated, expected, 1e-10 * (std::abs(sum_f) + sum_w2 * sum_g))) {
        report.add("squared_jacobian", "it is ", stated, ", and by the pullback ", expected, in_row(scores));
      }
    }
  }

  /// All weights along one direction in the space of scores.
  void jets(std::vector<double> const& scores) const {
    using J = Jet<double, 1>;
    std::vector<double> direction;
    std::vector<J> lifted;
    for (std::size_t j = 0; j < scores.size(); ++j) {
      direction.push_back(normal<double>({.seed = 3, .stream = 1}, j));
      lifted.push_back(J(scores[j]) + J::variable(0) * direction[j]);
    }
    auto const w = weights(lifted);
    for (std::size_t j = 0; j < scores.size(); ++j) {
      Differences const differences(
          [&](double t) {
            auto moved = scores;
            for (std::size_t k = 0; k < moved.size(); ++k) moved[k] += t * direction[k];
            return weights(moved)[j];
          },
          0.0);
      if (!differences.admit(w[j].coefficients[1], std::abs(w[j].value()) * largest(direction))) {
        report.add("jet", "the derivative of the weight of score ", scores[j], " is ", w[j].coefficients[1],
                   ", where finite differences give ", differences.middle(), in_row(scores));
      }
    }
  }

  /// Another row in each lane.
  void packs(std::vector<double> const& all) const {
    using P = Pack<float>;
    constexpr std::size_t length = 9;
    auto const score = [&](std::size_t j, int lane) { return float(all[(std::size_t(lane) + 4 * j) % all.size()]); };
    std::vector<P> packed(length, P(0.0f));
    for (std::size_t j = 0; j < length; ++j) {
      for (int lane = 0; lane < P::width; ++lane) packed[j].lanes[lane] = score(j, lane);
    }
    auto const w = weights(packed);
    for (int lane = 0; lane < P::width; ++lane) {
      std::vector<float> row;
      for (std::size_t j = 0; j < length; ++j) row.push_back(score(j, lane));
      auto const expected = weights(row);
      double const scale = largest(std::vector<double>(expected.begin(), expected.end()));
      for (std::size_t j = 0; j < length; ++j) {
        if (!close(w[j][lane], expected[j], 1e-5 * scale)) {
          report.add("pack", "the weight of score ", row[j], " is ", w[j][lane], ", and that of a float ", expected[j]);
        }
      }
    }
  }
};

/// Trained numbers of a row-normalised activation: their first values, `bind`, heads, and the gradients of each.
template <class A>
struct LearnableRowCheck {
  static constexpr int n = A::n_parameters, heads = 2;

  A const& a;
  CheckActivationOptions const& options;
  ActivationReport& report;

  void run() const {
    std::vector<double> numbers;
    for (int i = 0; i < heads * n; ++i) {
      double const first = A::initial_parameters(197)[std::size_t(i % n)];
      if (!std::isfinite(first)) {
        report.add("initial parameters", A::parameter_names[i % n], " starts at ", first);
        return;
      }
      numbers.push_back(first * (1 + 0.5 * (i / n)) + 0.25 * (i / n));  // no two heads alike
    }
    auto const bound = a.bind(LearnedParameters<double>{numbers.data(), nullptr, true});
    if (bound.parameters().value != numbers.data() || !bound.parameters().per_head) {
      report.add("bind", "parameters() is not what bind() was given");
    }
    for (int h = 0; h < heads; ++h) {
      Row const row{31, h};
      auto const known = attn::for_row(bound, row);
      RowCheck<std::remove_const_t<decltype(known)>>{known, options, report}.run();
      std::vector<double> scores;
      for (std::size_t j = 0; j < 7; ++j) scores.push_back(2 * normal<double>({.seed = 3, .stream = 4}, j));
      for (int i = 0; i < heads * n; ++i) {
        double& number = numbers[std::size_t(i)];
        double const before = number;
        Differences const differences(
            [&](double value) {
              number = value;
              double const now = loss(attn::for_row(bound, row), scores);
              number = before;
              return now;
            },
            before);
        double const expected = i / n == h ? gradients(known, scores)[std::size_t(i % n)] : 0;
        if (!differences.admit(expected, 1e-3)) {
          report.add("parameter pullbacks", "dloss / d(", A::parameter_names[i % n], ") is ", expected,
                     i / n == h ? ", where finite differences give " : " of another head, where they give ",
                     differences.middle());
        }
      }
    }
  }

 private:
  static double d_weight(std::size_t j) { return normal<double>({.seed = 3, .stream = 0}, j); }

  template <class Known>
  static auto gather(Known const& known, std::vector<double> const& scores) {
    typename A::template Stats<double> stats;
    for (double const s : scores) (void)known.absorb(stats, s);
    return stats;
  }
  /// sum_j d_w_j w_j, which is delta too.
  template <class Known>
  static double loss(Known const& known, std::vector<double> const& scores) {
    auto const stats = gather(known, scores);
    double sum = 0;
    for (std::size_t j = 0; j < scores.size(); ++j) {
      sum += d_weight(j) * known.numerator(scores[j], stats) / known.normalizer(stats);
    }
    return sum;
  }
  template <class Known>
  static std::vector<double> gradients(Known const& known, std::vector<double> const& scores) {
    auto const stats = gather(known, scores);
    std::vector<double> sums(std::size_t(n), 0.0);
    for (std::size_t j = 0; j < scores.size(); ++j) {
      double const w = known.numerator(scores[j], stats) / known.normalizer(stats);
      auto const shares = known.parameter_pullbacks(scores[j], w, d_weight(j), loss(known, scores), stats);
      for (std::size_t p = 0; p < sums.size(); ++p) sums[p] += shares[p];
    }
    return sums;
  }
};

}  // namespace attn::testing::detail
