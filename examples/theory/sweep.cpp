// Figure 1: which k makes x³/k train best, for sequences of 8 to 256 tokens?
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "theory/fit.hpp"
#include "theory/lab.hpp"
#include "theory/training.hpp"

namespace theory {
namespace {

std::vector<double> factors(SweepOptions const& options) {
  ATTN_CHECK(options.k_low > 0 && options.k_low <= options.k_high && options.k_per_decade > 0,
             "--k-low, --k-high: give a range of positive numbers, from ", options.k_low, " to ", options.k_high,
             " there is none");
  std::vector<double> all;
  for (int i = 0;; ++i) {
    double const k = options.k_low * std::pow(10.0, double(i) / options.k_per_decade);
    if (k > options.k_high * (1 + 1e-9)) return all;
    all.push_back(k);
  }
}

std::string short_number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", x);
  return text;
}

struct Point {
  double k, mean, deviation;
  int diverged;
};

/// The k of the best mean, and the range of k whose means lie within half a point of it.
struct Best {
  double k, low, high, accuracy;
};
Best best_of(std::vector<Point> const& points) {
  auto const best =
      std::max_element(points.begin(), points.end(), [](Point const& a, Point const& b) { return a.mean < b.mean; });
  Best result{best->k, best->k, best->k, best->mean};
  for (Point const& p : points) {
    if (p.mean < best->mean - 0.005) continue;
    result.low = std::min(result.low, p.k);
    result.high = std::max(result.high, p.k);
  }
  return result;
}

}  // namespace

void run_sweep(attn::io::CommonOptions const& common, SweepOptions const& given) {
  SweepOptions options = given;
  options.training = complete(given.training);
  TrainingOptions const& t = options.training;
  auto const ks = factors(options);
  ATTN_CHECK(!options.tokens.empty(), "--tokens: give at least one length");
  for (int const tokens : options.tokens) patch_for(tokens);
  Lab lab(common.out, "sweep");
  attn::data::Split const data = padded_images(t);
  note(lab, t, data);

  Table runs{
      .columns = {"activation", "power", "scale", "seed", "tokens", "k", "test_accuracy", "diverged", "seconds"}};
  Table best_table{.columns = {"tokens", "sqrt_tokens", "best_k", "within_half_a_point_from", "to", "test_accuracy"}};
  io::LinePlot accuracy{.title = "x³/k: accuracy over k",
                        .x_label = "k",
                        .y_label = "test accuracy (%)",
                        .log_x = true,
                        .legend = io::Legend::below};
  io::LinePlot optimum{.title = "The best k over the length",
                       .x_label = "tokens N",
                       .y_label = "best k",
                       .log_x = true,
                       .log_y = true,
                       .legend = io::Legend::below};
  io::Series root{.label = "√N", .style = io::LineStyle::dashed, .color = 6};
  io::Series best_k{.label = "best k; band: within half a point", .color = 0};
  for (std::size_t n = 0; n < options.tokens.size(); ++n) {
    int const tokens = options.tokens[n];
    std::vector<Point> points;
    std::string label = "N = ";
    label += std::to_string(tokens);
    io::Series curve{.label = label, .color = int(n)};
    for (double const k : ks) {
      std::vector<double> accuracies;
      int diverged = 0;
      for (int s = 0; s < t.seeds; ++s) {
        std::uint64_t const seed = common.seed + std::uint64_t(s);
        auto const settings =
            settings_of(t, {.activation = "poly", .power = 3, .scale = "fixed", .factor = 1 / k}, tokens, seed);
        std::string const name = "N" + std::to_string(tokens) + "_k" + short_number(k) + "_seed" + std::to_string(seed);
        Run const run = train(settings, data, lab.out() / "runs" / name);
        accuracies.push_back(run.accuracy);
        diverged += run.diverged;
        double const seconds = run.diverged ? NAN : run.outcome.run["seconds"].get<double>();
        runs.rows.push_back(
            {"poly", 3.0, "1/k", double(seed), double(tokens), k, run.accuracy, double(run.diverged), seconds});
        std::printf("N = %d, k = %.4g: test accuracy %.4f%s\n", tokens, k, run.accuracy,
                    run.diverged ? " (diverged)" : "");
        lab.write("sweep", runs);  // what is measured is kept, whatever comes
      }
      double const center = mean(accuracies);
      double squares = 0;
      for (double const a : accuracies) squares += (a - center) * (a - center);
      double const deviation = accuracies.size() > 1 ? std::sqrt(squares / double(accuracies.size() - 1)) : 0;
      points.push_back({k, center, deviation, diverged});
      curve.x.push_back(k);
      curve.y.push_back(100 * center);
      if (t.seeds > 1) {
        curve.low.push_back(100 * (center - deviation));
        curve.high.push_back(100 * (center + deviation));
      }
    }
    Best const best = best_of(points);
    best_table.rows.push_back({double(tokens), std::sqrt(double(tokens)), best.k, best.low, best.high, best.accuracy});
    root.x.push_back(tokens);
    root.y.push_back(std::sqrt(double(tokens)));
    best_k.x.push_back(tokens);
    best_k.y.push_back(best.k);
    best_k.low.push_back(best.low);
    best_k.high.push_back(best.high);
    accuracy.series.push_back(std::move(curve));
  }
  optimum.series = {best_k, root};
  lab.write("best", best_table);
  lab.draw("sweep", {.panels = {accuracy, optimum}, .columns = 2, .panel_width = 520, .panel_height = 400});
  lab.finish(runs);
  print(best_table);
}

}  // namespace theory
