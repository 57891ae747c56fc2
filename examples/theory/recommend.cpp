// How should an activation be scaled for a depth, a length and a head width? And which powers still train?
#include "attn/io/csv.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "theory/fit.hpp"
#include "theory/measure.hpp"
#include "theory/training.hpp"
#include "vision/task.hpp"

namespace theory {
namespace {

constexpr int trained_tokens = 64;
/// A factor so small that attention adds nothing: what the rest of the network reaches without it.
constexpr double no_attention = 1e-30;

/// A power trains if its attention takes part: if the Frobenius norm of its matrices ends above this share of
/// softmax's.
constexpr double takes_part = 0.01;

/// What some runs ended with.
struct Ends {
  std::vector<double> accuracies, norms;  // the norm is the mean over layers
};

/// Means over the layers.
LayerNorms over_layers(std::vector<LayerNorms> const& layers) {
  LayerNorms sum;
  for (LayerNorms const& layer : layers) {
    sum.frobenius += layer.frobenius / double(layers.size());
    sum.jacobian += layer.jacobian / double(layers.size());
    sum.score_deviation += layer.score_deviation / double(layers.size());
  }
  return sum;
}

/// Test accuracies of each power with the scale 1/sqrt N, beside softmax and a network without attention.
void train_powers(attn::io::CommonOptions const& common, RecommendOptions const& options, Lab& lab) {
  TrainingOptions const t = complete(options.training);
  attn::data::Split const data = padded_images(t);
  Table runs{.columns = {"activation", "power", "scale", "seed", "test_accuracy", "frobenius_after", "diverged"}};
  auto const train_all = [&](std::string const& label, vision::ActivationChoice const& choice) {
    Ends ends;
    for (int s = 0; s < t.seeds; ++s) {
      std::uint64_t const seed = common.seed + std::uint64_t(s);
      auto const settings = settings_of(t, choice, trained_tokens, seed);
      auto const out = lab.out() / "runs" / (label + "_seed" + std::to_string(seed));
      Run const run = train(settings, data, out);
      io::CsvTable const metrics = io::read_csv(attn::train::metrics_path(out));
      double norm = 0;
      for (int layer = 0; layer < t.depth; ++layer) {
        auto const norms = metrics.numbers(vision::VisionTask::frobenius_column(std::size_t(layer)));
        norm += (norms.empty() ? NAN : norms.back()) / t.depth;
      }
      ends.accuracies.push_back(run.accuracy);
      ends.norms.push_back(norm);
      runs.rows.push_back({label, double(choice.is_poly() ? choice.power : 0), choice.scale, double(seed), run.accuracy,
                           norm, double(run.diverged)});
      lab.write("powers", runs);
    }
    return ends;
  };
  Ends const softmax = train_all("softmax", {.activation = "softmax"});
  Ends const none =
      train_all("no_attention", {.activation = "poly", .power = 1, .scale = "fixed", .factor = no_attention});
  io::Series points{.label = "xᵖ/√N", .color = 0},
      each{.label = "each seed", .style = io::LineStyle::points, .color = 4};
  io::Series norms{.label = "xᵖ/√N", .color = 0};
  int highest = 0;
  Table powers{.columns = {"activation", "test_accuracy", "frobenius_after", "takes_part"}};
  powers.rows.push_back({std::string("softmax"), mean(softmax.accuracies), mean(softmax.norms), std::string("yes")});
  powers.rows.push_back({std::string("no attention"), mean(none.accuracies), mean(none.norms), std::string("no")});
  for (int power = 1; power <= options.highest_power; ++power) {
    std::string label = "x";
    label += std::to_string(power);
    Ends const ends = train_all(label, {.activation = "poly", .power = power, .scale = "fixed"});
    bool const trains = mean(ends.norms) >= takes_part * mean(softmax.norms);
    if (trains) highest = power;
    points.x.push_back(power), points.y.push_back(100 * mean(ends.accuracies));
    norms.x.push_back(power), norms.y.push_back(mean(ends.norms));
    for (double const a : ends.accuracies) each.x.push_back(power), each.y.push_back(100 * a);
    powers.rows.push_back({"x^" + std::to_string(power) + "/sqrt(N)", mean(ends.accuracies), mean(ends.norms),
                           std::string(trains ? "yes" : "no")});
  }
  auto const level = [&](std::string const& label, double value, int color) {
    return io::Series{.label = label,
                      .x = {1, double(options.highest_power)},
                      .y = {value, value},
                      .style = io::LineStyle::dashed,
                      .color = color};
  };
  io::LinePlot plot{.title = "Which powers train",
                    .x_label = "power p",
                    .y_label = "test accuracy (%)",
                    .series = {points, each, level("softmax", 100 * mean(softmax.accuracies), 1),
                               level("no attention", 100 * mean(none.accuracies), 6)}};
  io::LinePlot size{.title = "Attention after training",
                    .x_label = "power p",
                    .y_label = "Frobenius norm of A",
                    .series = {norms, level("softmax", mean(softmax.norms), 1)},
                    .log_y = true};
  lab.draw("powers", {.panels = {plot, size}, .columns = 2, .panel_width = 520, .panel_height = 400});
  print(powers);
  std::printf("highest power whose attention takes part after training (norm at least %.0f %% of softmax's): %s\n",
              100 * takes_part, highest == 0 ? "none" : std::to_string(highest).c_str());
  lab.set("highest_power_that_trains", double(highest));
}

}  // namespace

void run_recommend(attn::io::CommonOptions const& common, RecommendOptions const& options) {
  ATTN_CHECK(options.depth > 0 && options.tokens > 0, "recommend: give a depth and a length of at least 1");
  Lab lab(common.out, "recommend");
  Sizes const sizes{options.depth, options.tokens, options.heads, options.head_width, options.samples};
  for (auto const& [name, value] : {std::pair{"depth", options.depth},
                                    {"tokens", options.tokens},
                                    {"heads", options.heads},
                                    {"head_width", options.head_width}}) {
    lab.set(name, double(value));
  }
  Choice const asked = choice_of(common.activation, common.power, "none");
  auto const softmax_layers = norms_at_initialisation({.name = "softmax"}, sizes, common.seed);
  LayerNorms const softmax = over_layers(softmax_layers);

  std::vector<Choice> choices = {asked};
  for (int power = 1; power <= options.highest_power; ++power) {
    if (!(asked.name == "poly" && asked.power == power)) choices.push_back({"poly", power, 1});
  }
  Table table{
      .columns = {"activation", "frobenius", "jacobian", "scale_by_frobenius", "scale_by_jacobian", "1/sqrt(N)"}};
  double const root = 1 / std::sqrt(double(options.tokens));
  table.rows.push_back({std::string("softmax"), softmax.frobenius, softmax.jacobian, 1.0, 1.0, root});
  io::LinePlot by_layer{
      .title = "Jacobian at initialisation", .x_label = "layer", .y_label = "Frobenius norm", .log_y = true};
  auto const layers_of = [&](std::string const& label, std::vector<LayerNorms> const& layers) {
    io::Series series{.label = label};
    for (std::size_t i = 0; i < layers.size(); ++i) {
      series.x.push_back(double(i + 1)), series.y.push_back(layers[i].jacobian);
    }
    by_layer.series.push_back(std::move(series));
  };
  layers_of("softmax", softmax_layers);
  for (Choice const& choice : choices) {
    if (choice.name == "softmax") continue;
    auto const layers = norms_at_initialisation(choice, sizes, common.seed);
    LayerNorms const n = over_layers(layers);
    table.rows.push_back({choice.label(), n.frobenius, n.jacobian, softmax.frobenius / n.frobenius,
                          softmax.jacobian / n.jacobian, root});
    if (by_layer.series.size() < 8) layers_of(choice.label(), layers);
  }
  lab.set("score_deviation", softmax.score_deviation);
  lab.write("scales", table);
  lab.draw("scales", {.panels = {by_layer}, .panel_width = 620, .panel_height = 420});
  print(table);
  std::printf("scores at initialisation have a standard deviation of %.3g\n", softmax.score_deviation);
  if (asked.name != "softmax") {
    auto const& row = table.rows[1];
    std::printf("%s: multiply by %.4g to have softmax's norm, by %.4g to have its Jacobian's; 1/sqrt(N) is %.4g\n",
                asked.label().c_str(), std::get<double>(row[3]), std::get<double>(row[4]), root);
  }
  if (options.train) train_powers(common, options, lab);
  lab.finish(table);
}

}  // namespace theory
