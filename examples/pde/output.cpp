#include "pde/output.hpp"

#include "attn/io/curve.hpp"
#include "attn/io/plot.hpp"
#include "attn/train/run_files.hpp"
#include "attn/train/trained_numbers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

#include "commit.hpp"

namespace train_pde {

namespace io = attn::io;

void report(Settings const& s, Outcome const& outcome, io::Json const& errors) {
  io::Json run = results_of(s);
  if (s.common.evaluate) {
    run["loss"] = nullptr;
  } else {
    run["loss"] = outcome.loss;
    for (auto const& [name, value] : outcome.terms) run["loss_" + name] = value;
    run["steps"] = outcome.steps;
    run["evaluations"] = outcome.evaluations;
    run["finished"] = outcome.finished;
  }
  run.update(errors);
  run["seconds"] = outcome.seconds;
  if (!s.common.evaluate) run["seconds_of"] = io::Json::object();
  for (auto const& [work, seconds] : outcome.seconds_of) run["seconds_of"][work] = seconds;
  io::Results results(built_from_commit);
  results.add(run);
  results.write(s.common.out / "results.json");

  std::printf("%s  %s", s.problem.c_str(), s.model == "pinn" ? "pinn" : s.common.activation.c_str());
  if (s.common.activation == "poly" && s.model != "pinn") {
    std::printf(" x^%d scale %s", s.common.power, s.common.scale.c_str());
  }
  if (!s.common.evaluate) {
    if (!outcome.finished) std::printf("  interrupted after");
    std::printf("  %d steps, %d evaluations, %.0f s  loss %.4g", outcome.steps, outcome.evaluations, outcome.seconds,
                outcome.loss);
  }
  for (auto const& [name, value] : errors.items()) {
    if (value.is_number()) std::printf("  %s %.4g", name.c_str(), value.get<double>());
  }
  std::printf("  (%s derivatives)\n", s.derivative.c_str());
}

Raster raster_of(std::vector<double> const& x, std::vector<double> const& y) {
  auto const distinct = [](std::vector<double> v) {
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()), v.end());
    return v;
  };
  auto const across = distinct(x), up = distinct(y);
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  if (across.size() * up.size() != x.size()) return {};
  Raster raster{.rows = up.size(),
                .columns = across.size(),
                .point = std::vector(x.size(), none),
                .x_label = "x",
                .y_label = "y"};
  for (std::size_t i = 0; i < x.size(); ++i) {
    auto const column = std::size_t(std::lower_bound(across.begin(), across.end(), x[i]) - across.begin());
    auto const row = up.size() - 1 - std::size_t(std::lower_bound(up.begin(), up.end(), y[i]) - up.begin());
    raster.point[row * across.size() + column] = i;
  }
  if (std::find(raster.point.begin(), raster.point.end(), none) != raster.point.end()) return {};
  raster.x_range = {across.front(), across.back()};
  raster.y_range = {up.front(), up.back()};
  return raster;
}

namespace {

/// training.png: the loss and its terms, and the errors against the truth, by evaluations.
void draw_training(Settings const& s, Outcome const& outcome) {
  io::CsvTable const metrics = io::read_csv(attn::train::metrics_path(s.common.out));
  auto const series = [&](std::string const& column, std::string const& label) {
    return io::curve(metrics, "evaluations", column, label);
  };
  auto const plot = [&](char const* y_label) {
    return io::LinePlot{.title = s.problem, .x_label = "evaluations", .y_label = y_label, .log_y = true};
  };
  io::LinePlot losses = plot("loss"), errors = plot("error");
  losses.series.push_back(series("loss", "loss"));
  for (auto const& term : outcome.terms) losses.series.push_back(series(term.first, term.first));
  for (std::string const& column : metrics.columns) {
    if (column.starts_with("rma") || column.starts_with("rms")) errors.series.push_back(series(column, column));
  }
  io::LinePlot scales{.title = "trained numbers of the activation", .x_label = "evaluations", .y_label = "value"};
  for (std::string const& column : attn::train::trained_number_columns(metrics.columns)) {
    scales.series.push_back(series(column, attn::train::trained_number_label(column)));
  }
  io::Figure figure{.columns = 2};
  for (io::LinePlot const& panel : {losses, errors, scales}) {
    bool const any = std::ranges::any_of(panel.series, [](io::Series const& one) { return !one.x.empty(); });
    if (any) figure.panels.push_back(panel);
  }
  if (!figure.panels.empty()) io::try_save_figure(s.common.out / "training.png", figure);
}

}  // namespace

void draw(Settings const& s, Raster const& raster, std::vector<double> const& truth, std::vector<double> const& guess,
          Outcome const& outcome) {
  if (raster.rows > 0) {
    auto const [low, high] = std::minmax_element(truth.begin(), truth.end());
    bool const both_signs = *low < 0 && *high > 0;
    double const most = std::max(std::abs(*low), std::abs(*high));
    std::optional<io::Range> range;
    if (*low < *high) range = both_signs ? io::Range{-most, most} : io::Range{*low, *high};
    auto const panel = [&](char const* title, auto const& value, bool diverging, std::optional<io::Range> colors) {
      io::HeatMap map{.title = title,
                      .x_label = raster.x_label,
                      .y_label = raster.y_label,
                      .rows = raster.rows,
                      .columns = raster.columns,
                      .colors = diverging ? io::Colors::diverging : io::Colors::sequential,
                      .range = colors,
                      .x_range = raster.x_range,
                      .y_range = raster.y_range};
      for (std::size_t const i : raster.point) map.values.push_back(value(i));
      return map;
    };
    io::Figure fields{.columns = 3, .panel_width = 400};
    bool const measured = !s.solution.empty() || !s.data.empty();
    fields.panels.push_back(panel(
        measured ? "truth" : "exact", [&](std::size_t i) { return truth[i]; }, both_signs, range));
    fields.panels.push_back(panel(
        "prediction", [&](std::size_t i) { return guess[i]; }, both_signs, range));
    fields.panels.push_back(
        panel("absolute error", [&](std::size_t i) { return std::abs(guess[i] - truth[i]); }, false, {}));
    io::try_save_figure(s.common.out / "fields.png", fields);
  }
  if (!s.common.evaluate) draw_training(s, outcome);
}

}  // namespace train_pde
