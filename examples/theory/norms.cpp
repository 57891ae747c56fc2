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
  attn::data::Split const data = padded_images(t);
  lab.set("tokens", double(options.tokens));
  note(lab, t, data);

  struct Contender {
    char const *label, *directory;
    vision::ActivationChoice choice;
  };
  Contender const contenders[] = {{"softmax", "softmax", {.activation = "softmax"}},
                                  {"x³/√N", "poly3_fixed", {.activation = "poly", .power = 3, .scale = "fixed"}},
                                  {"x³", "poly3", {.activation = "poly", .power = 3, .scale = "none"}}};
  Table table{.columns = {"activation", "seed", "test_accuracy", "diverged", "first_frobenius", "last_frobenius",
                          "first_jacobian", "last_jacobian"}};
  std::vector<std::string> names;
  std::vector<io::CsvTable> metrics;
  for (Contender const& contender : contenders) {
    for (int s = 0; s < t.seeds; ++s) {
      std::uint64_t const seed = common.seed + std::uint64_t(s);
      auto const out = lab.out() / (contender.directory + std::string(s == 0 ? "" : "_seed" + std::to_string(seed)));
      Run const run = train(settings_of(t, contender.choice, options.tokens, seed), data, out);
      io::CsvTable const recorded = io::read_csv(attn::train::metrics_path(out));
      auto const mean_of = [&](std::string (*column)(std::size_t), bool last) {
        double sum = 0;
        for (int layer = 0; layer < t.depth; ++layer) {
          auto const values = recorded.numbers(column(std::size_t(layer)));
          if (values.empty()) return double(NAN);
          sum += (last ? values.back() : values.front()) / t.depth;
        }
        return sum;
      };
      table.rows.push_back(
          {std::string(contender.label), double(seed), run.accuracy, double(run.diverged),
           mean_of(&vision::VisionTask::frobenius_column, false), mean_of(&vision::VisionTask::frobenius_column, true),
           mean_of(&vision::VisionTask::jacobian_column, false), mean_of(&vision::VisionTask::jacobian_column, true)});
      if (s > 0) continue;
      names.emplace_back(contender.label);
      metrics.push_back(recorded);
    }
  }
  lab.write("accuracies", table);
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
  lab.finish(table);
  print(table);
}

}  // namespace theory
