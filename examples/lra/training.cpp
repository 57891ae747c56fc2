#include "lra/training.hpp"

#include "attn/io/plot.hpp"
#include "attn/optim/one_cycle.hpp"
#include "attn/train/fit.hpp"

#include <chrono>
#include <cmath>

#include "lra/task.hpp"

namespace lra {
namespace {

constexpr char const* description_key = "attn.train_lra";

/// Calls visit(flag, field, value) for the settings that make the model.
template <class Model, class Visit>
void for_each_model_setting(Model& m, Visit const& visit) {
  visit("--activation", "activation", m.activation);
  visit("--power", "power", m.power);
  visit("--scale", "scale", m.scale);
  visit("--attention", "attention", m.attention);
  visit("--factors", "factors", m.factors);
  visit("--landmarks", "landmarks", m.landmarks);
  visit("--conv", "conv", m.taps);
  visit("--inverse-iterations", "inverse_iterations", m.inverse_iterations);
  visit("--inverse-start", "inverse_start", m.inverse_start);
  visit("--scale-per-head", "scale_per_head", m.scale_per_head);
  visit("--width", "width", m.width);
  visit("--heads", "heads", m.heads);
  visit("--depth", "depth", m.depth);
  visit("--hidden", "hidden", m.hidden);
}

io::Json describe(ModelSettings const& model) {
  io::Json json;
  for_each_model_setting(model, [&](char const*, char const* field, auto const& value) { json[field] = value; });
  if (!model.is_poly()) json["power"] = nullptr;
  if (!model.is_poly()) json["scale"] = "none";
  return json;
}

io::Json describe(Settings const& s, attn::data::SequenceSplits const& data) {
  CompleteRecipe const recipe = complete(s);
  PublishedRecipe const& published = published_recipe(s.task);
  io::Json json = describe(s.model);
  json["seed"] = s.seed;
  json["task"] = s.task;
  json["data"] = s.data.directory.empty() ? "generated" : s.data.directory.string();
  json["train_examples"] = data.train.count();
  json["dev_examples"] = data.dev.count();
  json["length"] = data.train.length;
  json["truncated"] = data.train.truncated + data.dev.truncated + data.test.truncated;
  json["skipped"] = data.train.skipped + data.dev.skipped + data.test.skipped;
  json["dropout"] = s.model.dropout;
  json["batch"] = recipe.batch;
  json["accumulate"] = s.recipe.accumulate;
  json["planned_steps"] = recipe.steps;
  json["published_steps"] = published.steps;
  json["warmup"] = recipe.warmup;
  json["eval_every"] = recipe.eval_every;
  json["eval_batches"] = recipe.eval_batches;
  json["lr"] = s.recipe.lr;
  json["weight_decay"] = s.recipe.weight_decay;
  json["clip"] = s.recipe.clip;
  return json;
}

void add_test(io::Json& run, Judgement const& test) {
  run["test_examples"] = test.examples;
  run["test_loss"] = test.mean_loss();
  run["test_accuracy"] = test.accuracy();
}

}  // namespace

void check(Settings const& settings) {
  complete(settings);
  ModelSettings const& m = settings.model;
  ATTN_CHECK(m.width % m.heads == 0, "--heads: give a divisor of the width ", m.width, ", got ", m.heads);
  ATTN_CHECK(m.taps == 0 || m.taps % 2 == 1, "--conv: give an odd number of taps, or 0 for none, got ", m.taps);
}

Outcome train(Settings const& settings, attn::data::SequenceSplits const& data, RunOptions const& options) {
  CompleteRecipe const recipe = complete(settings);
  Context ctx(settings.seed);
  auto const model = make_model(ctx, settings.model, sizes_of(data.train));
  if (!options.weights.empty()) attn::train::load_weights(options.weights, ctx);

  if (!settings.resume) {  // the best weights of another run must not pass for this run's
    std::error_code ignored;
    std::filesystem::remove(best_path(options.out), ignored);
  }
  SequenceTask task(*model, data, recipe, settings.recipe.accumulate, settings.seed, options.out);
  attn::optim::OneCycle const cycle{.base = settings.recipe.lr,
                                    .total = static_cast<attn::Index>(recipe.steps),
                                    .warmup = static_cast<attn::Index>(recipe.warmup)};
  attn::optim::OneCycleAdamW adamw(ctx, cycle, {.epsilon = 1e-6, .weight_decay = settings.recipe.weight_decay});
  Outcome outcome{.run = describe(settings, data)};
  io::Metadata const metadata = {{description_key, describe(settings.model).dump()}};
  auto const result = attn::train::fit(ctx, task, adamw, cycle,
                                       {.epochs = recipe.steps / recipe.eval_every,
                                        .clip = settings.recipe.clip,
                                        .log_every = settings.recipe.log_every,
                                        .out = options.out,
                                        .resume = settings.resume,
                                        .settings = outcome.run,
                                        .metadata = metadata,
                                        .label = settings.task + ", " + settings.model.name(),
                                        .unit = "sequences",
                                        .stop = options.stop});
  outcome.run["parameters"] = ctx.parameters.count();
  outcome.run["steps"] = result.steps;
  for (auto const& [name, value] : result.training) outcome.run[name == "loss" ? "train_loss" : name] = value;
  outcome.run["seconds"] = result.seconds;
  double const sequences = double(result.steps) * double(recipe.batch) * double(data.train.per_example);
  outcome.run["sequences_per_second"] = sequences / result.seconds;  // evaluation included
  outcome.interrupted = result.interrupted;
  if (result.interrupted) return outcome;

  Best const best = task.best();
  outcome.run["dev_accuracy"] = best.accuracy;
  outcome.run["best_step"] = best.step;
  attn::train::load_weights(best_path(options.out), ctx);
  attn::train::save_weights(attn::train::weights_path(options.out), ctx, metadata);
  add_test(outcome.run, judge(ctx, *model, data.test, recipe.batch, settings.data.whole_test));
  return outcome;
}

Outcome evaluate(Settings const& settings, attn::data::SequenceSplits const& data, io::Path const& weights) {
  Context ctx(settings.seed);
  auto const model = make_model(ctx, settings.model, sizes_of(data.test));
  attn::train::load_weights(weights, ctx);
  auto const start = std::chrono::steady_clock::now();
  Outcome outcome{.run = describe(settings, data)};
  add_test(outcome.run, judge(ctx, *model, data.test, complete(settings).batch, settings.data.whole_test));
  outcome.run["weights"] = weights.string();
  outcome.run["parameters"] = ctx.parameters.count();
  outcome.run["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

void adopt(ModelSettings& model, io::Path const& weights, std::function<bool(char const*)> const& given) try {
  io::Safetensors const file(weights);
  auto const found = file.metadata().find(description_key);
  if (found == file.metadata().end()) return;
  io::Json const description = io::Json::parse(found->second, nullptr, false);
  ATTN_CHECK(description.is_object(), "--weights: '", weights.string(), "' describes itself wrongly");
  for_each_model_setting(model, [&](char const* flag, char const* field, auto& value) {
    if (!given(flag) && description.contains(field) && !description[field].is_null()) description[field].get_to(value);
  });
} catch (io::Json::exception const& error) {
  throw attn::Error("--weights: '" + weights.string() + "' describes itself wrongly (" + error.what() + ")");
}

void draw_figures(io::Path const& out, Settings const& settings) {
  io::CsvTable const table = io::read_csv(attn::train::metrics_path(out));
  auto const series = [&](char const* column, char const* label, io::LineStyle style) {
    io::Series line{.label = label, .style = style};
    auto const x = table.numbers("step"), y = table.numbers(column);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(y[i])) continue;
      line.x.push_back(x[i]);
      line.y.push_back(y[i]);
    }
    return line;
  };
  auto const draw = [&](char const* file, char const* y_label, char const* train, char const* dev) {
    io::try_save_figure(out / file,
                        {.panels = {io::LinePlot{.title = settings.task + ", " + settings.model.name(),
                                                 .x_label = "step",
                                                 .y_label = y_label,
                                                 .series = {series(train, "training", io::LineStyle::solid),
                                                            series(dev, "development", io::LineStyle::points)}}},
                         .panel_width = 800,
                         .panel_height = 480});
  };
  draw("loss.png", "cross-entropy", "loss", "dev_loss");
  draw("accuracy.png", "accuracy", "train_accuracy", "dev_accuracy");
}

}  // namespace lra
