#include "lra/settings.hpp"

#include "attn/data/cifar.hpp"
#include "attn/data/listops.hpp"
#include "attn/data/pathfinder_generator.hpp"
#include "attn/data/retrieval.hpp"
#include "attn/data/text.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iostream>
#include <utility>

namespace lra {
namespace {

constexpr PublishedRecipe recipes[] = {{"listops", 32, 5000, 1000, 50, 62, 96000, 2000, 2000},
                                       {"text", 32, 20000, 8000, 500, 781, 0, 0, 0},
                                       {"retrieval", 32, 30000, 800, 300, 565, 0, 0, 0},
                                       {"image", 256, 35000, 175, 175, 20, 0, 0, 0},
                                       {"pathfinder", 256, 62400, 312, 312, 312, 160000, 20000, 20000}};

void describe(io::SettingList& list, DataSettings& d) {
  list.group("Data");
  list("data", d.directory,
       {.help = "Folder of the released data; listops and pathfinder are generated without it", .decides = false});
  list("limit", d.limit,
       {.help =
            "Bytes at which texts (default 1000) and documents (default 4000) are cut; batches have the next power of "
            "two",
        .range = {1, 1 << 20},
        .decides = false});
  list("examples", d.examples,
       {.help = "Generated training examples (default: the published ones, or as many as the steps can use)",
        .range = {1, 1e8},
        .decides = false});
  list("difficulty", d.difficulty,
       {.help = "Dashes of a snake of pathfinder", .words = {"6", "9", "14"}, .decides = false});
  list("whole-test", d.whole_test,
       {.help = "Judge on all test examples; the published recipe drops the last, incomplete batch", .decides = false});
}

void describe(io::SettingList& list, ModelSettings& m) {
  list.group("Model");
  list("attention", m.attention,
       {.help = "nystrom: through landmarks, linear in the length; full: every token to every token",
        .words = {"nystrom", "full"},
        .model = true});
  list("factors", m.factors,
       {.help = "Which factors of nystrom have the activation: all; outer, queries and keys; inner, the landmarks. The "
                "others have softmax",
        .words = {"all", "outer", "inner"},
        .model = true});
  list("landmarks", m.landmarks,
       {.help = "Landmarks; as many as positions: full attention", .range = {1, 65536}, .model = true});
  list("conv", m.taps,
       {.help = "Taps of the convolution of values, an odd number, or 0 for none", .range = {0, 1023}, .model = true});
  list("inverse-iterations", m.inverse_iterations,
       {.help = "Iterations of the pseudo-inverse", .range = {1, 100}, .model = true});
  list("inverse-start", m.inverse_start,
       {.help = "Start of the pseudo-inverse: column_sum, as published, for softmax; norms, for all signs; auto: "
                "whichever suits",
        .words = {"auto", "column_sum", "norms"},
        .model = true});
  list("scale-per-head", m.scale_per_head,
       {.help = "Train one scale for each head instead of one for each layer", .model = true});
  list("width", m.width, {.help = "Numbers of a token", .range = {1, 65536}, .model = true});
  list("heads", m.heads, {.help = "Heads of attention; they divide the width", .range = {1, 4096}, .model = true});
  list("depth", m.depth, {.help = "Layers", .range = {0, 1000}, .model = true});
  list("hidden", m.hidden, {.help = "Width of the hidden layers", .range = {1, 1 << 20}, .model = true});
  list("dropout", m.dropout, {.help = "Dropout rate", .range = {0, 0.99}});
  list("attention-dropout", m.attention_dropout,
       {.help = "Dropout rate of the weights of full attention; the published one is 0.1", .range = {0, 0.99}});
  list("precision", m.precision,
       {.help = "Numbers between layers: fp32, or, with full attention, bf16 or fp16 with sums, weights, losses and "
                "optimizer in fp32",
        .words = {"fp32", "bf16", "fp16"},
        .model = true});
}

void describe(io::SettingList& list, Recipe& r) {
  list.group("Training");
  io::NumberRange const many = {1, 1e9};
  list("steps", r.steps,
       {.help = "Steps (default: the published ones of the task)", .range = many, .field = "planned_steps"});
  list("batch", r.batch, {.help = "Examples a step (default: as published)", .range = many});
  list("warmup", r.warmup,
       {.help = "Steps until the highest learning rate (default: as published)", .range = {0, 1e9}});
  list("eval-every", r.eval_every,
       {.help = "Steps between evaluations on development data (default: as published)", .range = many});
  list("eval-batches", r.eval_batches, {.help = "Batches of an evaluation (default: as published)", .range = many});
  list("accumulate", r.accumulate,
       {.help =
            "Parts that a batch is computed in, to save memory; they divide it. Several ranks share the parts, as many "
            "as there are ranks at least",
        .range = many});
  list("log-every", r.log_every, {.help = "Steps between rows of metrics.csv", .range = many, .decides = false});
  list("checkpoint-every", r.checkpoint_every,
       {.help = "Steps, or a time like 10m, between checkpoints (default: one after each evaluation)",
        .decides = false});
  list("lr", r.lr, {.help = "Highest learning rate of the cycle", .range = {0, 1e3}});
  list("weight-decay", r.weight_decay, {.help = "Weight decay", .range = {0, 1e3}});
  list("clip", r.clip, {.help = "Limit of the gradients' norm; 0: none", .range = {0, 1e9}});
  list("loss-scale", r.loss_scale,
       {.help = "With --precision fp16: by what gradients of losses are multiplied at first, a power of two (default: "
                "65536). A step whose gradients overflow is left out and halves it, 2000 others double it",
        .range = {attn::optim::LossScale<Context>::least, 0x1p126},
        .decides = false});
}

/// The settings with every number that was not given.
Settings completed(Settings settings) {
  CompleteRecipe const c = complete(settings);
  Recipe& r = settings.recipe;
  r.steps = c.steps, r.batch = c.batch, r.warmup = c.warmup;
  r.eval_every = c.eval_every, r.eval_batches = c.eval_batches;
  return settings;
}

io::Json activation_of(ModelSettings const& m) {
  return {{"activation", m.activation},
          {"power", m.is_poly() ? io::Json(m.power) : io::Json(nullptr)},
          {"scale", m.is_poly() ? m.scale : "none"}};
}

std::string difficulty_folder(std::string const& dashes) {
  return dashes == "6" ? "curv_baseline" : "curv_contour_length_" + dashes;
}

/// How many tokens an example has, padding left out.
struct ExampleRows {
  double mean = 0, variance = 0, longest = 0;

  explicit ExampleRows(attn::data::Sequences const& data) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < data.count(); ++i) {
      double rows = 0;
      for (std::size_t w = 0; w < data.per_example; ++w) {
        auto const is_seen = [&](auto token) { return int(token) + data.first_id != 0; };
        rows += double(std::ranges::count_if(data.sequence(i, w), is_seen));
      }
      sum += rows;
      squares += rows * rows;
      longest = std::max(longest, rows);
    }
    mean = sum / double(data.count());
    variance = std::max(squares / double(data.count()) - mean * mean, 0.0);
  }

  /// Those of so many examples: three standard deviations above the mean, but not more than the longest have.
  double of(double examples) const {
    return std::min(examples * longest, examples * mean + 3 * std::sqrt(examples * variance));
  }
};

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
  io::MemoryPlan plan;
  double const length = s.task == "listops" ? 2000 : 1024;  // bytes of an example, at most
  plan.add("generated examples", (double(train) + 2 * double(dev)) * (length + 16));
  plan.check(s.insist);
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

std::optional<attn::optim::LossScaleOptions> loss_scale_of(Settings const& settings) {
  if (settings.model.precision != "fp16") return {};
  attn::optim::LossScaleOptions options;
  options.initial = settings.recipe.loss_scale.value_or(options.initial);
  return options;
}

void check(Settings const& settings) {
  complete(settings);
  ModelSettings const& m = settings.model;
  ATTN_CHECK(m.width % m.heads == 0, "--heads: give a divisor of the width ", m.width, ", got ", m.heads);
  ATTN_CHECK(m.precision == "fp32" || m.attention == "full", "--precision: give --attention full with ", m.precision,
             "; the pseudo-inverse of nystrom needs the digits of fp32");
  std::optional<double> const scale = settings.recipe.loss_scale;
  int exponent = 0;
  ATTN_CHECK(!scale || m.precision == "fp16", "--loss-scale: belongs to --precision fp16, other precisions need none");
  ATTN_CHECK(!scale || std::frexp(*scale, &exponent) == 0.5, "--loss-scale: give a power of two, got ", *scale);
  ATTN_CHECK(m.attention_dropout == 0 || m.attention == "full",
             "--attention-dropout: give --attention full with it; nystrom has no weights of its own to drop");
  ATTN_CHECK(m.taps == 0 || m.taps % 2 == 1, "--conv: give an odd number of taps, or 0 for none, got ", m.taps);
}

void describe(io::SettingList& list, Settings& settings) {
  describe(list, settings.data);
  describe(list, settings.model);
  describe(list, settings.recipe);
  describe(list, settings.sharing);
}

io::Json description_of(Settings settings) {
  io::Json description = activation_of(settings.model);
  io::SettingList list;
  describe(list, settings);
  list.write_model(description);
  return description;
}

io::Json results_of(Settings settings, attn::data::SequenceSplits const& data) {
  settings = completed(std::move(settings));
  io::Json run = description_of(settings);
  run["seed"] = settings.seed;
  run["task"] = settings.task;
  run["data"] = settings.data.directory.empty() ? "generated" : settings.data.directory.string();
  run["train_examples"] = data.train.count();
  run["dev_examples"] = data.dev.count();
  run["length"] = data.train.length;
  run["truncated"] = data.train.truncated + data.dev.truncated + data.test.truncated;
  run["skipped"] = data.train.skipped + data.dev.skipped + data.test.skipped;
  for (char const* const field : {"dropout", "batch", "accumulate", "planned_steps"}) run[field] = nullptr;  // places
  run["published_steps"] = published_recipe(settings.task).steps;
  for (char const* const field : {"warmup", "eval_every", "eval_batches"}) run[field] = nullptr;
  io::SettingList list;
  describe(list, settings);
  list.write(run);
  if (auto const scale = loss_scale_of(settings)) run["loss_scale"] = scale->initial;
  return run;
}

io::MemoryPlan memory_of(Settings const& settings, attn::data::Sequences const& data, bool trains, int ranks) {
  ModelSettings const& m = settings.model;
  TaskSizes const sizes = sizes_of(data);
  double const width = double(m.width), hidden = double(m.hidden), depth = double(m.depth), heads = double(m.heads);
  double const parameters = (double(sizes.vocabulary) + double(sizes.positions)) * width +
                            depth * (4 * width * width + 2 * width * hidden + 9 * width + hidden) +
                            hidden * ((sizes.pairs ? 4 : 1) * width + 1 + double(sizes.classes));
  bool const nystrom = m.attention == "nystrom" && m.landmarks < sizes.length;
  double const landmarks = nystrom ? double(m.landmarks) : 0;
  double const square = heads * landmarks * landmarks, row = landmarks * width;
  // What a layer leaves for the way back: the inputs of its products, outputs, slopes of the hidden layer, and for each
  // sequence the landmarks and the iterations of the pseudo-inverse.
  double const of_token = (nystrom && m.taps > 0 ? 9 : 8) * width + 2 * hidden + 4 * heads;
  double const of_sequence = 4 * row + (4 * double(m.inverse_iterations) + 2) * square;
  // What is there once: of the layer at work the gradients of these, or on the way forward the same without slopes;
  // the embeddings, their gradients and the last norm; the packed numbers of full attention's kernels.
  double const of_work = std::max(5 * width, 2 * width + hidden) + (nystrom ? 3 : 6) * width;
  double const of_work_in_sequence = 6 * row + 10 * square;
  double const batch = double(complete(settings).batch);
  double const part = batch / double(attn::train::parts_of_step(settings.recipe.accumulate, ranks));
  double const per_example = double(data.per_example), number = sizeof(float);
  ExampleRows const rows(data);
  double const judging = rows.of(batch) * (of_work + 3 * width) + batch * per_example * of_work_in_sequence;
  double const training =
      rows.of(part) * (of_work + depth * of_token) + part * per_example * (of_work_in_sequence + depth * of_sequence);
  io::MemoryPlan plan;
  plan.add("program", 25e6);
  plan.add("parameters", number * parameters * (trains ? 7 : 2));
  // Training and evaluation take turns with the same memory.
  bool const by_training = trains && training > judging;
  plan.add(by_training ? "activations of a batch" : "activations of evaluation",
           number * (by_training ? training : judging));
  plan.add("tokens", double(data.tokens.size()) + 48 * rows.of(batch));
  return plan;
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
