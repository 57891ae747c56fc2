#include "vision/training.hpp"

#include "attn/optim/adamw.hpp"
#include "attn/train/description.hpp"
#include "attn/train/weights.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "vision/task.hpp"

namespace vision {
namespace {

constexpr std::size_t shown_predictions = 24;

/// The weights' description: what `adopt` and `load_test_data` read.
io::Metadata metadata(io::Json description, attn::data::Normalization const& normalization) {
  description["mean"] = normalization.mean;
  description["deviation"] = normalization.deviation;
  return attn::train::describe_model(program_name, description);
}

/// Attention and predictions for the first test images.
void look_at_examples(Context& ctx, Classifier const& model, attn::data::Dataset const& test, Outcome& outcome) {
  std::size_t const count = std::min(shown_predictions, test.count);
  attn::data::Dataset const shown = attn::data::take(test, count);
  attn::data::EvaluationBatches<float> batches(shown, count);
  auto const* batch = batches.next();
  ctx.training = false;
  ctx.begin_step();
  auto const images = attn::data::on_device(ctx, batch->images());
  outcome.tokens = model.tokens();
  outcome.attention = model.attention(ctx, images.slice(0, 0, 1));

  auto const logits = model.logits(ctx, images);
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), logits.view());
  for (std::size_t i = 0; i < count; ++i) {
    int best = 0;
    double sum = 0;
    for (int c = 0; c < test.classes; ++c) {
      if (host(i, static_cast<std::size_t>(c)) > host(i, static_cast<std::size_t>(best))) best = c;
    }
    for (int c = 0; c < test.classes; ++c) {
      sum += std::exp(double(host(i, static_cast<std::size_t>(c))) - double(host(i, static_cast<std::size_t>(best))));
    }
    outcome.predictions.push_back({i, test.labels[i], best, 1 / sum});
  }
}

}  // namespace

Outcome train(Settings const& settings, attn::data::Split const& data, RunOptions const& options) {
  check(settings);
  Sizes const sizes = model_sizes(settings.model, data.train);
  memory_of(settings, sizes, true).check(settings.insist);
  Context ctx(settings.seed);
  auto const model = make_classifier(ctx, settings.activation, sizes);
  if (!options.weights.empty()) attn::train::load_weights(options.weights, ctx);

  auto const batches = batch_options(settings.recipe, settings.seed);
  VisionTask task(*model, sizes.depth, data, batches, settings.recipe.accumulate);
  Recipe const& recipe = settings.recipe;
  attn::optim::AdamW adamw(ctx, {.beta2 = recipe.beta2, .weight_decay = recipe.weight_decay});
  LearningRate const learning_rate(recipe, task.steps_per_epoch());

  Outcome outcome{.name = settings.activation.name(),
                  .run = results_of(settings, sizes, data),
                  .directory = options.out,
                  .heads = sizes.heads};
  attn::train::FitOptions fit_options{.epochs = recipe.epochs,
                                      .clip = recipe.clip,
                                      .accumulate = recipe.accumulate,
                                      .log_every = recipe.log_every,
                                      .evaluate = recipe.eval_every,
                                      .checkpoint = recipe.checkpoint_every,
                                      .out = options.out,
                                      .resume = options.resume,
                                      .settings = outcome.run,
                                      .metadata = metadata(outcome.run, data.train.normalization),
                                      .label = outcome.name,
                                      .stop = options.stop};
  if (recipe.ema > 0) fit_options.ema = attn::optim::EmaOptions{.decay = recipe.ema};
  auto const result = attn::train::fit(ctx, task, adamw, learning_rate, fit_options);

  outcome.run["parameters"] = ctx.parameters.count();
  outcome.run["steps"] = result.steps;
  for (auto const& [name, value] : result.training) outcome.run[name == "loss" ? "train_loss" : name] = value;
  for (auto const& [name, value] : result.evaluation) outcome.run[name] = value;
  outcome.run["seconds"] = result.seconds;
  outcome.run["images_per_second"] = static_cast<double>(result.steps * recipe.batch) / result.seconds;
  outcome.interrupted = result.interrupted;
  if (result.interrupted) return outcome;
  attn::train::load_weights(attn::train::weights_path(options.out), ctx);  // the averages, where there are any
  look_at_examples(ctx, *model, data.test, outcome);
  return outcome;
}

Outcome evaluate(Settings const& settings, attn::data::Split const& data, io::Path const& weights) {
  Sizes const sizes = model_sizes(settings.model, data.test);
  memory_of(settings, sizes, false).check(settings.insist);
  Context ctx(settings.seed);
  auto const model = make_classifier(ctx, settings.activation, sizes);
  attn::train::load_weights(weights, ctx);
  auto const start = std::chrono::steady_clock::now();
  ctx.training = false;
  attn::data::EvaluationBatches<float> batches(data.test, std::min(VisionTask::evaluation_batch, data.test.count));
  Judgement const judgement = judge(ctx, *model, batches);
  std::chrono::duration<double> const elapsed = std::chrono::steady_clock::now() - start;
  ActivationChoice const& a = settings.activation;
  return {.name = a.name(),
          .run = {{"name", a.name()},
                  {"activation", a.activation},
                  {"power", a.is_poly() ? io::Json(a.power) : io::Json(nullptr)},
                  {"scale", a.is_poly() ? a.scale : "none"},
                  {"seed", settings.seed},
                  {"weights", weights.string()},
                  {"parameters", ctx.parameters.count()},
                  {"test_images", data.test.count},
                  {"test_loss", judgement.loss},
                  {"test_accuracy", judgement.accuracy},
                  {"seconds", elapsed.count()},
                  {"images_per_second", static_cast<double>(data.test.count) / elapsed.count()}}};
}

attn::data::Split load_test_data(DataSettings const& settings, io::Json const& description) {
  bool const complete = description.is_object() && description.contains("mean") && description.contains("deviation");
  if (!complete) return load_data(settings);
  auto const numbers = [&](char const* field) {
    std::vector<float> numbers;
    for (io::Json const& number : description[field]) {
      bool const good = description[field].is_array() && number.is_number() && std::isfinite(number.get<float>());
      ATTN_CHECK(good, "--weights: the file describes its ", field, " wrongly: use numbers, got ",
                 description[field].dump());
      numbers.push_back(number.get<float>());
    }
    return numbers;
  };
  DataSettings test_only = settings;
  test_only.files = complete_paths(settings);
  attn::data::Split split;
  split.test = attn::data::load_idx(test_only.files.test_images, test_only.files.test_labels, settings.classes);
  split.test.normalization = {numbers("mean"), numbers("deviation")};
  attn::data::check(split.test, "--weights");
  if (settings.test_limit > 0) split.test = attn::data::take(std::move(split.test), settings.test_limit);
  return split;
}

}  // namespace vision
