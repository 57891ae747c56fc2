#include "lra/settings.hpp"

#include "attn/data/cifar.hpp"
#include "attn/data/listops.hpp"
#include "attn/data/pathfinder_generator.hpp"
#include "attn/data/retrieval.hpp"
#include "attn/data/text.hpp"
#include "attn/io/options.hpp"

#include <bit>
#include <iostream>

namespace lra {
namespace {

constexpr PublishedRecipe recipes[] = {{"listops", 32, 5000, 1000, 50, 62, 96000, 2000, 2000},
                                       {"text", 32, 20000, 8000, 500, 781, 0, 0, 0},
                                       {"retrieval", 32, 30000, 800, 300, 565, 0, 0, 0},
                                       {"image", 256, 35000, 175, 175, 20, 0, 0, 0},
                                       {"pathfinder", 256, 62400, 312, 312, 312, 160000, 20000, 20000}};

void add_model_options(CLI::App& app, ModelSettings& model) {
  std::string const group = "Model";
  auto const number = [&](char const* name, attn::Index& into, char const* what, long low, long high) {
    app.add_option(name, into, what)->check(io::between(low, high))->group(group);
  };
  app.add_option("--attention", model.attention,
                 "nystrom: through landmarks, linear in the length; full: every token to every token")
      ->check(io::one_of({"nystrom", "full"}))
      ->group(group);
  app.add_option(
         "--factors", model.factors,
         "Which factors of nystrom have the activation: all; outer, queries and keys; inner, the landmarks. The "
         "others have softmax")
      ->check(io::one_of({"all", "outer", "inner"}))
      ->group(group);
  number("--landmarks", model.landmarks, "Landmarks; as many as positions: full attention", 1, 65536);
  number("--conv", model.taps, "Taps of the convolution of values, an odd number, or 0 for none", 0, 1023);
  app.add_option("--inverse-iterations", model.inverse_iterations, "Iterations of the pseudo-inverse")
      ->check(io::between(1, 100))
      ->group(group);
  app.add_option("--inverse-start", model.inverse_start,
                 "Start of the pseudo-inverse: column_sum, as published, for softmax; norms, for all signs; auto: "
                 "whichever suits")
      ->check(io::one_of({"auto", "column_sum", "norms"}))
      ->group(group);
  app.add_flag("--scale-per-head", model.scale_per_head, "Train one scale for each head instead of one for each layer")
      ->group(group);
  number("--width", model.width, "Numbers of a token", 1, 65536);
  number("--heads", model.heads, "Heads of attention; they divide the width", 1, 4096);
  number("--depth", model.depth, "Layers", 0, 1000);
  number("--hidden", model.hidden, "Width of the hidden layers", 1, 1 << 20);
  app.add_option("--dropout", model.dropout, "Dropout rate")->check(io::between(0.0, 0.99))->group(group);
}

void add_recipe_options(CLI::App& app, Recipe& recipe) {
  std::string const group = "Training";
  std::uint64_t const many = 1'000'000'000;
  auto const number = [&](char const* name, auto& into, char const* what, std::uint64_t low = 1) {
    app.add_option(name, into, what)->check(io::between(low, many))->group(group);
  };
  number("--steps", recipe.steps, "Steps (default: the published ones of the task)");
  number("--batch", recipe.batch, "Examples a step (default: as published)");
  number("--warmup", recipe.warmup, "Steps until the highest learning rate (default: as published)", 0);
  number("--eval-every", recipe.eval_every, "Steps between evaluations on development data (default: as published)");
  number("--eval-batches", recipe.eval_batches, "Batches of an evaluation (default: as published)");
  number("--accumulate", recipe.accumulate, "Parts that a batch is computed in, to save memory; they divide it");
  number("--log-every", recipe.log_every, "Steps between rows of metrics.csv");
  app.add_option("--lr", recipe.lr, "Highest learning rate of the cycle")->check(io::between(0.0, 1e3))->group(group);
  app.add_option("--weight-decay", recipe.weight_decay, "Weight decay")->check(io::between(0.0, 1e3))->group(group);
  app.add_option("--clip", recipe.clip, "Limit of the gradients' norm; 0: none")
      ->check(io::between(0.0, 1e9))
      ->group(group);
}

void add_data_options(CLI::App& app, DataSettings& data) {
  std::string const group = "Data";
  app.add_option("--data", data.directory,
                 "Folder of the released data; listops and pathfinder are generated without it")
      ->group(group);
  app.add_option("--limit", data.limit,
                 "Bytes at which texts (default 1000) and documents (default 4000) are cut; batches have the next "
                 "power of two")
      ->check(io::between(std::size_t(1), std::size_t(1) << 20))
      ->group(group);
  app.add_option("--examples", data.examples,
                 "Generated training examples (default: the published ones, or as many as the steps can use)")
      ->check(io::between(std::size_t(1), std::size_t(100'000'000)))
      ->group(group);
  app.add_option("--difficulty", data.difficulty, "Dashes of a snake of pathfinder")
      ->check(io::one_of({"6", "9", "14"}))
      ->group(group);
  app.add_flag("--whole-test", data.whole_test,
               "Judge on all test examples; the published recipe drops the last, incomplete batch")
      ->group(group);
}

std::string difficulty_folder(std::string const& dashes) {
  return dashes == "6" ? "curv_baseline" : "curv_contour_length_" + dashes;
}

attn::data::SequenceSplits read_data(Settings const& s) {
  using namespace attn::data;
  DataSettings const& d = s.data;
  auto const room = [](std::size_t limit) { return std::bit_ceil(limit) - limit; };
  if (s.task == "listops") return load_listops(d.directory);
  if (s.task == "image") return load_cifar10(d.directory);
  if (s.task == "text") {
    std::size_t const limit = d.limit.value_or(1000);
    return load_text(d.directory, {.limit = limit, .padding = room(limit)});
  }
  if (s.task == "retrieval") {
    std::size_t const limit = d.limit.value_or(4000);
    return load_retrieval(d.directory, {.limit = limit, .padding = room(limit)});
  }
  return load_pathfinder(d.directory, {.seed = s.seed}, difficulty_folder(d.difficulty));
}

attn::data::SequenceSplits generate_data(Settings const& s) {
  PublishedRecipe const& published = published_recipe(s.task);
  CompleteRecipe const recipe = complete(s);
  std::size_t const usable = recipe.steps * recipe.batch;
  std::size_t const train = s.data.examples.value_or(std::min(published.train_examples, usable));
  std::size_t const dev = std::min(published.dev_examples, std::max(train, std::size_t(recipe.batch)));
  std::cerr << "generating " << train << " + " << dev << " + " << dev << " examples of " << s.task << std::endl;
  attn::RandomKey const key = attn::subkey(attn::RandomKey{.seed = s.seed}, "data");
  if (s.task == "listops") return attn::data::generate_listops_splits(train, dev, dev, key);
  attn::data::pathfinder::Snakes snakes;
  snakes.contour_length = std::stoi(s.data.difficulty);
  return {attn::data::generate_pathfinder(train, attn::subkey(key, 0), snakes),
          attn::data::generate_pathfinder(dev, attn::subkey(key, 1), snakes),
          attn::data::generate_pathfinder(dev, attn::subkey(key, 2), snakes)};
}

}  // namespace

PublishedRecipe const& published_recipe(std::string const& task) {
  for (PublishedRecipe const& recipe : recipes) {
    if (task == recipe.task) return recipe;
  }
  throw attn::Error("--task: there is no task '" + task + "'");
}

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (PublishedRecipe const& recipe : recipes) names.push_back(recipe.task);
  return names;
}

CompleteRecipe complete(Settings const& settings) {
  Recipe const& r = settings.recipe;
  PublishedRecipe const& p = published_recipe(settings.task);
  CompleteRecipe c{.steps = r.steps.value_or(p.steps),
                   .warmup = 0,
                   .eval_every = 0,
                   .eval_batches = r.eval_batches.value_or(p.eval_batches),
                   .batch = r.batch.value_or(p.batch)};
  // A shorter run keeps the cycle's shape, and one longer than an evaluation's rhythm keeps that.
  c.warmup = r.warmup.value_or(std::max<std::uint64_t>(1, p.warmup * c.steps / p.steps));
  c.eval_every = r.eval_every.value_or(std::min(p.eval_every, c.steps));
  ATTN_CHECK(c.warmup <= c.steps, "--warmup: give at most the ", c.steps, " steps, got ", c.warmup);
  ATTN_CHECK(c.steps % c.eval_every == 0, "--steps: give a multiple of the ", c.eval_every,
             " steps between evaluations, got ", c.steps);
  ATTN_CHECK(c.batch % r.accumulate == 0, "--accumulate: give a divisor of the batch of ", c.batch, ", got ",
             r.accumulate);
  return c;
}

void add_options(CLI::App& app, Settings& settings) {
  app.add_option("--task", settings.task, "What is learned")->check(io::one_of(task_names()))->required();
  add_data_options(app, settings.data);
  add_model_options(app, settings.model);
  add_recipe_options(app, settings.recipe);
}

attn::data::SequenceSplits load_data(Settings const& settings) {
  bool const generates = settings.task == "listops" || settings.task == "pathfinder";
  ATTN_CHECK(generates || !settings.data.directory.empty(), "--data: give the folder of the released data of ",
             settings.task);
  auto const splits = settings.data.directory.empty() ? generate_data(settings) : read_data(settings);
  std::size_t truncated = 0, skipped = 0;
  for (auto const* part : {&splits.train, &splits.dev, &splits.test}) {
    check(*part, "--data");
    ATTN_CHECK(part->count() > 0, "--data: '", settings.data.directory.string(), "' holds too few examples");
    truncated += part->truncated;
    skipped += part->skipped;
  }
  if (truncated > 0) std::cerr << truncated << " sequences were longer than the limit and were cut there" << std::endl;
  if (skipped > 0) std::cerr << skipped << " empty or unreadable images were left out" << std::endl;
  return splits;
}

TaskSizes sizes_of(attn::data::Sequences const& data) {
  auto const length = static_cast<attn::Index>(data.length);
  return {.vocabulary = data.vocabulary,
          .positions = static_cast<attn::Index>(std::bit_ceil(data.length)),
          .length = length,
          .classes = data.classes,
          .pairs = data.per_example == 2};
}

}  // namespace lra
