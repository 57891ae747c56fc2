#include "vision/training.hpp"

#include "attn/data/distributions.hpp"
#include "attn/data/on_device.hpp"
#include "attn/optim/adamw.hpp"
#include "attn/train/description.hpp"
#include "attn/train/fit.hpp"
#include "attn/train/weights.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <optional>

#include "vision/task.hpp"
#include "vision/weights.hpp"

namespace vision {
namespace {

constexpr std::size_t shown_predictions = 24;

/// The weights' description: what `adopt` and `wanted` read.
io::Metadata metadata(io::Json description, ImageData const& data) {
  description["mean"] = data.normalization.mean;
  description["deviation"] = data.normalization.deviation;
  if (data.named_classes) description["class_names"] = data.class_names;
  return attn::train::describe_model(program_name, description);
}

/// The bytes of a picture, (channels, height, width), from the numbers that a model sees.
std::vector<std::uint8_t> pixels_of(float const* numbers, attn::data::ImageShape const& shape,
                                    attn::data::Normalization const& n) {
  std::vector<std::uint8_t> pixels(shape.image_size());
  std::size_t const plane = shape.height * shape.width;
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    std::size_t const c = i / plane;
    float const value = 255 * (numbers[i] * n.deviation[c] + n.mean[c]);
    pixels[i] = static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0f, 255.0f)));
  }
  return pixels;
}

/// Attention and predictions for some test images, which the seed draws.
void look_at_examples(Context& ctx, Classifier const& model, ImageData const& data, Outcome& outcome) {
  attn::data::ImageShape const shape = data.test->shape();
  std::vector<std::size_t> drawn(data.test->size());
  attn::data::shuffle(attn::subkey(ctx.random, "examples"), drawn);
  drawn.resize(std::min(shown_predictions, drawn.size()));
  std::vector<float> numbers(drawn.size() * shape.image_size());
  std::vector<int> labels;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    attn::data::ImageSample<float> sample{.pixels = numbers.data() + i * shape.image_size()};
    data.test->sample(drawn[i], {}, sample);
    labels.push_back(sample.label);
  }
  ctx.training = false;
  ctx.begin_step();
  auto const images = ctx.tensor(drawn.size(), shape.channels, shape.height, shape.width);
  attn::copy_from_host(numbers, images.reshape<1>({images.size()}));
  outcome.attention = model.attention(ctx, images.slice(0, 0, 1));

  auto const logits = model.logits(ctx, images);
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), logits.view());
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    Answer const answer = answer_of(&host(i, 0), static_cast<std::size_t>(shape.classes));
    outcome.predictions.push_back(
        {.channels = shape.channels,
         .height = shape.height,
         .width = shape.width,
         .pixels = pixels_of(numbers.data() + i * shape.image_size(), shape, data.normalization),
         .label = data.name_of(labels[i]),
         .predicted = data.name_of(static_cast<int>(answer.label)),
         .right = static_cast<int>(answer.label) == labels[i],
         .confidence = answer.probability});
  }
}

/// The names of all classes that the model knows.
std::vector<std::string> names_of(ImageData const& data, Confusion const& confusion) {
  std::vector<std::string> names;
  for (std::size_t c = 0; c < confusion.classes; ++c) names.push_back(data.name_of(static_cast<int>(c)));
  return names;
}

/// Says where Swin's windows do not divide a map of tokens, which then ends in zeros, as timm's does.
void note_windows(Sizes const& s) {
  if (s.family != "swin") return;
  int height = s.image.height / s.patch.height, width = s.image.width / s.patch.width;
  for (std::size_t stage = 0; stage < s.depth.numbers.size(); ++stage) {
    int const side = s.window.numbers.size() > stage ? s.window.numbers[stage] : s.window.first();
    int const rows = std::min(side, height), columns = std::min(side, width);
    if (rows > 0 && columns > 0 && (height % rows != 0 || width % columns != 0)) {
      std::cerr << "--window: windows of " << side << " do not divide the " << height << " x " << width
                << " tokens of stage " << stage + 1 << ", which are padded with zeros; "
                << "a --window that divides them wastes nothing" << std::endl;
      return;
    }
    height = (height + 1) / 2, width = (width + 1) / 2;
  }
}

/// What a run takes with its images, which are bytes in memory unless they lie in files of their own.
io::MemoryPlan memory_with(ImageData const& data, Settings const& settings, Sizes const& sizes, bool trains,
                           attn::train::World const& world) {
  io::MemoryPlan plan = memory_of(settings, sizes, trains, world.size());
  for (auto const& set : {data.train, data.test}) {
    if (set && !data.named_classes) plan.add("images", double(set->size()) * double(set->shape().image_size()));
  }
  return plan;
}

/// Numbers that a description gives for each channel.
std::vector<float> numbers(io::Json const& description, char const* field) {
  std::vector<float> numbers;
  for (io::Json const& number : description[field]) {
    bool const good = description[field].is_array() && number.is_number() && std::isfinite(number.get<float>());
    ATTN_CHECK(good, "--weights: the file describes its ", field, " wrongly: use numbers, got ",
               description[field].dump());
    numbers.push_back(number.get<float>());
  }
  return numbers;
}

}  // namespace

Outcome train(Settings const& settings, ImageData const& data, RunOptions const& options) {
  check(settings);
  Sizes const sizes = sizes_of(settings, data.train->shape());
  std::optional<attn::train::World> alone;
  attn::train::World& world = options.world != nullptr ? *options.world : alone.emplace();
  memory_with(data, settings, sizes, true, world).check(settings.insist);
  if (world.leads()) note_windows(sizes);
  Context ctx(settings.seed);
  auto const model = make_classifier(ctx, settings.activation, sizes);
  if (!options.weights.empty()) load_model(options.weights, ctx, sizes, settings.new_head);
  tune(settings.tuning, ctx, *model);

  Recipe const& recipe = settings.recipe;
  auto batches = batch_options(recipe, settings.seed);
  batches.workers = settings.data.workers;
  batches.parts = {attn::train::parts_of_step(recipe.accumulate, world.size()), std::size_t(world.rank()),
                   std::size_t(world.size())};
  VisionTask task(ctx, *model, data, batches, settings.tuning, world);
  attn::optim::AdamW adamw(ctx, {.beta2 = recipe.beta2, .weight_decay = recipe.weight_decay});
  LearningRate const learning_rate(recipe, task.steps_per_epoch());

  Outcome outcome{
      .name = settings.activation.name(), .run = results_of(settings, sizes, data), .directory = options.out};
  attn::train::FitOptions fit_options{.epochs = recipe.epochs,
                                      .clip = recipe.clip,
                                      .accumulate = batches.parts.here(),
                                      .log_every = recipe.log_every,
                                      .evaluate = recipe.eval_every,
                                      .checkpoint = recipe.checkpoint_every,
                                      .out = options.out,
                                      .resume = options.resume,
                                      .settings = checkpoint_settings(outcome.run),
                                      .metadata = metadata(outcome.run, data),
                                      .label = outcome.name,
                                      .sharing = settings.sharing,
                                      .stop = options.stop};
  using Start = attn::optim::EmaOptions::Start;
  bool const judges = recipe.ema_use == "judge";
  if (recipe.ema > 0) {
    fit_options.ema = attn::optim::EmaOptions{.decay = recipe.ema, .start = judges ? Start::warm_up : Start::average};
  }
  fit_options.judge_averages = judges;
  auto const result = attn::train::fit(ctx, task, adamw, learning_rate, fit_options, world);

  if (data.unreadable && data.unreadable->count() > 0) {
    outcome.run["unreadable_images"] = data.unreadable->count();
    std::cerr << data.unreadable->count()
              << " pictures could not be read, the first because: " << data.unreadable->first_fault() << std::endl;
  }
  outcome.run["learning_rate"] = rates_of(recipe).peak;
  outcome.run["parameters"] = ctx.parameters.count();
  outcome.run["steps"] = result.steps;
  for (auto const& [name, value] : result.training) outcome.run[name == "loss" ? "train_loss" : name] = value;
  for (auto const& [name, value] : result.evaluation) outcome.run[name] = value;
  outcome.run["seconds"] = result.seconds;
  outcome.run["images_per_second"] = static_cast<double>(result.steps * recipe.batch) / result.seconds;
  outcome.interrupted = result.interrupted;
  if (result.interrupted) return outcome;
  attn::train::load_weights(attn::train::weights_path(options.out), ctx);  // the averages, where there are any
  outcome.confusion = task.confusion();
  bool const counts = static_cast<std::size_t>(data.test->shape().classes) <= Confusion::most;
  if (counts && outcome.confusion.counts.empty()) {  // a complete run was resumed
    task.evaluate(ctx);
    outcome.confusion = task.confusion();
  }
  outcome.class_names = names_of(data, outcome.confusion);
  if (world.leads()) look_at_examples(ctx, *model, data, outcome);
  return outcome;
}

Outcome evaluate(Settings const& settings, ImageData const& data, io::Path const& weights, attn::train::World& world) {
  check(settings);
  Sizes const sizes = sizes_of(settings, data.test->shape());
  memory_with(data, settings, sizes, false, world).check(settings.insist);
  Context ctx(settings.seed);
  auto const model = make_classifier(ctx, settings.activation, sizes);
  load_model(weights, ctx, sizes, false);
  auto const start = std::chrono::steady_clock::now();
  ctx.training = false;
  EvaluationBatches batches = VisionTask::share_of_test(data, settings.data.workers, world);
  Judgement const judgement = judge(ctx, *model, batches, world);
  std::chrono::duration<double> const elapsed = std::chrono::steady_clock::now() - start;
  ActivationChoice const& a = settings.activation;
  io::Json run = {{"name", a.name()},
                  {"activation", a.activation},
                  {"power", a.is_poly() ? io::Json(a.power) : io::Json(nullptr)},
                  {"scale", a.is_poly() ? a.scale : "none"},
                  {"seed", settings.seed},
                  {"precision", settings.precision},
                  {"weights", weights.string()},
                  {"parameters", ctx.parameters.count()},
                  {"test_images", data.test->size()},
                  {"test_loss", judgement.loss},
                  {"test_accuracy", judgement.accuracy},
                  {"test_top5", judgement.top5},
                  {"seconds", elapsed.count()},
                  {"images_per_second", static_cast<double>(data.test->size()) / elapsed.count()}};
  return {.name = a.name(),
          .run = std::move(run),
          .confusion = judgement.confusion,
          .class_names = names_of(data, judgement.confusion)};
}

Wanted wanted(Settings const& settings, io::Json const& description, bool trains) {
  NamedModel const& model = named_model(settings.model.name);
  Wanted wanted{.image = model.sizes.image, .crop_fraction = model.crop_fraction, .train = trains};
  for (int c = 0; c < 3; ++c) {
    wanted.normalization.mean.push_back(model.mean[c]);
    wanted.normalization.deviation.push_back(model.deviation[c]);
  }
  if (description.is_object()) {
    io::Json const image = description.value("image", io::Json(nullptr));
    auto const side = Extent::from_json(image.is_array() && image.size() == 3 ? io::Json{image[1], image[2]} : image);
    if (side) wanted.image = *side;
    wanted.sized = side && !trains;  // weights are judged on images of the size that they were trained with
    if (description.contains("mean") && description.contains("deviation")) {
      wanted.trained = {numbers(description, "mean"), numbers(description, "deviation")};
    }
    io::Json const classes = description.value("classes", io::Json(nullptr));
    if (classes.is_number_integer() && !settings.resume) wanted.known_classes = classes.get<int>();
    io::Json const names = description.value("class_names", io::Json::array());
    for (io::Json const& name : names) {
      if (name.is_string()) wanted.class_names.push_back(name.get<std::string>());
    }
  }
  if (settings.model.image_size) wanted.image = *settings.model.image_size;
  wanted.sized = wanted.sized || settings.model.image_size.has_value();
  return wanted;
}

}  // namespace vision
