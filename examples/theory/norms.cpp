// Figures 2, 3, 6 and 7 and table 1: norms of attention and of its Jacobian through training, and the accuracies.
#include "attn/io/csv.hpp"

#include <algorithm>
#include <cmath>

#include "theory/lab.hpp"
#include "theory/training.hpp"
#include "vision/task.hpp"

namespace theory {
namespace {

/// One panel a layer, one line an activation, all with the same axis.
io::Figure figure(std::string const& title, std::vector<std::string> const& names,
                  std::vector<io::CsvTable> const& metrics, std::vector<int> const& layers,
                  std::string (*column)(std::size_t)) {
  io::Figure result{
      .title = title, .columns = std::min(4, int(layers.size())), .panel_width = 380, .panel_height = 340};
  double low = INFINITY, high = 0;
  for (int const layer : layers) {
    io::LinePlot plot{
        .title = "layer " + std::to_string(layer), .x_label = "epoch", .y_label = "Frobenius norm", .log_y = true};
    for (std::size_t run = 0; run < names.size(); ++run) {
      io::Series line{.label = names[run]};
      auto const epochs = metrics[run].numbers("epoch"), norms = metrics[run].numbers(column(std::size_t(layer - 1)));
      for (std::size_t i = 0; i < norms.size(); ++i) {
        if (std::isnan(norms[i])) continue;
        line.x.push_back(epochs[i]);
        line.y.push_back(norms[i]);
        if (norms[i] > 0) low = std::min(low, norms[i]);
        high = std::max(high, norms[i]);
      }
      plot.series.push_back(std::move(line));
    }
    result.panels.push_back(std::move(plot));
  }
  for (io::Panel& panel : result.panels) {
    if (low < high) std::get<io::LinePlot>(panel).y_range = io::Range(low / 1.5, high * 1.5);
  }
  return result;
}

}  // namespace

void run_norms(attn::io::CommonOptions const& common, NormsOptions const& options) {
  TrainingOptions const t = complete(options.training);
  patch_for(options.tokens);
  Lab lab(common.out, "norms");
  attn::data::Split const data = images_of(t);
  lab.set("tokens", double(options.tokens));
  note(lab, t, data);
  Runs runs(lab, data);

  struct Contender {
    char const *label, *name;
    vision::ActivationChoice choice;
  };
  double const root = std::sqrt(double(options.tokens + 1));
  Contender const contenders[] = {
      {"softmax", "softmax", {.activation = "softmax"}},
      {"x³/√N", "poly3_fixed", {.activation = "poly", .power = 3, .scale = "fixed"}},
      {"x³/N", "poly3_by_n", {.activation = "poly", .power = 3, .scale = "fixed", .factor = 1 / (root * root)}},
      {"x³", "poly3", {.activation = "poly", .power = 3, .scale = "none"}},
      {"no attention", "no_attention", no_attention()}};
  Table table{.columns = {"activation", "test_accuracy", "interval", "diverged", "first_frobenius", "last_frobenius",
                          "first_jacobian", "last_jacobian", "seconds"}};
  std::vector<std::string> names;
  std::vector<io::CsvTable> metrics;
  std::vector<Estimate> accuracies;
  for (Contender const& contender : contenders) {
    auto const all =
        runs.train(contender.name, settings_of(t, contender.choice, options.tokens, 0), common.seed, t.seeds);
    Estimate const accuracy = accuracies.emplace_back(accuracy_of(all));
    table.rows.push_back({std::string(contender.label), accuracy.value, accuracy.half_width, double(diverged(all)),
                          mean_of(all, &Run::first_frobenius), mean_of(all, &Run::last_frobenius),
                          mean_of(all, &Run::first_jacobian), mean_of(all, &Run::last_jacobian),
                          mean_of(all, &Run::processor_seconds)});
    lab.write("accuracies", table);
    if (contender.choice.factor == no_attention().factor) continue;  // its norms are zero
    names.emplace_back(contender.label);
    metrics.push_back(io::read_csv(attn::train::metrics_path(all.front().directory)));
  }
  warn_unless_below("norms", accuracies.back(), accuracies.front());
  std::vector<int> all, three;
  for (int layer = 1; layer <= t.depth; ++layer) all.push_back(layer);
  for (int const layer : {std::min(2, t.depth), (t.depth + 2) / 2, t.depth}) {
    if (three.empty() || three.back() < layer) three.push_back(layer);
  }
  auto const draw = [&](char const* name, std::string const& what, std::vector<int> const& layers, auto column) {
    lab.draw(name, figure(what + ", N = " + std::to_string(options.tokens), names, metrics, layers, column));
  };
  draw("frobenius", "Frobenius norm of the attention matrix", three, &vision::VisionTask::frobenius_column);
  draw("jacobian", "Frobenius norm of its Jacobian", three, &vision::VisionTask::jacobian_column);
  draw("frobenius_all", "Frobenius norm of the attention matrix", all, &vision::VisionTask::frobenius_column);
  draw("jacobian_all", "Frobenius norm of its Jacobian", all, &vision::VisionTask::jacobian_column);
  lab.finish(runs.table());
  print(table);
}

}  // namespace theory
