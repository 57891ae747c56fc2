// Theorems 4.2 and 4.4 and their corollaries: how do the expected norms of A = phi(X Q K^T X^T / sqrt d) and of dA/dQ
// grow with the number of tokens?
#include "attn/core/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "theory/experiments.hpp"
#include "theory/fit.hpp"
#include "theory/measure.hpp"

namespace theory {
namespace {

struct Case {
  Choice choice;
  std::optional<double> predicted;  // the exponent that the paper states
};

std::vector<Case> cases(attn::io::CommonOptions const& common) {
  std::vector<Case> all;
  for (int power = 1; power <= 6; ++power) all.push_back({{"poly", power, 1}, 1.0});
  for (int power = 1; power <= 6; ++power) all.push_back({{"poly", power, 0}, 0.5});
  all.push_back({{.name = "softmax"}, 0.5});
  for (std::string const& name : registered_names()) all.push_back({{.name = name}, std::nullopt});
  (void)common;
  return all;
}

/// q = X Q and k = X K (N, d) for one draw of X (N, D), Q and K (D, d).
struct Draw {
  std::vector<double> x_norms;
  Heads q, k;
};
Draw draw(GrowthOptions const& o, int n, double sigma_t, std::uint64_t seed, std::uint64_t trial) {
  auto const numbers = [&](std::string const& use, int rows, int columns, double deviation) {
    attn::RandomKey const key = attn::subkey(attn::RandomKey{.seed = seed, .stream = trial}, use);
    std::vector<double> values(std::size_t(rows) * std::size_t(columns));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = deviation * attn::normal<double>(key, i);
    return values;
  };
  auto const width = std::size_t(o.width), d = std::size_t(o.head_width);
  auto const x = numbers("x" + std::to_string(n), n, o.width, o.sigma_x);
  Draw result;
  for (int i = 0; i < n; ++i) {
    double square = 0;
    for (std::size_t c = 0; c < width; ++c) square += x[std::size_t(i) * width + c] * x[std::size_t(i) * width + c];
    result.x_norms.push_back(std::sqrt(square));
  }
  auto const project = [&](std::string const& use) {
    auto const matrix = numbers(use + std::to_string(n), o.width, o.head_width, sigma_t);
    Heads heads{.tokens = n, .width = o.head_width};
    for (std::size_t i = 0; i < std::size_t(n); ++i) {
      std::vector<double> row(d, 0);
      for (std::size_t c = 0; c < width; ++c) {
        for (std::size_t e = 0; e < d; ++e) row[e] += x[i * width + c] * matrix[c * d + e];
      }
      for (double const value : row) heads.values.push_back(float(value));
    }
    return heads;
  };
  result.q = project("q");
  result.k = project("k");
  return result;
}

struct Curve {
  std::string label;
  std::vector<std::vector<double>> trials;  // (trial, length)
};

/// One panel: means over trials, with a band of a standard deviation, and lines of the predicted slopes.
io::LinePlot panel(std::string const& title, std::string const& y_label, std::vector<int> const& lengths,
                   std::vector<Curve> const& curves, std::vector<double> const& slopes) {
  io::LinePlot plot{.title = title, .x_label = "tokens N", .y_label = y_label, .log_x = true, .log_y = true};
  double low = INFINITY;
  for (Curve const& curve : curves) {
    io::Series series{.label = curve.label};
    for (std::size_t n = 0; n < lengths.size(); ++n) {
      std::vector<double> values;
      for (auto const& trial : curve.trials) values.push_back(trial[n]);
      double const center = mean(values);
      series.x.push_back(lengths[n]);
      series.y.push_back(center);
      if (center > 0) low = std::min(low, center);
    }
    plot.series.push_back(std::move(series));
  }
  for (double const slope : slopes) {
    char label[32];
    std::snprintf(label, sizeof label, slope == 1 ? "slope 1" : "slope ½");
    io::Series line{.label = label, .style = io::LineStyle::dashed, .color = slope == 1 ? 6 : 7};
    for (int const n : lengths) {
      line.x.push_back(n);
      line.y.push_back(0.5 * low * std::pow(double(n) / lengths.front(), slope));
    }
    plot.series.push_back(std::move(line));
  }
  return plot;
}

}  // namespace

void run_growth(attn::io::CommonOptions const& common, GrowthOptions const& options) {
  auto const lengths = options.tokens.values("growth");
  ATTN_CHECK(lengths.size() >= 2,
             "growth: give --tokens-low and --tokens-high at least two powers of two between them");
  std::vector<double> const x(lengths.begin(), lengths.end());
  double const sigma_t = options.sigma_t > 0 ? options.sigma_t : 1 / std::sqrt(double(options.width));
  Lab lab(common.out, "growth");
  for (auto const& [name, value] : {std::pair{"trials", double(options.trials)},
                                    {"width", double(options.width)},
                                    {"head_width", double(options.head_width)},
                                    {"sigma_x", options.sigma_x},
                                    {"sigma_t", sigma_t},
                                    {"seed", double(common.seed)}}) {
    lab.set(name, value);
  }
  auto const all = cases(common);
  std::vector<Curve> norms(all.size()), gradients(all.size());
  for (std::size_t c = 0; c < all.size(); ++c) norms[c].label = gradients[c].label = all[c].choice.label();
  for (int trial = 0; trial < options.trials; ++trial) {
    for (std::size_t c = 0; c < all.size(); ++c) norms[c].trials.emplace_back(), gradients[c].trials.emplace_back();
    for (int const n : lengths) {
      Draw const input = draw(options, n, sigma_t, common.seed, std::uint64_t(trial));
      for (std::size_t c = 0; c < all.size(); ++c) {
        norms[c].trials.back().push_back(measure(all[c].choice, input.q, input.k).frobenius[0]);
        gradients[c].trials.back().push_back(parameter_gradient(all[c].choice, input.x_norms, input.q, input.k));
      }
    }
    std::fprintf(stderr, "\rtrial %d of %d", trial + 1, options.trials);
  }
  std::fprintf(stderr, "\n");

  Table points{.columns = {"activation", "tokens", "trial", "frobenius", "gradient"}};
  Table fits{
      .columns = {"activation", "predicted", "norm_exponent", "norm_95", "gradient_exponent", "gradient_95", "agrees"}};
  for (std::size_t c = 0; c < all.size(); ++c) {
    std::vector<double> a, g;
    for (std::size_t t = 0; t < norms[c].trials.size(); ++t) {
      a.push_back(exponent(x, norms[c].trials[t]));
      g.push_back(exponent(x, gradients[c].trials[t]));
      for (std::size_t n = 0; n < lengths.size(); ++n) {
        points.rows.push_back({norms[c].label, x[n], double(t), norms[c].trials[t][n], gradients[c].trials[t][n]});
      }
    }
    Estimate const ea = estimate(a), eg = estimate(g);
    auto const& predicted = all[c].predicted;
    std::string agrees = "-";
    if (predicted) {
      bool const by_norm = std::abs(ea.value - *predicted) <= ea.half_width;
      bool const by_gradient = std::abs(eg.value - *predicted) <= eg.half_width;
      bool const below = ea.value <= *predicted + ea.half_width && eg.value <= *predicted + eg.half_width;
      agrees = by_norm && by_gradient ? "yes" : below ? "below" : "no";
    }
    fits.rows.push_back(
        {norms[c].label, predicted.value_or(NAN), ea.value, ea.half_width, eg.value, eg.half_width, agrees});
  }
  lab.write("growth", points);
  lab.write("exponents", fits);
  auto const part = [](std::vector<Curve> const& curves, std::size_t first, std::size_t last) {
    return std::vector<Curve>(curves.begin() + std::ptrdiff_t(first), curves.begin() + std::ptrdiff_t(last));
  };
  std::size_t const powers = 6, softmax = 12;
  io::Figure polynomials{.panels = {}, .columns = 2, .panel_width = 520, .panel_height = 430};
  polynomials.panels = {
      panel("No scale", "mean Frobenius norm of A", lengths, part(norms, 0, powers), {1}),
      panel("Scale 1/√N, and softmax", "mean Frobenius norm of A", lengths, part(norms, powers, softmax + 1), {0.5}),
      panel("No scale", "mean norm of ∂A/∂Q", lengths, part(gradients, 0, powers), {1}),
      panel("Scale 1/√N, and softmax", "mean norm of ∂A/∂Q", lengths, part(gradients, powers, softmax + 1), {0.5})};
  lab.draw("growth", polynomials);
  io::Figure others{.panels = {}, .columns = 2, .panel_width = 520, .panel_height = 500};
  auto const one = all.size() - 5;  // the functions of one score, and then those that are normalised
  others.panels = {
      panel("Functions of one score", "mean Frobenius norm of A", lengths, part(norms, softmax, one), {1, 0.5}),
      panel("Normalised over the row", "mean Frobenius norm of A", lengths, part(norms, one, all.size()), {0.5}),
      panel("Functions of one score", "mean norm of ∂A/∂Q", lengths, part(gradients, softmax, one), {1, 0.5}),
      panel("Normalised over the row", "mean norm of ∂A/∂Q", lengths, part(gradients, one, all.size()), {0.5})};
  lab.draw("growth_registered", others);
  lab.finish(fits);
  print(fits);
}

}  // namespace theory
