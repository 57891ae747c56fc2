// Tables 2 and 5 in small: members of four architectures, with softmax and powers, without, with a fixed and with a
// trained scale.
#include <algorithm>
#include <cmath>

#include "power_name.hpp"
#include "theory/lab.hpp"
#include "theory/training.hpp"

namespace theory {
namespace {

constexpr char const* known[] = {"vit", "deit", "swin", "xcit"};

/// A member with 16 tokens of 8 x 8 pixels; of Swin 64 of 4 x 4 and then 16, in windows of 16. All but Swin answer from
/// the class token; DeiT's second token learns from the labels, there is no teacher.
void choose(vision::ModelSettings& model, std::string const& name, TrainingOptions const& t) {
  model.name = name == "vit" ? "small" : name == "deit" ? "deit_micro_distilled" : name + "_micro";
  model.patch = name == "swin" ? vision::Extent{4, 4} : vision::Extent{8, 8};
  model.width = t.width;
  model.depth = t.depth;
  model.heads = t.heads;
  model.pool.reset();
  if (name == "vit") model.pool = "token";
  if (name != "swin") return;
  model.depth = {2, t.depth};
  model.heads = {t.heads, 2 * t.heads};
  model.window = 4;
}

std::string short_name(vision::ActivationChoice const& choice) {
  return choice.is_poly() ? "x" + std::to_string(choice.power) + "_" + choice.scale : choice.activation;
}

}  // namespace

void run_architectures(attn::io::CommonOptions const& common, ArchitecturesOptions const& given) {
  ArchitecturesOptions options = given;
  TrainingOptions const t = complete(options.training);
  for (char const* const model : known) {
    vision::ModelSettings settings;
    choose(settings, model, t);
    auto const& all = vision::named_models();
    bool const there = std::any_of(all.begin(), all.end(), [&](auto const& one) { return one.name == settings.name; });
    if (given.models.empty() && there) options.models.emplace_back(model);
  }
  for (std::string const& model : options.models) {
    ATTN_CHECK(std::find(std::begin(known), std::end(known), model) != std::end(known),
               "--models: choose among vit, deit, swin and xcit, got '", model, "'");
    vision::ModelSettings settings;
    choose(settings, model, t);
    vision::named_model(settings.name);  // throws where there is none
  }
  for (int const power : options.powers) {
    ATTN_CHECK(power >= 1 && power <= 8, "--powers: choose among 1 to 8, got ", power);
  }
  Lab lab(common.out, "architectures");
  attn::data::Split const data = images_of(t);
  note(lab, t, data);
  Runs runs(lab, data);
  Table table{.columns = {"model", "activation", "none", "fixed", "trained", "diverged", "seconds"}};
  Table all_rows{
      .columns = {"model", "activation", "scale", "test_accuracy", "interval", "seeds", "diverged", "seconds"}};
  io::Figure figure{.columns = 2, .panel_width = 520, .panel_height = 380};
  for (std::string const& model : options.models) {
    auto const train = [&](vision::ActivationChoice const& choice, std::string const& name, int seeds) {
      vision::Settings settings = settings_of(t, choice, 16, 0);
      choose(settings.model, model, t);
      auto const all = runs.train(model + "_" + name, settings, common.seed, seeds);
      Estimate const accuracy = accuracy_of(all);
      all_rows.rows.push_back({model,
                               name == "no_attention" ? "no attention"
                               : choice.is_poly()     ? power_name(choice.power)
                                                      : name,
                               choice.is_poly() ? choice.scale : "", accuracy.value, accuracy.half_width, double(seeds),
                               double(diverged(all)), mean_of(all, &Run::processor_seconds)});
      lab.write("architectures", all_rows);
      return all;
    };
    auto const softmax = train({.activation = "softmax"}, "softmax", t.seeds);
    auto const none = train(no_attention(), "no_attention", t.seeds);
    warn_unless_below(model, accuracy_of(none), accuracy_of(softmax));
    for (auto const& [name, all] : {std::pair{"softmax", &softmax}, {"no attention", &none}}) {
      table.rows.push_back({model, std::string(name), percent(accuracy_of(*all)), std::string("-"), std::string("-"),
                            double(diverged(*all)), mean_of(*all, &Run::processor_seconds)});
    }
    io::LinePlot plot{.title = model, .x_label = "power p", .y_label = "test accuracy (%)"};
    plot.y_range = io::Range(0, 100);
    plot.legend = io::Legend::below;
    plot.series = {{.label = "xᵖ"}, {.label = "xᵖ/√N"}, {.label = "trained scale"}};
    for (int const power : options.powers) {
      std::vector<Cell> row = {model, power_name(power)};
      double failed = 0, seconds = 0;
      std::size_t curve = 0;
      for (char const* const scale : {"none", "fixed", "dynamic"}) {
        vision::ActivationChoice const choice{.activation = "poly", .power = power, .scale = scale};
        auto const all = train(choice, short_name(choice), power == 3 ? t.seeds : t.other_seeds);
        Estimate const accuracy = accuracy_of(all);
        row.emplace_back(percent(accuracy));
        failed += diverged(all);
        seconds += mean_of(all, &Run::processor_seconds) / 3;
        plot.series[curve].color = int(curve);
        plot.series[curve].x.push_back(power);
        plot.series[curve++].y.push_back(100 * accuracy.value);
      }
      row.emplace_back(failed);
      row.emplace_back(seconds);
      table.rows.push_back(row);
    }
    if (!options.powers.empty()) {
      std::pair const range{double(options.powers.front()), double(options.powers.back())};
      plot.series.push_back(level("softmax", range, 100 * accuracy_of(softmax).value, 3));
      plot.series.push_back(level("no attention", range, 100 * accuracy_of(none).value, 6));
      figure.panels.push_back(plot);
    }
  }
  if (!figure.panels.empty()) lab.draw("architectures", figure);
  lab.write("table", table);
  lab.finish(runs.table());
  print(table);
}

}  // namespace theory
