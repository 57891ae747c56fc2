// How should an activation be scaled for a depth, a length and a head width? And which powers still train?
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "theory/measure.hpp"
#include "theory/training.hpp"

namespace theory {
namespace {

constexpr int trained_tokens = 64;

/// A power trains if its attention takes part: if the Frobenius norm of its matrices ends above this share of
/// softmax's.
constexpr double takes_part = 0.01;

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
  attn::data::Split const data = images_of(t);
  note(lab, t, data);
  Runs runs(lab, data);
  auto const train_all = [&](std::string const& label, vision::ActivationChoice const& choice) {
    auto const all = runs.train(label, settings_of(t, choice, trained_tokens, 0), common.seed, t.seeds);
    lab.write("powers", runs.table());
    return all;
  };
  auto const softmax = train_all("softmax", {.activation = "softmax"});
  auto const none = train_all("no_attention", no_attention());
  warn_unless_below("recommend", accuracy_of(none), accuracy_of(softmax));
  double const softmax_accuracy = accuracy_of(softmax).value, softmax_norm = mean_of(softmax, &Run::last_frobenius);
  double const none_accuracy = accuracy_of(none).value;
  io::Series points{.label = "xᵖ/√N", .color = 0},
      each{.label = "each seed", .style = io::LineStyle::points, .color = 4};
  io::Series norms{.label = "xᵖ/√N", .color = 0};
  int highest = 0;
  Table powers{.columns = {"activation", "test_accuracy", "frobenius_after", "takes_part"}};
  powers.rows.push_back({std::string("softmax"), softmax_accuracy, softmax_norm, std::string("yes")});
  powers.rows.push_back(
      {std::string("no attention"), none_accuracy, mean_of(none, &Run::last_frobenius), std::string("no")});
  for (int power = 1; power <= options.highest_power; ++power) {
    std::string label = "x";
    label += std::to_string(power);
    auto const all = train_all(label, {.activation = "poly", .power = power, .scale = "fixed"});
    double const accuracy = accuracy_of(all).value, norm = mean_of(all, &Run::last_frobenius);
    bool const trains = norm >= takes_part * softmax_norm;
    if (trains) highest = power;
    points.x.push_back(power), points.y.push_back(100 * accuracy);
    norms.x.push_back(power), norms.y.push_back(norm);
    for (Run const& run : all) each.x.push_back(power), each.y.push_back(100 * run.accuracy);
    powers.rows.push_back(
        {"x^" + std::to_string(power) + "/sqrt(N)", accuracy, norm, std::string(trains ? "yes" : "no")});
  }
  std::pair const range{1.0, double(options.highest_power)};
  io::LinePlot plot{.title = "Which powers train",
                    .x_label = "power p",
                    .y_label = "test accuracy (%)",
                    .series = {points, each, level("softmax", range, 100 * softmax_accuracy, 1),
                               level("no attention", range, 100 * none_accuracy, 6)}};
  io::LinePlot size{.title = "Attention after training",
                    .x_label = "power p",
                    .y_label = "Frobenius norm of A",
                    .series = {norms, level("softmax", range, softmax_norm, 1)},
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
