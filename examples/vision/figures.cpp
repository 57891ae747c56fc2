#include "vision/figures.hpp"

#include "attn/io/curve.hpp"
#include "attn/io/plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

#include "vision/task.hpp"

namespace vision {
namespace {

/// Of the images of class `label`, the share that is taken for `answer`; NaN if there are none.
double share(Confusion const& confusion, std::size_t label, std::size_t answer) {
  std::uint64_t all = 0;
  for (std::size_t c = 0; c < confusion.classes; ++c) all += confusion.at(label, c);
  return all == 0 ? NAN : static_cast<double>(confusion.at(label, answer)) / static_cast<double>(all);
}

/// The metrics that a run left behind.
io::CsvTable metrics_of(Outcome const& run) { return io::read_csv(attn::train::metrics_path(run.directory)); }

/// A column over epochs.
io::Series series(io::CsvTable const& table, std::string const& column) { return io::curve(table, "epoch", column); }

/// The mean of each number and of those near it.
std::vector<double> smoothed(std::vector<double> const& raw) {
  constexpr std::size_t reach = 3;
  std::vector<double> smooth(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    std::size_t const first = i - std::min(i, reach), last = std::min(raw.size(), i + reach + 1);
    double sum = 0;
    for (std::size_t j = first; j < last; ++j) sum += raw[j];
    smooth[i] = sum / static_cast<double>(last - first);
  }
  return smooth;
}

/// Training as a line, smoothed over neighbouring rows, and the test images after each epoch as points.
io::Figure training_curves(std::vector<Outcome> const& runs, std::string const& title, std::string const& y_label,
                           std::string const& train, std::string const& test) {
  io::LinePlot plot{.title = title, .x_label = "epoch", .y_label = y_label};
  for (std::size_t r = 0; r < runs.size(); ++r) {
    io::CsvTable const table = metrics_of(runs[r]);
    io::Series line = series(table, train);
    line.y = smoothed(line.y);
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

/// Learning rate and gradient norm, a line each run.
io::Figure optimization(std::vector<Outcome> const& runs) {
  io::LinePlot rate{.title = "Learning rate", .x_label = "epoch", .y_label = "learning rate"};
  io::LinePlot norm{
      .title = "Norm of the gradient, before clipping", .x_label = "epoch", .y_label = "norm", .log_y = true};
  for (Outcome const& run : runs) {
    io::CsvTable const table = metrics_of(run);
    rate.series.push_back(series(table, "learning_rate"));
    norm.series.push_back(series(table, "gradient_norm"));
    norm.series.back().y = smoothed(norm.series.back().y);
    rate.series.back().label = norm.series.back().label = run.name;
  }
  bool const same = std::all_of(rate.series.begin(), rate.series.end(),
                                [&](io::Series const& line) { return line.y == rate.series.front().y; });
  if (same && runs.size() > 1) {  // one line on another could not be told apart
    rate.series.resize(1);
    rate.series.front().label = "all runs";
  }
  return {.panels = {rate, norm}, .columns = 2, .panel_width = 560, .panel_height = 400};
}

/// One panel for each run that trains numbers of its activation, one line for each number.
std::optional<io::Figure> scales(std::vector<Outcome> const& runs) {
  io::Figure figure{.title = "Trained numbers of the activation", .panel_width = 560, .panel_height = 400};
  for (Outcome const& run : runs) {
    io::CsvTable const table = metrics_of(run);
    io::LinePlot plot{.title = run.name, .x_label = "epoch", .y_label = "value"};
    for (std::string const& column : attn::train::trained_number_columns(table.columns)) {
      plot.series.push_back(series(table, column));
      plot.series.back().label = attn::train::trained_number_label(column);
    }
    if (!plot.series.empty()) figure.panels.push_back(std::move(plot));
  }
  return figure.panels.empty() ? std::nullopt : std::optional(figure);
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

io::Picture picture(Prediction const& p, std::string caption) {
  return {.caption = std::move(caption),
          .channels = p.channels,
          .height = p.height,
          .width = p.width,
          .pixels = p.pixels,
          .mark = p.right ? io::Mark::good : io::Mark::bad};
}

/// One row a run: the picture, and in a column for each layer the attention in the first head. The colours of a row
/// mean the same numbers; weights that are never negative have the colours of magnitudes.
io::Figure attention_maps(std::vector<Outcome> const& runs) {
  std::size_t const layers = runs.front().attention.size(), shown = std::min<std::size_t>(layers, 6);
  io::Figure figure{.title = "Attention of the first head for one test image",
                    .columns = static_cast<int>(shown + 1),
                    .panel_width = 300,
                    .panel_height = 260};
  for (Outcome const& run : runs) {
    Prediction const& example = run.predictions.front();
    figure.panels.push_back(
        picture(example, run.name + ": " + example.predicted + (example.right ? "" : ", not " + example.label)));
    std::vector<io::HeatMap> row;
    double low = 0, high = 0;
    for (std::size_t i = 0; i < shown; ++i) {
      std::size_t const layer = shown > 1 ? i * (layers - 1) / (shown - 1) : 0;
      AttentionMaps const& maps = run.attention[layer];
      auto const rows = static_cast<std::size_t>(maps.rows), columns = static_cast<std::size_t>(maps.columns);
      row.push_back({.title = run.name + ", layer " + std::to_string(layer + 1),
                     .x_label = "key " + maps.unit,
                     .y_label = "query " + maps.unit,
                     .rows = rows,
                     .columns = columns,
                     .values = {maps.weights.begin(), maps.weights.begin() + std::ptrdiff_t(rows * columns)}});
      for (double const w : row.back().values) low = std::min(low, w), high = std::max(high, w);
    }
    for (io::HeatMap& map : row) {
      map.colors = low < 0 ? io::Colors::diverging : io::Colors::sequential;
      map.range = io::Range(low, high);
      figure.panels.push_back(std::move(map));
    }
  }
  return figure;
}

io::Figure predictions(Outcome const& run) {
  io::Figure figure{.title = run.name + ": what some test images, drawn at random, are taken for",
                    .columns = 8,
                    .panel_width = 150,
                    .panel_height = 170};
  for (Prediction const& p : run.predictions) {
    char percent[16];
    std::snprintf(percent, sizeof percent, " %.0f%%", 100 * p.confidence);
    figure.panels.push_back(picture(p, p.predicted + (p.right ? percent : ", not " + p.label)));
  }
  return figure;
}

/// Shares of the images of each class that are taken for each class, and the share of right answers of each run.
io::Figure classes(std::vector<Outcome> const& runs, Outcome const& best) {
  std::size_t const n = best.confusion.classes;
  io::HeatMap map{.title = best.name + ": answers to the images of each class",
                  .x_label = "answer",
                  .y_label = "class",
                  .value_label = "share of the class",
                  .rows = n,
                  .columns = n,
                  .range = io::Range(0, 1)};
  if (n <= 30) map.names = best.class_names;
  for (std::size_t label = 0; label < n; ++label) {
    for (std::size_t answer = 0; answer < n; ++answer) map.values.push_back(share(best.confusion, label, answer));
  }
  io::LinePlot plot{.title = "Accuracy by class", .x_label = "class", .y_label = "share of right answers"};
  for (Outcome const& run : runs) {
    io::Series points{.label = run.name, .style = io::LineStyle::points};
    for (std::size_t c = 0; c < run.confusion.classes; ++c) {
      points.x.push_back(double(c));
      points.y.push_back(share(run.confusion, c, c));
    }
    plot.series.push_back(std::move(points));
  }
  return {.panels = {map, plot}, .columns = 2, .panel_width = 640, .panel_height = 560};
}

}  // namespace

void write_classes(io::Path const& path, Outcome const& outcome) {
  Confusion const& confusion = outcome.confusion;
  if (confusion.counts.empty()) return;
  std::vector<std::string> columns = {"class", "name", "accuracy"};
  for (std::size_t c = 0; c < confusion.classes; ++c) columns.push_back("taken_for_" + std::to_string(c));
  io::CsvLog table(path, columns);
  for (std::size_t label = 0; label < confusion.classes; ++label) {
    std::vector<io::CsvCell> cells = {label, std::string_view(outcome.class_names[label]),
                                      share(confusion, label, label)};
    for (std::size_t c = 0; c < confusion.classes; ++c) cells.emplace_back(confusion.at(label, c));
    table.append(cells);
  }
}

std::vector<io::ReportFigure> draw_figures(io::Path const& out, std::vector<Outcome> const& runs) {
  std::vector<io::ReportFigure> drawn;
  auto const draw = [&](char const* file, char const* caption, io::Figure const& figure) {
    io::try_save_figure(out / file, figure);
    drawn.push_back({out / file, caption});
  };
  auto const best = std::max_element(runs.begin(), runs.end(), [](Outcome const& a, Outcome const& b) {
    return a.run["test_accuracy"].get<double>() < b.run["test_accuracy"].get<double>();
  });
  draw("loss.png", "Cross-entropy over training; lines: training batches, points: all test images.",
       training_curves(runs, "Loss", "cross-entropy", "loss", "test_loss"));
  draw("accuracy.png", "Share of right answers over training; lines: training batches, points: all test images.",
       training_curves(runs, "Accuracy", "accuracy", "train_accuracy", "test_accuracy"));
  draw("optimization.png", "Learning rate and norm of the gradient over training.", optimization(runs));
  if (auto const figure = scales(runs)) {
    draw("scales.png", "Trained numbers of the activation in each layer over training.", *figure);
  }
  if (!best->confusion.counts.empty()) {
    draw("classes.png", "Answers of the best run to the test images of each class, and accuracy by class.",
         classes(runs, *best));
  }
  if (!runs.front().attention.empty()) {
    draw("frobenius_norms.png",
         "Frobenius norm of the attention matrix in each layer over training, mean over images and heads.",
         norms(runs, "Frobenius norm of the attention matrix", &VisionTask::frobenius_column));
    draw("jacobian_norms.png",
         "Frobenius norm of the Jacobian of the attention matrix by the scores, in each layer over training.",
         norms(runs, "Frobenius norm of the attention's Jacobian", &VisionTask::jacobian_column));
    draw("attention_maps.png",
         "Attention matrices of one test image after training, first head; the colours of a row mean the same numbers. "
         "Where weights are negative, blue is negative and red is positive. A class token comes first, where there is "
         "one.",
         attention_maps(runs));
  }
  draw("predictions.png",
       "Test images that the seed draws, with the answers of the best run: green is right, red is wrong.",
       predictions(*best));
  return drawn;
}

}  // namespace vision
