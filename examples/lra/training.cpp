#include "lra/training.hpp"

#include "attn/io/curve.hpp"
#include "attn/io/plot.hpp"
#include "attn/optim/one_cycle.hpp"
#include "attn/train/description.hpp"
#include "attn/train/fit.hpp"

#include <chrono>

#include "lra/task.hpp"

namespace lra {
namespace {

void add_test(io::Json& run, Judgement const& test) {
  run["test_examples"] = test.examples;
  run["test_loss"] = test.mean_loss();
  run["test_accuracy"] = test.accuracy();
}

}  // namespace

Outcome train(Settings const& settings, attn::data::SequenceSplits const& data, RunOptions const& options) {
  CompleteRecipe const recipe = complete(settings);
  attn::train::World& world = options.world;
  attn::data::BatchParts const parts{attn::train::parts_of_step(settings.recipe.accumulate, world.size()),
                                     std::size_t(world.rank()), std::size_t(world.size())};
  memory_of(settings, data.train, true, world.size()).check(settings.insist);
  Context ctx(settings.seed);
  auto const model = make_model(ctx, settings.model, sizes_of(data.train));
  if (!options.weights.empty()) attn::train::load_weights(options.weights, ctx);

  SequenceTask task(ctx, *model, data, recipe, parts, settings.seed, world);
  attn::optim::OneCycle const cycle{.base = settings.recipe.lr,
                                    .total = static_cast<attn::Index>(recipe.steps),
                                    .warmup = static_cast<attn::Index>(recipe.warmup)};
  attn::optim::OneCycleAdamW adamw(ctx, cycle, {.epsilon = 1e-6, .weight_decay = settings.recipe.weight_decay});
  Outcome outcome{.run = results_of(settings, data)};
  io::Json description = description_of(settings);
  description["task"] = settings.task;
  io::Metadata const metadata = attn::train::describe_model(program_name, description);
  auto const result = attn::train::fit(ctx, task, adamw, cycle,
                                       {.epochs = recipe.steps / recipe.eval_every,
                                        .clip = settings.recipe.clip,
                                        .accumulate = parts.here(),
                                        .loss_scale = loss_scale_of(settings),
                                        .log_every = settings.recipe.log_every,
                                        .checkpoint = settings.recipe.checkpoint_every,
                                        .best = attn::train::KeepBest{.metric = "dev_accuracy"},
                                        .out = options.out,
                                        .resume = settings.resume,
                                        .settings = outcome.run,
                                        .later_settings = {{"attention_dropout", 0.0}},
                                        .metadata = metadata,
                                        .label = settings.task + ", " + settings.model.name(),
                                        .unit = "sequences",
                                        .sharing = settings.sharing,
                                        .stop = options.stop},
                                       world);
  outcome.run["parameters"] = ctx.parameters.count();
  outcome.run["steps"] = result.steps;
  for (auto const& [name, value] : result.training) outcome.run[name == "loss" ? "train_loss" : name] = value;
  outcome.run["seconds"] = result.seconds;
  double const sequences = double(result.steps) * double(recipe.batch) * double(data.train.per_example);
  outcome.run["sequences_per_second"] = sequences / result.seconds;  // evaluation included
  outcome.interrupted = result.interrupted;
  if (result.interrupted) return outcome;

  outcome.run["dev_accuracy"] = result.best.value;
  outcome.run["best_step"] = result.best.step;
  attn::train::load_weights(attn::train::best_path(options.out), ctx);
  if (world.leads()) attn::train::save_weights(attn::train::weights_path(options.out), ctx, metadata);
  add_test(outcome.run, judge(ctx, *model, data.test, recipe.batch, settings.data.whole_test, world));
  return outcome;
}

Outcome evaluate(Settings const& settings, attn::data::SequenceSplits const& data, io::Path const& weights,
                 attn::train::World& world) {
  memory_of(settings, data.test, false).check(settings.insist);
  Context ctx(settings.seed);
  auto const model = make_model(ctx, settings.model, sizes_of(data.test));
  attn::train::load_weights(weights, ctx);
  auto const start = std::chrono::steady_clock::now();
  Outcome outcome{.run = results_of(settings, data)};
  add_test(outcome.run, judge(ctx, *model, data.test, complete(settings).batch, settings.data.whole_test, world));
  outcome.run["weights"] = weights.string();
  outcome.run["parameters"] = ctx.parameters.count();
  outcome.run["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

void draw_figures(io::Path const& out, Settings const& settings) {
  io::CsvTable const table = io::read_csv(attn::train::metrics_path(out));
  auto const series = [&](std::string const& column, std::string const& label,
                          io::LineStyle style = io::LineStyle::solid) {
    return io::curve(table, "step", column, label, style);
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

  io::LinePlot const rate{
      .title = "Learning rate", .x_label = "step", .y_label = "learning rate", .series = {series("learning_rate", "")}};
  io::LinePlot const norm{.title = "Norm of the gradient, before clipping",
                          .x_label = "step",
                          .y_label = "norm",
                          .series = {series("gradient_norm", "")},
                          .log_y = true};
  io::try_save_figure(out / "optimization.png",
                      {.panels = {rate, norm}, .columns = 2, .panel_width = 560, .panel_height = 400});
  io::LinePlot scales{.title = "Trained numbers of the activation", .x_label = "step", .y_label = "value"};
  for (std::string const& column : attn::train::trained_number_columns(table.columns)) {
    scales.series.push_back(series(column, attn::train::trained_number_label(column)));
  }
  if (!scales.series.empty()) {
    io::try_save_figure(out / "scales.png", {.panels = {scales}, .panel_width = 800, .panel_height = 480});
  }
}

}  // namespace lra
