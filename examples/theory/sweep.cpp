// Figure 1: which k makes x³/k train best, for sequences of 8 to 256 tokens?
#include <algorithm>
#include <cmath>
#include <cstdio>

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
  double k;
  Estimate accuracy;
};

/// The k of the best mean, and the range of k whose means lie within two points of it.
struct Best {
  double k, low, high;
  Estimate accuracy;
};
Best best_of(std::vector<Point> const& points) {
  auto const best = std::max_element(
      points.begin(), points.end(), [](Point const& a, Point const& b) { return a.accuracy.value < b.accuracy.value; });
  Best result{best->k, best->k, best->k, best->accuracy};
  for (Point const& p : points) {
    if (p.accuracy.value < best->accuracy.value - 0.02) continue;
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
  attn::data::Split const data = images_of(t);
  note(lab, t, data);
  Runs runs(lab, data);

  Table points_table{.columns = {"tokens", "k", "test_accuracy", "interval", "diverged"}};
  Table best_table{.columns = {"tokens", "sqrt_tokens", "best_k", "within_two_points_from", "to", "x³/k", "softmax",
                               "no attention"}};
  io::Figure figure{.columns = 2, .panel_width = 520, .panel_height = 360};
  io::LinePlot optimum{.title = "The best k over the length",
                       .x_label = "tokens N",
                       .y_label = "best k",
                       .log_x = true,
                       .log_y = true,
                       .legend = io::Legend::below};
  io::Series root{.label = "√N", .style = io::LineStyle::dashed, .color = 6};
  io::Series best_k{.label = "best k; band: within two points", .color = 0};
  for (int const tokens : options.tokens) {
    std::string const length = "N" + std::to_string(tokens);
    auto const train = [&](std::string const& name, vision::ActivationChoice const& choice, int seeds) {
      return runs.train(length + "_" + name, settings_of(t, choice, tokens, 0), common.seed, seeds);
    };
    Estimate const softmax = accuracy_of(train("softmax", {.activation = "softmax"}, t.seeds));
    Estimate const none = accuracy_of(train("no_attention", no_attention(), t.seeds));
    warn_unless_below("N = " + std::to_string(tokens), none, softmax);
    std::vector<Point> points;
    io::Series curve{.label = "x³/k, mean", .color = 0};
    io::Series each{.label = "each seed", .style = io::LineStyle::points, .color = 4};
    for (double const k : ks) {
      auto const all =
          train("k" + short_number(k), {.activation = "poly", .power = 3, .scale = "fixed", .factor = 1 / k}, t.seeds);
      Estimate const accuracy = accuracy_of(all);
      points.push_back({k, accuracy});
      points_table.rows.push_back({double(tokens), k, accuracy.value, accuracy.half_width, double(diverged(all))});
      lab.write("sweep", points_table);  // what is measured is kept, whatever comes
      curve.x.push_back(k);
      curve.y.push_back(100 * accuracy.value);
      for (Run const& run : all) each.x.push_back(k), each.y.push_back(100 * run.accuracy);
    }
    Best const best = best_of(points);
    std::pair const range{ks.front(), ks.back()};
    best_table.rows.push_back({double(tokens), std::sqrt(double(tokens)), best.k, best.low, best.high,
                               percent(best.accuracy), percent(softmax), percent(none)});
    root.x.push_back(tokens);
    root.y.push_back(std::sqrt(double(tokens)));
    best_k.x.push_back(tokens);
    best_k.y.push_back(best.k);
    best_k.low.push_back(best.low);
    best_k.high.push_back(best.high);
    figure.panels.push_back(io::LinePlot{.title = "N = " + std::to_string(tokens),
                                         .x_label = "k",
                                         .y_label = "test accuracy (%)",
                                         .series = {curve, each, level("softmax", range, 100 * softmax.value, 1),
                                                    level("no attention", range, 100 * none.value, 6)},
                                         .log_x = true,
                                         .y_range = io::Range(0, 100),
                                         .legend = io::Legend::below});
  }
  optimum.series = {best_k, root};
  lab.write("best", best_table);
  lab.draw("sweep", figure);
  lab.draw("best", {.panels = {optimum}, .panel_width = 520, .panel_height = 400});
  lab.finish(runs.table());
  print(best_table);
}

}  // namespace theory
