#include "vision/figures.hpp"

#include "attn/io/plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

#include "vision/task.hpp"

namespace vision {
namespace {

/// The metrics that a run left behind.
io::CsvTable metrics_of(Outcome const& run) { return io::read_csv(attn::train::metrics_path(run.directory)); }

/// The rows in which a column has a value, over epochs.
io::Series series(io::CsvTable const& table, std::string const& column) {
  io::Series result;
  auto const x = table.numbers("epoch"), y = table.numbers(column);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(y[i])) continue;
    result.x.push_back(x[i]);
    result.y.push_back(y[i]);
  }
  return result;
}

/// Training as a line, smoothed over neighbouring rows, and the test images after each epoch as points.
io::Figure training_curves(std::vector<Outcome> const& runs, std::string const& title, std::string const& y_label,
                           std::string const& train, std::string const& test) {
  io::LinePlot plot{.title = title, .x_label = "epoch", .y_label = y_label};
  for (std::size_t r = 0; r < runs.size(); ++r) {
    io::CsvTable const table = metrics_of(runs[r]);
    io::Series line = series(table, train);
    std::vector<double> const raw = line.y;
    constexpr std::size_t reach = 3;
    for (std::size_t i = 0; i < raw.size(); ++i) {
      std::size_t const first = i - std::min(i, reach), last = std::min(raw.size(), i + reach + 1);
      double sum = 0;
      for (std::size_t j = first; j < last; ++j) sum += raw[j];
      line.y[i] = sum / static_cast<double>(last - first);
    }
    line.label = runs[r].name + ", training";
    line.color = static_cast<int>(r);
    io::Series points = series(table, test);
    points.label = runs[r].name + ", test";
    points.style = io::LineStyle::points;
    points.color = static_cast<int>(r);
    plot.series.push_back(std::move(line));
    plot.series.push_back(std::move(points));
  }
  return {.panels = {plot}, .panel_width = 800, .panel_height = 480};
}

/// One panel a run, one line a layer, all with the same axis.
io::Figure norms(std::vector<Outcome> const& runs, std::string const& what, std::string (*column)(std::size_t)) {
  io::Figure figure{.title = what, .columns = std::min<int>(4, static_cast<int>(runs.size())), .panel_width = 400};
  double low = INFINITY, high = 0;
  for (Outcome const& run : runs) {
    io::CsvTable const table = metrics_of(run);
    io::LinePlot plot{.title = run.name, .x_label = "epoch", .y_label = "norm", .log_y = true};
    for (std::size_t layer = 0; layer < run.attention.size(); ++layer) {
      io::Series line = series(table, column(layer));
      line.label = "layer " + std::to_string(layer + 1);
      for (double const y : line.y) {
        if (y > 0) low = std::min(low, y);
        high = std::max(high, y);
      }
      plot.series.push_back(std::move(line));
    }
    figure.panels.push_back(std::move(plot));
  }
  for (io::Panel& panel : figure.panels) {
    if (low < high) std::get<io::LinePlot>(panel).y_range = io::Range(low / 1.5, high * 1.5);
  }
  return figure;
}

/// One row a run, one column a layer: the attention of one image in the first head.
io::Figure attention_maps(std::vector<Outcome> const& runs) {
  std::size_t const layers = runs.front().attention.size(), shown = std::min<std::size_t>(layers, 6);
  io::Figure figure{.title = "Attention of the first head for the first test image",
                    .columns = static_cast<int>(shown),
                    .panel_width = 300,
                    .panel_height = 260};
  for (Outcome const& run : runs) {
    for (std::size_t i = 0; i < shown; ++i) {
      std::size_t const layer = shown > 1 ? i * (layers - 1) / (shown - 1) : 0;
      AttentionMaps const& maps = run.attention[layer];
      auto const rows = static_cast<std::size_t>(maps.rows), columns = static_cast<std::size_t>(maps.columns);
      figure.panels.push_back(
          io::HeatMap{.title = run.name + ", layer " + std::to_string(layer + 1),
                      .x_label = "key " + maps.unit,
                      .y_label = "query " + maps.unit,
                      .rows = rows,
                      .columns = columns,
                      .values = {maps.weights.begin(), maps.weights.begin() + std::ptrdiff_t(rows * columns)},
                      .colors = io::Colors::diverging});
    }
  }
  return figure;
}

io::Figure predictions(Outcome const& run) {
  io::Figure figure{.title = run.name + ": what the first test images are taken for",
                    .columns = 8,
                    .panel_width = 150,
                    .panel_height = 170};
  for (Prediction const& p : run.predictions) {
    char percent[16];
    std::snprintf(percent, sizeof percent, " %.0f%%", 100 * p.confidence);
    figure.panels.push_back(io::Picture{.caption = p.predicted + (p.right ? percent : ", not " + p.label),
                                        .channels = p.channels,
                                        .height = p.height,
                                        .width = p.width,
                                        .pixels = p.pixels,
                                        .mark = p.right ? io::Mark::good : io::Mark::bad});
  }
  return figure;
}

}  // namespace

std::vector<io::ReportFigure> draw_figures(io::Path const& out, std::vector<Outcome> const& runs) {
  std::vector<io::ReportFigure> drawn;
  auto const draw = [&](char const* file, char const* caption, io::Figure const& figure) {
    io::try_save_figure(out / file, figure);
    drawn.push_back({out / file, caption});
  };
  draw("loss.png", "Cross-entropy over training; lines: training batches, points: all test images.",
       training_curves(runs, "Loss", "cross-entropy", "loss", "test_loss"));
  draw("accuracy.png", "Share of right answers over training; lines: training batches, points: all test images.",
       training_curves(runs, "Accuracy", "accuracy", "train_accuracy", "test_accuracy"));
  if (!runs.front().attention.empty()) {
    draw("frobenius_norms.png",
         "Frobenius norm of the attention matrix in each layer over training, mean over images and heads.",
         norms(runs, "Frobenius norm of the attention matrix", &VisionTask::frobenius_column));
    draw("jacobian_norms.png",
         "Frobenius norm of the Jacobian of the attention matrix by the scores, in each layer over training.",
         norms(runs, "Frobenius norm of the attention's Jacobian", &VisionTask::jacobian_column));
    draw("attention_maps.png",
         "Attention matrices of one test image after training, first head; blue is negative, red is positive. Token 1 "
         "is the class token.",
         attention_maps(runs));
  }
  auto const best = std::max_element(runs.begin(), runs.end(), [](Outcome const& a, Outcome const& b) {
    return a.run["test_accuracy"].get<double>() < b.run["test_accuracy"].get<double>();
  });
  draw("predictions.png", "Some test images with the answers of the best run: green is right, red is wrong.",
       predictions(*best));
  return drawn;
}

}  // namespace vision
